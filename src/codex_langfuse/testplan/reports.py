"""The report of a run: for people as Markdown and HTML, for CI as JUnit XML."""

import re
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import jinja2
from markupsafe import Markup, escape

from codex_langfuse.testplan.definition import Language, plan
from codex_langfuse.testplan.results import Outcome, Result

MARKDOWN, HTML, JUNIT = "report.md", "report.html", "junit.xml"

#: What XML 1.0 cannot hold.
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_PHRASES: Mapping[str, Mapping[str, str]] = tomllib.loads(
    Path(__file__).with_suffix(".words.toml").read_text(encoding="utf-8")
)


def write_reports(folder: Path, outcome: Outcome, language: Language) -> list[Path]:
    """Write the report into ``folder`` in every form, and return the files. Raises ``OSError``."""
    folder.mkdir(parents=True, exist_ok=True)
    forms: Mapping[str, Callable[[Outcome, Language], str]] = {MARKDOWN: markdown, HTML: html, JUNIT: junit}
    files = []
    for name, write in forms.items():
        file = folder / name
        file.write_text(write(outcome, language), encoding="utf-8", newline="\n")
        files.append(file)
    return files


def markdown(outcome: Outcome, language: Language) -> str:
    """Return the report as Markdown."""
    said = _View(outcome, language)
    words = said.words
    lines = [
        f"# {words.title}",
        "",
        said.summary,
        "",
        f"## {words.with_}",
        "",
        *_row(words.what, words.value),
    ]
    lines += [f"| {name} | {_code(value)} |" for name, value in said.run_environment]
    head = (words.number, words.case, words.group, words.result, words.seconds, words.against)
    lines += ["", f"## {words.overview}", "", *_row(*head)]
    for each in said.cases:
        cells = (each.number, each.title, each.group, each.result, each.seconds, each.against)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    for each in said.cases:
        lines += [
            "",
            f"## {each.number}. {each.title}{words.colon}{each.result}",
            "",
            f"{words.purpose}{words.colon}{each.purpose}",
            "",
        ]
        lines += [f"{words.automated}{words.colon}{each.automated}", ""]
        lines += [each.why_mock, ""] if each.why_mock else []
        lines += [f"{words.broke_off}{words.colon}{_code(each.broke_off)}", ""] if each.broke_off else []
        lines += _row(words.expected, words.as_expected, words.seen)
        lines += [f"| {check.expected} | {check.held} | {_code(check.seen)} |" for check in each.checks]
    if said.cleaning:
        lines += ["", f"## {words.cleaning}", "", said.cleaning]
    return "\n".join([*lines, "", words.masked, ""])


def html(outcome: Outcome, language: Language) -> str:
    """Return the report as one HTML file that loads nothing."""
    return _template().render(said=_View(outcome, language), language=language)


def junit(outcome: Outcome, language: Language) -> str:
    """Return the report as JUnit XML: a test case for each case, its evidence as output.

    A case in which something expected was not seen is a failure; one that broke off is an error.
    """
    said = _View(outcome, language)
    broken = sum(result.broke_off is not None for result in outcome.results)
    counts = {
        "tests": str(len(outcome.results)),
        "failures": str(len(outcome.failed) - broken),
        "errors": str(broken),
        "time": f"{outcome.seconds:.3f}",
    }
    root = ElementTree.Element("testsuites", {"name": "codex-langfuse test-plan", **counts})
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        {
            "id": "0",
            "package": "codex-langfuse",
            "name": "codex-langfuse test-plan",
            "timestamp": outcome.started.strftime("%Y-%m-%dT%H:%M:%S"),
            "hostname": "localhost",
            "skipped": "0",
            **counts,
        },
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in said.run_environment:
        ElementTree.SubElement(properties, "property", {"name": _xml(name), "value": _xml(value)})
    for result, each in zip(outcome.results, said.cases, strict=True):
        case = ElementTree.SubElement(
            suite,
            "testcase",
            {
                "classname": f"test-plan.{result.case.group}",
                "name": _xml(f"{each.number:02} {each.title}"),
                "time": f"{result.seconds:.3f}",
            },
        )
        trouble = result.trouble(language)
        if trouble:
            kind = "failure" if result.broke_off is None else "error"
            attributes = {"message": _xml(trouble[0]), "type": kind}
            ElementTree.SubElement(case, kind, attributes).text = _xml("\n".join(trouble))
        evidence = [f"{check.held}: {check.expected}\n    {check.seen}" for check in each.checks]
        output = ElementTree.SubElement(case, "system-out")
        output.text = _xml("\n".join([*([each.why_mock] if each.why_mock else []), *evidence]))
    if said.cleaning:
        ElementTree.SubElement(suite, "system-out").text = _xml(
            f"{said.words.cleaning}{said.words.colon}{said.cleaning}"
        )
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


