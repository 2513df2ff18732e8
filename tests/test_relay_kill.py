"""kill -9 at any moment: what was answered 200 arrives, and arrives once."""

import asyncio
import contextlib
import hashlib
import multiprocessing
import os
import random
import re
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import recordings
from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.relay.assembly import Assembly
from codex_langfuse.relay.policy import Policy
from codex_langfuse.relay.server import Settings, running_relay, serve
from codex_langfuse.relay.status import read_status
from harness.running_relay import PROTOBUF, CountingAssembly, logs_export, relay_for, settings_for

pytestmark = pytest.mark.slow

KILLS = 200
SENDERS = 3
PARTS = 3
#: The longest life of a relay that is killed, in seconds.
LONGEST_LIFE = 0.1

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


def counting() -> Assembly:
    return CountingAssembly()


def real() -> Assembly:
    return Assembly(Policy())


def live(settings: Settings, make_assembly: Callable[[], Assembly], parent: Connection) -> None:
    """Be a relay until killed."""
    asyncio.run(serve(settings, make_assembly(), asyncio.Event(), parent.send))


@contextlib.contextmanager
def living(settings: Settings, make_assembly: Callable[[], Assembly] = counting) -> Iterator[str]:
    """Run a relay in a process of its own and kill it at the end of the block."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=live, args=(settings, make_assembly, theirs), daemon=True)
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
            for _ in range(KILLS):
                langfuse.faults.clear()
                trouble = chance.choice(troubles)
                if trouble is not None:
                    langfuse.faults.add(trouble)
                with living(settings) as url:
                    codexes.point_to(url)
                    threading.Event().wait(chance.uniform(0, LONGEST_LIFE))
                codexes.point_to(None)
        langfuse.faults.clear()
        with relay_for(langfuse, state):
            pass
        found = arrivals(langfuse)
        whole = [turn for turn, parts in codexes.acknowledged.items() if len(parts) == PARTS]
        # Enough happened to prove something.
        assert len(whole) > KILLS
        assert len(whole) < codexes.sent
        lost = {
            turn: (parts, found[turn])
            for turn, parts in codexes.acknowledged.items()
            if not any(parts <= parts_in(name) for name in found[turn])
        }
        assert lost == {}
        assert {turn: names for turn, names in found.items() if len(names) > 1} == {}
    figures = read_status(state).figures
    assert figures is not None
    assert (figures.waiting, figures.batches, figures.set_aside) == (0, 0, {})


UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def another_turn(number: int) -> list[tuple[str, bytes]]:
    """Make a recorded turn one of another conversation: the signal and body of each export."""
    exports = [
        (signal, body)
        for signal in ("traces", "logs")
        for body in recordings.bodies("0.163.0-simple", signal)
    ]
    trace_ids = {
        span.trace_id
        for signal, body in exports
        if signal == "traces"
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }
    either = re.compile(b"|".join(map(re.escape, trace_ids)) + b"|" + UUID.pattern, re.S)

    def other(found: re.Match[bytes]) -> bytes:
        digest = hashlib.sha256(b"%d %s" % (number, found[0])).digest()[:16]
        return digest if found[0] in trace_ids else str(uuid.UUID(bytes=digest)).encode()

    return [(signal, either.sub(other, body)) for signal, body in exports]


def test_turns_of_codex_survive(tmp_path: Path) -> None:
    """The same with recordings and the relay's own assembly: each turn as if nothing had happened."""
    chance = random.Random(2)
    state = tmp_path / "state"
    turns = [another_turn(number) for number in range(15)]
    with running_mock() as langfuse:
        settings = settings_for(langfuse, state)
        with running_relay(settings, real()) as url, httpx.Client(headers=PROTOBUF, timeout=60) as client:
            for signal, body in another_turn(-1):
                client.post(f"{url}/v1/{signal}", content=body)
        (undisturbed,) = langfuse.store.traces.values()
        langfuse.store.clear()
        for exports in turns:
            answered = 0
            while answered < len(exports):
                with living(settings, real) as url, httpx.Client(headers=PROTOBUF, timeout=60) as client:
                    # Killed between two exports, or while the last one is worked on.
                    for signal, body in exports[answered : answered + chance.randint(1, 3)]:
                        assert client.post(f"{url}/v1/{signal}", content=body).status_code == 200
                        answered += 1
                    threading.Event().wait(chance.uniform(0, 0.03))
        with running_relay(settings, real()):
            pass
        traces = list(langfuse.store.traces.values())
    assert len(traces) == len(turns)
    assert {shape(each) for each in traces} == {shape(undisturbed)}


def shape(observations: list[dict]) -> tuple:
    """What a turn looks like in Langfuse but for its ids."""
    return tuple(
        sorted((each["type"], each["name"], each["startTime"], each["totalUsage"]) for each in observations)
    )
