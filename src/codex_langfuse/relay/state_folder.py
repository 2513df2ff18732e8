"""The folder in which one relay keeps its state, and the lock that makes it one."""

import contextlib
import json
import logging
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from codex_langfuse.private_file import make_private_folder, write_private

_LOCK = "relay.lock"
_HOLDER = "relay.json"
_FINISH = "relay.finish"

logger = logging.getLogger(__name__)


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
    """Make the folder, and those above it, with mode 0700; raises ``StateFolderError`` if others may look."""
    try:
        make_private_folder(folder)
        mode = folder.stat().st_mode & 0o777
    except OSError as error:
        raise StateFolderError(f"{folder} cannot be used: {error.strerror}") from error
    if os.name != "nt" and mode & 0o077:
        raise StateFolderError(
            f"{folder} has mode {mode:04o}: others may read it. Run chmod 700 on it, or give another --state"
        )


@contextlib.contextmanager
def held(folder: Path) -> Iterator[float | None]:
    """Hold the folder for the length of a ``with`` block; raises ``StateFolderError`` if another relay does.

    Yields when a relay was last alive in it (seconds since 1970), if one was. The lock is one of SQLite: the
    operating system frees it when the process ends, however it ends.
    """
    try:
        last_alive = (folder / _LOCK).stat().st_mtime
    except OSError:
        last_alive = None
    with contextlib.closing(_connected(folder, timeout=1)) as database:
        try:
            _lock(folder, database)
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise StateFolderError(f"{folder} cannot be used: {error}") from error
            text = f"{_who(folder)} works in {folder}; stop it, or give another --state"
            raise StateFolderError(text) from error
        # Left by one that was killed.
        _remove(folder / _HOLDER)
        _remove(folder / _FINISH)
        try:
            yield last_alive
        finally:
            _remove(folder / _HOLDER)


def _connected(folder: Path, timeout: float) -> sqlite3.Connection:
    try:
        return sqlite3.connect(folder / _LOCK, timeout=timeout, isolation_level=None)
    except sqlite3.Error as error:
        raise StateFolderError(f"{folder} cannot be used: {error}") from error


def _lock(folder: Path, database: sqlite3.Connection) -> None:
    try:
        database.execute("PRAGMA journal_mode = MEMORY")
        database.execute("BEGIN EXCLUSIVE")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise
        # There is never anything in it. Emptied in place: whoever may hold it keeps it.
        os.truncate(folder / _LOCK, 0)
        database.execute("BEGIN EXCLUSIVE")


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def announce(folder: Path, url: str) -> None:
    """Write down who holds the folder, for those who find it held; without it on a full disk."""
    holder = Holder(os.getpid(), url, time.time())
    try:
        write_private(folder / _HOLDER, json.dumps(asdict(holder)))
    except OSError as error:
        logger.warning("%s: %s; --status and --stop do not find this relay", folder, error.strerror)


def still_alive(folder: Path) -> None:
    """Leave a sign that the relay that holds the folder is alive."""
    with contextlib.suppress(OSError):
        os.utime(folder / _LOCK)


def finish_on_stop(folder: Path) -> None:
    """Have the relay that holds the folder end the turns in progress when it stops; raises ``OSError``."""
    write_private(folder / _FINISH, "")


def is_to_finish(folder: Path) -> bool:
    """Whether ``finish_on_stop`` was asked of the relay that holds the folder."""
    return (folder / _FINISH).exists()


def is_held(folder: Path) -> bool:
    """Whether a relay works in this folder now."""
    if not (folder / _LOCK).exists():
        return False
    with contextlib.closing(_connected(folder, timeout=0)) as database:
        try:
            database.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
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
