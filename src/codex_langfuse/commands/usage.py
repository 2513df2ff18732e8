"""Typer with errors in one line, as every other error is, and without the type of a flag in ``--help``."""

import math
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from codex_langfuse.commands.messages import error


class Command(TyperCommand):
    """A command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options; ``nan`` is in no range, which Typer 0.28 does not see."""
        rest = super().parse_args(ctx, args)
        for each in self.params:
            if isinstance(value := ctx.params.get(each.name), float) and math.isnan(value):
                raise typer.BadParameter(f"{value} is not a number", ctx=ctx, param=each)
        return rest

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, flags without a type."""
        return _flags_without_type(super().get_params(ctx))


class Group(TyperGroup):
    """The program."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, flags without a type."""
        return _flags_without_type(super().get_params(ctx))

    def main(  # type: ignore[override]  # the other parameters are handed on
        self, args: Sequence[str] | None = None, *, standalone_mode: bool = True, **named: Any
    ) -> Any:
        """Run; a wrong option or value is one line on stderr, and status 2."""
        try:
            status = super().main(args, standalone_mode=False, **named)
        except typer.TyperException as wrong:
            if not standalone_mode:
                raise
            text = wrong.format_message().rstrip(".")
            for ours, theirs in (
                ("a number", "a valid float range"),
                ("a whole number", "a valid int range"),
            ):
                text = text.replace(theirs, ours)
            if text:  # There is none where the help was printed instead.
                context = getattr(wrong, "ctx", None)
                error(text, f"See {context.command_path if context else self.name} --help")
            raise SystemExit(wrong.exit_code) from wrong
        except typer.Abort as aborted:
            raise SystemExit(130) from aborted
        if standalone_mode:
            raise SystemExit(status or 0)
        return status


def _flags_without_type(parameters: list[Any]) -> list[Any]:
    for each in parameters:
        if getattr(each, "is_bool_flag", False):
            each.metavar = ""
    return parameters
