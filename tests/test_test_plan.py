"""All twenty cases pass with the real Codex, and each is able to fail."""

import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import click.testing
import pytest
import typer.testing

from codex_langfuse.cli import app
from codex_langfuse.codex.binary import find_codex
from codex_langfuse.codex.isolated import CodexRun, IsolatedCodex
from codex_langfuse.keys.credentials import basic_authorization
from codex_langfuse.mock.faults import Fault, Faults
from codex_langfuse.mock.langfuse.auth import DEMONSTRATION_PUBLIC_KEY, DEMONSTRATION_SECRET_KEY
from codex_langfuse.testplan import configurations, running
from codex_langfuse.testplan.certificates import PrivateAuthority
from codex_langfuse.testplan.definition import LANGUAGES, Case, Language, plan
from codex_langfuse.testplan.proof import Check, Proof, in_words
from codex_langfuse.testplan.reports import HTML, JUNIT, MARKDOWN, write_reports
from codex_langfuse.testplan.results import Outcome, Result
from codex_langfuse.testplan.stage import Stage, a_stage
from codex_langfuse.testplan.wire import Wire
from hooks.tested_with import pinned_codex

pytestmark = [pytest.mark.codex, pytest.mark.slow]

CASES = plan().cases


COMMAND = "codex-langfuse test-plan --report report"


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, click.testing.Result, Path]:
    """One run of all of them by the command: what came of it, what was printed, where the reports are."""
    outcomes = []

    def remember(*arguments: object, **options: object) -> Outcome:
        outcomes.append(run(*arguments, **options))
        return outcomes[-1]

    run = running.run
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "run", remember)
        patch.chdir(folder)
        result = typer.testing.CliRunner().invoke(app, COMMAND.split()[1:])
    assert len(outcomes) == 1, result.output
    return outcomes[0], result, folder / "report"


@pytest.fixture(scope="module")
def outcome(whole_run: tuple[Outcome, click.testing.Result, Path]) -> Outcome:
    return whole_run[0]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_passes(outcome: Outcome, case: Case) -> None:
    result = outcome.results[case.number - 1]
    assert result.case is case
    assert result.passed, "\n".join(result.trouble("en"))
    assert [check.name for check in result.checks if check.seen]  # each with what was seen
    assert {check.name for check in result.checks} == set(case.checks)
    assert result.on_mock is (None if case.id == "configuration-loads" else True)


def test_what_the_command_prints(whole_run: tuple[Outcome, click.testing.Result, Path]) -> None:
    outcome, result, folder = whole_run
    assert result.exit_code == 0, result.output
    *lines, last = result.stdout.splitlines()
    assert [line[:12] for line in lines] == [f"{number:2}  passed  " for number in range(1, 21)]
    assert last.startswith("20 of 20 passed in ")
    assert f"(Codex {outcome.run_environment.codex}, mock of Langfuse 4.16.0)" in last
    assert result.stderr == "Report: report/report.md, report/report.html, report/junit.xml\n"
    assert sorted(file.name for file in folder.iterdir()) == ["junit.xml", "report.html", "report.md"]


# --- what it takes for a case to fail ---


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with (
        tempfile.TemporaryDirectory(prefix="test-plan-") as folder,
        a_stage(Path(folder).resolve(), find_codex(), None, 0.5) as stage,
    ):
        yield stage


def failing(stage: Stage, case_id: str) -> set[str]:
    """Run a case and return the expectations that did not hold."""
    (case,) = plan().select([case_id])
    result = running._play(stage, case)
    assert not result.passed
    return {check.name for check in result.checks if not check.holds} | set(result.missing)


def strict_about_nothing(patch: pytest.MonkeyPatch) -> None:
    lenient = IsolatedCodex.check_config

    def check(self: IsolatedCodex, text: str) -> object:
        return replace(lenient(self, text), returncode=0)

    patch.setattr(IsolatedCodex, "check_config", check)


def taking_any_key(patch: pytest.MonkeyPatch) -> None:
    right = basic_authorization(DEMONSTRATION_PUBLIC_KEY, DEMONSTRATION_SECRET_KEY)
    patch.setattr("codex_langfuse.testplan.cases_of_configuration.basic_authorization", lambda *_: right)


