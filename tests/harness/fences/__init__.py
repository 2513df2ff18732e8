"""Running what is in the fences of a page.

In comes a page: ``scanner`` finds its fences as a reader of the Markdown does, ``rendered`` counts them
as the site draws them. ``following`` runs one after the other, each by the function of ``executors`` for
its language, for a ``reader``: a home, a ``terminal``, a real Codex, and the mock. ``placeholders``
lists the only words that are replaced, and ``outputs`` compares what was printed. Out comes an error, or
nothing.
"""
