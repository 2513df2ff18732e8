"""``codex-langfuse check``: is this set-up right?"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codex_langfuse.commands.messages import tell, wrong_usage

if TYPE_CHECKING:
    from codex_langfuse.check.findings import Finding
    from codex_langfuse.check.setup import Setup


def check(
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Check it as `codex -p NAME` reads it.")
    ] = None,
    project: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", file_okay=False, help="Folder that Codex works in. Default: the current one."
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", dir_okay=False, help="Read FILE instead of config.toml in CODEX_HOME (~/.codex)."
        ),
    ] = None,
    codex_version: Annotated[
        str | None,
        typer.Option(metavar="X.Y.Z", help="Check for this Codex instead of the installed one."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Check only files and environment, without asking the server.")
    ] = False,
    run_helper: Annotated[
        bool,
        typer.Option("--run-helper", help="Run your own headers_helper, to ask the server with its headers."),
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.1, max=600, help="Seconds to wait for the server's answer."),
    ] = 10,
    fix: Annotated[
        bool, typer.Option("--fix", help="Repair what is safe to repair, after showing the difference.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="With --fix: change the files without asking.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Check Codex's configuration, the environment and the server.

    Read are config.toml, the profile, the project's file, /etc/codex
    and the variables of this terminal: run it where you start Codex.
    The installed Codex is asked whether it loads them.
    Then the server is asked, with an empty message, whether address and keys
    are right. No telemetry is sent.

    `codex-langfuse config --undo` takes back what --fix changed.

    Exit status: 0 clean, 1 warnings, 2 errors, or a wrong option or value.

    Examples:
      codex-langfuse check
      codex-langfuse check --offline --json
      codex-langfuse check --profile langfuse
      codex-langfuse check --fix
    """
    from codex_langfuse.check import report
    from codex_langfuse.check.checking import check as look
    from codex_langfuse.check.daemons import running_daemons
    from codex_langfuse.check.refusal import refusal
    from codex_langfuse.check.setup import Setup
    from codex_langfuse.codex.versions import Version, installed_version
    from codex_langfuse.commands.changing import console
    from codex_langfuse.configuration.config_files import is_profile_name, read_config_files
    from codex_langfuse.relay.status import prices_missing

    if profile is not None and not is_profile_name(profile):
        wrong_usage("--profile takes a name, not a path")
    if file is not None and not file.is_file():
        wrong_usage(f"{file} is not there")
    if yes and not fix:
        wrong_usage("--yes goes with --fix")
    if as_json and fix and not yes:
        wrong_usage("--json with --fix cannot ask, so it needs --yes")
    try:
        version = Version.parse(codex_version) if codex_version else installed_version()
    except ValueError as error:
        wrong_usage(f"--codex-version: {error}")

    def setup() -> "Setup":
        folder = project or Path.cwd()
        files = read_config_files(os.environ, profile=profile, project=folder, file=file)
        # The installed Codex says nothing of another version, or of a file that it does not read.
        refused = None if codex_version or file else refusal(os.environ, folder, profile=profile)
        return Setup(
            files,
            dict(os.environ),
            version,
            profile,
            running_daemons(),
            prices_missing(os.environ),
            refused,
        )

    now = setup()
    fixed: list[Finding] = []
    if fix:
        fixed = _fix(now, yes=yes, quiet=as_json)
        now = setup()
    checked = look(now, offline=offline, timeout=timeout, run_helper=run_helper)
    if as_json:
        typer.echo(report.as_json(now, checked, fixed))
    else:
        report.show(now, checked, console(), home=str(Path.home()))
    raise typer.Exit(checked.status)


def _fix(setup: "Setup", *, yes: bool, quiet: bool) -> "list[Finding]":
    from codex_langfuse.check.checking import check
    from codex_langfuse.check.fixing import fixes
    from codex_langfuse.commands.changing import Change, apply_change, make_private

    fixed: list[Finding] = []
    found = list(fixes(setup))
    for fix in found:
        notes = tuple(f"fixes: {finding.mistake.title}" for finding in fix.findings)
        if apply_change(
            Change(fix.file.path, fix.file.content, fix.file.encoded, fix.text, notes), yes=yes, quiet=quiet
        ):
            fixed += fix.findings
    for finding in check(setup, offline=True).findings:
        if finding.private and finding.place.path and make_private(finding.place.path, yes=yes, quiet=quiet):
            fixed.append(finding)
    if not found and not fixed and not quiet:
        tell("There is nothing to repair automatically.")
    return fixed
