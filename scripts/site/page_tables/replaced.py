"""The table of what is replaced in a Codex that an example runs, from ``codex_langfuse.codex.replaced``."""

from collections.abc import Callable

from codex_langfuse.codex.replaced import REPLACEMENTS, Replacement
from page_tables.markdown import table

_HEAD = {
    "en": ["Replaced", "With", "Because"],
    "zh": ["被替换的", "换成", "原因"],
}
_HOW = {
    "en": {"setting": "setting {}", "variable": "variable {}"},
    "zh": {"setting": "设置 {}", "variable": "变量 {}"},
}


def replaced(language: str) -> str:
    """Return the table."""
    return table(_HEAD[language], (_row(each, language) for each in REPLACEMENTS))


def _row(each: Replacement, language: str) -> list[str]:
    comma = {"en": ", ", "zh": "、"}[language]
    names = comma.join(f"`{name}`" for name in each.name.split(", "))
    only = {"en": ", {}", "zh": "，{}"}[language].format(each.only[language]) if each.only else ""
    return [_HOW[language][each.how].format(names) + only, f"`{each.value}`", each.reason[language]]


TABLES: dict[str, Callable[[str], str]] = {"replaced": replaced}
