"""``codex-langfuse test-plan`` as a tester uses it: against the mock, against their Langfuse, wrongly."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree

import click.testing
import httpx
import pytest
import typer.testing

from codex_langfuse.cli import app
from codex_langfuse.codex.binary import CodexNotFoundError, find_codex
from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.page_addresses import page_url
from codex_langfuse.testplan import configurations
from codex_langfuse.testplan.definition import plan
from harness.fences.scanner import ROOT
from harness.no_langfuse import closed_port
from hooks.tested_with import pinned_codex

PUBLIC, SECRET = "pk-lf-the-testers-own-key", "sk-lf-the-testers-own-key"
CODEX = pytest.mark.codex
HELP = page_url("test-plan")


def run(*arguments: str, **variables: str | None) -> click.testing.Result:
    cleared = dict.fromkeys(("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY", "LANGFUSE_BASE_URL"))
    environment = {**cleared, "OTEL_EXPORTER_OTLP_TRACES_HEADERS": None, **variables}
    result = typer.testing.CliRunner().invoke(app, ["test-plan", *arguments], env=environment)
    assert SECRET not in result.output
    assert "Traceback" not in result.output
    assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit)
    return result


def test_list() -> None:
    result = run("--list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == 20
    assert lines[2].split() == ["3", "scenario-cloud-eu", "Langfuse", "Cloud,", "EU"]


def test_list_some_in_chinese_as_json() -> None:
    result = run("--list", "--only", "tls,1", "--language", "zh", "--json")
    assert [(each["number"], each["group"]) for each in json.loads(result.stdout)] == [
        (1, "configuration"),
        (13, "tls"),
        (14, "tls"),
    ]
    assert "配置能够加载" in result.stdout


def refused(result: click.testing.Result, *words: str) -> None:
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.startswith("error: ")
    for each in words:
        assert each in result.stderr


def test_a_case_that_is_not_there() -> None:
    refused(run("--only", "3,21"), "no case and no group '21'", "from 1 to 20", HELP)
    refused(run("--list", "--only", "relay"), "configuration, authentication, scenario")


def test_keep_is_for_a_langfuse_of_ones_own() -> None:
    refused(run("--keep"), "--langfuse-url")


def test_no_codex(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    git = tmp_path / "git"
    git.write_text("#!/bin/sh\n")
    git.chmod(0o755)

    def none_found() -> Path:
        raise CodexNotFoundError("No Codex binary found.")

    monkeypatch.setattr("codex_langfuse.testplan.program.find_codex", none_found)
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(run("--only", "1"), "No Codex binary found.", "--codex", page_url("test-plan", "prerequisites"))
    git.unlink()
    refused(run("--only", "1"), "install git")


def test_a_codex_that_is_none(tmp_path: Path) -> None:
    refused(run("--codex", str(tmp_path / "codex")), "there is no file")
    other = tmp_path / "codex"
    other.write_text("#!/bin/sh\necho codex-cli 0.98.0\n")
    other.chmod(0o755)
    refused(run("--codex", str(other)), "is Codex 0.98.0; the test plan needs 0.131.0 or newer")
    other.write_text("#!/bin/sh\necho something else\n")
    refused(run("--codex", str(other)), "does not answer as Codex does")
    other.chmod(0o644)
    if os.name != "nt":
        refused(run("--codex", str(other)), "does not answer as Codex does")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(run("--only", "1", "--report", str(tmp_path / "file" / "report")), "--report", "cannot be made")


@CODEX
def test_no_keys() -> None:
    refused(run("--langfuse-url", "https://cloud.langfuse.com"), "no keys: set LANGFUSE_PUBLIC_KEY")
    refused(
        run("--langfuse-url", "localhost", LANGFUSE_PUBLIC_KEY=PUBLIC, LANGFUSE_SECRET_KEY=SECRET), "http://"
    )


@CODEX
def test_a_langfuse_that_does_not_answer() -> None:
    url = closed_port()
    result = run("--langfuse-url", url, LANGFUSE_PUBLIC_KEY=PUBLIC, LANGFUSE_SECRET_KEY=SECRET)
    refused(result, "address: ", "cannot be reached", page_url("guide/troubleshooting", "unreachable"))


@CODEX
def test_keys_that_are_refused() -> None:
    with running_mock() as mock:
        result = run("--langfuse-url", mock.url, LANGFUSE_PUBLIC_KEY=PUBLIC, LANGFUSE_SECRET_KEY=SECRET)
        assert {request.method for request in mock.store.requests} == {"GET"}  # nothing was sent
    refused(result, "keys: ", "refuses the keys (401)")


@CODEX
@pytest.mark.parametrize("by_npm", [False, True])
def test_against_the_mock(tmp_path: Path, by_npm: bool) -> None:
    """With the program itself, and as npm puts it on PATH."""
    program = ROOT / "node_modules/.bin/codex" if by_npm else find_codex()
    result = run("--only", "1", "--report", str(tmp_path), "--json", "--codex", str(program))
    outcome = json.loads(result.stdout)
    assert (result.exit_code, result.stderr) == (0, "")
    assert (outcome["passed"], outcome["failed"]) == (1, 0)
    assert outcome["versions"]["codex"] == pinned_codex()
    (case,) = outcome["cases"]
    assert [check["name"] for check in case["checks"]] == list(plan().cases[0].checks)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["junit.xml", "report.html", "report.md"]


# --- against a Langfuse of the tester's ---


@dataclass
class OwnLangfuse:
    """A Langfuse that deletes: the mock, with what the mock does not have in front of it."""

    url: str
    mock: RunningMock
    deletes: bool
    deleted: list[list[str]] = field(default_factory=list)


@contextmanager
def own_langfuse(langfuse: int = 4, *, deletes: bool = True, path: str = "") -> Iterator[OwnLangfuse]:
    class Front(BaseHTTPRequestHandler):
        def do_DELETE(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.path == f"{path}/api/public/traces"
            assert self.headers["authorization"].startswith("Basic ")
            if own.deletes:
                own.deleted.append(json.loads(body)["traceIds"])
            self._answer(200 if own.deletes else 405, b'{"message":"Traces deleted successfully"}')

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name: self.headers[name] for name in self.headers if name.lower() != "host"}
            assert self.path.startswith(f"{path}/")
            url = mock.url + self.path.removeprefix(path)
            answer = httpx.request(
                self.command, url, headers=headers, content=body, trust_env=False, timeout=30
            )
            self._answer(answer.status_code, answer.content)

        do_POST = do_GET  # noqa: N815 - named by http.server

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with (
        running_mock(PUBLIC, SECRET, langfuse) as mock,
        ThreadingHTTPServer(("127.0.0.1", 0), Front) as server,
    ):
        own = OwnLangfuse(f"http://127.0.0.1:{server.server_port}{path}", mock, deletes)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield own
        finally:
            server.shutdown()
            thread.join()


def run_against(own: OwnLangfuse, *arguments: str) -> click.testing.Result:
    return run("--langfuse-url", own.url, *arguments, LANGFUSE_PUBLIC_KEY=PUBLIC, LANGFUSE_SECRET_KEY=SECRET)


@CODEX
@pytest.mark.slow
def test_against_a_langfuse(tmp_path: Path) -> None:
    """What is sent there was named before, is no more than was said, and is deleted."""
    chosen = ["authentication", "scenario-cloud-eu", "scenario-docker", "events-tools", "tls-private-ca"]
    with own_langfuse() as own:
        result = run_against(own, "--only", ",".join(chosen), "--report", str(tmp_path))
        observations = own.mock.store.observations
    assert result.exit_code == 0, result.output
    assert f"Langfuse 4.16.0 at {own.url} accepts the keys (project proj1)." in result.stderr
    said = {case.id: case.observations for case in plan().cases if case.id in chosen}
    assert f"at most about {sum(said.values())} observations" in result.stderr
    assert 500 < len(observations) <= said["authentication"] + said["scenario-docker"] + said["events-tools"]
    for name in (configurations.ENVIRONMENT, configurations.TAG, configurations.USER):
        assert name in result.stderr
    assert {each["environment"] for each in observations} == {configurations.ENVIRONMENT}
    assert {each["userId"] for each in observations} == {configurations.USER}
    assert all(configurations.TAG in each["tags"] for each in observations)

    (deleted,) = own.deleted
    assert set(deleted) == {each["traceId"] for each in observations}
    assert f"Langfuse deletes: {len(deleted)}, all that were sent" in result.stderr

    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    seen = {case.get("name"): case.findtext("system-out") or "" for case in suite.iter("testcase")}
    assert "Against the mock: the case is about another address" in seen["03 Langfuse Cloud, EU"]
    private = seen["13 TLS with a private certificate authority"]
    assert "Against the mock: it needs a server with certificates made for the test" in private
    assert "Against the mock" not in seen["05 Self-hosted with Docker Compose"]
    assert own.url in seen["05 Self-hosted with Docker Compose"]
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert f"Langfuse accepted the deletion of the {len(deleted)} traces" in report
    assert SECRET not in report


@CODEX
@pytest.mark.slow
def test_against_langfuse_3_under_a_path_that_deletes_nothing() -> None:
    with own_langfuse(3, deletes=False, path="/langfuse") as own:
        result = run_against(own, "--only", "5,8")
    assert result.exit_code == 0, result.output
    assert "Langfuse 3.225.4" in result.stderr
    assert "it did not accept their deletion (status 405)" in result.stderr


@CODEX
@pytest.mark.slow
def test_a_langfuse_that_refuses_what_is_sent() -> None:
    with own_langfuse() as own:
        own.mock.faults.add(Fault(status=403))
        result = run_against(own, "--only", "8", "--keep", "--timeout", "1")
    assert result.exit_code == 1
    assert " 8  FAILED" in result.stdout
    assert "      The agent in Langfuse has the same model and approval policy." in result.stdout
    assert "0 of 1 passed" in result.stdout
    assert own.deleted == []


@CODEX
@pytest.mark.skipif(os.name != "posix", reason="there is no pseudo-terminal")
def test_progress_at_a_terminal() -> None:
    from harness.teletype import at_a_terminal

    environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "COLUMNS": "100"}
    command = [sys.executable, "-m", "codex_langfuse", "test-plan", "--only", "1"]
    with at_a_terminal(command, environment) as teletype:
        teletype.wait_for("The configuration loads")
        status, output = teletype.finish()
    assert status == 0, teletype.shown
    assert "0/1" in teletype.shown
    assert [line.split()[:2] for line in output.splitlines()] == [["1", "passed"], ["1", "of"]]


@CODEX
@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C cannot be sent to a single process")
def test_what_was_sent_until_ctrl_c_is_deleted() -> None:
    with own_langfuse() as own:
        keys = {"LANGFUSE_PUBLIC_KEY": PUBLIC, "LANGFUSE_SECRET_KEY": SECRET}
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "codex_langfuse", "test-plan"),
                "--only",
                "8,9,10",
                "--langfuse-url",
                own.url,
            ],
            env={**os.environ, **keys},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline().startswith(" 8  passed")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        sent = {each["traceId"] for each in own.mock.store.observations}
    assert process.returncode == 130
    assert said.endswith("error: interrupted; no report was made\n")
    assert "Traceback" not in said
    (deleted,) = own.deleted
    assert deleted
    assert set(deleted) <= sent
