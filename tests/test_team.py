"""docs/deploy/team.md: the files that an administrator puts on every machine, and what becomes of reports."""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from codex_langfuse.check import report
from codex_langfuse.check.checking import check
from codex_langfuse.check.setup import Setup
from codex_langfuse.codex.isolated import CodexRun, run_in_group
from codex_langfuse.codex.versions import Version
from codex_langfuse.configuration.amend import amend
from codex_langfuse.configuration.config_files import read_config_files
from codex_langfuse.configuration.route import Route
from codex_langfuse.configuration.routes import OtelSettings, read_endpoint
from error_catalogue import catalogue
from harness.fences.scanner import ROOT
from harness.private_etc import private_etc
from harness.surroundings import Surroundings

EXAMPLES = ROOT / "examples/fleet"

# --- Files of the administrator ---

#: A person who set everything otherwise: another place, with a header that holds a key.
USERS = """\
[otel]
metrics_exporter = "none"

[otel.trace_exporter.otlp-http]
endpoint = "http://127.0.0.1:9/v1/traces"
protocol = "binary"
headers = { x-mine = "1" }
"""


def managed(route: Route, url: str) -> str:
    """What ``codex-langfuse config ROUTE --file managed_config.toml`` writes."""
    base = None if route is Route.OFF else read_endpoint(url)
    return amend("", OtelSettings(route, base), None, force=False, below={}).text


def turn_with(
    surroundings: Surroundings, folder: Path, files: Mapping[str, str], *options: str
) -> tuple[CodexRun, list[dict[str, str]]]:
    """Run Codex with ``files`` in /etc/codex; return the run, and the headers of each export at Langfuse."""
    etc = folder / "etc"
    (etc / "codex").mkdir(parents=True)
    for name, text in files.items():
        (etc / "codex" / name).write_text(text)
    surroundings.clear()
    codex = surroundings.codex(folder / "codex")
    codex.write_config(USERS)
    (codex.codex_home / "mine.config.toml").write_text(USERS)
    command = [*private_etc(etc), *codex.command, *options, "exec", "Say hello."]
    run = run_in_group(command, cwd=codex.workspace, environment=codex.environment)
    return run, [dict(request.headers) for request in surroundings.langfuse.store.requests]


OTHERWISE = ("-p", "mine", "-c", 'otel.trace_exporter.otlp-http.endpoint="http://127.0.0.1:9/v1/traces"')


@pytest.mark.codex
def test_the_managed_file_wins_and_lets_a_persons_headers_through(
    surroundings: Surroundings, tmp_path: Path
) -> None:
    text = managed(Route.RELAY, surroundings.langfuse.url)
    run, exports = turn_with(surroundings, tmp_path, {"managed_config.toml": text}, *OTHERWISE)
    assert run.returncode == 0 and "otel" not in run.stderr
    assert "1" in {headers.get("x-mine") for headers in exports}


@pytest.mark.codex
def test_requirements_win_whole_and_say_so(surroundings: Surroundings, tmp_path: Path) -> None:
    text = (EXAMPLES / "requirements.toml").read_text(encoding="utf-8")
    text = text.replace("http://127.0.0.1:4318", surroundings.langfuse.url)
    run, exports = turn_with(surroundings, tmp_path, {"requirements.toml": text}, *OTHERWISE)
    assert "Configured values under `otel` are overridden by requirements" in run.stderr
    assert exports and not any("x-mine" in headers for headers in exports)


@pytest.mark.codex
def test_the_switch_turns_all_of_it_off(surroundings: Surroundings, tmp_path: Path) -> None:
    url = surroundings.langfuse.url
    options = ("-c", f'otel.trace_exporter={{otlp-http={{endpoint="{url}/v1/traces",protocol="binary"}}}}')
    run, exports = turn_with(
        surroundings, tmp_path, {"managed_config.toml": managed(Route.OFF, url)}, *options
    )
    assert (run.returncode, exports) == (0, [])
    assert not surroundings.proxy.exchanges


@pytest.mark.codex
@pytest.mark.parametrize("name", ["managed_config.toml", "requirements.toml"])
def test_a_mistake_in_a_file_stops_codex(surroundings: Surroundings, tmp_path: Path, name: str) -> None:
    run, _ = turn_with(surroundings, tmp_path, {name: "[otel\n"})
    assert run.returncode == 1 and "Error loading config.toml" in run.stderr


#: As the page shows it.
INSTALL = "sudo install -D -m 644 managed_config.toml requirements.toml -t /etc/codex"


