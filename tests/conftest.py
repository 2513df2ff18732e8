"""Fixtures for every test file."""

import signal

pytest_plugins = ["harness.fixtures", "harness.site"]

# Started in the background by a script, pytest ignores SIGINT, and so would every program that a test starts
# and then stops with Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
