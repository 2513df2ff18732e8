"""A Langfuse on this machine that keeps nothing but what it was sent: for trying out, and for tests."""
