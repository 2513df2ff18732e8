"""What is known of Codex: its program, its telemetry, and how to run it with a scripted model.

In come the program (``binary``) and its exports (``telemetry``). Out go plain events and spans, what each
version does (``versions``), and a Codex to run that sees nothing of this machine (``isolated``):
``replaced`` lists what differs from a user's, and its model answers by a scenario of ``scripted_model``.
"""
