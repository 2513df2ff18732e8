"""A test trace to Langfuse and back.

In come keys and an address. ``verification`` sends a ``trial_trace`` and reads it back over one
``connection``. Out goes which of the ``layers`` between this machine and the shown trace fails, if any, and
what to do.
"""
