"""The mock as a running server, in a thread of this process."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from codex_langfuse.listening import Tls, listen
from codex_langfuse.mock.app import Mock, make_app
from codex_langfuse.mock.faults import Fault, Faults
from codex_langfuse.mock.langfuse.auth import DEMONSTRATION_PUBLIC_KEY, DEMONSTRATION_SECRET_KEY, ApiKey
from codex_langfuse.mock.page.ledger import Ledger
from codex_langfuse.mock.page.views import Views
from codex_langfuse.mock.store import Store
from codex_langfuse.mock.visibility import IMMEDIATE, Visibility

#: Pairs for trying the refusals that a project's own pair never meets.
ORGANIZATION_KEY = ApiKey("pk-lf-organization", "sk-lf-organization", scope="organization", project_id=None)
IN_APP_AGENT_KEY = ApiKey("pk-lf-in-app-agent", "sk-lf-in-app-agent", in_app_agent=True)

_SECONDS_TO_START = 10


@dataclass(frozen=True)
class RunningMock:
    """A mock that is listening: where, with which pair of keys, and what it was sent."""

    url: str
    public_key: str
    secret_key: str
    store: Store
    faults: Faults


@contextlib.contextmanager
def running_mock(
    public_key: str | None = None,
    secret_key: str | None = None,
    langfuse: int = 4,
    host: str = "127.0.0.1",
    port: int = 0,
    store_file: str | Path | None = None,
    faults: Sequence[Fault] | None = None,
    tls: Tls | None = None,
    visibility: Visibility = IMMEDIATE,
) -> Iterator[RunningMock]:
    """Run the mock for the length of a ``with`` block.

    ``langfuse`` is the major version to answer as, 3 or 4; port 0 takes a free one; ``visibility`` is when
    the API shows what arrived. Raises ``OSError`` when the address cannot be had, ``StoreFileError`` when the
    file cannot be had or is no store. Leaving the block closes every connection, also those waiting for
    an answer.
    """
    if langfuse not in (3, 4):
        raise ValueError(f"langfuse must be 3 or 4, not {langfuse}")
    key = ApiKey(public_key or DEMONSTRATION_PUBLIC_KEY, secret_key or DEMONSTRATION_SECRET_KEY)
    listener = listen(host, port)
    with contextlib.closing(listener):
        store = Store(Path(store_file) if store_file is not None else None)
        keys = (key, ORGANIZATION_KEY, IN_APP_AGENT_KEY)
        ledger = Ledger(store, keys)
        page = Views(store, ledger, key, langfuse, host)
        mock = Mock(keys, store, Faults(list(faults or ())), page, langfuse, visibility)
        server = _Server(
            uvicorn.Config(
                make_app(mock),
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                **(tls.uvicorn_options() if tls else {}),
            )
        )
        thread = threading.Thread(target=server.run, args=([listener],), name="mock-langfuse", daemon=True)
        thread.start()
        try:
            server.wait_until_ready()
            yield RunningMock(_url(listener, tls), key.public_key, key.secret_key, store, mock.faults)
        finally:
            server.stop()
            thread.join()
            ledger.close()
            store.close()


def _url(listener: socket.socket, tls: Tls | None) -> str:
    scheme = "https" if tls else "http"
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn's server, told from another thread to stop and then stopping at once."""

    def __init__(self, config: uvicorn.Config):
        super().__init__(config)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        await super().startup(sockets=sockets)
        self._ready.set()

    async def main_loop(self) -> None:
        """Do uvicorn's chores ten times a second until told to stop."""
        assert self._stopping is not None
        counter = 0
        while not await self.on_tick(counter):
            counter = (counter + 1) % 864_000
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 0.1)
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close at once: nobody is waited for, as uvicorn's own shutdown would."""
        for server in self.servers:
            server.close()
        # One turn of the loop for the connections to notice that they are gone.
        await asyncio.sleep(0)

    def wait_until_ready(self) -> None:
        if not self._ready.wait(_SECONDS_TO_START):
            raise TimeoutError(f"the mock did not start within {_SECONDS_TO_START} seconds")

    def stop(self) -> None:
        self.should_exit = True
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # The loop is closed already.
                self._loop.call_soon_threadsafe(self._stopping.set)
