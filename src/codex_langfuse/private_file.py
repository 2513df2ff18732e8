"""Files that hold a secret: readable only by their owner, complete or absent."""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in one step, with mode 0600; missing folders get mode 0700.

    On Windows, which has no modes, only the current user is granted the file. Raises ``OSError``.
    """
    make_private_folder(path.parent)
    descriptor, name = tempfile.mkstemp(prefix=".codex-langfuse.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            if sys.platform == "win32":
                _grant_to_current_user(name)
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def make_private_folder(folder: Path) -> None:
    """Make ``folder`` and those above it with mode 0700.

    ``mkdir(parents=True)`` gives only the last one the mode. Raises ``OSError``.
    """
    if not folder.exists():
        make_private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _grant_to_current_user(name: str) -> None:
    user = f"{os.environ['USERDOMAIN']}\\{os.environ['USERNAME']}"
    granted = subprocess.run(
        ["icacls", name, "/inheritance:r", "/grant:r", f"{user}:F"], capture_output=True, check=False
    )
    if granted.returncode:
        raise OSError(f"icacls could not make {name} private")
