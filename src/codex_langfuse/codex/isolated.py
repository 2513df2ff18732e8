"""A real Codex that touches nothing of the person who runs it, and no network but loopback.

It has a home, a configuration, a working folder and an environment of its own. What is replaced in it is
given on the command line and in the environment (see ``replaced``), so that the configuration file stays,
byte for byte, what a page prints.
"""

import os
import re
import shlex
import signal
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from codex_langfuse.codex.binary import find_codex
from codex_langfuse.codex.replaced import API_KEY, NOWHERE, has_sandbox, settings

# A caller who wants to see the traffic gives another proxy.
OFFLINE: Mapping[str, str] = {
    **dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), NOWHERE),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
}

# What a process cannot do without; anything else of the caller's environment stays outside.
_INHERITED = ("PATH", "SYSTEMROOT", "COMSPEC", "PATHEXT")

_LOCATED_ERROR = re.compile(r"^Error: (?P<file>.+?):(?P<line>\d+):(?P<column>\d+): (?P<message>.+)$", re.M)


@dataclass(frozen=True)
class CodexRun:
    """How a run of Codex ended."""

    arguments: Sequence[str]
    returncode: int
    stdout: str
    stderr: str
    seconds: float


@dataclass(frozen=True)
class ConfigCheck:
    """What Codex says of a configuration.

    ``message`` is empty when it is valid. ``line`` and ``column`` count from 1; they are None when Codex
    gave no place, and 1:1 when it did not know the place.
    """

    returncode: int
    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None

    @property
    def valid(self) -> bool:
        """Whether Codex starts with this configuration and knows every field of it."""
        return self.returncode == 0


class IsolatedCodex:
    """A Codex that lives in ``folder``.

    Attributes: ``home`` (HOME), ``codex_home`` (CODEX_HOME, that is ``~/.codex``), ``workspace`` (the git
    repository it works in), ``bin`` (holds a ``codex`` for shell examples), ``environment`` (all of it),
    ``command`` (the program and what every run of it is given).
    """

    def __init__(
        self,
        folder: Path,
        *,
        model_url: str = f"{NOWHERE}/v1",
        environment: Mapping[str, str] | None = None,
        overrides: Sequence[str] = (),
        binary: Path | None = None,
    ) -> None:
        """Make the folders and the ``codex`` wrapper.

        Args:
            folder: where everything goes; made if missing. Give each Codex its own.
            model_url: ``ScriptedModel.base_url``; the default is for uses that call no model.
            environment: added to the environment, and wins over ``OFFLINE``: ``TlsProxy.environment``,
                variables a page exports.
            overrides: more ``-c`` arguments for every run; they win over those of ``replaced``.
            binary: the Codex to run; default ``find_codex()``.

        Raises:
            CodexNotFoundError: no binary given, and none found.
        """
        self.binary = binary or find_codex()
        folder = folder.resolve()
        self.home = folder / "home"
        self.codex_home = self.home / ".codex"
        self.workspace = folder / "workspace"
        self.bin = folder / "bin"
        temporary = folder / "tmp"
        for path in (self.codex_home, self.workspace, self.bin, temporary):
            path.mkdir(parents=True, exist_ok=True)
        self.environment = {
            **{name: os.environ[name] for name in _INHERITED if name in os.environ},
            "HOME": str(self.home),
            "USERPROFILE": str(self.home),
            "CODEX_HOME": str(self.codex_home),
            # Codex warns on stderr when its home lies inside the folder for temporary files.
            **dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(temporary)),
            "LANG": "C.UTF-8",
            API_KEY.name: API_KEY.value,
            **OFFLINE,
            **(environment or {}),
        }
        self.environment["PATH"] = os.pathsep.join((str(self.bin), self.environment["PATH"]))
        sandbox = has_sandbox(self.binary, self.environment)
        self.command = [str(self.binary), *settings(model_url, sandbox=sandbox), *overrides]
        # `codex exec` refuses to work outside a git repository.
        subprocess.run(
            ["git", "init", "--quiet", str(self.workspace)], check=True, env=self.environment, timeout=30
        )
        self._write_wrapper()

    def _write_wrapper(self) -> None:
        if os.name == "nt":
            text = f"@{subprocess.list2cmdline(self.command)} %*\r\n"
            (self.bin / "codex.cmd").write_text(text, encoding="utf-8", newline="")
            return
        wrapper = self.bin / "codex"
        wrapper.write_text(f'#!/bin/sh\nexec {shlex.join(self.command)} "$@"\n', encoding="utf-8")
        wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)

    def write_config(self, text: str) -> Path:
        """Write ``text`` byte for byte to ``~/.codex/config.toml`` and return its path."""
        path = self.codex_home / "config.toml"
        path.write_bytes(text.encode())
        return path

    def run(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout: float = 60,
    ) -> CodexRun:
        """Run ``codex`` with ``arguments`` in the workspace.

        Args:
            arguments: as typed after ``codex``.
            environment: added to ``self.environment`` for this run.
            stdin: what it reads; nothing by default.
            timeout: seconds; then Codex and all it started are killed.

        Raises:
            subprocess.TimeoutExpired: it took longer.
        """
        return run_in_group(
            [*self.command, *arguments],
            cwd=self.workspace,
            environment={**self.environment, **(environment or {})},
            stdin=stdin,
            timeout=timeout,
        )

    def run_exec(
        self,
        prompt: str = "Say hello.",
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> CodexRun:
        """Run ``codex exec <arguments> <prompt>``; see ``run``."""
        return self.run("exec", *arguments, prompt, environment=environment, timeout=timeout)

    def check_config(self, text: str) -> ConfigCheck:
        """Write ``text`` as the configuration and let Codex judge it, unknown fields included.

        Uses ``codex app-server --strict-config`` with an empty input (Codex 0.131 and newer), which loads
        the configuration and leaves.
        """
        self.write_config(text)
        run = self.run("app-server", "--strict-config", timeout=30)
        if run.returncode == 0:
            return ConfigCheck(0, "")
        place = _LOCATED_ERROR.search(run.stderr)
        if place is None:
            return ConfigCheck(run.returncode, run.stderr.strip().removeprefix("Error: "))
        return ConfigCheck(
            run.returncode, place["message"], place["file"], int(place["line"]), int(place["column"])
        )


def run_in_group(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    stdin: str = "",
    timeout: float = 60,
) -> CodexRun:
    """Run ``command`` with exactly ``environment``; after ``timeout`` seconds kill all it started.

    Raises:
        subprocess.TimeoutExpired: it took longer; holds what was printed until then.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=os.name != "nt",
    )
    try:
        stdout, stderr = process.communicate(stdin, timeout=timeout)
    except BaseException:
        _kill_group(process)
        process.communicate()
        raise
    seconds = time.monotonic() - started
    return CodexRun([str(part) for part in command], process.returncode, stdout, stderr, seconds)


def _kill_group(process: subprocess.Popen[str]) -> None:
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, timeout=30)
    else:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
