"""The test plan: the cases that a tester runs before production, and what runs them.

In come the cases (``cases.toml``), a Codex, and a Langfuse or the mock. Each case is played on a ``stage``:
a Codex that sees nothing of this machine, with a ``wire`` between it and Langfuse that records what passes.
Out go ``results``, and a report in English or Chinese.
"""
