"""What the relay owes, on disk: one SQLite file, and room that is kept free for it.

``inbox``
    Accepted exports, and the ends of the connections they came by (signal ``closed``), until every turn they
    belong to is finished. An export that cannot be decoded is set aside: its signal begins with ``damaged``.
``outbox``
    Finished turns, until the destination accepted them. One with a ``refusal`` is set aside.
``turn``
    What is told of finished turns, the newest ``MOST_TURNS``, for ``relay --status --json``.
``sent``
    Keys of finished turns, the newest ``MOST_KEYS``, so that what arrives late makes no second trace.

A commit is on the disk when it returns: write-ahead log with ``synchronous=FULL`` (``NORMAL`` would survive
the end of the process, not of the machine), and ``fullfsync``, without which macOS leaves data in the drive's
cache.

To free space, SQLite needs some. So a file of zeros beside it, the reserve, is deleted when the disk takes no
more; what is finished and accepted can then be written, and no export is taken until the reserve is there
again.
"""

import contextlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeVar, cast

if TYPE_CHECKING:
    from codex_langfuse.relay.assembly import FinishedTurn
    from codex_langfuse.relay.receiving import Signal

FILE_NAME = "relay.sqlite"
RESERVE_NAME = "relay.reserve"
MOST_KEYS = 20_000
MOST_TURNS = 2_000
#: Models and kinds of which tokens are counted by name; the others together.
_MOST_KINDS = 500

#: Seconds: what is postponed for longer was so on the clock of another process.
LONGEST_POSTPONED = 3600.0

_MEBIBYTE = 1024 * 1024
#: Pages that are given back at once; each step waits for the disk.
_STEP = 1024
#: Seconds for that when it is closed, as a stop must not take long; what is left is used again.
_SECONDS_TO_GIVE_BACK = 1.0
#: Seconds between attempts to put the reserve back.
_TRY_RESERVE = 1.0
_VERSION = 3
_SCHEMA = """
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received REAL NOT NULL,
    signal TEXT NOT NULL,
    body BLOB NOT NULL,
    connection TEXT NOT NULL DEFAULT ''
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
_TURNS = """
CREATE TABLE turn (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    outbox INTEGER NOT NULL,
    finished REAL NOT NULL,
    session TEXT NOT NULL,
    record TEXT NOT NULL,
    accepted REAL
);
CREATE INDEX turn_outbox ON turn (outbox);
"""
#: From version 1 (0.1.0), which set turns aside for keys and addresses that were refused, too.
_FROM_1 = """
ALTER TABLE inbox ADD COLUMN connection TEXT NOT NULL DEFAULT '';
UPDATE outbox SET refusal = NULL, attempts = 0
    WHERE refusal IS NOT NULL AND refusal NOT LIKE '400%' AND refusal NOT LIKE '413%';
