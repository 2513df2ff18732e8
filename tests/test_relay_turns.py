"""The relay's assembly: one clean trace a turn, whatever order Codex's telemetry comes in."""

import random
import re
import tracemalloc
from collections import Counter

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from codex_langfuse.codex.telemetry import SpanBatch, SpanLink, read_spans
from codex_langfuse.relay import assembly as assembly_module
from codex_langfuse.relay import deadlines
from codex_langfuse.relay.assembly import Assembly, FinishedTurn
from codex_langfuse.relay.policy import Content, Policy, Price, PricedModel, User
from relayed_recordings import (
    BOTH,
    EVERY,
    LOGS,
    TRACES,
    Batch,
    batches,
    observed,
    relay,
    settle,
    tree,
)

pytestmark = [pytest.mark.macos, pytest.mark.windows]

CALL = {
    "input": 200,
    "input_cached_tokens": 1000,
    "input_cache_creation": 0,
    "output": 30,
    "output_reasoning_tokens": 20,
    "total": 1250,
}
SIMPLE_TREE = [
    "AGENT codex turn",
    "  GENERATION model call",
    "    TOOL exec_command",
    "  GENERATION model call",
]
SIMPLE = "0.163.0-simple"


# --- what a turn becomes ------------------------------------------------------------------------------------


def test_simple_turn_is_one_small_trace():
    relayed = relay(batches(SIMPLE))
    assert tree(relayed.observations) == SIMPLE_TREE
    assert len({each["traceId"] for each in relayed.observations}) == 1
    assert relayed.turns[0].summary == "gpt-5-codex, 2 model calls, 1 tool, 2500 tokens"
    assert relayed.assembly.needed_batches() == set()


def test_every_observation_tells_session_environment_version_and_tags():
    relayed = relay(batches(SIMPLE), Policy(tags=("laptop",)))
    for observation in relayed.observations:
        assert observation["sessionId"] == "01a207b0-f439-7c23-b93a-9e215010f620"
        assert observation["environment"] == "test"
        assert observation["version"] == "0.163.0"
        assert observation["tags"] == ["codex", "codex_exec", "laptop"]
        assert observation["traceName"] == "codex turn"
        assert observation["userId"] == ""
        # Langfuse 3 makes a trace of what any of its spans says last: all must say the same.
        trace = observation["trace"]
        assert (trace["sessionId"], trace["environment"], trace["version"], trace["name"]) == (
            *("01a207b0-f439-7c23-b93a-9e215010f620", "test", "0.163.0", "codex turn"),
        )


def test_generations_have_model_times_and_each_token_once():
    relayed = relay(batches(SIMPLE))
    first, second = relayed.of("GENERATION")
    for generation in (first, second):
        assert generation["model"] == "gpt-5-codex"
        assert generation["usageDetails"] == CALL
        assert generation["modelParameters"] == {"reasoning_effort": "default"}
        assert generation["startTime"] < generation["completionStartTime"] <= generation["endTime"]
    # `codex.api_request` at .231744 took 12 ms, the first output came at .232129, the end at .233279.
    assert (first["startTime"], first["completionStartTime"], first["endTime"]) == (
        *("2026-11-23T09:16:07.219Z", "2026-11-23T09:16:07.232Z", "2026-11-23T09:16:07.234Z"),
    )
    assert sum(each["usageDetails"]["total"] for each in (first, second)) == 2500
    metadata = relayed.root["metadata"]
    assert metadata["total_tokens"] == 2500
    assert "tokens_seen" not in metadata


def test_root_has_neither_model_nor_usage_and_tells_the_settings():
    root = relay(batches(SIMPLE)).root
    assert (root["model"], root["usageDetails"], root["totalCost"]) == ("", {}, 0)
    told = {
        "approval_policy": "never",
        "sandbox_policy": "danger-full-access",
        "mcp_server_count": 0,
        "model": "gpt-5-codex",
        "provider": "mock",
        "reasoning_summary": "auto",
        "prompt_length": 23,
        "turn_id": "01a207b0-f45f-7393-b2a9-9b9d16e1c29b",
        "input_tokens": 2400,
        "cached_input_tokens": 2000,
        "output_tokens": 100,
        "reasoning_output_tokens": 40,
        "time_to_first_token_ms": 91,
        "signals": "logs and traces",
        "end": "reported by Codex",
    }
    assert {key: root["metadata"].get(key) for key in told} == told
    assert root["input"] == "(prompt not sent, 23 characters)"


