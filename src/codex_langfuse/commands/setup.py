"""``codex-langfuse setup``: from two keys to a turn in Langfuse, through the relay."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from codex_langfuse.commands.auth import BaseUrlOption, RegionOption, ask_credentials, write_key_file
from codex_langfuse.commands.messages import wrong_usage
from codex_langfuse.commands.steps import Steps
from codex_langfuse.page_addresses import page_url

if TYPE_CHECKING:
    from codex_langfuse.keys.credentials import BaseUrl
    from codex_langfuse.relay.admission import Address

PAGE = page_url("reference/command-line", "setup")


def setup(
    region: RegionOption = None,
    base_url: BaseUrlOption = None,
    public_key: Annotated[str | None, typer.Option(metavar="KEY", help="The public key (pk-lf-...).")] = None,
    secret_stdin: Annotated[
        bool, typer.Option("--secret-stdin", help="Read the secret key (sk-lf-...) from standard input.")
    ] = False,
    any_key_form: Annotated[
        bool, typer.Option("--any-key-form", help="Take keys that do not begin with pk-lf- and sk-lf-.")
    ] = False,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where the relay listens, if it is not installed yet.")
    ] = "127.0.0.1:4318",
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=1, max=3600, help="Seconds to wait until Langfuse shows the test turn."
        ),
    ] = 60,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what each step would do, and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do all steps without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Set up Codex, the relay and Langfuse, and see a test turn arrive.

    Five steps; each says what it will do, and skips what is done already, so that
    you can run this again:

      1. ask Langfuse whether it accepts your keys, and keep them in
         ~/.config/codex-langfuse/env
      2. start the relay, as a service where a service manager answers
      3. point Codex at the relay in config.toml, after showing the difference
      4. stop a Codex that runs in the background with the old configuration
      5. send a test turn through the relay (no model call, no cost), and wait
         until Langfuse shows it

    The keys and the address come from the options, the environment or the key
    file; you are asked for what is missing. `codex-langfuse uninstall` takes all
    of it back.

    Exit status: 0 done, 1 a step failed, 2 a wrong option or value.

    Examples:
      codex-langfuse setup
      codex-langfuse setup --region us
      codex-langfuse setup --base-url http://localhost:3000 --dry-run
      codex-langfuse setup --yes --json
    """
    from codex_langfuse.keys.credentials import CredentialsError, basic_authorization
    from codex_langfuse.keys.key_file import with_key_file
    from codex_langfuse.relay.admission import Address

    if region and base_url:
        wrong_usage("give --region or --base-url, not both")
    try:
        address = Address.parse(listen)
    except ValueError as wrong:
        wrong_usage(f"--listen: {wrong}")
    if not address.is_loopback:
        wrong_usage("--listen: setup starts a relay for this machine only, such as 127.0.0.1:4319")
    steps = Steps(5, dry_run=dry_run, yes=yes, as_json=as_json)
    try:
        environment = with_key_file(os.environ)
    except CredentialsError as wrong:
        steps.fail(str(wrong), page=wrong.page)
    url, public, secret = ask_credentials(
        environment,
        region.value if region else base_url,
        public_key,
        secret_stdin=secret_stdin,
        any_key_form=any_key_form,
    )
    authorization = basic_authorization(public, secret)
    project, new_keys = _keep_keys(steps, url, public, secret, authorization)
    relay = _start_relay(steps, address, restart=new_keys)
    _configure(steps, relay)
    stop_daemons(steps)
    link = _send_turn(steps, relay, url, authorization, project, timeout)
    if link is None:
        steps.end("Nothing was changed (--dry-run).", link=None)
        return
    steps.end(link, "Done. Run Codex: each turn is in Langfuse a few seconds after it ended.", link=link)


