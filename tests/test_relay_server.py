"""The relay as a server: who may send what, what it answers, how it starts and stops."""

import gzip
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import trustme

import recordings
from codex_langfuse.keys.credentials import BaseUrl
from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.page_addresses import page_url
from codex_langfuse.relay.admission import Address
from codex_langfuse.relay.delivery import Destination
from codex_langfuse.relay.receiving import LARGEST_BODY
from codex_langfuse.relay.server import SettingsError, Tls, check, running_relay
from harness import web
from harness.running_relay import (
    CLIENT,
    PROTOBUF,
    CountingAssembly,
    figures,
    logs_export,
    post_logs,
    relay_for,
    settings_for,
    wait_until,
)

pytestmark = [pytest.mark.macos, pytest.mark.windows, pytest.mark.slow]

asks_to_end = pytest.mark.skipif(os.name == "nt", reason="Windows ends a process, and does not ask it to end")

COMMAND = [sys.executable, "-m", "codex_langfuse", "relay"]
ZIPPED = {"content_encoding": "gzip"}


@pytest.fixture(scope="module")
def langfuse() -> Iterator[RunningMock]:
    with running_mock() as langfuse:
        yield langfuse


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("relay") / "state"


@pytest.fixture(scope="module")
def relay(langfuse: RunningMock, state: Path) -> Iterator[str]:
    with relay_for(langfuse, state, body_seconds=5.0) as url:
        yield url


@pytest.fixture
def unchanged(langfuse: RunningMock, state: Path, relay: str) -> Iterator[None]:
    """What the test sends must leave nothing on disk."""
    yield
    found = figures(state)
    assert (found.batches, found.seen) == (0, 0)


# --- what it answers ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (400, b"no protobuf", {}),
        (400, b"{", {"content_type": "application/json"}),
        (400, gzip.compress(logs_export("one"), mtime=0)[:-4], ZIPPED),
        (413, gzip.compress(bytes(LARGEST_BODY + 1), mtime=0), ZIPPED),
        (413, bytes(100 * 1024 * 1024), {}),
        (413, bytes(100 * 1024 * 1024), {"expect": "100-continue"}),
        (415, logs_export("one"), {"content_type": "text/plain"}),
        (415, logs_export("one"), {"content_encoding": "zstd"}),
        (403, logs_export("one"), {"origin": "http://localhost:3000"}),
        (403, logs_export("one"), {"origin": "null"}),
        (403, logs_export("one"), {"host": "rebound.example"}),
        (403, logs_export("one"), {"host": "rebound.example:4318"}),
    ],
)
def test_bad_exports(relay: str, status: int, body: bytes, headers: dict[str, str]) -> None:
    answer = post_logs(relay, body, **headers)
    assert answer.status_code == status
    assert answer.json()["message"]
    assert CLIENT.get(f"{relay}/healthz").text == "ok\n"


@pytest.mark.usefixtures("unchanged")
def test_a_body_without_end(relay: str) -> None:
    chunks = (bytes(1024 * 1024) for _ in range(40))
    answer = CLIENT.post(f"{relay}/v1/logs", content=chunks, headers=PROTOBUF)
    assert answer.status_code == 413


@pytest.mark.usefixtures("unchanged")
def test_a_sender_that_takes_its_time(relay: str) -> None:
    with connected(relay) as connection:
        connection.sendall(
            b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\ncontent-type: application/x-protobuf\r\n"
            b"content-length: 100\r\n\r\nhalf"
        )
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.usefixtures("unchanged")
def test_a_sender_that_leaves(relay: str) -> None:
    with connected(relay) as connection:
        connection.sendall(
            b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\ncontent-type: application/x-protobuf\r\n"
            b"content-length: 100\r\n\r\nhalf"
        )
    assert CLIENT.get(f"{relay}/healthz").status_code == 200


@pytest.mark.usefixtures("unchanged")
def test_other_paths_and_methods(relay: str) -> None:
    assert CLIENT.get(f"{relay}/v1/logs").status_code == 405
    assert CLIENT.post(relay, content=logs_export("one"), headers=PROTOBUF).status_code == 404


