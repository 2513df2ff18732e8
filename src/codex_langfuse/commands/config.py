"""``codex-langfuse config``: put ``[otel]`` into Codex's configuration for a route, or take it back."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codex_langfuse.commands.auth import RegionName
from codex_langfuse.commands.messages import wrong_usage
from codex_langfuse.configuration.route import Route
from codex_langfuse.page_addresses import page_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from codex_langfuse.codex.versions import Version
    from codex_langfuse.commands.changing import Change
    from codex_langfuse.configuration.routes import OtelSettings


def config(
    route: Annotated[
        Route | None,
        typer.Argument(help="direct: to Langfuse. relay, collector: to a process that holds the key. off."),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Address of your Langfuse. Default: LANGFUSE_BASE_URL, the key file, or what the file has.",
        ),
    ] = None,
    region: Annotated[RegionName | None, typer.Option(help="Langfuse Cloud, instead of --base-url.")] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Address of the relay or Collector; /v1/traces is appended, and /v1/logs for the relay.",
        ),
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Environment of every span. Default: what the file has, or prod."),
    ] = None,
    user: Annotated[str | None, typer.Option(metavar="NAME", help="User of every span.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="Tag of every trace; repeatable.")
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="For the direct route: key file of another project; needs Codex 0.171 or newer.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="File to change. Default: config.toml in CODEX_HOME (~/.codex).",
        ),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Change NAME.config.toml, which `codex -p NAME` reads.")
    ] = None,
    codex_version: Annotated[
        str | None, typer.Option(metavar="X.Y.Z", help="Write for this Codex instead of the installed one.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Allow a Codex that puts prompts and answers into traces.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the difference and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Change the file without asking.")] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Undo the last change, and nothing written since.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Write the telemetry settings of a route into Codex's config.toml.

    Comments, order and everything else in the file stay as they are.
    You see the difference first, and are asked. A backup stays beside the file.
    No key is ever written. On the route direct, Codex 0.171 and newer get it from
    the key file (headers_helper); older ones take it from their environment.

    Exit status: 0 done or nothing to do, 1 not changed, 2 a wrong option or
    value.

    Examples:
      codex-langfuse config direct --region us
      codex-langfuse config direct --base-url http://localhost:3000
      codex-langfuse config direct --environment staging --user ada --tag team-a
      codex-langfuse config relay
      codex-langfuse config collector --endpoint http://127.0.0.1:4318
      codex-langfuse config off --yes
      codex-langfuse config direct --dry-run
      codex-langfuse config --undo
    """
    from codex_langfuse.commands.changing import fail, make_change, undo_change
    from codex_langfuse.configuration.config_files import config_path, is_profile_name

    if file is not None and profile is not None:
        wrong_usage("give --file or --profile, not both")
    if profile is not None and not is_profile_name(profile):
        wrong_usage("--profile takes a name, not a path")
    path = file or config_path(os.environ, profile)
    if path.is_dir():
        fail(
            f"{path} is a folder, and Codex refuses to start with it",
            "Move it away, or give another --file.",
            page=page_url("reference/errors", "codex-home"),
            as_json=as_json,
        )
    if path.exists() and not path.is_file():
        fail(
            f"{path} is not a file",
            "Move it away, or give another --file.",
            page=page_url("reference/errors", "codex-home"),
            as_json=as_json,
        )
    if undo:
        if route is not None:
            wrong_usage("--undo takes no route")
        undo_change(path, dry_run=dry_run, yes=yes, as_json=as_json)
        return
    if route is None:
        wrong_usage("say which route: direct, relay, collector or off")

    from codex_langfuse.codex.versions import installed_version

    version = _version(codex_version) or installed_version()

    def plan(data: dict[str, Any]) -> "tuple[OtelSettings, list[str]]":
        settings, notes = _settings(
            route, base_url, region, endpoint, environment, user, tuple(tag or ()), data
        )
        settings, about_helper = _with_helper(settings, version, key_file, profile)
        return settings, notes + about_helper

    try:
        change = planned_change(path, plan, version, force=force, below=_below(profile))
    except PlanError as error:
        fail(*error.lines, page=error.page, as_json=as_json)
    make_change(
        change,
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
        details={"route": str(route), "codex_version": str(version) if version else None},
    )


