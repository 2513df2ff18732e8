"""The table of what is replaced in a Codex that an example runs, from ``codex_langfuse.codex.replaced``."""

from collections.abc import Callable

from codex_langfuse.codex.replaced import REPLACEMENTS, Replacement
from page_tables.markdown import table, words_of

_TEXTS = words_of(__file__)

_HEAD = _TEXTS["head"]
_HOW = _TEXTS["how"]


def replaced(language: str) -> str:
    """Return the table."""
    return table(_HEAD[language], (_row(each, language) for each in REPLACEMENTS))


def _row(each: Replacement, language: str) -> list[str]:
    comma = _TEXTS["comma"][language]
    names = comma.join(f"`{name}`" for name in each.name.split(", "))
    where = _HOW[language][each.how].format(names)
    if each.name in _TEXTS["only"]:
        where += _TEXTS["row_words"][language].format(_TEXTS["only"][each.name][language])
    return [where, f"`{each.value}`", _TEXTS["reason"][each.name][language]]


TABLES: dict[str, Callable[[str], str]] = {"replaced": replaced}
