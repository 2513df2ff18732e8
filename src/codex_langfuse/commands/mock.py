"""``codex-langfuse mock``: a Langfuse on this machine, with a page that shows what arrived."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from codex_langfuse.commands.messages import error, note, wrong_usage
from codex_langfuse.page_addresses import page_url


def mock(
    host: Annotated[
        str,
        typer.Option(
            metavar="HOST",
            help="Address to listen on. Any other than a loopback address lets others read the page.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 3000,
    public_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Public key to accept instead of the demonstration key.")
    ] = None,
    secret_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Secret key that goes with it.")
    ] = None,
    langfuse: Annotated[
        int, typer.Option(metavar="3|4", min=3, max=4, help="Major version to answer as.")
    ] = 4,
    store: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="File that keeps what arrived (JSON lines) without credentials; read on start.",
        ),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SETTINGS",
            help="Fault to simulate; repeatable: status=N, retry-after=N, delay=SECONDS or hang, "
            "joined by commas; also times=N, after=N (let N requests pass first) and path=/… "
            "(default: the OTLP endpoints).",
        ),
    ] = None,
    delays: Annotated[
        bool,
        typer.Option(
            "--delays",
            help="Make the API show traces after 1.5 seconds and scores after 5, like a real server.",
        ),
    ] = False,
    duplicates: Annotated[
        bool,
        typer.Option(
            "--duplicates",
            help="Make the API show duplicates, as Langfuse does until its database merges them.",
        ),
    ] = False,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key, mode 0600.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Accept only clients with a certificate of this CA.")
    ] = None,
) -> None:
    r"""Run a Langfuse on this machine that shows what became of your telemetry.

    It answers as Langfuse does, keeps everything in memory, and prints its
    address when it is ready. Open that address in a browser: traces as Langfuse
    will show them, what left your machine, and warnings.

    Without keys it accepts pk-lf-1234567890 / sk-lf-1234567890. For trying
    refusals there are also an organization's pair, pk-lf-organization /
    sk-lf-organization, and an in-app agent's, pk-lf-in-app-agent /
    sk-lf-in-app-agent. The page needs no keys.

    Unlike Langfuse it answers 413 to bodies of more than 256 MiB, and forgets the
    oldest of more than 10,000 requests, 256 MiB or 100,000 observations.

    Exit status: 0 stopped, 1 it cannot run, 2 a wrong option or value.

    Examples:
      codex-langfuse mock
      codex-langfuse mock --port 0 --store day.jsonl
      codex-langfuse mock --fault status=429,retry-after=17,times=2
      codex-langfuse mock --tls-cert server.pem --tls-key server.key \
        --tls-client-ca ca.pem
    """
    from codex_langfuse.keys.credentials import is_this_machine
    from codex_langfuse.keys.secret_file import SecretFileError, read_secret_file
    from codex_langfuse.listening import Tls
    from codex_langfuse.mock.command import serve
    from codex_langfuse.mock.faults import Fault
    from codex_langfuse.mock.store import StoreFileError
    from codex_langfuse.mock.visibility import DELAYED, IMMEDIATE

    if (public_key is None) != (secret_key is None):
        raise typer.BadParameter("give both keys or neither", param_hint="--public-key, --secret-key")
    try:
        faults = [Fault.parse(text) for text in fault or ()]
    except ValueError as problem:
        raise typer.BadParameter(str(problem), param_hint="--fault") from problem
    if (tls_cert is None) != (tls_key is None) or (tls_client_ca and not tls_cert):
        wrong_usage("give --tls-cert and --tls-key together; --tls-client-ca needs both")
    tls = Tls(tls_cert, tls_key, tls_client_ca) if tls_cert and tls_key else None
    if not is_this_machine(host):
        note(
            f"{host} is not a loopback address. Anyone who can reach this machine can read "
            f"on the page, without a key, everything that Codex sends here: {page_url('guide/preview')}"
        )
    try:
        if tls:
            read_secret_file(tls.key)
        serve(
            host=host,
            port=port,
            public_key=public_key,
            secret_key=secret_key,
            langfuse=langfuse,
            store_file=store,
            faults=faults,
            tls=tls,
            visibility=replace(DELAYED if delays else IMMEDIATE, duplicates=duplicates),
        )
    except StoreFileError as problem:
        error(f"codex-langfuse mock: --store {problem}")
        raise typer.Exit(1) from problem
    except (OSError, ValueError, TimeoutError, SecretFileError) as problem:
        error(f"codex-langfuse mock: cannot serve on {host}:{port}: {problem}")
        raise typer.Exit(1) from problem
