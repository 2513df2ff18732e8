"""A real Collector and the relay: after it with carry.yaml, and before it with before-relay.yaml."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

import recordings
from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.relay.assembly import Assembly
from codex_langfuse.relay.cause import NEEDS_SOMEBODY
from codex_langfuse.relay.delivery import Destination
from codex_langfuse.relay.policy import Policy
from codex_langfuse.relay.server import running_relay
from harness import web
from harness.fences.scanner import ROOT
from harness.running_relay import CLIENT, PROTOBUF, settings_for, wait_until
from harness.the_collector import complaint, find_collector
from running_collector import (
    CONFIGURATIONS,
    TOKEN,
    Carrier,
    langfuse_environment,
    running_collector,
)

pytestmark = [pytest.mark.collector, pytest.mark.slow]

RECORDED = ("0.163.0-simple", "0.169.0-subagent", "0.169.0-exec-resume")


def send(url: str) -> None:
    """Send the recordings' logs and traces, in the order in which Codex sent them."""
    for request in (request for name in RECORDED for request in recordings.read(name)):
        if request.signal != "metrics":
            answer = CLIENT.post(f"{url}/v1/{request.signal}", content=request.body, headers=PROTOBUF)
            assert answer.status_code == 200, answer.text


def seen(langfuse: RunningMock) -> list[tuple[str, ...]]:
    """Return what Langfuse shows, without what differs from run to run."""
    return sorted(
        tuple(str(each[key]) for key in ("traceId", "id", "parentObservationId", "type", "usageDetails"))
        for each in langfuse.store.observations
    )


@pytest.fixture(scope="module")
def directly(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, ...]]:
    """What Langfuse shows of the recordings without a Collector."""
    with running_mock() as langfuse:
        folder = tmp_path_factory.mktemp("relay")
        with running_relay(settings_for(langfuse, folder), Assembly(Policy())) as url:
            send(url)
        return seen(langfuse)


#: A Collector that gives log records another time, as some do: Codex's own is 0.
RESTAMPED = """\
processors:
  transform/restamp:
    log_statements:
      - set(log.time_unix_nano, log.observed_time_unix_nano + 50000000)
service: { pipelines: { logs: { processors: [memory_limiter, transform/restamp, batch] } } }
"""


@pytest.mark.parametrize("amended", ["", RESTAMPED], ids=["as it is", "with other times"])
def test_a_collector_before_the_relay_changes_nothing(
    amended: str, tmp_path: Path, directly: list[tuple[str, ...]]
) -> None:
    """It batches logs and traces apart, so they come late and together."""
    files: list[str | Path] = ["before-relay.yaml"]
    if amended:
        files.append(tmp_path / "amended.yaml")
        (tmp_path / "amended.yaml").write_text(amended)
    with running_mock() as langfuse:
        with (
            running_relay(settings_for(langfuse, tmp_path / "behind"), Assembly(Policy())) as url,
            running_collector(tmp_path, *files, environment={"RELAY_URL": url}) as collector,
        ):
            send(collector.url)
        assert seen(langfuse) == directly


@pytest.mark.parametrize(
    "names",
    [
        ("shape.yaml",),
        ("shape.yaml", "senders.yaml"),
        ("carry.yaml",),
        ("carry.yaml", "queue.yaml"),
        ("before-relay.yaml",),
    ],
    ids=str,
)
def test_a_configuration_is_valid_without_a_warning(names: tuple[str, ...]) -> None:
    assert complaint(*(CONFIGURATIONS / name for name in names)) == ""


