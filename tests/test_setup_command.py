"""``codex-langfuse setup`` and ``uninstall``: each step done, done again, refused and taken back.

systemctl, launchctl and PowerShell are stand-ins. The relay, its delivery and the mock are real.
"""

import json
import os
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click.testing
import pytest
import typer.testing

from codex_langfuse.cli import app
from codex_langfuse.keys.key_file import key_file_text
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.private_file import write_private
from codex_langfuse.relay.install import AGENT_LABEL, UNIT_NAME
from codex_langfuse.relay.state_folder import default_state_folder, holder
from codex_langfuse.relay.stopping import stop_relay
from codex_langfuse.setup.service import Manager, ServiceError, find_manager, remove_service, start_service
from harness.fences.scanner import ROOT
from harness.stand_ins import PROGRAMS, STATE
from harness.teletype import at_a_terminal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the stand-in is of systemctl"),
]

STEPS = ["keys", "relay", "config", "daemon", "turn"]


@pytest.fixture(scope="module")
def mock() -> Iterator[RunningMock]:
    with running_mock() as mock:
        yield mock


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mock: RunningMock) -> Iterator[Path]:
    """A home in which nothing is set up, with the keys in the environment and no service manager."""
    home = tmp_path / "home"
    home.mkdir()
    for name in list(os.environ):
        if name.startswith(("LANGFUSE_", "OTEL_", "XDG_", "CODEX_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv(STATE, str(tmp_path / "stand-ins"))
    monkeypatch.setenv("LANGFUSE_BASE_URL", mock.url)
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", mock.public_key)
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", mock.secret_key)
    program(tmp_path / "bin", monkeypatch, "systemctl", "exit 1")
    yield home
    stop_relay(default_state_folder(os.environ), finish=False)


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    """Put a program of that name first on the PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def run(*arguments: str, **variables: str) -> click.testing.Result:
    result = typer.testing.CliRunner().invoke(app, arguments, env=variables)
    assert "Traceback" not in result.output and not isinstance(result.exception, OSError), result.output
    assert os.environ["LANGFUSE_SECRET_KEY"] not in result.output
    return result


def set_up(*options: str, **variables: str) -> click.testing.Result:
    return run("setup", "--yes", "--listen", "127.0.0.1:0", *options, **variables)


def outcome(result: click.testing.Result) -> dict[str, object]:
    return json.loads(result.stdout)


def changed(result: click.testing.Result) -> list[str]:
    return [step["step"] for step in outcome(result)["steps"] if step["changed"]]


def test_from_keys_to_a_turn_and_back(home: Path, mock: RunningMock, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, as a service; once more, which changes nothing; and back, which leaves what it says."""
    monkeypatch.setenv("PATH", f"{PROGRAMS}:{os.environ['PATH']}")
    done = set_up()
    assert done.exit_code == 0, done.output
    said = [line for line in done.stderr.splitlines() if re.match(r"\d/5 ", line)]
    assert len(said) == len(STEPS)
    assert "(systemd)" in said[1]
    link = done.stdout.splitlines()[-2]
    rows = {row["type"]: row for row in mock.store.rows() if row["traceId"] == link.rpartition("/")[2]}
    assert rows.keys() == {"AGENT", "GENERATION"}
    assert rows["GENERATION"]["usageDetails"]["total"] == 3
    assert not rows["GENERATION"]["costDetails"]
    assert {row["environment"] for row in rows.values()} == {"setup"}

    keys = home / ".config/codex-langfuse/env"
    unit = home / ".config/systemd/user" / UNIT_NAME
    config = home / ".codex/config.toml"
    relay = holder(default_state_folder(os.environ))
    assert relay is not None
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert f"--credentials {keys}" in unit.read_text()
    assert f'endpoint = "{relay.url}/v1/logs"' in config.read_text()
    assert mock.secret_key not in unit.read_text() + config.read_text()

    # The second turn is not waited for: it is on its way when the relay is stopped.
    again = set_up("--json", "--timeout", "1")
    assert again.exit_code == 1
    assert [step["step"] for step in outcome(again)["steps"]] == STEPS
    assert changed(again) == []
    assert holder(default_state_folder(os.environ)) == relay

    seen = run("uninstall", "--dry-run")
    assert (seen.exit_code, config.exists(), unit.exists(), keys.exists()) == (0, True, True, True)
    assert holder(default_state_folder(os.environ)) == relay

    back = run("uninstall", "--yes", "--json")
    assert back.exit_code == 0, back.output
    assert changed(back) == ["config", "relay", "keys"]
    assert not (config.exists() or unit.exists() or keys.exists())
    assert holder(default_state_folder(os.environ)) is None
    assert (
        f"{default_state_folder(os.environ)}: the relay's state, with 0 turns not delivered"
        in outcome(back)["left"]
    )
    assert len({row["traceId"] for row in mock.store.rows()}) == 2
    assert changed(run("uninstall", "--yes", "--json")) == []


def test_without_a_service_manager_and_with_codex_in_the_background(home: Path, mock: RunningMock) -> None:
    """The relay runs in the background and takes new keys; a daemon of this home is stopped, no other."""
    waiting = "import sys; print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", waiting, "app-server", "--managed-daemon"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        subprocess.Popen(command, **pipes) as daemon,
        subprocess.Popen(command, env={**os.environ, "HOME": "/elsewhere"}, **pipes) as other,
    ):
        assert daemon.stdout.readline() and other.stdout.readline()
        first = set_up("--timeout", "1")
        assert daemon.wait(10) != 0
        assert other.poll() is None
        other.communicate()
    assert "After a restart of this machine, start it again: codex-langfuse relay" in first.stderr
    assert f"Stopped process {daemon.pid}." in first.stderr
    assert first.exit_code == 1
    assert "does not show it after 1 seconds" in first.stderr
    assert f"The relay sends to {mock.url}" in first.stderr

    before = holder(default_state_folder(os.environ))
    second = set_up("--json", "--timeout", "1", LANGFUSE_BASE_URL=mock.url.replace("127.0.0.1", "localhost"))
    after = holder(default_state_folder(os.environ))
    assert changed(second) == ["keys", "relay", "config"]
    assert before and after and before.pid != after.pid

    assert changed(run("uninstall", "--yes", "--keep-keys", "--json")) == ["config", "relay"]
    assert (home / ".config/codex-langfuse/env").exists()


def test_a_dry_run_changes_nothing(home: Path) -> None:
    done = run("setup", "--dry-run")
    assert done.exit_code == 0, done.output
    assert '+endpoint = "http://127.0.0.1:4318/v1/logs"' in done.stdout
    assert list(home.iterdir()) == []
    assert run("uninstall", "--dry-run").exit_code == 0
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ((), 2, "add --yes"),
        (("--json",), 2, "add --yes"),
        (("--yes", "--region", "eu", "--base-url", "http://127.0.0.1:9"), 2, "not both"),
        (("--yes", "--listen", "0.0.0.0:4318"), 2, "for this machine only"),
        (("--yes", "--listen", "4318"), 2, "HOST:PORT"),
        (("--yes", "--base-url", "http://127.0.0.1:9"), 1, "cannot be reached"),
    ],
)
def test_what_cannot_work_changes_nothing(
    home: Path, options: tuple[str, ...], status: int, words: str
) -> None:
    refused = run("setup", *options)
    assert refused.exit_code == status
    assert words in refused.stderr
    assert list(home.iterdir()) == []


