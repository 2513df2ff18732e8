"""Keep the relay running: as a service where a service manager answers, else in the background.

systemd's and launchd's files are those of ``relay --install``. On Windows it is a scheduled task.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from codex_langfuse.relay.install import AGENT_LABEL, UNIT_NAME, install, service_file, uninstall
from codex_langfuse.relay.log_file import log_file, open_log
from codex_langfuse.relay.state_folder import Holder, holder

#: Seconds until a relay that was started must have said its address.
_SECONDS_TO_START = 20
_LOOK_AGAIN = 0.1
_SECONDS_FOR_COMMAND = 60

_AGENT = f"gui/$(id -u)/{AGENT_LABEL}"
_TASK = UNIT_NAME.removesuffix(".service")
_TASK_SCRIPT = Path(__file__).with_name("install-relay-task.ps1")


class ServiceError(Exception):
    """The relay cannot be started or stopped: why, and what to do."""


class Manager(StrEnum):
    """What keeps a user's programs running, as a person names it."""

    SYSTEMD = "systemd"
    LAUNCHD = "launchd"
    TASKS = "Task Scheduler"


def find_manager(platform: str = sys.platform) -> Manager | None:
    """Return the service manager of this user; None when none answers, as in most containers."""
    if platform == "win32":
        return Manager.TASKS if shutil.which("powershell") else None
    asked = {
        "linux": (Manager.SYSTEMD, "systemctl --user show-environment"),
        "darwin": (Manager.LAUNCHD, "launchctl print gui/$(id -u)"),
    }.get(platform)
    if asked is None:
        return None
    manager, question = asked
    return manager if _shell(question).returncode == 0 else None


def start_service(
    manager: Manager, command: Sequence[str], environment: Mapping[str, str], platform: str = sys.platform
) -> None:
    """Install the service, unless its file is there already, and start it.

    Raises ``ServiceError`` or ``OSError``.
    """
    if manager is Manager.TASKS:
        _powershell("-File", str(_TASK_SCRIPT))
        return
    file = service_file(environment, platform)
    if not file.exists():
        install(command, environment, platform)
    if manager is Manager.SYSTEMD:
        _run("systemctl --user daemon-reload", f"systemctl --user enable --now {UNIT_NAME}")
    else:
        loaded = f"launchctl print {_AGENT} >/dev/null 2>&1"
        _run(f"{loaded} || launchctl bootstrap gui/$(id -u) '{file}'", f"launchctl kickstart {_AGENT}")


def remove_service(
    manager: Manager | None, environment: Mapping[str, str], platform: str = sys.platform
) -> bool:
    """Stop the service and remove its file; return whether there was one.

    Raises ``ServiceError`` or ``OSError``.
    """
    if platform == "win32":
        return manager is not None and _remove_task()
    if not service_file(environment, platform).exists():
        return False
    if manager is Manager.LAUNCHD:
        # Not loaded is as good as stopped.
        _shell(f"launchctl bootout {_AGENT}")
    elif manager is Manager.SYSTEMD:
        _run(f"systemctl --user disable --now {UNIT_NAME}")
    uninstall(environment, platform)
    if manager is Manager.SYSTEMD:
        _run("systemctl --user daemon-reload")
    return True


def start_in_background(command: Sequence[str], folder: Path) -> None:
    """Start the relay as a process that outlives this terminal; it logs to a file in its state folder."""
    with open_log(folder) as log:
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def wait_until_running(folder: Path, manager: Manager | None) -> Holder:
    """Return the relay in ``folder`` as soon as it listens; raises ``ServiceError``."""
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline:
        if (found := holder(folder)) is not None:
            return found
        time.sleep(_LOOK_AGAIN)
    where = (
        f"journalctl --user --unit {UNIT_NAME}" if manager is Manager.SYSTEMD else f"cat {log_file(folder)}"
    )
    if manager is Manager.LAUNCHD:
        where = "cat ~/Library/Logs/codex-langfuse-relay.log"
    raise ServiceError(f"the relay was started and does not listen; this shows why: {where}")


def _remove_task() -> bool:
    found = _powershell("-Command", f"[bool](Get-ScheduledTask -TaskName {_TASK} -ErrorAction Ignore)")
    if found.strip() != "True":
        return False
    _powershell(
        "-Command",
        f"Stop-ScheduledTask -TaskName {_TASK}; Unregister-ScheduledTask -TaskName {_TASK} -Confirm:$false",
    )
    return True


def _powershell(*arguments: str) -> str:
    command = ["powershell", "-NoProfile", "-ExecutionPolicy", "Bypass", *arguments]
    return _checked(command, " ".join(arguments))


def _run(*lines: str) -> None:
    for line in lines:
        _checked(["sh", "-c", line], line)


def _shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, timeout=_SECONDS_FOR_COMMAND, check=False
    )


def _checked(command: Sequence[str], shown: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS_FOR_COMMAND, check=False, env=os.environ
        )
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"`{shown}` does not end; run it by hand to see why") from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise ServiceError(f"`{shown}` failed with status {done.returncode}: {said}")
    return done.stdout
