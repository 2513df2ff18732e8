"""Tools that get OpenAI's Codex CLI observed in Langfuse over OpenTelemetry.

Data flows one way: Codex's configuration, Codex, OTLP, Langfuse or its mock, observations.

``codex``
    What is known of Codex: its binary, how to run it in isolation, the scripted model it talks to.
``keys``
    Langfuse's API keys and addresses.
``mock``
    A server that answers as Langfuse does: authentication, the ingestion contract, how
    OpenTelemetry attributes become observations (``mock.langfuse``).
``cli``
    The command ``codex-langfuse``.
"""
