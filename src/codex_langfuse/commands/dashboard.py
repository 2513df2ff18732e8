"""``codex-langfuse dashboard``: answers in Langfuse to what people ask about Codex."""

import os
from pathlib import Path
from typing import Annotated

import typer

from codex_langfuse.commands.auth import BaseUrlOption, RegionOption
from codex_langfuse.commands.messages import note, refuse, tell, wrong_usage


def dashboard(
    region: RegionOption = None,
    base_url: BaseUrlOption = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the dashboard. Each name is a separate dashboard."),
    ] = None,
    environment: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Count only this environment; repeatable."),
    ] = None,
    user: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Count only this user; repeatable.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON file of a dashboard to create instead of the built-in one."),
    ] = None,
    print_: Annotated[
        bool, typer.Option("--print", help="Print the dashboard as JSON for --file, and send nothing.")
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Delete the dashboard of that name and its widgets.")
    ] = False,
) -> None:
    """Make a dashboard about Codex in your project, and print its link.

    It shows turns, cost, people and failures, cost by model, person and
    environment, tokens by kind, tools, approvals, durations and versions.

    Run it again to bring it up to date: it makes no second one, keeps what you
    added or moved, and says what it changed. Changes to its own widgets are
    undone. To change them for good, edit what --print prints and give it as
    --file.

    The keys come from the key file or the environment: LANGFUSE_PUBLIC_KEY and
    LANGFUSE_SECRET_KEY, or OTEL_EXPORTER_OTLP_TRACES_HEADERS; the address from
    LANGFUSE_BASE_URL (or LANGFUSE_HOST).

    Langfuse calls the API for dashboards unstable. This was run with Langfuse
    4.16.0.

    Exit status: 0 done, 1 refused or not reached, 2 a wrong option or value.

    Examples:
      codex-langfuse dashboard
      codex-langfuse dashboard --name "Codex CI" --environment ci
      codex-langfuse dashboard --print > mine.json
      codex-langfuse dashboard --file mine.json
      codex-langfuse dashboard --remove
    """
    from codex_langfuse.dashboard.api import DashboardApi, DashboardError
    from codex_langfuse.dashboard.definition import DefinitionError, built_in, read
    from codex_langfuse.dashboard.keeping import keep
    from codex_langfuse.dashboard.keeping import remove as take_away
    from codex_langfuse.keys.credentials import CredentialsError
    from codex_langfuse.keys.key_file import find_access
    from codex_langfuse.verify.connection import LangfuseConnection
    from codex_langfuse.verify.layers import LayerError

    if region and base_url:
        wrong_usage("give --region or --base-url, not both")
    if remove and print_:
        wrong_usage("give --remove or --print, not both")
    if name is not None and (not name.strip() or not name.isprintable()):
        wrong_usage("--name must be a text in one line")
    try:
        definition = (read(file) if file else built_in()).narrowed(
            name=name, environments=environment or (), users=user or ()
        )
    except DefinitionError as wrong:
        refuse(f"--file {wrong}")
    if print_:
        typer.echo(definition.as_json())
        return
    try:
        access = find_access(os.environ, region.value if region else base_url)
    except CredentialsError as wrong:
        wrong_usage(str(wrong), f"See {wrong.page}")
    for text in access.notes:
        note(text)
    try:
        with LangfuseConnection(access.base_url.url, access.authorization) as connection:
            project = connection.project_id()
            api = DashboardApi(connection)
            done = take_away(api, definition.name) if remove else keep(api, definition)
    except DashboardError as failure:
        refuse(str(failure))
    except LayerError as failure:
        refuse(". ".join(part.rstrip(".") for part in (str(failure), *failure.remedies)) + ".")
    for change in done.changes or ["nothing to remove" if remove else "nothing to change"]:
        tell(change)
    if done.dashboard:
        typer.echo(f"{access.base_url.url}/project/{project}/dashboards/{done.dashboard}")
