"""scripts/refresh: the pinned Codex still sends what is recorded of it, and a difference is seen and told."""

import gzip
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import program_facts
import recording_codex
import recordings
import refreshing
from codex_langfuse.codex.binary import codex_version, find_codex
from codex_langfuse.codex.versions import OTEL_KEYS, Version
from harness.fences.scanner import ROOT, scan
from hooks.tested_with import pinned_codex
from recorded_names import names

#: As docs/reference/versions.md#drift has it.
COMMAND = """\
./scripts/refresh --check --codex "$(command -v codex)"
"""
ANSWER = """\
Codex … sends what …-default has: … names of events, spans, metrics, attributes.
Its keys, models and defaults are those stored: ….
"""


@pytest.mark.codex
def test_the_pinned_codex_sends_what_is_recorded(tmp_path: Path) -> None:
    """Two times: by the command as the page prints it, with the answer that the page prints."""
    (tmp_path / "codex").symlink_to(find_codex())
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    run = subprocess.run(
        ["bash", "-c", COMMAND], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.fullmatch(re.escape(ANSWER).replace("…", r"[\d.]+"), run.stdout)
    assert "scripts/refresh --check" in scan(ROOT / "docs/reference/versions.md")[0].source


@pytest.mark.codex
def test_a_recording_has_the_form_of_those_stored_and_nothing_of_this_machine(tmp_path: Path) -> None:
    codex = Version.parse(codex_version(find_codex()))
    requests = recording_codex.record(find_codex(), codex)
    recording_codex.write(requests, tmp_path / "new.jsonl.gz")
    recording_codex.write(requests, tmp_path / "again.jsonl.gz")
    assert (tmp_path / "new.jsonl.gz").read_bytes() == (tmp_path / "again.jsonl.gz").read_bytes()
    new, stored = (
        [json.loads(line) for line in gzip.decompress(file.read_bytes()).decode().splitlines()]
        for file in (tmp_path / "new.jsonl.gz", recordings.FOLDER / f"{codex}-default.jsonl.gz")
    )
    assert {tuple(line) for line in new} == {tuple(line) for line in stored}
    assert {line["signal"] for line in new} == {"logs", "traces", "metrics"}
    text = json.dumps(new)
    assert f'"stringValue": "{recording_codex.FOLDER}/work"' in text
    assert set(re.findall(r'"host\.name", "value": \{"stringValue": "([^"]*)"', text)) == {
        recording_codex.HOST
    }
    assert not any(f"{folder}/" in text for folder in (Path.home(), tmp_path.parents[2]))


def test_a_difference_is_told_by_what_came_and_what_went() -> None:
    older, newer = names("0.163.0-default"), names("0.169.0-default")
    lines = refreshing.difference(older, newer)
    assert "+ event codex.turn_profile" in " ".join(lines)
    assert "+ span handle_responses: codex.response.receive_wait_ms" in lines
    assert any(line.startswith("- span thread/read") for line in lines)
    # The attributes of what is new as a whole are told with it, not once more each.
    assert not any(line.startswith("+ event codex.turn_profile:") for line in lines)
    assert refreshing.difference(older, older) == []


@pytest.mark.codex
def test_drift_ends_the_check_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The pinned Codex against a recording of another version."""
    monkeypatch.setattr(refreshing, "compared_with", lambda _: "0.150.0-default")
    monkeypatch.setattr(refreshing, "_ATTEMPTS", 1)
    assert refreshing.main(["--check"]) == 1
    said = capsys.readouterr().out
    assert "does not send what 0.150.0-default has" in said
    assert "+ span codex.sampling (" in said


def test_a_version_is_compared_with_itself_or_the_newest_before_it() -> None:
    assert refreshing.compared_with(Version(0, 163)) == "0.163.0-default"
    assert refreshing.compared_with(Version(0, 165)) == "0.163.0-default"
    assert refreshing.compared_with(Version(1, 0)) == list(recordings.simple_turns().values())[-1]
    with pytest.raises(recording_codex.RecordingError, match="older than every version"):
        refreshing.compared_with(Version(0, 40))


@pytest.mark.parametrize("program", ["/bin/ls", "/no/such/codex"])
def test_what_is_no_codex_ends_it_with_two(program: str, capsys: pytest.CaptureFixture) -> None:
    assert refreshing.main(["--check", "--codex", program]) == 2
    assert "scripts/refresh: " in capsys.readouterr().err


@pytest.mark.codex
def test_a_turn_that_fails_is_no_recording(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(recording_codex, "_config", lambda codex, url: "[otel]\nexporter = 1\n")
    assert refreshing.main(["--check"]) == 2
    assert "ended with 1" in capsys.readouterr().err


@pytest.mark.network
def test_the_newest_codex_is_pinned_by_one_command(tmp_path: Path) -> None:
    """What `./scripts/refresh --newest` does first, in a copy of the lock with an older pin."""
    older = (ROOT / "package.json").read_text(encoding="utf-8").replace(pinned_codex(), "0.150.0")
    (tmp_path / "package.json").write_text(older, encoding="utf-8")
    for name in ("package-lock.json", ".npmrc"):
        shutil.copy(ROOT / name, tmp_path)
    refreshing.pin_newest(tmp_path)
    package, lock = (
        json.loads((tmp_path / name).read_text(encoding="utf-8"))
        for name in ("package.json", "package-lock.json")
    )
    newest = package["devDependencies"]["@openai/codex"]
    assert Version.parse(newest) >= Version.parse(pinned_codex())
    platforms = {
        f"{newest}-{system}-{processor}"
        for system in ("darwin", "linux", "win32")
        for processor in ("arm64", "x64")
    }
    locked = {each["version"]: each for path, each in lock["packages"].items() if "@openai/codex" in path}
    assert locked.keys() == {newest} | platforms
    assert all(each["integrity"].startswith("sha512-") for each in locked.values())
    assert "resolved" not in json.dumps(lock)


@pytest.mark.codex
def test_the_pinned_codex_has_its_host_for_code_mode_beside_it() -> None:
    assert (find_codex().parent / "codex-code-mode-host").is_file()


@pytest.mark.codex
def test_another_key_model_or_default_ends_the_check_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    stored = program_facts.stored(Version.parse(pinned_codex()))
    monkeypatch.setattr(
        program_facts, "stored", lambda _: stored ^ {"key otel.exporter", "model gpt-4: plain tools"}
    )
    assert refreshing.main(["--check"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == ["+ key otel.exporter", "- model gpt-4: plain tools"]


def test_the_keys_stored_are_those_that_check_knows() -> None:
    stored = program_facts.stored(Version.parse(pinned_codex()))
    assert {fact.split(".")[1] for fact in stored if fact.startswith("key ")} == OTEL_KEYS.keys()


def test_the_variable_names_the_codex_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_LANGFUSE_CODEX", "/opt/codex/bin/codex")
    assert find_codex() == Path("/opt/codex/bin/codex")
