"""``codex-langfuse uninstall``: take back what ``setup`` did, step by step."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from codex_langfuse.commands.setup import stop_daemons
from codex_langfuse.commands.steps import Steps
from codex_langfuse.page_addresses import page_url


def uninstall(
    keep_keys: Annotated[bool, typer.Option("--keep-keys", help="Keep the key file.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what each step would do, and change nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do all steps without asking; this deletes the key file.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Take back what `codex-langfuse setup` did.

    Four steps; each says what it will do, and can be run again:

      1. take back in config.toml what codex-langfuse wrote, and nothing else
      2. stop a Codex that runs in the background with that configuration
      3. stop the relay, after it delivered what it has, and remove its service
      4. delete the key file

    At the end it says what is left: turns that could not be delivered, backups,
    the command itself, and what is in Langfuse.

    Exit status: 0 done, 1 a step failed, 2 a wrong option or value.

    Examples:
      codex-langfuse uninstall
      codex-langfuse uninstall --dry-run
      codex-langfuse uninstall --yes --keep-keys
    """
    steps = Steps(4, dry_run=dry_run, yes=yes, as_json=as_json)
    _restore_config(steps)
    stop_daemons(steps)
    _stop_relay(steps)
    _delete_keys(steps, keep=keep_keys)
    left = _what_is_left()
    if dry_run:
        steps.end("Nothing was changed (--dry-run).")
    else:
        steps.end("Left:", *(f"  {line}" for line in left), left=left)


def _restore_config(steps: Steps) -> None:
    """Take changes back until Codex no longer sends to the relay: there may have been several."""
    from codex_langfuse.commands.changing import UndoError, planned_undo, show_difference
    from codex_langfuse.configuration.config_files import config_path

    path = config_path(os.environ)
    page = page_url("configuration-only", "undo")
    steps.begin("config", f"Codex: take back what codex-langfuse wrote into {path}.")
    if not _sends_to_relay(path):
        steps.done("It does not send to the relay.")
        return
    while _sends_to_relay(path):
        try:
            undo = planned_undo(path)
        except UndoError as wrong:
            steps.fail(*wrong.lines, "To switch it off instead: codex-langfuse config off", page=page)
        if not steps.as_json:
            show_difference(undo.difference)
        if steps.dry_run:
            return
        if not steps.agreed(undo.question):
            steps.fail(f"{path} is not changed, so Codex still sends to the relay", page=page)
        try:
            done, _ = undo.apply()
        except OSError as wrong:
            steps.fail(f"{path} cannot be changed: {wrong.strerror or wrong}", page=page)
        steps.done(done, changed=True)


def _sends_to_relay(path: Path) -> bool:
    """Whether logs go to this machine: only the route relay sends any."""
    from urllib.parse import urlsplit

    from codex_langfuse.configuration.config_files import read_config
    from codex_langfuse.configuration.edit import value_at
    from codex_langfuse.keys.credentials import is_this_machine

    if not path.is_file():
        return False
    data: dict[str, Any] = read_config("user", path).data
    endpoint = value_at(data, ("otel", "exporter", "otlp-http", "endpoint"))
    return isinstance(endpoint, str) and is_this_machine(urlsplit(endpoint).hostname or "")


def _stop_relay(steps: Steps) -> None:
    from codex_langfuse.relay.install import InstallError
    from codex_langfuse.relay.state_folder import default_state_folder, finish_on_stop, is_held
    from codex_langfuse.relay.stopping import StopError, stop_relay
    from codex_langfuse.setup.service import ServiceError, find_manager, remove_service

    folder = default_state_folder(os.environ).absolute()
    steps.begin("relay", "Relay: deliver what it has, stop it, and remove its service.")
    runs = is_held(folder)
    if steps.dry_run:
        steps.done("It runs." if runs else "It does not run.")
        return
    if runs and not steps.agreed("Stop the relay?"):
        steps.fail("the relay still runs", "Run this again to stop it.", page=page_url("guide/relay", "undo"))
    try:
        if runs:
            finish_on_stop(folder)
        service = remove_service(find_manager(), os.environ)
        stop_relay(folder, finish=True)
    except (ServiceError, StopError, InstallError, OSError) as wrong:
        steps.fail(str(wrong), page=page_url("guide/relay", "undo"))
    stopped = "Stopped." if runs else "It did not run."
    steps.done(f"{stopped} {'Removed' if service else 'There was no'} service.", changed=runs or service)


def _delete_keys(steps: Steps, *, keep: bool) -> None:
    from codex_langfuse.keys.key_file import key_file

    file = key_file()
    steps.begin("keys", f"Keys: delete {file}.")
    if not file.exists():
        steps.done("It is not there.")
    elif steps.dry_run:
        return
    elif keep or not steps.agreed(f"Delete {file}?"):
        steps.done("It stays.")
    else:
        try:
            file.unlink()
        except OSError as wrong:
            steps.fail(
                f"{file} cannot be deleted: {wrong.strerror}", page=page_url("guide/security", "files")
            )
        steps.done("Deleted. The keys are still valid: delete them in Langfuse too.", changed=True)


def _what_is_left() -> list[str]:
    from codex_langfuse.configuration.config_files import config_path
    from codex_langfuse.relay.state_folder import default_state_folder
    from codex_langfuse.relay.status import read_status

    folder, path = default_state_folder(os.environ), config_path(os.environ)
    left = []
    if folder.exists():
        figures = read_status(folder).figures
        owed = figures.waiting + sum(figures.set_aside.values()) if figures else 0
        left.append(f"{folder}: the relay's state, with {owed} turn{'s' * (owed != 1)} not delivered")
    left += [str(kept) for kept in sorted(path.parent.glob(f"{path.name}.codex-langfuse-*"))]
    left.append("in Langfuse: the project with all that was sent, and its API keys")
    left.append("the command: pipx uninstall codex-langfuse, or uv tool uninstall codex-langfuse")
    return left
