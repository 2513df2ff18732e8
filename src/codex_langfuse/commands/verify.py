"""``codex-langfuse verify``: send a test trace and see it arrive, or ask for a session of Codex."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from codex_langfuse.commands.auth import BaseUrlOption, RegionOption
from codex_langfuse.commands.messages import error, note, tell, wrong_usage

if TYPE_CHECKING:
    from codex_langfuse.verify.reading import Step


def verify(
    region: RegionOption = None,
    base_url: BaseUrlOption = None,
    session: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Send nothing; look for the traces of this Codex session."),
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Environment of the test trace in Langfuse. Default: verify."),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=1, max=3600, help="Seconds to wait until Langfuse shows it."),
    ] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Send a small test trace to Langfuse and wait until it is shown.

    The keys come from the environment: LANGFUSE_PUBLIC_KEY and
    LANGFUSE_SECRET_KEY, or OTEL_EXPORTER_OTLP_TRACES_HEADERS; the address from
    LANGFUSE_BASE_URL (or LANGFUSE_HOST). Without them, from the key file,
    ~/.config/codex-langfuse/env. HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE are
    used.

    The trace is named "codex-langfuse verify": an agent, a generation and a tool,
    with fixed words. If it does not arrive, the layer that failed is named:
    address, tls, path, keys, ingestion or read.

    With --session nothing is sent: Langfuse is asked for the traces of a session,
    by the session id that Codex prints. The relay and the Collector send it.

    Exit status: 0 it is shown, 1 it is not, 2 a wrong option or value.

    Examples:
      codex-langfuse verify
      codex-langfuse verify --region us --timeout 120
      codex-langfuse verify --session 019a3e0c-5d5f-7b61-a0a3-6b1f2d3c4e5f
      codex-langfuse verify --json
    """
    from codex_langfuse.keys.credentials import CredentialsError
    from codex_langfuse.keys.key_file import find_access
    from codex_langfuse.keys.labels import check_environment
    from codex_langfuse.verify.layers import Layer, LayerError
    from codex_langfuse.verify.session import SessionShown, verify_session
    from codex_langfuse.verify.verification import Arrival, verify_arrival

    if region and base_url:
        wrong_usage("give --region or --base-url, not both")
    if session is not None and environment is not None:
        wrong_usage("--environment is for the test trace; with --session none is sent")
    if session is not None and not session.strip():
        wrong_usage("--session needs the id that Codex prints")
    try:
        check_environment(environment or "verify")
    except ValueError as wrong:
        wrong_usage(f"--environment: {wrong}")
    try:
        access = find_access(os.environ, region.value if region else base_url)
    except CredentialsError as wrong:
        wrong_usage(str(wrong), f"See {wrong.page}")
    for text in access.notes:
        note(text)
    try:
        shown: SessionShown | Arrival
        with progress(quiet=as_json) as report:
            if session is not None:
                shown = verify_session(access, session.strip(), timeout=timeout, report=report)
                text = f"Langfuse shows it: {_traces(shown.traces)}, the newest from {shown.newest}."
            else:
                shown = verify_arrival(
                    access, environment=environment or "verify", timeout=timeout, report=report
                )
                text = f"It arrived: {shown.observations} observations, shown after {shown.seconds} seconds."
    except LayerError as failure:
        remedies = list(failure.remedies)
        if failure.layer is Layer.KEYS:
            remedies.append(f"The keys came from {access.source}.")
        if as_json:
            outcome = {"layer": failure.layer, "message": str(failure), "remedies": remedies}
            typer.echo(json.dumps({"arrived": False, **outcome, "page": failure.page}, indent=2))
        else:
            error(f"{failure.layer}: {failure}", *remedies, f"See {failure.page}")
        raise typer.Exit(1) from failure
    if as_json:
        typer.echo(json.dumps({"arrived": True, **vars(shown)}, indent=2))
    else:
        typer.echo(text)
        typer.echo(shown.link)


def _traces(number: int) -> str:
    return "1 trace" if number == 1 else f"{number} traces"


@contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[["Step", str], None]]:
    """Show the steps on stderr: with a spinner on a terminal, as plain lines elsewhere, or not at all."""
    from rich.console import Console
    from rich.text import Text

    from codex_langfuse.verify.reading import Step

    said: set[Step] = set()

    def say_once(step: "Step", text: str) -> None:
        if step not in said and not quiet:
            tell(text)
        said.add(step)

    if quiet or not sys.stderr.isatty():
        yield say_once
        return
    console = Console(stderr=True)
    with console.status("Asking Langfuse …") as status:

        def show(step: "Step", text: str) -> None:
            if step is Step.WAITING:
                status.update(Text(text))
            else:
                console.print(Text(text), soft_wrap=True)

        yield show
