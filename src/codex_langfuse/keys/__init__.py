"""Langfuse's API keys and addresses, and the labels of a trace that a configuration names.

In come texts that a person typed, an environment variable or a key file. Out go checked keys and addresses,
the header made of them, and what may be shown of them. Errors say what to do.
"""
