"""What is known of Codex: its binary, the scripted model it talks to, and how to run it alone.

``binary``
    Find the real Codex and its version.
``scripted_model``
    The smallest Responses API server that Codex accepts; its scenarios are data.
``overrides``
    How Codex is told to use it, with no change to its configuration file.
``isolated``
    A Codex with a home, a configuration and an environment of its own.
"""
