"""`check` and the real Codex say the same of hundreds of configurations.

For each, Codex is started as `codex app-server` with nothing to read: it loads the configuration, says which
setting it ignores, exports the spans of its start, and leaves.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from codex_langfuse.check.checking import check
from codex_langfuse.check.findings import Finding
from codex_langfuse.check.fixing import fixes
from codex_langfuse.check.refusal import refusal
from codex_langfuse.check.setup import Setup
from codex_langfuse.codex.binary import codex_version
from codex_langfuse.codex.isolated import IsolatedCodex
from codex_langfuse.codex.versions import Version
from codex_langfuse.configuration.config_files import read_config_files
from codex_langfuse.keys.credentials import TRACES_PATH
from codex_langfuse.mock.server import RunningMock
from error_catalogue import catalogue
from harness.configurations import KEY, SERVER, configurations
from harness.fences.placeholders import filled_in
from harness.surroundings import Surroundings

_PLACE = re.compile(r"^Error: .+?:(\d+):(\d+): .+$", re.M)
_PARTS = 12
_ALL = list(configurations().items())

_ASKING = {"catalogue: not-loaded"}
#: Nothing but an answer of the server shows what is wrong with these, or they do not send to Langfuse.
_ONLINE = {
    f"catalogue: {mistake}"
    for mistake in ("refused-keys", "not-langfuse", "refused-token", "no-logs-there", "traces-only")
}


@dataclass(frozen=True)
class Verdict:
    """What Codex did: the line of the error that keeps it from starting, the line of what it ignores (0 for a
    place that it does not know), and how traces were answered.
    """

    refuses: int | None
    ignores: int | None
    answers: frozenset[tuple[str, int | None, str | None]]

    @property
    def arrives(self) -> bool:
        return any(path == TRACES_PATH and status == 200 for path, status, _ in self.answers)


def ask(codex: IsolatedCodex, langfuse: RunningMock, text: str, *, expected: bool = False) -> Verdict:
    """Start Codex with ``text``; up to three times until traces come, if they are ``expected``."""
    verdict = Verdict(None, None, frozenset())
    for _ in range(3 if expected else 1):
        verdict = _ask(codex, langfuse, text)
        if verdict.arrives:
            break
    return verdict


def _ask(codex: IsolatedCodex, langfuse: RunningMock, text: str) -> Verdict:
    langfuse.store.clear()
    codex.write_config(text)
    run = codex.run("app-server", "--strict-config")
    ignores = None
    if run.returncode and "unknown configuration field" in run.stderr:
        ignores = _line(run.stderr)
        langfuse.store.clear()
        run = codex.run("app-server")
    # With an exporter that it cannot make, `codex exec` goes on without telemetry.
    refuses = _line(run.stderr) if run.returncode and "otel config" not in run.stderr else None
    requests = langfuse.store.requests
    answers = {(each.path, each.status, dict(each.headers).get("authorization")) for each in requests}
    return Verdict(refuses, ignores, frozenset(answers))


def _line(told: str) -> int:
    """Return the line that Codex names; 0 for 1:1, which is also what it says when it does not know."""
    place = _PLACE.search(told)
    return int(place[1]) if place and (place[1], place[2]) != ("1", "1") else 0


def look(
    codex: IsolatedCodex, langfuse: RunningMock, text: str, *, asking: bool = False
) -> tuple[Setup, list[Finding]]:
    """Return what ``check`` finds; ``asking``: it asks Codex, too, as it does where Codex is installed."""
    codex.write_config(text).chmod(0o600)
    environment = {
        "HOME": str(codex.home),
        "USERPROFILE": str(codex.home),
        "CODEX_HOME": str(codex.codex_home),
        "LANGFUSE_BASE_URL": langfuse.url,
    }
    files = read_config_files(environment, project=codex.workspace, system_folder=codex.home / "none")
    refused = refusal(codex.environment, codex.workspace, codex.binary) if asking else None
    setup = Setup(files, environment, Version.parse(codex_version(codex.binary)), refusal=refused)
    return setup, list(check(setup, offline=True).findings)


def errors(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity == "error"]


def test_there_are_enough() -> None:
    assert len(_ALL) >= 300 and len({text for _, text in _ALL}) >= 300


@pytest.mark.codex
@pytest.mark.slow
@pytest.mark.parametrize("part", range(_PARTS))
def test_check_says_what_codex_does(part, surroundings: Surroundings, tmp_path: Path) -> None:
    langfuse = surroundings.langfuse
    surroundings.clear()
    codex = IsolatedCodex(tmp_path)
    netloc = urlsplit(SERVER).netloc
    wrong = []
    for name, written in _ALL[part::_PARTS]:
        text = written.replace(KEY, filled_in("Basic cGstbGYt…")).replace(
            netloc, urlsplit(langfuse.url).netloc
        )
        setup, found = look(codex, langfuse, text, asking=name in _ASKING or name.startswith("other: "))
        fixed = [fix.text for fix in fixes(setup)]
        grave = errors(found)
        verdict = ask(codex, langfuse, text, expected=not grave)
        for problem in _disagreements(name, verdict, found):
            wrong.append(f"{name}: {problem}\n{text}\n{verdict}\n{[(f.id, str(f.place)) for f in found]}")
        if not fixed:
            continue
        left = errors(look(codex, langfuse, fixed[0])[1])
        if not left and not ask(codex, langfuse, fixed[0], expected=True).arrives:
            wrong.append(f"{name}: --fix does not lead to traces\n{fixed[0]}")
        single = name.startswith("catalogue") and all(finding.is_fixable for finding in grave)
        if single and any(catalogue()[finding.mistake.id].group == "load" for finding in left):
            wrong.append(f"{name}: --fix does not lead to a file that loads\n{fixed[0]}\n{left}")
    assert not wrong, f"{len(wrong)} of {len(_ALL[part::_PARTS])}:\n" + "\n\n".join(wrong)


def _is_there(line: int, finding: Finding) -> bool:
    """Return whether a finding names a line; ``codex features list`` may name that of the table above."""
    return finding.place.line in ((line, line - 1, None) if finding.id == "not-loaded" else (line,))


def _disagreements(name: str, verdict: Verdict, found: list[Finding]) -> list[str]:
    loads = [finding for finding in found if catalogue()[finding.mistake.id].group == "load"]
    lines = {finding.place.line for finding in found}
    problems = []
    if verdict.refuses is None and loads:
        problems.append("a false alarm: Codex loads it")
    elif verdict.refuses is not None and not loads:
        problems.append("a miss: Codex does not load it")
    elif verdict.refuses and not any(_is_there(verdict.refuses, finding) for finding in loads):
        problems.append(f"a wrong line: Codex names {verdict.refuses}")
    if verdict.ignores and verdict.ignores not in lines:
        problems.append(f"a miss: Codex ignores line {verdict.ignores}")
    if verdict.refuses is None and verdict.arrives and errors(found):
        problems.append("a false alarm: traces arrive")
    told = [f for f in found if f.severity != "info" and f.id not in ("secret-in-file", "metrics-to-openai")]
    if verdict.refuses is None and not verdict.arrives and not told and name not in _ONLINE:
        problems.append("a miss: nothing arrives")
    return problems
