"""Write a Markdown table, in the words of a language."""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

#: One text for all languages, or one for each.
Translated = str | Mapping[str, str]


def in_language(text: Translated, language: str) -> str:
    """Return a text in a language."""
    return text if isinstance(text, str) else text[language]


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """Return a table; a vertical bar within a cell is escaped by whoever made the cell."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def words_of(module: str) -> dict[str, Any]:
    """Return what a module says in English (``en``) and Chinese (``zh``), from the file beside it.

    module: its ``__file__``; the words of ``x.py`` are in ``x.words.toml``.
    """
    return tomllib.loads(Path(module).with_suffix(".words.toml").read_text(encoding="utf-8"))


_YES = words_of(__file__)["yes"]


def mark(yes: bool, language: str) -> str:
    """Return the cell that says whether something is there."""
    return str(_YES[language]) if yes else "–"