@pytest.mark.parametrize(
    "files", [("carry.yaml",), ("carry.yaml", "queue.yaml"), ("shape.yaml", "senders.yaml")], ids=str
)
def test_a_collector_behind_the_relay_changes_nothing(
    files: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directly: list[tuple[str, ...]]
) -> None:
    with running_mock() as langfuse:
        carrier = Carrier(tmp_path, langfuse)
        monkeypatch.setenv("SSL_CERT_FILE", str(carrier.authority))
        with carrier.running(*files) as collector:
            headers = {"authorization": f"Bearer {TOKEN}"}
            destination = Destination.otlp(f"{collector.url}/v1/traces", headers)
            settings = settings_for(langfuse, tmp_path / "before", destination=destination)
            with running_relay(settings, Assembly(Policy())) as url:
                send(url)
        assert seen(langfuse) == directly


def test_the_alerts_name_metrics_that_relay_and_collector_have(tmp_path: Path) -> None:
    rules = yaml.safe_load((ROOT / "examples/prometheus/alerts.yml").read_text(encoding="utf-8"))
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    named = set(re.findall(r"\b(?:otelcol|codex_langfuse_relay)_\w+", " ".join(expressions)))
    shown = set()
    full = tmp_path / "full.yaml"
    full.write_text("exporters: { otlp_http/langfuse: { sending_queue: { queue_size: 1 } } }\n")
    with running_mock(faults=[Fault(status=401)]) as langfuse:
        environment = langfuse_environment(langfuse)
        for files in (("shape.yaml",), ("shape.yaml", full)):
            folder = tmp_path / str(len(files))
            with running_collector(folder, *files, environment=environment) as collector:
                for body in recordings.bodies("0.169.0-simple", "traces"):
                    CLIENT.post(f"{collector.url}/v1/traces", content=body, headers=PROTOBUF)
                wait_until(lambda: FAILED & metrics_at(collector.metrics_url))
                shown |= metrics_at(collector.metrics_url)
        with running_relay(settings_for(langfuse, tmp_path / "relay"), Assembly(Policy())) as url:
            shown |= metrics_at(f"{url}/metrics")
    assert named <= shown
    causes = re.findall(r'cause=~"([^"]+)"', " ".join(expressions))
    assert causes and all(set(each.split("|")) == NEEDS_SOMEBODY for each in causes)


FAILED = {"otelcol_exporter_send_failed_spans", "otelcol_exporter_enqueue_failed_spans"}


def metrics_at(url: str) -> set[str]:
    """Return the names of the metrics at an address."""
    return set(re.findall(r"^(\w+)[{ ]", web.get(url, trust_env=False).text, re.M))


def test_the_cluster_gives_the_collector_what_its_configuration_reads() -> None:
    manifest = (ROOT / "examples/kubernetes/collector.yaml").read_text(encoding="utf-8")
    deployment, service, policy = yaml.safe_load_all(manifest)
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    text = (CONFIGURATIONS / "carry.yaml").read_text(encoding="utf-8")
    given = {variable["name"]: variable["value"] for variable in container["env"]}
    assert set(re.findall(r"\$\{env:(\w+)\}", text)) <= given.keys() <= set(re.findall(r"env:(\w+)", text))
    (projected,) = [volume["projected"] for volume in pod["spec"]["volumes"] if "projected" in volume]
    files = {item["path"] for source in projected["sources"] for item in source["secret"]["items"]}
    assert files == set(re.findall(r"\$\{env:COLLECTOR_SECRETS\}/(\S+)", text))
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts["secrets"] == given["COLLECTOR_SECRETS"]
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    assert given["COLLECTOR_LISTEN"].endswith(f":{ports['otlp']}")
    assert given["COLLECTOR_HEALTH"].endswith(f":{ports['health']}")
    assert f"COLLECTOR_METRICS_PORT:-{ports['metrics']}" in text
    labels = pod["metadata"]["labels"]
    assert service["spec"]["selector"] == policy["spec"]["podSelector"]["matchLabels"] == labels


def test_the_program_needs_nothing_of_an_image() -> None:
    """Compose builds an image that holds nothing else."""
    run = subprocess.run(["ldd", find_collector()], capture_output=True, text=True)
    assert "not a dynamic executable" in run.stderr
