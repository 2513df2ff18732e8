"""A relay in its own process, for what is measured of one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codex_langfuse.mock.langfuse.auth import DEMONSTRATION_PUBLIC_KEY, DEMONSTRATION_SECRET_KEY


@contextmanager
def relay_process(langfuse: str, state: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a relay that delivers to ``langfuse`` with the mock's keys; yields its process and its address."""
    environment = os.environ | {
        "LANGFUSE_PUBLIC_KEY": DEMONSTRATION_PUBLIC_KEY,
        "LANGFUSE_SECRET_KEY": DEMONSTRATION_SECRET_KEY,
        "LANGFUSE_BASE_URL": langfuse,
    }
    listening = ("--listen", "127.0.0.1:0", "--state", str(state))
    process = subprocess.Popen(
        [sys.executable, "-m", "codex_langfuse", "relay", *listening],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