class PlanError(Exception):
    """A file cannot be changed as wanted: what is wrong and what to do, a line each, and the page."""

    def __init__(self, *lines: str, page: str):
        super().__init__(lines[0])
        self.lines = lines
        self.page = page


def planned_change(
    path: Path,
    plan: "Callable[[dict[str, Any]], tuple[OtelSettings, list[str]]]",
    version: "Version | None",
    *,
    force: bool = False,
    below: dict[str, Any] | None = None,
) -> "Change":
    """Return the change that puts settings into the configuration at ``path``, which need not exist.

    Args:
        path: the file.
        plan: makes the settings, and what to say about it, of what the file holds.
        version: the Codex that will read it; None for one that understands everything.
        force: accept a Codex whose spans hold prompts and answers.
        below: what ``config.toml`` says, when the file is a profile.

    Raises:
        PlanError: the file is not valid, or it cannot be changed without harm.
    """
    from codex_langfuse.commands.changing import Change
    from codex_langfuse.configuration.amend import RefusedError, amend
    from codex_langfuse.configuration.config_files import read_config
    from codex_langfuse.configuration.edit import EditError
    from codex_langfuse.configuration.encoding import Encoded
    from codex_langfuse.configuration.repair import repaired
    from codex_langfuse.configuration.syntax import parse
    from codex_langfuse.proxies import no_proxy_line

    given = read_config("user", path) if path.exists() else None
    notes: list[str] = []
    text = given.encoded.text if given else ""
    if given is not None and given.error is not None:
        better = repaired(text)
        if better is None:
            raise PlanError(
                f"{path}:{given.error.line}:{given.error.column}: {given.error.message}",
                "The file is not changed, as it is not valid TOML. `codex-langfuse check` explains why.",
                page=page_url("guide/troubleshooting", "does-not-load"),
            )
        notes.append(f"the file was not valid TOML: {better.done}")
        text = better.text
    encoded = given.encoded if given else Encoded("", ())
    if version is None:
        notes.append("no Codex found: the settings are those for the newest one")
    settings, more = plan(parse(text).data)
    notes += more
    if (
        settings.base
        and settings.route is not Route.DIRECT
        and (line := no_proxy_line(settings.base.url, os.environ))
    ):
        notes.append(
            f"a proxy is set, and Codex would take it to {settings.base.url}. Start Codex with: {line}"
        )
    try:
        amended = amend(text, settings, version, force=force, below=below or {})
    except RefusedError as error:
        raise PlanError(str(error), page=page_url("concepts/signals", "what-leaves")) from error
    except EditError as error:
        raise PlanError(
            f"{path}: {error}",
            "The file is not changed.",
            page=page_url("configuration-only", "configuration"),
        ) from error
    return Change(path, given.content if given else None, encoded, amended.text, tuple(notes + amended.notes))


def _with_helper(
    settings: "OtelSettings", version: "Version | None", file: Path | None, profile: str | None
) -> "tuple[OtelSettings, list[str]]":
    """Let Codex get the key by a command, where it can and there is a key file; return what to say of it."""
    from dataclasses import replace

    from codex_langfuse.codex.versions import HEADERS_HELPER
    from codex_langfuse.keys.key_file import COMMAND, key_file

    if settings.route is not Route.DIRECT:
        if file is not None:
            wrong_usage("--key-file goes with the route direct")
        return settings, []
    if version is None or version < HEADERS_HELPER:
        return settings, []
    words = ["auth", "--headers", *(("--key-file", str(file.absolute())) if file else ())]
    if not (file or key_file()).exists():
        made = COMMAND if file is None else f"codex-langfuse auth --write {file}"
        return settings, [
            "Codex takes the key from its environment, as there is no key file. To let it take the key from "
            f"the file, make it ({made}) and run this again"
        ]
    notes = (
        [f"the key of {key_file()}; for another project's add --key-file FILE"]
        if profile and not file
        else []
    )
    return replace(settings, headers_helper=_this_command(*words)), notes


