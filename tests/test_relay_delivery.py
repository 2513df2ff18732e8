"""From disk to Langfuse: what is delivered, repeated, or set aside."""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.pages import page_url
from codex_langfuse.relay.delivery import BackOff, Destination
from codex_langfuse.relay.status import read_status
from codex_langfuse.relay.store import Figures, Store, StoreFullError
from harness.running_relay import logs_export, post_logs, relay_for, settings_for, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_langfuse.relay.delivery._LOOK", 0.05)


def names(langfuse: RunningMock) -> list[str]:
    """The turns at Langfuse, each as often as it is shown."""
    return sorted(each["name"].split()[0] for each in langfuse.store.observations)


def statuses(langfuse: RunningMock) -> list[int | None]:
    """What the requests that carried something were answered, in order."""
    return [request.status for request in langfuse.store.requests if request.body]


def figures(state: Path) -> Figures:
    found = read_status(state).figures
    assert found is not None
    return found


def refused(state: Path) -> int:
    return sum(figures(state).set_aside.values())


def test_delivers_a_turn_once_and_forgets_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running_mock() as langfuse:
        with relay_for(langfuse, state) as url:
            for part in (1, 2, 2, 1):
                assert post_logs(url, logs_export("one", part, 3)).status_code == 200
            assert names(langfuse) == []
            assert post_logs(url, logs_export("one", 3, 3)).status_code == 200
            wait_until(lambda: names(langfuse) == ["one"])
            assert post_logs(url, logs_export("one", 3, 3)).status_code == 200
        assert names(langfuse) == ["one"]
        assert statuses(langfuse) == [200]
        (request,) = [each for each in langfuse.store.requests if each.body]
        assert dict(request.headers)["content-type"] == "application/x-protobuf"
    numbers = figures(state)
    assert (numbers.seen, numbers.delivered, numbers.waiting, numbers.batches) == (1, 1, 0, 0)
    assert numbers.notes["newest turn"].text == "3 exports"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_tries_again_when_it_may_help(tmp_path: Path, status: int) -> None:
    fault = Fault(status=status, times=3, after=1, retry_after=0)
    with running_mock(faults=[fault]) as langfuse, relay_for(langfuse, tmp_path / "state") as url:
        post_logs(url, logs_export("one"))
        wait_until(lambda: names(langfuse) == ["one"])
        assert statuses(langfuse) == [status] * 3 + [200]
        post_logs(url, logs_export("two"))
        wait_until(lambda: names(langfuse) == ["one", "two"])
    assert str(status) in figures(tmp_path / "state").notes["last error"].text


def test_waits_as_long_as_it_is_told(tmp_path: Path) -> None:
    fault = Fault(status=429, retry_after=1, times=1, after=1)
    with running_mock(faults=[fault]) as langfuse, relay_for(langfuse, tmp_path / "state") as url:
        post_logs(url, logs_export("one"))
        wait_until(lambda: names(langfuse) == ["one"])
        first, second = (each.received for each in langfuse.store.requests if each.body)
        # In milliseconds; a little less, since the answer takes its time too.
        assert second - first >= 990


def test_outlives_a_langfuse_that_is_gone(tmp_path: Path) -> None:
    with running_mock() as langfuse:
        address = langfuse.url
    with relay_for(address, tmp_path / "state") as url:
        for number in range(5):
            assert post_logs(url, logs_export(f"turn{number}")).status_code == 200
        wait_until(lambda: figures(tmp_path / "state").waiting == 5)
        with running_mock(port=int(address.rpartition(":")[2])) as langfuse:
            wait_until(lambda: len(names(langfuse)) == 5)


