"""A Codex of its own: what it answers, what the wrapper on PATH runs, and that it stays on this machine."""

import random
import re
import shutil
import subprocess
import sys

import psutil
import pytest

from codex_langfuse.codex import binary
from codex_langfuse.codex.isolated import IsolatedCodex, run_in_group
from codex_langfuse.codex.scripted_model import Message, Scenario, ToolCall
from harness.surroundings import METRICS_HOST
from hooks.tested_with import pinned_codex

pytestmark = pytest.mark.codex


@pytest.fixture(autouse=True)
def _empty(surroundings) -> None:
    surroundings.clear()


@pytest.fixture
def codex(shared_codex) -> IsolatedCodex:
    shared_codex.write_config("")
    return shared_codex


def in_shell(codex: IsolatedCodex, command: str):
    return run_in_group(["bash", "-c", command], cwd=codex.workspace, environment=codex.environment)


def test_the_installed_binary_is_the_pinned_version() -> None:
    assert binary.codex_version(binary.find_codex()) == pinned_codex()


def test_a_program_that_is_not_codex_is_refused() -> None:
    with pytest.raises(ValueError, match="is not Codex: `--version` printed 'Python "):
        binary.codex_version(sys.executable)


def test_without_a_binary_the_message_says_how_to_install_it(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(binary, "_CHECKOUT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(binary.CodexNotFoundError, match="npm install --global @openai/codex"):
        binary.find_codex()


@pytest.mark.parametrize(
    ("scenario", "answer", "model_calls"),
    [
        ("plain turn", "Hello from the scripted model.", 1),
        ("tool call", "The command printed: observed", 2),
        ("failing tool", "The command failed with exit code 3.", 2),
        ("429 then OK", "Hello after one refusal.", 2),
        ("500 then OK", "Hello after one refusal.", 2),
        ("long stream", "A long answer, streamed in many pieces.", 1),
        ("sub-agent", "The sub-agent counted the files.", 4),
    ],
)
def test_codex_plays_the_scenario_to_its_end(surroundings, codex, scenario, answer, model_calls) -> None:
    surroundings.model.play(scenario)
    run = codex.run_exec()
    assert (run.returncode, run.stdout) == (0, f"{answer}\n"), run.stderr
    assert len(surroundings.model.requests) == model_calls


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        ("429", "ERROR: exceeded retry limit, last status: 429 Too Many Requests"),
        ("400", 'ERROR: {"type":"error","status":400,'),
    ],
)
def test_codex_gives_up_when_the_model_does(surroundings, codex, scenario, message) -> None:
    surroundings.model.play(scenario)
    run = codex.run_exec()
    assert run.returncode == 1
    assert message in run.stderr


def test_the_tool_really_ran(surroundings, codex) -> None:
    surroundings.model.play("failing tool")
    run = codex.run_exec()
    assert "exited 3" in run.stderr
    assert "broken" in surroundings.model.requests[-1].outputs[-1]


def test_the_wrapper_on_path_runs_what_a_page_prints(surroundings, codex) -> None:
    assert in_shell(codex, "codex --version").stdout == f"codex-cli {pinned_codex()}\n"
    assert in_shell(codex, "codex app-server --strict-config </dev/null").returncode == 0
    assert in_shell(codex, 'codex exec "one"').stdout == "Hello from the scripted model.\n"
    assert in_shell(codex, 'codex exec resume --last "two"').returncode == 0

    first, second = surroundings.model.requests
    assert first.headers["thread-id"] == second.headers["thread-id"]
    said = [item["content"][0]["text"] for item in second.history if item["type"] == "message"]
    assert said[-3:] == ["one", "Hello from the scripted model.", "two"]


def test_an_override_typed_by_the_reader_holds_beside_those_of_the_wrapper(surroundings, codex) -> None:
    run = in_shell(codex, 'codex exec --ephemeral -c model=another-model "hi"')
    assert run.returncode == 0, run.stderr
    assert [request.body["model"] for request in surroundings.model.requests] == ["another-model"]


def test_the_configuration_file_stays_byte_for_byte(codex) -> None:
    text = "# ümläut\r\n[otel]\r\nmetrics_exporter = 'none'\r\n\n"
    codex.write_config(text)
    assert codex.run_exec().returncode == 0
    assert (codex.codex_home / "config.toml").read_bytes() == text.encode()


def test_nothing_of_the_callers_environment_gets_in(surroundings, codex, monkeypatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x=from-the-caller")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-caller")
    surroundings.model.play(Scenario((ToolCall("exec_command", {"cmd": "env"}), Message("Done."))))
    assert codex.run_exec().returncode == 0
    output = surroundings.model.requests[-1].outputs[-1]
    assert f"HOME={codex.home}" in output
    assert "from-the-caller" not in output


def test_a_run_that_takes_too_long_ends_with_all_it_started(surroundings, codex) -> None:
    mark = codex.workspace / "still-running"
    seconds = str(random.randrange(10**5, 10**6))
    command = f"touch {mark}; exec sleep {seconds}"
    surroundings.model.play(Scenario((ToolCall("exec_command", {"cmd": command, "yield_time_ms": 30_000}),)))
    with pytest.raises(subprocess.TimeoutExpired):
        codex.run("exec", "-s", "workspace-write", "Wait.", timeout=3)
    assert mark.exists()
    # In the sandbox a process has another id.
    left = [each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == ["sleep", seconds]]
    assert psutil.wait_procs(left, timeout=30)[1] == []


def test_by_default_only_the_metrics_leave(surroundings, codex) -> None:
    surroundings.model.play("tool call")
    codex.run_exec()
    assert surroundings.proxy.connected_hosts == {METRICS_HOST}


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace, to see every system call")
def test_no_name_is_looked_up_and_no_other_machine_is_spoken_to(surroundings, codex, tmp_path) -> None:
    codex.write_config(
        """
        [otel.trace_exporter.otlp-http]
        endpoint = "https://cloud.langfuse.com/api/public/otel/v1/traces"
        protocol = "binary"
        """
    )
    surroundings.model.play("tool call")
    log = tmp_path / "calls"
    trace = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(log)]
    run = run_in_group(
        [*trace, str(codex.bin / "codex"), "exec", "Say hello."],
        cwd=codex.workspace,
        environment=codex.environment,
    )
    if "PTRACE_TRACEME" in run.stderr:
        pytest.skip("this machine does not let processes be traced")
    assert run.returncode == 0, run.stderr

    assert surroundings.proxy.connected_hosts == {METRICS_HOST, "cloud.langfuse.com"}
    calls = log.read_text()
    addresses = set(re.findall(r'inet_addr\("([^"]+)"\)', calls)) | set(
        re.findall(r'inet_pton\(AF_INET6, "([^"]+)"', calls)
    )
    ports = {int(port) for port in re.findall(r"sin6?_port=htons\((\d+)\)", calls)}
    ours = {
        int(url.rsplit(":", 1)[1].split("/")[0])
        for url in (surroundings.proxy.url, surroundings.model.base_url)
    }
    assert addresses == {"127.0.0.1"}
    assert ports == ours


def test_a_check_of_a_configuration_says_what_is_wrong_and_where(codex) -> None:
    assert codex.check_config('[otel]\nmetrics_exporter = "none"\n').valid
    check = codex.check_config("[otel]\n\nfoo = 1\n")
    assert (check.returncode, check.line, check.column) == (1, 3, 1)
    assert check.file == str(codex.codex_home / "config.toml")
    assert check.message == "unknown configuration field `otel.foo`"
