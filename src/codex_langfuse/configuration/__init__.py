"""Reading and writing Codex's configuration without harm to what a person wrote in it.

``syntax``
    What a TOML text says, by the parser that Codex uses, and where everything in it is.
``repair``
    A text that is not TOML made one, where it is plain what was meant.
``edit``
    One change at a time to a TOML text, every other byte left as it is.
``encoding``
    From the bytes of a file to its text and back.
``config_files``
    Where Codex looks for its configuration, and what is there.
``secrets``
    Text that is shown, with its secrets covered.
``route``, ``routes``
    What ``[otel]`` holds for each route: direct, relay, collector, off.
``amend``
    A route written into a text.
``backup``
    A text written to its file: atomically, with a backup and a way back.
``undoing``
    One change taken back, and what was written since left as it is.
"""
