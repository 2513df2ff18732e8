"""What is known of Codex: its binary, the scripted model it talks to, and how to run it in isolation.

``binary``
    Find the real Codex and its version.
``scripted_model``
    A server that speaks as OpenAI's does; its scenarios are data.
``replaced``
    What is replaced in a Codex under test, and why.
``isolated``
    A Codex with a home, a configuration and an environment of its own.
"""
