"""The cases of the test plan as objects; the data is in ``cases.toml``.

What the page prints, what ``codex-langfuse test-plan`` runs and what its report says is this one definition.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Literal

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
NUMBER_OF_CASES = 20

_FILE = Path(__file__).with_name("cases.toml")


class InvalidCasesError(ValueError):
    """The file of cases is not what it should be; says where."""


class UnknownCaseError(ValueError):
    """No case, and no group of cases, is called so."""


class Against(StrEnum):
    """Which Langfuse a case is run against when the tester has given one."""

    LANGFUSE = "langfuse"
    """The tester's."""
    ADDRESS = "address"
    """The tester's if it is the one that the case is about, else the mock."""
    MOCK = "mock"
    """The mock always."""
    NONE = "none"
    """None: the case asks no server."""


@dataclass(frozen=True)
class CaseTexts:
    """A case in one language. ``expected`` has, for each thing that is checked, what must be seen."""

    title: str
    purpose: str
    steps: tuple[str, ...]
    automated: str
    expected: Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """One case.

    ``because`` names the reason why it runs against the mock, when ``against`` is ``MOCK``; ``observations``
    is about how many it makes in a Langfuse, rounded up.
    """

    id: str
    number: int
    group: str
    against: Against
    because: str | None
    observations: int
    words: Mapping[Language, CaseTexts]

    @property
    def checks(self) -> tuple[str, ...]:
        """The names of what is checked, in order."""
        return tuple(self.words["en"].expected)


@dataclass(frozen=True)
class Plan:
    """All cases in the order of their numbers, the names of their groups, the reasons for the mock."""

    cases: tuple[Case, ...]
    groups: Mapping[str, Mapping[Language, str]]
    reasons: Mapping[str, Mapping[Language, str]]

    def select(self, wanted: Sequence[str]) -> list[Case]:
        """Return the cases that are named: by number, id or group, several in one text with commas.

        They come in the order of their numbers, each once. Raises ``UnknownCaseError``.
        """
        names = [name.strip() for text in wanted for name in text.split(",") if name.strip()]
        chosen: set[int] = set()
        for name in names:
            found = {case.number for case in self.cases if name in (str(case.number), case.id, case.group)}
            if name.isdecimal():
                found = {case.number for case in self.cases if case.number == int(name)}
            if not found:
                raise UnknownCaseError(
                    f"there is no case and no group {name!r}: give numbers from 1 to {len(self.cases)}, "
                    f"ids as --list shows them, or groups ({', '.join(self.groups)})"
                )
            chosen |= found
        if wanted and not names:
            raise UnknownCaseError("no case is named: give numbers, ids or groups, such as 1,3,tls")
        return [case for case in self.cases if not wanted or case.number in chosen]


@cache
def plan() -> Plan:
    """Return the plan that comes with this package."""
    return read_plan(_FILE.read_text(encoding="utf-8"))


def read_plan(text: str) -> Plan:
    """Read a definition; raises ``InvalidCasesError`` when something is missing, unknown or not equal.

    Both languages must be there, with the same steps and the same checks, since they are one case.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidCasesError(f"not TOML: {error}") from error
    _only(data, {"group", "because", "case"}, "the file")
    groups = _named(data.get("group"), "group")
    reasons = _named(data.get("because"), "because")
    cases = tuple(_case(raw, number, groups, reasons) for number, raw in enumerate(data.get("case", []), 1))
    if len(cases) != NUMBER_OF_CASES:
        raise InvalidCasesError(f"there are {len(cases)} cases, not {NUMBER_OF_CASES}")
    ids = [case.id for case in cases]
    alike = [name for name in ids if name in groups and [c.id for c in cases if c.group == name] != [name]]
    if len(set(ids)) < len(ids) or alike or any(name.isdecimal() for name in (*ids, *groups)):
        raise InvalidCasesError("a name is used for more than one case or group, or is a number")
    order = [case.group for case in cases]
    if list(dict.fromkeys(order)) != list(groups) or order != sorted(order, key=list(groups).index):
        raise InvalidCasesError(
            "the cases of a group stand together, in the order of the groups, and none is empty"
        )
    if unused := set(reasons) - {case.because for case in cases}:
        raise InvalidCasesError(f"no case has the reason {', '.join(sorted(unused))}")
    return Plan(cases, groups, reasons)


def _case(raw: Mapping[str, Any], number: int, groups: Mapping[str, Any], reasons: Mapping[str, Any]) -> Case:
    place = f"case {number}"
    _only(raw, {"id", "group", "against", "because", "observations", *LANGUAGES}, place)
    words = {language: _words(raw.get(language), f"{place}, {language}") for language in LANGUAGES}
    english, chinese = words["en"], words["zh"]
    if len(english.steps) != len(chinese.steps) or list(english.expected) != list(chinese.expected):
        raise InvalidCasesError(f"{place}: the languages differ in their steps or in what is expected")
    try:
        against = Against(raw["against"])
    except (KeyError, ValueError) as error:
        raise InvalidCasesError(f"{place}: against must be one of {', '.join(Against)}") from error
    because = raw.get("because")
    if (against is Against.MOCK) != (because is not None) or (because and because not in reasons):
        raise InvalidCasesError(f"{place}: a case against the mock says why, by a name listed under because")
    if raw.get("group") not in groups:
        raise InvalidCasesError(f"{place}: there is no group {raw.get('group')!r}")
    observations = raw.get("observations", 0)
    if (observations > 0) != (against in (Against.LANGFUSE, Against.ADDRESS)):
        raise InvalidCasesError(
            f"{place}: observations are for the cases that make some in the tester's Langfuse"
        )
    return Case(_text(raw.get("id"), place), number, raw["group"], against, because, observations, words)


def _words(raw: Any, place: str) -> CaseTexts:
    if not isinstance(raw, dict):
        raise InvalidCasesError(f"{place}: missing")
    _only(raw, {"title", "purpose", "steps", "automated", "expected"}, place)
    steps, expected = raw.get("steps"), raw.get("expected")
    if not isinstance(steps, list) or not steps or not isinstance(expected, dict) or not expected:
        raise InvalidCasesError(f"{place}: steps and expected must not be empty")
    return CaseTexts(
        title=_text(raw.get("title"), place),
        purpose=_text(raw.get("purpose"), place),
        steps=tuple(_text(step, place) for step in steps),
        automated=_text(raw.get("automated"), place),
        expected={name: _text(text, place) for name, text in expected.items()},
    )


def _named(raw: Any, place: str) -> dict[str, dict[Language, str]]:
    if not isinstance(raw, dict):
        raise InvalidCasesError(f"{place}: missing")
    for name, texts in raw.items():
        _only(texts, set(LANGUAGES), f"{place}.{name}")
    return {
        name: {language: _text(texts.get(language), f"{place}.{name}") for language in LANGUAGES}
        for name, texts in raw.items()
    }


def _only(raw: Mapping[str, Any], known: set[str], place: str) -> None:
    if strangers := set(raw) - known:
        raise InvalidCasesError(f"{place}: unknown: {', '.join(sorted(strangers))}")


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidCasesError(f"{place}: a text is missing or empty")
    return value
