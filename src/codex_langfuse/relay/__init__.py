"""The relay: Codex's logs and traces in, one clean trace a turn out to Langfuse.

``app`` takes an export, ``pipeline`` has it on disk (``store``) before it answers. ``assembly`` makes facts
of events and spans, ``resolver`` turns of facts, ``clean_trace`` observations of a turn. ``delivery`` sends
them until Langfuse has them. ``policy`` says what may leave.
"""
