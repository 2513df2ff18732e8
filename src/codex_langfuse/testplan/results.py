"""What came of a run of the test plan."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from codex_langfuse.testplan.definition import Case, Language
from codex_langfuse.testplan.proof import Check


@dataclass(frozen=True)
class Result:
    """What came of one case.

    ``missing`` are the expectations that were not looked at; ``broke_off`` is what ended the case early,
    None if nothing did; ``seconds`` the time it took; ``on_mock`` whether it ran against the mock, None if it
    asked no Langfuse.
    """

    case: Case
    checks: tuple[Check, ...]
    missing: tuple[str, ...]
    broke_off: str | None
    seconds: float
    on_mock: bool | None

    @property
    def passed(self) -> bool:
        """Whether everything that was expected was seen."""
        return self.broke_off is None and not self.missing and all(check.holds for check in self.checks)

    def trouble(self, language: Language) -> list[str]:
        """Return what did not hold, in words, each with what was seen instead."""
        expected = self.case.words[language].expected
        lines = [f"{expected[check.name]} ({check.seen})" for check in self.checks if not check.holds]
        return (
            lines + ([self.broke_off] if self.broke_off else []) + [expected[name] for name in self.missing]
        )


@dataclass(frozen=True)
class RunEnvironment:
    """With what it was run. ``target`` is the tester's Langfuse, None for only the mock."""

    codex: str
    codex_langfuse: str
    langfuse: str
    mock: str
    python: str
    system: str
    target: str | None
    project: str | None


@dataclass(frozen=True)
class Cleaning:
    """What became of the traces in the tester's Langfuse; ``problem`` says why not all are to be deleted."""

    sent: int
    deleted: int
    kept: bool
    problem: str


@dataclass(frozen=True)
class Outcome:
    """A run: when it began, how long it took (seconds), with what, and what came of each case."""

    started: datetime
    seconds: float
    run_environment: RunEnvironment
    results: Sequence[Result]
    cleaning: Cleaning | None

    @property
    def failed(self) -> list[Result]:
        """The cases that did not pass."""
        return [result for result in self.results if not result.passed]

    def as_json(self, language: Language) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
            "passed": len(self.results) - len(self.failed),
            "failed": len(self.failed),
            "versions": {
                "codex": self.run_environment.codex,
                "codex-langfuse": self.run_environment.codex_langfuse,
                "langfuse": self.run_environment.langfuse,
                "python": self.run_environment.python,
                "system": self.run_environment.system,
            },
            "langfuse": {"url": self.run_environment.target, "project": self.run_environment.project},
            "cleaning": vars(self.cleaning) if self.cleaning else None,
            "cases": [_case_as_json(result, language) for result in self.results],
        }


def _case_as_json(result: Result, language: Language) -> dict[str, Any]:
    words = result.case.words[language]
    return {
        "number": result.case.number,
        "id": result.case.id,
        "group": result.case.group,
        "title": words.title,
        "passed": result.passed,
        "seconds": round(result.seconds, 2),
        "against": {True: "mock", False: "langfuse", None: None}[result.on_mock],
        "broke_off": result.broke_off,
        "checks": [
            {"name": each.name, "expected": words.expected[each.name], "holds": each.holds, "seen": each.seen}
            for each in result.checks
        ],
        "missing": [{"name": name, "expected": words.expected[name]} for name in result.missing],
    }
