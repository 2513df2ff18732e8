"""Langfuse asked for what should be in it: a test trace sent before, or a session of Codex."""
