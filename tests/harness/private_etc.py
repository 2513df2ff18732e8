"""An ``/etc`` that only one process and its children see, for what an administrator writes there."""

import shutil
import subprocess
from pathlib import Path

import pytest


def private_etc(etc: Path) -> list[str]:
    """Return the words before a command that make it see ``etc`` as ``/etc``; skip if that cannot be."""
    private = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        'mount --bind "$0" /etc && exec "$@"',
        str(etc),
    ]
    if shutil.which("unshare") is None or subprocess.run([*private, "true"], capture_output=True).returncode:
        pytest.skip("this machine gives nobody a file system of their own")
    return private
