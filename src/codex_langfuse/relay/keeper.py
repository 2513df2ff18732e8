"""Between receiving and delivery: exports go to disk, then to the assembly, and finished turns to the outbox.

One thread touches the store and the assembly; everything else runs on the event loop. An export is answered
when its commit has returned. Exports that come while a commit is under way share the next one, and between
two of them the assembly works on what is stored already, for a few milliseconds at a time.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from codex_langfuse.relay.assembly import Assembly, FinishedTurn
from codex_langfuse.relay.receiving import Export, Message, parse
from codex_langfuse.relay.store import Batch, Store, StoreFullError

_P = ParamSpec("_P")
_T = TypeVar("_T")

#: Bytes that go into one commit, unless a single export is larger.
_MOST_IN_COMMIT = 4 * 1024 * 1024
#: Bytes of exports that wait for the assembly decoded; the others are read from disk when it is their turn.
_MOST_DECODED = 8 * 1024 * 1024
#: Seconds the assembly works before a commit may come between.
_SLICE = 0.02
#: Seconds between looks at the clock, when no turn's deadline is nearer: time passes while a laptop sleeps.
_LONGEST_WAIT = 30.0
#: Seconds between looks for batches that no turn needs any more, as long as no turn finishes.
_CLEANING = 1.0
#: Seconds until finished turns are written again after the disk took no more.
_RETRY_WRITE = 5.0

logger = logging.getLogger(__name__)


class Keeper:
    """Owns the store and the assembly."""

    def __init__(self, store: Store, assembly: Assembly):
        """Take over what an earlier process left in ``store``."""
        self._store = store
        self._assembly = assembly
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="relay-keeper")
        self._uncommitted: collections.deque[_Uncommitted] = collections.deque()
        self._committing: asyncio.Task[None] | None = None
        self._unfed: collections.deque[_Unfed] = collections.deque()
        self._decoded = 0  # Bytes ever put into _unfed with their message, by the event loop.
        self._fed = 0  # Bytes of those ever taken out, by the thread.
        self._kept: set[int] = set()
        self._unwritten: list[FinishedTurn] = []
        self._last_cleaning = 0.0
        self._recorded = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._finished = False
        #: How many exports found no room since the start.
        self.turned_away = 0
        #: Whether the last export or finished turn found no room.
        self.full = False
        #: Set whenever something was put into the outbox.
        self.finished_turns = asyncio.Event()
        for key in store.sent_keys():
            assembly.already_sent(key)
        for batch_id in store.batch_ids():
            self._unfed.append(_Unfed(batch_id))

    async def use_store(self, work: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
        """Call one of the store's methods in its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: work(*arguments, **named))

    # --- exports --------------------------------------------------------------------------------------------

    async def accept(self, export: Export) -> None:
        """Return when ``export`` is on disk; raises ``StoreFullError`` when there is no room for it."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._uncommitted.append(_Uncommitted(export, time.time(), done))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all())
        await done

    async def _commit_all(self) -> None:
        while self._uncommitted:
            group = [self._uncommitted.popleft()]
            size = len(group[0].export.body)
            while self._uncommitted and size + len(self._uncommitted[0].export.body) <= _MOST_IN_COMMIT:
                group.append(self._uncommitted.popleft())
                size += len(group[-1].export.body)
            await self._commit(group)
        self._committing = None

    async def _commit(self, group: list[_Uncommitted]) -> None:
        batches = [Batch(each.received, each.export.signal, each.export.body) for each in group]
        try:
            ids = await self.use_store(self._store.add_batches, batches)
        except StoreFullError as error:
            if len(group) > 1:
                for each in group:
                    await self._commit([each])
                return
            self._note_full(error)
            self.turned_away += 1
            _settle(group[0].done, error)
        except Exception as error:
            for each in group:
                _settle(each.done, error)
        else:
            self.full = bool(self._unwritten)
            for batch_id, each in zip(ids, group, strict=True):
                _settle(each.done)
                size = len(each.export.body)
                if self._decoded - self._fed + size > _MOST_DECODED:
                    self._unfed.append(_Unfed(batch_id))
                else:
                    self._decoded += size
                    self._unfed.append(_Unfed(batch_id, each.received, each.export.message, size))
        self._wake.set()

    def _note_full(self, error: StoreFullError) -> None:
        if not self.full:
            logger.error("no room for more: %s. What Codex sends now is turned away, and lost", error)
        self.full = True

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

    async def close(self) -> None:
        """Feed what is left, end the turns in progress as they stand, and put them into the outbox."""
        self._closing = True
        self._wake.set()
        if self._committing is not None:
            await self._committing
        while self._unfed:
            await self.use_store(self._work)
        await self.use_store(self._end_all)
        self._tell()

    def stop(self) -> None:
        """End the thread; the store can be closed then."""
        self._thread.shutdown()

    def _tell(self) -> None:
        if self._finished:
            self._finished = False
            self.finished_turns.set()

    def _work(self) -> float:
        """Feed for a slice, then see what is finished; return for how many seconds nothing need be done."""
        until = time.perf_counter() + _SLICE
        while self._unfed and time.perf_counter() < until:
            self._feed(self._unfed.popleft())
        now = time.time()
        self._write(self._guarded(self._assembly.finished, now) or [], now)
        if self._unwritten:
            return _RETRY_WRITE
        deadline = self._assembly.next_deadline()
        return _LONGEST_WAIT if deadline is None else min(max(deadline - now, 0.01), _LONGEST_WAIT)

    def _feed(self, unfed: _Unfed) -> None:
        self._fed += unfed.size
        received, message = unfed.received, unfed.message
        if message is None:
            batch = self._store.batch(unfed.batch_id)
            received, message = batch.received, parse(batch.signal, batch.body)
        self._kept.add(unfed.batch_id)
        self._guarded(self._assembly.take, unfed.batch_id, message, received)

    def _end_all(self) -> None:
        now = time.time()
        self._last_cleaning = 0.0
        self._write(self._guarded(self._assembly.close, now) or [], now)

    def _write(self, turns: list[FinishedTurn], now: float) -> None:
        """Put ``turns`` into the outbox; when there is no room they stay here, and their exports on disk."""
        self._unwritten += turns
        forgotten: set[int] = set()
        if self._unwritten or time.monotonic() - self._last_cleaning > _CLEANING:
            forgotten = self._kept - self._assembly.needed_batches()
            self._last_cleaning = time.monotonic()
        turned_away = self.turned_away - self._recorded
        if not (self._unwritten or forgotten or turned_away):
            return
        try:
            self._store.finish(self._unwritten, sorted(forgotten), now, turned_away)
        except StoreFullError as error:
            self._note_full(error)
            return
        self._recorded += turned_away
        self._kept -= forgotten
        self._finished = self._finished or bool(self._unwritten)
        self._unwritten = []

    @staticmethod
    def _guarded(work: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T | None:
        """Call the assembly: an export it stumbles over must not stop the others, at every restart."""
        try:
            return work(*arguments, **named)
        except Exception:
            logger.exception("something was left out; this is a mistake in the relay, please report it")
            return None


@dataclass(frozen=True)
class _Uncommitted:
    """An export whose sender waits, since when (seconds since 1970), and what tells it to go on."""

    export: Export
    received: float
    done: asyncio.Future[None]


@dataclass(frozen=True)
class _Unfed:
    """A stored batch that the assembly has not seen; without ``message`` it is read from the store."""

    batch_id: int
    received: float = 0.0
    message: Message | None = None
    size: int = 0


def _settle(done: asyncio.Future[None], error: Exception | None = None) -> None:
    if done.done():  # Its sender has gone.
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
