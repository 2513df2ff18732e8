"""A shell that stays open while a page is followed.

What a fence exports, and the folder it changes to, is there for the next fence of the page.
"""

import fcntl
import os
import pty
import signal
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.fences.answering import Person
from harness.fences.outputs import readable

SHELL_SECONDS = 60

_RUN_FENCE = """\
. "$1/exports"
cd "$(cat "$1/folder")"
trap 'export -p >"$1/exports"; pwd >"$1/folder"' EXIT
set -e -o pipefail
trap '' HUP # what is left in the background outlives the terminal at which answers were typed
. "$1/fence"
"""


@dataclass(frozen=True)
class Printed:
    """What a command did: its exit status, and all that a terminal would show of it."""

    status: int
    text: str


class Terminal:
    """One shell's state.

    Args:
        memory: an empty folder for what the shell remembers between fences.
        home: what ``~`` is.
        project: the folder the shell starts in.
        environment: all that the shell starts with.
    """

    def __init__(self, memory: Path, home: Path, project: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.project = project
        self._memory = memory
        self._environment = dict(environment)
        self._groups: list[int] = []
        memory.mkdir(parents=True, exist_ok=True)
        (memory / "exports").write_text("")
        (memory / "folder").write_text(str(project))

    def run(self, script: str, answers: Sequence[str] = ()) -> Printed:
        """Run ``script`` with bash as the next thing typed; ``answers`` are typed when something asks."""
        (self._memory / "fence").write_text(script, encoding="utf-8")
        transcript = self._memory / "transcript"
        master, slave = pty.openpty()
        with transcript.open("wb") as printed:
            # A file, not a pipe: a server left in the background must not hold the fence open.
            process = subprocess.Popen(
                ["bash", "--noprofile", "--norc", "-c", _RUN_FENCE, "bash", self._memory],
                cwd=self.project,
                env=self._environment,
                stdin=slave if answers else subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=(lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) if answers else None,
            )
            self._groups.append(process.pid)
            deadline = time.monotonic() + SHELL_SECONDS
            try:
                Person(master, transcript, answers).type_until(lambda: process.poll() is not None, deadline)
                status = process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                printed.write(f"\n(still running after {SHELL_SECONDS} s, so it was stopped)\n".encode())
                status = 124
            finally:
                os.close(slave)
                os.close(master)
        text = transcript.read_text(encoding="utf-8", errors="replace")
        return Printed(status, readable(text, str(self.home)))

    def environment(self) -> dict[str, str]:
        """Return what a program started in this terminal now would find in its environment."""
        report = subprocess.run(
            ["bash", "--noprofile", "--norc", "-c", '. "$1/exports"; env -0', "bash", self._memory],
            env=self._environment,
            stdout=subprocess.PIPE,
            check=True,
        )
        pairs = (entry.split("=", 1) for entry in report.stdout.decode().split("\0") if "=" in entry)
        return {name: value for name, value in pairs if name not in {"_", "SHLVL", "PWD", "OLDPWD"}}

    def write(self, title: str, text: str, *, append: bool = False) -> Path:
        """Write the file that a page calls ``title``, byte for byte, and return its path.

        ``~/…`` is in the home, any other path in the project.
        """
        folder, name = (self.home, title[2:]) if title.startswith("~/") else (self.project, title)
        file = folder / name
        if not file.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{title} is outside of the reader's home and project")
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a" if append else "w", encoding="utf-8", newline="") as out:
            out.write(text)
        return file

    def close(self) -> None:
        """Stop whatever a fence left running."""
        for group in self._groups:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