def test_tool_tells_duration_decision_and_lengths():
    (tool,) = relay(batches(SIMPLE)).of("TOOL")
    assert tool["latency"] == 0.056
    told = {
        "decision": "approved",
        "decision_source": "config",
        "success": True,
        "exit_code": 0,
        "arguments_length": 31,
        "output_length": 118,
        "call_id": "call_0_0",
    }
    assert {key: tool["metadata"].get(key) for key in told} == told


def test_price_table_gives_the_cost_and_only_once():
    prices = {"input": 1e-6, "input_cached_tokens": 1e-7, "output": 1e-5, "output_reasoning_tokens": 1e-5}
    priced = PricedModel(re.compile("gpt-5-codex"), {"": Price(prices)})
    relayed = relay(batches(SIMPLE), Policy(prices=(priced,)))
    cost = 200e-6 + 1000e-7 + 50e-5
    assert [each["totalCost"] for each in relayed.of("GENERATION")] == pytest.approx([cost, cost])
    assert relayed.root["totalCost"] == 0


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("off", ""),
        ("alice", "alice"),
        ("account-id", "ACCTMARK-1"),
        ("email", "EMAILMARK@example.com"),
    ],
)
def test_user_only_as_asked_for(user: str, expected: str):
    relayed = relay(batches("0.169.0-privacy-lup_true_agentresp"), Policy(user=User.parse(user)))
    assert {each["userId"] for each in relayed.observations} == {expected}


def test_environment_can_be_overridden():
    relayed = relay(batches(SIMPLE), Policy(environment="Staging"))
    assert {each["environment"] for each in relayed.observations} == {"staging"}


# --- what went wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", list(Content))
@pytest.mark.parametrize("signals", [BOTH, LOGS])
def test_command_that_exits_with_3_has_failed(signals: tuple[str, ...], content: Content):
    relayed = relay(batches("0.169.0-err-tool_exit3", signals), Policy(content=content))
    (tool,) = relayed.of("TOOL")
    assert (tool["level"], tool["statusMessage"]) == ("ERROR", "exit code 3")
    assert tool["metadata"]["success"] is True  # which is what Codex says
    assert relayed.root["level"] == "DEFAULT"


TOLD = {
    "0.169.0-appserver-decline": [
        "AGENT codex turn",
        "  GENERATION model call",
        "    TOOL exec_command WARNING denied by user",
        "  GENERATION model call",
    ],
    "0.169.0-err-api_429_then_ok": [
        "AGENT codex turn",
        "  EVENT api error WARNING 429 Too Many Requests",
        "  GENERATION model call",
    ],
    "relay/0.163.0-interrupt": [
        "AGENT codex turn WARNING interrupted: exec_command was cut off",
        "  GENERATION model call",
        "    TOOL exec_command WARNING cut off",
    ],
    "relay/0.163.0-interrupt-logs": [
        "AGENT codex turn WARNING no end seen: silence while a tool ran or waited for approval",
        "  GENERATION model call",
        "    TOOL exec_command WARNING no end seen",
    ],
    "relay/0.163.0-cancel": [
        "AGENT codex turn WARNING interrupted: exec_command was cut off",
        "  GENERATION model call",
        "    TOOL exec_command WARNING cut off",
    ],
    "relay/0.163.0-500-for-good": [
        "AGENT codex turn ERROR the model request failed: 500 Internal Server Error",
        *["  EVENT api error WARNING 500 Internal Server Error"] * 3,
        "  EVENT api error ERROR 500 Internal Server Error",
    ],
    "0.169.0-subagent": [
        "AGENT codex turn",
        "  GENERATION model call",
        "    TOOL spawn_agent",
        "  AGENT sub-agent",
        "    GENERATION model call",
        "  GENERATION model call",
        "    TOOL wait_agent",
        "  GENERATION model call",
    ],
    "relay/0.163.0-long-stream-logs": ["AGENT codex turn", "  GENERATION model call"],
    # A prompt written while the turn ran: one turn, as Codex has it.
    "relay/0.163.0-steer": [
        "AGENT codex turn",
        *["  GENERATION model call", "    TOOL exec_command"] * 2,
        "  GENERATION model call",
    ],
    "relay/0.163.0-steer-logs": [
        "AGENT codex turn",
        *["  GENERATION model call", "    TOOL exec_command"] * 2,
        "  GENERATION model call",
    ],
    "relay/0.163.0-two-turns": ["AGENT codex turn", "  GENERATION model call"] * 2,
    "relay/0.163.0-two-turns-logs": ["AGENT codex turn", "  GENERATION model call"] * 2,
    "0.169.0-exec-resume": ["AGENT codex turn", "  GENERATION model call"] * 2,
    "0.169.0-tui-ok": [
        "AGENT codex turn",
        "  GENERATION model call",
        "AGENT title generation",
        "  GENERATION model call",
    ],
    "0.169.0-privacy-lup_true_agentresp": [
        "AGENT codex turn",
        *["  GENERATION model call", "    TOOL exec_command"] * 2,
        "    TOOL mcp__mcpsrvmark.lookup",
        "  GENERATION model call",
    ],
}


