"""``relay --status --json``: the last turns, by the schema on the page, and what the exit status says."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import recordings
from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import running_mock
from codex_langfuse.relay.assembly import Assembly
from codex_langfuse.relay.policy import Policy
from codex_langfuse.relay.price_file import read_price_file
from codex_langfuse.relay.server import running_relay
from codex_langfuse.relay.status import read_status
from codex_langfuse.relay.store import Store
from harness.running_relay import CLIENT, PROTOBUF, settings_for, wait_until
from relayed_recordings import batches, relay

pytestmark = pytest.mark.slow

SCHEMA = json.loads(Path("examples/relay/status.schema.json").read_text(encoding="utf-8"))
RECORDED = ("0.163.0-simple", "0.171.0-sub-agent")
KINDS = SCHEMA["$defs"]["kind"]["enum"]


def relayed(langfuse, state: Path, recorded: Sequence[str] = RECORDED, policy: Policy | None = None) -> None:
    """Send recordings through a relay that ends with them."""
    with running_relay(settings_for(langfuse, state), Assembly(policy or Policy())) as url:
        for name in recorded:
            for signal in ("logs", "traces"):
                for body in recordings.bodies(name, signal):
                    post(url, signal, body)
        wait_until(lambda: "/project/" in read_status(state).figures.notes["traces at"].text)


def post(url: str, signal: str, body: bytes) -> None:
    CLIENT.post(f"{url}/v1/{signal}", content=body, headers=PROTOBUF).raise_for_status()


def ask(state: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Run ``relay --status --json``; return its exit status and what it printed."""
    run = subprocess.run(
        [sys.executable, "-m", "codex_langfuse", "relay", "--status", "--json", "--state", state, *options],
        capture_output=True,
        text=True,
        check=False,
    )
    document = json.loads(run.stdout) if run.stdout else {}
    if document:
        jsonschema.validate(document, SCHEMA)
    return run.returncode, document


def test_each_turn_is_told_as_it_arrived(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running_mock() as langfuse:
        relayed(langfuse, state)
        returned, document = ask(state, "--since", "1h")
        traces = langfuse.store.traces
        assert returned == 0
        assert {turn["trace"] for turn in document["last_turns"]} == traces.keys()
        for turn in document["last_turns"]:
            arrived = traces[turn["trace"]]
            calls = [each for each in arrived if each["type"] == "GENERATION"]
            (root,) = [each for each in arrived if not each["parentObservationId"]]
            usage = {kind: sum(call["usageDetails"].get(kind, 0) for call in calls) for kind in KINDS}
            assert {kind: turn["tokens"][kind] for kind in KINDS} == usage
            assert turn["tokens"]["total"] == sum(usage.values()) > 0
            assert turn["session"] == root["sessionId"]
            assert turn["turn"] == root["metadata"]["turn_id"]
            assert turn["model_calls"] == len(calls)
            assert turn["duration"] == pytest.approx(root["latency"], abs=0.5)
            assert (turn["outcome"], turn["state"], turn["cost"]) == ("ok", "accepted", None)
            assert turn["url"] == f"{langfuse.url}/project/proj1/traces/{turn['trace']}"
        session = document["last_turns"][0]["session"]
        returned, of_session = ask(state, "--session", session)
        assert (returned, of_session["last_turns"]) == (0, document["last_turns"][:1])


def test_the_cost_by_the_price_file(tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('[x]\nmatch = "."\ninput = 1\noutput = 10\n')
    with running_mock() as langfuse:
        relayed(langfuse, tmp_path / "state", RECORDED[:1], Policy(prices=read_price_file(prices)))
        (turn,) = ask(tmp_path / "state")[1]["last_turns"]
        arrived = sum(each["totalCost"] for each in langfuse.store.traces[turn["trace"]])
    assert turn["cost"] == pytest.approx(arrived) == pytest.approx((2400 + 100 * 10) / 1e6)
    assert turn["cost_from"] == "price file"


@pytest.mark.parametrize(
    ("options", "returned"),
    [
        (("--since", "1h"), 1),  # one was refused
        (("--since", "2100-01-01"), 1),  # there is none
        (("--session", "nobody"), 1),
        (("--since", "soon"), 2),
        ((), 1),  # no relay runs
    ],
)
def test_the_exit_status(refused: Path, options: tuple[str, ...], returned: int) -> None:
    assert ask(refused, *options)[0] == returned


def test_one_can_wait_for_the_turns_of_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever other sessions do meanwhile."""
    monkeypatch.setattr("codex_langfuse.relay.deadlines.SETTLE", 0.5)
    state, (name, other) = tmp_path / "state", RECORDED
    session = relay(batches(name)).root["sessionId"]
    with (
        running_mock() as langfuse,
        running_relay(settings_for(langfuse, state), Assembly(Policy())) as url,
        ThreadPoolExecutor() as threads,
    ):
        post(url, "logs", recordings.bodies(other, "logs")[0])
        waiting = threads.submit(ask, state, "--session", session, "--wait", "60")
        assert ask(state, "--session", session, "--wait", "0.1")[0] == 1  # There is none yet.
        for signal in ("logs", "traces"):
            for body in recordings.bodies(name, signal):
                post(url, signal, body)
        returned, document = waiting.result()
        assert read_status(state).busy
    assert returned == 0
    assert [(turn["session"], turn["state"]) for turn in document["last_turns"]] == [(session, "accepted")]


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("relay") / "state"
    with running_mock(faults=[Fault(status=400)]) as langfuse:
        relayed(langfuse, state, RECORDED[:1])
    (turn,) = read_status(state).turns
    assert (turn.state, turn.accepted) == ("set aside", None)
    return state


def test_a_folder_of_an_older_relay_has_no_turns_and_gets_them(refused: Path, tmp_path: Path) -> None:
    """As version 2 of the file left it."""
    import sqlite3

    (tmp_path / "relay.sqlite").write_bytes((refused / "relay.sqlite").read_bytes())
    with sqlite3.connect(tmp_path / "relay.sqlite") as database:
        database.executescript("DROP TABLE turn; PRAGMA user_version = 2;")
    database.close()
    assert read_status(tmp_path).turns == ()
    Store(tmp_path, max_bytes=2**24).close()
    with sqlite3.connect(tmp_path / "relay.sqlite") as database:
        assert database.execute("SELECT count(*) FROM turn").fetchone() == (0,)
    database.close()
    assert read_status(tmp_path).turns == ()


def test_a_moment_can_be_an_age_or_a_date(refused: Path) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
    for since in ("100s", "9m", "2h", "1d", now):
        assert len(read_status(refused, _seconds(since)).turns) == 1, since


def _seconds(since: str) -> float:
    from codex_langfuse.commands.relay import _moment

    return _moment(since)
