"""Write a Markdown table."""

from collections.abc import Iterable

_YES = {"en": "yes", "zh": "有"}
_NO = "–"


def mark(yes: bool, language: str) -> str:
    """Return the cell that says whether something is there."""
    return _YES[language] if yes else _NO


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """Return a table; a vertical bar within a cell is escaped by whoever made the cell."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
