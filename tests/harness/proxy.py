"""A proxy in place of the internet: no request of a program under test leaves the machine.

Programs reach it through ``HTTPS_PROXY`` and name the host they want, so no DNS look-up is made. It speaks
TLS as whatever host was asked for, with a throw-away certificate authority that the programs are told to
trust. Routed hosts are handed on to a local server, so ``https://cloud.langfuse.com`` in an example reaches
the mock Langfuse with no change to the example. Any other host gets a fixed answer. Everything is recorded,
so that a secret sent to the wrong host can be seen.
"""

import socket
import ssl
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from types import MappingProxyType
from urllib.parse import urlsplit

import h11
import trustme

from harness.private_authority import PrivateAuthority

LANGFUSE_HOSTS = (
    "cloud.langfuse.com",
    "us.cloud.langfuse.com",
    "jp.cloud.langfuse.com",
    "hipaa.cloud.langfuse.com",
)

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class ProxiedRequest:
    """A request as the program sent it, and how it was answered.

    ``host`` is the one the proxy was asked for, without the port; ``path`` includes the query; header names
    are in lower case.
    """

    host: str
    port: int
    method: str
    path: str
    headers: Headers
    body: bytes
    status: int
    answer: bytes

    def header(self, name: str) -> list[str]:
        """Return the values of every header called ``name`` (lower case)."""
        return [value for key, value in self.headers if key == name]


@dataclass
class TlsProxy:
    """A running proxy.

    Attributes:
        environment: the variables a program needs to use and trust it.
        requests: every request answered, oldest first. One whose answer never came, or whose program had
            left by then, is not in it.
        connected_hosts: every host asked for, even if no request followed.
    """

    url: str
    ca_bundle: Path
    routes: Mapping[str, str]
    statuses: Mapping[str, int]
    default_status: int
    direct_hosts: Sequence[str]
    requests: list[ProxiedRequest] = field(default_factory=list)
    connected_hosts: set[str] = field(default_factory=set)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make curl, Python and Codex use the proxy and trust only its authority."""
        return {
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), self.url),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(self.direct_hosts)),
            **dict.fromkeys(("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"), str(self.ca_bundle)),
        }

    def to(self, host: str) -> list[ProxiedRequest]:
        """Return the requests made to ``host``, oldest first."""
        return [request for request in self.requests if request.host == host]


@contextmanager
def tls_proxy(
    routes: Mapping[str, str],
    *,
    statuses: Mapping[str, int] | None = None,
    default_status: int = 403,
    direct_hosts: Sequence[str] = ("127.0.0.1", "localhost"),
    private: Mapping[str, PrivateAuthority] = MappingProxyType({}),
) -> Iterator[TlsProxy]:
    """Run the proxy on a free loopback port for as long as the ``with`` block lasts.

    Args:
        routes: host, or ``host:port``, to the ``http://127.0.0.1:PORT`` that answers in its place. Method,
            path, headers and body arrive there as they were sent.
        statuses: host to the status it answers with, and an empty body, when it is not routed.
        default_status: the status of every other host.
        direct_hosts: what programs reach without the proxy. Leave ``localhost`` out to route
            ``localhost:3000``.
        private: host to the authority that signs its certificate in place of the proxy's own, and whose
            certificate a program must show there.
    """
    with tempfile.TemporaryDirectory(prefix="tls-proxy-") as folder:
        authority = trustme.CA()
        bundle = Path(folder, "ca.pem")
        authority.cert_pem.write_to_path(str(bundle))
        server = _Server(authority, private)
        proxy = TlsProxy(
            url=f"http://127.0.0.1:{server.server_address[1]}",
            ca_bundle=bundle,
            routes=routes,
            statuses=statuses or {},
            default_status=default_status,
            direct_hosts=direct_hosts,
        )
        server.proxy = proxy
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Server(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    proxy: TlsProxy

    def __init__(self, authority: trustme.CA, private: Mapping[str, PrivateAuthority]) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self._authority = authority
        self._private = private
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()

    def tls_context(self, host: str) -> ssl.SSLContext:
        """Return a context with a certificate for ``host``, minted when it is first asked for."""
        with self._lock:
            if host not in self._contexts:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                private = self._private.get(host)
                if private is not None:
                    private.guard(context, host)
                else:
                    self._authority.issue_cert(host).configure_cert(context)
                context.set_alpn_protocols(["http/1.1"])
                self._contexts[host] = context
            return self._contexts[host]

    @contextmanager
    def keeping(self, connection: socket.socket) -> Iterator[None]:
        """Have ``connection`` shut down when the server closes, whoever waits on it."""
        with self._lock:
            self._sockets.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._sockets.discard(connection)

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            for connection in self._sockets:
                with suppress(OSError):
                    # Not SSLSocket.shutdown, which takes the TLS state from under a reading thread.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent about clients that leave in the middle; a fault of the proxy itself is shown."""
        if not isinstance(sys.exception(), OSError | h11.ProtocolError):
            super().handle_error(request, client_address)


