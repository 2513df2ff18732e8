"""``codex-langfuse verify``: the test trace arrives, or the layer that failed is named."""

import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_bytes

import click.testing
import httpx
import pytest
import typer.testing
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from codex_langfuse.cli import app
from codex_langfuse.exports import spans_in
from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import IN_APP_AGENT_KEY, ORGANIZATION_KEY, RunningMock, running_mock
from codex_langfuse.mock.visibility import Visibility
from codex_langfuse.page_addresses import page_url
from harness.credential_cases import BOTH, PUBLIC, SECRET, header
from harness.no_langfuse import closed_port, untrusted_context, web_server
from harness.proxy import tls_proxy

pytestmark = [pytest.mark.macos, pytest.mark.slow]

CLEARED = (
    "LANGFUSE_PUBLIC_KEY",
    "LANGFUSE_SECRET_KEY",
    "LANGFUSE_BASE_URL",
    "LANGFUSE_HOST",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
)
OTLP = "/api/public/otel/"
OBSERVATIONS = "/api/public/v2/observations"


@pytest.fixture(autouse=True)
def nothing_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CLEARED:
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


def verify(*arguments: str, **variables: str) -> click.testing.Result:
    result = typer.testing.CliRunner().invoke(app, ["verify", *arguments], env=variables)
    secret = variables.get("LANGFUSE_SECRET_KEY", SECRET)
    for hidden in (secret, header(variables.get("LANGFUSE_PUBLIC_KEY", PUBLIC), secret)[6:]):
        assert hidden not in result.output
    assert "Traceback" not in result.output
    return result


def with_keys(mock: RunningMock, **more: str) -> dict[str, str]:
    return {
        "LANGFUSE_BASE_URL": mock.url,
        "LANGFUSE_PUBLIC_KEY": mock.public_key,
        "LANGFUSE_SECRET_KEY": mock.secret_key,
        **more,
    }


def failed(result: click.testing.Result, layer: str, words: str, page: str) -> None:
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert f"error: {layer}: " in result.stderr
    assert words in result.stderr
    assert result.stderr.endswith(f"  See {page}\n")


# --- It arrives ---


@pytest.mark.parametrize("langfuse", [4, 3])
def test_the_trace_arrives(langfuse: int) -> None:
    with running_mock(langfuse=langfuse) as mock:
        result = verify("--environment", "try-out", **with_keys(mock))
        rows = {row["name"]: row for row in mock.store.rows()}
    assert result.exit_code == 0, result.output
    trace_id = rows["test tool"]["traceId"]
    arrived, link = result.stdout.splitlines()
    assert re.fullmatch(r"It arrived: 3 observations, shown after \d+\.\d seconds\.", arrived)
    assert link == f"{mock.url}/project/proj1/traces/{trace_id}"
    assert result.stderr.splitlines() == [
        f"Langfuse at {mock.url} accepts the keys (project proj1).",
        f"Langfuse accepted the test trace {trace_id}.",
    ]
    assert {name: row["type"] for name, row in rows.items()} == {
        "codex-langfuse verify": "AGENT",
        "test generation": "GENERATION",
        "test tool": "TOOL",
    }
    assert rows["test generation"]["model"] == "codex-langfuse-verify"
    assert rows["test generation"]["usageDetails"] == {"input": 2, "output": 1, "total": 3}
    assert not rows["test generation"]["costDetails"]
    assert {row["environment"] for row in rows.values()} == {"try-out"}
    assert {row["parentObservationId"] for row in rows.values()} == {
        None,
        rows["codex-langfuse verify"]["id"],
    }


def test_the_trace_is_found_where_langfuse_4_still_writes_as_langfuse_3_did() -> None:
    """With LANGFUSE_MIGRATION_V4_WRITE_MODE=legacy the new endpoint answers 200, and has nothing."""
    with running_mock(langfuse=3, faults=[Fault(status=200, path=OBSERVATIONS)]) as mock:
        result = verify("--json", **with_keys(mock))
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["read_endpoint"] == "/api/public/traces"


