"""The mock over HTTP, held against the answers recorded from a real Langfuse 4.16.0."""

import base64
import gzip
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

import recordings
from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import IN_APP_AGENT_KEY, ORGANIZATION_KEY, RunningMock, running_mock
from harness import web
from harness.mock_client import TRACES, client
from harness.otlp_json import simple_export
from harness.running_relay import wait_until
from harness.web import JSON, PROTOBUF

pytestmark = [pytest.mark.macos, pytest.mark.windows]

METRICS = "/api/public/otel/v1/metrics"
HINT = " Confirm that you've configured the correct host."


def basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningMock]:
    with running_mock() as mock:
        yield mock


@pytest.fixture
def mock() -> Iterator[RunningMock]:
    with running_mock() as mock:
        yield mock


@pytest.mark.parametrize(
    ("authorization", "status", "message"),
    [
        (None, 401, "No authorization header"),
        ("basic cGs6c2s=", 401, "Invalid authorization header"),
        ("Token x", 401, "Invalid authorization header"),
        ("Basic%20cGs6c2s=", 401, "Invalid authorization header"),
        ('"Basic cGs6c2s="', 401, "Invalid authorization header"),
        ("Basic", 401, "Invalid authorization header"),
        ("Basic  cGs6c2s=", 401, f"Invalid authorization header.{HINT}"),
        (basic("no-colon"), 401, f"Invalid authorization header.{HINT}"),
        (basic("pk-lf-1234567890:"), 401, f"Invalid authorization header.{HINT}"),
        (basic(":sk-lf-1234567890"), 401, f"Invalid authorization header.{HINT}"),
        ("Basic !!!", 401, f"Invalid character.{HINT}"),
        ("Basic ${LANGFUSE_AUTH}", 401, f"Invalid character.{HINT}"),
        ("Basic Basic cGs6c2s=", 401, f"The string to be decoded is not correctly encoded..{HINT}"),
        (basic("pk-lf-1234567890:wrong"), 401, f"Invalid credentials.{HINT}"),
        (basic("pk-lf-1234567890:sk-lf-1234567890\n"), 401, f"Invalid credentials.{HINT}"),
        ("Bearer pk-lf-1234567890", 403, "Access denied - insufficient permissions for this endpoint"),
        ("Bearer sk-lf-1234567890", 401, f"Invalid public key.{HINT}"),
        (
            basic(f"{ORGANIZATION_KEY.public_key}:{ORGANIZATION_KEY.secret_key}"),
            403,
            "Access denied - insufficient permissions for this endpoint",
        ),
        (
            f"Bearer {ORGANIZATION_KEY.public_key}",
            401,
            f"Unauthorized: Cannot use organization key with bearer auth.{HINT}",
        ),
        (
            basic(f"{IN_APP_AGENT_KEY.public_key}:{IN_APP_AGENT_KEY.secret_key}"),
            401,
            "Access denied - in-app agent keys are not allowed for this endpoint",
        ),
    ],
)
@pytest.mark.parametrize("path", [TRACES, METRICS])
def test_refuses_a_caller_in_langfuses_words(
    shared: RunningMock, path: str, authorization: str | None, status: int, message: str
) -> None:
    headers = PROTOBUF if authorization is None else {**PROTOBUF, "authorization": authorization}
    answer = web.post(shared.url + path, headers=headers, content=b"\xff")
    assert (answer.status_code, answer.json()) == (status, {"message": message})


def test_only_the_secret_decides(shared: RunningMock) -> None:
    headers = {**JSON, "authorization": basic(f"somebody:{shared.secret_key}")}
    assert web.post(shared.url + TRACES, headers=headers, content=b"{}").status_code == 200


