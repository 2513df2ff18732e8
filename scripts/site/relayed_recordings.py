"""Recorded telemetry of Codex, put through the relay's assembly, as Langfuse would show it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import recordings
from codex_langfuse.codex.telemetry import SpanBatch
from codex_langfuse.mock.langfuse.observations import observations_of
from codex_langfuse.mock.langfuse.otlp import parse_protobuf
from codex_langfuse.relay.assembly import Assembly, FinishedTurn
from codex_langfuse.relay.policy import Policy

#: What Codex recorded for the pages, and what it recorded for the relay (0.163 behind a scripted model).
SIMPLE = recordings.names("*-simple")
EVERY = recordings.names()

Batch = ExportLogsServiceRequest | ExportTraceServiceRequest
LOGS, TRACES, BOTH = ("logs",), ("traces",), ("logs", "traces")


@cache
def recording(name: str) -> tuple[tuple[str, Batch], ...]:
    """Return the batches of a recording in the order sent, each with its signal. Not to be changed."""
    return tuple(
        (request.signal, request.message) for request in recordings.read(name) if request.signal in BOTH
    )


def batches(name: str, signals: Iterable[str] = BOTH) -> list[Batch]:
    """Return the batches of a recording that are of `signals`."""
    return [batch for signal, batch in recording(name) if signal in set(signals)]


@dataclass(frozen=True)
class Relayed:
    """What became of batches: the turns that left, and their observations as Langfuse 4.16 reads them."""

    turns: Sequence[FinishedTurn]
    observations: Sequence[dict[str, Any]]
    assembly: Assembly

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the observations of a type, in the order of their beginning."""
        found = [each for each in self.observations if each["type"] == kind]
        return sorted(found, key=lambda each: each["startTime"])

    @property
    def root(self) -> dict[str, Any]:
        """Return the only observation without a parent."""
        (root,) = (each for each in self.observations if each["parentObservationId"] is None)
        return root


def observed(turns: Iterable[FinishedTurn]) -> list[dict[str, Any]]:
    """Return the observations of `turns`."""
    return [
        observation
        for turn in turns
        for observation in observations_of(parse_protobuf(turn.trace), project_id="project", received=0)
    ]


def relay(
    given: Iterable[Batch],
    policy: Policy | None = None,
    *,
    every: float = 1.0,
    prepare: Callable[[Assembly], None] | None = None,
) -> Relayed:
    """Feed batches one after the other, `every` seconds apart, and wait until every turn has left."""
    assembly = Assembly(policy or Policy())
    if prepare is not None:
        prepare(assembly)
    now = 1_000.0
    turns: list[FinishedTurn] = []
    for number, batch in enumerate(given):
        now += every
        assembly.take(number, as_received(batch), now)
        turns += assembly.finished(now)
    turns += settle(assembly)
    return Relayed(turns, observed(turns), assembly)


def as_received(batch: Batch) -> ExportLogsServiceRequest | SpanBatch:
    """Return a batch in the form in which the relay's server decodes it."""
    if isinstance(batch, ExportTraceServiceRequest):
        return SpanBatch.parse(batch.SerializeToString())
    return batch


def settle(assembly: Assembly) -> list[FinishedTurn]:
    """Return what leaves as time goes on and nothing more comes."""
    turns: list[FinishedTurn] = []
    while (deadline := assembly.next_deadline()) is not None:
        turns += assembly.finished(deadline)
    return turns


def tree(observations: Sequence[dict[str, Any]]) -> list[str]:
    """Return the observations as lines, each under its parent, indented: type, name, level, message."""
    ids = {each["id"] for each in observations}
    lines: list[str] = []

    def add(observation: dict[str, Any], depth: int) -> None:
        words = [observation["type"], observation["name"]]
        if observation["level"] != "DEFAULT":
            words += [observation["level"], observation["statusMessage"]]
        lines.append("  " * depth + " ".join(words))
        below = [each for each in observations if each["parentObservationId"] == observation["id"]]
        for each in sorted(below, key=lambda each: (each["startTime"], each["type"])):
            add(each, depth + 1)

    for observation in observations:
        if observation["parentObservationId"] not in ids:
            add(observation, 0)
    return lines
