"""The cases of the test plan as the page ``test-plan`` prints them, from the plan's own definition."""

from codex_langfuse.testplan.definition import Against, Case, plan
from page_tables.markdown import table

_HEAD = {
    "en": ["No.", "Case", "Group", "With `--langfuse-url` it runs against"],
    "zh": ["编号", "用例", "分组", "使用 `--langfuse-url` 时，测试对象是"],
}
_AGAINST = {
    Against.LANGFUSE: {"en": "your Langfuse", "zh": "你的 Langfuse"},
    Against.ADDRESS: {
        "en": "your Langfuse, if the case is about its address; else the mock",
        "zh": "你的 Langfuse，前提是用例针对的正是它的地址；否则是模拟服务",
    },
    Against.MOCK: {"en": "the mock: {because}", "zh": "模拟服务：{because}"},
    Against.NONE: {"en": "no server", "zh": "没有服务器"},
}
_LABELS = {
    "en": {"steps": "By hand:", "expected": "Expected:", "automated": "**By the command**: "},
    "zh": {"steps": "手工步骤：", "expected": "预期结果：", "automated": "**自动执行**："},
}


def overview(language: str) -> str:
    """Return all cases with their groups, and what they run against."""
    return table(
        _HEAD[language],
        (
            [
                str(case.number),
                f"[{case.words[language].title.replace('`', '')}](#{case.id})",
                plan().groups[case.group][language],
                _against(case, language),
            ]
            for case in plan().cases
        ),
    )


def cases(language: str) -> str:
    """Return each case whole, under a heading of its own."""
    labels = _LABELS[language]
    lines: list[str] = []
    for case in plan().cases:
        words = case.words[language]
        lines += [f"### {case.number}. {words.title} {{ #{case.id} }}", "", words.purpose, ""]
        lines += [f"**{labels['steps']}**", ""]
        lines += [f"{number}. {step}" for number, step in enumerate(words.steps, 1)]
        lines += ["", f"**{labels['expected']}**", ""]
        lines += [f"- {text}" for text in words.expected.values()]
        lines += ["", labels["automated"] + words.automated, ""]
    return "\n".join(lines[:-1]) + "\n"


def _against(case: Case, language: str) -> str:
    because = plan().reasons[case.because][language] if case.because else ""
    return _AGAINST[case.against][language].format(because=because)


TABLES = {"test-plan-overview": overview, "test-plan-cases": cases}