@pytest.mark.parametrize(
    ("headers", "body", "error"),
    [
        ({}, b"{}", "Invalid content type"),
        ({"content-type": "application/protobuf"}, b"", "Invalid content type"),
        ({"content-type": "text/plain"}, b"{}", "Invalid content type"),
        (PROTOBUF, b'{"resourceSpans":[]}', "Failed to parse OTel Protobuf Trace"),
        (PROTOBUF, b"\xff\xff", "Failed to parse OTel Protobuf Trace"),
        (JSON, b"", "Failed to parse OTel JSON Trace"),
        (JSON, b"null", "Failed to parse OTel JSON Trace"),
        (JSON, b"{", "Failed to parse OTel JSON Trace"),
        (JSON, b'{"resourceSpans":NaN}', "Failed to parse OTel JSON Trace"),
        (JSON, b"\xef\xbb\xbf{}", "Failed to parse OTel JSON Trace"),
        ({**JSON, "content-encoding": "gzip"}, b"{}", "Failed to decompress request body"),
        (
            {**JSON, "content-encoding": "gzip"},
            gzip.compress(b"{}", mtime=0)[:-3],
            "Failed to decompress request body",
        ),
        ({"content-encoding": "gzip"}, b"{}", "Failed to decompress request body"),
        (
            {**JSON, "content-encoding": "deflate"},
            gzip.compress(b"{}", mtime=0),
            "Failed to parse OTel JSON Trace",
        ),
        *(
            (
                {**JSON, "x-langfuse-ingestion-version": version},
                simple_export(),
                f'Unsupported x-langfuse-ingestion-version: "{version}". Maximum supported: "4".',
            )
            for version in ("5", "abc", "12")
        ),
    ],
)
def test_refuses_a_body_in_langfuses_words(
    shared: RunningMock, headers: dict[str, str], body: bytes, error: str
) -> None:
    with client(shared) as http:
        answer = http.post(TRACES, headers=headers, content=body)
    wanted = json.dumps({"error": error}, ensure_ascii=False, separators=(",", ":"))
    assert (answer.status_code, answer.content.decode()) == (400, wanted)


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        (
            b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"","spanId":"x"},{}]}]}]}',
            "traceId:absent, spanId:absent",
        ),
        (
            b'{"resourceSpans":[{"resource":{"attributes":{"a":1}},"scopeSpans":['
            b'{"spans":[{"traceId":"a","spanId":"b","attributes":{"a":1}}]}]}]}',
            "resource.attributes:not_an_array, attributes:not_an_array",
        ),
    ],
)
def test_refuses_an_export_with_one_unusable_span(shared: RunningMock, body: bytes, reasons: str) -> None:
    with client(shared) as http:
        answer = http.post(TRACES, headers=JSON, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"Invalid OTLP trace export ({reasons}). ")
    assert "no spans were ingested" in answer.json()["error"]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (PROTOBUF, b""),
        (JSON, b"{}"),
        (JSON, b"[]"),
        (JSON, b"5"),
        (JSON, b'{"resourceSpans":[]}'),
        (JSON, b'{"resourceLogs":[{"scopeLogs":[]}]}'),
        ({**JSON, "x-langfuse-ingestion-version": "9"}, b"{}"),
        ({"content-type": "Application/JSON; charset=utf-8"}, b"{}"),
        ({**JSON, "content-encoding": "gzip"}, gzip.compress(b"{}", mtime=0)),
    ],
)
def test_takes_an_export_without_spans_and_says_nothing(
    mock: RunningMock, headers: dict[str, str], body: bytes
) -> None:
    with client(mock) as http:
        answer = http.post(TRACES, headers=headers, content=body)
    assert (answer.status_code, answer.content) == (200, b"{}")
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert mock.store.observations == []