@pytest.mark.parametrize("name", TOLD)
def test_what_happened_is_seen(name: str):
    assert tree(relay(batches(name)).observations) == TOLD[name]


@pytest.mark.parametrize("name", TOLD)
def test_either_signal_may_come_first(name: str):
    logs_first = [*batches(name, LOGS), *batches(name, TRACES)]
    traces_first = [*batches(name, TRACES), *batches(name, LOGS)]
    one, other = relay(logs_first, every=0.5), relay(traces_first, every=0.5)
    assert tree(one.observations) == tree(other.observations) == TOLD[name]
    assert _by_id(one.observations) == _by_id(other.observations)


def test_an_answer_that_breaks_off_and_is_asked_for_again():
    """Codex writes `codex.sse_event` with `error.message` and no kind, and then asks again."""
    records = _each_record(batches("relay/0.163.0-long-stream-logs"))
    delta = next(
        n for n, batch in enumerate(records) if _value(batch, "event.kind") == "response.output_text.delta"
    )
    asked = next(n for n, batch in enumerate(records) if _value(batch, "event.name") == "codex.api_request")
    broken = _later(_changed(records[delta], "event.kind", ""), 0)
    (record,) = broken.resource_logs[0].scope_logs[0].log_records
    message = record.attributes.add(key="error.message")
    message.value.string_value = "stream disconnected before completion: /home/dev said no"
    again = [_later(batch, 1_000_000_000) for batch in records[asked:]]
    given_ = [*records[: delta + 1], _later(broken, 1_000), *again]
    for content in (Content.NONE, Content.FULL):
        relayed = relay(given_, Policy(content=content), every=0.01)
        told = "stream disconnected before completion" + (
            ": /home/dev said no" if content is Content.FULL else ""
        )
        assert tree(relayed.observations) == [
            "AGENT codex turn",
            f"  GENERATION model call ERROR {told}",
            f"  EVENT stream error WARNING {told}",
            "  GENERATION model call",
        ]
        assert [each["usageDetails"] for each in relayed.of("GENERATION")] == [{}, CALL]
        assert relayed.of("GENERATION")[1]["metadata"]["attempts"] == 2


def test_turns_of_one_conversation_share_the_session_and_nothing_else():
    relayed = relay(batches("0.169.0-exec-resume"))
    assert len(relayed.turns) == 2
    assert len({each["traceId"] for each in relayed.observations}) == 2
    assert len({each["sessionId"] for each in relayed.observations}) == 1


def test_sub_agent_has_its_own_tokens_under_its_parent_in_the_session_of_the_parent():
    for name in ("0.169.0-subagent", "relay/0.163.0-sub-agent-logs"):
        relayed = relay(batches(name))
        assert len(relayed.turns) == 1
        parent, child = relayed.of("AGENT")
        assert child["parentObservationId"] == parent["id"]
        assert (parent["metadata"]["total_tokens"], child["metadata"]["total_tokens"]) == (3750, 1250)
        assert parent["metadata"]["conversation_id"] != child["metadata"]["conversation_id"]
        assert {each["sessionId"] for each in relayed.observations} == {parent["metadata"]["conversation_id"]}
        assert sum(each["usageDetails"]["total"] for each in relayed.of("GENERATION")) == 5000


@pytest.mark.parametrize("signals", [BOTH, LOGS, TRACES])
def test_title_generation_is_recognised(signals: tuple[str, ...]):
    relayed = relay(batches("0.169.0-tui-ok", signals))
    turn, title = relayed.of("AGENT")
    assert (turn["name"], title["name"]) == ("codex turn", "title generation")
    assert "title-generation" in title["tags"]
    assert "title-generation" not in turn["tags"]


