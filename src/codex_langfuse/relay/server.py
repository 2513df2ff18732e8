"""The relay as a running server: from the lock on its folder to the last turn it delivers."""

import asyncio
import contextlib
import logging
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from codex_langfuse.listening import Tls, listen
from codex_langfuse.relay import state_folder
from codex_langfuse.relay.admission import Address, Admission
from codex_langfuse.relay.app import AppState, make_app
from codex_langfuse.relay.assembly import Assembly
from codex_langfuse.relay.connections import Connections
from codex_langfuse.relay.delivery import BackOff, Delivery, Destination
from codex_langfuse.relay.langfuse_prices import PriceWatch
from codex_langfuse.relay.pipeline import Pipeline
from codex_langfuse.relay.price_notes import PRICES, TRACES_AT
from codex_langfuse.relay.repair import open_or_repair
from codex_langfuse.relay.store import Store, StoreError, StoreFullError

DEFAULT_MAX_DISK = 256 * 1024 * 1024
#: Seconds for deliveries once it is stopping.
SECONDS_TO_FINISH = 10.0
#: Seconds between signs of life in the state folder.
_ALIVE = 5.0
#: Seconds for requests that are under way when it is stopped.
_SECONDS_FOR_REQUESTS = 2
#: Longer than the 90 seconds after which reqwest, and so Codex, drops an idle connection: were it the relay
#: that hangs up, Codex could lose what it is just sending.
_KEEP_ALIVE = 120

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """All that makes one relay. Seconds and bytes.

    ``finish_on_stop``: turns in progress end as they are when it is stopped; without, the next start
    continues them.
    """

    listen: Address
    state: Path
    destination: Destination
    max_disk: int = DEFAULT_MAX_DISK
    token: str | None = field(default=None, repr=False)
    tls: Tls | None = None
    finish_on_stop: bool = False
    seconds_to_finish: float = SECONDS_TO_FINISH
    body_seconds: float = 20.0
    back_off: BackOff = field(default_factory=BackOff)
    back_off_of_trace: BackOff = field(default_factory=lambda: BackOff(5.0, 300.0))


class SettingsError(Exception):
    """Settings with which the relay does not start: why, and what to do."""


@dataclass(frozen=True)
class Ended:
    """How it ended: what was accepted since it was stopped, and what is left on disk.

    ``waiting`` and ``set_aside`` are turns; ``in_progress`` counts exports of turns in progress.
    """

    accepted: int
    waiting: int
    in_progress: int
    set_aside: int

    def __str__(self) -> str:
        text = f"stopped: {_counted(self.accepted, 'turn')} accepted at the end"
        kept = [
            _counted(self.waiting, "turn"),
            *([f"{_counted(self.in_progress, 'export')} of turns in progress"] if self.in_progress else []),
        ]
        text += f", {' and '.join(kept)} kept on disk for the next start"
        return f"{text}, {self.set_aside} set aside" if self.set_aside else text


