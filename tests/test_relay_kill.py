"""kill -9 at any moment: what was answered 200 arrives, and arrives once."""

import asyncio
import contextlib
import multiprocessing
import os
import random
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.mock.visibility import Visibility
from codex_langfuse.relay import delivery, pipeline
from codex_langfuse.relay.assembly import Assembly
from codex_langfuse.relay.delivery import Delivery
from codex_langfuse.relay.policy import Policy
from codex_langfuse.relay.server import Settings, running_relay, serve
from codex_langfuse.relay.status import read_status
from codex_langfuse.relay.store import Store
from harness.recorded_turns import RECORDINGS, Sent, interleaved
from harness.running_relay import (
    CLIENT,
    PROTOBUF,
    CountingAssembly,
    figures,
    logs_export,
    post_logs,
    relay_for,
    settings_for,
    wait_until,
)

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("KILLS", "60"))
SENDERS = 3
PARTS = 3
#: The longest life of a relay that is killed, in seconds.
LONGEST_LIFE = 0.2

# A process that has everything imported and is copied for each life; a start would take longer than the life.
CONTEXT = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
CONTEXT.set_forkserver_preload(
    [
        "pytest",
        "codex_langfuse.mock.server",
        "codex_langfuse.relay.server",
        "anyio._backends._asyncio",
        "httpcore",
        "uvicorn.lifespan.off",
        "uvicorn.protocols.http.h11_impl",
    ]
)


def real() -> Assembly:
    return Assembly(Policy())


def live(settings: Settings, parent: Connection) -> None:
    """Be a relay until killed."""
    asyncio.run(serve(settings, CountingAssembly(), asyncio.Event(), parent.send))


@contextlib.contextmanager
def living(target: Callable[..., None], *arguments: object) -> Iterator[str]:
    """Run a relay in a process of its own and kill it at the end of the block."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=target, args=(*arguments, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()
        ours.close()


class Codexes:
    """Programs that send turns in parts, each part once, and remember which parts were answered 200."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, set[int]] = defaultdict(set)
        self.sent = 0
        self._lock = threading.Lock()
        self._url: str | None = None
        self._up = threading.Event()
        self._done = False
        self._threads = [threading.Thread(target=self._send) for _ in range(SENDERS)]

    def __enter__(self) -> "Codexes":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done = True
        self._up.set()
        for thread in self._threads:
            thread.join()

    def point_to(self, url: str | None) -> None:
        """Send there from now on; nowhere, when ``None``."""
        self._url = url
        if url is None:
            self._up.clear()
        else:
            self._up.set()

    def whole(self) -> list[str]:
        """Return the turns of which all parts were acknowledged."""
        return [turn for turn, parts in list(self.acknowledged.items()) if len(parts) == PARTS]

    def _send(self) -> None:
        with httpx.Client(headers=PROTOBUF, timeout=60) as client:
            while not self._done:
                with self._lock:
                    self.sent += 1
                    turn = f"turn-{self.sent}"
                for part in range(1, PARTS + 1):
                    self._up.wait()
                    with contextlib.suppress(httpx.HTTPError):
                        answer = client.post(f"{self._url}/v1/logs", content=logs_export(turn, part, PARTS))
                        assert answer.status_code == 200
                        self.acknowledged[turn].add(part)


def arrivals(langfuse: RunningMock) -> dict[str, list[str]]:
    """The observations of each turn, as names; a second version of one would be a second name."""
    found = defaultdict(list)
    for observation in langfuse.store.observations:
        found[observation["name"].split()[0]].append(observation["name"])
    return found


def parts_in(name: str) -> set[int]:
    return {int(part) for part in name.partition("[")[2].rstrip("]").split(",")}


def test_nothing_is_lost_and_nothing_comes_twice(tmp_path: Path) -> None:
    chance = random.Random(1)
    state = tmp_path / "state"
    with running_mock() as langfuse:
        settings = settings_for(langfuse, state)
        troubles = [None, None, Fault(status=503, times=3), Fault(delay=0.02), Fault(hang=True, times=2)]
        with Codexes() as codexes:
            for kill in range(4 * KILLS):
                if kill >= KILLS and len(codexes.whole()) > KILLS / 3:
                    break
                langfuse.faults.clear()
                trouble = chance.choice(troubles)
                if trouble is not None:
                    langfuse.faults.add(trouble)
                with living(live, settings) as url:
                    codexes.point_to(url)
                    threading.Event().wait(chance.uniform(0, LONGEST_LIFE))
                codexes.point_to(None)
        langfuse.faults.clear()
        with relay_for(langfuse, state):
            pass
        found = arrivals(langfuse)
        # Enough happened to prove something.
        assert KILLS / 3 < len(codexes.whole()) < codexes.sent
        lost = {
            turn: (parts, found[turn])
            for turn, parts in codexes.acknowledged.items()
            if not any(parts <= parts_in(name) for name in found[turn])
        }
        assert lost == {}
        assert {turn: names for turn, names in found.items() if len(names) > 1} == {}
    numbers = figures(state)
    assert (numbers.waiting, numbers.batches, numbers.set_aside) == (0, 0, {})


# --- what Langfuse shows double -----------------------------------------------------------------------------

KILLED = 9


def before_it_is_sent() -> None:
    async def post(*_: object, **__: object) -> NoReturn:
        os._exit(KILLED)

    Delivery._post = post


def before_the_answer_comes() -> None:
    def read(*_: object) -> NoReturn:
        os._exit(KILLED)

    delivery._read = read


def before_the_acceptance_is_recorded() -> None:
    Store.accepted = lambda *_: os._exit(KILLED)


