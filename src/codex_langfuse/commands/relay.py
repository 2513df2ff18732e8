"""``codex-langfuse relay``: one clean trace a turn, from Codex's own telemetry."""

import errno
import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn
from urllib.parse import urlsplit

import typer

from codex_langfuse.commands.messages import error, note, refuse, tell, wrong_usage
from codex_langfuse.page_addresses import page_url
from codex_langfuse.relay.policy import Content, TraceName

if TYPE_CHECKING:
    from codex_langfuse.relay.assembly import Assembly
    from codex_langfuse.relay.delivery import Destination
    from codex_langfuse.relay.server import Settings

_MEBIBYTE = 1024 * 1024
#: Characters. What can be tried out over the network in a reasonable time is shorter.
_SHORTEST_TOKEN = 16
#: Seconds between looks with ``--wait``.
_LOOK_AGAIN = 0.25


def relay(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")
    ] = "127.0.0.1:4318",
    content: Annotated[
        Content,
        typer.Option(
            help="Text that may leave: none, prompts and answers, or tool input and output too.",
        ),
    ] = Content.NONE,
    trace_name: Annotated[
        TraceName, typer.Option(help="Name traces `codex turn`, or after their prompt if prompts may leave.")
    ] = TraceName.TURN,
    user: Annotated[
        str,
        typer.Option(
            metavar="off|account-id|email|NAME", help="Whom to name: nobody, Codex's account, or NAME."
        ),
    ] = "off",
    environment: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Environment in Langfuse; by default the one Codex names."),
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="A tag on every trace.")] = None,
    price_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Prices for models that Langfuse has none for (TOML, dollars for a million tokens).",
        ),
    ] = None,
    credentials: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with the LANGFUSE_ variables, a line each, mode 0600, instead of the key file.",
        ),
    ] = None,
    forward: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Send to this OTLP/HTTP traces endpoint instead of Langfuse."),
    ] = None,
    forward_header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=@FILE", help="Header for --forward; FILE holds its value."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where to keep undelivered data; by default this user's state folder."
        ),
    ] = None,
    max_disk: Annotated[
        int,
        typer.Option(
            metavar="MIB", min=4, help="Most disk space to use; when it is full, new data is refused."
        ),
    ] = 256,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File with the token that senders must show; needed beyond loopback."
        ),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key, mode 0600.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Accept only clients with a certificate of this CA.")
    ] = None,
    status: Annotated[bool, typer.Option("--status", help="Show the state of the relay, and exit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --status: as JSON.")] = False,
    wait: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="With --status: wait at most this long until no turn is in progress or waiting.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="With --status: check the turns since then (10m, 2h, 1d or a date); --json lists them.",
        ),
    ] = None,
    session: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="With --status: check the turns of this session only; --json lists them."
        ),
    ] = None,
    finish_on_stop: Annotated[
        bool,
        typer.Option(
            "--finish-on-stop",
            help="On stop, end the turns in progress as they are; with --stop: have the relay do so.",
        ),
    ] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the relay that runs, and wait for it.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try the turns set aside again, and exit.")
    ] = False,
    discard_failed: Annotated[
        bool, typer.Option("--discard-failed", help="Delete the turns set aside, and exit.")
    ] = False,
    install: Annotated[
        bool,
        typer.Option(
            "--install",
            help="Write a service file (systemd, launchd), print the commands that start it, and exit.",
        ),
    ] = False,
    uninstall: Annotated[bool, typer.Option("--uninstall", help="Reverse --install, and exit.")] = False,
) -> None:
    r"""Turn Codex's telemetry into one clean trace a turn, delivered to Langfuse.

    The keys and the address come from the key file, ~/.config/codex-langfuse/env,
    unless LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY and LANGFUSE_BASE_URL (or
    LANGFUSE_HOST) are set. The relay prints its address when it listens. In
    Codex's table otel, exporter gets ADDRESS/v1/logs and trace_exporter
    ADDRESS/v1/traces.

    The relay writes what Codex sends to disk before it answers. Turns wait there
    until Langfuse accepts them; those that it refuses for their content are set
    aside until --retry-failed. When --max-disk is used up, new data is refused;
    accepted data is never dropped. A stop takes at most 15 seconds. The next
    start continues the turns in progress, unless --finish-on-stop ends them.

    Exit status: 0 done (with --status: it runs, and with --wait all turns are
    accepted; with --since or --session: there are such turns, and all of them
    are accepted, whether it runs or not), 1 it cannot run (with --status: it does
    not, or a turn is not accepted; with --finish-on-stop: something is left), 2 a
    wrong option or value.

    Examples:
      codex-langfuse relay
      codex-langfuse relay --content prompts --user ada
      codex-langfuse relay --status
      codex-langfuse relay --status --json --since 10m --wait 30
      codex-langfuse relay --stop
      codex-langfuse relay --forward http://127.0.0.1:4319/v1/traces \
        --forward-header authorization=@token
      codex-langfuse relay --install
    """
    from codex_langfuse.keys.secret_file import SecretFileError
    from codex_langfuse.relay.state_folder import StateFolderError, default_state_folder
    from codex_langfuse.relay.store import StoreError

    errands = [status, stop, retry_failed, discard_failed, install, uninstall]
    if sum(errands) > 1:
        wrong_usage("give one of --status, --stop, --retry-failed, --discard-failed, --install, --uninstall")
    if (as_json or wait is not None or since is not None or session is not None) and not status:
        wrong_usage("--json, --wait, --since and --session go with --status")
    folder = (state or default_state_folder(os.environ)).absolute()
    try:
        if status:
            _tell_status(folder, wait, _moment(since), session, as_json=as_json)
        if stop:
            _stop(folder, finish=finish_on_stop)
        if retry_failed or discard_failed:
            _change_failed(folder, discard=discard_failed)
        if uninstall:
            _uninstall()
        options = _Options(
            listen=listen,
            content=content,
            trace_name=trace_name,
            user=user,
            environment=environment,
            tags=tuple(tag or ()),
            price_file=price_file,
            credentials=credentials,
            forward=forward,
            forward_headers=tuple(forward_header or ()),
            state=folder,
            max_disk=max_disk,
            finish_on_stop=finish_on_stop,
            token_file=token_file,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_client_ca=tls_client_ca,
        )
        settings = options.settings()
        assembly = options.assembly()
        if install:
            _install(options)
        _serve(settings, assembly)
    except SecretFileError as wrong:
        wrong_usage(str(wrong), f"See {page_url('guide/relay')}")
    except (StateFolderError, StoreError) as wrong:
        refuse(str(wrong), f"See {page_url('guide/relay')}")


