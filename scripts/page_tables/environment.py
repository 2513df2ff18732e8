"""The reference of environment variables, made from ``scripts/environment_variables.toml``."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from page_tables.markdown import table

_FILE = Path(__file__).resolve().parents[1] / "environment_variables.toml"

#: The groups of variables, in the order of the page. Each is a generated table, ``environment-GROUP``.
GROUPS = ("exporting", "batches", "sampling", "labels", "codex", "commands")

_OF_CODEX = {
    "en": ["Variable", "Acts on", "Default", "Effect", "Measured with Codex"],
    "zh": ["变量", "作用于", "默认值", "效果", "实测的 Codex 版本"],
}
_OF_COMMANDS = {
    "en": ["Variable", "Read by", "Default", "Effect"],
    "zh": ["变量", "由谁读取", "默认值", "效果"],
}

Text = str | Mapping[str, str]


@dataclass(frozen=True)
class Variable:
    """One variable, or a few of the same effect, and what proves that effect.

    ``signal`` is what it acts on, or which command reads it. ``measured`` is empty for those of the commands.
    """

    names: tuple[str, ...]
    group: str
    signal: Text
    default: Text
    does: Text
    proof: tuple[str, ...]
    measured: str = ""


@cache
def variables() -> tuple[Variable, ...]:
    """Return all variables, in the order of the file; raises ``TypeError`` for an unknown field."""
    entries = tomllib.loads(_FILE.read_text(encoding="utf-8"))["variable"]
    return tuple(
        Variable(**entry | {"names": tuple(entry["names"]), "proof": tuple(entry["proof"])})
        for entry in entries
    )


def _in(text: Text, language: str) -> str:
    return text if isinstance(text, str) else text[language]


def _table_of(group: str, language: str) -> str:
    """Return the table of one group."""
    head = (_OF_COMMANDS if group == "commands" else _OF_CODEX)[language]
    rows = []
    for each in variables():
        if each.group == group:
            names = "<br>".join(f"`{name}`" for name in each.names)
            cells = [names, *(_in(one, language) for one in (each.signal, each.default, each.does))]
            rows.append(cells if group == "commands" else [*cells, each.measured])
    return table(head, rows)


TABLES: dict[str, Callable[[str], str]] = {
    f"environment-{group}": partial(_table_of, group) for group in GROUPS
}
