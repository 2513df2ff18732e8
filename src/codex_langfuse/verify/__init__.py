"""A test trace to Langfuse and back: which layer between this machine and the shown trace fails, if any."""