@pytest.mark.parametrize(
    ("status", "page"),
    [
        (400, page_url("guide/troubleshooting", "nothing-arrives")),
        (401, page_url("guide/troubleshooting", "refused-keys")),
        (403, page_url("guide/troubleshooting", "refused-keys")),
        (404, page_url("guide/troubleshooting", "endpoint-path")),
        (413, page_url("guide/troubleshooting", "nothing-arrives")),
    ],
)
def test_sets_aside_what_is_refused_for_good(tmp_path: Path, status: int, page: str) -> None:
    state = tmp_path / "state"
    with running_mock(faults=[Fault(status=status)]) as langfuse, relay_for(langfuse, state) as url:
        post_logs(url, logs_export("one"))
        wait_until(lambda: refused(state) == 1)
        post_logs(url, logs_export("two"))
        wait_until(lambda: refused(state) == 2)
        # Each was sent once, and is not sent again: a third one would have to follow them.
        post_logs(url, logs_export("three"))
        wait_until(lambda: refused(state) == 3)
        assert statuses(langfuse) == [status] * 3
        (reason,) = figures(state).set_aside
        assert reason.startswith(f"{status}: ")
        assert page in reason
        langfuse.faults.clear()
        # As `relay --retry-failed` does while the relay runs.
        other_process = Store(state)
        assert other_process.retry_failed() == 3
        other_process.close()
        wait_until(lambda: names(langfuse) == ["one", "three", "two"])
    assert figures(state).set_aside == {}


def test_what_was_set_aside_is_delivered_by_the_next_relay(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running_mock() as langfuse:
        wrong = settings_for(langfuse, state).destination
        wrong = replace(wrong, headers={"authorization": "Basic cGstbGYtYTpzay1sZi1i"})
        with relay_for(langfuse, state, destination=wrong) as url:
            post_logs(url, logs_export("one"))
            wait_until(lambda: refused(state) == 1)
            assert httpx.get(f"{url}/readyz").status_code == 503
        with relay_for(langfuse, state) as url:
            wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 200)
            assert names(langfuse) == []
        store = Store(state)
        assert store.retry_failed() == 1
        store.close()
        with relay_for(langfuse, state) as url:
            wait_until(lambda: names(langfuse) == ["one"])


def test_knows_refused_keys_before_the_first_turn(tmp_path: Path) -> None:
    with running_mock(faults=[Fault(status=401, times=1)]) as langfuse:
        with relay_for(langfuse, tmp_path / "state") as url:
            wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 503)
            assert httpx.get(f"{url}/healthz").status_code == 200
            # A turn that is taken proves the opposite.
            post_logs(url, logs_export("one"))
            wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 200)
        assert names(langfuse) == ["one"]


def test_one_bad_trace_does_not_take_the_others_along(tmp_path: Path) -> None:
    """Turns that wait are sent together; when that is refused, each is tried alone."""
    state = tmp_path / "state"
    with running_mock() as langfuse:
        with relay_for("http://127.0.0.1:9", state) as url:
            for number in range(4):
                post_logs(url, logs_export(f"turn{number}"))
        store = Store(state)
        good = store.due(0, 9, 10**6)[0]
        # A span with neither ids nor a name: Langfuse refuses every export it is in.
        store._database.execute(
            "UPDATE outbox SET trace = ? WHERE id = ?", (b"\x0a\x04\x12\x02\x12\x00", good.id)
        )
        store.close()
        with relay_for(langfuse, state):
            wait_until(lambda: names(langfuse) == ["turn1", "turn2", "turn3"])
            wait_until(lambda: refused(state) == 1)
        assert statuses(langfuse).count(400) == 2


