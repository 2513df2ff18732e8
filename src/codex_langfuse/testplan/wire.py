"""The wire between Codex and Langfuse, made visible: a proxy that records what passes, and passes it on.

Codex reaches it through ``HTTPS_PROXY`` and names the host it wants. A host that is routed is spoken to with
TLS, under a certificate of a throw-away authority that Codex is told to trust, and every request is handed on
to where the route leads: the mock, or the Langfuse of the person who tests. So the address in a configuration
stays the address that runs. Any other host is refused and remembered.
"""

import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import trustme

#: What concerns one connection only, and is not handed on.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "transfer-encoding",
        "upgrade",
    }
)
_CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"
#: As those, and what no longer holds once httpx has read an answer.
_NOT_ANSWERED = _HOP_BY_HOP | {"content-encoding", "content-length", "date", "server"}


@dataclass
class Exchange:
    """A request, and how it was answered; ``status`` is None as long as it is not.

    ``origin`` is scheme, host and port as in ``https://cloud.langfuse.com``; header names are in lower case,
    and values of one name are joined by a comma; ``client`` is the name in the client's certificate, if it
    showed one.
    """

    origin: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    client: str | None = None
    status: int | None = None
    answer: bytes = b""

    @property
    def host(self) -> str:
        """The host of the origin, without its port."""
        return urlsplit(self.origin).hostname or ""


@dataclass(frozen=True)
class Upstream:
    """Where requests to an origin really go, and with which TLS the origin is spoken for.

    ``address`` has no path; without one, ``status`` is the answer. Without ``context`` the wire's own
    authority vouches for the host. What is not ``recorded`` passes unseen.
    """

    address: str
    context: ssl.SSLContext | None = None
    recorded: bool = True
    status: int = 403


@dataclass
class Wire:
    """A running proxy.

    ``url`` is its address, ``authority`` the file (PEM) with its certificate authority. ``exchanges`` are all
    requests since the last ``clear``, oldest first; ``refused`` the hosts that led nowhere; ``handshakes``
    the TLS handshakes that failed, each as the server saw it; ``connected_hosts`` all that it was asked for,
    even if no request followed.
    """

    url: str
    authority: Path
    exchanges: list[Exchange] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    handshakes: list[str] = field(default_factory=list)
    connected_hosts: set[str] = field(default_factory=set)
    _routes: dict[str, Upstream] = field(default_factory=dict)
    _stands_for: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make Codex and Python use the wire, whatever they ask for."""
        return {
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), self.url),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
            **dict.fromkeys(("SSL_CERT_FILE", "CODEX_CA_CERTIFICATE"), str(self.authority)),
        }

    def clear(self) -> None:
        """Forget routes and what has passed."""
        self._routes.clear()
        self._stands_for = ""
        self.exchanges.clear()
        self.refused.clear()
        self.handshakes.clear()
        self.connected_hosts.clear()

    def route(self, address: str, upstream: str, context: ssl.SSLContext | None = None) -> None:
        """Lead requests to the origin of ``address`` to ``upstream``."""
        self._routes[origin_of(address)] = Upstream(upstream, context)

    def pass_unseen(self, address: str) -> None:
        """Hand on requests to the origin of ``address`` as they are, and record none."""
        origin = origin_of(address)
        self._routes[origin] = Upstream(origin, recorded=False)

    def stand_for(self, address: str) -> None:
        """Take requests to the wire itself, from one who uses no proxy, for requests to ``address``."""
        self._stands_for = origin_of(address)

    @property
    def stands_for(self) -> str:
        """The origin that requests to the wire itself are for; empty for none."""
        return self._stands_for

    def find(self, origin: str) -> Upstream | None:
        """Return the route of ``origin``; None if there is none."""
        return self._routes.get(origin)

    def to(self, address: str) -> list[Exchange]:
        """Return the requests to the origin of ``address``, oldest first."""
        origin = origin_of(address)
        return [exchange for exchange in self.exchanges if exchange.origin == origin]


_Wire = TypeVar("_Wire", bound=Wire)


def origin_of(address: str) -> str:
    """Return scheme, host and port of an address, the port left out where it is the scheme's own."""
    parts = urlsplit(address)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, usual) else "")


