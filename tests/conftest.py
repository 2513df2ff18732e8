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


def marks_of(module: Path) -> set[str]:
    """Return the marks of a whole module, read without importing it."""
    found = re.search(r"^pytestmark = (\[[^]]*\]|.*)", module.read_text(encoding="utf-8"), re.M)
    return set(re.findall(r"pytest\.mark\.(\w+)", found[1])) if found else set()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no module that -m leaves out as a whole: it takes time, or what only Linux has.

    Knows the two forms that the workflows and scripts/test use: "windows …" and "not (codex or …)".
    """
    if not collection_path.match("test_*.py"):
        return None
    expression = config.option.markexpr
    if only := re.match(r"windows|macos", expression):
        return None if only[0] in marks_of(collection_path) else True
    if without := re.fullmatch(r"not \(([a-z ]+)\)", expression):
        return True if marks_of(collection_path) & set(without[1].split(" or ")) else None
    return None


# For `pytest tests/test_relay_law.py --hypothesis-profile=thorough`.
settings.register_profile("thorough", max_examples=5_000)
