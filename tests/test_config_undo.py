"""A change of a file can be taken back, takes nothing else with it, and goes nowhere but into that file."""

import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest
import toml_rs
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_langfuse.configuration.amend import amend
from codex_langfuse.configuration.backup import (
    UnsafeError,
    current_content,
    newest_backup,
    real_path,
    undo,
    write_with_backup,
)
from codex_langfuse.configuration.route import Route
from codex_langfuse.configuration.routes import RELAY, OtelSettings
from codex_langfuse.configuration.undoing import ConflictError, taken_back
from codex_langfuse.keys.credentials import BaseUrl, read_base_url

DIRECT = OtelSettings(Route.DIRECT, read_base_url("eu"))
SETTINGS = (DIRECT, OtelSettings(Route.RELAY, BaseUrl(RELAY)), OtelSettings(Route.OFF))
MINE = '# mine\nmodel = "gpt-5-codex"\n\n[tui]\nnotifications = true # yes\n'
posix = pytest.mark.skipif(os.name == "nt", reason="links, pipes and modes are those of POSIX")

#: What Codex and people write to the file meanwhile.
LATER = {
    "a project that Codex trusts": '\n[projects."/home/ada"]\ntrust_level = "trusted"\n',
    "a server that `codex mcp add` adds": '\n[mcp_servers.x]\ncommand = "true"\n',
    "a comment": "# later\n",
    "a line in the table that was written": "\n[otel.tool_result]\nmax_bytes = 9\n",
}


@pytest.mark.parametrize("wanted", SETTINGS, ids=lambda wanted: wanted.route)
@pytest.mark.parametrize("later", LATER)
@pytest.mark.parametrize("before", ["", MINE, MINE + '\n[otel]\nenvironment = "dev"\n'])
def test_what_was_written_since_stays(wanted, later, before) -> None:
    written = amend(before, wanted).text
    now = written + LATER[later]
    if later == "a comment":
        now = LATER[later] + written
    after = taken_back(before, written, now)
    assert toml_rs.loads(after) == {**toml_rs.loads(before), **toml_rs.loads(LATER[later])} or (
        "otel" in toml_rs.loads(before) and "tool_result" in after
    )
    assert LATER[later].strip() in after


def test_a_file_that_codex_wrote_anew_loses_the_change_only() -> None:
    written = amend(MINE, DIRECT).text
    data = toml_rs.loads(written)
    data["projects"] = {"/home/ada": {"trust_level": "trusted"}}
    after = taken_back(MINE, written, toml_rs.dumps(data))
    assert toml_rs.loads(after) == {**toml_rs.loads(MINE), "projects": data["projects"]}


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        (('"binary"', '"json"'), 'protocol = "json"'),
        (("https://cloud", "https://us.cloud"), "https://us.cloud"),
        (('"OTEL_*"', '"MY_*"'), '"MY_*"'),
    ],
)
def test_a_line_that_was_changed_since_is_in_the_way(changed, shown) -> None:
    written = amend(MINE, DIRECT).text
    with pytest.raises(ConflictError) as conflict:
        taken_back(MINE, written, written.replace(*changed))
    assert any(shown in line for line in conflict.value.lines)


_LINES = st.lists(st.sampled_from(["# a", "", "x = 1", 'y = "2"', "z = true"]), max_size=4, unique=True)


@settings(max_examples=100, deadline=None)
@given(_LINES, _LINES, st.sampled_from(SETTINGS), st.booleans())
def test_undoing_is_the_opposite_of_changing(own, later, wanted, at_end) -> None:
    own = [line for line in own if line not in later or not line]
    before = "\n".join([*own, "[t]", "a = 1", ""])
    written = amend(before, wanted).text
    extra = "".join(f"later_{line}\n" for line in later if "=" in line)
    now = written + "\n[later]\n" + extra if at_end else extra + written
    after = toml_rs.loads(taken_back(before, written, now))
    expected = toml_rs.loads(before + "\n[later]\n" + extra if at_end else extra + before)
    assert after == expected


