"""How the tests are spread over processes: by file, the fences by page, and what takes longest first."""

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from harness.fences.own_network import is_allowed

_EXAMPLES = "tests/test_examples.py"

# What takes longest, as ``./scripts/test`` prints it: begun at the end, it would keep one process waiting.
_FIRST = (
    "test_site_browser.py",
    "docs/guide/models.md",
    "test_test_plan.py",
    "docs/deploy/cloud.md",
    "test_relay_kill.py",
    "test_site_",
    "test_install.py",
    "test_generated_pages.py",
    "test_scripts.py",
    "test_contributing.py",
    "test_collector",
    "test_examples.py",
    "test_relay_",
    "test_check_",
    "test_proxies.py",
    "test_terminal_recording.py",
    "test_setup_command.py",
)


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
        items.sort(key=lambda item: next((i for i, n in enumerate(_FIRST) if n in item.nodeid), len(_FIRST)))
