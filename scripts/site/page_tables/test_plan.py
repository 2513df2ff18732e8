"""The cases of the test plan as the page ``test-plan-cases`` prints them, from the plan's own definition."""

from codex_langfuse.testplan.definition import Against, Case, Language, plan
from page_tables.markdown import table, words_of

_TEXTS = words_of(__file__)

_HEAD = _TEXTS["head"]
_AGAINST = {
    Against.LANGFUSE: _TEXTS["your_langfuse"],
    Against.ADDRESS: _TEXTS["your_langfuse_if_the"],
    Against.MOCK: _TEXTS["the_mock_because"],
    Against.NONE: _TEXTS["no_server"],
}
_LABELS = _TEXTS["labels"]


def _known(language: str) -> Language:
    return "zh" if language == "zh" else "en"


def overview(language: str) -> str:
    """Return all cases with their groups, and what they run against."""
    return table(
        _HEAD[language],
        (
            [
                f"{case.number}. [{case.words[_known(language)].title.replace('`', '')}](#{case.id})",
                plan().groups[case.group][_known(language)],
                _against(case, language),
            ]
            for case in plan().cases
        ),
    )


def cases(language: str) -> str:
    """Return each case whole, under its own heading."""
    labels = _LABELS[language]
    lines: list[str] = []
    for case in plan().cases:
        words = case.words[_known(language)]
        lines += [f"### {case.number}. {words.title} {{ #{case.id} }}", "", words.purpose, ""]
        lines += [f"**{labels['steps']}**", ""]
        lines += [f"{number}. {step}" for number, step in enumerate(words.steps, 1)]
        lines += ["", f"**{labels['expected']}**", ""]
        lines += [f"- {text}" for text in words.expected.values()]
        lines += ["", labels["automated"] + words.automated, ""]
    return "\n".join(lines[:-1]) + "\n"


def _against(case: Case, language: str) -> str:
    because = plan().reasons[case.because][_known(language)] if case.because else ""
    return str(_AGAINST[case.against][language].format(because=because))


TABLES = {"test-plan-overview": overview, "test-plan-cases": cases}