def test_the_page_puts_both_files_where_codex_reads_them(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for name in ("managed_config.toml", "requirements.toml"):
        (tmp_path / name).write_text("")
    command = [*private_etc(tmp_path / "etc"), *INSTALL.removeprefix("sudo ").split()]
    subprocess.run(command, cwd=tmp_path, check=True)
    files = sorted((tmp_path / "etc/codex").iterdir())
    assert [(file.name, file.stat().st_mode & 0o777) for file in files] == [
        ("managed_config.toml", 0o644),
        ("requirements.toml", 0o644),
    ]


# --- Reports of a hundred machines ---

#: As the page shows it.
VALIDATE = "pipx run check-jsonschema --schemafile check.schema.json reports/*.json"


def reported(folder: Path, config: str, files: Mapping[str, str], version: str | None) -> dict[str, Any]:
    """What ``codex-langfuse check --offline --json`` prints on a machine."""
    home = folder / "home"
    (home / ".codex").mkdir(parents=True)
    (folder / "etc").mkdir()
    (home / ".codex/config.toml").write_text(config, encoding="utf-8")
    for name, text in files.items():
        if name.startswith("/etc/codex/"):
            (folder / "etc" / name.removeprefix("/etc/codex/")).write_text(text, encoding="utf-8")
    environment = {"HOME": str(home), "USERPROFILE": str(home)}
    read = read_config_files(environment, system_folder=folder / "etc")
    setup = Setup(read, environment, Version.parse(version) if version else None, None, ())
    return json.loads(report.as_json(setup, check(setup, offline=True), []))


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """A hundred machines: every mistake of the catalogue, and the rest as the page sets them up."""
    right = managed(Route.RELAY, "http://127.0.0.1:4318")
    mistakes = list(catalogue().values())[:60]
    machines = [(each.example.config, each.example.files) for each in mistakes]
    machines += [(right, {})] * (100 - len(machines))
    versions = [None, "0.130.0", "0.166.0", "0.171.0"]
    return [
        reported(tmp_path_factory.mktemp("machine"), config, files, versions[number % len(versions)])
        for number, (config, files) in enumerate(machines)
    ]


def test_every_report_has_the_documented_form(reports: list[dict[str, Any]]) -> None:
    schema = json.loads((EXAMPLES / "check.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    assert not [error.message for each in reports for error in validator.iter_errors(each)]
    assert len({finding["id"] for each in reports for finding in each["findings"]}) > 30


def test_the_page_holds_reports_to_the_schema(reports: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "check.schema.json").write_bytes((EXAMPLES / "check.schema.json").read_bytes())
    (tmp_path / "reports").mkdir()
    command = VALIDATE.replace("pipx run ", f"{Path(sys.executable).parent}/")
    for each, status in ((reports[0], 0), ({**reports[0], "status": 3}, 1)):
        (tmp_path / "reports/here.json").write_text(json.dumps(each))
        assert subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True).returncode == status


def summed(folder: Path, *more: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, EXAMPLES / "summary.py", folder, *more]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_hundred_machines_are_added_up(reports: list[dict[str, Any]], tmp_path: Path) -> None:
    for number, each in enumerate(reports):
        (tmp_path / f"laptop-{number:03}.json").write_text(json.dumps(each))
    run = summed(tmp_path)
    clean, warned, wrong = (sum(each["status"] == status for each in reports) for status in (0, 1, 2))
    lines = run.stdout.splitlines()
    assert lines[0] == f"100 machines: {clean} clean, {warned} with warnings, {wrong} with errors"
    assert run.returncode == 2 and min(clean, warned, wrong) > 0
    assert "25 with Codex 0.171.0" in lines and "25 with Codex not found" in lines
    found = Counter(
        finding for each in reports for finding in {(f["severity"], f["id"]) for f in each["findings"]}
    )
    shown = [
        each.groups() for line in lines if (each := re.match(r"(\d+) (error|warning|info) ([\w-]+):", line))
    ]
    assert {(severity, name): int(count) for count, severity, name in shown} == found
    order = [severity for _, severity, _ in shown]
    assert order == sorted(order, key=("error", "warning", "info").index)


def test_a_machine_that_says_nothing_is_named(reports: list[dict[str, Any]], tmp_path: Path) -> None:
    clean = next(each for each in reports if each["status"] == 0)
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "here.json").write_text(json.dumps(clean))
    assert summed(folder).returncode == 0
    machines = tmp_path / "machines"
    machines.write_text("here\naway\nbroken\n")
    (folder / "broken.json").write_text("")
    run = summed(folder, machines)
    assert run.returncode == 2
    assert run.stdout.splitlines()[1:3] == ["1 unreadable: broken", "1 no report: away"]