def test_the_older_endpoint_is_asked_once_where_it_was_given_up() -> None:
    with running_mock(visibility=Visibility(observations=1)) as mock:
        assert verify(**with_keys(mock)).exit_code == 0
        asked = [request.path for request in mock.store.requests if "/traces/" in request.path]
    assert len(asked) == 1


def test_the_trace_holds_nothing_of_the_readers() -> None:
    with running_mock() as mock:
        assert verify(**with_keys(mock)).exit_code == 0
        (sent,) = [request for request in mock.store.requests if request.method == "POST"]
    spans = spans_in([sent.body])
    assert {key for span in spans for key in span.resource} == {"service.name", "service.version"}
    texts = {value for span in spans for value in span.attributes.values() if isinstance(value, str)}
    assert texts == {
        "verify", "invoke_agent", "chat", "execute_tool", "test tool", "codex-langfuse-verify",
        "Does a trace arrive?", "It does.",
    }  # fmt: skip
    assert dict(sent.headers)["x-langfuse-ingestion-version"] == "4"


def test_with_what_codex_is_given() -> None:
    """The variable as ``auth`` writes it is enough."""
    with running_mock() as mock:
        for space in ("%20", " "):
            value = "x-other=1,Authorization=" + header(mock.public_key, mock.secret_key).replace(" ", space)
            result = verify("--base-url", mock.url, OTEL_EXPORTER_OTLP_TRACES_HEADERS=value)
            assert result.exit_code == 0, result.output


