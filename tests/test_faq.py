"""The answers of docs/guide/faq.md are short, lead to their proof, and say what recordings say."""

import re

import pytest

import recordings
from codex_langfuse.exports import spans_in
from translations import CHINESE, DOCS

PAGE = "guide/faq.md"
QUESTIONS = re.findall(
    r"^## ([^\n]+) \{ #([\w-]+) \}\n(.*?)(?=^## |\Z)",
    (DOCS / PAGE).read_text(encoding="utf-8"),
    re.M | re.S,
)
# A link to a page of this site that is not this page.
PROOF = re.compile(r"\]\((?!https?:|#)[\w./-]+\.md")


@pytest.mark.parametrize(
    ("question", "answer"), [(q, a) for q, _, a in QUESTIONS], ids=lambda text: text[:40]
)
def test_an_answer_is_short_and_leads_to_its_proof(question: str, answer: str) -> None:
    assert question.endswith("?") or question.endswith("Why?")
    assert len(re.findall(r"\w+", re.sub(r"\([^)]*\)", "", answer))) <= 90
    assert PROOF.search(answer)


def roots(recording: str) -> set[str]:
    spans = spans_in(recordings.bodies(recording, "traces"))
    return {span.name for span in spans if not span.parent_id}


@pytest.mark.parametrize("docs", [DOCS, CHINESE], ids=["en", "zh"])
def test_the_traces_that_are_no_turns_are_so_named(docs) -> None:
    text = (docs / PAGE).read_text(encoding="utf-8")
    heading = re.search(r"^## (.+) \{ #infrastructure-traces \}$", text, re.M)[1]
    named = set(re.findall(r"`([^`]+)`", heading))
    assert len(named) == 3
    assert named | {"turn/start"} <= roots("0.163.0-simple") | roots("0.169.0-simple")


def test_the_app_server_goes_by_its_own_name() -> None:
    """`codex-app-server`, what editors and the SDK run."""
    spans = spans_in(recordings.bodies("0.169.0-appserver-decline", "traces"))
    assert {span.resource["service.name"] for span in spans} == {"codex-app-server"}


def test_a_sub_agent_is_in_the_trace_of_its_parent() -> None:
    turns = [
        span
        for span in spans_in(recordings.bodies("0.169.0-subagent", "traces"))
        if span.name == "session_task.turn"
    ]
    assert len(turns) > 1
    assert len({span.trace_id for span in turns}) == 1