@pytest.mark.parametrize("version", ["4", "3", "1", "-1", "4.9", ""])
def test_answers_an_accepted_export_with_the_queues_job(mock: RunningMock, version: str) -> None:
    with client(mock) as http:
        answer = http.post(
            TRACES, headers={**JSON, "x-langfuse-ingestion-version": version}, content=simple_export()
        )
    assert answer.status_code == 200
    assert answer.json()["name"] == "otel-ingestion-job"
    assert answer.json()["data"]["payload"]["ingestionVersion"] == version
    assert answer.json()["id"] == "1"
    assert [each["name"] for each in mock.store.observations] == ["turn"]


@pytest.mark.slow
@pytest.mark.parametrize("recording", recordings.names("*"))
def test_takes_the_traces_that_codex_sends_and_nothing_else(mock: RunningMock, recording: str) -> None:
    spans = 0
    refusals: set[str] = set()
    with client(mock) as http:
        for sent in recordings.read(recording):
            answer = http.post(TRACES, headers=PROTOBUF, content=sent.body)
            assert answer.status_code == (200 if sent.signal == "traces" else 400), sent.signal
            if sent.signal == "traces":
                groups = sent.message.resource_spans
                spans += sum(len(scope.spans) for group in groups for scope in group.scope_spans)
            else:
                refusals.add(answer.json()["error"].partition(":")[0])
            assert http.post(METRICS, content=sent.body).json() == {"message": "OK"}
    assert len(mock.store.observations) == spans
    assert refusals <= {"Failed to parse OTel Protobuf Trace"}


def test_a_turn_of_codex_becomes_what_langfuse_makes_of_it(mock: RunningMock) -> None:
    recording = "0.163.0-simple"
    with client(mock) as http:
        for body in recordings.bodies(recording, "traces"):
            http.post(TRACES, headers={**PROTOBUF, "content-encoding": "gzip"}, content=gzip.compress(body))
    found = mock.store.observations
    assert {each["type"] for each in found} == {"SPAN", "GENERATION"}
    assert sum(each["type"] == "GENERATION" for each in found) == 9
    assert len(mock.store.traces) == 26
    assert {each["environment"] for each in found} == {"default"}
    assert {each["version"] for each in found} == {"0.163.0"}
    assert {(each["userId"], each["sessionId"], each["input"], each["output"]) for each in found} == {
        ("", "", None, None)
    }
    assert [each["name"] for each in found if each["usageDetails"]] == ["handle_responses"] * 2
    used = next(each for each in found if each["usageDetails"])
    assert used["usageDetails"] == {
        "input": 200,
        "input_cached_tokens": 1000,
        "output": 50,
        "cache_write.input_tokens": 0,
        "total": 1250,
    }
    assert (used["type"], used["model"], used["costDetails"], used["inputUsage"]) == ("SPAN", "", {}, 1200)
    turn = next(each for each in found if each["name"] == "session_task.turn")
    assert (turn["type"], turn["model"], turn["usageDetails"]) == ("GENERATION", "gpt-5-codex", {})
    assert turn["metadata"]["resourceAttributes.env"] == "test"
    assert turn["metadata"]["attributes.codex.turn.token_usage.total_tokens"] == 2500