def test_sends_what_waited_together(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with relay_for("http://127.0.0.1:9", state) as url:
        for number in range(50):
            post_logs(url, logs_export(f"turn{number}"))
    assert figures(state).waiting == 50
    with running_mock() as langfuse:
        with relay_for(langfuse, state):
            wait_until(lambda: len(names(langfuse)) == 50)
        assert len(statuses(langfuse)) <= 5


def test_a_trace_that_langfuse_stumbles_over_does_not_hold_up_others(tmp_path: Path) -> None:
    with running_mock(faults=[Fault(status=500, after=1, times=1)]) as langfuse:
        slow = BackOff(3600, 3600)
        with relay_for(langfuse, tmp_path / "state", back_off_of_trace=slow) as url:
            post_logs(url, logs_export("one"))
            wait_until(lambda: statuses(langfuse) == [500])
            post_logs(url, logs_export("two"))
            # And once Langfuse is seen to work, the first one has its turn again.
            wait_until(lambda: names(langfuse) == ["one", "two"])
        assert statuses(langfuse) == [500, 200, 200]


def test_codex_is_answered_while_langfuse_hangs(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running_mock(faults=[Fault(hang=True)]) as langfuse:
        with relay_for(langfuse, state, seconds_to_finish=0.3) as url:
            for number in range(20):
                assert post_logs(url, logs_export(f"turn{number}")).status_code == 200
            # All answers came while the first request to Langfuse had none.
            assert [each.status for each in langfuse.store.requests] == [None]
            stopping = time.monotonic()
        # Not the 30 seconds that a request may take.
        assert time.monotonic() - stopping < 15
        assert figures(state).waiting == 20
        langfuse.faults.clear()
        with relay_for(langfuse, state):
            wait_until(lambda: len(names(langfuse)) == 20)


def test_delivers_what_is_left_when_told_to_stop(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running_mock() as langfuse:
        with relay_for(langfuse, state) as url:
            post_logs(url, logs_export("whole"))
            post_logs(url, logs_export("begun", 1, 2))
        assert names(langfuse) == ["begun", "whole"]
    numbers = figures(state)
    assert (numbers.waiting, numbers.batches) == (0, 0)


def test_a_full_disk_makes_nothing_go_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn is delivered, and the disk does not take that it was."""
    state = tmp_path / "state"
    delivered, failures = Store.delivered, iter(range(3))

    def failing(store: Store, ids: Sequence[int], now: float) -> None:
        if next(failures, None) is not None:
            raise StoreFullError("disk full")
        delivered(store, ids, now)

    monkeypatch.setattr(Store, "delivered", failing)
    monkeypatch.setattr("codex_langfuse.relay.delivery._RETRY_WRITE", 0.01)
    with running_mock() as langfuse, relay_for(langfuse, state) as url:
        post_logs(url, logs_export("one"))
        wait_until(lambda: figures(state).delivered == 1)
        assert next(failures, None) is None
        assert statuses(langfuse) == [200]


def test_tells_of_spans_that_were_not_taken(tmp_path: Path) -> None:
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 2
    answer.partial_success.error_message = "too old"
    state = tmp_path / "state"
    with answering(answer.SerializeToString()) as there:
        with relay_for("http://127.0.0.1:9", state, destination=Destination.otlp(there, {})) as url:
            post_logs(url, logs_export("one"))
        assert "took 1 turn, but not all of it: 2 spans rejected, too old" in (
            figures(state).notes["last error"].text
        )
    assert figures(state).delivered == 1


@contextlib.contextmanager
def answering(body: bytes) -> Iterator[str]:
    """Run a collector that answers everything with 200 and ``body``; yield the address of its endpoint."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/traces"
        server.shutdown()


def test_forwards_to_any_endpoint(tmp_path: Path) -> None:
    with running_mock() as langfuse:
        own = settings_for(langfuse, tmp_path).destination
        headers = {**own.headers, "x-scope-orgid": "team"}
        there = Destination.otlp(f"{langfuse.url}/api/public/otel/v1/traces", headers)
        with relay_for(langfuse, tmp_path / "state", destination=there) as url:
            post_logs(url, logs_export("one"))
        assert names(langfuse) == ["one"]
        sent = [dict(request.headers) for request in langfuse.store.requests]
        assert {each["x-scope-orgid"] for each in sent} == {"team"}
        assert not any("x-langfuse-ingestion-version" in each for each in sent)


def test_waits_longer_each_time_and_never_as_others_do() -> None:
    back_off = BackOff(1.0, 30.0)
    for failures, full in ((1, 1), (2, 2), (3, 4), (6, 30), (10_000, 30)):
        waits = {back_off.seconds(failures) for _ in range(100)}
        assert full / 2 <= min(waits) < max(waits) <= full
