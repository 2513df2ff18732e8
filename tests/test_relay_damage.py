"""A disk that is full, a state that is damaged: what was taken stays, and the rest goes on."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import recordings
from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.relay import state_folder
from codex_langfuse.relay.assembly import Assembly, FinishedTurn
from codex_langfuse.relay.policy import Policy
from codex_langfuse.relay.repair import open_or_repair
from codex_langfuse.relay.server import running_relay
from codex_langfuse.relay.status import read_status
from codex_langfuse.relay.store import Batch, Store, StoreError
from harness import web
from harness.running_relay import figures, logs_export, post_logs, relay_for, settings_for, wait_until

pytestmark = pytest.mark.slow

MEBIBYTE = 1024 * 1024
COMMAND = [sys.executable, "-m", "codex_langfuse", "relay"]


def batch(number: int, size: int = 1000) -> Batch:
    return Batch(float(number), "logs", os.urandom(size), f"connection {number}")


def turn(number: int, size: int = 1000) -> FinishedTurn:
    return FinishedTurn(f"turn {number}", os.urandom(size), "a summary")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 14 MB."""
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    mounted = (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=14m,mode=0700", "none", disk],
            capture_output=True,
            check=False,
        )
        if shutil.which("mount")
        else None
    )
    if mounted is None or mounted.returncode:
        pytest.skip("a file system can be mounted by root only")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def large(number: int) -> str:
    """Name a turn so that its export and its trace have some 50 kB."""
    return f"turn{number}-" + "x" * 50_000