def _this_command(*arguments: str) -> str:
    """Return the command that runs this program, for a shell; Codex may be started without our PATH."""
    import shlex
    import subprocess
    import sys

    program = Path(sys.argv[0])
    installed = program.stem == "codex-langfuse" and program.exists()
    words = [str(program.absolute())] if installed else [sys.executable, "-m", "codex_langfuse"]
    return (
        subprocess.list2cmdline([*words, *arguments]) if os.name == "nt" else shlex.join([*words, *arguments])
    )


def _below(profile: str | None) -> dict[str, Any]:
    """Return what config.toml says, which Codex reads below a profile; nothing when it cannot be read."""
    from codex_langfuse.configuration.config_files import config_path, read_config

    path = config_path(os.environ)
    return read_config("user", path).data if profile and path.is_file() else {}


def _version(text: str | None) -> "Version | None":
    from codex_langfuse.codex.versions import Version

    if text is None:
        return None
    try:
        return Version.parse(text)
    except ValueError as error:
        wrong_usage(f"--codex-version: {error}")


def _settings(
    route: Route,
    base_url: str | None,
    region: RegionName | None,
    endpoint: str | None,
    environment: str | None,
    user: str | None,
    tags: tuple[str, ...],
    data: dict[str, Any],
) -> "tuple[OtelSettings, list[str]]":
    from codex_langfuse.configuration.routes import ABOUT_COLLECTORS, OtelSettings, read_endpoint
    from codex_langfuse.keys.credentials import CredentialsError, read_base_url

    notes: list[str] = []
    base = None
    if base_url is not None and region is not None:
        wrong_usage("give --region or --base-url, not both")
    if route is not Route.DIRECT and (base_url or region):
        wrong_usage("--region and --base-url go with the route direct; others take --endpoint")
    if route in (Route.DIRECT, Route.OFF) and endpoint:
        wrong_usage(
            "--endpoint goes with the routes relay and collector; direct takes --region or --base-url"
        )
    if route is Route.OFF and (environment or user or tags):
        wrong_usage("--environment, --user and --tag do not go with off")
    if route is Route.RELAY and (user or tags):
        wrong_usage("the relay itself names user and tags: codex-langfuse relay --user NAME --tag TAG")
    if route is Route.COLLECTOR and not endpoint:
        wrong_usage("give the address of your Collector: --endpoint http://127.0.0.1:4318")
    if route is Route.RELAY and "OTEL_BLRP_SCHEDULE_DELAY" not in os.environ:
        notes.append("to also see each `codex exec` that fails: export OTEL_BLRP_SCHEDULE_DELAY=1")
    hint = "--endpoint" if endpoint else "--region" if region else "--base-url"
    try:
        if route is Route.DIRECT:
            base = read_base_url((region.value if region else base_url) or _known_base_url(data, notes))
        elif route is not Route.OFF:
            base = read_endpoint(endpoint)
    except (CredentialsError, ValueError) as error:
        wrong_usage(f"{hint}: {error}")
    notes += base.notes if base else ()
    notes += ABOUT_COLLECTORS if route is Route.COLLECTOR else ()
    try:
        return OtelSettings(route, base, environment, user, tags), notes
    except ValueError as error:
        wrong_usage(str(error))


def _known_base_url(data: dict[str, Any], notes: list[str]) -> str:
    """Find the address that was not given: environment, key file, the configuration, or else the EU's."""
    from codex_langfuse.configuration.edit import value_at
    from codex_langfuse.keys.credentials import TRACES_PATH, base_url_in
    from codex_langfuse.keys.key_file import with_key_file

    named = base_url_in(with_key_file(os.environ))
    if named:
        return named
    endpoint = value_at(data, ("otel", "trace_exporter", "otlp-http", "endpoint"))
    if isinstance(endpoint, str) and endpoint.endswith(TRACES_PATH):
        return endpoint.removesuffix(TRACES_PATH)
    notes.append(
        "no region given: this is Langfuse Cloud, EU. Another one: --region us|jp|hipaa, or --base-url"
    )
    return "eu"