class _Connection(BaseRequestHandler):
    """One connection of a program: a CONNECT tunnel with TLS inside, or plain proxied requests."""

    server: _Server
    request: socket.socket

    def handle(self) -> None:
        with self.server.keeping(self.request):
            parser = h11.Connection(h11.SERVER)
            received = _read_message(self.request, parser)
            if received is None:
                return
            head, body = received
            if head.method == b"CONNECT":
                host, port = _host_and_port(f"//{head.target.decode()}", default_port=443)
                self.server.proxy.connected_hosts.add(host)
                self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                context = self.server.tls_context(host)
                inside = context.wrap_socket(self.request, server_side=True, do_handshake_on_connect=False)
                with closing(inside), self.server.keeping(inside):
                    inside.do_handshake()
                    self._serve_tunnel(inside, host, port)
            else:
                self._serve_plain(parser, head, body)

    def _serve_tunnel(self, connection: socket.socket, host: str, port: int) -> None:
        parser = h11.Connection(h11.SERVER)
        while (received := _read_message(connection, parser)) is not None:
            head, body = received
            self._answer(connection, parser, head, body, (host, port))
            if not _next_message(parser):
                return

    def _serve_plain(self, parser: h11.Connection, head: h11.Request, body: bytes) -> None:
        """Answer requests of the form ``GET http://host/path``."""
        while True:
            target = head.target.decode("latin-1")
            host, port = _host_and_port(target, default_port=80)
            self.server.proxy.connected_hosts.add(host)
            path = "/" + "".join(target.split("/", 3)[3:])
            request = h11.Request(method=head.method, target=path, headers=head.headers.raw_items())
            self._answer(self.request, parser, request, body, (host, port))
            if not _next_message(parser):
                return
            received = _read_message(self.request, parser)
            if received is None:
                return
            head, body = received

    def _answer(
        self,
        connection: socket.socket,
        parser: h11.Connection,
        head: h11.Request,
        body: bytes,
        destination: tuple[str, int],
    ) -> None:
        proxy, (host, port) = self.server.proxy, destination
        upstream = proxy.routes.get(f"{host}:{port}", proxy.routes.get(host))
        if upstream is None:
            status = proxy.statuses.get(host, proxy.default_status)
            response = h11.Response(status_code=status, headers=[("content-length", "0")])
            answer = b""
        else:
            response, answer = self._forward(upstream, head, body)
        # Recorded before the program can see the answer, so that nobody looks too early.
        proxy.requests.append(
            ProxiedRequest(
                host=host,
                port=port,
                method=head.method.decode(),
                path=head.target.decode("latin-1"),
                headers=[(name.decode(), value.decode("latin-1")) for name, value in head.headers],
                body=body,
                status=response.status_code,
                answer=answer,
            )
        )
        connection.sendall(
            parser.send(response) + parser.send(h11.Data(data=answer)) + parser.send(h11.EndOfMessage())
        )

    def _forward(self, upstream: str, head: h11.Request, body: bytes) -> tuple[h11.Response, bytes]:
        """Hand the request on and wait, as long as it takes, for the whole answer."""
        host, port = _host_and_port(upstream, default_port=80)
        parser = h11.Connection(h11.CLIENT)
        with closing(socket.create_connection((host, port))) as server, self.server.keeping(server):
            headers = head.headers.raw_items()
            request = h11.Request(method=head.method, target=head.target, headers=headers)
            server.sendall(
                parser.send(request) + parser.send(h11.Data(data=body)) + parser.send(h11.EndOfMessage())
            )
            received = _read_message(server, parser)
        if received is None:
            raise ConnectionError(f"{upstream} closed without an answer")
        return received


def _read_message(
    connection: socket.socket, parser: h11.Connection
) -> tuple[h11.Request | h11.Response, bytes] | None:
    """Read one whole message; None when the peer has no more to say."""
    head, body = None, bytearray()
    while True:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            if parser.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                connection.sendall(parser.send(go_on))
            parser.receive_data(connection.recv(65536))
        elif isinstance(event, h11.Request | h11.Response):
            head = event
            if isinstance(event, h11.Request) and event.method == b"CONNECT":
                return head, b""
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return head, bytes(body)
        elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            return None


def _next_message(parser: h11.Connection) -> bool:
    """Make ``parser`` ready for another message; False when the connection is to be closed."""
    if parser.our_state is not h11.DONE or parser.their_state is not h11.DONE:
        return False
    parser.start_next_cycle()
    return True


def _host_and_port(url: str, default_port: int) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or default_port
