"""What ``codex-langfuse mock`` does: serve until stopped."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from codex_langfuse.listening import Tls
from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import running_mock
from codex_langfuse.mock.visibility import Visibility


def serve(
    *,
    host: str,
    port: int,
    public_key: str | None,
    secret_key: str | None,
    langfuse: int,
    store_file: Path | None,
    faults: Sequence[Fault],
    tls: Tls | None,
    visibility: Visibility,
) -> None:
    """Run the mock until a signal ends it; its address is the one line on standard output.

    Raises what ``running_mock`` raises when it cannot start.
    """
    stop = threading.Event()
    with (
        _stopped_by_signal(stop),
        running_mock(
            public_key, secret_key, langfuse, host, port, store_file, faults, tls, visibility, page=True
        ) as mock,
    ):
        sys.stdout.write(f"{mock.url}\n")
        sys.stdout.flush()
        # With a time limit, as an unlimited wait cannot be interrupted on Windows.
        while not stop.wait(1):
            pass


@contextlib.contextmanager
def _stopped_by_signal(stop: threading.Event) -> Iterator[None]:
    names = ("SIGINT", "SIGTERM", "SIGBREAK")  # the last is Windows' own
    signals = [getattr(signal, name) for name in names if hasattr(signal, name)]
    earlier = [signal.signal(number, lambda *_: stop.set()) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, earlier, strict=True):
            signal.signal(number, handler)
