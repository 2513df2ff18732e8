"""The telemetry recorded from real Codex versions, in ``tests/recordings/``.

One gzip'd file of JSON lines for each version and scenario; a line is one OTLP/HTTP request that Codex
sent, its body in protobuf's JSON mapping. What is there is said in ``tests/recordings/README.md``.
"""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

FOLDER = Path(__file__).resolve().parents[2] / "tests/recordings"

#: The protobuf message of each signal's request.
MESSAGES: dict[str, Any] = {
    "logs": ExportLogsServiceRequest,
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
Message = ExportLogsServiceRequest | ExportTraceServiceRequest | ExportMetricsServiceRequest


@dataclass(frozen=True)
class RecordedRequest:
    """One request that Codex sent: its signal, its body in protobuf's JSON mapping, and when.

    seconds: since the run began.
    """

    signal: Literal["logs", "traces", "metrics"]
    content: dict[str, Any]
    seconds: float = 0.0

    @cached_property
    def message(self) -> Any:
        """The body as a message that nobody changes; parsed when it is asked for, as that is slow."""
        return ParseDict(self.content, MESSAGES[self.signal]())

    @property
    def body(self) -> bytes:
        """The body as protobuf."""
        body: bytes = self.message.SerializeToString()
        return body


def names(pattern: str = "**/*") -> list[str]:
    """Return the recordings that match, such as ``*-simple``, by the names that ``read`` takes, sorted.

    Those of real use, which prove the relay, are only among them when asked for: ``real-use/*``.
    """
    found = (file.relative_to(FOLDER).as_posix() for file in FOLDER.glob(f"{pattern}.jsonl.gz"))
    wanted = (name for name in found if not name.startswith("real-use/") or pattern.startswith("real-use/"))
    return sorted(name.removesuffix(".jsonl.gz") for name in wanted)


@cache
def with_real_use() -> tuple[str, ...]:
    """Return all recordings, those of real use too."""
    return (*names(), *names("real-use/*"))


@cache
def simple_turns() -> dict[str, str]:
    """Return the recording of the same turn for each version of Codex, oldest first.

    One ``codex exec`` turn with one command and two model calls, all three signals on: as a user's Codex
    takes it (``-default``) where that is recorded, else with an unknown model over HTTP (``-simple``).
    """
    versions = {
        name.partition("-")[0]: name for pattern in ("*-simple", "*-default") for name in names(pattern)
    }
    return dict(sorted(versions.items(), key=lambda item: [int(part) for part in item[0].split(".")]))


@cache
def turns_with_a_command(version: str) -> list[str]:
    """Return the recordings of that turn for a version of Codex, over WebSocket and over HTTP."""
    return [name for kind in ("default", "http", "simple") for name in names(f"{version}-{kind}")]


@cache
def read(name: str) -> tuple[RecordedRequest, ...]:
    """Return the requests of a recording, such as ``0.163.0-simple``, in the order sent."""
    with gzip.open(FOLDER / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        requests = [json.loads(line) for line in lines]
    return tuple(RecordedRequest(each["signal"], each["body"], each["seconds"]) for each in requests)


def signals(name: str) -> set[str]:
    """Return the signals in a recording, without the time that ``read`` takes."""
    with gzip.open(FOLDER / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return set(re.findall(r'^\{"signal": ?"(\w+)"', lines.read(), re.M))


def version(name: str) -> tuple[int, ...]:
    """Return the version of Codex that a recording is of."""
    return tuple(int(part) for part in re.findall(r"[0-9]+", Path(name).name)[:3])


def bodies(name: str, signal: str) -> list[bytes]:
    """Return the bodies of a recording's requests of one signal, in the order sent."""
    return [request.body for request in read(name) if request.signal == signal]


def each_span(export: ExportTraceServiceRequest) -> Iterator[Span]:
    """Yield the spans of a decoded export."""
    return (span for group in export.resource_spans for scope in group.scope_spans for span in scope.spans)
