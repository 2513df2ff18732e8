"""Reading and writing Codex's ``config.toml`` without harm to what a person wrote in it.

In comes the text of a file, right or wrong. ``syntax`` says what is in it and where, by the parser that
Codex uses; ``edit`` makes one change and leaves every other byte; ``amend`` writes a ``route`` into it,
``repair`` makes TOML of what is none. Out goes a text; ``backup`` writes it to its file, and ``undoing``
takes it back.
"""