def refusing(status: int) -> Callable[[pytest.MonkeyPatch], None]:
    """Make every export be answered with ``status``."""

    def sabotage(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(Faults, "strike", lambda self, path: Fault(status=status) if "otel" in path else None)

    return sabotage


def sending_elsewhere(patch: pytest.MonkeyPatch) -> None:
    """Leave OpenAI's metrics on, as Codex has them by itself."""
    direct = configurations.direct

    def with_metrics(*arguments: object, **options: object) -> str:
        return re.sub(r'metrics_exporter = "none".*', "", direct(*arguments, **options))

    patch.setattr(configurations, "direct", with_metrics)


def letting_everything_through(patch: pytest.MonkeyPatch) -> None:
    relay = Stage.relay
    patch.setattr(Stage, "relay", lambda self, langfuse, content="none": relay(self, langfuse, "full"))


def letting_nothing_through(patch: pytest.MonkeyPatch) -> None:
    relay = Stage.relay
    patch.setattr(Stage, "relay", lambda self, langfuse, content="none": relay(self, langfuse, "none"))


def losing_logs(patch: pytest.MonkeyPatch) -> None:
    """Have Codex send no logs to the relay."""
    relayed = configurations.relayed

    def without(*arguments: object, **options: object) -> str:
        text = relayed(*arguments, **options)
        return re.sub(r"\[otel\.exporter\.otlp-http\][^\[]*", "", text)

    patch.setattr(configurations, "relayed", without)


def trusting_the_world(patch: pytest.MonkeyPatch) -> None:
    """Give the server a certificate of the authority that Codex trusts anyway."""
    route = Wire.route
    patch.setattr(Wire, "route", lambda self, address, upstream, context=None: route(self, address, upstream))


def letting_anybody_in(patch: pytest.MonkeyPatch) -> None:
    """Have the server ask for no client certificate."""
    context = PrivateAuthority.context
    patch.setattr(PrivateAuthority, "context", lambda self, host, *, clients_only=False: context(self, host))


def answering_all_the_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Faults, "add", lambda self, fault: None)


def one_environment(patch: pytest.MonkeyPatch) -> None:
    direct = configurations.direct
    patch.setattr(configurations, "direct", lambda *a, environment="x", **options: direct(*a, **options))


def switching_nothing_off(patch: pytest.MonkeyPatch) -> None:
    command = Stage.command

    def other(self: Stage, *arguments: str, **options: object) -> CodexRun:
        return command(self, *(("--version",) if "off" in arguments else arguments), **options)

    patch.setattr(Stage, "command", other)


SABOTAGES = [
    ("configuration-loads", strict_about_nothing, {"string_and_table", "misspelt"}),
    ("authentication", taking_any_key, {"wrong_key", "kept_out"}),
    ("scenario-cloud-eu", refusing(401), {"accepted", "shown"}),
    ("scenario-docker", sending_elsewhere, {"nowhere_else"}),
    ("events-conversation", losing_logs, {"starts_sent", "starts_shown", "prompt_sent"}),
    ("events-tools", refusing(400), {"decision_shown", "result_shown", "failure_shown"}),
    ("privacy-off", letting_everything_through, {"relay", "shown"}),
    ("privacy-on", letting_nothing_through, {"prompts", "full", "masked"}),
    ("tls-private-ca", trusting_the_world, {"arrives", "refused", "told"}),
    ("tls-mutual", letting_anybody_in, {"arrives", "refused"}),
    ("performance", answering_all_the_time, {"hung", "direct"}),
    ("environments", one_environment, {"own", "apart"}),
    ("removal", switching_nothing_off, {"off", "undone"}),
]


# In a few runs of a hundred Codex loses the span that reports the prompt's length a second time.
LOST_NOW_AND_THEN = {"events-conversation": {"prompt_shown"}}


@pytest.mark.parametrize(("case_id", "sabotage", "expected"), SABOTAGES, ids=[each[0] for each in SABOTAGES])
def test_fails(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    case_id: str,
    sabotage: Callable[[pytest.MonkeyPatch], None],
    expected: set[str],
) -> None:
    sabotage(monkeypatch)
    failed = failing(stage, case_id)
    assert expected <= failed <= expected | LOST_NOW_AND_THEN.get(case_id, set())


def test_a_case_that_looks_at_nothing_has_not_passed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "PLAYERS", {"volume": lambda stage, proof: None})
    assert failing(stage, "volume") == {"hundreds", "complete", "relay"}


def test_a_case_that_breaks_off_has_not_passed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(stage: Stage, proof: Proof) -> None:
        for name in proof.case.checks:
            proof.check(name, True, "well")
        raise TimeoutError(f"key {stage.mock.secret_key}, {stage.secrets[0]}")

    monkeypatch.setattr(running, "PLAYERS", {"volume": play})
    (case,) = plan().select(["volume"])
    result = running._play(stage, case)
    assert not result.passed
    assert result.broke_off is not None
    assert result.broke_off.startswith("TimeoutError: key sk-lf-…, ")
    assert stage.secrets[0] not in result.broke_off


def test_only_what_is_expected_can_be_checked(stage: Stage) -> None:
    proof = Proof(CASES[0])
    proof.check("accepted", True, "")
    for name in ("accepted", "no-such-name"):
        with pytest.raises(KeyError):
            proof.check(name, True, "")


