"""What people keep in a project: scores, model definitions, datasets, prompts, dashboards.

Kept in memory, as long as the mock runs, and bounded: of each kind the newest ``MOST_RECORDS``, and of those
only as many as have ``MOST_BYTES`` of bodies together.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from codex_langfuse.mock.langfuse.prices import Model

MOST_RECORDS = 10_000
MOST_BYTES = 32 * 1024 * 1024

Record = dict[str, Any]


class Shelf:
    """Records of one kind by id, in the order in which they were put; the oldest make room for new ones."""

    def __init__(self) -> None:
        self._records: dict[Any, tuple[Record, int]] = {}
        self._bytes = 0
        #: A number that grows with every change.
        self.revision = 0

    def put(self, key: Any, record: Record, size: int) -> None:
        """Keep a record, in place of the one of that key; ``size`` is that of its body in bytes."""
        _, earlier = self._records.get(key, (None, 0))
        self._records[key] = (record, size)
        self._bytes += size - earlier
        self.revision += 1
        while len(self._records) > MOST_RECORDS or self._bytes > MOST_BYTES:
            oldest = next(iter(self._records))
            self.drop(oldest)

    def get(self, key: Any) -> Record | None:
        """Return the record of a key."""
        found = self._records.get(key)
        return found[0] if found else None

    def drop(self, key: Any) -> Record | None:
        """Forget the record of a key and return it."""
        found = self._records.pop(key, None)
        if found is None:
            return None
        self._bytes -= found[1]
        self.revision += 1
        return found[0]

    def __iter__(self) -> Iterator[Record]:
        return iter([record for record, _ in self._records.values()])


@dataclass
class Records:
    """Everything of a project. Hold ``lock`` for whatever takes more than one step."""

    scores: Shelf = field(default_factory=Shelf)
    models: Shelf = field(default_factory=Shelf)
    datasets: Shelf = field(default_factory=Shelf)
    items: Shelf = field(default_factory=Shelf)
    prompts: Shelf = field(default_factory=Shelf)
    widgets: Shelf = field(default_factory=Shelf)
    dashboards: Shelf = field(default_factory=Shelf)
    #: What prices model calls that come in from now on, before the models that Langfuse brings.
    priced: tuple[Model, ...] = ()
    lock: threading.RLock = field(default_factory=threading.RLock)

    def clear(self) -> None:
        """Forget everything."""
        with self.lock:
            self.scores, self.models, self.datasets, self.items, self.prompts = (Shelf() for _ in range(5))
            self.widgets, self.dashboards = Shelf(), Shelf()
            self.priced = ()