class TestFiles:
    @pytest.fixture
    def file(self, tmp_path) -> Path:
        path = tmp_path / "home" / "config.toml"
        path.parent.mkdir(mode=0o700)
        path.write_bytes(b"one")
        return path

    def test_an_exact_undoing_leaves_nothing_behind(self, file) -> None:
        write_with_backup(file, b"two", b"one")
        assert undo(file, newest_backup(file), b"one", b"two") is None
        assert {path.name: path.read_bytes() for path in file.parent.iterdir()} == {file.name: b"one"}

    def test_every_write_keeps_a_copy(self, file) -> None:
        write_with_backup(file, b"two", b"one")
        backup = newest_backup(file)
        assert (backup.before, backup.written) == (b"one", b"two")
        file.write_bytes(b"three")
        copy = undo(file, backup, b"four", b"three")
        assert (file.read_bytes(), copy.read_bytes()) == (b"four", b"three")
        assert sorted(path.name for path in file.parent.iterdir()) == [file.name, copy.name]

    @pytest.mark.parametrize("now", [b"edited", None])
    def test_a_file_that_changed_since_it_was_read_is_not_written(self, file, now) -> None:
        file.unlink()
        if now is not None:
            file.write_bytes(now)
        with pytest.raises(UnsafeError, match="changed by another program"):
            write_with_backup(file, b"two", b"one")
        assert current_content(file) == now
        assert [path for path in file.parent.iterdir() if path != file] == []

    def test_of_writers_at_the_same_time_one_wins(self, file) -> None:
        def write(content: bytes) -> None:
            with suppress(OSError):
                write_with_backup(file, content, b"one")

        writers = [threading.Thread(target=write, args=(str(number).encode(),)) for number in range(8)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert file.read_bytes() in {str(number).encode() for number in range(8)}
        assert newest_backup(file).before == b"one"

    @posix
    def test_a_planted_backup_is_neither_read_nor_written(self, file, tmp_path) -> None:
        secret = tmp_path / "shadow"
        secret.write_text("secret")
        for kind in ("backup", "absent", "written", "undone"):
            file.with_name(f"{file.name}.codex-langfuse-{kind}-1").symlink_to(secret)
        os.mkfifo(file.with_name(f"{file.name}.codex-langfuse-backup-2"))
        backup = write_with_backup(file, b"two", b"one")
        assert backup.name.endswith("-3") and backup.read_bytes() == b"one"
        assert secret.read_text() == "secret"
        undo(file, newest_backup(file), b"one", b"two")
        with pytest.raises(UnsafeError):  # the pipe, which would let it wait for ever
            newest_backup(file)
        assert secret.read_text() == "secret"

    @posix
    def test_a_link_that_others_can_replace_is_not_followed(self, file, tmp_path) -> None:
        shared = tmp_path / "shared"
        shared.mkdir()
        link = shared / "config.toml"
        link.symlink_to(file)
        assert real_path(link) == file
        shared.chmod(0o777)
        with pytest.raises(UnsafeError, match="others can write"):
            write_with_backup(link, b"two", b"one")
        assert file.read_bytes() == b"one"

    @posix
    def test_a_read_only_file_is_not_replaced(self, file) -> None:
        file.chmod(0o444)
        with pytest.raises(UnsafeError, match="read-only"):
            write_with_backup(file, b"two", b"one")
        assert (file.read_bytes(), [path.name for path in file.parent.iterdir()]) == (b"one", [file.name])

    @posix
    def test_mode_and_owner_stay(self, file) -> None:
        file.chmod(0o640)
        if os.geteuid() == 0:
            os.chown(file.parent, 4711, 4711)
            os.chown(file, 4711, 4712)
        owner = (file.stat().st_uid, file.stat().st_gid)
        backup = write_with_backup(file, b"two", b"one")
        assert (file.stat().st_uid, file.stat().st_gid) == owner
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
        assert backup.stat().st_uid == owner[0]
        assert stat.S_IMODE(backup.stat().st_mode) == 0o600

    @posix
    def test_new_folders_are_for_their_owner_only(self, tmp_path) -> None:
        mask = os.umask(0)
        try:
            write_with_backup(tmp_path / "a/b/config.toml", b"two", None)
        finally:
            os.umask(mask)
        modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a", tmp_path / "a/b")}
        assert modes == {0o700}
        assert stat.S_IMODE((tmp_path / "a/b/config.toml").stat().st_mode) == 0o600