"""
#: The tables, and the columns in which nothing of a process that is gone is left.
TABLES = {
    "inbox": ("id", "received", "signal", "body", "connection"),
    "outbox": ("id", "finished", "summary", "attempts", "refusal", "trace"),
    "sent": ("id", "key"),
    "turn": ("id", "outbox", "finished", "session", "record", "accepted"),
    "counter": ("name", "value"),
    "note": ("name", "text", "at"),
}
_NO_ROOM = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
)
_OF_OPEN_TURNS = "signal IN ('logs', 'traces')"

_T = TypeVar("_T")


class StoreError(Exception):
    """The file cannot be used: why, and what to do."""


class DamagedStoreError(StoreError):
    """The file is broken, not only in the way."""


class StoreFullError(Exception):
    """Nothing more fits: the limit is reached, or the disk takes no more."""


@dataclass(frozen=True)
class Batch:
    """An entry of the inbox: when it came (seconds, the relay's clock), its kind, bytes and connection.

    The bytes are protobuf; a ``closed`` one has none.
    """

    received: float
    signal: "Signal | Literal['closed']"
    body: bytes
    connection: str = ""


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
class TurnState:
    """What is told of a finished turn (`clean_trace.TraceBuilder.record`), and what became of it.

    ``state`` is ``accepted``, ``waiting``, ``set aside`` or ``discarded``. Times in seconds since 1970.
    """

    record: Mapping[str, object]
    finished: float
    state: str
    accepted: float | None


@dataclass(frozen=True)
class Figures:
    """The state in numbers. ``set_aside`` counts turns by the refusal they met; ``used`` is in bytes.

    ``unpriced`` has the tokens, by model and kind, that Langfuse is to price; ``priced`` counts turns that
    the price file priced. ``damaged`` counts exports that cannot be decoded, ``incomplete`` turns by what
    they lack. ``late`` records came when their turn had left; ``foreign`` ones are of other programs.
    """

    seen: int
    accepted: int
    waiting: int
    set_aside: dict[str, int]
    discarded: int
    turned_away: int
    batches: int
    damaged: int
    used: int
    notes: dict[str, Note]
    incomplete: dict[str, int]
    late: int
    foreign: int
    unpriced: dict[tuple[str, str], int]
    priced: int


class Store:
    """The open file. One thread at a time may use it; other processes may have it open too."""

    def __init__(self, folder: Path, *, max_bytes: int | None = None, only_read: bool = False):
        """Open the file in ``folder`` to read and change what is there, or ``only_read`` it.

        With ``max_bytes``, which bounds all that the store puts on disk, it is opened for the relay itself:
        made if it is not there, readable by its owner only, and brought up to date. Raises ``StoreError``.
        """
        self.path = folder / FILE_NAME
        self._reserve = folder / RESERVE_NAME
        self._reserve_bytes = 0
        self._accepted_pages: int | None = None
        self._tried_reserve = 0.0
        try:
            if max_bytes is None:
                self._attach(only_read=only_read)
            else:
                self._connect(max_bytes)
        except StoreFullError as error:
            raise StoreError(f"{self.path} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            broken = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
            kind = DamagedStoreError if broken else StoreError
            raise kind(f"{self.path} cannot be used: {error}") from error
        except OSError as error:
            raise StoreError(f"{self.path} cannot be used: {error.strerror}") from error

    def _attach(self, *, only_read: bool) -> None:
        uri = self.path.absolute().as_uri()
        self._database = _opened(f"{uri}?mode={'ro' if only_read else 'rw'}", uri=True)
        try:
            self._check_version()
        except sqlite3.OperationalError:
            log = self.path.with_name(f"{FILE_NAME}-wal")
            if not only_read or (log.exists() and log.stat().st_size):
                raise
            # Nobody has it open, and there is no room, or no permission, for the index of an empty log.
            self._database.close()
            self._database = _opened(f"{uri}?immutable=1", uri=True)
            self._check_version()

    def _connect(self, max_bytes: int) -> None:
        disk = shutil.disk_usage(self.path.parent).total
        self._reserve_bytes = min(max(min(max_bytes, disk) // 16, _MEBIBYTE // 4), 4 * _MEBIBYTE)

        def opened() -> None:
            # SQLite gives the files beside it the same mode.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            self._database = _opened(str(self.path))
            self._prepare(max_bytes)

        try:
            opened()
        except (sqlite3.OperationalError, StoreFullError, OSError):
            if not self._spend_reserve():
                raise
            opened()
        self.no_room()

    def _check_version(self) -> int:
        version = self._pragma("user_version")
        if version > _VERSION:
            raise StoreError(f"{self.path} was written by a newer codex-langfuse; use that one")
        return version

    def _prepare(self, max_bytes: int) -> None:
        page_size = self._page_size = self._pragma("page_size")
        version = self._check_version()
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("PRAGMA fullfsync = ON")
        # Some builds of SQLite write zeros over all that is deleted, for which a full disk has no room.
        self._database.execute("PRAGMA secure_delete = FAST")
        if version == 0:
            self._database.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._database.execute("PRAGMA journal_mode = WAL")
        if version < _VERSION:
            with self._transaction():
                steps = {0: _SCHEMA + _TURNS, 1: _FROM_1 + _TURNS, 2: _TURNS}
                for statement in steps[version].split(";\n"):
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA user_version = {_VERSION}")
        # A quarter is for the write-ahead log; a tenth of the rest for turns that finish when it is full.
        room = max_bytes - self._reserve_bytes
        pages = room * 3 // 4 // page_size
        self._database.execute(f"PRAGMA max_page_count = {pages}")
        self._database.execute(f"PRAGMA journal_size_limit = {room // 8}")
        self._database.execute(f"PRAGMA wal_autocheckpoint = {self._reserve_bytes // page_size}")
        self._accepted_pages = pages * 9 // 10

    def close(self) -> None:
        """Close the file; the relay itself gives freed space back first."""
        if self._accepted_pages is not None:
            with contextlib.suppress(sqlite3.Error):
                self._give_back(_SECONDS_TO_GIVE_BACK)
        self._database.close()

    # --- room -----------------------------------------------------------------------------------------------

    def no_room(self, size: int = 0) -> str:
        """Return why an export of ``size`` bytes is not taken now; the empty text if it is.

        Gives freed space back to the disk and puts the reserve back, where the one or the other is due.
        """
        if self._accepted_pages is None:
            return ""
        if not self._has_reserve():
            self._make_reserve()
            if not self._has_reserve():
                return "the disk is full"
        if self._used_pages() + size // self._page_size >= self._accepted_pages:
            return "the limit of --max-disk is reached"
        # It goes into the write-ahead log first, then into the file.
        needed = 2 * size + self._reserve_bytes
        if shutil.disk_usage(self.path.parent).free < needed:
            with contextlib.suppress(sqlite3.Error):
                self._give_back()
            if shutil.disk_usage(self.path.parent).free < needed:
                return "the disk is nearly full"
        return ""

    def _has_reserve(self) -> bool:
        try:
            return self._reserve.stat().st_size == self._reserve_bytes
        except OSError:
            return False

    def _make_reserve(self) -> None:
        now = time.monotonic()
        if self._tried_reserve and now - self._tried_reserve < _TRY_RESERVE:
            return
        self._tried_reserve = now
        with contextlib.suppress(sqlite3.Error):
            self._give_back()
        try:
            with open(self._reserve, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                # Written, not only reserved: not every file system can do that.
                file.write(bytes(self._reserve_bytes))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                self._reserve.unlink()

    def _spend_reserve(self) -> bool:
        """Delete the reserve; return whether there was one."""
        try:
            self._reserve.unlink()
        except OSError:
            return False
        return True

    def _give_back(self, seconds: float = float("inf")) -> None:
        """Shrink the file by what is free in it, for about ``seconds``; in small steps if room is scarce."""
        until = time.monotonic() + seconds
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # its room may be all there is
        while (free := self._pragma("freelist_count")) and time.monotonic() < until:
            scarce = shutil.disk_usage(self.path.parent).free < 2 * _STEP * self._page_size
            # `execute` would do one page: it stops at the first of the rows without columns.
            self._database.executescript(f"PRAGMA incremental_vacuum({32 if scarce else _STEP})")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            if self._pragma("freelist_count") >= free:
                return

    def _freeing(self, work: Callable[[], _T]) -> _T:
        """Do ``work``, which frees space or is needed for that, at the cost of the reserve if it must be."""
        try:
            return work()
        except StoreFullError:
            if not self._spend_reserve():
                raise
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return work()

    def damage(self) -> str:
        """Return what is broken in the file; the empty text if nothing is."""
        try:
            found = self._database.execute("PRAGMA quick_check(1)").fetchone()[0]
            for table, columns in TABLES.items():
                self._database.execute(f"SELECT {', '.join(columns)} FROM {table} LIMIT 1").fetchone()
        except sqlite3.DatabaseError as error:
            return str(error)
        return "" if found == "ok" else found

    def put_back(self, table: str, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> int:
        """Add rows of a damaged file; return how many. Raises ``StoreFullError``."""
        holders = ", ".join("?" * len(columns))
        with self._transaction():
            return self._database.executemany(
                f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({holders})", rows
            ).rowcount

    # --- exports --------------------------------------------------------------------------------------------

    def add_batches(self, batches: Sequence[Batch]) -> list[int]:
        """Keep ``batches``, all or none; return their ids, ascending. Raises ``StoreFullError``."""
        refusal = self.no_room(sum(len(batch.body) for batch in batches))
        if refusal:
            raise StoreFullError(refusal)
        with self._transaction():
            return [
                cast(
                    int,
                    self._database.execute(
                        "INSERT INTO inbox (received, signal, body, connection) VALUES (?, ?, ?, ?)",
                        (batch.received, batch.signal, batch.body, batch.connection),
                    ).lastrowid,
                )
                for batch in batches
            ]

    def batch_ids(self) -> list[int]:
        """Return the ids of the kept batches in the order in which they came."""
        query = "SELECT id FROM inbox WHERE signal NOT LIKE 'damaged%' ORDER BY id"
        return [row[0] for row in self._database.execute(query)]

    def batch(self, batch_id: int) -> Batch:
        """Return one kept batch."""
        row = self._database.execute(
            "SELECT received, signal, body, connection FROM inbox WHERE id = ?", (batch_id,)
        ).fetchone()
        return Batch(*row)

    def last_received(self) -> float | None:
        """Return when the newest kept batch came; ``None`` if there is none."""
        newest: float | None
        (newest,) = self._database.execute("SELECT max(received) FROM inbox").fetchone()
        return newest

    def set_batch_aside(self, batch_id: int) -> None:
        """Keep an export that cannot be decoded out of the way."""
        with self._transaction():
            self._database.execute("UPDATE inbox SET signal = 'damaged ' || signal WHERE id = ?", (batch_id,))

    # --- finished turns -------------------------------------------------------------------------------------

    def sent_keys(self) -> list[str]:
        """Return the keys of turns that were finished before, oldest first."""
        return [row[0] for row in self._database.execute("SELECT key FROM sent ORDER BY id")]

    def finish(
        self,
        turns: "Sequence[FinishedTurn]",
        forgotten: Sequence[int],
        now: float,
        turned_away: int = 0,
        records: Mapping[str, int] = MappingProxyType({}),
        *,
        last: bool = True,
    ) -> None:
        """Put finished turns into the outbox and drop the batches ``forgotten``, in one step.

        A turn whose key is known already is not put there again. ``turned_away`` exports are counted as lost
        for want of room, ``records`` as ``late`` (for their turn) or ``foreign`` (of other programs).
        ``now``: seconds since 1970. With ``last`` False another step follows that frees what this one fills,
        and the reserve is left for it. Raises ``StoreFullError``.
        """

        def work() -> None:
            with self._transaction():
                if turned_away:
                    self._count("turned away", turned_away)
                    self._note("last error", "no room for more: exports were turned away, and are lost", now)
                for what, number in records.items():
                    self._count(f"records: {what}", number)
                self._database.executemany("DELETE FROM inbox WHERE id = ?", ((each,) for each in forgotten))
                for turn in turns:
                    added = self._database.execute("INSERT OR IGNORE INTO sent (key) VALUES (?)", (turn.key,))
                    if added.rowcount:
                        outbox = self._database.execute(
                            "INSERT INTO outbox (finished, summary, trace) VALUES (?, ?, ?)",
                            (now, turn.summary, turn.trace),
                        ).lastrowid
                        self._tell_turn(turn, outbox, now)
                        self._count("seen", 1)
                        for flag in turn.flags:
                            self._count(f"incomplete: {flag}", 1)
                        self._note("newest turn", turn.summary, now)
                if turns:
                    self._database.execute(
                        "DELETE FROM sent WHERE id <= (SELECT max(id) FROM sent) - ?", (MOST_KEYS,)
                    )
                    self._database.execute(
                        "DELETE FROM turn WHERE id <= (SELECT max(id) FROM turn) - ?", (MOST_TURNS,)
                    )

        if last:
            self._freeing(work)
        else:
            work()

    def _tell_turn(self, turn: "FinishedTurn", outbox: int | None, now: float) -> None:
        if turn.record is not None:
            session, text = turn.record.get("session", ""), json.dumps(turn.record, separators=(",", ":"))
            self._database.execute(
                "INSERT INTO turn (outbox, finished, session, record) VALUES (?, ?, ?, ?)",
                (outbox, now, session, text),
            )
            self._count("priced", 1 if turn.record.get("calls_priced_by_file") else 0)
        for (model, kind), tokens in turn.unpriced.items():
            known = self._database.execute(
                "SELECT count(*), sum(name = ?) FROM counter WHERE name LIKE 'tokens: %'",
                (f"tokens: {kind} {model}",),
            ).fetchone()
            name = model if known[1] or known[0] < _MOST_KINDS else "other"
            self._count(f"tokens: {kind} {name}", tokens)

    def due(self, now: float, most: int, most_bytes: int) -> list[Waiting]:
        """Return what may be delivered at ``now`` (seconds on the clock of ``postpone``), oldest first.

        At most ``most`` turns, of ``most_bytes`` together unless one is larger. A turn that failed before
        comes after those that did not, and by itself.
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
            "SELECT id, attempts, trace FROM outbox WHERE refusal IS NULL AND attempts > 0 "
            "AND due NOT BETWEEN ? AND ? ORDER BY due LIMIT 1",
            _later_than(now),
        )
        return [Waiting(*row) for row in again.fetchall()]

    def next_due(self, now: float) -> float | None:
        """Return when, after ``now``, the next turn that failed before may be tried again."""
        due: float | None
        (due,) = self._database.execute(
            "SELECT min(due) FROM outbox WHERE refusal IS NULL AND attempts > 0 AND due BETWEEN ? AND ?",
            _later_than(now),
        ).fetchone()
        return due

    def accepted(self, ids: Sequence[int], now: float) -> None:
        """Forget turns that the destination accepted. ``now``: seconds since 1970."""

        def work() -> None:
            with self._transaction():
                self._database.executemany("DELETE FROM outbox WHERE id = ?", ((each,) for each in ids))
                self._database.executemany(
                    "UPDATE turn SET accepted = ? WHERE outbox = ?", ((now, each) for each in ids)
                )
                self._count("accepted", len(ids))
                self._note("last accepted", "", now)

        self._freeing(work)

    def postpone(self, ids: Sequence[int], until: float) -> None:
        """Try turns again, each separately, at ``until`` (seconds on the monotonic clock of this process)."""

        def work() -> None:
            with self._transaction():
                self._database.executemany(
                    "UPDATE outbox SET attempts = attempts + 1, due = ? WHERE id = ?",
                    ((until, each) for each in ids),
                )

        self._freeing(work)

    def hasten(self) -> None:
        """Make all that was postponed due now."""

        def work() -> None:
            with self._transaction():
                self._database.execute("UPDATE outbox SET due = 0 WHERE refusal IS NULL AND attempts > 0")

        self._freeing(work)

    def set_aside(self, ids: Sequence[int], refusal: str) -> None:
        """Keep turns that were refused for good, with the reason, and deliver them no more."""

        def work() -> None:
            with self._transaction():
                self._database.executemany(
                    "UPDATE outbox SET refusal = ? WHERE id = ?", ((refusal, each) for each in ids)
                )

        self._freeing(work)

    def retry_failed(self) -> int:
        """Make the turns set aside deliverable again; return how many there were."""
        with self._transaction():
            return self._database.execute(
                "UPDATE outbox SET refusal = NULL, attempts = 0, due = 0 WHERE refusal IS NOT NULL"
            ).rowcount

    def discard_failed(self) -> int:
        """Delete what is set aside, turns and exports; return how much there was."""
        with self._transaction():
            number = self._database.execute("DELETE FROM outbox WHERE refusal IS NOT NULL").rowcount
            number += self._database.execute("DELETE FROM inbox WHERE signal LIKE 'damaged%'").rowcount
            self._count("discarded", number)
            return number

    # --- the status -----------------------------------------------------------------------------------------

    def note(self, name: str, text: str | None, now: float) -> None:
        """Keep a line for the status under ``name``; ``None`` removes it. ``now``: seconds since 1970.

        Raises ``StoreFullError``.
        """
        with self._transaction():
            self._note(name, text, now)

    def turns(self, since: float = 0.0, session: str | None = None) -> list[TurnState]:
        """Return the turns that were finished at ``since`` (seconds since 1970) or later, oldest first.

        ``session``: only those of this session. A file that an older relay wrote has none.
        """
        if self._pragma("user_version") < _VERSION:
            return []
        rows = self._database.execute(
            "SELECT record, turn.finished, accepted, outbox.id, refusal FROM turn "
            "LEFT JOIN outbox ON outbox.id = turn.outbox "
            "WHERE turn.finished >= ? AND session = ifnull(?, session) ORDER BY turn.id",
            (since, session),
        )
        return [
            TurnState(json.loads(record), finished, _state(accepted, waiting, refusal), accepted)
            for record, finished, accepted, waiting, refusal in rows
        ]

    def unpriced(self) -> dict[tuple[str, str], int]:
        """Return the tokens, by model and kind, that Langfuse is to price."""
        rows = self._database.execute("SELECT name, value FROM counter WHERE name LIKE 'tokens: %'")
        found = {}
        for name, value in rows:
            kind, _, model = name.removeprefix("tokens: ").partition(" ")
            found[model, kind] = value
        return found

    def figures(self) -> Figures:
        """Return the state in numbers."""
        counters = dict(self._database.execute("SELECT name, value FROM counter").fetchall())
        notes = self._database.execute("SELECT name, text, at FROM note").fetchall()
        refused = self._database.execute(
            "SELECT refusal, count(*) FROM outbox WHERE refusal IS NOT NULL GROUP BY refusal"
        ).fetchall()
        return Figures(
            seen=counters.get("seen", 0),
            # 0.1.0 called it so.
            accepted=counters.get("accepted", 0) + counters.get("delivered", 0),
            waiting=self._number("SELECT count(*) FROM outbox WHERE refusal IS NULL AND attempts = 0")
            + self._number("SELECT count(*) FROM outbox WHERE refusal IS NULL AND attempts > 0"),
            set_aside=dict(refused),
            discarded=counters.get("discarded", 0),
            turned_away=counters.get("turned away", 0),
            batches=self._number(f"SELECT count(*) FROM inbox WHERE {_OF_OPEN_TURNS}"),
            damaged=self._number("SELECT count(*) FROM inbox WHERE signal LIKE 'damaged%'"),
            used=self._used_pages() * self._pragma("page_size"),
            notes={name: Note(text, at) for name, text, at in notes},
            incomplete={
                name.removeprefix("incomplete: "): value
                for name, value in sorted(counters.items())
                if name.startswith("incomplete: ")
            },
            late=counters.get("records: late", 0),
            foreign=counters.get("records: foreign", 0),
            unpriced=self.unpriced(),
            priced=counters.get("priced", 0),
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
            if error.sqlite_errorcode & 0xFF in _NO_ROOM:
                raise StoreFullError(f"{self.path}: {error}") from error
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
        number: int
        (number,) = self._database.execute(query).fetchone()
        return number


def _opened(name: str, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(name, timeout=10, isolation_level=None, check_same_thread=False, uri=uri)


def _state(accepted: float | None, waiting: int | None, refusal: str | None) -> str:
    if accepted is not None:
        return "accepted"
    if waiting is None:
        return "discarded"
    return "waiting" if refusal is None else "set aside"


def _later_than(now: float) -> tuple[float, float]:
    """Return between which times a turn is due that has to wait; another process has another clock."""
    return (now + 1e-9, now + LONGEST_POSTPONED)
