"""The relay: Codex's logs and traces in, one clean trace a turn out to Langfuse."""
