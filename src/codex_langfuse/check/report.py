"""Findings as text for people and as data for programs; every secret covered."""

import json
from typing import Any

from rich.console import Console
from rich.text import Text

from codex_langfuse.check.checking import Checked
from codex_langfuse.check.findings import Finding
from codex_langfuse.check.setup import Setup
from codex_langfuse.configuration.secrets import masked

_STYLES = {"error": "bold red", "warning": "bold yellow", "info": "bold cyan"}


def as_data(setup: Setup, checked: Checked, fixed: list[Finding]) -> dict[str, Any]:
    """Return the whole outcome in JSON's terms."""
    return {
        "codex": str(setup.version) if setup.version else None,
        "files": [{"kind": file.kind, "path": str(file.path)} for file in setup.files.files],
        "status": checked.status,
        "findings": [_finding_as_data(finding) for finding in checked.findings],
        "servers": [
            {"endpoint": answer.endpoint, "accepted": answer.finding is None, "said": answer.said}
            for answer in checked.answers
        ],
        "fixed": [finding.id for finding in fixed],
    }


def as_json(setup: Setup, checked: Checked, fixed: list[Finding]) -> str:
    """Return the outcome as JSON."""
    return json.dumps(as_data(setup, checked, fixed), indent=2, ensure_ascii=False)


def _finding_as_data(finding: Finding) -> dict[str, Any]:
    words, place = finding.mistake, finding.place
    return {
        "id": finding.id,
        "severity": finding.severity,
        "file": str(place.path) if place.path else None,
        "line": place.line,
        "column": place.column,
        "where": str(place),
        "title": words.title,
        "detail": masked(finding.detail),
        "cause": words.cause,
        "fix": words.fix,
        "instead": masked(finding.instead) or None,
        "fixable": finding.is_fixable,
        "page": finding.mistake.page,
    }


def show(setup: Setup, checked: Checked, out: Console, *, home: str = "") -> None:
    """Print the outcome; paths below ``home`` begin with ``~``."""
    for finding in checked.findings:
        _show(finding, out, home)
    for answer in checked.answers:
        if answer.finding is None:
            out.print(Text(f"{answer.endpoint}: {answer.said}."))
    if checked.not_asked:
        out.print(Text("The server was not asked: fix the errors first."))
    codex = f"Codex {setup.version}" if setup.version else "Codex not found, taken for the newest"
    out.print(Text(f"{_counted(checked)} ({_files(setup)}, {codex})"))
    if any(finding.is_fixable for finding in checked.findings):
        out.print(Text("`codex-langfuse check --fix` repairs those marked with *."))


def _show(finding: Finding, out: Console, home: str) -> None:
    words = finding.mistake
    place = _short(str(finding.place), home)
    mark = "*" if finding.is_fixable else ""
    head = Text()
    head.append(f"{place}: ", style="bold")
    head.append(f"{finding.severity}{mark}", style=_STYLES[finding.severity])
    head.append(f": {words.title}")
    out.print(head)
    if finding.detail:
        out.print(Text(f"  {_short(masked(finding.detail), home)}"))
    out.print(Text(f"  Why: {words.cause}"))
    out.print(Text(f"  Fix: {_short(masked(finding.instead), home) or words.fix}"))
    out.print(Text(f"  See {finding.mistake.page}"))
    out.print()


def _short(text: str, home: str) -> str:
    return text.replace(home.rstrip("/\\"), "~") if len(home) > 1 else text


def _counted(checked: Checked) -> str:
    counts = dict.fromkeys(_STYLES, 0)
    for finding in checked.findings:
        counts[finding.severity] += 1
    words = [
        f"{count} {severity}{'s' if count != 1 and severity != 'info' else ''}"
        for severity, count in counts.items()
        if count
    ]
    return ", ".join(words) if words else "Nothing is wrong"


def _files(setup: Setup) -> str:
    count = len(setup.files.files)
    return f"{count} file{'s' if count != 1 else ''}"