@dataclass(frozen=True)
class _Options:
    """The options of a relay that is to run, as typed."""

    listen: str
    content: Content
    trace_name: TraceName
    user: str
    environment: str | None
    tags: tuple[str, ...]
    price_file: Path | None
    credentials: Path | None
    forward: str | None
    forward_headers: tuple[str, ...]
    state: Path
    max_disk: int
    finish_on_stop: bool
    token_file: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    tls_client_ca: Path | None

    def settings(self) -> "Settings":
        """Read the files named and check the rest; ends the command when something is wrong."""
        from codex_langfuse.keys.secret_file import read_secret_file
        from codex_langfuse.listening import Tls
        from codex_langfuse.relay.admission import Address
        from codex_langfuse.relay.server import Settings, SettingsError, check

        if (self.tls_cert is None) != (self.tls_key is None) or (self.tls_client_ca and not self.tls_cert):
            wrong_usage("give --tls-cert and --tls-key together; --tls-client-ca needs both")
        token = self._token()
        tls = None
        if self.tls_cert and self.tls_key:
            read_secret_file(self.tls_key)
            tls = Tls(self.tls_cert, self.tls_key, self.tls_client_ca)
        try:
            settings = Settings(
                listen=Address.parse(self.listen),
                state=self.state,
                destination=self._destination(),
                max_disk=self.max_disk * _MEBIBYTE,
                finish_on_stop=self.finish_on_stop,
                token=token,
                tls=tls,
            )
            check(settings)
        except ValueError as wrong:
            wrong_usage(f"--listen: {wrong}")
        except SettingsError as wrong:
            wrong_usage(str(wrong), f"See {page_url('guide/relay')}")
        if tls is None and not settings.listen.is_loopback:
            note(
                f"{settings.listen.host} is not a loopback address, and there is no --tls-cert: the token "
                "and all that Codex sends cross the network unencrypted: "
                f"{page_url('guide/security', 'remote-relay')}"
            )
        return settings

    def _token(self) -> str | None:
        from codex_langfuse.keys.secret_file import read_secret

        token = read_secret(self.token_file) if self.token_file else None
        if token is not None and len(token) < _SHORTEST_TOKEN:
            wrong_usage(
                f"--token-file: a token of fewer than {_SHORTEST_TOKEN} characters can be guessed. "
                f"Make one: openssl rand -hex 32 > {self.token_file}"
            )
        return token

    def _destination(self) -> "Destination":
        from codex_langfuse.keys.credentials import CredentialsError, access_in
        from codex_langfuse.relay.delivery import Destination

        if self.forward is not None:
            return _reachable(Destination.otlp(_url(self.forward), _headers(self.forward_headers)))
        if self.forward_headers:
            wrong_usage("--forward-header goes with --forward")
        try:
            access = access_in(self.variables())
        except CredentialsError as wrong:
            wrong_usage(str(wrong), f"See {wrong.page}")
        for text in access.notes:
            note(text)
        return _reachable(Destination.langfuse(access))

    def variables(self) -> dict[str, str]:
        """Return keys and address: those of --credentials, else of the environment, else of the key file."""
        from codex_langfuse.keys.key_file import VARIABLES, with_key_file
        from codex_langfuse.keys.secret_file import read_variables

        if self.credentials is None:
            found = with_key_file(os.environ)
        else:
            read = read_variables(self.credentials)
            if not read.keys() & set(VARIABLES):
                wrong_usage(f"--credentials: {self.credentials} has none of {', '.join(VARIABLES)}")
            found = {**os.environ, **read}
        return {name: found[name] for name in VARIABLES if found.get(name)}

    def assembly(self) -> "Assembly":
        """Make the assembly with the policy that the options describe; ends the command if it is none."""
        from codex_langfuse.relay.assembly import Assembly
        from codex_langfuse.relay.policy import Policy, User
        from codex_langfuse.relay.price_file import PriceFileError, read_price_file

        self._check_labels()
        try:
            prices = read_price_file(self.price_file) if self.price_file else ()
        except PriceFileError as wrong:
            wrong_usage(f"--price-file: {wrong}", f"See {page_url('guide/relay')}")
        policy = Policy(
            content=self.content,
            name_by_prompt=self.trace_name is TraceName.PROMPT,
            user=User.parse(self.user),
            environment=self.environment,
            tags=self.tags,
            prices=prices,
        )
        return Assembly(policy)

    def _check_labels(self) -> None:
        from codex_langfuse.keys.labels import check_environment, check_tag, check_user

        try:
            if self.environment is not None:
                check_environment(self.environment)
            check_user(self.user)
            for tag in self.tags:
                check_tag(tag)
        except ValueError as wrong:
            wrong_usage(str(wrong))

    def arguments(self, credentials: Path | None) -> list[str]:
        """Return the options as words for a service, with absolute paths."""
        words = ["--listen", self.listen, "--state", str(self.state), "--max-disk", str(self.max_disk)]
        words += ["--content", self.content, "--trace-name", self.trace_name, "--user", self.user]
        words += ["--finish-on-stop"] if self.finish_on_stop else []
        texts: Mapping[str, str | None] = {"--environment": self.environment, "--forward": self.forward}
        for option, text in texts.items():
            words += [option, text] if text is not None else []
        for text in self.tags:
            words += ["--tag", text]
        for text in self.forward_headers:
            name, at, file = text.partition("=@")
            words += ["--forward-header", f"{name}=@{Path(file).absolute()}" if at else text]
        files = {
            "--price-file": self.price_file,
            "--credentials": credentials,
            "--token-file": self.token_file,
            "--tls-cert": self.tls_cert,
            "--tls-key": self.tls_key,
            "--tls-client-ca": self.tls_client_ca,
        }
        for option, path in files.items():
            words += [option, str(path.absolute())] if path is not None else []
        return words