def test_keys_that_langfuse_refuses(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk-lf-of-another-project")
    refused = set_up()
    assert refused.exit_code == 1
    assert "refuses the keys (401)" in refused.stderr
    assert list(home.iterdir()) == []


def test_a_port_that_is_taken(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        refused = run("setup", "--yes", "--listen", address)
    assert refused.exit_code == 1
    assert f"another program listens on {address}" in refused.stderr
    assert "setup --listen 127.0.0.1:4319" in refused.stderr


def test_a_configuration_that_is_no_toml(home: Path) -> None:
    (home / ".codex").mkdir()
    (home / ".codex/config.toml").write_text("model = \n")
    refused = set_up("--json")
    assert refused.exit_code == 1
    assert "config.toml:1:9" in outcome(refused)["error"]
    assert (home / ".codex/config.toml").read_text() == "model = \n"


def test_at_a_terminal_it_asks(home: Path, mock: RunningMock) -> None:
    """For what is missing, and before each change."""
    environment = {key: os.environ[key] for key in os.environ if not key.startswith("LANGFUSE_")}
    command = [sys.executable, "-m", "codex_langfuse", "setup", "--listen", "127.0.0.1:0"]
    with at_a_terminal(command, environment) as terminal:
        for prompt, answer in (
            ("Number, region or address: ", mock.url),
            ("Public key (pk-lf-...): ", mock.public_key),
            ("Secret key (sk-lf-..., not shown): ", mock.secret_key),
            ("Start the relay? [y/N]:", "n"),
        ):
            terminal.wait_for(prompt)
            terminal.type(f"{answer}\n")
        status, _ = terminal.finish()
    assert status == 1
    assert "Run this again when you like." in terminal.shown
    assert mock.secret_key not in terminal.shown
    assert not (home / ".codex").exists()


def test_other_keys_are_replaced_only_with_consent(home: Path) -> None:
    file = home / ".config/codex-langfuse/env"
    write_private(file, key_file_text("pk-lf-mine", "sk-lf-mine", "http://127.0.0.1:9"))
    before = file.read_text()
    command = [sys.executable, "-m", "codex_langfuse", "setup"]
    with at_a_terminal(command, dict(os.environ)) as terminal:
        terminal.wait_for(f"Replace the keys in {file}? [y/N]:")
        terminal.type("n\n")
        assert terminal.finish()[0] == 1
    assert file.read_text() == before


def test_uninstall_says_what_it_cannot_take_back(home: Path) -> None:
    assert run("config", "relay", "--yes").exit_code == 0
    config = home / ".codex/config.toml"
    config.write_text(config.read_text().replace('protocol = "binary"', 'protocol = "json"'))
    refused = run("uninstall", "--yes")
    assert refused.exit_code == 1
    assert "is not changed" in refused.stderr
    assert "codex-langfuse config off" in refused.stderr
    assert 'protocol = "json"' in config.read_text()


def test_launchd(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`launchctl print` finds nothing loaded, so the agent is loaded; what it was asked is on record."""
    asked = tmp_path / "asked"
    script = f'echo "$*" >>{asked}; case "$*" in *{AGENT_LABEL}) [ "$1" != print ];; esac'
    program(tmp_path / "bin", monkeypatch, "launchctl", script)
    assert find_manager("darwin") is Manager.LAUNCHD
    start_service(Manager.LAUNCHD, ["/a b/python", "-m", "x"], os.environ, "darwin")
    agent = home / "Library/LaunchAgents" / f"{AGENT_LABEL}.plist"
    assert agent.exists()
    user = os.getuid()
    assert asked.read_text().splitlines()[1:] == [
        f"print gui/{user}/{AGENT_LABEL}",
        f"bootstrap gui/{user} {agent}",
        f"kickstart gui/{user}/{AGENT_LABEL}",
    ]
    assert remove_service(Manager.LAUNCHD, os.environ, "darwin")
    assert not agent.exists()
    assert asked.read_text().splitlines()[-1] == f"bootout gui/{user}/{AGENT_LABEL}"
    assert not remove_service(Manager.LAUNCHD, os.environ, "darwin")


def test_a_scheduled_task(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "asked"
    program(tmp_path / "bin", monkeypatch, "powershell", f'echo "$*" >>{asked}; echo True')
    manager = find_manager("win32")
    assert manager is Manager.TASKS
    start_service(manager, [], os.environ, "win32")
    assert remove_service(manager, os.environ, "win32")
    started, found, removed = asked.read_text().splitlines()
    script = Path(started.rpartition(" ")[2])
    assert script.read_bytes() == (ROOT / "examples/service/install-relay-task.ps1").read_bytes()
    assert "Get-ScheduledTask -TaskName codex-langfuse-relay" in found
    assert "Unregister-ScheduledTask -TaskName codex-langfuse-relay" in removed


def test_a_service_manager_that_refuses(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin", monkeypatch, "systemctl", 'echo "Access denied" >&2; exit 3')
    with pytest.raises(ServiceError, match="daemon-reload` failed with status 3: Access denied"):
        start_service(Manager.SYSTEMD, ["x"], os.environ)
