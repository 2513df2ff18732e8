"""``codex-langfuse mock`` as a process."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from codex_langfuse.keys.credentials import is_this_machine
from harness import web
from harness.mock_client import TRACES
from harness.otlp_json import simple_export
from harness.web import JSON

pytestmark = [pytest.mark.macos, pytest.mark.windows, pytest.mark.slow]

COMMAND = [sys.executable, "-m", "codex_langfuse", "mock"]
PAIR = ("pk-lf-1234567890", "sk-lf-1234567890")


@contextlib.contextmanager
def serving(*options: str, creationflags: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen(
        [*COMMAND, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        creationflags=creationflags,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().rstrip("\n")
        finally:
            process.kill()


def run(*options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(
        [*COMMAND, *options], capture_output=True, text=True, timeout=60, check=False, env=environment
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process, and does not ask it to end")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_says_where_it_is_and_ends_in_peace(number: signal.Signals) -> None:
    with serving("--port", "0") as (process, url):
        assert url.startswith("http://127.0.0.1:")
        assert web.get(f"{url}/api/public/projects", auth=PAIR).status_code == 200
        process.send_signal(number)
        rest, complaints = process.communicate(timeout=30)
        assert (process.returncode, rest, complaints) == (0, "", "")


def test_its_options(tmp_path: Path) -> None:
    file = tmp_path / "store.jsonl"
    keys = ("--public-key", "pk-mine", "--secret-key", "sk-mine")
    fault = ("--fault", "status=503,times=1", "--fault", "status=429,retry-after=2,times=1")
    with serving("--port", "0", "--langfuse", "3", "--store", str(file), *keys, *fault) as (process, url):
        mine = ("pk-mine", "sk-mine")
        answers = [web.post(url + TRACES, auth=mine, headers=JSON, content=simple_export()) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [503, 429, 200]
        assert web.post(url + TRACES, auth=PAIR).status_code == 401
        process.kill()
        process.wait(timeout=30)
    with serving("--port", "0", "--langfuse", "3", "--store", str(file), *keys) as (_process, url):
        (trace,) = web.get(f"{url}/api/public/traces", auth=mine).json()["data"]
        assert trace["name"] == "turn"


def test_says_that_the_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("--port", str(port))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"cannot serve on 127.0.0.1:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_warns_before_it_listens_where_others_can_reach_it() -> None:
    ended = run("--host", "192.0.2.1", "--port", "0")  # an address that no machine has
    assert ended.returncode == 1
    assert "192.0.2.1 is not a loopback address" in ended.stderr
    assert "without a key" in " ".join(ended.stderr.split())
    assert [is_this_machine(host) for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9")] == [True] * 4
    assert [is_this_machine(host) for host in ("0.0.0.0", "::", "example.org", "")] == [False] * 4


def test_says_that_the_file_is_no_store(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_text("precious\n")
    ended = run("--port", "0", "--store", str(file))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"--store {file}, line 1: not a line of a store" in " ".join(ended.stderr.split())
    assert "cannot serve on" not in ended.stderr


def test_says_that_the_store_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "nowhere/store.jsonl"
    ended = run("--port", "0", "--store", str(file))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"--store {file}: No such file or directory" in " ".join(ended.stderr.split())
    assert ".new" not in ended.stderr


@pytest.mark.skipif(os.name != "nt", reason="SIGBREAK is Windows' own")
def test_ends_in_peace_on_ctrl_break() -> None:
    with serving("--port", "0", creationflags=subprocess.CREATE_NEW_PROCESS_GROUP) as (process, _):
        process.send_signal(signal.CTRL_BREAK_EVENT)
        process.communicate(timeout=30)
        assert process.returncode == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--port", "65536"), "--port"),
        (("--langfuse", "2"), "--langfuse"),
        (("--fault", "colour=red"), "unknown setting 'colour'"),
        (("--secret-key", "sk"), "give both keys or neither"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_refuses_options_that_make_no_sense(options: tuple[str, ...], complaint: str) -> None:
    ended = run(*options)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert complaint in ended.stderr