def _keep_keys(
    steps: Steps, url: "BaseUrl", public: str, secret: str, authorization: str
) -> tuple[str, bool]:
    """Return the project that the keys belong to, and whether the key file changed."""
    from codex_langfuse.keys.key_file import key_file, key_file_text
    from codex_langfuse.verify.connection import LangfuseConnection
    from codex_langfuse.verify.layers import LayerError

    file, text = key_file(), key_file_text(public, secret, url.url)
    steps.begin("keys", f"Keys: ask {url.url} whether it accepts them, and keep them in {file}, mode 0600.")
    try:
        with LangfuseConnection(url.url, authorization) as connection:
            project = connection.project_id()
    except LayerError as failure:
        steps.fail(str(failure), *failure.remedies, page=failure.page)
    if steps.dry_run:
        steps.done(f"Langfuse accepts them (project {project}).")
        return project, False
    accepted = f"Langfuse accepts them (project {project})."
    try:
        known = file.read_text(encoding="utf-8") if file.is_file() else None
    except (OSError, UnicodeDecodeError):
        known = ""
    if known == text:
        steps.done(f"{accepted} The file has them already.")
    else:
        if known is not None and not steps.agreed(f"Replace the keys in {file}?"):
            steps.fail(
                f"{file} contains other keys, so nothing was changed",
                "Give these to setup, or let it replace the file.",
                page=PAGE,
            )
        write_key_file(file, text, force=False)
        steps.done(f"{accepted} Wrote the file.", changed=True)
    return project, known not in (None, text)


def _start_relay(steps: Steps, address: "Address", *, restart: bool) -> str:
    """Return the address of the relay, which runs unless it is a dry run."""
    from codex_langfuse.keys.key_file import key_file
    from codex_langfuse.relay.install import InstallError
    from codex_langfuse.relay.state_folder import StateFolderError, default_state_folder, holder
    from codex_langfuse.relay.stopping import StopError, stop_relay
    from codex_langfuse.setup.service import (
        ServiceError,
        find_manager,
        start_in_background,
        start_service,
        wait_until_running,
    )

    folder = default_state_folder(os.environ).absolute()
    running, manager = holder(folder), find_manager()
    if running is not None and not restart:
        steps.begin("relay", f"Relay: it runs already (process {running.pid}), and is left as it is.")
        steps.done(f"It listens on {running.url}.")
        return running.url
    how = (
        f"install it as a service of your user ({manager}), which starts it now and when you log in."
        if manager
        else "start it in the background, as no service manager answers here."
    )
    steps.begin("relay", f"Relay: {'stop it, as its keys changed; ' if running else ''}{how}")
    if steps.dry_run:
        return running.url if running else f"http://{address}"
    if not steps.agreed("Start the relay?"):
        steps.fail("without a relay there is nothing to set up", "Run this again when you like.", page=PAGE)
    if running is None and _is_taken(address):
        steps.fail(
            f"another program listens on {address}, where the relay would",
            "Stop it, or let the relay listen elsewhere: codex-langfuse setup --listen 127.0.0.1:4319",
            page=page_url("guide/relay", "start"),
        )
    command = [sys.executable, "-m", "codex_langfuse", "relay"]
    command += ["--listen", str(address), "--state", str(folder), "--credentials", str(key_file())]
    try:
        stop_relay(folder, finish=False)
        if manager:
            start_service(manager, command, os.environ)
        else:
            start_in_background(command, folder)
        started = wait_until_running(folder, manager)
    except (ServiceError, StopError, StateFolderError, InstallError, OSError) as wrong:
        steps.fail(str(wrong), page=page_url("guide/relay", "service"))
    after = "" if manager else " After a restart of this machine, start it again: codex-langfuse relay"
    steps.done(f"It listens on {started.url}.{after}", changed=True)
    return started.url


def _is_taken(address: "Address") -> bool:
    import socket

    try:
        socket.create_connection((address.host, address.port), timeout=2).close()
    except OSError:
        return False
    return True