def test_in_words() -> None:
    assert in_words([]) == in_words({}) == "none"
    assert in_words({"b", "a"}) == "a, b"
    assert in_words([("a", 1), ("b", 2)]) == "a, 1; b, 2"
    assert in_words({"a": (1, 2), "b": None}) == "a 1, 2; b None"


# --- reports ---


class Page(HTMLParser):
    """What a browser would load, the text, and the elements that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.text = ""
        self.ids: list[str] = []
        self.open: list[str] = []
        self.language = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.loads += [str(values[name]) for name in ("src", "srcset", "data") if name in values]
        if tag in ("script", "link", "img", "iframe"):
            self.loads.append(tag)
        self.ids += [values["id"]] if values.get("id") else []
        self.language = values.get("lang") or self.language if tag == "html" else self.language
        if tag not in ("meta", "br", "!doctype"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module", params=LANGUAGES)
def reports(
    request: pytest.FixtureRequest, outcome: Outcome, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The reports of the run, with a case made to fail and one to break off, full of what must be escaped."""
    hostile = "</td><script>alert(1)</script> | `x` ]]> & \x00\x1b\ufffe"
    first, second, *others = outcome.results
    checks = (Check(first.checks[0].name, False, hostile), *first.checks[1:-1])
    spoilt = [
        replace(first, checks=checks, missing=(first.checks[-1].name,)),
        replace(second, broke_off=f"OSError: {hostile}"),
        *others,
    ]
    folder = tmp_path_factory.mktemp("report") / request.param
    write_reports(folder, replace(outcome, results=spoilt), request.param)
    return folder


def test_the_report_as_junit(reports: Path) -> None:
    text = (reports / JUNIT).read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    (suite,) = root
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    for element in (root, suite):
        assert [element.get(name) for name in ("tests", "failures", "errors")] == ["20", "1", "1"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp", ""))
    assert [child.tag for child in suite] == ["properties", *["testcase"] * 20]
    properties = {each.get("name"): each.get("value") for each in suite.findall("properties/property")}
    assert properties["Codex"] == pinned_codex()
    assert {"codex-langfuse", "Langfuse", "Python"} <= properties.keys()
    cases = suite.findall("testcase")
    assert all(
        float(case.get("time", "")) > 0 and case.get("classname") and case.get("name") for case in cases
    )
    assert [case.get("name", "")[:2] for case in cases] == [f"{number:02}" for number in range(1, 21)]
    assert [[child.tag for child in case] for case in cases] == [
        ["failure", "system-out"],
        ["error", "system-out"],
        *[["system-out"]] * 18,
    ]
    failure, error = cases[0].find("failure"), cases[1].find("error")
    assert failure is not None
    assert error is not None
    assert "<script>alert(1)</script>" in (failure.get("message") or "")
    assert "OSError" in (error.text or "")


def test_the_report_as_html(reports: Path) -> None:
    text = (reports / HTML).read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.loads == []
    assert page.open == []
    assert page.language == {"en": "en", "zh": "zh-CN"}[reports.name]
    assert "<script" not in text
    assert "url(" not in text
    assert "</td><script>alert(1)</script>" in page.text
    assert [each for each in page.ids if each in {case.id for case in CASES}] == [case.id for case in CASES]
    assert "prefers-color-scheme: dark" in text
    for case in CASES:
        assert case.words[language_of(reports)].title.replace("`", "") in page.text


def test_the_report_as_markdown(reports: Path) -> None:
    text = (reports / MARKDOWN).read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(rows) == 20
    passed = {"en": "passed", "zh": "通过"}[reports.name]
    assert sum(f"| {passed} |" in row for row in rows) == 18
    for case in CASES:
        words = case.words[language_of(reports)]
        assert f"## {case.number}. {words.title}{'：' if reports.name == 'zh' else ': '}" in text
        assert all(f"| {expected} | " in text for expected in words.expected.values())
    assert r"`` </td><script>alert(1)</script> \| `x` ]]> & " in text


def language_of(folder: Path) -> Language:
    return "zh" if folder.name == "zh" else "en"


def test_no_report_shows_a_secret(reports: Path) -> None:
    encoded = basic_authorization(DEMONSTRATION_PUBLIC_KEY, DEMONSTRATION_SECRET_KEY)[6:]
    for file in reports.iterdir():
        text = file.read_text(encoding="utf-8")
        assert DEMONSTRATION_SECRET_KEY not in text
        assert encoded not in text


def test_results_tell_what_was_wrong(outcome: Outcome) -> None:
    result: Result = replace(
        outcome.results[0], checks=(Check("accepted", False, "exit status 1"),), missing=("no_key",)
    )
    assert result.trouble("en") == [
        "Codex accepts the configuration of each scenario. (exit status 1)",
        "No configuration holds a key.",
    ]
