"""From disk to Langfuse: what is delivered, repeated, or set aside."""

import base64
import contextlib
import gzip
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from inspect import signature
from pathlib import Path
from urllib.parse import quote

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.page_addresses import page_url
from codex_langfuse.relay.assembly import FinishedTurn
from codex_langfuse.relay.delivery import BackOff, Delivery, Destination, cover, forms_of_secrets
from codex_langfuse.relay.server import running_relay
from codex_langfuse.relay.store import Store, StoreFullError
from harness import web
from harness.running_relay import (
    CLIENT,
    CountingAssembly,
    figures,
    logs_export,
    post_logs,
    relay_for,
    settings_for,
    wait_until,
)

pytestmark = [pytest.mark.macos, pytest.mark.windows, pytest.mark.slow]


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_langfuse.relay.delivery._LOOK", 0.05)


def names(langfuse: RunningMock) -> list[str]:
    """The turns at Langfuse, each as often as it is shown."""
    return sorted(each["name"].split()[0] for each in langfuse.store.observations)


def statuses(langfuse: RunningMock) -> list[int | None]:
    """What the requests that carried something were answered, in order."""
    return [request.status for request in langfuse.store.requests if request.body]


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
    assert (numbers.seen, numbers.accepted, numbers.waiting, numbers.batches) == (1, 1, 0, 0)
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


def test_a_clock_that_is_set_back_or_forward_holds_up_no_delivery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, hours = time.time, itertools.count()
    fault = Fault(status=503, times=3, after=1, retry_after=0)
    with running_mock(faults=[fault]) as langfuse, relay_for(langfuse, tmp_path / "state") as url:
        # Every look at it is two hours from the one before.
        monkeypatch.setattr(time, "time", lambda: real() + (3600 if next(hours) % 2 else -3600))
        for turn in ("one", "two"):
            post_logs(url, logs_export(turn))
            wait_until(lambda turn=turn: turn in names(langfuse))
        monkeypatch.undo()
    assert statuses(langfuse)[:4] == [503] * 3 + [200]
    assert next(hours) > 0
    assert signature(Delivery).parameters["now"].default is time.monotonic


def test_outlives_a_langfuse_that_is_gone(tmp_path: Path) -> None:
    with running_mock() as langfuse:
        address = langfuse.url
    with relay_for(address, tmp_path / "state") as url:
        for number in range(5):
            assert post_logs(url, logs_export(f"turn{number}")).status_code == 200
        wait_until(lambda: figures(tmp_path / "state").waiting == 5)
        with running_mock(port=int(address.rpartition(":")[2])) as langfuse:
            wait_until(lambda: len(names(langfuse)) == 5)


@pytest.mark.parametrize("status", [400, 413])
def test_sets_aside_a_turn_that_is_refused_for_what_is_in_it(tmp_path: Path, status: int) -> None:
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
        assert page_url("guide/troubleshooting", "nothing-arrives") in reason
        langfuse.faults.clear()
        # As `relay --retry-failed` does while the relay runs.
        other_process = Store(state)
        assert other_process.retry_failed() == 3
        other_process.close()
        wait_until(lambda: names(langfuse) == ["one", "three", "two"])
    assert figures(state).set_aside == {}


@pytest.mark.parametrize(
    ("status", "cause"),
    [(401, "keys"), (403, "keys"), (404, "address"), (405, "address"), (422, "address"), (302, "address")],
)
def test_a_fault_of_the_destination_sets_nothing_aside_and_ends_by_itself(
    tmp_path: Path, status: int, cause: str
) -> None:
    """One rotated key must not mean a visit to every machine."""
    state = tmp_path / "state"
    with running_mock(faults=[Fault(status=status)]) as langfuse, relay_for(langfuse, state) as url:
        for number in range(3):
            post_logs(url, logs_export(f"turn{number}"))
        wait_until(lambda: len(statuses(langfuse)) >= 4)
        wait_until(lambda: "fault" in figures(state).notes)
        assert figures(state).notes["fault"].text.startswith(f"{status}")
        assert (figures(state).waiting, figures(state).set_aside) == (3, {})
        assert web.get(f"{url}/readyz").status_code == 503
        shown = f'codex_langfuse_relay_destination_fault{{cause="{cause}"}} 1'
        assert shown in web.get(f"{url}/metrics").text.splitlines()
        langfuse.faults.clear()
        wait_until(lambda: names(langfuse) == ["turn0", "turn1", "turn2"])
        wait_until(lambda: web.get(f"{url}/readyz").status_code == 200)
        assert "fault" not in figures(state).notes


def test_knows_refused_keys_before_the_first_turn(tmp_path: Path) -> None:
    with (
        running_mock(faults=[Fault(status=401)]) as langfuse,
        relay_for(langfuse, tmp_path / "state") as url,
    ):
        wait_until(lambda: web.get(f"{url}/readyz").status_code == 503)
        assert web.get(f"{url}/healthz").status_code == 200
        langfuse.faults.clear()
        # Without any turn it asks again.
        wait_until(lambda: web.get(f"{url}/readyz").status_code == 200)