def _configure(steps: Steps, relay: str) -> None:
    from codex_langfuse.codex.versions import installed_version
    from codex_langfuse.commands.changing import apply_change, preview_change
    from codex_langfuse.commands.config import PlanError, planned_change
    from codex_langfuse.configuration.config_files import config_path
    from codex_langfuse.configuration.route import Route
    from codex_langfuse.configuration.routes import OtelSettings, read_endpoint

    path = config_path(os.environ)
    steps.begin("config", f"Codex: send its logs and traces to the relay, in {path}.")
    try:
        change = planned_change(
            path, lambda _: (OtelSettings(Route.RELAY, read_endpoint(relay)), []), installed_version()
        )
    except PlanError as wrong:
        steps.fail(*wrong.lines, page=wrong.page)
    if change.new_text == change.old.text:
        steps.done("The file is as it should be.")
    elif steps.dry_run:
        preview_change(change, quiet=steps.as_json)
    elif apply_change(change, yes=steps.yes, quiet=steps.as_json):
        steps.done("Changed. Take it back with `codex-langfuse config --undo`.", changed=True)
    else:
        steps.fail(
            f"{path} is not changed, so Codex sends nothing to the relay",
            "Run this again, or codex-langfuse config relay.",
            page=page_url("guide/relay", "point-codex"),
        )


def stop_daemons(steps: Steps) -> None:
    """Stop each Codex that runs in the background, with consent: it keeps the configuration of its start."""
    from codex_langfuse.check.daemons import StillRunningError, running_daemons, stop_daemon

    steps.begin("daemon", "Codex in the background: stop it if it runs, as it keeps its old configuration.")
    daemons = [daemon for daemon in running_daemons() if daemon.reads_configuration_of(os.environ)]
    if not daemons:
        steps.done("None runs.")
        return
    for daemon in daemons:
        if steps.dry_run:
            steps.done(f"Process {daemon.pid} would be stopped.")
        elif not steps.agreed(f"Stop process {daemon.pid}? A turn that it is at is cut off."):
            steps.done(
                f"Process {daemon.pid} keeps its old configuration until `codex app-server daemon stop`."
            )
        else:
            try:
                stop_daemon(daemon)
            except StillRunningError as wrong:
                steps.fail(str(wrong), page=page_url("reference/errors", "daemon"))
            steps.done(f"Stopped process {daemon.pid}. The next Codex starts a new one.", changed=True)


def _send_turn(
    steps: Steps, relay: str, url: "BaseUrl", authorization: str, project: str, timeout: float
) -> str | None:
    """Return the link of the test turn in Langfuse, None in a dry run."""
    import time

    import httpx

    from codex_langfuse.commands.verify import progress
    from codex_langfuse.setup.trial_turn import make_trial_turn
    from codex_langfuse.verify.connection import LangfuseConnection
    from codex_langfuse.verify.layers import LayerError
    from codex_langfuse.verify.verification import trace_link, wait_until_shown

    steps.begin(
        "turn", "Test turn: send one through the relay (no model call, no cost), and wait for it in Langfuse."
    )
    if steps.dry_run:
        return None
    turn, sent = make_trial_turn(), time.monotonic()
    try:
        turn.send(relay)
    except httpx.HTTPError as wrong:
        steps.fail(f"the relay at {relay} did not take the test turn: {wrong}", page=page_url("guide/relay"))
    try:
        with (
            LangfuseConnection(url.url, authorization) as connection,
            progress(quiet=steps.as_json) as report,
        ):
            wait_until_shown(connection, turn.expected, timeout, report)
    except LayerError as failure:
        steps.fail(*_why_not_shown(failure), page=failure.page)
    steps.done(f"Langfuse shows it after {time.monotonic() - sent:.1f} seconds.", changed=True)
    return trace_link(url.url, project, turn.expected.trace_id)


def _why_not_shown(failure: Exception) -> list[str]:
    """Say why the turn is not in Langfuse: what the relay says, if it could not deliver it."""
    from codex_langfuse.relay.state_folder import default_state_folder
    from codex_langfuse.relay.status import read_status

    figures = read_status(default_state_folder(os.environ)).figures
    notes = figures.notes if figures else {}
    said = [f"The relay sends to {notes['destination'].text}."] if "destination" in notes else []
    said += [f"Its last error: {notes['last error'].text}"] if "last error" in notes else []
    return [str(failure), *said, "codex-langfuse relay --status shows more."]
