"""The relay's law, for Codex as people run it: default models, code mode, WebSocket, the TUI, editors.

Under each turn's AGENT are exactly the tokens that the model charged for that turn, by kind; one trace a
turn; nothing invented, nothing missing.
"""

import random
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from codex_langfuse.nanoseconds import SECOND
from codex_langfuse.relay.assembly import Assembly
from codex_langfuse.relay.policy import Content, Policy
from harness.langfuse_laws import broken
from harness.recorded_truth import NAMES, Change, Timed, relayed, sent, shown, truth
from harness.simulated_codex import as_traces
from relayed_recordings import Relayed, observed, tree

pytestmark = pytest.mark.slow

#: Nothing but logs came: Codex left before it sent its spans.
NO_SPANS = {"real-use/0.171.0-err-tool-then-500", "real-use/0.171.0-exec-interrupted-tool"}
#: What spans cannot say by themselves, and the turn says so: what compactions used, when there are two of
#: them; a turn whose caller does not sample.
NOT_ON_SPANS = NO_SPANS | {
    *("real-use/0.163.0-autocompact-custom", "real-use/0.171.0-caller-unsampled"),
}


def hold_the_law(name: str, given: Sequence[Timed], by_turn: bool = True) -> Relayed:
    expected = truth(name)
    result = relayed(given)
    answers, per_turn, roots = shown(result)
    assert answers == expected.answers, "\n".join(tree(result.observations))
    assert len({each["id"] for each in result.observations}) == len(result.observations)
    if expected.roots is not None:
        assert len(roots) == expected.roots
        assert len({each["traceId"] for each in result.observations}) == expected.roots
    if expected.by_turn is not None and by_turn and name not in NO_SPANS:
        assert per_turn == expected.by_turn
    agents = Counter(each["metadata"].get("turn_id") for each in result.of("AGENT"))
    assert all(count == 1 for turn_id, count in agents.items() if turn_id is not None)
    for generation in result.of("GENERATION"):
        # An answer that never ended has no tokens, and says so: not 0, which would be a number.
        assert generation["usageDetails"] or "not reported" in str(generation["metadata"].get("usage"))
    return result


@pytest.mark.parametrize("name", NAMES)
def test_the_tokens_of_each_turn_are_those_that_the_model_charged(name: str) -> None:
    hold_the_law(name, sent(name))


@pytest.mark.parametrize("name", [name for name in NAMES if "tracesonly" not in name])
def test_by_logs_alone(name: str) -> None:
    logs = [each for each in sent(name) if each.signal == "logs"]
    hold_the_law(name, logs, by_turn=False)


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in NOT_ON_SPANS and "logsonly" not in name]
)
def test_by_traces_alone(name: str) -> None:
    hold_the_law(name, [each for each in sent(name) if each.signal == "traces"])


# --- clocks, order, copies ----------------------------------------------------------------------------------


def _moved(nanoseconds: int, *, rounded: int = 1, stamped: bool = True) -> Change:
    """Give log records other times, as a proxy or a Collector does. stamped: Codex's own stay."""

    def change(given: Sequence[Timed]) -> list[Timed]:
        return [replace(each, message=_restamped(each.message)) for each in given]

    def _restamped(message: object) -> object:
        if not isinstance(message, ExportLogsServiceRequest):
            return message
        message = deepcopy(message)
        for group in message.resource_logs:
            for scope in group.scope_logs:
                for record in scope.log_records:
                    raw = record.time_unix_nano or record.observed_time_unix_nano
                    raw = (raw + nanoseconds) // rounded * rounded if rounded else 0
                    record.time_unix_nano = record.observed_time_unix_nano = raw
                    if not stamped:
                        kept = [each for each in record.attributes if each.key != "event.timestamp"]
                        del record.attributes[:]
                        record.attributes.extend(kept)
        return message

    return change


def _held_back(signal: str, seconds: float) -> Change:
    def change(given: Sequence[Timed]) -> list[Timed]:
        late = [replace(each, seconds=each.seconds + seconds * (each.signal == signal)) for each in given]
        return sorted(late, key=lambda each: each.seconds)

    return change


def _twice(given: Sequence[Timed]) -> list[Timed]:
    return [each for one in given for each in (one, one)]


def _in_any_order(seed: int) -> Change:
    def change(given: Sequence[Timed]) -> list[Timed]:
        mixed = random.Random(seed).sample(list(given), len(given))
        return [replace(each, seconds=given[-1].seconds) for each in mixed]

    return change


