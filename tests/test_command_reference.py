"""reference/command-line.md lists every command and option of the program, and none that it has not."""

import inspect
import re
from pathlib import Path

import pytest
import typer
import typer.testing

from codex_langfuse.cli import app
from translations import CHINESE, DOCS

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


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_terminal_of_80_columns(name: str) -> None:
    """Two columns are the margin. What is longer is broken in the middle of a sentence."""
    told = inspect.cleandoc(COMMANDS[name].callback.__doc__)
    assert [line for line in told.splitlines() if len(line) > 78] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_is_cut_off_in_help(name: str) -> None:
    shown = typer.testing.CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "80", "NO_COLOR": "1"})
    said = inspect.cleandoc(COMMANDS[name].callback.__doc__)
    options = shown.stdout.replace("path=/…", "")
    assert "…" not in options
    assert said.splitlines()[0] in shown.stdout


def test_what_may_be_given_for_content_is_known_to_the_program() -> None:
    shown = typer.testing.CliRunner().invoke(app, ["relay", "--help"], env={"COLUMNS": "80", "NO_COLOR": "1"})
    assert "<none|prompts|full>" in shown.stdout
