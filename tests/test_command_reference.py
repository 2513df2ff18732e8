"""reference/command-line.md lists every command and option of the program, and none that it has not."""

import re
from pathlib import Path

import pytest
import typer

from codex_langfuse.cli import app
from harness.fences.pages import CHINESE, DOCS

COMMANDS = typer.main.get_command(app).commands


def section(page: Path, name: str) -> str:
    """The text below the heading with the id ``name``, up to the next heading of its level."""
    text = page.read_text(encoding="utf-8")
    below = text[text.index(f"{{ #{name} }}") :]
    return below.split("\n## ")[0]


@pytest.mark.parametrize("docs", [DOCS, CHINESE], ids=["en", "zh"])
@pytest.mark.parametrize("name", COMMANDS)
def test_options(name: str, docs: Path) -> None:
    page = docs / "reference/command-line.md"
    named = set(re.findall(r"^\| `(--[\w-]+)`", section(page, name), flags=re.M))
    real = {parameter.opts[0] for parameter in COMMANDS[name].params if parameter.opts[0].startswith("--")}
    assert named == real - {"--help"}


@pytest.mark.parametrize("docs", [DOCS, CHINESE], ids=["en", "zh"])
def test_commands(docs: Path) -> None:
    text = section(docs / "reference/command-line.md", "install")
    assert set(re.findall(r"^\| \[`([\w-]+)`\]\(#[\w-]+\)", text, flags=re.M)) == set(COMMANDS)
