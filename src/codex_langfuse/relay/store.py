"""What the relay owes, on disk: one SQLite file.

``inbox``
    Accepted exports, until every turn they belong to is finished.
``outbox``
    Finished turns, until the destination took them. One with a ``refusal`` is set aside.
``sent``
    Keys of finished turns, the newest ``MOST_KEYS``, so that what arrives late makes no second trace.

A commit is on the disk when it returns: write-ahead log with ``synchronous=FULL`` (``NORMAL`` would survive
the end of the process, not of the machine), and ``fullfsync``, without which macOS leaves data in the drive's
cache.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from codex_langfuse.relay.assembly import FinishedTurn
from codex_langfuse.relay.receiving import Signal

FILE_NAME = "relay.sqlite"
MOST_KEYS = 20_000

_VERSION = 1
_SCHEMA = """
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received REAL NOT NULL,
    signal TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    finished REAL NOT NULL,
    summary TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL DEFAULT 0,
    refusal TEXT,
    trace BLOB NOT NULL
);
CREATE INDEX outbox_fresh ON outbox (id) WHERE refusal IS NULL AND attempts = 0;
CREATE INDEX outbox_again ON outbox (due) WHERE refusal IS NULL AND attempts > 0;
CREATE INDEX outbox_refused ON outbox (refusal) WHERE refusal IS NOT NULL;
CREATE TABLE sent (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE);
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE note (name TEXT PRIMARY KEY, text TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
"""


class StoreError(Exception):
    """The file cannot be used: why, and what to do."""


class StoreFullError(Exception):
    """Nothing more fits: the limit is reached, or the disk takes no more."""


@dataclass(frozen=True)
class Batch:
    """An accepted export as it is kept: when it came (seconds since 1970), its kind, protobuf bytes."""

    received: float
    signal: Signal
    body: bytes


@dataclass(frozen=True)
class Waiting:
    """A finished turn that is to be delivered, and how often that failed for reasons of its own."""

    id: int
    attempts: int
    trace: bytes


@dataclass(frozen=True)
class Note:
    """A line for the status, and when it was true (seconds since 1970)."""

    text: str
    at: float


@dataclass(frozen=True)
class Figures:
    """The state in numbers. ``set_aside`` counts turns by the refusal they met; ``used`` is in bytes."""

    seen: int
    delivered: int
    waiting: int
    set_aside: dict[str, int]
    discarded: int
    turned_away: int
    batches: int
    used: int
    notes: dict[str, Note]


class Store:
    """The open file. One thread at a time may use it; other processes may have it open too."""

    def __init__(self, folder: Path, *, max_bytes: int | None = None):
        """Open the file in ``folder``, or make it, readable by its owner alone.

        ``max_bytes`` bounds the file with its write-ahead log; only the relay itself gives it. Raises
        ``StoreError``.
        """
        self.path = folder / FILE_NAME
        try:
            # SQLite gives the files beside it the same mode.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            self._database = sqlite3.connect(
                self.path, timeout=10, isolation_level=None, check_same_thread=False
            )
            self._open(max_bytes)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self.path} cannot be used: {error}") from error

    def _open(self, max_bytes: int | None) -> None:
        self._page_size = self._pragma("page_size")
        version = self._pragma("user_version")
        if version > _VERSION:
            raise StoreError(f"{self.path} was written by a newer codex-langfuse; use that one")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("PRAGMA fullfsync = ON")
        if version == 0:
            self._database.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._database.execute("PRAGMA journal_mode = WAL")
            with self._transaction():
                for statement in _SCHEMA.split(";\n"):
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA user_version = {_VERSION}")
        self._accepted_pages: int | None = None
        if max_bytes is not None:
            # A quarter is for the write-ahead log; a tenth of the rest for turns that finish when it is full.
            pages = max_bytes * 3 // 4 // self._page_size
            self._database.execute(f"PRAGMA max_page_count = {pages}")
            self._database.execute(f"PRAGMA journal_size_limit = {max_bytes // 8}")
            self._accepted_pages = pages * 9 // 10

    def close(self) -> None:
        """Close the file; the relay itself gives freed space back first."""
        if self._accepted_pages is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.executescript("PRAGMA incremental_vacuum")
        self._database.close()

    # --- exports --------------------------------------------------------------------------------------------

    def add_batches(self, batches: Sequence[Batch]) -> list[int]:
        """Keep ``batches``, all or none; return their ids, ascending. Raises ``StoreFullError``."""
        if self._accepted_pages is not None:
            size = sum(len(batch.body) for batch in batches)
            if self._used_pages() + size // self._page_size >= self._accepted_pages:
                raise StoreFullError("the limit of --max-disk is reached")
        with self._transaction():
            return [
                cast(
                    int,
                    self._database.execute(
                        "INSERT INTO inbox (received, signal, body) VALUES (?, ?, ?)",
                        (batch.received, batch.signal, batch.body),
                    ).lastrowid,
                )
                for batch in batches
            ]

    def batch_ids(self) -> list[int]:
        """Return the ids of the kept batches in the order in which they came."""
        return [row[0] for row in self._database.execute("SELECT id FROM inbox ORDER BY id")]

    def batch(self, batch_id: int) -> Batch:
        """Return one kept batch."""
        row = self._database.execute(
            "SELECT received, signal, body FROM inbox WHERE id = ?", (batch_id,)
        ).fetchone()
        return Batch(*row)

    # --- finished turns -------------------------------------------------------------------------------------

    def sent_keys(self) -> list[str]:
        """Return the keys of turns that were finished before, oldest first."""
        return [row[0] for row in self._database.execute("SELECT key FROM sent ORDER BY id")]

    def finish(
        self, turns: Sequence[FinishedTurn], forgotten: Sequence[int], now: float, turned_away: int = 0
    ) -> None:
        """Put finished turns into the outbox and drop the batches ``forgotten``, in one step.

        A turn whose key is known already is not put there again. ``turned_away`` exports are counted as lost
        for want of room. Raises ``StoreFullError``.
        """
        with self._transaction():
            if turned_away:
                self._count("turned away", turned_away)
                self._note("last error", "no room for more: exports were turned away, and are lost", now)
            self._database.executemany("DELETE FROM inbox WHERE id = ?", ((each,) for each in forgotten))
            for turn in turns:
                added = self._database.execute("INSERT OR IGNORE INTO sent (key) VALUES (?)", (turn.key,))
                if added.rowcount:
                    self._database.execute(
                        "INSERT INTO outbox (finished, summary, trace) VALUES (?, ?, ?)",
                        (now, turn.summary, turn.trace),
                    )
                    self._count("seen", 1)
                    self._note("newest turn", turn.summary, now)
            if turns:
                self._database.execute(
                    "DELETE FROM sent WHERE id <= (SELECT max(id) FROM sent) - ?", (MOST_KEYS,)
                )

    def due(self, now: float, most: int, most_bytes: int) -> list[Waiting]:
        """Return what may be delivered at ``now``, oldest first.

        At most ``most`` turns, of ``most_bytes`` together unless one is larger. A turn that failed before
        comes after those that did not, and alone.
        """
        found: list[Waiting] = []
        fresh = self._database.execute(
            "SELECT id, attempts, trace FROM outbox WHERE refusal IS NULL AND attempts = 0 "
            "ORDER BY id LIMIT ?",
            (most,),
        )
        with contextlib.closing(fresh):
            for row in fresh:
                most_bytes -= len(row[2])
                if found and most_bytes < 0:
                    break
                found.append(Waiting(*row))
        if found:
            return found
        again = self._database.execute(
            "SELECT id, attempts, trace FROM outbox WHERE refusal IS NULL AND attempts > 0 AND due <= ? "
            "ORDER BY due LIMIT 1",
            (now,),
        )
        return [Waiting(*row) for row in again.fetchall()]

    def next_due(self) -> float | None:
        """Return when the next turn that failed before may be tried again (seconds since 1970)."""
        due: float | None
        (due,) = self._database.execute(
            "SELECT min(due) FROM outbox WHERE refusal IS NULL AND attempts > 0"
        ).fetchone()
        return due

    def delivered(self, ids: Sequence[int], now: float) -> None:
        """Forget turns that the destination took."""
        with self._transaction():
            self._database.executemany("DELETE FROM outbox WHERE id = ?", ((each,) for each in ids))
            self._count("delivered", len(ids))
            self._note("last delivery", "", now)

    def postpone(self, ids: Sequence[int], until: float) -> None:
        """Try turns again, each alone, at ``until`` (seconds since 1970)."""
        with self._transaction():
            self._database.executemany(
                "UPDATE outbox SET attempts = attempts + 1, due = ? WHERE id = ?",
                ((until, each) for each in ids),
            )

    def hasten(self) -> None:
        """Make all that was postponed due now."""
        with self._transaction():
            self._database.execute("UPDATE outbox SET due = 0 WHERE refusal IS NULL AND attempts > 0")

    def set_aside(self, ids: Sequence[int], refusal: str) -> None:
        """Keep turns that were refused for good, with the reason, and deliver them no more."""
        with self._transaction():
            self._database.executemany(
                "UPDATE outbox SET refusal = ? WHERE id = ?", ((refusal, each) for each in ids)
            )

    def retry_failed(self) -> int:
        """Make the turns set aside deliverable again; return how many there were."""
        with self._transaction():
            return self._database.execute(
                "UPDATE outbox SET refusal = NULL, attempts = 0, due = 0 WHERE refusal IS NOT NULL"
            ).rowcount

    def discard_failed(self) -> int:
        """Delete the turns set aside; return how many there were."""
        with self._transaction():
            number = self._database.execute("DELETE FROM outbox WHERE refusal IS NOT NULL").rowcount
            self._count("discarded", number)
            return number

    # --- the status -----------------------------------------------------------------------------------------

    def note(self, name: str, text: str | None, now: float) -> None:
        """Keep a line for the status under ``name``; ``None`` removes it."""
        with self._transaction():
            self._note(name, text, now)

    def figures(self) -> Figures:
        """Return the state in numbers."""
        counters = dict(self._database.execute("SELECT name, value FROM counter").fetchall())
        notes = self._database.execute("SELECT name, text, at FROM note").fetchall()
        refused = self._database.execute(
            "SELECT refusal, count(*) FROM outbox WHERE refusal IS NOT NULL GROUP BY refusal"
        ).fetchall()
        return Figures(
            seen=counters.get("seen", 0),
            delivered=counters.get("delivered", 0),
            waiting=self._number("SELECT count(*) FROM outbox WHERE refusal IS NULL AND attempts = 0")
            + self._number("SELECT count(*) FROM outbox WHERE refusal IS NULL AND attempts > 0"),
            set_aside=dict(refused),
            discarded=counters.get("discarded", 0),
            turned_away=counters.get("turned away", 0),
            batches=self._number("SELECT count(*) FROM inbox"),
            used=self._used_pages() * self._page_size,
            notes={name: Note(text, at) for name, text, at in notes},
        )

    # --- SQLite ---------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Do all of the block or nothing of it; raises ``StoreFullError`` when the disk takes no more."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                raise StoreFullError(str(error)) from error
            raise

    def _count(self, name: str, number: int) -> None:
        self._database.execute(
            "INSERT INTO counter VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
            (name, number),
        )

    def _note(self, name: str, text: str | None, now: float) -> None:
        if text is None:
            self._database.execute("DELETE FROM note WHERE name = ?", (name,))
        else:
            self._database.execute("INSERT OR REPLACE INTO note VALUES (?, ?, ?)", (name, text, now))

    def _used_pages(self) -> int:
        return self._pragma("page_count") - self._pragma("freelist_count")

    def _pragma(self, name: str) -> int:
        return self._number(f"PRAGMA {name}")

    def _number(self, query: str) -> int:
        return int(self._database.execute(query).fetchone()[0])
