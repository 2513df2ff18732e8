"""Fixtures for every test file."""

import signal

from httpx._config import DEFAULT_TIMEOUT_CONFIG

pytest_plugins = ["harness.fixtures", "harness.site"]

# Started in the background by a script, pytest ignores SIGINT, and so would every program that a test starts
# and then stops with Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What a test asks is on this machine, and answers when its turn comes: after httpx's five seconds under load.
for phase in ("connect", "read", "write", "pool"):
    setattr(DEFAULT_TIMEOUT_CONFIG, phase, 60)
