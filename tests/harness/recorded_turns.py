"""Recordings of Codex played as other conversations, with a clock of their own."""

import hashlib
import random
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import recordings
from codex_langfuse.relay.receiving import Signal

_UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: Recordings of several turns, of sub-agents, of failures.
RECORDINGS = (
    *("0.44.0-simple", "0.130.0-tui", "0.150.0-simple", "0.163.0-simple", "0.169.0-exec-resume"),
    *("0.169.0-subagent", "0.169.0-err-tool_exit3", "0.169.0-tui-ok"),
)


@dataclass(frozen=True)
class Sent:
    """An export of a Codex: when it comes (seconds on the relay's clock), by which connection."""

    at: float
    signal: Signal
    body: bytes
    connection: str


def another_turn(number: int, recording: str) -> list[tuple[Signal, bytes]]:
    """Make a recording one of other conversations: the signal and body of each export."""
    exports: list[tuple[Signal, bytes]] = [
        (request.signal, request.body)
        for request in recordings.read(recording)
        if request.signal != "metrics"
    ]
    trace_ids = {
        span.trace_id
        for signal, body in exports
        if signal == "traces"
        for span in recordings.each_span(ExportTraceServiceRequest.FromString(body))
    }
    either = re.compile(b"|".join([*map(re.escape, trace_ids), _UUID.pattern]), re.S)

    def other(found: re.Match[bytes]) -> bytes:
        digest = hashlib.sha256(b"%d %s" % (number, found[0])).digest()[:16]
        return digest if found[0] in trace_ids else str(uuid.UUID(bytes=digest)).encode()

    return [(signal, either.sub(other, body)) for signal, body in exports]


def interleaved(chance: random.Random, rounds: int, steps: Sequence[float]) -> list[Sent]:
    """Let many Codexes send at once; the clock goes on by one of ``steps`` before each export."""
    queues = [(name, another_turn(number, name)) for number, name in enumerate(RECORDINGS * rounds)]
    exports, now = [], 1_000.0
    while queues:
        place = chance.randrange(len(queues))
        name, queue = queues[place]
        now += chance.choice(steps)
        exports.append(Sent(now, *queue.pop(0), connection=f"{name}-{id(queue)}"))
        if not queue:
            del queues[place]
    return exports