def test_title_generation_is_recognised_by_logs_alone_when_prompts_are_not_logged():
    given = [_changed(batch, "prompt", "[REDACTED]") for batch in batches("0.169.0-tui-ok", LOGS)]
    assert [each["name"] for each in relay(given).of("AGENT")] == ["codex turn", "title generation"]


# --- duplicates, losses, lateness ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", TOLD)
def test_a_batch_that_comes_twice_changes_nothing(name: str):
    twice = [each for batch in batches(name) for each in (batch, batch)]
    once = relay(batches(name))
    assert _by_id(relay(twice, every=0.1).observations) == _by_id(once.observations)


@pytest.mark.parametrize("name", ["0.163.0-simple", "0.169.0-subagent", "0.114.0-simple"])
def test_what_comes_after_a_turn_left_is_dropped(name: str):
    relayed = relay([*batches(name)])
    assembly = relayed.assembly
    for number, batch in enumerate(batches(name), start=100):
        assembly.take(number, batch, 9_000.0 + number)
    assert [*settle(assembly), *assembly.close(20_000.0)] == []
    assert assembly.dropped > 0
    assert assembly.needed_batches() == set()


@pytest.mark.parametrize("name", ["0.163.0-simple", "0.98.0-simple", "0.169.0-subagent"])
def test_spans_that_come_after_a_turn_left_are_dropped(name: str):
    assembly = relay(batches(name, LOGS)).assembly
    for number, batch in enumerate(batches(name, TRACES), start=100):
        assembly.take(number, batch, 9_000.0)
    late = [*settle(assembly), *assembly.close(20_000.0)]
    assert tree(observed(late)) == []


@pytest.mark.parametrize("name", EVERY)
def test_without_any_one_batch_nothing_is_told_twice(name: str):
    given = batches(name)
    for missing in range(len(given)):
        relayed = relay([each for number, each in enumerate(given) if number != missing])
        counts = Counter((each["traceId"], each["id"]) for each in relayed.observations)
        assert not [each for each, count in counts.items() if count > 1]
        told = sum(each["usageDetails"].get("total", 0) for each in relayed.of("GENERATION"))
        assert told <= sum(each["usageDetails"].get("total", 0) for each in relay(given).of("GENERATION"))


def test_a_lost_batch_of_logs_is_made_up_for_by_spans():
    relayed = relay([*_each_record(batches(SIMPLE, LOGS))[:6], *batches(SIMPLE, TRACES)], every=0.01)
    assert tree(relayed.observations) == SIMPLE_TREE
    assert [each["usageDetails"] for each in relayed.of("GENERATION")] == [CALL, CALL]


@pytest.mark.parametrize("signals", [BOTH, LOGS, TRACES])
@pytest.mark.parametrize("name", ["0.163.0-simple", "0.169.0-subagent", "relay/0.163.0-two-turns"])
def test_batches_can_be_cut_anywhere(name: str, signals: tuple[str, ...]):
    whole = relay(batches(name, signals))
    cut = relay(_each_record(batches(name, signals)), every=0.001)
    assert _by_id(cut.observations) == _by_id(whole.observations)


# --- when a turn is over ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "signals", "seconds"),
    [
        ("0.163.0-simple", BOTH, deadlines.SETTLE),  # Codex said so
        ("0.44.0-simple", LOGS, deadlines.UNSURE),  # the answer may have held a call of a tool
        ("relay/0.163.0-long-stream-logs", LOGS, deadlines.SETTLE),  # it was streamed as text
        ("relay/0.163.0-interrupt-logs", LOGS, deadlines.NO_RESULT),  # a tool runs
        ("relay/0.163.0-500-for-good", LOGS, deadlines.AFTER_ERROR),
    ],
)
def test_a_turn_leaves_when_it_is_over(name: str, signals: tuple[str, ...], seconds: float):
    assembly = Assembly(Policy())
    for number, batch in enumerate(batches(name, signals)):
        assembly.take(number, batch, 1_000.0)
    assert assembly.next_deadline() == 1_000.0 + seconds
    assert assembly.finished(1_000.0 + seconds - 0.01) == []
    assert assembly.needed_batches()
    assert len(assembly.finished(1_000.0 + seconds)) == 1
    assert assembly.next_deadline() is None
    assert assembly.needed_batches() == set()


