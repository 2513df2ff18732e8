"""Stop the relay that works in a state folder, from another process."""

import os
import signal
import time
from pathlib import Path

from codex_langfuse.relay.foreground import SECONDS_TO_STOP
from codex_langfuse.relay.state_folder import Holder, finish_on_stop, holder, is_held

#: Seconds between looks.
_LOOK_AGAIN = 0.25


class StopError(Exception):
    """The relay still runs: why, and what to do."""


def stop_relay(folder: Path, *, finish: bool) -> Holder | None:
    """Stop the relay in ``folder`` and wait for it; return which one it was, None if none ran.

    ``finish``: it ends the turns in progress and delivers what it can first. Raises ``StopError``.
    """
    if not is_held(folder):
        return None
    found = holder(folder)
    if found is None:
        raise StopError(
            f"a relay runs in {folder} and has not said which process it is; stop it where it was started"
        )
    try:
        if finish:
            finish_on_stop(folder)
        os.kill(found.pid, signal.SIGTERM)
    except OSError as wrong:
        raise StopError(f"process {found.pid} cannot be stopped: {wrong.strerror}") from wrong
    deadline = time.monotonic() + SECONDS_TO_STOP + 5
    while is_held(folder):
        if time.monotonic() > deadline:
            raise StopError(f"process {found.pid} still runs after it was asked to stop")
        time.sleep(_LOOK_AGAIN)
    return found