@pytest.mark.parametrize("path", [TRACES, METRICS])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_refuses_other_methods_before_asking_who_is_there(
    shared: RunningMock, method: str, path: str
) -> None:
    answer = web.request(method, shared.url + path)
    assert answer.status_code == 405
    assert answer.text == '{"message":"Method not allowed","error":"MethodNotAllowedError"}'
    assert web.head(shared.url + path).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/api/public/otel",
        "/api/public/otel/v1",
        "/api/public/otel/v1/logs",
        "/v1/traces",
        "/API/public/otel/v1/traces",
        "/api/public/otel/v1/traces/x",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_what_is_not_there_is_a_page_for_anybody(shared: RunningMock, method: str, path: str) -> None:
    answer = web.request(method, shared.url + path, headers={"authorization": "nonsense"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "404: This page could not be found." in answer.text


@pytest.mark.parametrize(
    ("path", "location"),
    [
        (f"{TRACES}/", TRACES),
        (f"{TRACES}/?a=b", f"{TRACES}?a=b"),
        ("//api/public//otel/v1/traces", TRACES),
        ("/api/public/otel//v1/traces?a=//b", f"{TRACES}?a=//b"),
    ],
)
def test_leads_untidy_paths_to_the_tidy_one(shared: RunningMock, path: str, location: str) -> None:
    with socket.create_connection(tuple(shared.url.removeprefix("http://").split(":"))) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 308 ")
    assert f"\r\nlocation: {location}\r\n" in head
    assert body == location


def test_records_every_request_as_it_came(mock: RunningMock) -> None:
    body = gzip.compress(simple_export())
    with client(mock) as http:
        http.get("/api/public/health?a=b")
        http.post(TRACES, headers={**JSON, "Content-Encoding": "gzip", "X-Probe": "1"}, content=body)
    first, second = mock.store.requests
    assert (first.method, first.path, first.status, first.body) == ("GET", "/api/public/health?a=b", 200, b"")
    assert (second.method, second.path, second.status, second.body) == ("POST", TRACES, 200, body)
    assert ("x-probe", "1") in second.headers


def test_its_front_page_says_what_it_is() -> None:
    with running_mock(page=True) as mock:
        answer = web.get(mock.url)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "codex-langfuse mock" in answer.text


def test_health_readiness_and_projects(shared: RunningMock) -> None:
    assert web.get(f"{shared.url}/api/public/health").text == '{"status":"OK","version":"4.16.0"}'
    assert web.get(f"{shared.url}/api/public/ready").text == '{"status":"OK","version":"4.16.0"}'
    with client(shared) as http:
        assert http.get("/api/public/projects").text == (
            '{"data":[{"id":"proj1","name":"Codex","organization":{"id":"org1","name":"Org"},"metadata":{}}]}'
        )
    assert web.get(f"{shared.url}/api/public/projects").json() == {"message": "No authorization header"}


def test_a_gzip_bomb_is_turned_away(mock: RunningMock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_langfuse.mock.langfuse.ingestion.LARGEST_BODY", 1_000_000)
    bomb = gzip.compress(bytes(30_000_000))
    with client(mock) as http:
        answer = http.post(TRACES, headers={**JSON, "content-encoding": "gzip"}, content=bomb)
        assert (answer.status_code, answer.headers["content-type"]) == (413, "text/html")
        assert http.get("/api/public/health").status_code == 200


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"message": f"Invalid credentials.{HINT}"}),
        (500, {"message": "Internal Server Error", "error": "Failed to upload JSON to S3"}),
        (503, {"message": "Service Unavailable"}),
    ],
)
def test_plays_a_refusal_as_often_as_asked(mock: RunningMock, status: int, body: dict[str, str]) -> None:
    mock.faults.add(Fault(status=status, times=1, after=1))
    with client(mock) as http:
        answers = [http.post(TRACES, headers=JSON, content=simple_export()) for _ in range(3)]
        assert http.get("/api/public/health").status_code == 200
    assert [answer.status_code for answer in answers] == [200, status, 200]
    assert answers[1].json() == body
    assert [request.status for request in mock.store.requests if request.path == TRACES] == [200, status, 200]


def test_plays_the_clouds_rate_limit() -> None:
    with running_mock(faults=[Fault.parse("status=429,retry-after=3,times=1")]) as mock, client(mock) as http:
        answer = http.post(TRACES, headers=JSON, content=simple_export())
        assert answer.status_code == 429
        assert (answer.headers["retry-after"], answer.headers["x-ratelimit-remaining"]) == ("3", "0")
        assert answer.json()["code"] == "rate_limited"
        assert answer.json()["details"]["retryAfterSeconds"] == 3
        assert mock.store.observations == []


def test_plays_slowness(mock: RunningMock) -> None:
    mock.faults.add(Fault(delay=0.2, times=1))
    with client(mock) as http:
        slow = http.post(TRACES, headers=JSON, content=simple_export())
    assert slow.status_code == 200
    assert slow.elapsed.total_seconds() >= 0.2