def test_one_bad_trace_does_not_take_the_others_along(tmp_path: Path) -> None:
    """Turns that wait are sent together; when that is refused, each is tried separately."""
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
            # All answers came while the first export to Langfuse had none.
            assert [each.status for each in langfuse.store.requests if each.method == "POST"] == [None]
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


@pytest.mark.parametrize(("status", "again"), [(500, 1), (401, 0), (503, 0)])
def test_what_langfuse_may_have_already_is_counted_when_it_is_sent_again(
    tmp_path: Path, status: int, again: int
) -> None:
    faults = [Fault(status=status, times=1, after=1)]  # After the question at the start.
    with running_mock(faults=faults) as langfuse, relay_for(langfuse, tmp_path / "state") as url:
        wait_until(lambda: langfuse.store.requests)
        post_logs(url, logs_export("one"))
        wait_until(lambda: names(langfuse) == ["one"])
        metrics = CLIENT.get(f"{url}/metrics").text
    assert f"codex_langfuse_relay_turns_sent_again_total {again}\n" in metrics


def test_a_full_disk_makes_nothing_go_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn is delivered, and the disk does not take that it was."""
    state = tmp_path / "state"
    accepted, failures = Store.accepted, iter(range(3))

    def failing(store: Store, ids: Sequence[int], now: float) -> None:
        if next(failures, None) is not None:
            raise StoreFullError("disk full")
        accepted(store, ids, now)

    monkeypatch.setattr(Store, "accepted", failing)
    monkeypatch.setattr("codex_langfuse.relay.delivery._RETRY_WRITE", 0.01)
    with running_mock() as langfuse, relay_for(langfuse, state) as url:
        post_logs(url, logs_export("one"))
        wait_until(lambda: figures(state).accepted == 1)
        assert next(failures, None) is None
        assert statuses(langfuse) == [200]


def partial_success(rejected: int = 2) -> bytes:
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = rejected
    answer.partial_success.error_message = "too old"
    return answer.SerializeToString()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-protobuf", b""),
        ("application/x-protobuf", partial_success(0)),
        ("application/json", b"{}"),
        ("application/json; charset=utf-8", b'{"partialSuccess":{"rejectedSpans":"0","errorMessage":"old"}}'),
        ("", b""),
    ],
)
def test_answers_that_accept(tmp_path: Path, content_type: str, body: bytes) -> None:
    with (
        answering(200, body, {"content-type": content_type}) as there,
        relay_for("http://127.0.0.1:9", tmp_path, destination=Destination.otlp(there, {})) as url,
    ):
        post_logs(url, logs_export("one"))
        wait_until(lambda: figures(tmp_path).accepted == 1)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-protobuf", partial_success()),
        ("application/json", b'{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}'),
    ],
)
def test_rejected_spans_are_no_delivery(tmp_path: Path, content_type: str, body: bytes) -> None:
    with (
        answering(200, body, {"content-type": content_type}) as there,
        relay_for("http://127.0.0.1:9", tmp_path, destination=Destination.otlp(there, {})) as url,
    ):
        post_logs(url, logs_export("one"))
        wait_until(lambda: refused(tmp_path) == 1)
        (reason,) = figures(tmp_path).set_aside
        assert reason.startswith("200: 2 spans rejected, too old. See ")
        assert figures(tmp_path).accepted == 0


LATE = "Mon, 01 Jan 2026 00:00:00 +99999999999999999999"


@pytest.mark.parametrize(
    ("status", "headers", "body", "told"),
    [
        (
            200,
            {"content-type": "text/html"},
            b"<html>Sign in",
            "200 with text/html that is not an OTLP answer",
        ),
        (200, {"content-type": "text/html"}, b"", "200 with text/html that is not an OTLP answer"),
        (200, {"content-type": "application/json"}, b"[]", "200 with application/json that is not"),
        (200, {"content-type": "application/json"}, b'{"error":"login"}', "200 with application/json"),
        (200, {"content-type": "application/x-protobuf"}, b"<html>", "200 with application/x-protobuf that"),
        (200, {"content-type": "application/json"}, b" " * 2**21 + b"{}", "200 with application/json that"),
        (
            200,
            {"content-type": "application/json", "content-encoding": "gzip"},
            gzip.compress(b"{}" + b" " * 2**24, mtime=0),
            "200 with application/json that is not an OTLP answer",
        ),
        (400, {"content-type": "text/html"}, b"<html>plain HTTP to an HTTPS port", "400: Bad Request"),
        (301, {"location": "https://login.example/?next=1"}, b"", "301: redirects to login.example"),
        (429, {"retry-after": LATE}, b"later", "429: later"),
        (429, {"retry-after": "9" * 500}, b"later", "429: later"),
        (503, {"content-type": "text/plain; charset=idna"}, b"\xff.\xfe", "503: "),
        (503, {"content-type": "application/x-protobuf"}, b"\x08\x0e\x12\x04down", "503: down"),
        (503, {"content-type": "application/json"}, b"[" * 60000, "503: [[["),
        (503, {"set-cookie": "a=b; domain=x; expires=never", "content-encoding": "br"}, b"no", "503"),
    ],
    ids=lambda each: str(each)[:40],
)
def test_no_answer_ends_the_process_or_passes_for_accepted(
    tmp_path: Path, status: int, headers: dict[str, str], body: bytes, told: str
) -> None:
    """A login page, a wrong proxy, an answer made to harm: a failure with a name, and the turn waits."""
    with (
        answering(status, body, headers) as there,
        relay_for(
            "http://127.0.0.1:9", tmp_path, destination=Destination.otlp(there, {}), seconds_to_finish=0.1
        ) as url,
    ):
        post_logs(url, logs_export("one"))
        wait_until(lambda: "fault" in figures(tmp_path).notes)
        assert told in figures(tmp_path).notes["fault"].text
        assert told in figures(tmp_path).notes["last error"].text
        # It goes on taking what comes.
        assert post_logs(url, logs_export("two")).status_code == 200
        wait_until(lambda: figures(tmp_path).waiting == 2)
        assert (figures(tmp_path).accepted, figures(tmp_path).set_aside) == (0, {})


def test_an_answer_that_drips_does_not_hold_up_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codex_langfuse.relay.delivery._SECONDS_FOR_ANSWER", 0.5)
    with (
        answering(200, b"{}" + b" " * 1000, {"content-type": "application/json"}, drip=0.05) as there,
        relay_for(
            "http://127.0.0.1:9", tmp_path, destination=Destination.otlp(there, {}), seconds_to_finish=0.1
        ) as url,
    ):
        post_logs(url, logs_export("one"))
        wait_until(lambda: "fault" in figures(tmp_path).notes)
        assert "no complete answer within" in figures(tmp_path).notes["fault"].text


def test_a_turn_that_is_too_large_for_one_request_goes_in_parts(tmp_path: Path) -> None:
    spans = [bytes([number]) * 8 for number in range(1, 8)]
    export = ExportTraceServiceRequest()
    for span_id in spans:
        span = export.resource_spans.add().scope_spans.add(spans=[{}]).spans[0]
        span.trace_id, span.span_id, span.name = b"t" * 16, span_id, "x" * 1000
    sizes, arrived = [], set()

    def answer(body: bytes) -> int:
        sizes.append(len(body))
        if len(body) > 2500:
            return 413
        taken = ExportTraceServiceRequest.FromString(body)
        arrived.update(span.span_id for group in taken.resource_spans for span in group.scope_spans[0].spans)
        return 200

    class Whole(CountingAssembly):
        def _finish(self, turn: str) -> FinishedTurn:
            super()._finish(turn)
            return FinishedTurn(turn, export.SerializeToString(), "a large turn")

    with answering(answer, b"", {}) as there:
        settings = settings_for("http://127.0.0.1:9", tmp_path, destination=Destination.otlp(there, {}))
        with running_relay(settings, Whole()) as url:
            post_logs(url, logs_export("one"))
            wait_until(lambda: figures(tmp_path).accepted == 1)
    assert arrived == set(spans)
    assert max(sizes) == export.ByteSize()


@pytest.mark.parametrize("secret", ["sk-lf-1234567890-secret", "Bearer abcdefghijklmnop", 'a"quoted"secret'])
def test_an_error_text_shows_no_secret_in_any_form(secret: str) -> None:
    """What a destination echoes lands in the log, the status and the state file."""
    pair = base64.b64encode(b"pk-lf-public:sk-lf-the-secret").decode()
    covered = forms_of_secrets([secret, f"Basic {pair}"])
    word = secret.split()[-1]
    echoed = [secret, word, pair, pair.rstrip("="), "sk-lf-the-secret", "pk-lf-public:sk-lf-the-secret"]
    for each in (word, "sk-lf-the-secret"):
        plain = each.encode()
        echoed += [
            base64.b64encode(plain).decode(),
            plain.hex(),
            quote(each, safe=""),
            json.dumps(each)[1:-1],
        ]
    for each in echoed:
        assert cover(f"no: {each}!", covered) == "no: …!"


def test_an_error_text_keeps_ordinary_characters() -> None:
    covered = forms_of_secrets(["4", "team", "Basic eDp5"])
    assert (
        cover("payload of 4 444 444 bytes from team 4", covered) == "payload of 4 444 444 bytes from team 4"
    )


@contextlib.contextmanager
def answering(
    status: int | Callable[[bytes], int], body: bytes, headers: dict[str, str], drip: float = 0.0
) -> Iterator[str]:
    """Run a server that answers everything in one way, each byte after ``drip`` s; yield an address on it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status if isinstance(status, int) else status(sent))
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                if not drip:
                    self.wfile.write(body)
                for byte in body if drip else b"":
                    self.wfile.write(bytes([byte]))
                    time.sleep(drip)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
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


def test_a_corrected_address_gets_the_turns_that_wait(tmp_path: Path) -> None:
    with relay_for("http://127.0.0.1:9", tmp_path, seconds_to_finish=0.1) as url:
        assert post_logs(url, logs_export("one")).status_code == 200
        wait_until(lambda: figures(tmp_path).waiting == 1)
    with running_mock() as langfuse, relay_for(langfuse, tmp_path):
        wait_until(lambda: figures(tmp_path).accepted == 1)