CHANGES = {
    "10 ms later": _moved(SECOND // 100),
    "50 ms later, not stamped": _moved(SECOND // 20, stamped=False),
    "an hour later": _moved(3_600 * SECOND),
    "an hour later, not stamped": _moved(3_600 * SECOND, stamped=False),
    "an hour before, not stamped": _moved(-3_600 * SECOND, stamped=False),
    "to the second, not stamped": _moved(0, rounded=SECOND, stamped=False),
    "without times": _moved(0, rounded=0),
    "without any times": _moved(0, rounded=0, stamped=False),
    "traces 25 s late": _held_back("traces", 25),
    "logs 30 s late": _held_back("logs", 30),
    "twice": _twice,
    "in another order": _in_any_order(1),
    "in yet another order": _in_any_order(2),
}
CHANGED = [
    *("0.171.0-openai-provider-websocket-code-mode", "0.171.0-appserver-goal", "0.171.0-subagents-nested"),
    *("0.171.0-tui-plain", "0.171.0-websocket-cut-then-ok", "0.163.0-ws-two-turns"),
    *("0.163.0-autocompact-custom", "0.163.0-tui-interrupt", "0.163.0-ws-refused-401"),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", CHANGED)
def test_matching_does_not_rest_on_clocks_or_order(name: str, change: str) -> None:
    name = f"real-use/{name}"
    given = CHANGES[change](sent(name))
    for observation in hold_the_law(name, given).observations:
        assert observation["startTime"] > "2026"


def test_spans_come_one_by_one_in_any_order() -> None:
    """The spans between two that say something tell whose they are, also when they come last."""
    name = "real-use/0.171.0-auto-compaction"
    spans = [
        as_traces([span])
        for each in sent(name)
        if isinstance(each.message, ExportTraceServiceRequest)
        for group in each.message.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]
    random.Random(2).shuffle(spans)
    hold_the_law(name, [Timed(0.0, "traces", each) for each in spans])


# --- what it looks like -------------------------------------------------------------------------------------

TREES = {
    "0.171.0-openai-provider-websocket-code-mode": """
        AGENT codex turn
          GENERATION model call
            TOOL exec
              TOOL exec_command
          GENERATION model call""",
    "0.171.0-code-mode-patch-mcp-parallel": """
        AGENT codex turn
          GENERATION model call
            TOOL exec
              TOOL exec_command
              TOOL exec_command ERROR exit code 2
              TOOL mcp__tiny.good
              TOOL mcp__tiny.bad ERROR failed
          GENERATION model call
            TOOL exec ERROR failed
              TOOL apply_patch
          GENERATION model call""",
    "0.171.0-code-mode-interrupted": """
        AGENT codex turn WARNING interrupted: exec_command was cut off
          GENERATION model call
            TOOL exec WARNING cut off
              TOOL exec_command WARNING cut off""",
    "0.169.0-ws-code-wait": """
        AGENT codex turn
          GENERATION model call
            TOOL exec
              TOOL exec_command
          GENERATION model call
            TOOL wait
          GENERATION model call""",
    "0.171.0-interrupt-while-streaming-text": """
        AGENT codex turn WARNING interrupted while the model answered
          GENERATION model call WARNING the answer broke off: usage not reported""",
    "0.171.0-auto-compaction": """
        AGENT codex turn
          GENERATION model call
            TOOL exec_command
          GENERATION compaction
          GENERATION model call""",
    "0.171.0-review": """
        AGENT review
          AGENT reviewer
            GENERATION model call
              TOOL exec_command
            GENERATION model call""",
    "0.171.0-exec-approve-for-me": """
        AGENT codex turn
          GENERATION model call
            TOOL exec_command
          AGENT guardian
            GENERATION model call
          GENERATION model call""",
    "0.171.0-websocket-errors": """
        AGENT codex turn ERROR exceeded retry limit, last status: 429 Too Many Requests
          GENERATION model call ERROR exceeded retry limit, last status: 429 Too Many Requests
          EVENT stream error ERROR exceeded retry limit, last status: 429 Too Many Requests""",
    "0.163.0-ws-refused-426": """
        AGENT codex turn
          GENERATION model call""",
    "0.171.0-caller-unsampled": """
        AGENT codex turn
          GENERATION model call
            TOOL exec
              TOOL exec_command
          GENERATION model call""",
}


@pytest.mark.parametrize("name", TREES)
def test_what_happened_is_seen(name: str) -> None:
    lines = [line[8:] for line in TREES[name].splitlines()[1:]]
    assert tree(relayed(sent(f"real-use/{name}")).observations) == lines


def test_the_warm_up_is_no_attempt() -> None:
    """The handshake that was refused was the warm-up's."""
    for name in ("0.163.0-ws-refused-426", "0.163.0-ws-cut-then-http"):
        calls = relayed(sent(f"real-use/{name}")).of("GENERATION")
        assert calls[-1]["metadata"]["attempts"] == len(calls)


def test_a_conversation_in_which_nothing_was_asked_is_no_turn() -> None:
    assert relayed(sent("real-use/0.163.0-tui-never-typed")).turns == []


def test_the_service_tier_is_a_model_parameter_and_each_call_has_its_first_token() -> None:
    calls = relayed(sent("real-use/0.163.0-service-tier")).of("GENERATION")
    assert [each["modelParameters"]["service_tier"] for each in calls] == ["priority", "priority"]
    assert all(each["completionStartTime"] for each in calls)


def test_traces_alone_tell_the_first_token_of_each_call() -> None:
    given = sent("real-use/0.171.0-openai-provider-websocket-code-mode")
    calls = relayed([each for each in given if each.signal == "traces"]).of("GENERATION")
    assert len(calls) == 2
    for call in calls:
        assert call["startTime"] <= call["completionStartTime"] <= call["endTime"]


@pytest.mark.parametrize(
    "name", ["0.171.0-exec-approve-for-me", "0.171.0-review", "0.171.0-subagents-nested"]
)
def test_what_runs_under_a_conversation_is_in_its_session(name: str) -> None:
    result = relayed(sent(f"real-use/{name}"))
    (root,) = (each for each in result.observations if each["parentObservationId"] is None)
    assert {each["sessionId"] for each in result.observations} == {root["metadata"]["conversation_id"]}


def test_a_turn_is_in_the_trace_of_its_caller_and_keeps_what_the_caller_says() -> None:
    caller = "4bf92f3577b34da6a3ce929d0e0e4736"
    for name, parent in (
        ("0.171.0-caller", "00f067aa0ba902b7"),
        ("0.171.0-caller-unsampled", None),
    ):
        result = relayed(sent(f"real-use/{name}"))
        assert {each["traceId"] for each in result.observations} == {caller}
        (agent,) = result.of("AGENT")
        assert agent["parentObservationId"] == parent
    assert agent["metadata"]["spans_missing"].startswith("the caller does not sample")
    (agent,) = relayed(sent("real-use/0.171.0-caller")).of("AGENT")
    assert "spans_missing" not in agent["metadata"]
    assert (agent["metadata"]["resource.team"], agent["metadata"]["resource.ci.job"]) == ("payments", "42")


@pytest.mark.parametrize("content", list(Content))
@pytest.mark.parametrize("name", NAMES)
def test_langfuse_shows_each_turn_and_counts_no_tokens_by_itself(name: str, content: Content) -> None:
    """Failed and interrupted turns too, in every content mode."""
    assert not broken(relayed(sent(name), Policy(content=content)).observations)


def test_with_content_each_model_call_shows_what_it_was_asked_and_answered() -> None:
    given = sent("real-use/0.171.0-openai-provider-websocket-code-mode")
    first, second = relayed(given, Policy(content=Content.FULL)).of("GENERATION")
    assert first["input"] == "go"
    assert "tools.exec_command" in first["output"]
    assert "Script completed" in second["input"]
    assert second["output"] == "done"
    withheld = relayed(given).of("GENERATION")
    assert [each["input"] for each in withheld] == [
        *("(prompt not sent, 2 characters)", "(results of exec not sent, 157 characters)"),
    ]


def test_what_does_not_add_up_is_flagged() -> None:
    flags = {
        "0.171.0-interrupt-while-streaming-text": {"usage not reported"},
        "0.171.0-exec-interrupted-tool": {"no end seen"},
        "0.171.0-openai-provider-websocket-code-mode": set(),
    }
    for name, expected in flags.items():
        (turn,) = relayed(sent(f"real-use/{name}")).turns
        assert set(turn.flags) == expected


def test_telemetry_of_other_programs_makes_no_turn_and_is_counted() -> None:
    logs = ExportLogsServiceRequest()
    group = logs.resource_logs.add()
    service = group.resource.attributes.add(key="service.name")
    service.value.string_value = "claude-code"
    record = group.scope_logs.add().log_records.add(time_unix_nano=1)
    record.attributes.add(key="event.name").value.string_value = "user_prompt"
    result = relayed([Timed(0.0, "logs", logs)])
    assert (result.turns, result.assembly.foreign) == ([], 1)


def test_a_turn_whose_process_is_gone_leaves_within_15_seconds_and_says_why() -> None:
    """A sign for `codex exec` only: what else may live on."""
    for name, leaves in (("0.171.0-exec-interrupted-tool", True), ("0.171.0-code-mode-interrupted", False)):
        assembly = Assembly(Policy())
        logs = [each for each in sent(f"real-use/{name}") if each.signal == "logs"]
        for number, each in enumerate(logs):
            assembly.take(number, each.message, 1_000.0, "a connection")
        assembly.connection_closed(99, "a connection", 1_001.0)
        left = assembly.finished(1_016.0)
        assert bool(left) is leaves
        for observation in observed(left):
            if observation["type"] == "AGENT":
                assert observation["metadata"]["end"] == "the process ended"
                assert observation["statusMessage"].startswith("the process ended")
