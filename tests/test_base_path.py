"""A Langfuse below a path, such as ``https://intra.example/langfuse``: every tool keeps the path."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click.testing
import pytest
import typer.testing

from codex_langfuse.cli import app
from codex_langfuse.keys.credentials import TRACES_PATH
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.relay.server import running_relay
from codex_langfuse.relay.status import read_status
from harness import web
from harness.running_relay import CountingAssembly, logs_export, post_logs, settings_for, wait_until

PREFIX = "/langfuse"


@contextmanager
def below_a_path(langfuse: RunningMock) -> Iterator[tuple[str, list[str]]]:
    """A proxy with ``langfuse`` below ``PREFIX``, and nothing elsewhere; yields address and paths asked."""
    asked: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            inside = self.path.startswith(PREFIX + "/")
            headers = {
                name: self.headers[name] for name in ("authorization", "content-type") if name in self.headers
            }
            path = self.path.removeprefix(PREFIX) if inside else "/nowhere"
            answer = web.request(self.command, langfuse.url + path, content=body, headers=headers)
            self.send_response(answer.status_code if inside else 404)
            self.send_header("content-type", answer.headers.get("content-type", "text/plain"))
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{PREFIX}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".codex").mkdir()
    return tmp_path


def run(home: Path, *arguments: str, **variables: str) -> click.testing.Result:
    environment = {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "CODEX_HOME": str(home / ".codex"),
        **variables,
    }
    return typer.testing.CliRunner().invoke(app, arguments, env=environment)


def shown_at(state: Path) -> str:
    """Where the relay says that traces are shown; below a project, as soon as it asked for prices."""
    figures = read_status(state).figures
    return figures.notes["traces at"].text if figures else ""


def test_config_and_check_keep_the_path(home: Path) -> None:
    file = home / ".codex/config.toml"
    right = f'endpoint = "https://intra.example{PREFIX}{TRACES_PATH}"'
    made = run(home, "config", "direct", "--base-url", f"https://intra.example{PREFIX}", "--yes")
    assert made.exit_code == 0, made.output
    assert right in file.read_text()
    for wrong in ("/api/public/otel", "/api/public/otel/v1/traces/v1/traces", "/api/public/otel/v1/logs"):
        file.write_text(file.read_text().replace(PREFIX + TRACES_PATH, PREFIX + wrong))
        run(home, "check", "--offline", "--fix", "--yes")
        assert right in file.read_text(), wrong


def test_auth_verify_and_the_relay_ask_below_the_path(home: Path, tmp_path: Path) -> None:
    with running_mock() as langfuse, below_a_path(langfuse) as (url, asked):
        keys = {
            "LANGFUSE_PUBLIC_KEY": langfuse.public_key,
            "LANGFUSE_SECRET_KEY": langfuse.secret_key,
            "LANGFUSE_BASE_URL": url,
            "NO_PROXY": "127.0.0.1",
        }
        for command in (["auth", "--check"], ["verify"]):
            done = run(home, *command, **keys)
            assert done.exit_code == 0, done.output
        with running_relay(settings_for(url, tmp_path / "state"), CountingAssembly()) as relay:
            post_logs(relay, logs_export("one"))
            wait_until(lambda: any(each["name"].startswith("one") for each in langfuse.store.observations))
            wait_until(lambda: any("/api/public/models" in path for path in asked))
            wait_until(lambda: shown_at(tmp_path / "state").startswith(f"{url}/project/"))
    assert [path for path in asked if not path.startswith(PREFIX + "/")] == []
    assert json.dumps(asked).count(TRACES_PATH) >= 2
