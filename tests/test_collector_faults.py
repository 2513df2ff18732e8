"""What is lost when something fails: what a Collector acknowledged and what arrived, compared by span id."""

import hashlib
import re
import resource
import ssl
import threading
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.relay.delivery import Destination
from harness import web
from harness.fences.pages import CHINESE, DOCS
from harness.running_collector import (
    CONFIGURATIONS,
    TOKEN,
    Carrier,
    RunningCollector,
    free_port,
    langfuse_environment,
    running_collector,
)
from harness.running_relay import PROTOBUF, logs_export, post_logs, relay_for, wait_until

pytestmark = [pytest.mark.collector, pytest.mark.slow]


def turn(turn_id: str) -> bytes:
    """Return an export with a turn as Codex 0.166 and newer sends it, without tools."""
    export = ExportTraceServiceRequest()
    span = export.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id = uuid.uuid4().bytes, uuid.uuid4().bytes[:8]
    span.name, span.start_time_unix_nano, span.end_time_unix_nano = "run_turn", 10**18, 10**18 + 10**9
    for key in ("turn.id", "conversation.id"):
        span.attributes.add(key=key).value.string_value = turn_id
    return export.SerializeToString()


def shaped_id(turn_id: str) -> str:
    """Return the id of the observation that shape.yaml makes of ``turn``."""
    return hashlib.sha256(turn_id.encode()).hexdigest()[:16]


def carried(span_id: str, environment: str) -> bytes:
    """Return an export with one span, as a relay sends it."""
    export = ExportTraceServiceRequest()
    attribute = export.resource_spans.add().resource.attributes.add(key="deployment.environment.name")
    attribute.value.string_value = environment
    span = export.resource_spans[0].scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = bytes(8) + bytes.fromhex(span_id), bytes.fromhex(span_id), "turn"
    span.start_time_unix_nano, span.end_time_unix_nano = 10**18, 10**18 + 10**9
    return export.SerializeToString()


def arrived(langfuse: RunningMock) -> set[str]:
    """Return the ids of the observations that Langfuse shows."""
    return {each["id"] for each in langfuse.store.observations}


class Sender:
    """Sends one turn after the other, each once, and remembers which were acknowledged, by span id."""

    def __init__(
        self, headers: Mapping[str, str] | None = None, context: ssl.SSLContext | bool = True
    ) -> None:
        self._client = httpx.Client(
            headers={**PROTOBUF, **(headers or {})}, trust_env=False, timeout=60, verify=context
        )
        self.acknowledged: set[str] = set()
        self.answers: list[int] = []

    def shape(self, collector: RunningCollector, size: int = 0) -> None:
        """Send a turn as Codex does; ``size``: bytes of an attribute of its caller."""
        turn_id = str(uuid.uuid4())
        body = ExportTraceServiceRequest.FromString(turn(turn_id))
        if size:
            # Random, so that it is as long on disk.
            text = b64encode(uuid.uuid4().bytes * (size // 16)).decode()
            body.resource_spans[0].resource.attributes.add(key="ci.job").value.string_value = text
        self._post(collector, body.SerializeToString(), shaped_id(turn_id))

    def carry(self, collector: RunningCollector, environment: str = "prod") -> None:
        """Send a trace as a relay does."""
        span_id = uuid.uuid4().hex[:16]
        self._post(collector, carried(span_id, environment), span_id)

    def _post(self, collector: RunningCollector, body: bytes, span_id: str) -> None:
        try:
            status = self._client.post(f"{collector.url}/v1/traces", content=body).status_code
        except httpx.TransportError:
            return
        self.answers.append(status)
        if status == 200:
            self.acknowledged.add(span_id)


# --- shape: a queue on disk ---


def test_a_langfuse_that_is_down_costs_nothing(tmp_path: Path) -> None:
    port, sender = free_port(), Sender()
    with running_mock(port=port) as langfuse:
        environment = langfuse_environment(langfuse)
    with running_collector(tmp_path, "shape.yaml", environment=environment) as collector:
        for _ in range(100):
            sender.shape(collector)
        wait_until(lambda: "Exporting failed. Will retry" in collector.log)
        assert collector.metric("otelcol_exporter_queue_size") > 0
        with running_mock(port=port) as langfuse:
            wait_until(lambda: len(arrived(langfuse)) == 100, 60)
            assert arrived(langfuse) == sender.acknowledged


def test_a_collector_killed_under_load_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    sender = Sender()
    with running_mock() as langfuse:
        environment = langfuse_environment(langfuse)
        for _ in range(3):
            with running_collector(tmp_path, "shape.yaml", environment=environment) as collector:
                killer = threading.Timer(0.7, collector.kill)
                killer.start()
                while collector.process.poll() is None:
                    sender.shape(collector)
                killer.join()
        with running_collector(tmp_path, "shape.yaml", environment=environment):
            wait_until(lambda: arrived(langfuse) >= sender.acknowledged, 60)
        assert len(sender.acknowledged) > 20


def test_a_full_queue_is_refused_not_lost(tmp_path: Path) -> None:
    sender = Sender()
    small = tmp_path / "small.yaml"
    small.write_text("exporters: { otlp_http/langfuse: { sending_queue: { queue_size: 100000 } } }\n")
    with running_mock(faults=[Fault(status=503)]) as langfuse:
        environment = langfuse_environment(langfuse)
        with running_collector(tmp_path, "shape.yaml", small, environment=environment) as collector:
            while 503 not in sender.answers:
                sender.shape(collector, 2_000)
            assert collector.metric("otelcol_exporter_enqueue_failed_spans") >= 1
            langfuse.faults.clear()
            wait_until(lambda: arrived(langfuse) >= sender.acknowledged, 60)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 500])
