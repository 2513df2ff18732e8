"""The relay as a service: what ``--install`` writes, and the examples for those who do it by hand."""

import os
import plistlib
import re
import shutil
import stat
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import tree_sitter_pwsh
from tree_sitter import Language, Parser

from codex_langfuse.keys.key_file import key_file_text
from codex_langfuse.private_file import write_private
from codex_langfuse.relay.install import (
    AGENT_LABEL,
    UNIT_NAME,
    InstallError,
    install,
    launch_agent,
    systemd_unit,
    uninstall,
)

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples/service"
SECRET = "sk-lf-secret-of-the-test"
KEYS = {
    "LANGFUSE_PUBLIC_KEY": "pk-lf-1234567890",
    "LANGFUSE_SECRET_KEY": SECRET,
    "LANGFUSE_BASE_URL": "http://127.0.0.1:9",
}

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on the PATH"
)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="what --install writes on Linux")


def verify_unit(text: str, folder: Path) -> str:
    """Return what systemd has to say against a unit."""
    unit = folder / UNIT_NAME
    unit.write_text(text)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "HOME": str(folder)}
    verified = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(unit)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return verified.stderr + ("" if verified.returncode == 0 else f"status {verified.returncode}")


@needs_systemd
def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "a folder with 100% of $HOME; and more" / "python"
    program.parent.mkdir()
    program.symlink_to(sys.executable)
    assert verify_unit(systemd_unit([str(program), "-m", "x", "", "%h", "$HOME"]), tmp_path) == ""
    # It would say so if it read another name.
    assert "is not executable" in verify_unit(systemd_unit([f"{program}%", "-m"]), tmp_path)


@needs_systemd
def test_systemd_reads_the_example(tmp_path: Path) -> None:
    program = tmp_path / ".local/bin/codex-langfuse"
    program.parent.mkdir(parents=True)
    program.symlink_to(sys.executable)
    assert verify_unit((EXAMPLES / UNIT_NAME).read_text(), tmp_path) == ""


def test_the_example_unit_is_what_install_writes() -> None:
    example = (EXAMPLES / UNIT_NAME).read_text()
    unit = example[example.index("[Unit]") :]
    command = ["~/.local/bin/codex-langfuse", "relay", "--credentials", "~/.config/codex-langfuse/env"]
    assert unit == systemd_unit(command).replace("~", "%h")


def test_the_example_agent_is_what_install_writes() -> None:
    example = plistlib.loads((EXAMPLES / f"{AGENT_LABEL}.plist").read_bytes())
    written = launch_agent(example["ProgramArguments"], example["StandardErrorPath"])
    assert plistlib.loads(written) == example
    assert example["ProgramArguments"][1:3] == ["relay", "--credentials"]
    assert example["KeepAlive"] == {"SuccessfulExit": False}


def test_the_recipe_for_windows_parses() -> None:
    text = (EXAMPLES / "install-relay-task.ps1").read_bytes()
    assert text.isascii(), "PowerShell 5.1 would read it in the code page of the machine"
    assert not Parser(Language(tree_sitter_pwsh.language())).parse(text).root_node.has_error


def test_options_of_the_examples_exist() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "codex_langfuse", "relay", "--help"],
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for file in EXAMPLES.iterdir():
        for option in re.findall(r"relay[^\n]*?(--[a-z-]+)", file.read_text(encoding="utf-8")):
            assert re.search(rf"{option}\b", shown), f"{file.name}: {option}"


def run(home: Path, *options: str, **more: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("LANGFUSE_", "XDG_"))}
    return subprocess.run(
        [sys.executable, "-m", "codex_langfuse", "relay", *options],
        env={**own, "HOME": str(home), "NO_COLOR": "1", **more},
        capture_output=True,
        text=True,
        cwd=home,
        timeout=30,
        check=False,
    )


@linux_only
def test_installs_and_takes_it_back(tmp_path: Path) -> None:
    done = run(tmp_path, "--install", "--content", "prompts", "--tag", "a b", "--user", "me", **KEYS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "systemctl --user daemon-reload",
        f"systemctl --user enable --now {UNIT_NAME}",
    ]
    unit = tmp_path / ".config/systemd/user" / UNIT_NAME
    credentials = tmp_path / ".config/codex-langfuse/env"
    assert f"wrote {unit}" in done.stderr
    text = unit.read_text()
    (command,) = re.findall("^ExecStart=(.*)$", text, re.M)
    assert f'--content prompts --trace-name turn --user me --tag "a b" --credentials {credentials}' in command
    assert f"--state {tmp_path}/.local/state/codex-langfuse" in command
    assert SECRET not in text + done.stdout + done.stderr
    assert stat.S_IMODE(credentials.stat().st_mode) == 0o600
    assert SECRET in credentials.read_text()
    # The relay reads what was written; it stops at the port, which no relay can have.
    relay = run(tmp_path, "--credentials", str(credentials), "--listen", "0.0.0.0:0")
    assert "give --token-file" in relay.stderr

    back = run(tmp_path, "--uninstall")
    assert back.returncode == 0
    assert back.stdout.splitlines() == [
        f"systemctl --user stop {UNIT_NAME}",
        "systemctl --user daemon-reload",
    ]
    assert not unit.exists()
    assert credentials.exists()
    assert "the relay is not installed as a service" in run(tmp_path, "--uninstall").stderr


