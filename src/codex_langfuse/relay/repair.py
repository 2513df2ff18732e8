"""A damaged store: set aside, and what can still be read of it put into a new one."""

import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from codex_langfuse.relay.store import FILE_NAME, TABLES, DamagedStoreError, Store

logger = logging.getLogger(__name__)


def open_or_repair(folder: Path, max_bytes: int) -> Store:
    """Open the store in ``folder`` for the relay; raises ``StoreError``.

    A damaged one is renamed first, and every row that can be read is copied.
    """
    try:
        store = Store(folder, max_bytes=max_bytes)
        damage = store.damage()
        if not damage:
            return store
        store.close()
    except DamagedStoreError as error:
        damage = str(error)
    path = folder / FILE_NAME
    aside = folder / f"{FILE_NAME}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    path.rename(aside)
    for end in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(FILE_NAME + end).rename(aside.with_name(aside.name + end))
    store = Store(folder, max_bytes=max_bytes)
    rows = sum(
        store.put_back(table, columns, _rows(aside, table, columns)) for table, columns in TABLES.items()
    )
    logger.error("%s is damaged (%s); it is now %s. %d rows of it could be read", path, damage, aside, rows)
    return store


def _rows(path: Path, table: str, columns: tuple[str, ...]) -> Iterator[tuple[object, ...]]:
    """Yield the rows from both ends: of a broken page in the middle only its own are missing."""
    query = f"SELECT {', '.join(columns)} FROM {table} NOT INDEXED ORDER BY {columns[0]}"
    last = None
    for order in ("", " DESC"):
        try:
            with contextlib.closing(sqlite3.connect(path)) as database:
                for row in database.execute(query + order):
                    if order and row[0] == last:
                        return
                    if not order:
                        last = row[0]
                    yield row
            return
        except sqlite3.Error:
            continue