def test_what_langfuse_refuses_is_lost_and_counted(tmp_path: Path, status: int) -> None:
    """A wrong key for a while: the Collector takes the refusal for permanent."""
    during, after = Sender(), Sender()
    with running_mock(faults=[Fault(status=status)]) as langfuse:
        environment = langfuse_environment(langfuse)
        with running_collector(tmp_path, "shape.yaml", environment=environment) as collector:
            for _ in range(20):
                during.shape(collector)
            wait_until(lambda: collector.metric("otelcol_exporter_send_failed_spans") == 20)
            assert "Dropping data" in collector.log
            langfuse.faults.clear()
            after.shape(collector)
            wait_until(lambda: arrived(langfuse) == after.acknowledged)
        assert len(during.acknowledged) == 20


def test_a_full_disk_under_the_queue_is_refused_not_lost(tmp_path: Path) -> None:
    """No file of the Collector may grow beyond the limit, as on a disk that is full."""
    sender = Sender()
    with running_mock(faults=[Fault(status=503)]) as langfuse:
        environment = langfuse_environment(langfuse)
        with running_collector(tmp_path, "shape.yaml", environment=environment) as collector:
            for _ in range(10):
                sender.shape(collector, 2_000)
            _, unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, (400_000, unlimited))
            for _ in range(1000):
                sender.shape(collector, 20_000)
                if sender.answers[-1] != 200:
                    break
            assert sender.answers[-1] == 503, collector.log[-2000:]
            assert collector.metric("otelcol_exporter_enqueue_failed_spans") >= 1
            resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
            langfuse.faults.clear()
            wait_until(lambda: arrived(langfuse) >= sender.acknowledged, 60)


# --- carry: no queue, Langfuse's answer goes back ---


def relay_of(carry: Carrier, token: str | None = TOKEN, **headers: str) -> Sender:
    """Return a relay, as far as the Collector sees one."""
    if token:
        headers["authorization"] = f"Bearer {token}"
    return Sender(headers, ssl.create_default_context(cafile=carry.authority))


@pytest.fixture
def carrier(tmp_path: Path) -> Iterator[tuple[Carrier, RunningMock]]:
    with running_mock() as langfuse:
        yield Carrier(tmp_path, langfuse), langfuse


def test_only_who_has_a_token_may_send(carrier: tuple[Carrier, RunningMock]) -> None:
    carry, langfuse = carrier
    with carry.running() as collector:
        for token, status in ((TOKEN, 200), ("token-of-nobody", 401), (None, 401)):
            sender = relay_of(carry, token)
            sender.carry(collector)
            assert sender.answers == [status]
        plain = web.post(f"{collector.url.replace('https', 'http')}/v1/traces", trust_env=False)
        assert plain.status_code == 400
    assert len(arrived(langfuse)) == 1


@pytest.mark.parametrize(
    ("status", "seen"),
    [(status, status) for status in (400, 401, 403, 404, 429, 500)]
    + [(413, 500), (502, 503), (503, 503), (504, 503)],
)
def test_langfuses_own_answer_goes_back(carrier: tuple[Carrier, RunningMock], status: int, seen: int) -> None:
    carry, langfuse = carrier
    langfuse.faults.add(Fault(status=status))
    with carry.running() as collector:
        sender = relay_of(carry)
        sender.carry(collector)
        assert sender.answers == [seen]


