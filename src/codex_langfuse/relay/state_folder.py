"""The folder in which one relay keeps its state, and the lock that makes it one."""

import contextlib
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

_LOCK = "relay.lock"
_HOLDER = "relay.json"


class StateFolderError(Exception):
    """The folder cannot be used: why, and what to do."""


@dataclass(frozen=True)
class Holder:
    """The relay that works in a folder: its process, its address, and since when (seconds since 1970)."""

    pid: int
    url: str
    started: float


def default_state_folder(environment: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Return where this platform keeps the state of one user's programs."""
    home = Path(environment.get("HOME") or Path.home())
    if platform == "win32":
        local = environment.get("LOCALAPPDATA")
        return (Path(local) if local else home / "AppData/Local") / "codex-langfuse"
    if platform == "darwin":
        return home / "Library/Application Support/codex-langfuse"
    state = environment.get("XDG_STATE_HOME", "")
    return (Path(state) if Path(state).is_absolute() else home / ".local/state") / "codex-langfuse"


def retry_command(folder: Path) -> str:
    """Return the command that makes the turns set aside in ``folder`` deliverable again."""
    where = "" if folder == default_state_folder(os.environ) else f" --state '{folder}'"
    return f"codex-langfuse relay --retry-failed{where}"


def prepare(folder: Path) -> None:
    """Make the folder with mode 0700; raises ``StateFolderError`` if others may look into it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = folder.stat().st_mode & 0o777
    except OSError as error:
        raise StateFolderError(f"{folder} cannot be used: {error.strerror}") from error
    if os.name != "nt" and mode & 0o077:
        raise StateFolderError(
            f"{folder} has mode {mode:04o}: others may look into it. chmod 700 it, or give another --state"
        )


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder for the length of a ``with`` block; raises ``StateFolderError`` if another relay does.

    The lock is one of SQLite: the operating system frees it when the process ends, however it ends.
    """
    database = sqlite3.connect(folder / _LOCK, timeout=1, isolation_level=None)
    with contextlib.closing(database):
        try:
            database.execute("PRAGMA journal_mode = MEMORY")
            database.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise StateFolderError(f"{folder} cannot be used: {error}") from error
            text = f"{_who(folder)} works in {folder}; stop it, or give another --state"
            raise StateFolderError(text) from error
        try:
            yield
        finally:
            (folder / _HOLDER).unlink(missing_ok=True)


def announce(folder: Path, url: str) -> None:
    """Write down who holds the folder, for those who find it held."""
    holder = Holder(os.getpid(), url, time.time())
    fresh = folder / f"{_HOLDER}.new"
    fresh.write_text(json.dumps(asdict(holder)), encoding="utf-8")
    fresh.replace(folder / _HOLDER)


def is_held(folder: Path) -> bool:
    """Whether a relay works in this folder now."""
    if not (folder / _LOCK).exists():
        return False
    database = sqlite3.connect(folder / _LOCK, timeout=0, isolation_level=None)
    with contextlib.closing(database):
        try:
            database.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return True
        database.execute("ROLLBACK")
        return False


def holder(folder: Path) -> Holder | None:
    """Return the relay that works in this folder; ``None`` if there is none, or it has not said yet."""
    if not is_held(folder):
        return None
    try:
        return Holder(**json.loads((folder / _HOLDER).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _who(folder: Path) -> str:
    found = holder(folder)
    return f"another relay (process {found.pid}, {found.url})" if found else "another relay"
