"""Tables of the options and exit statuses of ``codex-langfuse``, read from the program itself.

English is what ``--help`` prints. Chinese is ``options.zh.toml``: a table for each command, with the
meaning of each option, and of the exit statuses 0, 1 and 2 as ``exits``.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import typer

from codex_langfuse.cli import app
from page_tables.markdown import table, words_of

_TEXTS = words_of(__file__)

_CHINESE = Path(__file__).with_name("options.zh.toml")

_HEAD = _TEXTS["head"]
_EXITS_HEAD = _TEXTS["exits_head"]
_EXITS = re.compile(r"Exit status: 0 (.+), 1 (.+), 2 (.+?)\.( |$)")
_COMMA = _TEXTS["comma"]
_DEFAULT = _TEXTS["default"]


def _commands() -> Mapping[str, Any]:
    program: Any = typer.main.get_command(app)
    commands: Mapping[str, Any] = program.commands
    return commands


def options(command: str, language: str) -> str:
    """Return the options of a command, but for ``--help``.

    Raises:
        KeyError: an option has no Chinese meaning yet.
    """
    program = _commands()[command]
    context = program.make_context(command, [], resilient_parsing=True)
    rows = []
    for parameter in program.params:
        if not parameter.opts[0].startswith("--") or parameter.opts[0] == "--help":
            continue
        usage, meaning = parameter.get_help_record(context)
        shown = re.fullmatch(r"(?:-\w, )?(--[\w-]+) ?(.*)", usage)
        assert shown is not None, usage
        option, value = shown.groups()
        meaning, _, limits = meaning.partition("  [")
        default = re.match(r"default: ([^;\]]+)", limits)
        if language == "zh":
            meaning = _chinese()[command][option]
        if default:
            meaning += _DEFAULT[language].format(default[1])
        rows.append([f"`{option}`", _value(value, language), _escaped(meaning)])
    return table(_HEAD[language], rows)


def exits(language: str) -> str:
    """Return what the exit statuses of each command mean.

    Raises:
        ValueError: a command does not say so.
        KeyError: there is no Chinese yet.
    """
    rows = []
    for name, program in _commands().items():
        told = re.search(r"Exit status: (.+?)\n\n", f"{program.help}\n\n", re.DOTALL)
        found = _EXITS.search(f"Exit status: {' '.join(told[1].split())}" if told else "")
        if found is None:
            raise ValueError(f"{name} does not say what its exit statuses mean")
        meanings = found.groups()[:3] if language == "en" else _chinese()[name]["exits"]
        rows.append([f"[`{name}`](#{name})", *(_escaped(meaning) for meaning in meanings)])
    return table(_EXITS_HEAD[language], rows)


def _value(text: str, language: str) -> str:
    if not text:
        return "–"
    comma: str = _COMMA[language]
    return comma.join(f"`{choice}`" for choice in text.strip("<>").split("|"))


def _escaped(text: str) -> str:
    """Set options and addresses as code; escape what a page takes for HTML or for the end of the cell."""
    return re.sub(r"(`[^`]*`)|(--[a-z][\w-]*|https?://[\w.:/-]*\w)|<", _in_a_page, text).replace("|", "\\|")


def _in_a_page(found: re.Match[str]) -> str:
    if found[2]:
        return f"`{found[2]}`"
    return found[1] or "&lt;"


@cache
def _chinese() -> dict[str, dict[str, str]]:
    return tomllib.loads(_CHINESE.read_text(encoding="utf-8"))


TABLES: dict[str, Callable[[str], str]] = {
    "exits": exits,
    **{f"options-{command}": partial(options, command) for command in _commands()},
}
