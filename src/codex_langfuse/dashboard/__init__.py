"""A dashboard in Langfuse that answers what people ask about Codex."""