@linux_only
def test_a_key_file_that_is_there_is_used(tmp_path: Path) -> None:
    file = tmp_path / ".config/codex-langfuse/env"
    write_private(file, key_file_text("pk-lf-mine", "sk-lf-mine", "http://127.0.0.1:9"))
    before = file.read_text()
    done = run(tmp_path, "--install", **KEYS)
    assert done.returncode == 0, done.stderr
    assert file.read_text() == before
    assert f"takes the keys from {file}" in done.stderr


def test_without_a_console_it_logs_to_a_file(tmp_path: Path) -> None:
    """As Windows starts a program of ``gui-scripts``: without standard output and standard error."""
    program = (
        "import sys; sys.stdout = sys.stderr = None; sys.argv[1:] = ['--listen', '127.0.0.1:0']; "
        "from codex_langfuse.cli import relay_without_console; relay_without_console()"
    )
    environment = {**os.environ, **KEYS, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    environment["LOCALAPPDATA"] = environment["XDG_STATE_HOME"]
    process = subprocess.Popen([sys.executable, "-c", program], env=environment)
    try:
        deadline = time.monotonic() + 30
        while not (logs := list(tmp_path.rglob("relay.log"))) or "turns go to" not in logs[0].read_text():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        status = run(tmp_path, "--status", XDG_STATE_HOME=environment["XDG_STATE_HOME"])
        assert f"log         {logs[0]}" in status.stdout
        assert re.search(r"^http://127\.0\.0\.1:\d+$", logs[0].read_text(), re.M)
        if os.name == "posix":
            assert stat.S_IMODE(logs[0].stat().st_mode) == 0o600
    finally:
        process.terminate()
        process.wait(30)


def test_the_task_for_windows_starts_the_program_without_a_console() -> None:
    scripts = tomllib.loads((EXAMPLES.parents[1] / "pyproject.toml").read_text())["project"]["gui-scripts"]
    assert scripts == {"codex-langfuse-relay": "codex_langfuse.cli:relay_without_console"}
    assert "(Get-Command codex-langfuse-relay).Source" in (EXAMPLES / "install-relay-task.ps1").read_text()


@linux_only
def test_installs_with_a_file_of_credentials(tmp_path: Path) -> None:
    (tmp_path / "mine.env").write_text("".join(f"{name}={value}\n" for name, value in KEYS.items()))
    (tmp_path / "mine.env").chmod(0o600)
    (tmp_path / "token").write_text("of-the-collector\n")
    (tmp_path / "token").chmod(0o600)
    assert run(tmp_path, "--install", "--credentials", "mine.env").returncode == 0
    unit = tmp_path / ".config/systemd/user" / UNIT_NAME
    assert f"--credentials {tmp_path}/mine.env" in unit.read_text()
    forward = ("--forward", "http://127.0.0.1:9/v1/traces", "--forward-header", "authorization=@token")
    assert run(tmp_path, "--install", *forward).returncode == 0
    assert f"--forward-header authorization=@{tmp_path}/token" in unit.read_text()
    assert not (tmp_path / ".config/codex-langfuse").exists()


@linux_only
def test_installs_nothing_that_could_not_run(tmp_path: Path) -> None:
    refused = run(tmp_path, "--install")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "set LANGFUSE_BASE_URL" in refused.stderr
    assert list(tmp_path.iterdir()) == []


@linux_only
def test_says_what_to_do_without_systemctl(tmp_path: Path) -> None:
    done = run(tmp_path, "--install", PATH=str(tmp_path), **KEYS)
    assert done.returncode == 0
    assert "there is no systemctl here" in done.stderr


def test_on_a_mac(tmp_path: Path) -> None:
    done = install(["/a b/python", "-m", "codex_langfuse", "relay"], {"HOME": str(tmp_path)}, "darwin")
    agent = plistlib.loads(done.file.read_bytes())
    assert done.file == tmp_path / "Library/LaunchAgents" / f"{AGENT_LABEL}.plist"
    assert agent["ProgramArguments"] == ["/a b/python", "-m", "codex_langfuse", "relay"]
    assert done.commands == (f"launchctl bootstrap gui/$(id -u) '{done.file}'",)
    back = uninstall({"HOME": str(tmp_path)}, "darwin")
    assert back is not None
    assert back.commands == (f"launchctl bootout gui/$(id -u)/{AGENT_LABEL}",)
    assert not done.file.exists()


def test_on_windows(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="examples/service has a recipe"):
        install(["x"], {"HOME": str(tmp_path)}, "win32")
