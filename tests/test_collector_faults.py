"""What is lost when something fails: what a Collector acknowledged and what arrived, compared by span id."""

import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import bench_results
import collector_faults
import recordings
from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.relay.delivery import Destination
from collector_faults import ENQUEUE_FAILED, FAULTS, QUEUE_SIZE, SENT_FAILED, Losses, Rig, relay_of
from harness import web
from harness.running_relay import PROTOBUF, logs_export, post_logs, relay_for, wait_until
from page_tables.comparison import TURN, directly
from running_collector import CONFIGURATIONS, TOKEN, Carrier
from translations import CHINESE, DOCS

pytestmark = [pytest.mark.collector, pytest.mark.slow]

QUEUED = ("shape", "queue")


def rig(folder: Path, kind: str) -> Rig:
    """A Collector that tries again at once: the faults of `./scripts/bench faults`, and shorter."""
    return Rig(folder, kind, haste=True)


@pytest.mark.parametrize("kind", [*QUEUED, "carry"])
def test_a_langfuse_that_is_down_costs_nothing(tmp_path: Path, kind: str) -> None:
    found = collector_faults.down(rig(tmp_path, kind), 0.3)
    assert (found.lost, bool(found.refused)) == (0, kind == "carry")
    assert found.acknowledged >= 10
    assert found.metrics[QUEUE_SIZE] > 0 or kind == "carry"
    assert ("Exporting failed. Will retry" in found.log) == (kind in QUEUED)


@pytest.mark.parametrize("kind", [*QUEUED, "carry"])
def test_killed_under_load_it_has_acknowledged_nothing_that_is_lost(tmp_path: Path, kind: str) -> None:
    found = collector_faults.killed(rig(tmp_path, kind), 0.4, times=2)
    assert found.acknowledged >= 20 and found.lost == 0


@pytest.mark.parametrize("kind", QUEUED)
@pytest.mark.parametrize("fault", [collector_faults.full_queue, collector_faults.full_disk])
def test_a_full_queue_or_disk_is_refused_not_lost(
    tmp_path: Path, kind: str, fault: Callable[[Rig], Losses]
) -> None:
    found = fault(rig(tmp_path, kind))
    assert found.refused >= 1 and found.lost == 0
    assert found.metrics[ENQUEUE_FAILED] >= 1


@pytest.mark.parametrize("kind", QUEUED)
def test_with_a_queue_what_langfuse_refuses_is_lost_and_counted(tmp_path: Path, kind: str) -> None:
    """A wrong key for a while, or an error of Langfuse: the Collector takes it for permanent."""
    one = rig(tmp_path, kind)
    with one.langfuse() as langfuse, one.collector() as collector:
        for number, status in enumerate((400, 401, 403, 404, 413, 500), 1):
            langfuse.faults.add(Fault(status=status))
            for _ in range(5):
                assert one.send(collector) == 200
            wait_until(lambda count=number: collector.metric(SENT_FAILED) == 5 * count)
            langfuse.faults.clear()
        for status in (429, 502, 503, 504):
            langfuse.faults.add(Fault(status=status, retry_after=0, times=2))
            assert one.send(collector) == 200
        one.settle(collector)
    found = one.losses({}, collector)
    assert (found.acknowledged, found.lost, found.refused) == (34, 30, 0)
    assert "Dropping data" in found.log


def test_what_the_page_says_of_the_faults_was_measured() -> None:
    """`./scripts/bench faults --save`: nothing is lost but what Langfuse refused and a queue had taken."""
    numbers = bench_results.read()["faults"].numbers
    for fault, (_, kinds) in FAULTS.items():
        for kind in kinds:
            acknowledged, lost, refused = (
                numbers[f"{fault}-{kind}-{what}"] for what in ("acknowledged", "lost", "refused")
            )
            drops = fault in ("key", "error") and kind in QUEUED
            assert acknowledged and bool(lost) == drops, (fault, kind)
            assert numbers[f"{fault}-{kind}-failed"] >= lost
            assert refused or fault not in ("kill", "full-queue", "full-disk")


# --- carry: no queue, Langfuse's answer goes back ---


def arrived(langfuse: RunningMock) -> set[str]:
    """The ids of the observations that Langfuse shows."""
    return {each["id"] for each in langfuse.store.observations}


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


def test_what_codex_itself_sends_passes_as_on_the_direct_route(carrier: tuple[Carrier, RunningMock]) -> None:
    """So the page says never to point Codex at carry.yaml."""
    carry, langfuse = carrier
    with carry.running() as collector:
        headers = {**PROTOBUF, "authorization": f"Bearer {TOKEN}"}
        context = ssl.create_default_context(cafile=carry.authority)
        for body in recordings.bodies(TURN, "traces"):
            answer = web.post(f"{collector.url}/v1/traces", content=body, headers=headers, verify=context)
            assert answer.status_code == 200
    assert len(langfuse.store.observations) == len(directly().observations)


def test_langfuses_own_answer_goes_back(carrier: tuple[Carrier, RunningMock]) -> None:
    """413 becomes 500, and 502 to 504 become 503."""
    carry, langfuse = carrier
    with carry.running() as collector:
        sender = relay_of(carry)
        for status in (400, 401, 403, 404, 429, 500, 413, 502, 503, 504):
            langfuse.faults.add(Fault(status=status))
            sender.carry(collector)
            langfuse.faults.clear()
    assert sender.answers == [400, 401, 403, 404, 429, 500, 500, 503, 503, 503]


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


def test_an_environment_has_a_project_of_its_own(
    carrier: tuple[Carrier, RunningMock], tmp_path: Path
) -> None:
    """With the condition that the pages say to replace, and the one to put there."""
    carry, langfuse = carrier
    carry.set_key("langfuse", "a2V5OndyaXR0ZW5faW50b190aGVfbG9n")
    pages = ((docs / "deploy/collector.md").read_text(encoding="utf-8") for docs in (DOCS, CHINESE))
    ((by_team, by_environment),) = {tuple(re.findall(r"`([^`]+\] == \"\w+\")`", page)) for page in pages}
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
