"""The command ``codex-langfuse``, and what it does to get OpenAI's Codex CLI observed in Langfuse.

In come Codex's configuration and its telemetry over OTLP; out go observations to Langfuse, or to the mock.
``cli`` starts a module of ``commands``, which leaves the work to the room of its name. What several rooms
need is in the files beside them. Data flows one way, and rooms import each other in no circle.
"""
