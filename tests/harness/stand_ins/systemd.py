"""``systemctl --user``: it reads the unit in the reader's home, and runs what ``ExecStart`` says.

The service ends with the terminal that it was started from. What systemd itself makes of the unit is for
``systemd-analyze``, in ``tests/test_relay_install.py``.
"""

import os
import re
import shlex
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from harness.stand_ins import ComplaintError, state_folder


def run(arguments: list[str]) -> None:
    """Do what ``systemctl ARGUMENTS`` does for one unit of a user.

    Raises:
        ComplaintError: it would refuse, or is no command that is known here.
    """
    match arguments:
        case ["--user", "show-environment"]:
            print(f"HOME={Path.home()}")
        case ["--user", "daemon-reload"]:
            pass
        case ["--user", "enable", "--now", unit]:
            _start(unit)
        case ["--user", "stop", unit] | ["--user", "disable", "--now", unit]:
            _unit(unit)
            _stop(unit)
        case _:
            raise ComplaintError(f"systemctl {' '.join(arguments)} is not known here")


def _unit(name: str) -> str:
    file = Path.home() / ".config/systemd/user" / name
    if not file.is_file():
        raise ComplaintError(f"Unit {name} not found")
    return file.read_text(encoding="utf-8")


def _start(name: str) -> None:
    command = re.search(r"^ExecStart=(.*)$", _unit(name), re.M)
    if command is None:
        raise ComplaintError(f"{name} has no ExecStart")
    if _running(name) is not None:
        return
    words = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(command[1])]
    # A service has nothing of the terminal's variables but these, and what the tests' network needs.
    kept = ("HOME", "PATH", "PYTHONPATH", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE")
    environment = {key: os.environ[key] for key in kept if key in os.environ}
    folder = state_folder() / "units"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
        )
    (folder / f"{name}.pid").write_text(str(process.pid))


def _running(name: str) -> int | None:
    try:
        pid = int((state_folder() / "units" / f"{name}.pid").read_text())
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return None
    return None if state == "Z" else pid


def _stop(name: str) -> None:
    pid = _running(name)
    if pid is None:
        return
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 30
    while _running(name) is not None:
        if time.monotonic() > deadline:
            raise ComplaintError(f"{name} does not stop")
        time.sleep(0.05)