@pytest.mark.usefixtures("unchanged")
def test_takes_metrics_and_drops_them(relay: str) -> None:
    (body,) = recordings.bodies("0.169.0-simple", "metrics")
    answer = CLIENT.post(f"{relay}/v1/metrics", content=body, headers=PROTOBUF)
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("content_type", "body"), [("application/x-protobuf", b""), ("application/json", b"{}")]
)
def test_answers_in_the_senders_form(relay: str, content_type: str, body: bytes) -> None:
    answer = post_logs(relay, body, content_type=content_type)
    assert (answer.status_code, answer.content) == (200, body)
    assert answer.headers["content-type"] == content_type


@pytest.mark.parametrize("host", ["localhost:4318", "LOCALHOST", "127.0.0.1", "[::1]:4318"])
def test_hosts_of_this_machine(relay: str, host: str) -> None:
    assert CLIENT.get(f"{relay}/readyz", headers={"host": host}).status_code == 200


def test_what_a_page_in_a_browser_may_read(relay: str) -> None:
    for path in ("/metrics", "/readyz", "/"):
        for headers in ({"host": "rebound.example"}, {"origin": "https://rebound.example"}):
            answer = CLIENT.get(relay + path, headers=headers)
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers


def test_metrics_for_prometheus(relay: str, langfuse: RunningMock) -> None:
    lines = CLIENT.get(f"{relay}/metrics").text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(values["codex_langfuse_relay_turns_seen_total"]) == 0
    assert float(values["codex_langfuse_relay_disk_limit_bytes"]) == 256 * 2**20
    assert abs(float(values["codex_langfuse_relay_start_time_seconds"]) - time.time()) < 600
    for name in values:
        assert f"# TYPE {name.partition('{')[0]} " in "\n".join(lines)


def test_many_at_once(tmp_path: Path, langfuse: RunningMock) -> None:
    langfuse.store.clear()
    with (
        relay_for(langfuse, tmp_path / "state") as url,
        httpx.Client(headers=PROTOBUF, timeout=30, limits=httpx.Limits(max_connections=50)) as client,
        ThreadPoolExecutor(50) as senders,
    ):
        exports = (logs_export(f"many{n}") for n in range(200))
        answers = senders.map(lambda export: client.post(f"{url}/v1/logs", content=export), exports)
        assert {answer.status_code for answer in answers} == {200}
    delivered = [each["name"].split()[0] for each in langfuse.store.observations]
    assert sorted(delivered) == sorted(f"many{n}" for n in range(200))
    langfuse.store.clear()


# --- connections --------------------------------------------------------------------------------------------