def test_half_a_pair_does_not_hide_what_codex_is_given() -> None:
    with running_mock() as mock:
        value = "Authorization=" + header(mock.public_key, mock.secret_key).replace(" ", "%20")
        half = {"LANGFUSE_PUBLIC_KEY": "pk-lf-old", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": value}
        assert verify("--base-url", mock.url, **half).exit_code == 0


def test_says_when_codex_is_given_another_header() -> None:
    note = "note: OTEL_EXPORTER_OTLP_TRACES_HEADERS holds another header than these keys make"
    with running_mock() as mock:
        same = "Authorization=" + header(mock.public_key, mock.secret_key).replace(" ", "%20")
        for value, said in ((same, False), ("Authorization=Basic%20b2xkOmtleQ==", True)):
            result = verify(**with_keys(mock, OTEL_EXPORTER_OTLP_TRACES_HEADERS=value))
            assert (result.exit_code, note in result.stderr) == (0, said)


def test_json() -> None:
    with running_mock() as mock:
        result = verify("--json", **with_keys(mock))
    assert (result.exit_code, result.stderr) == (0, "")
    outcome = json.loads(result.stdout)
    assert outcome.pop("seconds") >= 0
    trace_id = outcome["trace_id"]
    assert outcome == {
        "arrived": True,
        "trace_id": trace_id,
        "project_id": "proj1",
        "link": f"{mock.url}/project/proj1/traces/{trace_id}",
        "observations": 3,
        "read_endpoint": OBSERVATIONS,
    }


def test_a_moment_of_trouble_is_waited_out() -> None:
    """Too many requests once, and twice a server that cannot read: the trace still arrives."""
    faults = [
        Fault(status=429, retry_after=0, times=1),
        Fault(status=503, times=2, path=OBSERVATIONS),
    ]
    with running_mock(faults=faults) as mock:
        result = verify(**with_keys(mock))
    assert result.exit_code == 0, result.output
    assert result.stderr.count("Waiting until Langfuse shows it, at most ") == 1


def test_langfuse_cloud_says_more_than_is_asked() -> None:
    """Only old observations, with the notice of their end that Langfuse Cloud adds."""

    class Cloud(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/api/public/projects":
                self.answer(200, {"data": [{"id": "p1", "name": "P"}]})
            elif self.path.startswith("/api/public/traces/"):
                deprecation = {"message": "Use v2", "sunsetAt": "2026-11-16"}
                observations = [{"id": str(number)} for number in range(3)]
                self.answer(200, {"observations": observations, "_deprecation": deprecation})
            else:
                self.answer(404, "<html>404</html>")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.answer(207, {"successes": []})

        def answer(self, status: int, body: object) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    with served(Cloud) as url:
        result = verify("--json", LANGFUSE_BASE_URL=url, **BOTH)
    assert json.loads(result.stdout)["read_endpoint"] == "/api/public/traces"


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.skipif(os.name != "posix", reason="there is no pseudo-terminal")
def test_progress_at_a_terminal() -> None:
    from harness.teletype import at_a_terminal

    with running_mock(faults=[Fault(status=503, times=3, path=OBSERVATIONS)]) as mock:
        environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", **with_keys(mock)}
        command = [sys.executable, "-m", "codex_langfuse", "verify"]
        with at_a_terminal(command, environment) as teletype:
            teletype.wait_for("Waiting until Langfuse shows it, at most")
            status, output = teletype.finish()
    assert status == 0
    assert output.splitlines()[1].startswith(f"{mock.url}/project/proj1/traces/")
    assert "accepts the keys (project proj1)." in teletype.shown
    assert mock.secret_key not in teletype.shown


# --- A session of Codex ---


@pytest.mark.parametrize("langfuse", [4, 3])
def test_a_session_is_asked_for_and_nothing_is_sent(langfuse: int) -> None:
    with running_mock(langfuse=langfuse) as mock:
        with ThreadPoolExecutor(1) as later:
            asked = later.submit(verify, "--session", "s/1", **with_keys(mock))
            for number in range(2):
                post_turn(mock, number, "s/1")
                post_turn(mock, number + 5, "another")
            result = asked.result()
        again = json.loads(verify("--session", "s/1", "--json", **with_keys(mock)).stdout)
        assert len(mock.store.traces) == 4
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].startswith("Langfuse shows it: ")
    assert result.stdout.splitlines()[1] == f"{mock.url}/project/proj1/sessions/s%2F1"
    assert (again["arrived"], again["traces"], again["newest"]) == (True, 2, "2023-11-14T22:13:21.000Z")


def test_a_session_that_is_not_there_is_told_with_what_to_look_at() -> None:
    with running_mock() as mock:
        post_turn(mock, 1, "another")
        result = verify("--session", "s1", "--timeout", "1", **with_keys(mock))
    words = "Langfuse shows no trace of session s1 after 1 seconds"
    failed(result, "read", words, page_url("guide/troubleshooting", "verify-session"))
    assert "codex-langfuse relay --status" in result.stderr


def post_turn(mock: RunningMock, second: int, session: str) -> None:
    """Send a trace of two spans that began ``second`` seconds after 22:13:20 on 14 November 2023."""
    trace, ids = token_bytes(16), (token_bytes(8), token_bytes(8))
    start = (1_700_000_000 + second) * 10**9
    attribute = KeyValue(key="session.id", value=AnyValue(string_value=session))
    spans = [
        Span(
            trace_id=trace,
            span_id=ids[number],
            parent_span_id=ids[0] * number,
            name="turn",
            start_time_unix_nano=start,
            end_time_unix_nano=start + 1,
            attributes=[attribute],
        )
        for number in (0, 1)
    ]
    groups = [ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])]
    httpx.post(
        f"{mock.url}/api/public/otel/v1/traces",
        content=ExportTraceServiceRequest(resource_spans=groups).SerializeToString(),
        headers={
            "authorization": header(mock.public_key, mock.secret_key),
            "content-type": "application/x-protobuf",
        },
    ).raise_for_status()


# --- It does not, layer by layer ---


def test_address() -> None:
    unreachable = page_url("guide/troubleshooting", "unreachable")
    url = closed_port()
    failed(verify(LANGFUSE_BASE_URL=url, **BOTH), "address", f"{url} cannot be reached", unreachable)
    nowhere = verify(LANGFUSE_BASE_URL="https://langfuse.invalid", **BOTH)
    failed(nowhere, "address", "the name in https://langfuse.invalid cannot be resolved", unreachable)
    with running_mock(faults=[Fault(hang=True, path="/")]) as mock:
        silent = verify("--timeout", "1", **with_keys(mock))
    failed(silent, "address", f"{mock.url} does not answer within 1 seconds", unreachable)
    with running_mock(faults=[Fault(status=500, path="/api/public/projects")]) as mock:
        failed(verify(**with_keys(mock)), "address", "answers with status 500", unreachable)


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("HTTPS_PROXY", "the proxy (HTTPS_PROXY) if you use one."),
        ("ALL_PROXY", "the proxy in the environment cannot be used"),
    ],
)
def test_address_behind_a_proxy_that_does_not_work(variable: str, words: str) -> None:
    proxy = closed_port() if variable == "HTTPS_PROXY" else "gopher://127.0.0.1:1"
    result = verify("--region", "eu", **{variable: proxy, **BOTH})
    failed(result, "address", words, page_url("guide/troubleshooting", "unreachable"))