def test_the_next_prompt_ends_a_turn_without_spans():
    assembly = Assembly(Policy())
    first, second = _split_at_second_prompt("relay/0.163.0-two-turns-logs")
    assembly.take(1, first, 1_000.0)
    assembly.take(2, second, 1_003.0)
    (turn,) = assembly.finished(1_005.0)
    assert observed([turn])[0]["metadata"]["end"] == "the next prompt"
    assert 2 in assembly.needed_batches()


def test_close_lets_every_turn_go_as_it_stands():
    records = _each_record(batches(SIMPLE, LOGS))
    assembly = Assembly(Policy())
    for number, batch in enumerate(records[:11]):  # up to the decision on the tool
        assembly.take(number, batch, 1_000.0)
    (turn,) = assembly.close(1_001.0)
    root = observed([turn])[0]
    assert (root["level"], root["metadata"]["end"]) == ("WARNING", "the relay stopped")
    assert assembly.close(1_002.0) == []


def test_a_sub_agent_that_outlives_its_parent_joins_the_trace():
    """Its turn leaves later, as more observations under the parent's."""
    records = _each_record(batches("relay/0.163.0-sub-agent-logs"))
    child = next(
        _value(batch, "conversation.id") for batch in records if _value(batch, "agent.type") == "subagent"
    )
    end = next(n for n, batch in enumerate(records) if _value(batch, "agent.type") == "subagent")
    late = {
        n
        for n, batch in enumerate(records)
        if _value(batch, "conversation.id") == child and _value(batch, "event.name") == "codex.sse_event"
    } | {end}
    assembly = Assembly(Policy())
    for number, batch in enumerate(records):
        if number not in late:
            assembly.take(number, batch, 1_000.0)
    (parent,) = assembly.finished(1_000.0 + deadlines.SETTLE)
    assert [each["name"] for each in observed([parent]) if each["type"] == "AGENT"] == ["codex turn"]
    for number in sorted(late):
        assembly.take(number, records[number], 1_006.0)
    (later,) = settle(assembly)
    root = observed([parent])[0]
    agent, generation = observed([later])
    assert (agent["type"], agent["name"]) == ("AGENT", "sub-agent")
    assert (agent["traceId"], agent["parentObservationId"]) == (root["traceId"], root["id"])
    assert (agent["sessionId"], generation["usageDetails"]) == (root["sessionId"], CALL)


def test_a_turn_that_goes_on_after_it_left_continues_in_its_trace():
    records = _each_record(batches(SIMPLE, LOGS))
    tool_result = next(
        n for n, batch in enumerate(records) if b"codex.tool_result" in batch.SerializeToString()
    )
    assembly = Assembly(Policy())
    for number, batch in enumerate(records[:tool_result]):
        assembly.take(number, batch, 1_000.0)
    first = observed(assembly.finished(1_000.0 + deadlines.NO_RESULT))
    for number, batch in enumerate(records[tool_result:], start=100):
        assembly.take(number, batch, 9_000.0)
    later = observed(settle(assembly))
    assert {each["traceId"] for each in later} == {first[0]["traceId"]}
    assert {each["parentObservationId"] for each in later} == {first[0]["id"]}
    assert not {each["id"] for each in first} & {each["id"] for each in later}
    generations = [each for each in [*first, *later] if each["type"] == "GENERATION"]
    assert [each["usageDetails"] for each in generations] == [CALL, CALL]


# --- restarts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TOLD)
def test_the_same_batches_make_the_same_bytes(name: str):
    one, other = relay(batches(name)), relay(batches(name), every=0.0)
    assert sorted(each.trace for each in one.turns) == sorted(each.trace for each in other.turns)
    assert sorted(each.key for each in one.turns) == sorted(each.key for each in other.turns)


@pytest.mark.parametrize("name", TOLD)
def test_what_was_sent_before_a_restart_is_not_sent_again(name: str):
    keys = [turn.key for turn in relay(batches(name)).turns]

    def restart(assembly: Assembly) -> None:
        for key in keys:
            assembly.already_sent(key)

    assert relay(batches(name), prepare=restart).turns == []