def connected(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def test_silent_connections_shut_nobody_out(
    tmp_path: Path, langfuse: RunningMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codex_langfuse.relay.connections.MOST_CONNECTIONS", 20)
    with relay_for(langfuse, tmp_path / "state", token="right") as url, ExitStack() as stack:
        codex = stack.enter_context(httpx.Client(headers=PROTOBUF, timeout=30))
        for number in range(60):
            silent = stack.enter_context(connected(url))
            if number % 2:
                silent.sendall(b"POST /v1/logs HTTP/1.1\r\nHost: local")
            assert codex.get(f"{url}/healthz").text == "ok\n"


def test_slow_headers_end_a_connection(
    tmp_path: Path, langfuse: RunningMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codex_langfuse.relay.connections.SECONDS_FOR_HEADERS", 0.2)
    with relay_for(langfuse, tmp_path / "state") as url:
        for sent in (b"", b"POST /v1/logs HTTP/1.1\r\n"):
            with connected(url) as slow:
                slow.sendall(sent)
                assert slow.recv(100) == b""


class Connected(CountingAssembly):
    """Notes which turn came by which connection, and the connections that were closed."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, str]] = []

    def take(self, batch_id: int, request: Any, now: float, connection: str = "") -> None:
        super().take(batch_id, request, now, connection)
        self.told.append(("export", connection))

    def connection_closed(self, batch_id: int, connection: str, now: float) -> None:
        self.told.append(("closed", connection))


def test_the_assembly_learns_who_closed_a_connection(tmp_path: Path, langfuse: RunningMock) -> None:
    """Closed by its sender: told after its exports. Closed by the relay, or without exports: not told."""
    assembly = Connected()
    settings = settings_for(langfuse, tmp_path / "state")
    with running_relay(settings, assembly) as url, httpx.Client(headers=PROTOBUF, timeout=30) as other:
        other.get(f"{url}/healthz")
        with httpx.Client(headers=PROTOBUF, timeout=30) as codex:
            codex.post(f"{url}/v1/logs", content=logs_export("one"))
            other.post(f"{url}/v1/logs", content=logs_export("two"))
            codex.post(f"{url}/v1/logs", content=logs_export("three"))
        wait_until(lambda: len(assembly.told) == 4)
        one, two, three, closed = assembly.told
        assert one == three == ("export", closed[1])
        assert closed == ("closed", one[1])
        assert two[0] == "export"
        assert two[1] not in ("", one[1])
        other.post(f"{url}/v1/logs", content=logs_export("four"), headers={**PROTOBUF, "connection": "close"})
    assert [each[0] for each in assembly.told] == ["export", "export", "export", "closed", "export"]


# --- who may send -------------------------------------------------------------------------------------------


def test_with_a_token(tmp_path: Path, langfuse: RunningMock) -> None:
    with relay_for(langfuse, tmp_path / "state", token="right") as url:
        for authorization in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer right "[:-2]}):
            answer = post_logs(url, logs_export("one"), **authorization)
            assert answer.status_code == 401
        assert CLIENT.get(f"{url}/metrics").status_code == 401
        assert CLIENT.get(f"{url}/readyz").status_code == 200
        assert post_logs(url, b"", authorization="Bearer right").status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_nobody_else_without_a_token(tmp_path: Path, host: str) -> None:
    settings = settings_for("http://127.0.0.1:9", tmp_path, listen=Address(host, 4318))
    with pytest.raises(SettingsError, match="give --token-file"):
        check(settings)
    check(settings_for("http://127.0.0.1:9", tmp_path, listen=Address(host, 4318), token="t"))
    without_ca = Tls(tmp_path, tmp_path)
    with pytest.raises(SettingsError):
        check(settings_for("http://127.0.0.1:9", tmp_path, listen=Address(host, 4318), tls=without_ca))


def test_with_client_certificates(tmp_path: Path, langfuse: RunningMock) -> None:
    ca = trustme.CA()
    server, client = ca.issue_cert("127.0.0.1"), ca.issue_cert("codex@example.com")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    server.private_key_pem.write_to_path(tmp_path / "key.pem")
    server.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    tls = Tls(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem")
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with relay_for(langfuse, tmp_path / "state", tls=tls) as url:
        assert url.startswith("https://127.0.0.1:")
        with pytest.raises(httpx.HTTPError):
            web.post(f"{url}/v1/logs", content=b"", headers=PROTOBUF, verify=context)
        client.configure_cert(context)
        answer = web.post(f"{url}/v1/logs", content=b"", headers=PROTOBUF, verify=context)
        assert answer.status_code == 200


# --- the command --------------------------------------------------------------------------------------------


def environment_for(langfuse: RunningMock, **more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("LANGFUSE_")}
    keys = {"LANGFUSE_PUBLIC_KEY": langfuse.public_key, "LANGFUSE_SECRET_KEY": langfuse.secret_key}
    return {**own, **keys, "LANGFUSE_BASE_URL": langfuse.url, "NO_COLOR": "1", **more}


@contextmanager
def running(
    environment: Mapping[str, str], state: Path, *options: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command on a free port; yield the process and the first line it printed."""
    command = [*COMMAND, "--listen", "127.0.0.1:0", "--state", str(state), *options]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().rstrip("\n")
        finally:
            process.kill()


def run(environment: Mapping[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *options], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@asks_to_end
def test_says_where_it_is_and_what_it_leaves(
    langfuse: RunningMock, tmp_path: Path, number: signal.Signals
) -> None:
    langfuse.store.clear()
    state = tmp_path / "state"
    environment = environment_for(langfuse)
    with running(environment, state, "--finish-on-stop") as (process, url):
        assert url.startswith("http://127.0.0.1:")
        for signal_name in ("logs", "traces"):
            for body in recordings.bodies("0.163.0-simple", signal_name):
                answer = CLIENT.post(f"{url}/v1/{signal_name}", content=body, headers=PROTOBUF)
                assert answer.status_code == 200
        status = run(environment, "--status", "--state", str(state))
        assert status.returncode == 0
        assert f"running at {url}, process {process.pid}" in status.stdout
        second = run(environment, "--listen", "127.0.0.1:0", "--state", str(state))
        assert (second.returncode, second.stdout) == (1, "")
        assert f"another relay (process {process.pid}, {url}) works in {state}" in second.stderr
        process.send_signal(number)
        rest, said = process.communicate(timeout=30)
    assert (process.returncode, rest) == (0, "")
    assert " accepted at the end, 0 turns kept on disk for the next start" in said
    assert len(langfuse.store.traces) == 1
    assert langfuse.secret_key not in said
    status = run(environment, "--status", "--json", "--state", str(state))
    assert status.returncode == 1
    document = json.loads(status.stdout)
    assert document["running"] is False
    assert document["turns"]["accepted"] == document["turns"]["seen"] == len(langfuse.store.traces)


@asks_to_end
def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with (
        running_mock(faults=[Fault(hang=True)]) as langfuse,
        running(environment_for(langfuse), tmp_path / "state") as (process, url),
    ):
        (body,) = recordings.bodies("0.44.0-simple", "logs")
        CLIENT.post(f"{url}/v1/logs", content=body, headers=PROTOBUF)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: _refuses_connections(url))
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 1
        assert "Traceback" not in said


@asks_to_end
def test_waits_for_no_sender_when_told_to_stop(tmp_path: Path, langfuse: RunningMock) -> None:
    with (
        running(environment_for(langfuse), tmp_path / "state") as (process, url),
        connected(url) as connection,
    ):
        connection.sendall(
            b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\ncontent-type: application/x-protobuf\r\n"
            b"expect: 100-continue\r\ncontent-length: 100\r\n\r\n"
        )
        # It has begun to read.
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in said


def _refuses_connections(url: str) -> bool:
    try:
        connected(url).close()
    except OSError:
        return True
    return False


@asks_to_end
def test_tells_what_is_refused_and_how_to_go_on(tmp_path: Path, langfuse: RunningMock) -> None:
    state = tmp_path / "state"
    wrong = environment_for(langfuse, LANGFUSE_SECRET_KEY="sk-lf-wrong-secret-1234")
    with running(wrong, state, "--finish-on-stop") as (process, url):
        wait_until(lambda: CLIENT.get(f"{url}/readyz").status_code == 503)
        assert CLIENT.get(f"{url}/readyz").text.startswith("turns are not accepted: 401: Invalid credentials")
        for body in recordings.bodies("0.44.0-simple", "logs"):
            CLIENT.post(f"{url}/v1/logs", content=body, headers=PROTOBUF)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert "401: Invalid credentials" in said
    assert page_url("guide/troubleshooting", "refused-keys") in said
    assert "wrong-secret" not in said
    assert process.returncode == 1
    status = run(wrong, "--status", "--state", str(state))
    assert "0 accepted, 1 waiting, 0 set aside" in status.stdout
    assert page_url("guide/troubleshooting", "refused-keys") in status.stdout
    langfuse.store.clear()
    with running(environment_for(langfuse), state):
        wait_until(lambda: len(langfuse.store.traces) == 1)


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="needs a limit that a running process gets")
def test_a_full_disk(tmp_path: Path, langfuse: RunningMock) -> None:
    langfuse.store.clear()
    state = tmp_path / "state"
    with running(environment_for(langfuse), state, "--finish-on-stop") as (process, url):
        bodies = recordings.bodies("0.44.0-simple", "logs")
        relay = psutil.Process(process.pid)
        _, most = relay.rlimit(psutil.RLIMIT_FSIZE)
        # From here on no file of the relay's can grow.
        relay.rlimit(psutil.RLIMIT_FSIZE, (1, most))
        answer = CLIENT.post(f"{url}/v1/logs", content=bodies[0], headers=PROTOBUF)
        assert (answer.status_code, answer.json()) == (503, {"message": "no room for more"})
        assert int(answer.headers["retry-after"]) > 0
        assert CLIENT.get(f"{url}/readyz").text.startswith("no room for more: ")
        relay.rlimit(psutil.RLIMIT_FSIZE, (most, most))
        # It recovers by itself, not with the next export.
        wait_until(lambda: CLIENT.get(f"{url}/readyz").status_code == 200)
        for body in bodies:
            assert CLIENT.post(f"{url}/v1/logs", content=body, headers=PROTOBUF).status_code == 200
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert said.count("no room for more") == 1
    assert len(langfuse.store.traces) == 1
    status = run(environment_for(langfuse), "--status", "--state", str(state)).stdout
    assert "1 export lost, as there was no room" in status
    assert "no room for more: exports were turned away, and are lost" in status


@asks_to_end
def test_a_stop_keeps_turns_in_progress_and_the_next_start_goes_on_with_them(
    tmp_path: Path, langfuse: RunningMock
) -> None:
    langfuse.store.clear()
    state = tmp_path / "state"
    environment = environment_for(langfuse)
    exports = [
        (name, body) for name in ("logs", "traces") for body in recordings.bodies("0.163.0-simple", name)
    ]
    with running(environment, state) as (process, url):
        for name, body in exports[:-1]:
            assert CLIENT.post(f"{url}/v1/{name}", content=body, headers=PROTOBUF).status_code == 200
        stopped = run(environment, "--stop", "--state", str(state))
        assert (stopped.returncode, stopped.stderr) == (0, f"stopped process {process.pid}\n")
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "exports of turns in progress kept on disk for the next start" in said
    assert len(langfuse.store.traces) == 0
    with running(environment, state) as (process, url):
        name, body = exports[-1]
        assert CLIENT.post(f"{url}/v1/{name}", content=body, headers=PROTOBUF).status_code == 200
        stopped = run(environment, "--stop", "--finish-on-stop", "--state", str(state))
        assert stopped.returncode == 0
        process.communicate(timeout=30)
    (observations,) = langfuse.store.traces.values()
    assert sum(each["type"] == "GENERATION" for each in observations) == 2
    status = run(environment, "--status", "--state", str(state)).stdout
    assert re.search("^gap         nothing was taken from ", status, re.M)
    nobody = run(environment, "--stop", "--state", str(state))
    assert (nobody.returncode, nobody.stderr) == (0, f"no relay runs in {state}\n")


@asks_to_end
@pytest.mark.parametrize("status", [400, 503])
def test_the_exit_status_says_whether_all_turns_were_accepted(tmp_path: Path, status: int) -> None:
    """Waiting and set aside are not accepted, for --status --wait and for --finish-on-stop."""
    state = tmp_path / "state"
    with (
        running_mock(faults=[Fault(status=status, after=1)]) as langfuse,
        running(environment_for(langfuse), state, "--finish-on-stop") as (process, url),
    ):
        wait = ("--status", "--wait", "1", "--state", str(state))
        assert run(environment_for(langfuse), *wait).returncode == 0
        for body in recordings.bodies("0.44.0-simple", "logs"):
            CLIENT.post(f"{url}/v1/logs", content=body, headers=PROTOBUF)
        stopped = run(environment_for(langfuse), "--stop", "--finish-on-stop", "--state", str(state))
        assert stopped.returncode == 1
        assert "not all turns were accepted: see --status" in stopped.stderr
        process.communicate(timeout=30)
        assert process.returncode == 1
        with running(environment_for(langfuse), state):
            assert run(environment_for(langfuse), *wait).returncode == 1


def test_credentials_from_a_file(tmp_path: Path, langfuse: RunningMock) -> None:
    file = tmp_path / "relay.env"
    file.write_text(
        f"# written by hand\nLANGFUSE_PUBLIC_KEY={langfuse.public_key}\n"
        f"export LANGFUSE_SECRET_KEY='{langfuse.secret_key}'\nLANGFUSE_BASE_URL=\"{langfuse.url}\"\n"
    )
    options = ("--credentials", str(file), "--state", str(tmp_path / "state"), "--listen", "127.0.0.1:0")
    environment = environment_for(langfuse, LANGFUSE_SECRET_KEY="sk-lf-another")
    if os.name != "nt":
        file.chmod(0o640)
        loose = run(environment, *options)
        assert (loose.returncode, loose.stdout) == (2, "")
        assert f"{file} has mode 0640: others may read it. Run: chmod 600" in loose.stderr
    file.chmod(0o600)
    langfuse.store.clear()
    with running(environment, tmp_path / "state", "--credentials", str(file)):
        # It asks at once whether the keys are right.
        wait_until(
            lambda: [each.status for each in langfuse.store.requests if each.method == "POST"] == [200]
        )


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--listen", "4318"), '"4318" is not HOST:PORT'),
        (("--listen", "0.0.0.0:0"), "can be reached from other machines: give --token-file"),
        (("--content", "some"), "Invalid value for '--content'"),
        (("--status", "--install"), "give one of --status"),
        (("--forward", "collector:4318"), "--forward must be an address with http://"),
        (
            ("--forward", "http://127.0.0.1:9", "--forward-header", "x-team=x"),
            "--forward-header x-team=@FILE",
        ),
        (("--forward", "http://127.0.0.1:99999/v1/traces"), "--forward must be an address with http://"),
        (("--forward", "http://"), "--forward must be an address with http://"),
        (("--forward", "http://me:hidden@127.0.0.1:9/"), "would appear in the list of processes"),
        (("--forward", "http://127.0.0.1:9/?key=hidden"), "--forward-header authorization=@FILE"),
        (("--forward-header", "a=b"), "--forward-header goes with --forward"),
        (("--environment", "Prod!"), "'Prod!' is not an environment name in Langfuse"),
        (("--tag", "a,b"), "'a,b' is not a tag"),
        (("--user", ""), "a user is a name of 1 to 200 characters"),
        (("--json",), "--json, --wait, --since and --session go with --status"),
        (("--token-file", "nowhere"), "nowhere cannot be read: No such file or directory"),
        (("--tls-cert", "cert.pem"), "give --tls-cert and --tls-key together"),
    ],
)
def test_refuses_options_that_make_no_sense(
    tmp_path: Path, langfuse: RunningMock, options: tuple[str, ...], complaint: str
) -> None:
    ended = run(environment_for(langfuse), "--state", str(tmp_path / "state"), *options)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert complaint in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr
    assert "hidden" not in ended.stderr
    assert not (tmp_path / "state").exists()


