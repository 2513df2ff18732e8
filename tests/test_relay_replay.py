"""What becomes of stored entries depends on nothing but them: killed at any step, the results are the same.

Here a kill is that the objects are forgotten and the file is opened again: hundreds in seconds.
`test_relay_kill.py` kills processes.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from codex_langfuse.relay import pipeline
from codex_langfuse.relay.assembly import Assembly, FinishedTurn
from codex_langfuse.relay.pipeline import Pipeline
from codex_langfuse.relay.policy import Policy
from codex_langfuse.relay.receiving import parse
from codex_langfuse.relay.store import Store
from harness.recorded_turns import RECORDINGS, Sent, interleaved

pytestmark = pytest.mark.slow

MEBIBYTE = 1024 * 1024


class KilledError(Exception):
    """What ends a relay in the middle of its work."""


class Relay:
    """A store with its pipeline, on a clock that the test sets, and killed by chance at each step."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random, risk: float):
        folder.mkdir()
        self._folder, self._chance, self._risk = folder, chance, risk
        self.now = 1_000.0
        self.kills = 0
        monkeypatch.setattr(pipeline._Clock, "now", lambda _: self.now)
        monkeypatch.setattr(pipeline, "_CLEANING", -1.0)
        monkeypatch.setattr(pipeline, "_MOST_TURNS", 1)
        monkeypatch.setattr(pipeline, "_SLICE", 1e9)
        self._start()

    def _start(self) -> None:
        self._store = Store(self._folder, max_bytes=64 * MEBIBYTE)
        finish = self._store.finish

        def finish_or_die(turns: Sequence[FinishedTurn], *arguments: object, **options: object) -> None:
            self._perhaps_die()
            finish(turns, *arguments, **options)
            self._perhaps_die()

        self._store.finish = finish_or_die
        self._pipeline = Pipeline(self._store, Assembly(Policy()))

    def _perhaps_die(self) -> None:
        if self._chance.random() < self._risk:
            raise KilledError

    def _work(self) -> None:
        while True:
            try:
                self._perhaps_die()
                self._pipeline._work()
            except KilledError:
                self.kills += 1
                self._store.close()
                self._start()
            else:
                if not self._pipeline._unfed:
                    return

    def take(self, sent: Sent | None, at: float, connection: str = "") -> None:
        """Store an export, or that a connection was closed, and work on it."""
        self.now = at
        if sent is None:
            entry = pipeline._Uncommitted("closed", b"", connection)
        else:
            message = parse(sent.signal, sent.body)
            entry = pipeline._Uncommitted(sent.signal, sent.body, sent.connection, message=message)
        self._pipeline._keep([entry])
        self._work()

    def results(self) -> list[bytes]:
        """Let all deadlines pass; return every turn that left, in order."""
        for _ in range(3):
            self.now += 10_000.0
            self._work()
        assert self._store.figures().batches == 0
        return [row[0] for row in self._store._database.execute("SELECT trace FROM outbox ORDER BY id")]


def played(relay: Relay, exports: Sequence[Sent]) -> list[bytes]:
    """Play ``exports``; each connection is closed some seconds after its last."""
    last = {each.connection: number for number, each in enumerate(exports)}
    for number, each in enumerate(exports):
        relay.take(each, each.at)
        if last[each.connection] == number:
            relay.take(None, each.at, each.connection)
    return relay.results()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "steps", [(0.01,), (0.2, 0.2, 1.0, 6.0, 13.0, 70.0)], ids=["at once", "with turns leaving between"]
)
def test_a_kill_at_any_step_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: Sequence[float], seed: int
) -> None:
    exports = interleaved(random.Random(seed), 1, steps)
    undisturbed = played(Relay(tmp_path / "a", monkeypatch, random.Random(seed), 0.0), exports)
    disturbed = Relay(tmp_path / "b", monkeypatch, random.Random(seed), 0.4)
    assert played(disturbed, exports) == undisturbed
    assert disturbed.kills > len(exports) // 4
    assert len(undisturbed) >= len(RECORDINGS)