def test_stops_at_once_though_a_request_hangs() -> None:
    with running_mock(faults=[Fault(hang=True)]) as mock:
        connection = socket.create_connection(tuple(mock.url.removeprefix("http://").split(":")))
        connection.sendall(f"POST {TRACES} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        wait_until(lambda: mock.store.requests)
        assert mock.store.requests[0].status is None
        leaving = time.monotonic()
    assert time.monotonic() - leaving < 15  # it hangs without an end
    with connection, pytest.raises(ConnectionResetError):
        if connection.recv(1) == b"":
            raise ConnectionResetError


@pytest.mark.parametrize(
    "text",
    [
        "",
        "status=x",
        "status=99",
        "delay=-1",
        "retry-after=3",
        "times=2",
        "colour=red",
        "hang=maybe",
        "delay=nan",
    ],
)
def test_refuses_a_fault_it_cannot_play(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Fault.parse(text)


def test_keeps_what_arrived_in_a_file_without_credentials(tmp_path: Path) -> None:
    file = tmp_path / "store.jsonl"
    with running_mock(store_file=file) as mock, client(mock) as http:
        http.post(TRACES, headers=JSON, content=simple_export({"langfuse.trace.name": "kept"}))
        before = mock.store.observations
    assert "authorization" not in file.read_text()
    with file.open("a") as lines:
        lines.write('{"received":1,"meth')
    with running_mock(store_file=file) as mock, client(mock) as http:
        assert mock.store.observations == before
        http.post(TRACES, headers=JSON, content=simple_export(spanId="ef" * 8))
    with running_mock(store_file=file) as mock:
        assert [each["traceName"] for each in mock.store.observations] == ["kept", "turn"]


def test_refuses_a_file_that_is_no_store(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("precious\n")
    with pytest.raises(ValueError, match="line 1: not a line of a store"), running_mock(store_file=file):
        pass
    assert file.read_text() == "precious\n"


def test_the_store_forgets_the_oldest(mock: RunningMock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_langfuse.mock.store.MOST_REQUESTS", 3)
    monkeypatch.setattr("codex_langfuse.mock.store.MOST_OBSERVATIONS", 2)
    with client(mock) as http:
        for number in range(5):
            http.post(TRACES, headers=JSON, content=simple_export(spanId=f"{number:016x}"))
    assert len(mock.store.requests) == 3
    assert [int(each["id"], 16) for each in mock.store.observations] == [3, 4]


def test_version_3_does_not_look_at_ids(mock: RunningMock) -> None:
    body = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a"}]}]}]}'
    with running_mock(langfuse=3) as older, client(older) as http:
        assert http.post(TRACES, headers=JSON, content=body).status_code == 200
        assert older.store.observations == []
    with client(mock) as http:
        assert http.post(TRACES, headers=JSON, content=body).status_code == 400


def test_no_web_page_can_read_what_codex_sent(shared: RunningMock) -> None:
    """Unlike Langfuse: everyone knows the keys, so a reader's browser must not hand the answer over."""
    for method, path in (("GET", "/api/public/v2/observations"), ("OPTIONS", TRACES), ("POST", TRACES)):
        answer = web.request(method, shared.url + path, headers={"origin": "https://a.example"})
        assert "access-control-allow-origin" not in answer.headers


def test_an_idle_connection_stays_open_for_longer_than_httpx_keeps_it(shared: RunningMock) -> None:
    host, port = shared.url.removeprefix("http://").split(":")
    with closing(HTTPConnection(host, int(port), timeout=10)) as connection:
        for pause in (0, 5.5):
            time.sleep(pause)
            connection.auto_open = pause == 0  # Fail rather than connect again.
            connection.request("GET", "/api/public/health")
            assert connection.getresponse().read()
