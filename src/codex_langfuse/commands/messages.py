"""What a command says beside its result: on stderr, in colour on a terminal that wants it."""

import os
import sys
from typing import NoReturn

import typer


def tell(text: str) -> None:
    """Say something that is neither a result nor trouble."""
    typer.echo(text, err=True)


def note(text: str) -> None:
    """Say what the reader should know though all goes well."""
    tell(f"{_coloured('note:', typer.colors.YELLOW)} {text}")


def error(text: str, *more: str) -> None:
    """Say what is wrong and, indented, what to do about it and where that is explained."""
    tell("\n  ".join([f"{_coloured('error:', typer.colors.RED)} {text}", *more]))


def refuse(text: str, *more: str) -> NoReturn:
    """End the command with ``error`` and status 1."""
    error(text, *more)
    raise typer.Exit(1)


def wrong_usage(text: str, *more: str) -> NoReturn:
    """End the command with ``error`` and status 2."""
    error(text, *(more or ("See --help.",)))
    raise typer.Exit(2)


def confirmed(question: str) -> bool:
    """Ask; Ctrl-C ends the command with status 130."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        tell("")
        raise typer.Exit(130) from None


def _coloured(text: str, colour: str) -> str:
    wanted = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return typer.style(text, fg=colour, bold=True) if wanted else text