def test_tls(tmp_path: Path) -> None:
    unreachable = page_url("guide/troubleshooting", "unreachable")
    with web_server(tmp_path, untrusted_context()) as url:
        result = verify(LANGFUSE_BASE_URL=url, **BOTH)
        failed(result, "tls", f"no trusted TLS connection to {url}", unreachable)
        assert "set SSL_CERT_FILE to its file." in result.stderr
        missing = verify(LANGFUSE_BASE_URL=url, SSL_CERT_FILE=str(tmp_path / "none.pem"), **BOTH)
        failed(missing, "tls", "SSL_CERT_FILE", unreachable)


def test_own_authority_and_proxy_from_the_environment() -> None:
    with (
        running_mock() as mock,
        tls_proxy({"us.cloud.langfuse.com": mock.url}) as proxy,
    ):
        keys = with_keys(mock, LANGFUSE_BASE_URL="https://us.cloud.langfuse.com")
        result = verify(**keys, **proxy.environment)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].startswith("https://us.cloud.langfuse.com/project/proj1/traces/")


def test_path(tmp_path: Path) -> None:
    endpoint_path = page_url("guide/troubleshooting", "endpoint-path")
    (tmp_path / "api/public/projects").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for folder, status in ((tmp_path, 301), (tmp_path / "empty", 404)):
        with web_server(folder) as url:
            result = verify(LANGFUSE_BASE_URL=url, **BOTH)
        failed(result, "path", f"{url} answers, but not as Langfuse does (status {status})", endpoint_path)
    with running_mock(faults=[Fault(status=404)]) as mock:
        older = verify(**with_keys(mock))
    failed(older, "path", f"{mock.url}/api/public/otel/v1/traces does not exist (status 404)", endpoint_path)


def test_keys() -> None:
    refused_keys = page_url("guide/troubleshooting", "refused-keys")
    with running_mock() as mock:
        for keys, words in (
            (BOTH, "Langfuse says: Invalid credentials. Confirm that you've configured the correct host."),
            (
                {
                    "LANGFUSE_PUBLIC_KEY": IN_APP_AGENT_KEY.public_key,
                    "LANGFUSE_SECRET_KEY": IN_APP_AGENT_KEY.secret_key,
                },
                "Langfuse says: Access denied - in-app agent keys are not allowed for this endpoint",
            ),
            (
                {
                    "LANGFUSE_PUBLIC_KEY": ORGANIZATION_KEY.public_key,
                    "LANGFUSE_SECRET_KEY": ORGANIZATION_KEY.secret_key,
                },
                "Make a pair in the project: Settings, API Keys.",
            ),
        ):
            failed(verify(LANGFUSE_BASE_URL=mock.url, **keys), "keys", words, refused_keys)
        assert not mock.store.rows()
        wrong = {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": "Authorization=Basic%20b2xkOmtleQ=="}
        result = verify(LANGFUSE_BASE_URL=mock.url, **wrong)
        failed(result, "keys", "The keys came from OTEL_EXPORTER_OTLP_TRACES_HEADERS.", refused_keys)
    with running_mock(faults=[Fault(status=401)]) as mock:
        failed(verify(**with_keys(mock)), "keys", "the keys may read, but not send (401)", refused_keys)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(status=400), "A proxy in front may change requests."),
        (Fault(status=403), "Langfuse says: Ingestion suspended: Usage threshold exceeded."),
        (Fault(status=413), "A proxy in front of Langfuse limits the size of requests"),
        (Fault(status=429, retry_after=0), "Too many requests; it asks to wait 0 seconds."),
        (Fault(status=429, retry_after=3600), "Too many requests; it asks to wait 3600 seconds."),
        (Fault(status=500), "See the log of Langfuse's web container"),
    ],
    ids=lambda value: f"{value.status} {value.retry_after}" if isinstance(value, Fault) else "",
)
def test_ingestion(fault: Fault, words: str) -> None:
    with running_mock(faults=[fault]) as mock:
        result = verify(**with_keys(mock))
        sent = [request for request in mock.store.requests if request.method == "POST"]
    failed(result, "ingestion", words, page_url("guide/troubleshooting", "verify-layers"))
    assert f"not the test trace (status {fault.status})" in result.stderr
    assert len(sent) == (2 if fault.retry_after == 0 else 1)


