"""A command that works in steps: each is said before it is done, and the outcome of all is text or JSON."""

import json
import sys
from typing import Any, NoReturn

import typer

from codex_langfuse.commands.messages import confirmed, error, tell, wrong_usage


class Steps:
    """The steps of one run of a command.

    number: how many there are. dry_run: nothing is changed. yes: nobody is asked. as_json: nothing is printed
    but one JSON object at the end.
    """

    def __init__(self, number: int, *, dry_run: bool, yes: bool, as_json: bool) -> None:
        """End the command with status 2 when there is nobody to ask."""
        if not (yes or dry_run) and (as_json or not sys.stdin.isatty()):
            wrong_usage("there is nobody to ask: add --yes, or --dry-run to change nothing")
        self.dry_run = dry_run
        self.yes = yes
        self.as_json = as_json
        self._number = number
        self._steps: list[dict[str, Any]] = []

    def begin(self, name: str, does: str) -> None:
        """Say what the next step does."""
        self._steps.append({"step": name, "does": does, "changed": False})
        if not self.as_json:
            tell(f"{len(self._steps)}/{self._number} {does}")

    def agreed(self, question: str) -> bool:
        """Ask, unless ``--yes`` has answered."""
        return self.yes or confirmed(question)

    def done(self, outcome: str, *, changed: bool = False) -> None:
        """Say what the step did."""
        self._steps[-1] |= {"outcome": outcome, "changed": changed}
        if not self.as_json:
            tell(f"    {outcome}")

    def fail(self, message: str, *more: str, page: str) -> NoReturn:
        """End the command with status 1: what is wrong, what to do, and the page that explains it."""
        from codex_langfuse.configuration.secrets import masked

        lines = [masked(line) for line in (message, *more)]
        if self.as_json:
            self._print(done=False, error=" ".join(lines), page=page)
        else:
            error(*lines, f"See {page}")
        raise typer.Exit(1)

    def end(self, *lines: str, **more: Any) -> None:
        """Print the result: ``lines`` for a person, ``more`` in the JSON."""
        if self.as_json:
            self._print(done=not self.dry_run, **more)
        else:
            typer.echo("\n".join(lines))

    def _print(self, **outcome: Any) -> None:
        typer.echo(json.dumps({**outcome, "steps": self._steps}, indent=2, ensure_ascii=False))
