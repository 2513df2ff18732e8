"""``codex-langfuse auth``: two keys in, the header for Codex's environment and the TOML out.

``scripts/generate-langfuse-auth.sh`` and ``.ps1`` do the same without Python.
"""

import getpass
import json
import os
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from codex_langfuse.commands.messages import error, note, refuse, tell, wrong_usage
from codex_langfuse.page_addresses import page_url

if TYPE_CHECKING:
    from codex_langfuse.keys.credentials import BaseUrl, KeyKind

T = TypeVar("T")


class RegionName(StrEnum):
    """A region of Langfuse Cloud."""

    EU = "eu"
    US = "us"
    JP = "jp"
    HIPAA = "hipaa"


RegionOption = Annotated[RegionName | None, typer.Option(help="Langfuse Cloud.")]
BaseUrlOption = Annotated[
    str | None, typer.Option(metavar="URL", help="Your own Langfuse, such as http://localhost:3000.")
]


class Shell(StrEnum):
    """A shell to write the line for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"


_ATTEMPTS = 3
_TOML = """\
# Codex to Langfuse, traces only: {place}.
# The key is not in this file: it comes from OTEL_EXPORTER_OTLP_TRACES_HEADERS.
[otel]
environment = "prod"
metrics_exporter = "none"            # without this line Codex sends metrics to OpenAI

[otel.trace_exporter.otlp-http]      # no line `trace_exporter = "otlp-http"` beside it
endpoint = "{endpoint}"
protocol = "binary"
headers = {{ x-langfuse-ingestion-version = "4" }}

[otel.span_attributes]               # on every span; Codex 0.130 and newer
"langfuse.environment" = "prod"

