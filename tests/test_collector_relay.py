"""A real Collector and the relay: after it with carry.yaml, and before it with before-relay.yaml."""

from pathlib import Path

import httpx
import pytest

import recordings
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.relay.assembly import Assembly
from codex_langfuse.relay.policy import Policy
from codex_langfuse.relay.server import running_relay
from harness.running_collector import (
    CONFIGURATIONS,
    complaint,
    running_collector,
)
from harness.running_relay import PROTOBUF, settings_for, wait_until

pytestmark = [pytest.mark.collector, pytest.mark.slow]

RECORDED = ("0.163.0-simple", "0.169.0-subagent", "0.169.0-exec-resume")


def send(url: str, name: str) -> None:
    """Send a recording's logs and traces, in the order in which Codex sent them."""
    for request in recordings.read(name):
        if request.signal != "metrics":
            answer = httpx.post(
                f"{url}/v1/{request.signal}", content=request.body, headers=PROTOBUF, trust_env=False
            )
            assert answer.status_code == 200, answer.text


def seen(langfuse: RunningMock) -> list[tuple[str, ...]]:
    """Return what Langfuse shows, without what differs from run to run."""
    return sorted(
        tuple(str(each[key]) for key in ("traceId", "id", "parentObservationId", "type", "usageDetails"))
        for each in langfuse.store.observations
    )


@pytest.mark.parametrize("name", RECORDED)
def test_a_collector_before_the_relay_changes_nothing(name: str, tmp_path: Path) -> None:
    """It batches logs and traces apart, so they come late and together."""
    with running_mock() as langfuse:
        with running_relay(settings_for(langfuse, tmp_path / "direct"), Assembly(Policy())) as url:
            send(url, name)
        direct = seen(langfuse)
    with running_mock() as langfuse:
        with running_relay(settings_for(langfuse, tmp_path / "behind"), Assembly(Policy())) as url:
            environment = {"RELAY_URL": url}
            with running_collector(tmp_path, "before-relay.yaml", environment=environment) as collector:
                send(collector.url, name)
                exported = ("otelcol_exporter_sent_spans", "otelcol_exporter_sent_log_records")
                wait_until(lambda: all(collector.metric(each) for each in exported))
        assert seen(langfuse) == direct


@pytest.mark.parametrize(
    "names",
    [("shape.yaml",), ("shape.yaml", "senders.yaml"), ("carry.yaml",), ("before-relay.yaml",)],
    ids=str,
)
def test_a_configuration_is_valid_without_a_warning(names: tuple[str, ...]) -> None:
    assert complaint(*(CONFIGURATIONS / name for name in names)) == ""
