"""Write a file so that there is a way back.

Beside ``config.toml`` there is, for each change, ``config.toml.codex-langfuse-backup-1`` (what was in it
before; ``…-absent-1`` where there was no file) and ``…-written-1`` (what the change wrote). Undoing takes the
change back, whatever was written since (``undoing``). If something was, ``…-undone-1`` keeps what was in the
file until then. Only the owner can read these, whatever the mode of the file: a change may remove a key.

No write follows a link that somebody else could have put there, and none goes over a file that changed after
it was read.
"""

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from codex_langfuse.private_file import make_private_folder

_PRIVATE = 0o600
_NAME = re.compile(r"\.codex-langfuse-(backup|absent|written|undone)-(\d+)$")
#: Not there on Windows.
_GUARDED = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class NoBackupError(FileNotFoundError):
    """There is nothing to undo."""


class UnsafeError(OSError):
    """The file is not written, as that could do harm; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__(None, message)

    def __str__(self) -> str:
        return str(self.strerror)


@dataclass(frozen=True)
class Backup:
    """A change of a file: what was in it before (None when it did not exist) and what the change wrote (None
    where only version 0.1.0 of this tool knows).
    """

    path: Path
    number: int
    before: bytes | None
    written: bytes | None


def real_path(path: Path) -> Path:
    """Return the file that a symbolic link leads to in the end, so that the link stays one.

    Raises:
        UnsafeError: a link on the way is in a folder in which somebody else can replace it.
    """
    for _ in range(40):
        if not path.is_symlink():
            return path
        folder = path.parent.stat()
        if os.name != "nt" and (folder.st_uid not in (0, os.geteuid()) or folder.st_mode & 0o022):
            raise UnsafeError(f"{path} is a link in a folder that others can write to")
        path = Path(os.path.normpath(path.parent / path.readlink()))
    raise UnsafeError(f"{path} is a link that leads to itself")


def read_guarded(path: Path) -> bytes:
    """Return the content of a file; raises ``UnsafeError`` for what is none (a folder, a pipe, a link)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _GUARDED)
    except OSError as error:
        if path.is_symlink():
            raise UnsafeError(f"{path} is a link") from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnsafeError(f"{path} is not a file")
        return file.read()


def current_content(path: Path) -> bytes | None:
    """Return what is in the file that ``path`` leads to, None when there is none; see ``read_guarded``."""
    try:
        return read_guarded(real_path(path))
    except FileNotFoundError:
        return None


def write_with_backup(path: Path, content: bytes, expected: bytes | None) -> Path:
    """Replace the content of ``path`` in one step, keeping its mode and owner; return the path of the backup.

    A new file can be read by its owner only.

    Args:
        path: a file, or a symbolic link to one.
        content: what it is to hold.
        expected: what it held when it was read, None when it did not exist.

    Raises:
        UnsafeError: it holds something else by now, is read-only, or a link is in the way.
        OSError: it cannot be written.
    """
    target = real_path(path)
    make_private_folder(target.parent)
    require_unchanged(target, expected)
    number = max((number for _, number in _kept(target)), default=0) + 1
    kind = "absent" if expected is None else "backup"
    backup = _keep(target, kind, number, expected or b"")
    _keep(target, "written", number, content)
    try:
        _replace(target, content, expected)
    except BaseException:
        for name in (kind, "written"):
            with suppress(OSError):
                _beside(target, name, number).unlink()
        raise
    return backup


def newest_backup(path: Path) -> Backup:
    """Return the change that ``undo`` takes back; raises ``NoBackupError`` when there is none."""
    target = real_path(path)
    kept = _kept(target)
    numbers = [number for kind, number in kept if kind in ("backup", "absent")]
    if not numbers:
        raise NoBackupError(f"there is no backup of {path}, so there is nothing to undo")
    number = max(numbers)
    kind = "backup" if ("backup", number) in kept else "absent"
    place = _beside(target, kind, number)
    before = read_guarded(place) if kind == "backup" else None
    written = read_guarded(_beside(target, "written", number)) if ("written", number) in kept else None
    return Backup(place, number, before, written)


def undo(path: Path, backup: Backup, content: bytes | None, expected: bytes | None) -> Path | None:
    """Write ``content`` (None: remove the file) and drop ``backup``.

    Returns the copy of what was there; None where that is only what the change wrote.
    Raises as ``write_with_backup``.
    """
    target = real_path(path)
    require_unchanged(target, expected)
    copy = None
    if expected not in (None, backup.written):
        taken = [number for kind, number in _kept(target) if kind == "undone"]
        copy = _keep(target, "undone", max([*taken, 0]) + 1, expected)
    if content is not None:
        _replace(target, content, expected)
    elif expected is not None:
        target.unlink()
    backup.path.unlink()
    _beside(target, "written", backup.number).unlink(missing_ok=True)
    return copy


def require_unchanged(target: Path, expected: bytes | None) -> None:
    """Raise ``UnsafeError`` unless ``target`` holds ``expected`` (None: it does not exist)."""
    try:
        now = read_guarded(target)
    except FileNotFoundError:
        now = None
    if now != expected:
        raise UnsafeError(f"{target} was changed by another program meanwhile; run the command again")


def _beside(target: Path, kind: str, number: int) -> Path:
    return target.with_name(f"{target.name}.codex-langfuse-{kind}-{number}")


def _kept(target: Path) -> set[tuple[str, int]]:
    """Return kind and number of what is kept beside ``target``, whatever it is."""
    found = set()
    for file in target.parent.iterdir() if target.parent.is_dir() else ():
        match = _NAME.search(file.name)
        if match and file.name == target.name + match[0]:
            found.add((match[1], int(match[2])))
    return found


def _keep(target: Path, kind: str, number: int, content: bytes) -> Path:
    """Write a file that is not there yet; what somebody else put in its place is never written to."""
    path = _beside(target, kind, number)
    _write_new(path, content, _PRIVATE, target)
    return path


def _write_new(path: Path, content: bytes, mode: int, owner_of: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _GUARDED, _PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
            if os.name != "nt":
                _give(out.fileno(), owner_of)
                os.fchmod(out.fileno(), mode)
    except BaseException:
        path.unlink()
        raise


def _give(descriptor: int, like: Path) -> None:
    """Give a new file the owner of ``like``, or of its folder when it is not there."""
    known = (like if like.exists() else like.parent).stat()
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) == (known.st_uid, known.st_gid):
        return
    if os.geteuid() == 0:
        os.chown(descriptor, known.st_uid, known.st_gid)
    elif like.exists():
        try:
            os.chown(descriptor, -1, known.st_gid)
        except PermissionError as error:
            raise UnsafeError(f"{like} belongs to a group that you are not in, and would lose it") from error


def _replace(target: Path, content: bytes, expected: bytes | None) -> None:
    mode = _PRIVATE
    if expected is not None:
        mode = stat.S_IMODE(target.stat().st_mode)
        if not mode & stat.S_IWUSR or not os.access(target, os.W_OK):
            raise UnsafeError(f"{target} is read-only for you")
    draft = target.with_name(f".{target.name}.{os.getpid()}.codex-langfuse-new")
    with suppress(FileNotFoundError):
        draft.unlink()
    _write_new(draft, content, mode, target)
    try:
        require_unchanged(target, expected)
        draft.replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            draft.unlink()
        raise
