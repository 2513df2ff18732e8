"""Between receiving and delivery: exports go to disk, then to the assembly, and finished turns to the outbox.

One thread touches the store and the assembly; everything else runs on the event loop. An export is answered
when its commit has returned. Exports that come while a commit is under way share the next one, and between
two of them the assembly works on what is stored already, for a few milliseconds at a time.

What becomes of the stored entries depends on nothing but them: each is stamped with the relay's clock in the
step that commits it, and before the assembly is fed one, it is asked for all that is due by that stamp. So it
is the same whether an entry is fed at once, or again after the relay was killed or stopped. The clock is
asked only when no entry waits. It goes on from the newest entry when the relay starts: for turns in progress,
no time passes while no relay runs.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, ParamSpec, TypeVar

from google.protobuf.message import DecodeError

from codex_langfuse.relay.assembly import Assembly, FinishedTurn
from codex_langfuse.relay.receiving import Export, Message, Signal, parse
from codex_langfuse.relay.store import Batch, Store, StoreFullError

_P = ParamSpec("_P")
_T = TypeVar("_T")

#: Bytes that go into one commit, unless a single export is larger.
_MOST_IN_COMMIT = 4 * 1024 * 1024
#: Bytes of exports that wait for the assembly decoded; the others are read from disk when it is their turn.
_MOST_DECODED = 1024 * 1024
#: Seconds the assembly works before a commit may come between.
_SLICE = 0.02
#: Seconds between looks at the clock, when no turn's deadline is nearer: time passes while a laptop sleeps.
_LONGEST_WAIT = 30.0
#: Seconds between looks for batches that no turn needs any more, as long as no turn finishes.
_CLEANING = 1.0
#: Seconds until it is looked again whether there is room, after there was none.
_LOOK_FOR_ROOM = 1.0
#: Finished turns, and bytes of them, that go into one commit.
_MOST_TURNS = 200
_MOST_BYTES_OF_TURNS = 512 * 1024
#: Seconds for the entries that wait, and as many for ending turns, when the relay stops.
_SECONDS_TO_FEED = 2.0

logger = logging.getLogger(__name__)


class Pipeline:
    """Owns the store and the assembly."""

    def __init__(self, store: Store, assembly: Assembly):
        """Take over what an earlier process left in ``store``."""
        self._store = store
        self._assembly = assembly
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="relay-pipeline")
        self._uncommitted: collections.deque[_Uncommitted] = collections.deque()
        self._committing: asyncio.Task[None] | None = None
        self._unfed: collections.deque[_Unfed] = collections.deque()
        self._decoded = 0  # Bytes ever put into _unfed with their message, by the event loop.
        self._fed = 0  # Bytes of those ever taken out, by the thread.
        self._kept: set[int] = set()
        self._unwritten: list[FinishedTurn] = []
        newest = store.last_received()
        self._clock = _Clock(time.time() if newest is None else newest)
        self._last_cleaning = 0.0
        self._noticed = {"late": 0, "foreign": 0}
        self._recorded = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._finished = False
        #: How many exports found no room since the start.
        self.turned_away = 0
        #: Why no export is taken now; the empty text if they are.
        self.full = ""
        self._told_full = False
        self._looked_for_room = 0.0
        self._stuck = False  # Whether the last attempt to write found no room.
        #: Set whenever something was put into the outbox.
        self.finished_turns = asyncio.Event()
        #: The same, for who asks for prices.
        self.turns_to_price = asyncio.Event()
        for key in store.sent_keys():
            assembly.already_sent(key)
        for batch_id in store.batch_ids():
            self._unfed.append(_Unfed(batch_id))

    async def use_store(self, work: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
        """Call one of the store's methods in its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: work(*arguments, **named))

    # --- exports --------------------------------------------------------------------------------------------

    async def accept(self, export: Export, connection: str = "") -> None:
        """Return when ``export`` is on disk; raises ``StoreFullError`` when there is no room for it.

        ``connection`` names the TCP connection that it came by.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        size = len(export.body)
        message: Message | None = export.message
        if self._decoded - self._fed + size > _MOST_DECODED:
            message, size = None, 0
        self._decoded += size
        self._commit_soon(_Uncommitted(export.signal, export.body, connection, done, message, size))
        del export, message
        await done

    def connection_closed(self, connection: str) -> None:
        """Keep on disk that a connection was closed by the sender, after all exports that came by it."""
        self._commit_soon(_Uncommitted("closed", b"", connection))

    def _commit_soon(self, entry: _Uncommitted) -> None:
        self._uncommitted.append(entry)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all())

    async def _commit_all(self) -> None:
        while self._uncommitted:
            group = [self._uncommitted.popleft()]
            size = len(group[0].body)
            while self._uncommitted and size + len(self._uncommitted[0].body) <= _MOST_IN_COMMIT:
                group.append(self._uncommitted.popleft())
                size += len(group[-1].body)
            await self._commit(group)
        self._committing = None

    async def _commit(self, group: list[_Uncommitted]) -> None:
        try:
            await self.use_store(self._keep, group)
        except StoreFullError as error:
            if len(group) > 1:
                for each in group:
                    await self._commit([each])
                return
            self._note_full(error)
            self.turned_away += group[0].signal != "closed"
            self._give_up(group, error)
        except Exception as error:
            self._give_up(group, error)
        else:
            for each in group:
                _settle(each.done)
        self._wake.set()

    def _keep(self, group: list[_Uncommitted]) -> None:
        """Commit, and queue what was committed; in the thread, so that no look at the clock comes between."""
        received = self._clock.now()
        ids = self._store.add_batches(
            [Batch(received, each.signal, each.body, each.connection) for each in group]
        )
        for batch_id, each in zip(ids, group, strict=True):
            entry = Batch(received, each.signal, b"", each.connection)
            self._unfed.append(_Unfed(batch_id, entry, each.message, each.size))

    def _give_up(self, group: list[_Uncommitted], error: Exception) -> None:
        for each in group:
            self._decoded -= each.size
            _settle(each.done, error)

    def _note_full(self, error: StoreFullError) -> None:
        if not self.full:
            logger.error("no room for more: %s. What Codex sends now is turned away, and lost", error)
        self.full = str(error)

    # --- turns ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Feed the assembly and put finished turns into the outbox, until ``close``."""
        while not self._closing:
            self._wake.clear()
            wait = await self.use_store(self._work)
            self._tell()
            if not self._unfed:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), wait)

    async def close(self, *, finish: bool) -> None:
        """Feed what is left, as far as there is time; ``finish``: end the turns in progress as they are.

        Without ``finish`` they, and what was not fed, are on disk for the next start. ``run`` ends.
        """
        self._closing = True
        self._wake.set()
        until = time.monotonic() + _SECONDS_TO_FEED
        if self._committing is not None:
            await self._committing
        while self._unfed and time.monotonic() < until:
            await self.use_store(self._work)
        if finish:
            await self.use_store(self._end_all)
        self._tell()

    def stop(self) -> None:
        """End the thread; the store can be closed then."""
        self._thread.shutdown()

    def _tell(self) -> None:
        if self._finished:
            self._finished = False
            self.finished_turns.set()
            self.turns_to_price.set()

    def _work(self) -> float:
        """Feed for a slice, then see what is finished; return for how many seconds nothing need be done."""
        until = time.perf_counter() + _SLICE
        while self._unfed and time.perf_counter() < until:
            self._feed(self._unfed.popleft())
        now = self._clock.now()
        if not self._unfed:
            self._advance(now)
        self._write()
        if time.monotonic() - self._looked_for_room > _LOOK_FOR_ROOM:
            self._look_for_room()
        if self.full:
            return _LOOK_FOR_ROOM
        deadline = self._guarded(self._assembly.next_deadline)
        wait = _CLEANING if self._kept else _LONGEST_WAIT
        return wait if deadline is None else min(max(deadline - now, 0.01), wait)

    def _feed(self, unfed: _Unfed) -> None:
        self._fed += unfed.size
        entry, message = unfed.entry, unfed.message
        try:
            if entry is None or (message is None and entry.signal != "closed"):
                entry = self._store.batch(unfed.batch_id)
                message = None if entry.signal == "closed" else parse(entry.signal, entry.body)
        except (DecodeError, sqlite3.Error) as error:
            logger.error("export %d on disk cannot be read and is set aside: %s", unfed.batch_id, error)
            with contextlib.suppress(StoreFullError, sqlite3.Error):
                self._store.set_batch_aside(unfed.batch_id)
            return
        self._advance(entry.received)
        self._kept.add(unfed.batch_id)
        if message is None:
            told = self._assembly.connection_closed
            self._guarded(told, unfed.batch_id, entry.connection, entry.received)
        else:
            take = self._assembly.take
            self._guarded(take, unfed.batch_id, message, entry.received, entry.connection)

    def _advance(self, now: float) -> None:
        """Let the assembly finish what is due by ``now``, each turn at its own time."""
        last = None
        while True:
            deadline = self._guarded(self._assembly.next_deadline)
            if deadline is None or deadline > now or deadline == last:
                break
            self._unwritten += self._guarded(self._assembly.finished, deadline) or []
            last = deadline
        self._unwritten += self._guarded(self._assembly.finished, now) or []

    def _end_all(self) -> None:
        self._last_cleaning = 0.0
        self._unwritten += self._guarded(self._assembly.close, self._clock.now()) or []
        self._write()

    def _write(self) -> None:
        """Put what is finished into the outbox; when there is no room it stays here, and its exports on disk.

        In steps: what is killed between two of them finishes the same turns again, and the store knows the
        first of them by their keys.
        """
        forgotten: set[int] = set()
        if self._unwritten or time.monotonic() - self._last_cleaning > _CLEANING:
            needed = self._guarded(self._assembly.needed_batches)
            forgotten = set() if needed is None else self._kept - needed
            self._last_cleaning = time.monotonic()
        turned_away = self.turned_away - self._recorded
        noticed = {"late": self._assembly.dropped, "foreign": self._assembly.foreign}
        records = {what: number - self._noticed[what] for what, number in noticed.items()}
        if not (self._unwritten or forgotten or turned_away or any(records.values())):
            return
        try:
            while len(group := self._next_turns()) < len(self._unwritten):
                self._store.finish(group, [], time.time(), last=False)
                del self._unwritten[: len(group)]
                self._finished = True
            self._store.finish(group, sorted(forgotten), time.time(), turned_away, records)
        except StoreFullError as error:
            self._note_full(error)
            self._stuck = True
            return
        self._stuck = False
        self._recorded += turned_away
        self._noticed = noticed
        self._kept -= forgotten
        self._finished = self._finished or bool(group)
        self._unwritten = []

    def _next_turns(self) -> list[FinishedTurn]:
        size = 0
        for number, turn in enumerate(self._unwritten):
            size += len(turn.trace)
            if number and (number >= _MOST_TURNS or size > _MOST_BYTES_OF_TURNS):
                return self._unwritten[:number]
        return list(self._unwritten)

    def _look_for_room(self) -> None:
        self._looked_for_room = time.monotonic()
        why = self._store.no_room()
        if why:
            self._note_full(StoreFullError(why))
        elif self.full and not self._stuck:
            self.full = ""
            logger.info("there is room again: exports are accepted")
        with contextlib.suppress(StoreFullError):
            if bool(self.full) != self._told_full:
                self._store.note("no room", self.full or None, time.time())
                self._told_full = bool(self.full)

    @staticmethod
    def _guarded(work: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T | None:
        """Call the assembly: an export it stumbles over must not stop the others, at every restart."""
        try:
            return work(*arguments, **named)
        except Exception:
            logger.exception("something was left out; this is a bug in the relay, please report it")
            return None


class _Clock:
    """Seconds that never go back, from where the newest entry on disk left off."""

    def __init__(self, start: float):
        self._offset = start - time.monotonic()

    def now(self) -> float:
        return time.monotonic() + self._offset


@dataclass(frozen=True)
class _Uncommitted:
    """An entry to be stored, and what lets its sender, if one waits, go on."""

    signal: Signal | Literal["closed"]
    body: bytes
    connection: str
    done: asyncio.Future[None] | None = None
    message: Message | None = None
    size: int = 0


@dataclass(frozen=True)
class _Unfed:
    """A stored entry that the assembly has not seen; what is not given here is read from the store."""

    batch_id: int
    entry: Batch | None = None
    message: Message | None = None
    size: int = 0


def _settle(done: asyncio.Future[None] | None, error: Exception | None = None) -> None:
    if done is None or done.done():  # Its sender has gone.
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
