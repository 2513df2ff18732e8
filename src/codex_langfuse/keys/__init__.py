"""Langfuse's API keys and addresses: reading, checking and masking them, and the labels of a trace."""