def after_the_acceptance_is_recorded() -> None:
    recorded = Store.accepted

    def record(*arguments: Any) -> None:
        recorded(*arguments)
        os._exit(KILLED)

    Store.accepted = record


def live_until(point: Callable[[], None], settings: Settings) -> None:
    """Be a relay that is gone at a point of its first delivery."""
    point()
    asyncio.run(serve(settings, CountingAssembly(), asyncio.Event(), lambda _: None))


@pytest.fixture(scope="module")
def turns_on_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a relay with one and a half requests full of turns that Langfuse did not take."""
    state = tmp_path_factory.mktemp("waiting") / "state"
    with (
        running_mock(faults=[Fault(status=503)]) as langfuse,
        relay_for(langfuse, state, seconds_to_finish=0.1) as url,
    ):
        for number in range(delivery._MOST_TURNS * 3 // 2):
            assert post_logs(url, logs_export(f"turn-{number}")).status_code == 200
    return state


@pytest.mark.parametrize(
    ("point", "double"),
    [
        (before_it_is_sent, 0),
        (before_the_answer_comes, delivery._MOST_TURNS),
        (before_the_acceptance_is_recorded, delivery._MOST_TURNS),
        (after_the_acceptance_is_recorded, 0),
    ],
)
def test_a_kill_doubles_at_most_the_turns_of_one_request(
    turns_on_disk: Path, tmp_path: Path, point: Callable[[], None], double: int
) -> None:
    """And none of those whose acceptance is recorded: counted as Langfuse's API shows it before it merges."""
    state = shutil.copytree(turns_on_disk, tmp_path / "state")
    turns = figures(state).waiting
    with running_mock(visibility=Visibility(duplicates=True)) as langfuse:
        settings = settings_for(langfuse, state)
        process = CONTEXT.Process(target=live_until, args=(point, settings), daemon=True)
        process.start()
        process.join(60)
        assert process.exitcode == KILLED
        with relay_for(langfuse, state):
            wait_until(lambda: figures(state).accepted == turns)
        shown = CLIENT.get(
            f"{langfuse.url}/api/public/v2/observations?limit=1000",
            auth=(langfuse.public_key, langfuse.secret_key),
        ).json()["data"]
        assert len({each["id"] for each in shown}) == turns
        assert len(shown) == turns + double


# --- the law ------------------------------------------------------------------------------------------------

#: How often all recordings are played; more by the variable ``KILL_ROUNDS``.
ROUNDS = int(os.environ.get("KILL_ROUNDS", "1"))
AT_THE_END = 10_000.0


class SharedClock:
    """The relay's clock in every process of a test: what the test writes into a file."""

    def __init__(self, path: Path):
        self._path = path
        self.set(1_000.0)

    def set(self, seconds: float) -> None:
        self.seconds = seconds
        fresh = self._path.with_suffix(".new")
        fresh.write_text(repr(seconds))
        fresh.replace(self._path)

    def read(self) -> float:
        return float(self._path.read_text())


@contextlib.contextmanager
def on(clock: SharedClock) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline._Clock, "now", lambda _: clock.read())
        patch.setattr(pipeline, "_CLEANING", 0.01)
        yield


def live_on(settings: Settings, clock: SharedClock, parent: Connection) -> None:
    with on(clock):
        asyncio.run(serve(settings, real(), asyncio.Event(), parent.send))


def spans_at(langfuse: RunningMock) -> set[bytes]:
    """All that was delivered, each resource with its spans as bytes."""
    return {
        group.SerializeToString(deterministic=True)
        for request in langfuse.store.requests
        if request.body and request.status == 200
        for group in ExportTraceServiceRequest.FromString(request.body).resource_spans
    }


def test_the_result_is_that_of_an_undisturbed_run(tmp_path: Path) -> None:
    """Killed at any moment, or stopped and started: id for id and byte for byte what it would have been."""
    chance = random.Random(3)
    clock = SharedClock(tmp_path / "clock")
    results = {}
    exports = interleaved(chance, ROUNDS, (0.01,))
    kills = 0
    for run in ("undisturbed", "disturbed"):
        clock.set(1_000.0)
        left, state = list(exports), tmp_path / run
        with running_mock() as langfuse:
            settings = replace(settings_for(langfuse, state), finish_on_stop=False)
            while run == "disturbed" and left:
                part = [left.pop(0) for _ in range(min(len(left), chance.randint(1, 3)))]
                with one_life(settings, clock, killed=chance.random() < 0.8) as url:
                    kills += 1
                    send(url, clock, part)
                    threading.Event().wait(chance.choice((0, 0, 0.01, 0.05)))
            with on(clock), running_relay(settings, real()) as url:
                send(url, clock, left)
                clock.set(clock.seconds + AT_THE_END)
                wait_until(lambda state=state: not read_status(state).busy)
            results[run] = spans_at(langfuse)
    assert kills > len(exports) / 4
    assert len(results["undisturbed"]) >= len(RECORDINGS)
    assert results["disturbed"] == results["undisturbed"]


@contextlib.contextmanager
def one_life(settings: Settings, clock: SharedClock, *, killed: bool) -> Iterator[str]:
    if killed:
        with living(live_on, settings, clock) as url:
            yield url
    else:
        with on(clock), running_relay(settings, real()) as url:
            yield url


def send(url: str, clock: SharedClock, exports: list[Sent]) -> None:
    with httpx.Client(headers=PROTOBUF, timeout=60) as client:
        for each in exports:
            clock.set(each.at)
            assert client.post(f"{url}/v1/{each.signal}", content=each.body).status_code == 200