@asks_to_end
def test_beyond_loopback_the_token_is_long_and_the_reader_knows_that_it_is_readable(
    tmp_path: Path, langfuse: RunningMock
) -> None:
    token = tmp_path / "token"
    token.write_text("guessable\n")
    token.chmod(0o600)
    options = ("--listen", "0.0.0.0:0", "--token-file", str(token))
    short = run(environment_for(langfuse), "--state", str(tmp_path / "state"), *options)
    assert (short.returncode, short.stdout) == (2, "")
    assert "fewer than 16 characters can be guessed" in " ".join(short.stderr.split())
    assert "guessable" not in short.stderr
    token.write_text("8d0b6c35e1f24a97\n")
    with running(environment_for(langfuse), tmp_path / "state", *options) as (process, _):
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "0.0.0.0 is not a loopback address" in said
    assert "cross the network unencrypted" in said


def test_refuses_credentials_that_hold_none(tmp_path: Path, langfuse: RunningMock) -> None:
    file = tmp_path / "relay.env"
    file.write_text("OTHER=1\n")
    file.chmod(0o600)
    ended = run(environment_for(langfuse), "--credentials", str(file), "--state", str(tmp_path / "state"))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "relay.env has none of LANGFUSE_PUBLIC_KEY" in ended.stderr


