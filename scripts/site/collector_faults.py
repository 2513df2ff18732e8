"""What is lost when something fails at a Collector or behind it: acknowledged and arrived, by span id.

Somebody sends one turn after the other, each once. What is not acknowledged is the sender's: a relay sends
it again, Codex loses it.
"""

import contextlib
import hashlib
import resource
import ssl
import threading
import time
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import RunningMock, running_mock
from running_collector import (
    IN_HASTE,
    TOKEN,
    Carrier,
    RunningCollector,
    free_port,
    running_collector,
)

SENT_FAILED = "otelcol_exporter_send_failed_spans"
ENQUEUE_FAILED = "otelcol_exporter_enqueue_failed_spans"
QUEUE_SIZE = "otelcol_exporter_queue_size"
_PROTOBUF = {"content-type": "application/x-protobuf"}


def turn(turn_id: str, size: int = 0) -> bytes:
    """Return a turn as Codex 0.166 and newer sends it; ``size``: bytes that its caller adds."""
    export = ExportTraceServiceRequest()
    group = export.resource_spans.add()
    if size:
        # Random, so that it is as long on disk.
        text = b64encode(uuid.uuid4().bytes * (size // 16)).decode()
        group.resource.attributes.add(key="ci.job").value.string_value = text
    span = group.scope_spans.add().spans.add()
    span.trace_id, span.span_id = uuid.uuid4().bytes, uuid.uuid4().bytes[:8]
    span.name, span.start_time_unix_nano, span.end_time_unix_nano = "run_turn", 10**18, 10**18 + 10**9
    for key in ("turn.id", "conversation.id"):
        span.attributes.add(key=key).value.string_value = turn_id
    return export.SerializeToString()


def shaped_id(turn_id: str) -> str:
    """Return the id of the observation that shape.yaml makes of ``turn``."""
    return hashlib.sha256(turn_id.encode()).hexdigest()[:16]


def carried(span_id: str, environment: str, size: int = 0) -> bytes:
    """Return an export with one span, as a relay sends it."""
    export = ExportTraceServiceRequest()
    group = export.resource_spans.add()
    group.resource.attributes.add(key="deployment.environment.name").value.string_value = environment
    span = group.scope_spans.add().spans.add()
    if size:
        span.attributes.add(key="note").value.string_value = b64encode(
            uuid.uuid4().bytes * (size // 16)
        ).decode()
    span.trace_id, span.span_id, span.name = bytes(8) + bytes.fromhex(span_id), bytes.fromhex(span_id), "turn"
    span.start_time_unix_nano, span.end_time_unix_nano = 10**18, 10**18 + 10**9
    return export.SerializeToString()


class Sender:
    """Sends one turn after the other, each once, and remembers which were acknowledged, by span id."""

    def __init__(
        self, headers: Mapping[str, str] | None = None, context: ssl.SSLContext | bool = True
    ) -> None:
        """``context``: whom it trusts."""
        self._client = httpx.Client(
            headers={**_PROTOBUF, **(headers or {})}, trust_env=False, timeout=60, verify=context
        )
        self.acknowledged: set[str] = set()
        self.answers: list[int] = []
        self.unanswered = 0

    def shape(self, collector: RunningCollector, size: int = 0) -> None:
        """Send a turn as Codex does."""
        turn_id = str(uuid.uuid4())
        self._post(collector, turn(turn_id, size), shaped_id(turn_id))

    def carry(self, collector: RunningCollector, environment: str = "prod", size: int = 0) -> None:
        """Send a trace as a relay does."""
        span_id = uuid.uuid4().hex[:16]
        self._post(collector, carried(span_id, environment, size), span_id)

    def _post(self, collector: RunningCollector, body: bytes, span_id: str) -> None:
        try:
            status = self._client.post(f"{collector.url}/v1/traces", content=body).status_code
        except httpx.TransportError:
            self.unanswered += 1
            return
        self.answers.append(status)
        if status == 200:
            self.acknowledged.add(span_id)


def relay_of(carrier: Carrier, token: str | None = TOKEN, **headers: str) -> Sender:
    """Return a relay, as far as the Collector sees one."""
    if token:
        headers["authorization"] = f"Bearer {token}"
    return Sender(headers, ssl.create_default_context(cafile=carrier.authority))


@dataclass(frozen=True)
class Losses:
    """What became of the turns of a run, in spans.

    acknowledged: the sender was told 200. refused: it was told something else, or nothing. lost:
    acknowledged, and not in Langfuse at the end. metrics: the Collector's own, at the end of the fault.
    """

    acknowledged: int
    refused: int
    lost: int
    metrics: Mapping[str, float]
    log: str = field(repr=False)


class Rig:
    """A Collector with a configuration, a Langfuse behind it, and somebody who sends.

    ``kind``: ``shape``; ``carry``; ``queue``, which is carry with a queue. ``pause``: seconds between turns.
    ``haste``: what was not delivered is tried again at once.
    """

    def __init__(self, folder: Path, kind: str, *, haste: bool = False, pause: float = 0.0) -> None:
        """Prepare everything in ``folder``; nothing runs yet."""
        self._folder, self.kind, self._pause = folder, kind, pause
        self._port, self._arrived = free_port(), set[str]()
        with self.langfuse() as langfuse:
            self._carrier = Carrier(folder, langfuse)
        self._sender = Sender() if kind == "shape" else relay_of(self._carrier)
        self._files: list[str | Path] = ["shape.yaml"] if kind == "shape" else ["carry.yaml"]
        if kind == "queue":
            self._files.append("queue.yaml")
        if haste and self.has_queue:
            self.amend(IN_HASTE)

    @property
    def has_queue(self) -> bool:
        """Whether the Collector keeps what it acknowledged on its own disk."""
        return self.kind != "carry"

    def amend(self, text: str) -> None:
        """Change the exporter's settings; ``{exporter}`` in the text is its name."""
        file = self._folder / f"{len(self._files)}.yaml"
        exporter = "otlp_http/langfuse" if self.kind == "shape" else "otlp_http/everyone_else"
        file.write_text(text.format(exporter=exporter), encoding="utf-8")
        self._files.append(file)

    @contextlib.contextmanager
    def langfuse(self, *faults: Fault) -> Iterator[RunningMock]:
        """Run the Langfuse, always at the same address."""
        with running_mock(port=self._port, faults=faults) as langfuse:
            self._langfuse = langfuse
            try:
                yield langfuse
            finally:
                self._arrived |= self._shown()

    def _shown(self) -> set[str]:
        return {each["id"] for each in self._langfuse.store.observations}

    @contextlib.contextmanager
    def collector(self) -> Iterator[RunningCollector]:
        """Run the Collector; the queue of an earlier one is still there."""
        scheme = "http" if self.kind == "shape" else "https"
        environment = {**self._carrier.environment, "COLLECTOR_STATE": str(self._folder / "queue")}
        with running_collector(
            self._folder, *self._files, environment=environment, scheme=scheme
        ) as collector:
            yield collector

    def send(self, collector: RunningCollector, size: int = 0) -> int | None:
        """Send a turn, and return the Collector's answer; None when there was none."""
        answers = len(self._sender.answers)
        if self.kind == "shape":
            self._sender.shape(collector, size)
        else:
            self._sender.carry(collector, size=size)
        time.sleep(self._pause)
        return self._sender.answers[-1] if len(self._sender.answers) > answers else None

    def send_for(self, collector: RunningCollector, seconds: float) -> None:
        """Send turns for so long, ten at least."""
        ends, count = time.monotonic() + seconds, 0
        while count < 10 or time.monotonic() < ends:
            self.send(collector)
            count += 1

    def wait_for_refusals(self, collector: RunningCollector) -> None:
        """Wait until Langfuse has refused all that the Collector acknowledged."""
        self._wait(collector, lambda: collector.metric(SENT_FAILED) >= len(self._sender.acknowledged))

    def settle(self, collector: RunningCollector) -> None:
        """Wait until all has arrived or the queue is empty, and end the Collector in order.

        After a full disk the metric of the queue's size stays above 0.
        """
        sent = self._sender.acknowledged
        self._wait(collector, lambda: sent <= self._shown() or not collector.metric(QUEUE_SIZE))
        collector.stop()

    def _wait(self, collector: RunningCollector, condition: Callable[[], bool]) -> None:
        ends = time.monotonic() + 120
        while self.has_queue and not condition():
            if time.monotonic() > ends:
                raise RuntimeError(f"waited in vain: {collector.log[-2000:]}")
            time.sleep(0.05)

    def losses(self, metrics: Mapping[str, float], collector: RunningCollector) -> Losses:
        """Compare what was acknowledged and what arrived."""
        sender = self._sender
        return Losses(
            len(sender.acknowledged),
            sum(status != 200 for status in sender.answers) + sender.unanswered,
            len(sender.acknowledged - self._arrived),
            metrics,
            collector.log,
        )


def _metrics(collector: RunningCollector) -> dict[str, float]:
    return {name: collector.metric(name) for name in (SENT_FAILED, ENQUEUE_FAILED, QUEUE_SIZE)}


def down(rig: Rig, seconds: float) -> Losses:
    """Send while nobody listens at Langfuse's address for so long, then while it is there again."""
    with rig.collector() as collector:
        rig.send_for(collector, seconds)
        metrics = _metrics(collector)
        with rig.langfuse():
            rig.send_for(collector, 0)
            rig.settle(collector)
    return rig.losses(metrics, collector)


def refused(rig: Rig, seconds: float, status: int) -> Losses:
    """Send while Langfuse answers ``status`` for so long, then while all is well again."""
    with rig.langfuse(Fault(status=status)) as langfuse, rig.collector() as collector:
        rig.send_for(collector, seconds)
        rig.wait_for_refusals(collector)
        metrics = _metrics(collector)
        langfuse.faults.clear()
        rig.send_for(collector, 0)
        rig.settle(collector)
    return rig.losses(metrics, collector)


def killed(rig: Rig, seconds: float, times: int = 3) -> Losses:
    """Kill the Collector with SIGKILL while turns come as fast as it takes them, and start it again."""
    with rig.langfuse():
        for _ in range(times):
            with rig.collector() as collector:
                rig.send_for(collector, 0)
                killer = threading.Timer(seconds, collector.kill)
                killer.start()
                while collector.process.poll() is None:
                    rig.send(collector)
                killer.join()
        with rig.collector() as collector:
            metrics = _metrics(collector)
            rig.settle(collector)
    return rig.losses(metrics, collector)


def full_queue(rig: Rig) -> Losses:
    """Send to a small queue until it is full, while Langfuse takes nothing."""
    rig.amend("exporters: {{ {exporter}: {{ sending_queue: {{ queue_size: 100000 }} }} }}\n")
    with rig.langfuse(Fault(status=503)) as langfuse, rig.collector() as collector:
        _until_refused(rig, collector, 2_000)
        metrics = _metrics(collector)
        langfuse.faults.clear()
        rig.settle(collector)
    return rig.losses(metrics, collector)


def full_disk(rig: Rig) -> Losses:
    """Send while no file of the Collector may grow, as on a full disk, and Langfuse takes nothing."""
    with rig.langfuse(Fault(status=503)) as langfuse, rig.collector() as collector:
        for _ in range(10):
            rig.send(collector, 2_000)
        process = collector.process.pid
        _, unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.prlimit(process, resource.RLIMIT_FSIZE, (400_000, unlimited))
        _until_refused(rig, collector, 20_000)
        metrics = _metrics(collector)
        resource.prlimit(process, resource.RLIMIT_FSIZE, (unlimited, unlimited))
        langfuse.faults.clear()
        rig.settle(collector)
    return rig.losses(metrics, collector)


def _until_refused(rig: Rig, collector: RunningCollector, size: int) -> None:
    for _ in range(1000):
        if rig.send(collector, size) != 200:
            return
    raise RuntimeError("the Collector takes it all")


#: The faults of a real run, each with the configurations that it can befall.
FAULTS: Mapping[str, tuple[Callable[[Rig], Losses], Sequence[str]]] = {
    "down": (lambda rig: down(rig, 60), ("shape", "carry", "queue")),
    "key": (lambda rig: refused(rig, 300, 401), ("shape", "carry", "queue")),
    "error": (lambda rig: refused(rig, 30, 500), ("shape", "carry", "queue")),
    "kill": (lambda rig: killed(rig, 3), ("shape", "carry", "queue")),
    "full-queue": (full_queue, ("shape", "queue")),
    "full-disk": (full_disk, ("shape", "queue")),
}
