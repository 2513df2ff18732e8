"""What a turn costs on each OpenTelemetry route: processor time of what you run, and what Langfuse is sent.

The newest recorded turn is replayed for many users at once, each with other ids. Processor time is that
of the relay's and the Collector's own processes, so the generator and the mock Langfuse are not in it.
"""

import contextlib
import gzip
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import psutil

import recordings
from codex_langfuse.exports import spans_in
from codex_langfuse.mock.server import RunningMock, running_mock
from running_collector import TOKEN, Carrier, langfuse_environment, running_collector

USERS = (1, 100, 1000)
ROUTES = ("shape", "relay", "carry")
_ID = re.compile(rb"[0-9a-f]{8}(?=-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})")


@dataclass(frozen=True)
class Cost:
    """What the turns of a run cost: processor time of relay and Collector, in seconds, and what was sent."""

    turns: int
    relay: float
    collector: float
    bytes: int
    observations: int
    seconds: float


def turn() -> str:
    """Return the name of the recording that is replayed."""
    return list(recordings.simple_turns().values())[-1]


def exports(user: int) -> list[tuple[str, bytes]]:
    """Return the signals and bodies of a turn, under ids that no other user has."""
    salt = f"{user:08x}".encode()
    found: list[tuple[str, bytes]] = []
    for request in recordings.read(turn()):
        if request.signal != "metrics":
            body = _ID.sub(salt, request.body)
            for trace_id in _trace_ids():
                body = body.replace(trace_id, user.to_bytes(4) + trace_id[4:])
            found.append((request.signal, body))
    return found


@cache
def _trace_ids() -> frozenset[bytes]:
    return frozenset(bytes.fromhex(span.trace_id) for span in spans_in(recordings.bodies(turn(), "traces")))


def direct() -> tuple[int, int]:
    """Return the bytes and the observations of one turn on the direct route."""
    bodies = recordings.bodies(turn(), "traces")
    return sum(map(len, bodies)), len(spans_in(bodies))


def measure(route: str, users: int) -> Cost:
    """Replay a turn of each of ``users`` users at once, of one user 20 in a row; return what they cost.

    Raises:
        RuntimeError: an export was refused, or not every turn arrived.
    """
    turns = [exports(user) for user in range(users if users > 1 else 20)]
    with tempfile.TemporaryDirectory() as folder, running_mock() as langfuse:
        with _running(route, Path(folder), langfuse) as (url, relay, collector):
            before = [_processor(process) for process in (relay, collector)]
            started = time.perf_counter()
            with (
                ThreadPoolExecutor(min(users, 8)) as pool,
                httpx.Client(trust_env=False, timeout=120) as client,
            ):

                def send(bodies: list[tuple[str, bytes]]) -> None:
                    for signal, body in bodies:
                        if signal == "logs" and relay is None:
                            continue
                        answer = client.post(
                            f"{url}/v1/{signal}",
                            content=body,
                            headers={"content-type": "application/x-protobuf"},
                        )
                        if answer.status_code != 200:
                            raise RuntimeError(f"{route}: {answer.status_code} {answer.text}")

                list(pool.map(send, turns))
            _wait_for(lambda: len(langfuse.store.traces) >= len(turns), route)
            seconds = time.perf_counter() - started
            after = [_processor(process) for process in (relay, collector)]
        requests = langfuse.store.requests
        return Cost(
            len(turns),
            after[0] - before[0],
            after[1] - before[1],
            sum(len(_uncompressed(request.body)) for request in requests),
            len(langfuse.store.observations),
            seconds,
        )


def _uncompressed(body: bytes) -> bytes:
    # Turns that differ only in their ids would look smaller than any reader's.
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body


def _processor(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    times = process.cpu_times()
    return float(times.user + times.system)


def _wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not every turn arrived")
        time.sleep(0.2)


@contextlib.contextmanager
def _running(
    route: str, folder: Path, langfuse: RunningMock
) -> Iterator[tuple[str, psutil.Process | None, psutil.Process | None]]:
    """Run what a route needs; yield where Codex sends to, and the processes of relay and Collector."""
    with contextlib.ExitStack() as stack:
        if route == "shape":
            environment = langfuse_environment(langfuse)
            collector = stack.enter_context(running_collector(folder, "shape.yaml", environment=environment))
            yield collector.url, None, psutil.Process(collector.process.pid)
        elif route == "relay":
            keys = {"LANGFUSE_PUBLIC_KEY": langfuse.public_key, "LANGFUSE_SECRET_KEY": langfuse.secret_key}
            relay = stack.enter_context(_relay(folder, {"LANGFUSE_BASE_URL": langfuse.url, **keys}))
            yield relay[0], relay[1], None
        else:
            carrier = Carrier(folder, langfuse)
            collector = stack.enter_context(carrier.running())
            token = folder / "token"
            token.touch(mode=0o600)
            token.write_text(f"Bearer {TOKEN}")
            forward = (
                "--forward",
                f"{collector.url}/v1/traces",
                "--forward-header",
                f"authorization=@{token}",
            )
            relay = stack.enter_context(_relay(folder, {"SSL_CERT_FILE": str(carrier.authority)}, *forward))
            yield relay[0], relay[1], psutil.Process(collector.process.pid)


@contextlib.contextmanager
def _relay(folder: Path, variables: Mapping[str, str], *options: str) -> Iterator[tuple[str, psutil.Process]]:
    command = [sys.executable, "-m", "codex_langfuse", "relay", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        [*command, "--state", str(folder / "state"), "--max-disk", "4096", *options],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()