class _View:
    """An outcome in the words of one language, as the forms show it."""

    def __init__(self, outcome: Outcome, language: Language):
        phrases = _PHRASES[language]
        self.words = SimpleNamespace(
            **{{"with": "with_"}.get(name, name): text for name, text in phrases.items()}
        )
        self.passed = not outcome.failed
        self.summary = phrases["summary"].format(
            passed=len(outcome.results) - len(outcome.failed),
            all=len(outcome.results),
            failed=len(outcome.failed),
            seconds=round(outcome.seconds),
            started=outcome.started.strftime("%Y-%m-%d %H:%M:%S"),
        )
        around = outcome.run_environment
        mock = phrases["mock"].format(version=around.mock)
        target = f"{around.langfuse}, {around.target}, project {around.project}" if around.target else mock
        self.run_environment = [
            ("Codex", around.codex),
            ("codex-langfuse", around.codex_langfuse),
            (phrases["target"], target),
            ("Python", around.python),
            (phrases["system"], around.system),
        ]
        self.cases = [
            self._case(result, language, has_target=around.target is not None) for result in outcome.results
        ]
        self.cleaning = self._cleaning(outcome, phrases)

    @staticmethod
    def _case(result: Result, language: Language, *, has_target: bool) -> SimpleNamespace:
        phrases, words = _PHRASES[language], result.case.words[language]
        seen = {check.name: check for check in result.checks}
        against = {True: "on_mock", False: "on_langfuse", None: "on_none"}[result.on_mock]
        why_mock = ""
        if has_target and result.on_mock:
            because = result.case.because
            reason = plan().reasons[because][language] if because else phrases["other_address"]
            why_mock = phrases["why_mock"].format(reason=reason)
        return SimpleNamespace(
            number=result.case.number,
            id=result.case.id,
            title=words.title,
            group=plan().groups[result.case.group][language],
            purpose=words.purpose,
            automated=words.automated,
            passed=result.passed,
            result=phrases["passed" if result.passed else "failed"],
            seconds=f"{result.seconds:.1f}",
            against=phrases[against],
            why_mock=why_mock,
            broke_off=result.broke_off or "",
            checks=[
                SimpleNamespace(
                    expected=text,
                    holds=name in seen and seen[name].holds,
                    held=phrases[
                        "not_reached" if name not in seen else "held" if seen[name].holds else "not_held"
                    ],
                    seen=seen[name].seen if name in seen else "–",
                )
                for name, text in words.expected.items()
            ],
        )

    @staticmethod
    def _cleaning(outcome: Outcome, phrases: Mapping[str, str]) -> str:
        cleaning = outcome.cleaning
        if cleaning is None:
            return ""
        name = "none_sent"
        if cleaning.sent:
            name = "kept" if cleaning.kept else "not_deleted" if cleaning.problem else "deleted"
        return phrases[name].format(left=cleaning.sent - cleaning.deleted, **vars(cleaning))


def _row(*cells: str) -> list[str]:
    """Return the head of a Markdown table."""
    return [f"| {' | '.join(cells)} |", f"| {' | '.join(['---'] * len(cells))} |"]


def _code(text: str) -> str:
    """Return a text of any kind as code for a cell of a Markdown table."""
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}".replace("|", r"\|") if text else ""


def _xml(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("codex_langfuse.testplan", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["with_code"] = _with_code
    return environment.get_template("report.html")


def _with_code(text: str) -> Markup:
    """Return a text of the definition as HTML: what is in backticks is code."""
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(text.split("`"))
    )
