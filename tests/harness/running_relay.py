"""A relay in a test: an assembly that is simple to predict, exports for it, and a relay in this process."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from codex_langfuse.codex.telemetry import SpanBatch
from codex_langfuse.keys.credentials import BaseUrl, basic_authorization
from codex_langfuse.mock.langfuse.auth import DEMONSTRATION_PUBLIC_KEY, DEMONSTRATION_SECRET_KEY
from codex_langfuse.mock.server import RunningMock
from codex_langfuse.relay.admission import Address
from codex_langfuse.relay.assembly import Assembly, FinishedTurn
from codex_langfuse.relay.delivery import BackOff, Destination
from codex_langfuse.relay.server import Settings, running_relay
from codex_langfuse.relay.status import read_status
from codex_langfuse.relay.store import Figures
from harness.web import PROTOBUF

CLIENT = httpx.Client(timeout=30)
#: So that a test need not wait as a person would.
HASTE: dict[str, Any] = {"back_off": BackOff(0.02, 0.1), "back_off_of_trace": BackOff(0.02, 0.1)}


class CountingAssembly(Assembly):
    """Finishes a turn when it has seen the announced number of exports of it; see ``logs_export``."""

    dropped = foreign = 0

    def __init__(self) -> None:
        self._parts: dict[str, dict[int, int]] = {}
        self._complete: list[str] = []
        self._left: set[str] = set()

    def take(
        self,
        batch_id: int,
        request: ExportLogsServiceRequest | ExportTraceServiceRequest | SpanBatch,
        now: float,
        connection: str = "",
    ) -> None:
        assert isinstance(request, ExportLogsServiceRequest)
        for resource in request.resource_logs:
            for record in resource.scope_logs[0].log_records:
                turn, part, of = record.body.string_value.split("/")
                if turn in self._left:
                    continue
                parts = self._parts.setdefault(turn, {})
                parts.setdefault(int(part), batch_id)
                if len(parts) == int(of) and turn not in self._complete:
                    self._complete.append(turn)

    def finished(self, now: float) -> list[FinishedTurn]:
        complete, self._complete = self._complete, []
        return [self._finish(turn) for turn in complete]

    def close(self, now: float) -> list[FinishedTurn]:
        return [self._finish(turn) for turn in list(self._parts)]

    def needed_batches(self) -> set[int]:
        return {batch_id for parts in self._parts.values() for batch_id in parts.values()}

    def next_deadline(self) -> float | None:
        return None

    def already_sent(self, key: str) -> None:
        self._left.add(key)

    def _finish(self, turn: str) -> FinishedTurn:
        parts = self._parts.pop(turn)
        self._left.add(turn)
        return FinishedTurn(turn, _trace(turn, sorted(parts)), f"{len(parts)} exports")


def _trace(turn: str, parts: list[int]) -> bytes:
    digest = hashlib.sha256(turn.encode()).digest()
    export = ExportTraceServiceRequest()
    span = export.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = digest[:16], digest[16:24], f"{turn} of {parts}"
    span.start_time_unix_nano, span.end_time_unix_nano = 10**18, 10**18 + 10**9
    return export.SerializeToString()


def logs_export(turn: str, part: int = 1, of: int = 1) -> bytes:
    """Make the ``part``-th of ``of`` exports of a turn, for ``CountingAssembly``."""
    export = ExportLogsServiceRequest()
    record = export.resource_logs.add().scope_logs.add().log_records.add()
    record.body.string_value = f"{turn}/{part}/{of}"
    return export.SerializeToString()


def post_logs(url: str, body: bytes, **headers: str) -> httpx.Response:
    """Post an export of logs; header names have ``_`` for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return CLIENT.post(f"{url}/v1/logs", content=body, headers={**PROTOBUF, **named})


def settings_for(langfuse: RunningMock | str, state: Path, **changes: Any) -> Settings:
    """Make settings for a relay on a free port that delivers in haste to a mock, or to an address.

    It ends the turns in progress when it stops.
    """
    if isinstance(langfuse, RunningMock):
        url, authorization = langfuse.url, basic_authorization(langfuse.public_key, langfuse.secret_key)
    else:
        url = langfuse
        authorization = basic_authorization(DEMONSTRATION_PUBLIC_KEY, DEMONSTRATION_SECRET_KEY)
    headers = {"authorization": authorization}
    destination = Destination(BaseUrl(url).traces_endpoint, headers, url, url)
    settings = Settings(Address("127.0.0.1", 0), state, destination, finish_on_stop=True, **HASTE)
    return replace(settings, **changes)


@contextlib.contextmanager
def relay_for(langfuse: RunningMock | str, state: Path, **changes: Any) -> Iterator[str]:
    """Run a relay with a ``CountingAssembly`` in this process, and yield its address."""
    with running_relay(settings_for(langfuse, state, **changes), CountingAssembly()) as url:
        yield url


def figures(state: Path) -> Figures:
    """Return what a relay counts, as the folder of its state has it."""
    found = read_status(state).figures
    assert found is not None
    return found


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until ``condition`` holds; what it is about happens in another process or thread."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