def fill(disk: Path) -> None:
    """Take all that is left, as another program may."""
    with contextlib.suppress(OSError), (disk / "another").open("ab", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def test_a_disk_that_was_filled_by_exports_empties_itself(small_disk: Path) -> None:
    """Langfuse is down until the disk is full, then up: all that was acknowledged arrives."""
    state = small_disk / "state"
    acknowledged = 0
    with running_mock(faults=[Fault(status=503)]) as langfuse, relay_for(langfuse, state) as url:
        while post_logs(url, logs_export(large(acknowledged))).status_code == 200:
            acknowledged += 1
        assert acknowledged > 20
        assert httpx_text(f"{url}/readyz").startswith("no room for more: ")
        wait_until(lambda: figures(state).waiting == acknowledged)
        fill(small_disk)
        langfuse.faults.clear()
        wait_until(lambda: figures(state).accepted == acknowledged)
        (small_disk / "another").unlink()
        # It takes exports again without being sent one.
        wait_until(lambda: httpx_text(f"{url}/readyz") == "ready\n")
        assert post_logs(url, logs_export("one more")).status_code == 200


def test_starts_and_delivers_on_a_full_disk(small_disk: Path) -> None:
    """What it delivers makes the room that new exports need, though another program keeps all the rest."""
    state = small_disk / "state"
    with running_mock(faults=[Fault(status=503)]) as langfuse:
        with relay_for(langfuse, state) as url:
            for number in range(30):
                assert post_logs(url, logs_export(large(number))).status_code == 200
            wait_until(lambda: figures(state).waiting == 30)
        fill(small_disk)
        assert read_status(state).figures is not None
        langfuse.faults.clear()
        with relay_for(langfuse, state) as url:
            wait_until(lambda: figures(state).accepted == 30)
            wait_until(lambda: httpx_text(f"{url}/readyz") == "ready\n")
            assert post_logs(url, logs_export("one more")).status_code == 200


def test_a_folder_that_cannot_be_written_is_one_line(small_disk: Path) -> None:
    state = small_disk / "state"
    with running_mock() as langfuse:
        with relay_for(langfuse, state) as url:
            post_logs(url, logs_export("one"))
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        ended = run(langfuse, state)
        assert (ended.returncode, ended.stderr.count("Traceback")) == (1, 0)
        assert f"{state}/relay" in ended.stderr
        assert "Read-only file system" in ended.stderr
        status = run(langfuse, state, "--status")
        assert (status.returncode, status.stderr) == (1, "")
        assert "1 seen, 1 accepted" in status.stdout


def httpx_text(url: str) -> str:
    return web.get(url).text


def run(langfuse: RunningMock, state: Path, *options: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("LANGFUSE_")}
    keys = {"LANGFUSE_PUBLIC_KEY": langfuse.public_key, "LANGFUSE_SECRET_KEY": langfuse.secret_key}
    environment = {**own, **keys, "LANGFUSE_BASE_URL": langfuse.url}
    return subprocess.run(
        [*COMMAND, "--listen", "127.0.0.1:0", "--state", str(state), *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- damage -------------------------------------------------------------------------------------------------


def filled(folder: Path) -> None:
    store = Store(folder, max_bytes=16 * MEBIBYTE)
    store.add_batches([batch(number, 5000) for number in range(100)])
    store.finish([turn(number, 5000) for number in range(100)], [], 1.0)
    store.note("destination", "there", 1.0)
    store.close()


def broken(path: Path, at: float, size: int = 4096) -> None:
    with path.open("r+b") as file:
        file.seek(int(path.stat().st_size * at) // 4096 * 4096)
        file.write(os.urandom(size))


def test_a_broken_page_costs_what_is_on_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path)
    whole = Store(tmp_path, only_read=True).figures()
    broken(tmp_path / "relay.sqlite", 0.5)
    store = open_or_repair(tmp_path, 16 * MEBIBYTE)
    found = store.figures()
    assert 0 < whole.batches + whole.waiting - found.batches - found.waiting < 20
    (aside,) = tmp_path.glob("relay.sqlite.damaged-*[0-9]")
    assert str(aside) in caplog.text
    # What was kept keeps its place.
    ids = store.batch_ids()
    assert ids == sorted(ids)
    assert store.batch(ids[-1]).connection == "connection 99"
    assert store.add_batches([batch(100)])[0] > ids[-1]
    store.close()


@pytest.mark.parametrize("damage", ["no database", "no table", "first page", "cut off"])
def test_a_damaged_file_is_set_aside_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    filled(tmp_path)
    path = tmp_path / "relay.sqlite"
    if damage == "no database":
        path.write_text("notes\n" * 5000)
    elif damage == "no table":
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("DROP TABLE sent")
            database.commit()
    elif damage == "first page":
        broken(path, 0.0)
    else:
        os.truncate(path, path.stat().st_size // 2)
    with contextlib.suppress(StoreError):
        # The status and --retry-failed leave it as it is.
        Store(tmp_path, only_read=True).figures()
    assert not list(tmp_path.glob("*damaged*"))
    store = open_or_repair(tmp_path, 16 * MEBIBYTE)
    (aside,) = tmp_path.glob("relay.sqlite.damaged-*[0-9]")
    assert str(aside) in caplog.text
    store.add_batches([batch(1)])
    store.close()


def test_an_export_that_cannot_be_decoded_is_set_aside(tmp_path: Path) -> None:
    """It must not keep the relay from starting, ever."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    store = Store(state, max_bytes=4 * MEBIBYTE)
    store.add_batches([Batch(1.0, "logs", b"\xff\xff"), Batch(2.0, "traces", b"\x0a\xff")])
    store.add_batches([Batch(3.0, "logs", logs_export("one"))])
    store.close()
    with running_mock() as langfuse:
        with relay_for(langfuse, state):
            wait_until(lambda: figures(state).accepted == 1)
        found = read_status(state)
        assert (figures(state).damaged, figures(state).batches) == (2, 0)
        assert "2 exports on disk cannot be decoded, and set aside" in "\n".join(found.lines())
        status = run(langfuse, state, "--discard-failed")
    assert (status.returncode, figures(state).damaged) == (0, 0)


def test_a_garbled_lock_is_no_obstacle(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state_folder.prepare(state)
    (state / "relay.lock").write_text("no lock\n" * 1000)
    (state / "relay.json").write_text("{")
    assert (state_folder.is_held(state), state_folder.holder(state)) == (False, None)
    with state_folder.held(state):
        assert state_folder.is_held(state)
        # Garbled while it is held: nobody else gets in.
        with pytest.raises(state_folder.StateFolderError, match="another relay"), state_folder.held(state):
            pass
    assert not state_folder.is_held(state)


def test_reads_the_state_of_0_1_0(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    with contextlib.closing(sqlite3.connect(state / "relay.sqlite")) as database:
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(SCHEMA_OF_0_1_0)
        database.execute("INSERT INTO inbox VALUES (7, 1.5, 'logs', ?)", (logs_export("in-progress"),))
        far = time.time() + 10**6
        for number, refusal in enumerate((None, "401: no. See x", "400: bad. See x"), 1):
            database.execute(
                "INSERT INTO outbox VALUES (?, 1.0, 's', 2, ?, ?, ?)", (number, far, refusal, span(number))
            )
        database.execute("INSERT INTO counter VALUES ('delivered', 5), ('seen', 8)")
        database.execute("PRAGMA user_version = 1")
        database.commit()
    assert (figures(state).accepted, figures(state).waiting) == (5, 1)
    with running_mock() as langfuse, relay_for(langfuse, state):
        # Also the one whose turn it was not before a date, and the one that waited for somebody to come.
        wait_until(lambda: figures(state).accepted == 8)
        assert list(figures(state).set_aside) == ["400: bad. See x"]


def span(number: int) -> bytes:
    export = ExportTraceServiceRequest()
    one = export.resource_spans.add().scope_spans.add().spans.add()
    one.trace_id, one.span_id, one.name = b"t" * 16, bytes([number]) * 8, "name"
    one.start_time_unix_nano, one.end_time_unix_nano = 10**18, 10**18 + 1
    return export.SerializeToString()


SCHEMA_OF_0_1_0 = """
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, received REAL NOT NULL, signal TEXT NOT NULL, body BLOB NOT NULL
);
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, finished REAL NOT NULL, summary TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0, refusal TEXT, trace BLOB NOT NULL
);
CREATE INDEX outbox_fresh ON outbox (id) WHERE refusal IS NULL AND attempts = 0;
CREATE INDEX outbox_again ON outbox (due) WHERE refusal IS NULL AND attempts > 0;
CREATE INDEX outbox_refused ON outbox (refusal) WHERE refusal IS NOT NULL;
CREATE TABLE sent (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE);
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE note (name TEXT PRIMARY KEY, text TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
"""


def test_spans_at_the_endpoint_for_logs_are_refused_and_the_turn_arrives(tmp_path: Path) -> None:
    """As Codex 0.113 to 0.128 sends them when it has no trace exporter."""
    state = tmp_path / "state"
    answers = []
    with running_mock() as langfuse:
        with running_relay(settings_for(langfuse, state), Assembly(Policy())) as url:
            for request in recordings.read("0.114.0-simple"):
                if request.signal != "metrics":
                    answers.append((request.signal, post_logs(url, request.body).status_code))
        assert set(answers) == {("logs", 200), ("traces", 400)}
        assert sum(each["type"] == "GENERATION" for each in langfuse.store.observations) == 2
    found = read_status(state)
    assert found.figures is not None
    assert (found.figures.seen, found.figures.accepted, found.figures.batches) == (1, 1, 0)
    assert (dict(found.figures.set_aside), list(state.glob("*damaged*"))) == ({}, [])
