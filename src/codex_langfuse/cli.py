"""The command ``codex-langfuse``: what a reader types, and nothing of how it is done."""

import errno
import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from codex_langfuse.commands.auth import auth
from codex_langfuse.commands.check import check
from codex_langfuse.commands.config import config
from codex_langfuse.commands.dashboard import dashboard
from codex_langfuse.commands.messages import error
from codex_langfuse.commands.mock import mock
from codex_langfuse.commands.relay import relay
from codex_langfuse.commands.setup import setup
from codex_langfuse.commands.test_plan import test_plan
from codex_langfuse.commands.uninstall import uninstall
from codex_langfuse.commands.usage import Command, Group
from codex_langfuse.commands.verify import verify

app = typer.Typer(
    name="codex-langfuse",
    cls=Group,
    help="See in Langfuse what Codex did.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # 20 ms that no other command needs

        typer.echo(f"codex-langfuse {version('codex-langfuse')}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """See in Langfuse what Codex did."""


for command in (setup, uninstall, auth, check, config, dashboard, mock, relay, test_plan, verify):
    app.command(command.__name__.replace("_", "-"), cls=Command)(command)


def main() -> None:
    """Run the command; the entry point of the installed script."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except OSError as trouble:
        if trouble.errno not in (errno.ENOSPC, errno.EPIPE, errno.EIO):
            raise
        # Else Python tries again when it ends, and says so with status 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        error(f"cannot write the output: {trouble.strerror}")
        sys.exit(1)


def relay_without_console() -> None:
    """Run ``codex-langfuse relay`` with a log file in place of a console: what a task on Windows starts.

    Windows opens no window for it, and gives it neither standard output nor standard error.
    """
    from codex_langfuse.relay.log_file import open_log
    from codex_langfuse.relay.state_folder import default_state_folder

    words = sys.argv[1:]
    given = next((value for name, value in pairwise(words) if name == "--state"), None)
    folder = Path(given) if given else default_state_folder(os.environ)
    sys.stdout = sys.stderr = open_log(folder.absolute())
    app(["relay", *words])
