"""What the relay owes, on disk: all or nothing, bounded, and there after the end of the process."""

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from codex_langfuse.relay.assembly import FinishedTurn
from codex_langfuse.relay.state_folder import (
    StateFolderError,
    announce,
    default_state_folder,
    held,
    holder,
    is_held,
    prepare,
)
from codex_langfuse.relay.store import MOST_KEYS, RESERVE_NAME, Batch, Store, StoreError, StoreFullError

pytestmark = [pytest.mark.macos, pytest.mark.windows]

MEBIBYTE = 1024 * 1024


def relays_own(folder: Path) -> Store:
    return Store(folder, max_bytes=4 * MEBIBYTE)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = relays_own(tmp_path)
    yield store
    store.close()


def batch(body: bytes = b"body") -> Batch:
    return Batch(1.5, "logs", body)


def turn(key: str, trace: bytes = b"trace") -> FinishedTurn:
    return FinishedTurn(key, trace, "a summary", record={"turn": key})


def due(store: Store, now: float = 0.0, most: int = 100, most_bytes: int = 10**9) -> list[int]:
    return [each.id for each in store.due(now, most, most_bytes)]


def test_a_commit_outlives_process_and_machine(store: Store, tmp_path: Path) -> None:
    """The files as they are while the relay has them open hold what was committed.

    That the machine may lose its power then, too, is SQLite's promise for this mode.
    """
    (first, second) = store.add_batches([batch(), batch(b"\0\xff")])
    store.finish([turn("one")], [first], 2.0)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tmp_path.glob("relay.sqlite*"):
        shutil.copy(file, copy)
    after_the_crash = Store(copy)
    assert after_the_crash.batch_ids() == [second]
    assert after_the_crash.batch(second) == batch(b"\0\xff")
    assert after_the_crash.sent_keys() == ["one"]
    assert [each.trace for each in after_the_crash.due(0, 9, 99)] == [b"trace"]
    database = store._database
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("PRAGMA synchronous").fetchone() == (2,)
    assert database.execute("PRAGMA fullfsync").fetchone() == (1,)
    after_the_crash.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_only_its_owner_may_look(store: Store, tmp_path: Path) -> None:
    store.add_batches([batch()])
    files = list(tmp_path.glob("relay.sqlite*"))
    assert len(files) == 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_turn_is_finished_once(store: Store) -> None:
    store.finish([turn("one"), turn("two")], [], 1.0)
    store.finish([turn("two"), turn("three")], [], 2.0)
    assert len(due(store)) == 3
    assert store.sent_keys() == ["one", "two", "three"]
    assert store.figures().seen == 3
    assert [each.record["turn"] for each in store.turns()] == ["one", "two", "three"]  # oldest first


def test_forgets_old_keys(store: Store) -> None:
    store.finish([turn(str(number), b"") for number in range(MOST_KEYS + 5)], [], 1.0)
    keys = store.sent_keys()
    assert (len(keys), keys[0], keys[-1]) == (MOST_KEYS, "5", str(MOST_KEYS + 4))


def test_what_is_due(store: Store) -> None:
    store.finish([turn(str(number), bytes(100)) for number in range(5)], [], 1.0)
    one, two, three, four, five = due(store)
    assert due(store, most=2) == [one, two]
    assert due(store, most_bytes=250) == [one, two]
    assert due(store, most_bytes=50) == [one]
    store.postpone([one, two], 10.0)
    assert due(store, now=99.0) == [three, four, five]
    store.accepted([three, four, five], 5.0)
    assert due(store, now=9.0) == []
    assert store.next_due(9.0) == 10.0
    assert due(store, now=10.0) == [one]
    store.hasten()
    assert due(store, now=1.0) == [one]


def test_set_aside_until_asked_for(store: Store, tmp_path: Path) -> None:
    store.finish([turn("one"), turn("two"), turn("three")], [], 1.0)
    one, two, three = due(store)
    store.set_aside([one, two], "401: no")
    assert due(store) == [three]
    assert store.figures().set_aside == {"401: no": 2}
    other_process = Store(tmp_path)
    assert (other_process.retry_failed(), other_process.retry_failed()) == (2, 0)
    assert due(store) == [one, two, three]
    store.set_aside([one, two], "400: no")
    assert other_process.discard_failed() == 2
    assert due(store) == [three]
    figures = other_process.figures()
    assert (figures.seen, figures.waiting, figures.discarded, figures.set_aside) == (3, 1, 2, {})
    other_process.close()


