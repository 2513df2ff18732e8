"""Tables of the options of ``codex-langfuse``, read from the program itself.

English is what ``--help`` prints. Chinese is ``options.zh.toml``: a table for each command, with the
meaning of each option.
"""

import re
import tomllib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import typer

from codex_langfuse.cli import app
from page_tables.markdown import table

_CHINESE = Path(__file__).with_name("options.zh.toml")

_HEAD = {"en": ["Option", "Value", "Meaning"], "zh": ["选项", "值", "含义"]}
_KINDS = {
    "<file>": {"en": "file", "zh": "文件"},
    "<dir>": {"en": "folder", "zh": "目录"},
    "<str>": {"en": "text", "zh": "文本"},
    "<list[str]>": {"en": "text", "zh": "文本"},
    "<int range>": {"en": "number", "zh": "数字"},
    "<float range>": {"en": "number", "zh": "数字"},
    "": {"en": "–", "zh": "–"},
}
_COMMA = {"en": ", ", "zh": "、"}
_DEFAULT = {"en": " Default: `{}`.", "zh": "默认：`{}`。"}


def options(command: str, language: str) -> str:
    """Return the options of a command, but for ``--help``.

    Raises:
        KeyError: an option has no Chinese meaning yet.
    """
    program = typer.main.get_command(app).commands[command]
    context = program.make_context(command, [], resilient_parsing=True)
    rows = []
    for parameter in program.params:
        if not parameter.opts[0].startswith("--") or parameter.opts[0] == "--help":
            continue
        usage, meaning = parameter.get_help_record(context)
        option, value = re.fullmatch(r"(?:-\w, )?(--[\w-]+) ?(.*)", usage).groups()
        meaning, _, limits = meaning.partition("  [")
        default = re.match(r"default: ([^;\]]+)", limits)
        if language == "zh":
            meaning = _chinese()[command][option]
        if default:
            meaning += _DEFAULT[language].format(default[1])
        rows.append([f"`{option}`", _value(value, language), _escaped(meaning)])
    return table(_HEAD[language], rows)


def _value(text: str, language: str) -> str:
    if text in _KINDS:
        return _KINDS[text][language]
    return _COMMA[language].join(f"`{choice}`" for choice in text.strip("<>").split("|"))


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
    f"options-{command}": partial(options, command) for command in typer.main.get_command(app).commands
}
