"""The Codex dashboard in Langfuse.

In come keys and ``codex.json``, which says what each chart asks (``definition``). ``keeping`` compares it
with what the project has, and creates, changes or deletes widgets through Langfuse's ``api``. Out goes the
address of the dashboard.
"""