[shell_environment_policy]
exclude = ["OTEL_*", "LANGFUSE_*"]   # keeps the key out of the commands that Codex runs
"""


def auth(
    region: RegionOption = None,
    base_url: BaseUrlOption = None,
    public_key: Annotated[str | None, typer.Option(metavar="KEY", help="The public key (pk-lf-...).")] = None,
    secret_stdin: Annotated[
        bool,
        typer.Option(
            "--secret-stdin",
            help="Read the secret key (sk-lf-...) from standard input. There is no option for the key "
            "itself: other users could see it in the list of processes.",
        ),
    ] = False,
    any_key_form: Annotated[
        bool, typer.Option("--any-key-form", help="Take keys that do not begin with pk-lf- and sk-lf-.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Check the keys with Langfuse before anything is printed or written.",
        ),
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write keys and address to FILE, readable only by you, instead of printing the key.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="With --write: replace FILE whatever it contains.")
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            help="Print only the header's value: Basic <base64>. With --write: print nothing.",
        ),
    ] = False,
    headers: Annotated[
        bool,
        typer.Option("--headers", help="Print the key file's header as JSON, for Codex's headers_helper."),
    ] = False,
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --headers: read this key file instead.")
    ] = None,
    shell: Annotated[
        Shell | None, typer.Option(help="Shell to write the line for; by default the one in use.")
    ] = None,
) -> None:
    r"""Make the header that Codex sends to Langfuse, and the TOML that goes with it.

    Asks for what is neither given nor in the environment: LANGFUSE_PUBLIC_KEY,
    LANGFUSE_SECRET_KEY, LANGFUSE_BASE_URL (or LANGFUSE_HOST). Without --write, it
    takes them from the key file, ~/.config/codex-langfuse/env, if there is one.
    --check uses HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE.

    Exit status: 0 done, 1 refused or failed, 2 a wrong option or value.

    Examples:
      codex-langfuse auth
      codex-langfuse auth --region eu --check --write ~/.config/codex-langfuse/env
      pass show langfuse |
        codex-langfuse auth --region us --public-key pk-lf-... \
            --secret-stdin --quiet
      codex-langfuse auth --headers
    """
    from codex_langfuse.keys.credentials import basic_authorization
    from codex_langfuse.keys.key_file import with_key_file

    if headers:
        if region or base_url or public_key or secret_stdin or check or write or quiet:
            wrong_usage("--headers takes no other option: it reads the key file")
        _print_headers(key_file)
        return
    if key_file is not None:
        wrong_usage("--key-file goes with --headers")
    if region and base_url:
        wrong_usage("give --region or --base-url, not both")
    if force and write is None:
        wrong_usage("--force goes with --write")
    shell = shell or _shell_in_use()

    new = write is not None or secret_stdin or public_key is not None
    environment = os.environ if new else _or_refuse(lambda: with_key_file(os.environ))
    url, public, secret = ask_credentials(
        environment,
        region.value if region else base_url,
        public_key,
        secret_stdin=secret_stdin,
        any_key_form=any_key_form,
    )
    authorization = basic_authorization(public, secret)
    if check:
        _check(url, authorization)
    line = _export_line(authorization, shell)
    if write is not None:
        write_key_file(write, _file_text(write, public, secret, url, line, shell), force)
    if quiet:
        if write is None:
            typer.echo(authorization)
        return
    _print_steps(url, line, write, shell)


def ask_credentials(
    environment: Mapping[str, str],
    address: str | None,
    public_key: str | None,
    *,
    secret_stdin: bool,
    any_key_form: bool,
) -> tuple["BaseUrl", str, str]:
    """Return address, public key and secret key: those given, else of the environment, else asked for.

    Ends the command with status 2 when something is missing and nobody can be asked, with 1 when it cannot
    be right.
    """
    from codex_langfuse.keys.credentials import base_url_in

    address = address or base_url_in(environment)
    public_text = public_key or environment.get("LANGFUSE_PUBLIC_KEY")
    secret_text = environment.get("LANGFUSE_SECRET_KEY")
    if secret_stdin:
        if sys.stdin.isatty():
            wrong_usage("--secret-stdin is for a pipe or a file; without it you are asked for the key")
        secret_text = sys.stdin.readline().rstrip("\n")
    if secret_stdin or not sys.stdin.isatty():
        _require(address, public_text, secret_text, secret_stdin)
    return _base_url(address), *_keys(public_text, secret_text, any_key_form)


def _print_headers(key_file: Path | None) -> None:
    from codex_langfuse.keys.key_file import authorization_in_key_file

    typer.echo(json.dumps({"Authorization": _or_refuse(lambda: authorization_in_key_file(key_file))}))


def _file_text(file: Path, public: str, secret: str, url: "BaseUrl", line: str, shell: Shell) -> str:
    """Return what --write puts into ``file``; PowerShell loads only a script."""
    from codex_langfuse.keys.key_file import MARKER, key_file_text

    if shell is Shell.POWERSHELL and file.suffix.lower() == ".ps1":
        return f"{MARKER}\n{line}\n"
    return key_file_text(public, secret, url.url)


def _require(address: str | None, public: str | None, secret: str | None, secret_stdin: bool) -> None:
    """End with status 2 when something is missing and nobody can be asked."""
    if not address:
        wrong_usage("no address: give --region or --base-url, or set LANGFUSE_BASE_URL")
    if not public:
        wrong_usage("no public key: give --public-key, or set LANGFUSE_PUBLIC_KEY")
    if not secret and not secret_stdin:
        wrong_usage("no secret key: give --secret-stdin, or set LANGFUSE_SECRET_KEY")


def _base_url(given: str | None) -> "BaseUrl":
    from codex_langfuse.keys.credentials import REGIONS, read_base_url, trim

    def read(address: str) -> "BaseUrl":
        url = read_base_url(_trimmed("address", address))
        for text in url.notes:
            note(text)
        return url

    def ask() -> str:
        answer = trim(_ask("Number, region or address: "))
        if answer in ("1", "2", "3", "4"):
            return REGIONS[int(answer) - 1].url
        return _ask("Address of your Langfuse: ") if answer == "5" else answer

    if given:
        return _or_wrong_usage(lambda: read(given))
    tell("Where is your Langfuse?")
    for number, region in enumerate(REGIONS, 1):
        tell(f"  {number}  {region.label:<8}  {region.url}")
    tell("  5  your own")
    return _asking(lambda: read(ask()))


def _keys(public_text: str | None, secret_text: str | None, any_form: bool) -> tuple[str, str]:
    from codex_langfuse.keys.credentials import check_key, check_pair

    public = _trimmed("public key", public_text) if public_text is not None else None
    secret = _trimmed("secret key", secret_text) if secret_text is not None else None
    if public and secret:
        _or_wrong_usage(lambda: check_pair(public, secret, any_form=any_form))
        return public, secret

    def key(kind: "KeyKind", given: str | None, prompt: str) -> str:
        def checked(text: str) -> str:
            check_key(kind, text, any_form=any_form)
            return text

        # An empty variable is asked for, where someone can be asked; an empty standard input is not.
        if given or (given is not None and not sys.stdin.isatty()):
            return _or_wrong_usage(lambda: checked(given))
        # Neither is shown while it is typed: whoever copied both pastes both.
        return _asking(lambda: checked(_trimmed(kind, _ask(prompt, hidden=True))))

    asked = key("public key", public, "Public key (pk-lf-...): ")
    if not public and sys.stdin.isatty():
        tell(asked)
    return asked, key("secret key", secret, "Secret key (sk-lf-..., not shown): ")


def _trimmed(what: str, text: str) -> str:
    from codex_langfuse.keys.credentials import left_out, trim

    key = trim(text)
    if key != text:
        note(left_out(what))
    return key


def _check(url: "BaseUrl", authorization: str) -> None:
    from codex_langfuse.verify.connection import LangfuseConnection
    from codex_langfuse.verify.layers import LayerError

    try:
        with LangfuseConnection(url.url, authorization) as connection:
            project = connection.project_id()
    except LayerError as failure:
        refuse(str(failure), *failure.remedies, f"See {failure.page}")
    tell(f"Langfuse at {url.url} accepts the keys (project {project}).")


def _shell_in_use() -> Shell:
    if sys.platform == "win32":
        return Shell.POWERSHELL
    name = Path(os.environ.get("SHELL", "")).name
    return Shell(name) if name in ("zsh", "fish") else Shell.BASH


def _export_line(authorization: str, shell: Shell) -> str:
    from codex_langfuse.keys.credentials import TRACES_HEADERS, traces_headers

    value = f'"{traces_headers(authorization)}"'
    match shell:
        case Shell.FISH:
            return f"set -gx {TRACES_HEADERS} {value}"
        case Shell.POWERSHELL:
            return f"$env:{TRACES_HEADERS} = {value}"
        case _:
            return f"export {TRACES_HEADERS}={value}"


def _load_command(file: Path, shell: Shell) -> str:
    """Return the command that loads ``file``: quoted, and never searched for on PATH."""
    path = str(file) if file.parent != Path() or file.is_absolute() else f".{os.sep}{file}"
    match shell:
        case Shell.FISH:
            # What sets variables for one command only, fish does not read.
            quoted = path.replace("\\", "\\\\").replace("'", "\\'")
            return f"grep '^export ' '{quoted}' | source"
        case Shell.POWERSHELL:
            quoted = "'" + path.replace("'", "''") + "'"
            if file.suffix.lower() != ".ps1":
                variable = """Where-Object { $_ -match '^export (\\w+)="(.*)"$' }"""
                set_it = 'ForEach-Object { Set-Item ("env:" + $Matches[1]) $Matches[2] }'
                return f"Get-Content -LiteralPath {quoted} | {variable} | {set_it}"
            # The dot takes brackets and the like for a pattern.
            read = f"([scriptblock]::Create((Get-Content -Raw -LiteralPath {quoted})))"
            return f". {read if set(path) & set('[]*?`') else quoted}"
        case _:
            quote = "'\\''"
            return f". '{path.replace(chr(39), quote)}'"


def write_key_file(file: Path, text: str, force: bool) -> None:
    """Write a key file; ends the command when ``file`` holds something else, unless ``force``."""
    from codex_langfuse.keys.key_file import is_key_file
    from codex_langfuse.private_file import write_private

    if (file.exists() and not file.is_file()) or (file.is_symlink() and not force):
        refuse(f"{file} is not a regular file; nothing was written")
    try:
        if file.exists() and not force and not is_key_file(file.read_text("utf-8", "replace")):
            refuse(
                f"{file} contains something else; nothing was written",
                "Choose another file, or add --force to replace it.",
            )
        write_private(file, text)
    except OSError as failure:
        refuse(f"{file} cannot be written: {failure.strerror or failure}")


def _print_steps(url: "BaseUrl", line: str, file: Path | None, shell: Shell) -> None:
    if file is not None:
        typer.echo("# 1. The key is in a file that only you can read. Before you start Codex, load it:")
        typer.echo(_load_command(file, shell))
    else:
        typer.echo(
            "# 1. Where you start Codex. The shell keeps this line in its history; the option write does not:"
        )
        typer.echo(line)
    typer.echo("\n# 2. Into ~/.codex/config.toml, in place of any [otel] there:")
    typer.echo(_TOML.format(place=url.place, endpoint=url.traces_endpoint))
    typer.echo(f"# 3. See whether it arrives: {page_url('configuration-only', 'verify')}")


def _ask(prompt: str, *, hidden: bool = False) -> str:
    """Ask beside stdout, so that the result can be redirected; an end of input ends the command."""
    if hidden:
        try:
            return getpass.getpass(prompt, stream=sys.stderr)
        except EOFError:
            answer = ""
    else:
        sys.stderr.write(prompt)
        sys.stderr.flush()
        answer = sys.stdin.readline()
    if not answer:
        tell("")
        refuse("no answer")
    return answer.removesuffix("\n")


def _asking(attempt: Callable[[], T]) -> T:
    """Ask until the answer passes, a few times."""
    from codex_langfuse.keys.credentials import CredentialsError

    for _ in range(_ATTEMPTS):
        try:
            return attempt()
        except CredentialsError as wrong:
            error(str(wrong), f"See {wrong.page}")
    raise typer.Exit(1)


def _or_wrong_usage(attempt: Callable[[], T]) -> T:
    from codex_langfuse.keys.credentials import CredentialsError

    try:
        return attempt()
    except CredentialsError as wrong:
        wrong_usage(str(wrong), f"See {wrong.page}")


def _or_refuse(attempt: Callable[[], T]) -> T:
    from codex_langfuse.keys.credentials import CredentialsError

    try:
        return attempt()
    except CredentialsError as wrong:
        refuse(str(wrong), f"See {wrong.page}")