def test_refuses_swapped_keys(tmp_path: Path, langfuse: RunningMock) -> None:
    swapped = {"LANGFUSE_PUBLIC_KEY": langfuse.secret_key, "LANGFUSE_SECRET_KEY": langfuse.public_key}
    ended = run(environment_for(langfuse, **swapped), "--state", str(tmp_path / "state"))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "the two keys are swapped" in ended.stderr


@pytest.mark.parametrize("missing", ["LANGFUSE_BASE_URL", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"])
def test_says_what_is_missing(tmp_path: Path, langfuse: RunningMock, missing: str) -> None:
    ended = run(environment_for(langfuse, **{missing: ""}), "--state", str(tmp_path / "state"))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert page_url("quickstart", "keys") in ended.stderr
    assert langfuse.secret_key not in ended.stderr


def test_says_that_the_port_is_taken(tmp_path: Path, langfuse: RunningMock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run(environment_for(langfuse), "--state", str(tmp_path / "state"), "--listen", address)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"cannot listen on {address}" in ended.stderr
    assert "codex-langfuse relay --stop" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_no_state_yet(tmp_path: Path, langfuse: RunningMock) -> None:
    status = run(environment_for(langfuse), "--status", "--state", str(tmp_path / "state"))
    assert (status.returncode, status.stderr) == (1, "")
    assert "not running" in status.stdout
    again = run(environment_for(langfuse), "--retry-failed", "--state", str(tmp_path / "state"))
    assert (again.returncode, again.stderr) == (0, "no turn is set aside\n")
    assert not (tmp_path / "state").exists()


def test_secrets_show_in_no_representation(tmp_path: Path) -> None:
    settings = settings_for("http://127.0.0.1:9", tmp_path, token="hidden-token")
    there = Destination.otlp("http://127.0.0.1:9", {"authorization": "hidden-header"})
    assert "hidden" not in repr(settings) + repr(there)
    assert BaseUrl("http://127.0.0.1:9").traces_endpoint in repr(settings)