def test_a_team_has_a_project_of_its_own(carrier: tuple[Carrier, RunningMock]) -> None:
    carry, langfuse = carrier
    carry.set_key("langfuse", "a2V5OndyaXR0ZW5faW50b190aGVfbG9n")
    with carry.running() as collector:
        payments, others = relay_of(carry, team="payments"), relay_of(carry, team="search")
        for sender in (payments, others, relay_of(carry)):
            sender.carry(collector)
        assert payments.answers == [200] and others.answers == [401]
    assert arrived(langfuse) == payments.acknowledged
    sent_with = [request.header_values()["authorization"] for request in langfuse.store.requests]
    assert sent_with == [f"Basic {carry.right}", *["Basic a2V5OndyaXR0ZW5faW50b190aGVfbG9n"] * 2]


@pytest.mark.parametrize("docs", [DOCS, CHINESE], ids=["en", "zh"])
def test_an_environment_has_a_project_of_its_own(
    carrier: tuple[Carrier, RunningMock], tmp_path: Path, docs: Path
) -> None:
    """With the condition that the page says to replace, and the one to put there."""
    carry, langfuse = carrier
    carry.set_key("langfuse", "a2V5OndyaXR0ZW5faW50b190aGVfbG9n")
    page = (docs / "deploy/collector.md").read_text(encoding="utf-8")
    by_team, by_environment = re.findall(r"`([^`]+\] == \"\w+\")`", page)
    text = (CONFIGURATIONS / "carry.yaml").read_text(encoding="utf-8")
    assert text.count(by_team) == 2
    file = tmp_path / "by-environment.yaml"
    file.write_text(text.replace(by_team, by_environment))
    with carry.running(file) as collector:
        staging, others = relay_of(carry), relay_of(carry, team="payments")
        staging.carry(collector, "staging")
        others.carry(collector, "prod")
    assert staging.answers == [200] and others.answers == [401]
    assert arrived(langfuse) == staging.acknowledged


def test_killed_under_load_it_has_acknowledged_nothing_that_is_lost(
    carrier: tuple[Carrier, RunningMock],
) -> None:
    carry, langfuse = carrier
    sender = relay_of(carry)
    for _ in range(3):
        with carry.running() as collector:
            killer = threading.Timer(0.7, collector.kill)
            killer.start()
            while collector.process.poll() is None:
                sender.carry(collector)
            killer.join()
    assert len(sender.acknowledged) > 20
    assert sender.acknowledged <= arrived(langfuse)


def test_keys_are_rotated_at_the_collector_while_turns_flow(
    carrier: tuple[Carrier, RunningMock], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Langfuse's key, then the relay's token, is wrong for a while: the relay keeps the turns meanwhile."""
    carry, langfuse = carrier
    monkeypatch.setenv("SSL_CERT_FILE", str(carry.authority))
    sent: list[str] = []
    with carry.running() as collector:
        headers = {"authorization": f"Bearer {TOKEN}"}
        destination = Destination.otlp(f"{collector.url}/v1/traces", headers)
        with relay_for(langfuse, tmp_path / "relay", destination=destination) as url:

            def flow(until: Callable[[], object]) -> None:
                def one_more() -> object:
                    sent.append(f"turn {len(sent)}")
                    assert post_logs(url, logs_export(sent[-1])).status_code == 200
                    return until()

                wait_until(one_more)

            def waiting() -> bool:
                shown = web.get(f"{url}/metrics", trust_env=False).text
                return 'destination_fault{cause="keys"} 1' in shown

            for file, wrong, right in (
                ("langfuse", "b2xkOmtleQ==", carry.right),
                ("senders", "another-token", TOKEN),
            ):
                flow(lambda: langfuse.store.observations)
                carry.set_key(file, wrong)
                flow(waiting)
                carry.set_key(file, right)
                flow(lambda: not waiting())
            wait_until(lambda: len(langfuse.store.observations) >= len(sent))
    assert len(arrived(langfuse)) == len(sent)


def test_a_token_is_withdrawn_by_another_not_by_an_empty_file(
    carrier: tuple[Carrier, RunningMock],
) -> None:
    carry, _ = carrier
    sender = relay_of(carry)

    def refused() -> bool:
        sender.carry(collector)
        return sender.answers[-1] == 401

    with carry.running() as collector:
        carry.set_key("senders", "")
        wait_until(lambda: "keeping last value" in collector.log)
        assert not refused()
        carry.set_key("senders", "another-token\n")
        wait_until(refused)
