"""What goes through a proxy: of Codex what the page says, of the tools nothing that stays on this machine."""

import os
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.proxies import no_proxy_line, proxy_trouble
from harness.fences.scanner import ROOT
from harness.no_langfuse import closed_port
from harness.proxy import tls_proxy
from harness.surroundings import Surroundings

pytestmark = pytest.mark.slow

RELAY = (ROOT / "examples/codex/relay-no-content.toml").read_text()
NAMES = (
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
)


@dataclass
class Recorder:
    """A listener that notes the first bytes of each connection; a SOCKS client it serves."""

    port: int
    began: list[bytes] = field(default_factory=list)


@contextmanager
def recorder(*, socks: bool = False) -> Iterator[Recorder]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            first = self.request.recv(4096)
            found.began.append(first)
            if not socks or first[:1] != b"\x05":
                return
            self.request.sendall(b"\x05\x00")
            asked = self.request.recv(4096)
            kind, rest = asked[3], asked[4:]
            host = socket.inet_ntoa(rest[:4]) if kind == 1 else rest[1 : 1 + rest[0]].decode()
            self.request.sendall(b"\x05\x00\x00\x01" + bytes(6))
            found.began.append(host.encode())
            with socket.create_connection(("127.0.0.1", int.from_bytes(rest[-2:]))) as behind:
                there = threading.Thread(target=_pump, args=(self.request, behind), daemon=True)
                there.start()
                _pump(behind, self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        found = Recorder(server.server_address[1])
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield found
        server.shutdown()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


# --- Codex ---


@pytest.mark.codex
@pytest.mark.parametrize(
    ("variables", "taken"),
    [
        ({"http_proxy": "{}"}, True),
        ({"HTTP_PROXY": "{}"}, True),
        ({"ALL_PROXY": "{}"}, True),
        ({"https_proxy": "{}"}, False),
        ({"http_proxy": "{}", "no_proxy": "127.0.0.1"}, False),
        ({"http_proxy": "{}", "NO_PROXY": "127.0.0.0/8"}, False),
        ({"http_proxy": "{}", "NO_PROXY": "localhost"}, True),
    ],
    ids=str,
)
def test_codex_takes_the_proxy_to_a_relay_on_this_machine(
    variables: dict[str, str], taken: bool, surroundings: Surroundings, tmp_path: Path
) -> None:
    model = surroundings.model.base_url.removeprefix("http://").partition("/")[0]
    relay = surroundings.langfuse.url
    routes = {model: f"http://{model}", relay.removeprefix("http://"): relay}
    codex = surroundings.codex(tmp_path)
    with tls_proxy(routes, direct_hosts=()) as proxy:
        for name in NAMES:
            codex.environment.pop(name, None)
        codex.environment |= {name: value.format(proxy.url) for name, value in variables.items()}
        outcome = surroundings.turn(codex, RELAY.replace("http://127.0.0.1:4318", relay))
        # The relay's place is taken by the mock, which answers; what matters is the way there.
        paths = {request.path for request in proxy.exchanges}
    assert outcome.run.returncode == 0, outcome.run.stderr
    assert outcome.langfuse
    assert ("/v1/traces" in paths) is taken
    assert ("/v1/logs" in paths) is taken


@pytest.mark.codex
def test_codex_sends_nothing_by_a_socks_proxy(surroundings: Surroundings, tmp_path: Path) -> None:
    codex = surroundings.codex(tmp_path)
    for name in NAMES:
        codex.environment.pop(name, None)
    with recorder(socks=True) as proxy:
        # The model is reached without it.
        codex.environment |= {"ALL_PROXY": f"socks5h://127.0.0.1:{proxy.port}", "NO_PROXY": "127.0.0.1"}
        outcome = surroundings.turn(codex, (ROOT / "examples/codex/cloud-eu.toml").read_text())
    assert outcome.run.returncode == 0
    assert b"cloud.langfuse.com" not in proxy.began


# --- The tools ---


@pytest.fixture(scope="module")
def langfuse() -> Iterator[RunningMock]:
    with running_mock() as mock:
        yield mock


def run(
    langfuse: RunningMock, home: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    keys = {"LANGFUSE_PUBLIC_KEY": langfuse.public_key, "LANGFUSE_SECRET_KEY": langfuse.secret_key}
    place = {"LANGFUSE_BASE_URL": langfuse.url, "HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "codex_langfuse", *arguments],
        env={**kept, **keys, **place, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("url", ["http://{}", "socks5://{}", "socks4://{}", "nonsense"])
def test_no_request_to_this_machine_takes_a_proxy(url: str, langfuse: RunningMock, tmp_path: Path) -> None:
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), url.format(closed_port()[7:]))
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex/config.toml").write_text(RELAY.replace("http://127.0.0.1:4318", langfuse.url))
    assert "accepts the keys" in run(langfuse, tmp_path, "auth", "--check", "--quiet", **proxies).stderr
    verified = run(langfuse, tmp_path, "verify", **proxies)
    assert verified.returncode == 0, verified.stderr
    checked = run(langfuse, tmp_path, "check", "--json", **proxies)
    assert "cannot be reached" not in checked.stdout
    assert "Traceback" not in checked.stderr
    relay = ("relay", "--listen", "0.0.0.0:0", "--state", str(tmp_path / "state"))
    # It gets as far as the address that it may not listen on.
    assert "give --token-file" in run(langfuse, tmp_path, *relay, **proxies).stderr


def test_socks_works(langfuse: RunningMock, tmp_path: Path) -> None:
    with recorder(socks=True) as proxy:
        port = langfuse.url.rpartition(":")[2]
        elsewhere = {"LANGFUSE_BASE_URL": f"http://langfuse.example:{port}"}
        socks = {"ALL_PROXY": f"socks5://127.0.0.1:{proxy.port}"}
        result = run(langfuse, tmp_path, "auth", "--check", "--quiet", **elsewhere, **socks)
    assert "accepts the keys" in result.stderr
    assert b"langfuse.example" in proxy.began


@pytest.mark.parametrize("command", [["auth", "--check"], ["verify"], ["relay"], ["check"]])
def test_a_proxy_of_an_unknown_kind_is_refused_in_one_line(
    command: list[str], langfuse: RunningMock, tmp_path: Path
) -> None:
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex/config.toml").write_text((ROOT / "examples/codex/cloud-eu.toml").read_text())
    elsewhere = {"LANGFUSE_BASE_URL": "https://cloud.langfuse.com", "ALL_PROXY": "socks4://127.0.0.1:9"}
    elsewhere["OTEL_EXPORTER_OTLP_TRACES_HEADERS"] = "Authorization=Basic%20cGstbGYtMTpzay1sZi0x"
    result = run(langfuse, tmp_path, *command, **elsewhere)
    assert result.returncode in (1, 2)
    assert "Traceback" not in result.stderr
    assert "socks4" in result.stdout or "the proxy in the environment cannot be used" in result.stderr


def test_the_trouble_of_a_proxy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    assert proxy_trouble("https://cloud.langfuse.com") is None
    monkeypatch.setenv("HTTPS_PROXY", "ftp://x")
    assert "cannot be used" in (proxy_trouble("https://cloud.langfuse.com") or "")
    assert proxy_trouble("https://localhost:3000") is None


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({}, None),
        ({"https_proxy": "http://p"}, None),
        ({"http_proxy": "http://p"}, 'export NO_PROXY="127.0.0.1,localhost"'),
        (
            {"ALL_PROXY": "http://p", "NO_PROXY": "a.example"},
            'export NO_PROXY="a.example,127.0.0.1,localhost"',
        ),
        ({"http_proxy": "http://p", "no_proxy": "localhost,127.0.0.1"}, None),
        ({"http_proxy": "http://p", "no_proxy": "*"}, None),
    ],
)
def test_the_line_that_keeps_codex_from_the_proxy(environment: dict[str, str], line: str | None) -> None:
    assert no_proxy_line("http://127.0.0.1:4318", environment) == line
    assert no_proxy_line("https://collector.example", environment) is None


def test_config_relay_prints_that_line(langfuse: RunningMock, tmp_path: Path) -> None:
    result = run(langfuse, tmp_path, "config", "relay", "--dry-run", http_proxy="http://127.0.0.1:9")
    assert 'export NO_PROXY="127.0.0.1,localhost"' in result.stderr
    assert "NO_PROXY" not in run(langfuse, tmp_path, "config", "relay", "--dry-run").stderr