def _counted(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"


def check(settings: Settings) -> None:
    """Raise ``SettingsError`` for a relay that strangers could feed."""
    try:
        open_to_others = not settings.listen.is_loopback
    except OSError as error:
        raise SettingsError(
            f"{settings.listen.host} is not an address of this machine: {error.strerror}"
        ) from error
    guarded = settings.token is not None or (settings.tls is not None and settings.tls.client_ca is not None)
    if open_to_others and not guarded:
        raise SettingsError(
            f"{settings.listen} can be reached from other machines: "
            "give --token-file, or --tls-cert, --tls-key and --tls-client-ca"
        )


async def serve(
    settings: Settings, assembly: Assembly, stop: asyncio.Event, ready: Callable[[str], None]
) -> Ended:
    """Run the relay until ``stop`` is set; ``ready`` is called with its address when it listens.

    Raises ``SettingsError``, ``StateFolderError``, ``StoreError`` or ``OSError`` when it cannot start.
    """
    check(settings)
    state_folder.prepare(settings.state)
    with (
        state_folder.held(settings.state) as last_alive,
        contextlib.closing(listen(settings.listen.host, settings.listen.port)) as listener,
        contextlib.closing(open_or_repair(settings.state, settings.max_disk)) as store,
    ):
        try:
            pipeline = Pipeline(store, assembly)
            try:
                _take_notes(store, settings, last_alive)
                return await _serve(settings, pipeline, store, listener, stop, ready)
            finally:
                pipeline.stop()
        except sqlite3.Error as error:
            raise StoreError(f"{store.path} cannot be used: {error}") from error


def _take_notes(store: Store, settings: Settings, last_alive: float | None) -> None:
    now = time.time()
    with contextlib.suppress(StoreFullError):  # Then there is all the more to deliver.
        store.note("destination", settings.destination.label, now)
        if last_alive is not None:
            store.note("gap", repr(last_alive), now)
        # What was wrong in an earlier life may be right by now.
        store.note("fault", None, now)
        store.note("no room", None, now)
        base = settings.destination.base_url
        store.note(TRACES_AT, f"{base}/trace/" if base else None, now)
        if not base:
            store.note(PRICES, None, now)


async def _serve(
    settings: Settings,
    pipeline: Pipeline,
    store: Store,
    listener: socket.socket,
    stop: asyncio.Event,
    ready: Callable[[str], None],
) -> Ended:
    delivery = Delivery(
        settings.destination,
        pipeline,
        store,
        back_off=settings.back_off,
        back_off_of_trace=settings.back_off_of_trace,
    )
    state = AppState(
        pipeline,
        store,
        delivery,
        Admission.on(settings.listen, settings.token),
        settings.max_disk,
        settings.body_seconds,
    )
    scheme = "https" if settings.tls else "http"
    host, port = listener.getsockname()[:2]
    url = f"{scheme}://{Address(host, port)}"

    def listening() -> None:
        state_folder.announce(settings.state, url)
        ready(url)

    figures = store.figures()
    if figures.waiting or figures.batches:
        text = "found on disk: turns to deliver: %d, exports of turns in progress: %d"
        logger.info(text, figures.waiting, figures.batches)
    if figures.set_aside:
        text = "%d set aside; to try them again: %s"
        logger.warning(text, sum(figures.set_aside.values()), state_folder.retry_command(settings.state))
    connections = Connections(pipeline.connection_closed)
    server = _Server(_uvicorn_config(state, connections, settings.tls), listening)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    processing = asyncio.create_task(pipeline.run())
    delivering = asyncio.create_task(delivery.run())
    aside = [asyncio.create_task(_be_alive(settings.state))]
    if settings.destination.base_url:
        watch = PriceWatch(settings.destination, pipeline, store)
        aside.append(asyncio.create_task(watch.run()))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, processing, delivering, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    for task in aside:
        task.cancel()
    await asyncio.wait(aside)
    for task in (serving, processing, delivering):
        if task.done():
            task.result()  # None of them ends by itself; raises what it died of.
    asked_at = time.monotonic()
    finish = settings.finish_on_stop or state_folder.is_to_finish(settings.state)
    connections.stopping = True
    server.should_exit = True
    await serving
    before = await pipeline.use_store(store.figures)
    await pipeline.close(finish=finish)
    await processing
    left = max(settings.seconds_to_finish - (time.monotonic() - asked_at), 0.1)
    await delivery.finish(delivering, left)
    after = await pipeline.use_store(store.figures)
    state_folder.still_alive(settings.state)
    return Ended(
        after.accepted - before.accepted,
        after.waiting,
        after.batches,
        sum(after.set_aside.values()),
    )


async def _be_alive(folder: Path) -> None:
    while True:
        state_folder.still_alive(folder)
        await asyncio.sleep(_ALIVE)


def _uvicorn_config(state: AppState, connections: Connections, tls: Tls | None) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(state),
        http=connections.protocol,  # type: ignore[arg-type]  # called as the class would be
        proxy_headers=False,
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_SECONDS_FOR_REQUESTS,
        **(tls.uvicorn_options() if tls else {}),
    )


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves signals to its caller and says when it listens."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]):
        super().__init__(config)
        self._listening = listening

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._listening()


@contextlib.contextmanager
def running_relay(settings: Settings, assembly: Assembly) -> Iterator[str]:
    """Run the relay in a thread for the length of a ``with`` block, and yield its address.

    Raises what ``serve`` raises. Leaving the block stops it as SIGTERM would.
    """
    address: list[str] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    died: list[BaseException] = []

    def ready(url: str) -> None:
        address.append(url)
        started.set()

    def run() -> None:
        with contextlib.closing(loop):
            try:
                loop.run_until_complete(serve(settings, assembly, stop, ready))
            except BaseException as error:
                died.append(error)
            finally:
                started.set()

    thread = threading.Thread(target=run, name="relay", daemon=True)
    thread.start()
    started.wait()
    try:
        if died:
            raise died[0]
        yield address[0]
    finally:
        with contextlib.suppress(RuntimeError):  # The loop is closed already.
            loop.call_soon_threadsafe(stop.set)
        thread.join()
    if died:
        raise died[0]
