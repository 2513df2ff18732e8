"""How the tests are spread over processes: by file, the fences by page, and what takes longest first."""

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from harness.fences.own_network import is_allowed

_EXAMPLES = "tests/test_examples.py"

# What takes longest, as ``./scripts/test`` prints it: begun at the end, it would keep one process waiting.
_FIRST: tuple[str, ...] = ()


class _Spread(LoadFileScheduling):
    """Pages are followed side by side where each has a network of its own; else they share ports."""

    def _split_scope(self, nodeid: str) -> str:
        # tests/test_examples.py::test_fence[docs/guide/using.md:36]
        by_page = nodeid.startswith(f"{_EXAMPLES}::") and is_allowed()
        return nodeid.rpartition(":")[0] if by_page else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Spread:
    config.option.loadscopereorder = False
    return _Spread(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        places = {name: place for place, name in enumerate(_FIRST)}
        items.sort(key=lambda item: next((places[n] for n in places if n in item.nodeid), len(places)))
