"""docs/concepts/comparison.md: what it says of the routes over OpenTelemetry, row by row."""

import re
from collections.abc import Callable

import pytest

import recordings
from codex_langfuse.codex import versions
from codex_langfuse.exports import spans_in
from codex_langfuse.relay.policy import Content, Policy
from harness.fences.scanner import ROOT
from hooks.tested_with import pinned_codex
from page_tables.comparison import OTHERS, ROUTES, TURN, by_relay, directly, rows
from relayed_recordings import batches, relay
from translations import CHINESE, DOCS

pytestmark = pytest.mark.slow

# The command's output in the recorded turn.
OUTPUT = "hello-from-tool"
# A turn whose prompt and answer Codex logged.
LOGGED = "0.169.0-privacy-lup_true_agentresp"


def content() -> None:
    assert not any(each["input"] or each["output"] for each in directly().observations)
    assert not any(OUTPUT in str(each) for each in directly().observations)
    assert not any(OUTPUT in str(each) for each in by_relay().observations)
    shown = {
        mode: str(relay(batches(LOGGED), Policy(content=mode)).observations)
        for mode in (Content.PROMPTS, Content.FULL)
    }
    assert len(shown[Content.FULL]) > len(shown[Content.PROMPTS])
    assert OUTPUT in str(relay(batches(TURN), Policy(content=Content.FULL)).observations)


def cost() -> None:
    def both(observations: list[dict]) -> list[dict]:
        return [each for each in observations if each["model"] and each["usageDetails"]]

    assert both(directly().observations) == []
    assert [each["type"] for each in both(by_relay().observations)] == ["GENERATION"] * 2


def calls() -> None:
    assert directly().generations > 10 * by_relay().generations == 20
    calls = [each for each in by_relay().observations if each["type"] == "GENERATION"]
    assert [each["timeToFirstToken"] is not None for each in calls] == [False, True]
    assert directly().tokens == by_relay().tokens


def sessions() -> None:
    # The only session that is shown is a count of code mode's own, no conversation.
    names = {each["name"] for each in directly().observations if each["sessionId"]}
    assert all(name.startswith("code_mode.grpc.") for name in names)
    assert len({each["sessionId"] for each in by_relay().observations}) == 1
    assert all(each["sessionId"] for each in by_relay().observations)


def tools() -> None:
    assert not any(each["type"] == "TOOL" for each in directly().observations)
    assert any(each["name"] == "exec_command" for each in directly().observations)
    failing = "0.169.0-err-tool_exit3"
    assert {each["level"] for each in directly(failing).observations} == {"DEFAULT"}
    levels = {each["level"] for each in by_relay(failing).observations if each["type"] == "TOOL"}
    assert levels == {"ERROR"}


def observations() -> None:
    assert TURN.startswith(pinned_codex())
    assert len(directly().observations) > 50 * len(by_relay().observations)
    assert by_relay().traces == 1


def first_versions() -> None:
    traced = {codex: recordings.bodies(name, "traces") for codex, name in recordings.simple_turns().items()}
    for codex, bodies in traced.items():
        number = versions.Version.parse(codex)
        spans = spans_in(bodies)
        assert bool(spans) == (number >= versions.OTEL_KEYS["trace_exporter"]), codex
        assert (OUTPUT in repr(spans)) == versions.leaks_content(number), codex
        assert relay(batches(f"{codex}-simple")).turns, codex


# Rows whose cells are run elsewhere: what there shows them.
ELSEWHERE = {
    "failed": [
        "tests/test_codex_facts.py::test_a_failed_run_exports_nothing",
        "tests/test_relay_turns.py::test_what_happened_is_seen",
        "tests/test_collector_shape.py::test_an_interrupted_turn_is_marked_and_has_no_tokens",
    ],
    "offline": [
        "tests/test_codex_facts.py::test_a_refused_batch_is_lost_without_a_word",
        "tests/test_codex_facts.py::test_an_endpoint_that_hangs_holds_the_end_up",
        "tests/test_relay_codex.py::test_a_langfuse_that_hangs_does_not_keep_codex",
        "tests/test_collector_faults.py::test_a_langfuse_that_is_down_costs_nothing",
        "tests/test_collector_faults.py::test_with_a_queue_what_langfuse_refuses_is_lost_and_counted",
        "tests/test_collector_faults.py::test_langfuses_own_answer_goes_back",
    ],
    "tokens": [
        "tests/test_relay_real_use.py::test_the_tokens_of_each_turn_are_those_that_the_model_charged",
        "tests/test_collector_shape.py::test_the_tokens_of_real_use_are_as_charged_but_where_the_pages_say_so",
        "tests/test_collector_shape.py::test_an_interrupted_turn_is_marked_and_has_no_tokens",
        "tests/test_collector_shape.py::test_a_turn_without_its_closing_span_is_there_without_tokens",
    ],
    "key": ["tests/test_codex_facts.py::test_the_variable_for_traces_wins_over_the_file"],
    "runs": ["tests/test_relay_codex.py::test_one_clean_trace_a_turn"],
    # The column "Relay and Collector": as the relay.
    "carry": ["tests/test_collector_relay.py::test_a_collector_behind_the_relay_changes_nothing"],
    # The other cells of the column "Collector".
    "collector": [
        "tests/test_collector_shape.py::test_each_turn_is_one_trace_with_the_tokens_that_codex_counted",
        "tests/test_collector_shape.py::test_every_observation_says_whose_it_is",
        "tests/test_collector_shape.py::test_the_tools_of_a_turn_are_those_that_codex_ran",
        "tests/test_collector_shape.py::test_two_collectors_make_the_same_trace_as_one",
    ],
}
HERE: dict[str, Callable[[], None]] = {
    "content": content,
    "cost": cost,
    "calls": calls,
    "sessions": sessions,
    "tools": tools,
    "observations": observations,
    "versions": first_versions,
}


def test_every_row_is_shown_by_something() -> None:
    assert {row["id"] for row in rows()} == (HERE.keys() | ELSEWHERE.keys()) - set(ROUTES)
    for row in rows():
        assert row.keys() == {"id", "aspect", *ROUTES, *OTHERS}, row["id"]


@pytest.mark.parametrize("row", HERE)
def test_what_the_row_says(row: str) -> None:
    HERE[row]()


@pytest.mark.parametrize("row", ELSEWHERE)
def test_what_shows_the_row_is_there(row: str) -> None:
    for proof in ELSEWHERE[row]:
        file, _, name = proof.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), proof


def test_codex_names_neither_operation_nor_model_as_the_convention_has_it() -> None:
    """The sentence on views that other products build from GenAI attributes."""
    names = {
        name
        for span in spans_in(recordings.bodies(TURN, "traces"))
        for name in span.attributes
        if name.startswith("gen_ai.")
    }
    assert names
    assert all(name.startswith("gen_ai.usage.") for name in names)


@pytest.mark.parametrize("docs", [DOCS, CHINESE], ids=["en", "zh"])
def test_each_claim_about_others_has_a_source(docs) -> None:
    """Every row of the tables of other products links to their own documentation."""
    text = (docs / "concepts/comparison.md").read_text(encoding="utf-8")
    for section in ("backends", "clouds"):
        below = text[text.index(f"{{ #{section} }}") :]
        lines = re.search(r"(?:^\|.*\n)+", below, flags=re.M)[0].splitlines()[2:]
        assert len(lines) >= 3
        assert all("](https://" in line for line in lines)
