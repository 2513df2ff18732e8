"""The relay as the work of a process: its address on stdout, what it has to say on stderr, signals end it."""

import asyncio
import logging
import os
import signal
import sys
import threading

from codex_langfuse.masking import mask_secrets
from codex_langfuse.relay.assembly import Assembly
from codex_langfuse.relay.server import Ended, Settings, serve

logger = logging.getLogger("codex_langfuse.relay")


#: Seconds from the signal to the end of the process, whatever it is at.
SECONDS_TO_STOP = 15.0


def serve_until_told_to_stop(settings: Settings, assembly: Assembly) -> Ended:
    """Run the relay until SIGINT or SIGTERM; a second one ends the process at once; the rest is on disk.

    Raises what ``serve`` raises when it cannot start.
    """
    _log_to_stderr()
    ended = asyncio.run(_serve(settings, assembly))
    logger.info("%s (%s)", ended, settings.state)
    return ended


async def _serve(settings: Settings, assembly: Assembly) -> Ended:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told_to_stop(*_: object) -> None:
        if stop.is_set():
            # Everything acknowledged is on disk, as after a kill.
            os._exit(1)
        watchdog = threading.Timer(SECONDS_TO_STOP - 1, _end_now, (settings,))
        watchdog.daemon = True
        watchdog.start()
        # From a signal handler the loop must be woken, too.
        loop.call_soon_threadsafe(stop.set)

    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):  # SIGBREAK is Windows' own.
            signal.signal(getattr(signal, name), told_to_stop)
    return await serve(settings, assembly, stop, lambda url: _ready(url, settings))


def _end_now(settings: Settings) -> None:
    """End a process that is still at work when its time is over; all it has acknowledged is on disk."""
    logger.warning("stopped before it was done; the next start continues (%s)", settings.state)
    os._exit(1 if settings.finish_on_stop else 0)


def _ready(url: str, settings: Settings) -> None:
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
    logger.info("turns go to %s; state in %s", settings.destination.label, settings.state)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    # The journal has a time of its own.
    time_first = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    handler.setFormatter(_Masked(f"{time_first}codex-langfuse relay: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


class _Masked(logging.Formatter):
    """Masks what has the form of a secret: an error may quote what a server answered."""

    def format(self, record: logging.LogRecord) -> str:
        return mask_secrets(super().format(record))
