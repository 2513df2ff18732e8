"""Which Codex the plan is run with."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from codex_langfuse.codex.binary import CodexNotFoundError, codex_version, find_codex
from codex_langfuse.codex.versions import Version
from codex_langfuse.testplan.running import OLDEST_CODEX


class UnfitError(Exception):
    """The plan cannot be run on this machine: why, and what to do."""


@dataclass(frozen=True)
class Program:
    """A Codex: its path, and the version it reports."""

    path: Path
    version: str


def find_program(given: Path | None) -> Program:
    """Find Codex: the one given, else the one that a person starts as ``codex``, else the packaged one.

    Raises:
        UnfitError: there is none, it is too old, or git, which ``codex exec`` insists on, is not there.
    """
    if shutil.which("git") is None:
        raise UnfitError("install git: `codex exec` works only in git repositories")
    path = _path(given)
    try:
        version = codex_version(path)
        parsed = Version.parse(version)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UnfitError(f"{path} does not answer as Codex does: {error}") from error
    if parsed < OLDEST_CODEX:
        raise UnfitError(f"{path} is Codex {version}; the test plan needs {OLDEST_CODEX} or newer")
    return Program(path, version)


def _path(given: Path | None) -> Path:
    if given is not None:
        if not given.is_file():
            raise UnfitError(f"--codex: there is no file {given}")
        return given.resolve()
    on_path = shutil.which("codex")
    if on_path is not None and not _is_batch_file(Path(on_path)):
        return Path(on_path)
    try:
        found = find_codex()
    except CodexNotFoundError as error:
        raise UnfitError(f"{error} Or name the program with --codex.") from error
    if _is_batch_file(found):
        raise UnfitError(f"{found} only starts Codex; name the program itself: --codex …\\codex.exe")
    return found


def _is_batch_file(path: Path) -> bool:
    """Whether it is what npm puts on PATH on Windows; quotes do not survive in its arguments."""
    return os.name == "nt" and path.suffix.lower() in (".cmd", ".bat", ".ps1")