def _reachable(destination: "Destination") -> "Destination":
    from codex_langfuse.proxies import proxy_trouble

    trouble = proxy_trouble(destination.url)
    if trouble:
        wrong_usage(trouble, f"See {page_url('guide/proxies')}")
    return destination


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        possible = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # no such port
        possible = False
    if not possible or not text.isprintable() or " " in text:
        wrong_usage(
            "--forward must be an address with http:// or https://, such as http://HOST:4318/v1/traces"
        )
    if "@" in parts.netloc or parts.query:
        wrong_usage(
            "--forward: a user name, a password or what follows a ? would appear in the list of processes "
            "and in the log; give it as --forward-header authorization=@FILE"
        )
    return text


def _headers(texts: Sequence[str]) -> dict[str, str]:
    from codex_langfuse.keys.secret_file import read_secret

    headers = {}
    for text in texts:
        name, separator, value = text.partition("=")
        name = name.strip().lower()
        if not separator or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            wrong_usage("--forward-header must be NAME=@FILE")
        if not value.startswith("@"):
            wrong_usage(
                f"the value of {name} would be readable in the list of processes. Put it into a file: "
                f"--forward-header {name}=@FILE"
            )
        headers[name] = read_secret(Path(value[1:]))
    return headers


def _moment(text: str | None) -> float:
    """Read ``--since``: how long ago, or a date and time, local unless it says otherwise; 0 for none."""
    if text is None:
        return 0.0
    ago = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if ago:
        return time.time() - int(ago[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[ago[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        wrong_usage("--since must be like 90s, 10m, 2h, 1d, or a date and time like 2026-11-29T10:00:00Z")


def _tell_status(
    folder: Path, wait: float | None, since: float, session: str | None, *, as_json: bool
) -> NoReturn:
    from codex_langfuse.relay.log_file import log_file
    from codex_langfuse.relay.status import Status, read_status

    deadline = time.monotonic() + (wait or 0)
    chosen = bool(since) or session is not None

    def look() -> tuple[Status, bool]:
        """Return the status, and whether more is to come."""
        found = read_status(folder, since, session)
        going_on = found.busy
        if session is not None:
            going_on = any(turn.state == "waiting" for turn in found.turns)
        return found, going_on or (chosen and not found.turns) or not found.prices_asked

    found, more = look()
    while found.holder and more and time.monotonic() < deadline:
        time.sleep(_LOOK_AGAIN)
        found, more = look()
    log = log_file(folder) if log_file(folder).exists() else None
    if as_json:
        typer.echo(json.dumps({**found.as_json(), "log": str(log) if log else None}, indent=2))
    else:
        typer.echo("\n".join([*found.lines(), *([f"log         {log}"] if log else [])]))
    if chosen:
        in_progress = session is None and found.busy
        raise typer.Exit(0 if found.turns_accepted and not in_progress else 1)
    left = wait is not None and not found.all_accepted
    raise typer.Exit(0 if found.holder and not left else 1)


def _stop(folder: Path, *, finish: bool) -> NoReturn:
    from codex_langfuse.relay.status import read_status
    from codex_langfuse.relay.stopping import StopError, stop_relay

    try:
        stopped = stop_relay(folder, finish=finish)
    except StopError as wrong:
        refuse(str(wrong))
    if stopped is None:
        tell(f"no relay runs in {folder}")
        raise typer.Exit(0)
    left = finish and not read_status(folder).all_accepted
    tell(f"stopped process {stopped.pid}" + ("; not all turns were accepted: see --status" if left else ""))
    raise typer.Exit(1 if left else 0)


def _change_failed(folder: Path, *, discard: bool) -> NoReturn:
    from codex_langfuse.relay.state_folder import is_held
    from codex_langfuse.relay.store import FILE_NAME, Store

    number = 0
    if (folder / FILE_NAME).exists():
        store = Store(folder)
        try:
            number = store.discard_failed() if discard else store.retry_failed()
        finally:
            store.close()
    turns = "1 turn" if number == 1 else f"{number} turns"
    if not number:
        tell("no turn is set aside")
    elif discard:
        tell(f"{turns} deleted")
    elif is_held(folder):
        tell(f"{turns}: the relay delivers them now")
    else:
        tell(f"{turns}: the relay delivers them when it starts")
    raise typer.Exit(0)


def _install(options: _Options) -> NoReturn:
    from codex_langfuse.keys.key_file import key_file, variables_text
    from codex_langfuse.private_file import write_private
    from codex_langfuse.relay.install import InstallError, install

    credentials = options.credentials
    try:
        if credentials is None and options.forward is None:
            credentials = key_file()
            if not credentials.exists():
                write_private(credentials, variables_text(options.variables()))
                tell(f"wrote {credentials}, mode 0600: the keys from the environment")
            else:
                tell(f"the service takes the keys from {credentials}")
        command = [sys.executable, "-m", "codex_langfuse", "relay", *options.arguments(credentials)]
        done = install(command, os.environ)
    except (InstallError, OSError) as wrong:
        refuse(str(wrong), f"See {page_url('guide/relay')}")
    tell(f"wrote {done.file}")
    _tell_commands(done.commands, done.notes)


def _uninstall() -> NoReturn:
    from codex_langfuse.relay.install import InstallError, uninstall

    try:
        done = uninstall(os.environ)
    except (InstallError, OSError) as wrong:
        refuse(str(wrong), f"See {page_url('guide/relay')}")
    if done is None:
        tell("the relay is not installed as a service")
        raise typer.Exit(0)
    tell(f"removed {done.file}; credentials and state are left as they are")
    _tell_commands(done.commands, done.notes)


def _tell_commands(commands: Sequence[str], notes: Sequence[str]) -> NoReturn:
    """Print the commands, which are the result, on stdout: they can be piped to a shell."""
    tell("Now run:")
    for command in commands:
        typer.echo(command)
    for text in notes:
        note(text)
    raise typer.Exit(0)


def _serve(settings: "Settings", assembly: "Assembly") -> NoReturn:
    from codex_langfuse.relay.foreground import serve_until_told_to_stop
    from codex_langfuse.relay.server import SettingsError

    try:
        ended = serve_until_told_to_stop(settings, assembly)
    except SettingsError as wrong:
        refuse(str(wrong))
    except OSError as wrong:
        taken = wrong.errno == errno.EADDRINUSE
        advice = " Stop what listens there (codex-langfuse relay --stop), or give another --listen"
        error(f"cannot listen on {settings.listen}: {wrong.strerror or wrong}.{advice if taken else ''}")
        raise typer.Exit(1) from wrong
    left = ended.waiting or ended.in_progress or ended.set_aside
    raise typer.Exit(1 if settings.finish_on_stop and left else 0)
