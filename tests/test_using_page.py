"""The programs of "Use what arrived" in bad weather, and what the page says of versions."""

import csv
import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest

from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import RunningMock, running_mock
from harness import otlp_json
from harness.fences.scanner import ROOT
from harness.mock_client import TRACES, client
from harness.web import JSON
from translations import CHINESE, DOCS

PROGRAMS = ROOT / "examples/python"
PAGES = [DOCS / "guide/using.md", CHINESE / "guide/using.md"]
WITHHELD = "(prompt not sent, 22 characters)"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def mock() -> Iterator[RunningMock]:
    with running_mock() as mock:
        yield mock


@pytest.fixture
def run(mock: RunningMock, tmp_path: Path) -> Run:
    keys = {
        "LANGFUSE_BASE_URL": mock.url,
        "LANGFUSE_PUBLIC_KEY": mock.public_key,
        "LANGFUSE_SECRET_KEY": mock.secret_key,
    }

    def program(name: str, *arguments: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **keys, **changes}
        return subprocess.run(
            [sys.executable, PROGRAMS / name, *arguments],
            cwd=tmp_path,
            env={name: value for name, value in environment.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return program


def send(mock: RunningMock, count: int, **attributes: str) -> None:
    """Send as many traces of one root observation, a second apart, up to now."""
    begin = int(time.time()) - count
    told = {f"langfuse.{key.replace('_', '.')}": value for key, value in attributes.items()}
    spans = [
        otlp_json.span(
            told,
            traceId=f"{place:032x}",
            spanId=f"{place:016x}",
            name="codex turn",
            startTimeUnixNano=str((begin + place) * 10**9),
            endTimeUnixNano=str((begin + place + 1) * 10**9),
        )
        for place in range(count)
    ]
    with client(mock) as http:
        assert http.post(TRACES, headers=JSON, content=otlp_json.export(*spans)).status_code == 200


def test_an_export_has_every_page_and_is_yours_alone(mock: RunningMock, run: Run, tmp_path: Path) -> None:
    send(mock, 250)
    assert run("export_observations.py", "out.jsonl").stdout == "wrote 250 observations to out.jsonl\n"
    file = tmp_path / "out.jsonl"
    assert len({json.loads(line)["id"] for line in file.read_text(encoding="utf-8").splitlines()}) == 250
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    pages = [each for each in mock.store.requests if each.path.startswith("/api/public/v2/observations")]
    assert len(pages) == 3


def test_a_name_is_no_formula_in_a_spreadsheet(mock: RunningMock, run: Run, tmp_path: Path) -> None:
    send(mock, 1, session_id="=1+1")
    run("export_observations.py", "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        assert [line["sessionId"] for line in csv.DictReader(file)] == ["'=1+1"]


def test_an_export_that_fails_leaves_the_earlier_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("earlier\n", encoding="utf-8")
    assert run("export_observations.py", "out.jsonl", LANGFUSE_SECRET_KEY="sk-lf-wrong").returncode == 1
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == "earlier\n"
    assert run("export_observations.py", "out.txt").returncode == 2


def test_the_same_score_is_written_once(mock: RunningMock, run: Run) -> None:
    send(mock, 3, observation_type="agent")
    for _ in range(2):
        result = run("score_failed_commands.py")
        assert result.stdout == "scored 3 turns; commands failed in 0 of them\n"
    assert len(list(mock.store.records.scores)) == 3


@pytest.mark.parametrize(
    ("input_", "kept"),
    [(WITHHELD, 0), ("(no prompt)", 0), ("Say hello.", 1), ("[1]", 1), ("(prompt not sent) and more", 1)],
)
def test_a_turn_without_its_prompt_is_no_item(mock: RunningMock, run: Run, input_: str, kept: int) -> None:
    send(mock, 1, observation_type="agent", observation_input=input_)
    result = run("dataset_from_sessions.py", "turns")
    assert result.stdout == f"{kept} turns are in the dataset; {1 - kept} without a prompt left out\n"
    assert len(list(mock.store.records.items)) == kept


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"LANGFUSE_SECRET_KEY": None, "LANGFUSE_BASE_URL": " "},
            "error: not set in the environment: LANGFUSE_BASE_URL, LANGFUSE_SECRET_KEY\n",
        ),
        (
            {"LANGFUSE_BASE_URL": "cloud.langfuse.com"},
            "error: LANGFUSE_BASE_URL is cloud.langfuse.com; it begins with https://\n",
        ),
        (
            {"LANGFUSE_SECRET_KEY": "sk-lf-wrong"},
            "error: GET v2/metrics was answered with 401: "
            "Invalid credentials. Confirm that you've configured the correct host.\n",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(run: Run, changes: dict[str, str | None], message: str) -> None:
    result = run("cost_by_model.py", **changes)
    assert (result.returncode, result.stdout, result.stderr) == (1, "", message)


def test_a_busy_server_is_asked_again_when_it_says(mock: RunningMock, run: Run) -> None:
    mock.faults.add(Fault(status=429, times=1, retry_after=1, path="/api/public/v2/metrics"))
    began = time.monotonic()
    assert run("cost_by_model.py").returncode == 0
    assert time.monotonic() - began >= 1
    assert [request.status for request in mock.store.requests] == [429, 200]


def test_no_redirect_is_followed_with_the_keys(mock: RunningMock, run: Run) -> None:
    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("location", mock.url)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        result = run("cost_by_model.py", LANGFUSE_BASE_URL=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert result.returncode == 1
    assert "answered with 302" in result.stderr
    assert mock.store.requests == []


@pytest.mark.parametrize("page", PAGES, ids=["en", "zh"])
def test_the_page_names_the_sdk_it_was_run_with(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert version("langfuse") in text
    assert WITHHELD in text
    assert f" {len('Say hello in one word.')} characters" in WITHHELD
