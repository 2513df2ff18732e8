"""A server in a thread of this process."""

import asyncio
import contextlib
import socket
import threading

import uvicorn

_SECONDS_TO_START = 10
#: Seconds. Longer than clients keep an idle connection (reqwest, and so Codex: 90; httpx: 5): a request sent
#: just when the server closes it gets no answer.
_KEEP_ALIVE = 120


class ThreadServer(uvicorn.Server):
    """uvicorn's server for its own thread: another thread says when to stop, and it stops at once."""

    def __init__(self, config: uvicorn.Config):
        config.timeout_keep_alive = _KEEP_ALIVE
        super().__init__(config)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so to ``wait_until_ready``."""
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        await super().startup(sockets=sockets)
        self._ready.set()

    async def main_loop(self) -> None:
        """Do uvicorn's periodic work ten times a second until stopped."""
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
        """Return once it listens; raises ``TimeoutError``."""
        if not self._ready.wait(_SECONDS_TO_START):
            raise TimeoutError(f"the server did not start within {_SECONDS_TO_START} seconds")

    def stop(self) -> None:
        """Have `run` return; call from any thread."""
        self.should_exit = True
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # The loop is closed already.
                self._loop.call_soon_threadsafe(self._stopping.set)
