"""The ports of this machine that a page uses: what answers there must be its own, not your relay."""

import re
import socket
import time
from collections.abc import Sequence

import psutil

from harness.fences.executors import FenceFailedError
from harness.fences.scanner import Fence

# In fences that do something. What a page shows as output is no use of a port.
_RUN = ("bash", "console", "python", "toml")
_PORT = re.compile(r"(?:\b127\.0\.0\.1:|--port[ =])(?P<port>[1-9][0-9]*)\b")
# A relay that is told no port listens here.
_RELAY = re.compile(r"codex-langfuse (relay\b(?!.*--listen).*&\s*$|setup\b(?!.*--(listen|dry-run)))", re.M)
_RELAYS_PORT = 4318


def ports_of(fences: Sequence[Fence]) -> set[int]:
    """Return the ports that following ``fences`` needs for itself, be it as one where nothing answers."""
    run = [fence for fence in fences if fence.language in _RUN and "ran_by" not in fence.settings]
    texts = [fence.source.replace("\\\n", " ") for fence in run]
    named = {int(found["port"]) for text in texts for found in _PORT.finditer(text)}
    return named | ({_RELAYS_PORT} if any(_RELAY.search(text) for text in texts) else set())


def require_free(ports: set[int], patience: float) -> None:
    """Raise ``FenceFailedError`` when something answers at one of the ports after ``patience`` seconds."""
    deadline = time.monotonic() + patience
    for port in sorted(ports):
        while _answers(port):
            if time.monotonic() > deadline:
                raise FenceFailedError(
                    f"127.0.0.1:{port} is in use on this machine{_by_whom(port)}, and the page needs it for "
                    "itself: what it does would go to that process. Stop it and run the test again"
                )
            time.sleep(0.1)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
    except TimeoutError:
        return True
    except OSError:
        return False


def _by_whom(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            listens = (
                connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            )
            if listens and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:
        pass  # Not everybody may ask, and a process may end meanwhile.
    return ""
