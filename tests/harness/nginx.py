"""The real nginx in front of a server of this machine, as any user may run it."""

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from harness.fences.scanner import ROOT

_SPOOLS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextmanager
def running_nginx(folder: Path, server: str, setting: str = "") -> Iterator[int]:
    """Run nginx with its files in ``folder`` until the block is left, and yield its port.

    Args:
        folder: takes its configuration and what it spools.
        server: the ``server`` block; it listens at ``{listen}``.
        setting: for the ``http`` block.
    """
    program = shutil.which("nginx") or shutil.which(ROOT / ".tools/nginx")
    if program is None:
        pytest.fail("nginx is missing. Get it with: scripts/setup all")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    spools = " ".join(f"{name}_temp_path {folder}/{name};" for name in _SPOOLS)
    (folder / "nginx.conf").write_text(
        f"user {getpass.getuser()}; daemon off; pid {folder}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {spools} {setting}\n"
        f"{server.replace('{listen}', f'127.0.0.1:{port}')} }}\n"
    )
    serving = subprocess.Popen([program, "-p", str(folder), "-c", "nginx.conf"])
    try:
        for _ in range(100):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield port
    finally:
        serving.terminate()
        serving.wait()
