"""Codex's background processes, which keep the configuration and the environment they were started with.

From 0.157 on the terminal interface starts ``codex app-server … --managed-daemon`` from a copy of Codex in
``CODEX_HOME/packages/app-server-daemon/releases/VERSION-…``. It goes on after Codex was upgraded.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from codex_langfuse.codex.versions import Version
from codex_langfuse.configuration.config_files import config_path

_MARK = "--managed-daemon"
_RELEASE = re.compile(r"app-server-daemon[/\\]releases[/\\](\d+\.\d+\.\d+)")


@dataclass(frozen=True)
class Daemon:
    """A background process: its id, when it started (seconds since 1970), and, where they can be seen, its
    environment and its version.
    """

    pid: int
    started: float
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    version: Version | None = None

    def reads_configuration_of(self, environment: Mapping[str, str]) -> bool:
        """Whether its configuration is that of a Codex started with ``environment``.

        On macOS, where its environment cannot be seen, each of this user's counts.
        """
        if self.environment is None:
            return sys.platform == "darwin"
        return config_path(self.environment) == config_path(environment)


def running_daemons() -> tuple[Daemon, ...]:
    """List them: from ``/proc`` on Linux, by ``ps`` on macOS; on Windows none is found."""
    with suppress(OSError, ValueError, subprocess.SubprocessError):
        if Path("/proc/stat").exists():
            return tuple(_of_proc())
        if sys.platform == "darwin":
            return tuple(_of_ps())
    return ()


class StillRunningError(Exception):
    """A background process still runs after it was asked to stop."""


def stop_daemon(daemon: Daemon, seconds: float = 10) -> None:
    """End a background process and wait for it (measured with Codex 0.171.0: it ends at SIGTERM).

    Not by ``codex app-server daemon restart``, which installs and starts one. Raises ``StillRunningError``.
    """
    advice = f"process {daemon.pid} cannot be stopped; end Codex and run: codex app-server daemon stop"
    try:
        os.kill(daemon.pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    except OSError as wrong:
        raise StillRunningError(advice) from wrong
    deadline = time.monotonic() + seconds
    while any(each.pid == daemon.pid for each in running_daemons()):
        if time.monotonic() > deadline:
            raise StillRunningError(advice)
        time.sleep(0.1)


def _of_proc() -> list[Daemon]:
    boot = next(
        int(line.split()[1])
        for line in Path("/proc/stat").read_text().splitlines()
        if line.startswith("btime ")
    )
    found = []
    for folder in Path("/proc").iterdir():
        # A process may end, or belong to somebody else, while it is looked at.
        with suppress(OSError, ValueError, IndexError):
            if not folder.name.isdigit():
                continue
            command = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            if _MARK not in command or "app-server" not in command:
                continue
            after_name = (folder / "stat").read_text().rpartition(")")[2].split()
            started = boot + int(after_name[19]) / os.sysconf("SC_CLK_TCK")
            version = _version(str((folder / "exe").readlink()))
            found.append(Daemon(int(folder.name), started, _environment(folder), version))
    return found


def _version(path: str) -> Version | None:
    release = _RELEASE.search(path)
    return Version.parse(release[1]) if release else None


def _environment(folder: Path) -> dict[str, str] | None:
    try:
        text = (folder / "environ").read_bytes().decode("utf-8", "replace")
    except OSError:
        return None
    return dict(pair.split("=", 1) for pair in text.split("\0") if "=" in pair)


def _of_ps() -> list[Daemon]:
    listing = subprocess.run(
        ["ps", "-xo", "pid=,lstart=,command="],
        capture_output=True,
        text=True,
        timeout=10,
        env={**os.environ, "LC_ALL": "C"},
    ).stdout
    found = []
    for line in listing.splitlines():
        words = line.split()
        if _MARK in words and "app-server" in words:
            started = time.mktime(time.strptime(" ".join(words[1:6]), "%a %b %d %H:%M:%S %Y"))
            found.append(Daemon(int(words[0]), started, version=_version(line)))
    return found
