"""Fixtures for tests that run the real Codex, and what those with the real Collector need."""

from collections.abc import Iterator

import pytest

from codex_langfuse.codex.isolated import IsolatedCodex
from harness.surroundings import Surroundings, running_surroundings
from harness.the_collector import find_collector


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("collector"):
        find_collector()


@pytest.fixture(scope="session")
def surroundings() -> Iterator[Surroundings]:
    with running_surroundings() as surroundings:
        yield surroundings


@pytest.fixture(scope="session")
def shared_codex(surroundings: Surroundings, tmp_path_factory: pytest.TempPathFactory) -> IsolatedCodex:
    """One Codex for the tests that change nothing but its configuration file; its second turn is quick."""
    return surroundings.codex(tmp_path_factory.mktemp("codex"))
