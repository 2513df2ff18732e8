"""The definition of the cases: whole in both languages, or refused; selected by what testers type."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from codex_langfuse.testplan import definition
from codex_langfuse.testplan.cases import PLAYERS
from codex_langfuse.testplan.definition import Against, InvalidCasesError, UnknownCaseError, read_plan

TEXT = (Path(definition.__file__).parent / "cases.toml").read_text(encoding="utf-8")
PLAN = definition.plan()


def test_twenty_cases_each_with_what_runs_it() -> None:
    assert [case.number for case in PLAN.cases] == list(range(1, 21))
    assert set(PLAYERS) == {case.id for case in PLAN.cases}


def test_the_groups_that_a_tester_expects() -> None:
    assert [group["en"] for group in PLAN.groups.values()] == [
        "Configuration",
        "Authentication",
        "Deployment scenarios",
        "Events",
        "Privacy",
        "TLS and mutual TLS",
        "Failure and recovery",
        "Volume",
        "Performance",
        "Several environments",
        "Upgrade",
        "Removal",
    ]


def test_every_kind_of_event_has_its_case() -> None:
    titles = " ".join(case.words["en"].title for case in PLAN.cases if case.group == "event")
    for event in (
        "conversation_starts",
        "api_request",
        "sse_event",
        "user_prompt",
        "tool_decision",
        "tool_result",
    ):
        assert f"`{event}`" in titles


@pytest.mark.parametrize("case", PLAN.cases, ids=lambda case: case.id)
def test_both_languages_name_the_same_things(case: definition.Case) -> None:
    """What is in backticks is typed or searched for, so it is the same."""
    english, chinese = case.words["en"], case.words["zh"]
    pairs = [*zip(english.steps, chinese.steps, strict=True)]
    pairs += [(english.expected[name], chinese.expected[name]) for name in case.checks]
    for ours, theirs in pairs:
        assert sorted(re.findall("`[^`]+`", ours)) == sorted(re.findall("`[^`]+`", theirs))
    assert re.search("[\u4e00-\u9fff]", chinese.title)
    assert not re.search("[\u4e00-\u9fff]", english.title)


def test_the_reason_for_the_mock_is_given() -> None:
    for case in PLAN.cases:
        assert (case.because is not None) == (case.against is Against.MOCK)


def without(pattern: str) -> Callable[[str], str]:
    """Cut out what is matched first."""
    return lambda text: re.sub(pattern, "", text, count=1, flags=re.S | re.M)


def with_(old: str, new: str) -> Callable[[str], str]:
    """Put something else in the place of the first ``old``."""
    return lambda text: text.replace(old, new, 1)


SPOILT: dict[str, Callable[[str], str]] = {
    "not TOML": lambda text: text + "[",
    "there are 19 cases": without(r"^\[\[case\]\]\nid = \"scenario-cloud-us\".*?(?=^\[\[case\]\])"),
    "case 1, zh: a text is missing": with_('title = "配置能够加载"', 'title = " "'),
    "case 1, zh: missing": without(r"^\[case\.zh\].*?(?=^# ---)"),
    "unknown: fr": with_("[case.zh]", "[case.fr]\n[case.zh]"),
    "the languages differ": with_('misspelt = "拼错', 'misspelled = "拼错'),
    "against must be one of": with_('against = "none"', 'against = "nobody"'),
    "says why": with_('because = "faults"\n', ""),
    "there is no group": with_('group = "tls"', 'group = "ssl"'),
    "stand together": with_('group = "tls"', 'group = "failure"'),
    "is used for more than one": with_('id = "scenario-cloud-us"', 'id = "scenario-cloud-eu"'),
    "observations are for": with_("observations = 600\n", ""),
    "no case has the reason": with_("[because]\n", '[because]\nweather = { en = "rain", zh = "雨" }\n'),
}


@pytest.mark.parametrize("message", SPOILT)
def test_a_spoilt_definition_is_refused(message: str) -> None:
    spoilt = SPOILT[message](TEXT)
    assert spoilt != TEXT
    with pytest.raises(InvalidCasesError, match=re.escape(message)):
        read_plan(spoilt)


def numbers(*wanted: str) -> list[int]:
    return [case.number for case in PLAN.select(wanted)]


def test_select() -> None:
    assert numbers() == list(range(1, 21))
    assert numbers("3,7") == numbers("7", " 3 ") == numbers("07,3,3") == [3, 7]
    assert numbers("tls") == [13, 14]
    assert numbers("tls-mutual,removal,1") == [1, 14, 20]


@pytest.mark.parametrize("wanted", ["21", "0", "-1", "relay", "3,tsl", "1-4", ",", ""])
def test_select_what_is_not_there(wanted: str) -> None:
    with pytest.raises(UnknownCaseError, match=r"give numbers"):
        numbers(wanted)
