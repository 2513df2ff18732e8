"""Write a file so that there is a way back, and go that way.

Beside ``config.toml`` stands ``config.toml.codex-langfuse-backup-1``, then ``-2`` and so on: one for each
change, which the undoing uses up from the newest. Where there was no file before, ``…-absent-1`` says so.
Only its owner can read a backup, whatever the file's mode: it may hold the key that the change removes.
"""

import os
import re
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PRIVATE = 0o600
_SUFFIX = re.compile(r"\.codex-langfuse-(backup|absent)-(\d+)$")


class NoBackupError(FileNotFoundError):
    """There is nothing to undo."""


@dataclass(frozen=True)
class Backup:
    """The state of a file before a change. ``content`` is None when it did not exist."""

    path: Path
    number: int
    content: bytes | None


def real_path(path: Path) -> Path:
    """Return where a symbolic link leads in the end, so that the link stays one."""
    return Path(os.path.realpath(path))


def write_with_backup(path: Path, content: bytes) -> Path:
    """Replace the content of ``path`` in one step, keeping its mode; return the path of the backup.

    A new file can be read by its owner alone. A symbolic link is followed. Raises ``OSError``.
    """
    target = real_path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    number = max((backup.number for backup in _backups(target)), default=0) + 1
    exists = target.exists()
    mode = stat.S_IMODE(target.stat().st_mode) if exists else _PRIVATE
    kind = "backup" if exists else "absent"
    backup = target.with_name(f"{target.name}.codex-langfuse-{kind}-{number}")
    _write_atomically(backup, target.read_bytes() if exists else b"", _PRIVATE)
    _write_atomically(target, content, mode)
    return backup


def newest_backup(path: Path) -> Backup:
    """Return the state that ``undo`` would bring back; raises ``NoBackupError`` when there is none."""
    target = real_path(path)
    backups = _backups(target)
    if not backups:
        raise NoBackupError(f"there is no backup of {path}, so there is nothing to undo")
    return max(backups, key=lambda backup: backup.number)


def undo(path: Path) -> Backup:
    """Bring back the text before the last change, byte for byte, and drop its backup. The mode stays.

    Raises:
        NoBackupError: there is none.
        OSError: it cannot be written.
    """
    backup, target = newest_backup(path), real_path(path)
    if backup.content is None:
        target.unlink(missing_ok=True)
    else:
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else _PRIVATE
        _write_atomically(target, backup.content, mode)
    backup.path.unlink()
    return backup


def _backups(target: Path) -> list[Backup]:
    found = []
    for path in target.parent.glob(f"{_escaped(target.name)}.codex-langfuse-*"):
        match = _SUFFIX.search(path.name)
        if match and path.name == target.name + match[0]:
            content = path.read_bytes() if match[1] == "backup" else None
            found.append(Backup(path, int(match[2]), content))
    return found


def _escaped(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def _write_atomically(path: Path, content: bytes, mode: int) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        Path(name).chmod(mode)
        if path.exists() and hasattr(os, "chown"):
            # As root one may write the file of another person, who should still own it.
            owner = path.stat()
            with suppress(PermissionError):
                os.chown(name, owner.st_uid, owner.st_gid)
        Path(name).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
