"""The relay as a service of one user: a systemd user unit, a launchd agent.

The unit holds the command with absolute paths, and of the credentials only the file they are in.
"""

import plistlib
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codex_langfuse.page_addresses import page_url
from codex_langfuse.private_file import write_private

UNIT_NAME = "codex-langfuse-relay.service"
AGENT_LABEL = "codex-langfuse.relay"
#: Seconds until the system kills a relay that is stopping: it delivers for 10.
_SECONDS_TO_STOP = 20


class InstallError(Exception):
    """It cannot be installed here: why, and what to do."""


@dataclass(frozen=True)
class Installed:
    """A file that was written or removed, and the commands that make it count."""

    file: Path
    commands: tuple[str, ...]
    notes: tuple[str, ...] = ()


def systemd_unit(command: Sequence[str]) -> str:
    """Write a systemd user unit that runs ``command``."""
    return f"""\
[Unit]
Description=codex-langfuse relay: Codex's telemetry to Langfuse
Documentation={page_url("guide/relay")}

[Service]
ExecStart={_systemd_command(command)}
Restart=on-failure
RestartSec=5
# Usage error: starting again would not fix it.
RestartPreventExitStatus=2
TimeoutStopSec={_SECONDS_TO_STOP}
UMask=0077
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""


def launch_agent(command: Sequence[str], log_file: str) -> bytes:
    """Write a launchd agent's property list that runs ``command``; what it says goes to ``log_file``."""
    return plistlib.dumps(
        {
            "Label": AGENT_LABEL,
            "ProgramArguments": list(command),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": 5,
            "ExitTimeOut": _SECONDS_TO_STOP,
            "ProcessType": "Background",
            "Umask": 0o077,
            "StandardErrorPath": log_file,
        },
        sort_keys=False,
    )


def install(
    command: Sequence[str], environment: Mapping[str, str], platform: str = sys.platform
) -> Installed:
    """Write the service's file for this platform; raises ``InstallError`` or ``OSError``."""
    path = service_file(environment, platform)
    if platform == "darwin":
        log_file = _home(environment) / "Library/Logs/codex-langfuse-relay.log"
        write_private(path, launch_agent(command, str(log_file)).decode())
        return Installed(path, (f"launchctl bootstrap gui/$(id -u) '{path}'",), (f"It writes to {log_file}",))
    write_private(path, systemd_unit(command))
    return Installed(
        path,
        ("systemctl --user daemon-reload", f"systemctl --user enable --now {UNIT_NAME}"),
        (
            f"journalctl --user --unit {UNIT_NAME} shows what it says",
            "loginctl enable-linger keeps it running while you are logged out",
            *_without_systemctl(),
        ),
    )


def uninstall(environment: Mapping[str, str], platform: str = sys.platform) -> Installed | None:
    """Remove the service's file; ``None`` if there is none. Credentials and state are kept."""
    path = service_file(environment, platform)
    if not path.exists():
        return None
    path.unlink()
    if platform == "darwin":
        return Installed(path, (f"launchctl bootout gui/$(id -u)/{AGENT_LABEL}",))
    # What `systemctl --user enable` made; it cannot take it back without the unit.
    (path.parent / "default.target.wants" / UNIT_NAME).unlink(missing_ok=True)
    commands = (f"systemctl --user stop {UNIT_NAME}", "systemctl --user daemon-reload")
    return Installed(path, commands, _without_systemctl())


def service_file(environment: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Return where the service's file is for this platform; raises ``InstallError`` where there is none."""
    if platform == "darwin":
        return _home(environment) / "Library/LaunchAgents" / f"{AGENT_LABEL}.plist"
    if platform == "linux":
        return _config_home(environment) / "systemd/user" / UNIT_NAME
    raise InstallError(
        "--install supports systemd (Linux) and launchd (macOS); for Windows, examples/service has a recipe"
    )


def _without_systemctl() -> tuple[str, ...]:
    if shutil.which("systemctl"):
        return ()
    return ("there is no systemctl here: run the command in ExecStart by other means, such as your login's",)


def _home(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("HOME") or Path.home())


def _config_home(environment: Mapping[str, str]) -> Path:
    named = environment.get("XDG_CONFIG_HOME", "")
    return Path(named) if Path(named).is_absolute() else _home(environment) / ".config"


def _systemd_command(command: Sequence[str]) -> str:
    """Write ``ExecStart`` (systemd.service(5), "Command lines"); the program's name knows no variables."""
    program, *arguments = (_systemd_quoted(word) for word in command)
    return " ".join([program, *(word.replace("$", "$$") for word in arguments)])


def _systemd_quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    return escaped if word and not set(word) & set(" \t\n\"';") else f'"{escaped}"'
