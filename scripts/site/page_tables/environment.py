"""The reference of environment variables, made from ``environment_variables.toml``."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from hooks.tested_with import pinned_codex
from page_tables.markdown import Translated, in_language, words_of

_TEXTS = words_of(__file__)

_FILE = Path(__file__).with_name("environment_variables.toml")

#: The groups of variables, in the order of the page. Each is a generated list, ``environment-GROUP``.
GROUPS = ("exporting", "batches", "sampling", "labels", "codex", "commands")

_ACTS_ON = _TEXTS["acts_on"]
_READ_BY = _TEXTS["read_by"]
_DEFAULT = _TEXTS["default"]
_COMMA = _TEXTS["comma"]
_MEASURED = _TEXTS["measured"]


@dataclass(frozen=True)
class Variable:
    """One variable, or a few of the same effect, and what proves that effect.

    ``signal`` is what it acts on, or which command reads it. ``measured`` names the versions of Codex, such
    as ``0.44–0.150, 0.169``, that it was measured with, apart from the pinned one. It is empty for those of
    the commands.
    """

    names: tuple[str, ...]
    group: str
    signal: Translated
    default: Translated
    does: Translated
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


def _list_of(group: str, language: str) -> str:
    """Return a definition list of one group."""
    return "\n".join(_definition(each, language) for each in variables() if each.group == group)


def _definition(variable: Variable, language: str) -> str:
    of_commands = variable.group == "commands"
    # The same name is listed under Codex too, and an id must be unique.
    names = (f"`{name}`" if of_commands else f"`{name}`{{ #{name} }}" for name in variable.names)
    signal = in_language(variable.signal, language).replace("`, `", f"`{_COMMA[language]}`")
    facts = [(_READ_BY if of_commands else _ACTS_ON)[language].format(signal)]
    if variable.default != "–":
        facts.append(_DEFAULT[language].format(in_language(variable.default, language)))
    if variable.measured:
        pinned = pinned_codex().rpartition(".")[0]
        measured = variable.measured.removesuffix(pinned).removesuffix(", ")
        facts.append(_MEASURED[language].format(f"{measured}, {pinned}".replace(", ", _COMMA[language])))
    return f"{' '.join(names)}\n:   {in_language(variable.does, language)}\n\n    {' · '.join(facts)}\n"


TABLES: dict[str, Callable[[str], str]] = {
    f"environment-{group}": partial(_list_of, group) for group in GROUPS
}
