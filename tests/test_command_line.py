"""What all commands have in common: help, errors in one line, exit statuses."""

import re

import pytest
import typer
import typer.testing

from codex_langfuse.cli import app
from harness.credential_cases import BOTH

COMMANDS = sorted(typer.main.get_command(app).commands)


def run(*arguments: str, **variables: str):
    return typer.testing.CliRunner().invoke(app, arguments, env=variables)


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_names_values_not_types_of_python(command: str | None) -> None:
    shown = run(*([command] if command else []), "--help")
    assert shown.exit_code == 0
    assert not re.findall(r"<(?:bool|str|int|float|file|dir|path|list)\b[^>]*>?", shown.output)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chekc"], "No such command 'chekc'"),
        (["check", "--ofline"], "No such option: --ofline"),
        (["check", "--timeout", "soon"], "'--timeout'"),
        (["test-plan", "--language", "de"], "'--language': 'de' is not one of 'en', 'zh'"),
        (["config", "straight"], "'straight' is not one of 'direct', 'relay', 'collector', 'off'"),
        (["mock", "--fault", "x"], "unknown setting 'x'"),
        (["verify", "--timeout", "nan"], "Invalid value for '--timeout': nan is not a number"),
        (["relay", "--status", "--wait", "x"], "Invalid value for '--wait': 'x' is not a number"),
        (["mock", "--port", "x"], "Invalid value for '--port': 'x' is not a whole number"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_word_is_one_line_and_status_2(arguments: list[str], words: str) -> None:
    said = run(*arguments)
    message, where = said.stderr.splitlines()
    assert (said.exit_code, said.stdout) == (2, "")
    assert message.startswith("error: ")
    assert words in message
    assert where.startswith("  See codex-langfuse") or where.startswith("  See root")


@pytest.mark.parametrize(
    "arguments",
    [
        ["auth", "--base-url", "nonsense"],
        ["verify", "--base-url", "nonsense"],
        ["dashboard", "--base-url", "nonsense"],
        ["config", "direct", "--base-url", "nonsense", "--dry-run"],
        ["relay", "--forward", "nonsense"],
        ["test-plan", "--langfuse-url", "nonsense"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_an_address_that_is_none_has_the_same_status_everywhere(arguments: list[str]) -> None:
    said = run(*arguments, **BOTH)
    assert (said.exit_code, said.stdout) == (2, "")
    assert said.stderr.startswith("error: ")
