"""The log of a relay that has no console: a file in its state folder."""

import os
from pathlib import Path
from typing import TextIO

from codex_langfuse.relay import state_folder

#: Bytes. A file that is larger when the relay starts is kept as ``relay.log.1``, in place of an older one.
_LARGEST = 4 * 1024 * 1024


def log_file(folder: Path) -> Path:
    """Return where a relay with its state in ``folder`` logs when it has no console."""
    return folder / "relay.log"


def open_log(folder: Path) -> TextIO:
    """Open the log, private to its owner, to append to it; raises ``StateFolderError`` or ``OSError``."""
    state_folder.prepare(folder)
    path = log_file(folder)
    if path.exists() and path.stat().st_size > _LARGEST:
        path.replace(path.with_suffix(".log.1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return os.fdopen(descriptor, "w", buffering=1, encoding="utf-8")