@contextmanager
def running_wire(
    folder: Path, make: Callable[[str, Path], _Wire], *, trust_env: bool = True
) -> Iterator[_Wire]:
    """Run a wire on a free loopback port for the length of a ``with`` block; its files go to ``folder``.

    ``make`` makes it of its ``url`` and ``authority``: ``Wire``, or one that finds its routes otherwise. With
    ``trust_env``, what it hands on goes by the proxies and authorities of this process' environment.
    """
    authority = trustme.CA(organization_name="codex-langfuse test plan")
    file = folder / "wire-authority.pem"
    authority.cert_pem.write_to_path(str(file))

    class Handler(_Handler):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    wire = make(f"http://127.0.0.1:{server.server_port}", file)
    Handler.wire, Handler.contexts = wire, _Contexts(authority)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    with httpx.Client(timeout=60, trust_env=trust_env) as client:
        Handler.client = client
        thread.start()
        try:
            yield wire
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Contexts:
    """TLS contexts by host, each made when it is first asked for."""

    def __init__(self, authority: trustme.CA):
        self._authority = authority
        self._known: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()

    def of(self, host: str) -> ssl.SSLContext:
        with self._lock:
            if host not in self._known:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                self._authority.issue_cert(host).configure_cert(context)
                self._known[host] = context
            return self._known[host]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wire: Wire
    client: httpx.Client
    contexts: _Contexts
    tunnel: str | None = None
    certificate: str | None = None

    def do_CONNECT(self) -> None:
        host, _, port = self.path.rpartition(":")
        self.wire.connected_hosts.add(host.strip("[]"))
        plain = self.wire.find(origin_of(f"http://{host}:{port}"))
        if plain is not None and not plain.recorded:
            # A WebSocket without TLS: Codex asks a proxy for a tunnel.
            self.wfile.write(_CONNECTED)
            with suppress(OSError), socket.create_connection((host.strip("[]"), int(port))) as upstream:
                _carry(self.connection, upstream)
            self.close_connection = True
            return
        origin = origin_of(f"https://{host}:{port}")
        route = self.wire.find(origin)
        if route is None:
            self._refuse(origin)
            return
        self.wfile.write(_CONNECTED)
        self.wfile.flush()
        context = route.context or self.contexts.of(host.strip("[]"))
        try:
            inside = context.wrap_socket(self.connection, server_side=True)
        except OSError as error:  # ssl.SSLError is one.
            self.wire.handshakes.append(getattr(error, "reason", None) or str(error))
            self.close_connection = True
            return
        self.connection = inside
        self.rfile, self.wfile = inside.makefile("rb"), inside.makefile("wb")
        self.tunnel, self.certificate = origin, _name_in(inside)
        self.close_connection = False

    def finish(self) -> None:
        """Close, without complaint about a client that has left."""
        with suppress(OSError):
            super().finish()
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.close()

    def _pass(self) -> None:
        # A proxy is asked for a whole address; a server, which the wire is for the relay, for a path.
        as_proxy = not self.tunnel and not self.path.startswith("/")
        origin = self.tunnel or (origin_of(self.path) if as_proxy else self.wire.stands_for)
        route = self.wire.find(origin)
        if route is None:
            self._refuse(origin)
            return
        path = "/" + self.path.split("/", 3)[3] if as_proxy else self.path
        headers = [(name.lower(), value) for name, value in self.headers.items()]
        # A host that is named stays, so that the answer is the one of that host.
        left_out = _HOP_BY_HOP if self.tunnel or as_proxy else _HOP_BY_HOP | {"host"}
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        joined = {name: ", ".join(self.headers.get_all(name, ())) for name, _ in headers}
        exchange = Exchange(origin, self.command, path, joined, body, self.certificate)
        if as_proxy:
            self.wire.connected_hosts.add(exchange.host)
        if route.recorded:
            self.wire.exchanges.append(exchange)
        if not route.address:
            exchange.status = route.status
            self._answer_empty(route.status)
            return
        request = httpx.Request(
            self.command,
            route.address + path,
            headers=[
                (name.encode(), value.encode("latin-1")) for name, value in headers if name not in left_out
            ],
            content=body,
        )
        try:
            answer = self.client.send(request)
        except httpx.HTTPError:
            self.close_connection = True  # As one whose server hangs up.
            return
        exchange.answer, exchange.status = answer.content, answer.status_code
        self.send_response_only(answer.status_code)
        for name, value in answer.headers.multi_items():
            if name not in _NOT_ANSWERED:
                self.send_header(name, value)
        self.send_header("content-length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = do_HEAD = _pass  # noqa: N815 - named by http.server

    def _refuse(self, origin: str) -> None:
        self.wire.refused.append(origin)
        self._answer_empty(403)
        self.close_connection = True

    def _answer_empty(self, status: int) -> None:
        self.send_response_only(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def handle(self) -> None:
        """Serve a connection, without complaint about a client that leaves in the middle."""
        try:
            super().handle()
        except (OSError, ValueError):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Stay silent: ``Wire.exchanges`` is the record."""


def _carry(one: socket.socket, other: socket.socket) -> None:
    """Hand on what either sends to the other, until one of them closes."""
    while True:
        for sender in select.select([one, other], [], [])[0]:
            sent = sender.recv(65536)
            if not sent:
                return
            (other if sender is one else one).sendall(sent)


def _name_in(connection: ssl.SSLSocket) -> str | None:
    certificate: dict[str, Any] = connection.getpeercert() or {}
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "email")]
    subject = [
        value for group in certificate.get("subject", ()) for name, value in group if name == "commonName"
    ]
    return next(iter(names + subject), None)
