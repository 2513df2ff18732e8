"""``codex-langfuse verify``: send a test trace and see it arrive."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from codex_langfuse.commands.auth import RegionName
from codex_langfuse.commands.messages import error, note, tell, wrong_usage

if TYPE_CHECKING:
    from codex_langfuse.verify.verification import Step


def verify(
    region: Annotated[RegionName | None, typer.Option(help="Langfuse Cloud.")] = None,
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Your own Langfuse, such as http://localhost:3000.")
    ] = None,
    environment: Annotated[
        str, typer.Option(metavar="NAME", help="Environment that Langfuse files the test trace under.")
    ] = "verify",
    timeout: Annotated[
        float, typer.Option(min=1, max=3600, help="Seconds to wait until Langfuse shows the trace.")
    ] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Send a small test trace to Langfuse and wait until it is shown.

    The keys come from the environment: LANGFUSE_PUBLIC_KEY and
    LANGFUSE_SECRET_KEY, or OTEL_EXPORTER_OTLP_TRACES_HEADERS; the address from
    LANGFUSE_BASE_URL (or LANGFUSE_HOST). HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE
    are used.

    The trace is named "codex-langfuse verify": an agent, a generation and a tool,
    with fixed words. If it does not arrive, the layer that failed is named:
    address, tls, path, keys, ingestion or read.

    Exit status: 0 it arrived, 1 it did not, 2 wrong usage.

    Examples:
      codex-langfuse verify
      codex-langfuse verify --region us --timeout 120
      codex-langfuse verify --json
    """
    from codex_langfuse.keys.credentials import CredentialsError
    from codex_langfuse.keys.key_file import find_access
    from codex_langfuse.keys.labels import check_environment
    from codex_langfuse.verify.layers import Layer, LayerError
    from codex_langfuse.verify.verification import verify_arrival

    if region and base_url:
        wrong_usage("give --region or --base-url, not both")
    try:
        check_environment(environment)
    except ValueError as wrong:
        wrong_usage(f"--environment: {wrong}")
    try:
        access = find_access(os.environ, region.value if region else base_url)
    except CredentialsError as wrong:
        wrong_usage(str(wrong), f"See {wrong.page}")
    for text in access.notes:
        note(text)
    try:
        with progress(quiet=as_json) as report:
            arrival = verify_arrival(access, environment=environment, timeout=timeout, report=report)
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
        typer.echo(json.dumps({"arrived": True, **vars(arrival)}, indent=2))
    else:
        typer.echo(f"It arrived: {arrival.observations} observations, shown after {arrival.seconds} seconds.")
        typer.echo(arrival.link)


@contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[["Step", str], None]]:
    """Show the steps on stderr: with a spinner on a terminal, as plain lines elsewhere, or not at all."""
    from rich.console import Console
    from rich.text import Text

    from codex_langfuse.verify.verification import Step

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
