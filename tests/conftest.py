"""Fixtures for every test file."""

import re
import signal
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["harness.fixtures", "harness.site", "harness.spread"]

# Started in the background by a script, pytest ignores SIGINT, and so would every program that a test starts
# and then stops with Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


def is_marked(module: Path, marker: str) -> bool:
    return re.search(rf"^pytestmark = .*\b{marker}\b", module.read_text(encoding="utf-8"), re.M) is not None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With -m "windows …" or "macos …", import the marked modules only: others import what only Linux has."""
    asked = re.match(r"windows|macos", config.option.markexpr)
    if asked is None or not collection_path.match("test_*.py"):
        return None
    return None if is_marked(collection_path, asked[0]) else True


# For `pytest tests/test_relay_law.py --hypothesis-profile=thorough`.
settings.register_profile("thorough", max_examples=5_000)
