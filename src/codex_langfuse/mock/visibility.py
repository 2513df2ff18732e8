"""When what arrived can be read, and how often: at once and once, or as on a real server.

Measured on Langfuse 4.16.0 with its own containers: observations can be read 1 to 2 seconds after they were
accepted, scores after 5 to 6. What is sent again is there twice in lists, metrics and dashboards until the
database has merged it, some seconds or minutes later; the page of the trace shows it once throughout.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from codex_langfuse.mock.langfuse.javascript import iso_time


@dataclass(frozen=True)
class Visibility:
    """Seconds until ``observations`` and ``scores`` can be read; whether resends are ``duplicates``."""

    observations: float = 0.0
    scores: float = 0.0
    duplicates: bool = False


#: For whoever has no time to wait.
IMMEDIATE = Visibility()
#: The delays of a real server.
DELAYED = Visibility(observations=1.5, scores=5.0)


def arrived(rows: Iterable[dict[str, Any]], delay: float, name: str = "createdAt") -> list[dict[str, Any]]:
    """Return the rows that can be read by now: ``delay`` seconds after the time they have as ``name``."""
    if not delay:
        return list(rows)
    latest = iso_time((time.time() - delay) * 1000)
    return [row for row in rows if row[name] <= latest]
