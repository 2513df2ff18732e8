"""The TCP connections of the relay: their names, how many there may be, and who closed one."""

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

#: Connections at once; one more closes the one that does the least. A process may have 1,024 files open.
MOST_CONNECTIONS = 400
#: Seconds from the first byte of a request, or from the connection's first, to the last of its headers.
SECONDS_FOR_HEADERS = 10.0
#: Seconds: reqwest, and so Codex, closes a connection that was idle for 90; then it means nothing.
_IDLE = 85.0


class Connections:
    """Those that are open."""

    def __init__(self, closed: Callable[[str], None]):
        """``closed`` is called with the name of a connection that gave exports and was closed by its sender.

        It is called after the last of these exports was dealt with, and not when the sender was idle for so
        long that it closes every connection.
        """
        self._closed = closed
        self._open: set[Connection] = set()
        #: Set when the relay stops: what is closed from then on says nothing of the senders.
        self.stopping = False

    def protocol(self, **named: Any) -> "Connection":
        """Make the protocol of a new connection; ``named`` is what uvicorn gives."""
        return Connection(self, **named)

    def opened(self, connection: "Connection") -> None:
        """Count a connection, and close another one if they are too many."""
        self._open.add(connection)
        if len(self._open) > MOST_CONNECTIONS:
            least = min(self._open - {connection}, key=Connection.standing)
            (least if least.may_go else connection).transport.abort()

    def gone(self, connection: "Connection") -> None:
        """Forget a connection; tell of its end if that says something of its sender."""
        self._open.discard(connection)
        idle = time.monotonic() - connection.last_export
        if connection.closed_by_sender and not self.stopping and idle < _IDLE:
            self._closed(connection.name)


class Connection(H11Protocol):
    """uvicorn's protocol, with a name, and with a limit on how long a request's headers take."""

    def __init__(self, connections: Connections, **named: Any):
        super().__init__(**named)
        self._connections = connections
        self._since = time.monotonic()
        self._headers_due: asyncio.TimerHandle | None = None
        self._exports = 0
        self._lost = False
        #: Unlike any other's, also of another process.
        self.name = secrets.token_hex(8)
        self.closed_by_sender = False
        #: On the monotonic clock; long ago, if there was none.
        self.last_export = float("-inf")
        # What the application finds in its scope.
        self.app_state = {"connection": self}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Take part in the count, and wait for a request."""
        super().connection_made(transport)
        self._await_headers()
        self._connections.opened(self)

    def data_received(self, data: bytes) -> None:
        """Read on, and know whether a request's headers are whole."""
        if not self._in_request and self._headers_due is None:
            self._await_headers()
        super().data_received(data)
        if self._in_request and self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None
        self._since = time.monotonic()

    def eof_received(self) -> None:
        """Know that the sender closed it."""
        self.closed_by_sender = True
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Be gone, once what came by it is dealt with."""
        self.closed_by_sender = self.closed_by_sender or exc is not None
        if self._headers_due is not None:
            self._headers_due.cancel()
        super().connection_lost(exc)
        self._lost = True
        if not self._exports:
            self._connections.gone(self)

    def __enter__(self) -> "Connection":
        """Begin to deal with an export that came by this connection."""
        self._exports += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._exports -= 1
        self.last_export = time.monotonic()
        if self._lost and not self._exports:
            self._connections.gone(self)

    @property
    def _in_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def may_go(self) -> bool:
        """Whether nothing is lost that the relay has: no whole request is being worked on."""
        return not self._in_request or self.cycle.more_body

    def standing(self) -> tuple[int, float]:
        """Return what is less for a connection that can be spared sooner."""
        if not self._in_request:
            return (0 if self.cycle is None else 1), self._since
        return (2 if self.cycle.more_body else 3), self._since

    def _await_headers(self) -> None:
        self._headers_due = self.loop.call_later(SECONDS_FOR_HEADERS, self._no_headers)

    def _no_headers(self) -> None:
        if not self._in_request:
            self.transport.abort()