def test_a_server_that_hangs_after_it_took_the_keys() -> None:
    layers = page_url("guide/troubleshooting", "verify-layers")
    with running_mock(faults=[Fault(hang=True)]) as mock:
        result = verify("--timeout", "1", **with_keys(mock))
    failed(result, "ingestion", "accepts the keys, but does not answer the test trace", layers)
    assert "does not answer within 1 seconds" in result.stderr
    with running_mock(faults=[Fault(hang=True, path="/api/public/v2/observations")]) as mock:
        result = verify("--timeout", "1", **with_keys(mock))
    failed(result, "read", "Langfuse gives no answer when asked for the test trace", layers)


def test_swapped_keys() -> None:
    swapped = {"LANGFUSE_PUBLIC_KEY": "sk-lf-a", "LANGFUSE_SECRET_KEY": "pk-lf-b"}
    result = verify("--region", "eu", **swapped)
    assert result.exit_code == 2
    assert "the two keys are swapped" in result.stderr


@pytest.mark.parametrize("langfuse", [4, 3])
def test_read(langfuse: int) -> None:
    """Taken with 200 and lost behind it, as when no worker runs."""
    with running_mock(langfuse=langfuse, faults=[Fault(status=200)]) as mock:
        result = verify("--timeout", "1", **with_keys(mock))
    failed(
        result,
        "read",
        "Langfuse accepted the test trace, but does not show it after 1 seconds",
        page_url("guide/troubleshooting", "verify-layers"),
    )
    assert "check that worker and ClickHouse run" in result.stderr
    assert "The last answer had status" not in result.stderr


def test_read_names_what_was_answered_last() -> None:
    with running_mock(faults=[Fault(status=500, path=OBSERVATIONS)]) as mock:
        result = verify("--timeout", "1", "--json", **with_keys(mock))
    assert (result.exit_code, result.stderr) == (1, "")
    outcome = json.loads(result.stdout)
    assert (outcome["arrived"], outcome["layer"]) == (False, "read")
    assert outcome["page"] == page_url("guide/troubleshooting", "verify-layers")
    assert "The last answer had status 500." in outcome["remedies"]


# --- Wrong usage ---


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        ([], BOTH, "no address: set LANGFUSE_BASE_URL"),
        (["--region", "eu"], {}, "no keys: set LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY"),
        (["--region", "eu"], {"LANGFUSE_PUBLIC_KEY": PUBLIC}, "the secret key is empty"),
        (
            ["--region", "eu"],
            {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x=1"},
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS has no Authorization in it",
        ),
        (
            ["--base-url", "https://cloud.langfuse.com/api/public/otel"],
            BOTH,
            "only the address of Langfuse: https://cloud.langfuse.com",
        ),
        (["--region", "eu", "--base-url", "http://localhost"], BOTH, "not both"),
        (["--region", "eu", "--environment", "Prod"], BOTH, "is not an environment name in Langfuse"),
        (["--region", "eu", "--environment", "langfuse-x"], BOTH, "is not an environment name in Langfuse"),
        (["--region", "eu", "--timeout", "0"], BOTH, "--timeout"),
        (["--region", "eu", "--session", " "], BOTH, "--session needs the id"),
        (["--region", "eu", "--session", "s", "--environment", "ci"], BOTH, "for the test trace"),
    ],
)
def test_wrong_usage(arguments: list[str], variables: dict[str, str], words: str) -> None:
    result = verify(*arguments, **variables)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