def size_on_disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def test_stays_within_its_room(store: Store, tmp_path: Path) -> None:
    ids = []
    with pytest.raises(StoreFullError):
        while True:
            ids += store.add_batches([batch(os.urandom(100_000))])
            assert size_on_disk(tmp_path) <= 4 * MEBIBYTE
    assert len(ids) >= 20
    assert store.batch_ids() == ids
    # Turns that finish have room, and make some.
    store.finish([turn(str(number), bytes(10_000)) for number in range(10)], [], 1.0)
    store.finish([], ids[:5], 2.0)
    store.add_batches([batch(os.urandom(100_000))])
    assert size_on_disk(tmp_path) <= 4 * MEBIBYTE
    store.accepted(due(store), 3.0)
    store.finish([], store.batch_ids(), 3.0)
    store.close()
    # The reserve, and an empty file.
    assert size_on_disk(tmp_path) < MEBIBYTE // 2


def test_giving_room_back_takes_few_steps(tmp_path: Path) -> None:
    """Each step waits for the disk: page by page, 30 MB took a minute."""
    store = Store(tmp_path, max_bytes=64 * MEBIBYTE)
    store.finish([], store.add_batches([batch(os.urandom(8 * MEBIBYTE))]), 1.0)
    steps: list[str] = []
    store._database.set_trace_callback(lambda said: steps.append(said) if "vacuum" in said else None)
    store.close()
    assert size_on_disk(tmp_path) < 5 * MEBIBYTE
    assert len(steps) <= 4


def test_the_reserve_is_for_what_frees_room(store: Store, tmp_path: Path) -> None:
    """Turns written in steps took it, and then nothing could be delivered from a full disk any more."""
    with pytest.raises(StoreFullError):
        for number in range(1_000):
            store.finish([turn(str(number), os.urandom(100_000))], [], 1.0, last=False)
    assert (tmp_path / RESERVE_NAME).exists()
    with pytest.raises(StoreFullError):
        store.finish([turn("more", bytes(MEBIBYTE))], [], 1.0)
    assert not (tmp_path / RESERVE_NAME).exists()


def test_all_or_nothing_when_there_is_no_room(store: Store) -> None:
    (kept,) = store.add_batches([batch()])
    with pytest.raises(StoreFullError):
        store.add_batches([batch(), batch(bytes(4 * MEBIBYTE))])
    with pytest.raises(StoreFullError):
        store.finish([turn("one"), turn("two", bytes(4 * MEBIBYTE))], [kept], 1.0)
    assert store.batch_ids() == [kept]
    assert store.sent_keys() == []
    assert due(store) == []


def test_refuses_what_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "relay.sqlite").write_text("notes\n" * 1000)
    with pytest.raises(StoreError, match=r"relay\.sqlite cannot be used"):
        Store(tmp_path)


def test_refuses_what_a_newer_one_wrote(tmp_path: Path) -> None:
    relays_own(tmp_path).close()
    with sqlite3.connect(tmp_path / "relay.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer codex-langfuse"):
        Store(tmp_path)


def test_one_relay_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    prepare(folder)
    assert (is_held(folder), holder(folder)) == (False, None)
    with held(folder):
        announce(folder, "http://127.0.0.1:1")
        found = holder(folder)
        assert found is not None
        assert (found.pid, found.url) == (os.getpid(), "http://127.0.0.1:1")
        with (
            pytest.raises(StateFolderError, match=rf"process {os.getpid()}, http://127\.0\.0\.1:1"),
            held(folder),
        ):
            pass
    assert (is_held(folder), holder(folder)) == (False, None)
    with held(folder):
        pass


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_its_folder_is_private(tmp_path: Path) -> None:
    prepare(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    (tmp_path / "a" / "b").chmod(0o750)
    with pytest.raises(StateFolderError, match="mode 0750: others may read it"):
        prepare(tmp_path / "a" / "b")


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"HOME": "/h"}, "/h/.local/state/codex-langfuse"),
        ("linux", {"HOME": "/h", "XDG_STATE_HOME": "/s"}, "/s/codex-langfuse"),
        ("linux", {"HOME": "/h", "XDG_STATE_HOME": "relative"}, "/h/.local/state/codex-langfuse"),
        ("darwin", {"HOME": "/h"}, "/h/Library/Application Support/codex-langfuse"),
        ("win32", {"HOME": "/h", "LOCALAPPDATA": "/l"}, "/l/codex-langfuse"),
    ],
)
def test_where_the_platform_keeps_state(platform: str, environment: dict[str, str], expected: str) -> None:
    assert default_state_folder(environment, platform) == Path(expected)
