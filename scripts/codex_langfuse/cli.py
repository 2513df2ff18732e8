"""The command ``codex-langfuse``: what a reader types, and nothing of how it is done."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="codex-langfuse",
    help="See in Langfuse what Codex did.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
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


@app.command()
def mock(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 3000,
    public_key: Annotated[
        str | None, typer.Option(help="Public key to accept instead of the demonstration's.")
    ] = None,
    secret_key: Annotated[str | None, typer.Option(help="Secret key that goes with it.")] = None,
    langfuse: Annotated[int, typer.Option(min=3, max=4, help="Major version to answer as.")] = 4,
    store: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="File that keeps what arrived (JSON lines), credentials left out; read on start.",
        ),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="Trouble to play, as often as needed: 'status=429,retry-after=17,times=2', 'delay=3', "
            "'hang'; also after=N (let N requests pass first) and path=/… (default: the OTLP endpoints)."
        ),
    ] = None,
) -> None:
    """Run a Langfuse on this machine that takes telemetry and shows what became of it.

    It answers as Langfuse does, keeps everything in memory, and prints its address when it is ready. Without
    keys it accepts pk-lf-1234567890 / sk-lf-1234567890. For trying refusals there are also an organization's
    pair, pk-lf-organization / sk-lf-organization, and an in-app agent's, pk-lf-in-app-agent /
    sk-lf-in-app-agent.

    Unlike Langfuse it answers 413 to bodies of more than 256 MiB, and forgets the oldest of more than 10,000
    requests, 256 MiB or 100,000 observations.
    """
    from codex_langfuse.mock.command import serve
    from codex_langfuse.mock.faults import Fault

    if (public_key is None) != (secret_key is None):
        raise typer.BadParameter("give both keys or neither", param_hint="--public-key, --secret-key")
    try:
        faults = [Fault.parse(text) for text in fault or ()]
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--fault") from error
    try:
        serve(
            host=host,
            port=port,
            public_key=public_key,
            secret_key=secret_key,
            langfuse=langfuse,
            store_file=store,
            faults=faults,
        )
    except (OSError, ValueError, TimeoutError) as error:
        typer.echo(f"codex-langfuse mock: cannot serve on {host}:{port}: {error}", err=True)
        raise typer.Exit(1) from error


def main() -> None:
    """Run the command; the entry point of the installed script."""
    app()