def test_needed_batches_suffice_to_do_a_turn_again():
    """What `needed_batches` gave up is not missed after a restart."""
    first, second = _split_at_second_prompt("relay/0.163.0-two-turns-logs")
    assembly = Assembly(Policy())
    assembly.take(1, first, 1_000.0)
    (sent,) = assembly.finished(2_000.0)
    assembly.take(2, second, 2_001.0)
    assert assembly.needed_batches() == {2}
    expected = settle(assembly)
    again = Assembly(Policy())
    again.already_sent(sent.key)
    again.take(2, second, 3_000.0)
    # Only the settings, told when the conversation began, are gone.
    forgotten = {"approval_policy", "sandbox_policy", "provider", "mcp_server_count", "reasoning_summary"}
    wanted, found = observed(expected), observed(settle(again))
    for observations in (wanted, found):
        for observation in observations:
            for key in forgotten:
                observation["metadata"].pop(key, None)
                observation["trace"]["metadata"].pop(key, None)
    assert found == wanted


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_restarts_at_any_moment_lose_nothing_and_repeat_nothing(data: st.DataObject):
    """As the server does it: a batch is on disk before it is fed, until it is not needed."""
    name = data.draw(
        st.sampled_from(["relay/0.163.0-two-turns", "0.169.0-subagent", "0.44.0-simple", SIMPLE])
    )
    pieces = data.draw(st.integers(1, 8))
    random_ = random.Random(data.draw(st.integers(0, 2**32)))
    records = _each_record(batches(name))
    size = max(1, len(records) // pieces)
    given_ = [_joined(records[at : at + size]) for at in range(0, len(records), size)]
    given_ = [batch for part in given_ for batch in part]

    disk: dict[int, Batch] = {}
    sent: dict[str, bytes] = {}
    assembly = Assembly(Policy())
    now = 1_000.0

    def finish(at: float) -> None:
        for turn in assembly.finished(at):
            assert turn.key not in sent
            sent[turn.key] = turn.trace
        needed = assembly.needed_batches()
        for batch_id in [each for each in disk if each not in needed]:
            del disk[batch_id]

    for number, batch in enumerate(given_):
        disk[number] = batch
        assembly.take(number, batch, now)
        if random_.random() < 0.5:
            finish(now)
        if random_.random() < 0.4:  # killed, and started again
            assembly = Assembly(Policy())
            for key in sent:
                assembly.already_sent(key)
            for batch_id in sorted(disk):
                assembly.take(batch_id, disk[batch_id], now)
        now += 0.5
    while (deadline := assembly.next_deadline()) is not None:
        finish(deadline)
    assert disk == {}
    whole = relay(batches(name))
    observations = observed(FinishedTurn(key, trace, "") for key, trace in sent.items())
    assert _by_id(observations) == _by_id(whole.observations)
    assert len(observations) == len(whole.observations)


# --- costs --------------------------------------------------------------------------------------------------

COST = {"event.name": "codex.turn_cost", "turn.id": "01a207b0-f45f-7393-b2a9-9b9d16e1c29b"}


def test_cost_that_comes_in_time_is_in_the_trace():
    relayed = relay([*batches(SIMPLE), _cost_batch()], every=0.5)
    (event,) = relayed.of("EVENT")
    assert (event["name"], event["statusMessage"]) == ("turn cost", "$0.012300")
    assert event["parentObservationId"] == relayed.root["id"]
    assert relayed.root["metadata"]["estimated_usd"] == 0.0123


@pytest.mark.parametrize("signals", [BOTH, LOGS])
@pytest.mark.parametrize("restarted", [False, True])
def test_cost_that_comes_late_joins_the_trace(signals: tuple[str, ...], restarted: bool):
    """Without spans the id of the turn is unknown; it holds the time when it was made."""
    before = relay(batches(SIMPLE, signals))
    assembly = before.assembly
    if restarted:
        assembly = Assembly(Policy())
        assembly.already_sent(before.turns[0].key)
    assembly.take(100, _cost_batch(), 5_000.0)
    assembly.take(101, _cost_batch(), 5_000.0)
    assert 100 in assembly.needed_batches()
    (late,) = assembly.finished(5_000.0)
    assert assembly.needed_batches() == set()
    (event,) = observed([late])
    assert (event["type"], event["name"], event["metadata"]["estimated_usd"]) == (
        "EVENT",
        "turn cost",
        0.0123,
    )
    assert event["traceId"] == before.root["traceId"]
    assert event["parentObservationId"] == before.root["id"]
    assert event["sessionId"] == before.root["sessionId"]


# --- anything at all ----------------------------------------------------------------------------------------

_ANYTHING = st.one_of(st.text(max_size=40), st.integers(-(2**63), 2**63 - 1), st.booleans(), st.floats())


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_strange_content_never_raises_and_never_breaks_a_trace(data: st.DataObject):
    name = data.draw(st.sampled_from(["0.44.0-simple", "0.73.0-simple", "relay/0.163.0-steer-logs", SIMPLE]))
    random_ = random.Random(data.draw(st.integers(0, 2**32)))
    values = data.draw(st.lists(_ANYTHING, min_size=3, max_size=8))
    changed = []
    for batch in batches(name):
        batch = type(batch).FromString(batch.SerializeToString())
        for item in _key_values(batch):
            if random_.random() < 0.04:
                value = random_.choice(values)
                item.value.Clear()
                if isinstance(value, bool):
                    item.value.bool_value = value
                elif isinstance(value, int):
                    item.value.int_value = value
                elif isinstance(value, float):
                    item.value.double_value = value
                else:
                    item.value.string_value = value
        changed.append(batch)
    random_.shuffle(changed)
    relayed = relay(changed, Policy(content=random_.choice(list(Content))))
    for observation in relayed.observations:
        assert observation["type"] in {"AGENT", "GENERATION", "TOOL", "EVENT"}
        assert all(value >= 0 for value in observation["usageDetails"].values())
    counts = Counter((each["traceId"], each["id"]) for each in relayed.observations)
    assert set(counts.values()) <= {1}


@pytest.mark.parametrize("name", EVERY)
def test_spans_decoded_in_part_say_the_same_as_spans_decoded_whole(name: str):
    for batch in batches(name, TRACES):
        part, whole = read_spans(SpanBatch.parse(batch.SerializeToString())), read_spans(batch)
        links = [{each for each in read if isinstance(each, SpanLink)} for read in (part, whole)]
        assert links[0] == links[1]
        one, other = ([each for each in read if not isinstance(each, SpanLink)] for read in (part, whole))
        assert one == other


@settings(max_examples=200)
@given(start=st.integers(0, 40_000), cut=st.integers(1, 400), junk=st.binary(max_size=40), swap=st.booleans())
def test_what_is_no_traces_request_is_refused_or_read_never_a_crash(
    start: int, cut: int, junk: bytes, swap: bool
):
    body = batches("0.114.0-simple", TRACES)[0].SerializeToString()
    broken = body[:start] + junk + body[start + cut :] if swap else junk + body[start:]
    try:
        batch = SpanBatch.parse(broken)
    except DecodeError:
        return
    assembly = Assembly(Policy())
    assembly.take(1, batch, 1_000.0)
    observed(assembly.close(1_001.0))


@pytest.mark.parametrize("name", ["0.163.0-simple", "0.44.0-simple"])
def test_logs_are_no_traces(name: str):
    (logs,) = batches(name, LOGS)
    with pytest.raises(DecodeError):
        SpanBatch.parse(logs.SerializeToString())


@pytest.mark.parametrize("name", EVERY)
def test_what_leaves_is_written_as_the_library_writes_it(name: str):
    for turn in relay(batches(name), Policy(content=Content.FULL, tags=("ä", "b"))).turns:
        assert ExportTraceServiceRequest.FromString(turn.trace).SerializeToString() == turn.trace


@pytest.mark.slow
def test_ten_thousand_open_conversations_fit():
    (batch,) = batches("0.44.0-simple")
    body = batch.SerializeToString()
    conversation = b"01a207b0-38fb-"
    at = body.index(conversation)
    id_ = body[at : at + 36]
    assembly = Assembly(Policy(content=Content.FULL))
    tracemalloc.start()
    for number in range(500):
        other = body.replace(id_, b"%s%012d" % (id_[:24], number))
        assembly.take(number, ExportLogsServiceRequest.FromString(other), 1_000.0)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held / 500 < 15_000  # bytes a turn in progress; 10,000 of them are under 150 MB
    assert len(assembly.close(1_001.0)) == 500


def test_too_many_turns_leave_as_they_stand(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(assembly_module, "MOST_TURNS", 3)
    (batch,) = batches("0.44.0-simple")
    assembly = Assembly(Policy())
    for number in range(10):
        other = _changed(batch, "conversation.id", f"01a207b0-0000-7000-8000-{number:012d}")
        assembly.take(number, other, 1_000.0)
    assert len(assembly.finished(1_000.0)) == 7
    assert len(assembly.finished(2_000.0)) == 3


# --- helpers ------------------------------------------------------------------------------------------------


def _by_id(observations: list[dict]) -> dict[tuple[str, str], dict]:
    """Return the observations by their ids; what depends on which signals were there does not count."""
    return {(each["traceId"], each["id"]): each for each in observations}


def _each_record(given: list[Batch]) -> list[Batch]:
    """Return the same records, each in a batch of its own."""
    cut: list[Batch] = []
    for batch in given:
        if isinstance(batch, ExportLogsServiceRequest):
            for group in batch.resource_logs:
                for scope in group.scope_logs:
                    for record in scope.log_records:
                        one = ExportLogsServiceRequest()
                        one.resource_logs.add().resource.CopyFrom(group.resource)
                        one.resource_logs[0].scope_logs.add().log_records.append(record)
                        cut.append(one)
        else:
            for group in batch.resource_spans:
                for scope in group.scope_spans:
                    for span in scope.spans:
                        one = ExportTraceServiceRequest()
                        one.resource_spans.add().resource.CopyFrom(group.resource)
                        one.resource_spans[0].scope_spans.add().spans.append(span)
                        cut.append(one)
    return cut


def _joined(records: list[Batch]) -> list[Batch]:
    """Return the records in as few batches as their order lets."""
    joined: list[Batch] = []
    for record in records:
        if not joined or type(joined[-1]) is not type(record):
            joined.append(type(record)())
        joined[-1].MergeFrom(record)
    return joined


def _split_at_second_prompt(name: str) -> tuple[Batch, Batch]:
    records = _each_record(batches(name, LOGS))
    prompts = [n for n, batch in enumerate(records) if b"codex.user_prompt" in batch.SerializeToString()]
    halves = []
    for part in (records[: prompts[1]], records[prompts[1] :]):
        whole = ExportLogsServiceRequest()
        for batch in part:
            whole.MergeFrom(batch)
        halves.append(whole)
    return halves[0], halves[1]


def _key_values(batch: Batch):
    if isinstance(batch, ExportLogsServiceRequest):
        for group in batch.resource_logs:
            yield from group.resource.attributes
            for scope in group.scope_logs:
                for record in scope.log_records:
                    yield from record.attributes
    else:
        for group in batch.resource_spans:
            yield from group.resource.attributes
            for scope in group.scope_spans:
                for span in scope.spans:
                    yield from span.attributes
                    for event in span.events:
                        yield from event.attributes


def _value(batch: Batch, key: str) -> str | None:
    return next((item.value.string_value for item in _key_values(batch) if item.key == key), None)


def _changed(batch: Batch, key: str, value: str) -> Batch:
    batch = type(batch).FromString(batch.SerializeToString())
    for item in _key_values(batch):
        if item.key == key:
            item.value.string_value = value
    return batch


def _later(batch: Batch, nanoseconds: int) -> Batch:
    batch = type(batch).FromString(batch.SerializeToString())
    for group in batch.resource_logs:
        for scope in group.scope_logs:
            for record in scope.log_records:
                record.observed_time_unix_nano += nanoseconds
                kept = [each for each in record.attributes if each.key != "event.timestamp"]
                del record.attributes[:]
                record.attributes.extend(kept)
    return batch


def _cost_batch() -> ExportLogsServiceRequest:
    """Return `codex.turn_cost` as Codex 0.149 and newer write it (attributes of facts on 0.169)."""
    cost = ExportLogsServiceRequest()
    template = next(iter(_each_record(batches(SIMPLE, LOGS))))
    cost.CopyFrom(template)
    record = cost.resource_logs[0].scope_logs[0].log_records[0]
    record.observed_time_unix_nano += 150 * 10**9
    kept = [
        item
        for item in record.attributes
        if item.key in {"conversation.id", "app.version", "originator", "model"}
    ]
    del record.attributes[:]
    record.attributes.extend(kept)
    for key, value in {**COST, "usage.estimated_usd": "0.0123000000"}.items():
        item = record.attributes.add(key=key)
        item.value.string_value = value
    interrupted = record.attributes.add(key="turn.interrupted")
    interrupted.value.bool_value = False
    return cost
