"""From spans to observations: what was measured on a real Langfuse 4.16.0."""

import json
from typing import Any

import pytest

from codex_langfuse.mock.langfuse.observations import observations_of, shown
from codex_langfuse.mock.langfuse.otlp import parse_otlp_json, parse_protobuf
from harness import otlp_json

NOTHING: dict[str, Any] = {}


def observe(
    attributes: dict[str, Any], resource: dict[str, Any] = NOTHING, scope: str = "codex_exec", **fields: Any
) -> dict[str, Any]:
    """The one observation that Langfuse shows for a span with these attributes."""
    body = otlp_json.export(otlp_json.span(attributes, **fields), resource=resource, scope=scope)
    (row,) = observations_of(parse_otlp_json(body), project_id="proj1", received=1_795_425_400_000)
    return shown(row)


USAGE = {
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.cache_read.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 50,
    "gen_ai.usage.reasoning.output_tokens": 20,
}
COUNTED = {
    "input": 200,
    "output": 30,
    "input_cached_tokens": 1000,
    "output_reasoning_tokens": 20,
    "total": 1250,
}
GPT_5 = {
    "input": 0.00025,
    "input_cached_tokens": 0.000125,
    "output": 0.0003,
    "output_reasoning_tokens": 0.0002,
    "total": 0.000875,
}


@pytest.mark.parametrize(
    ("attributes", "kind", "usage", "costs"),
    [
        ({"model": "gpt-5", **USAGE}, "GENERATION", COUNTED, GPT_5),
        ({"model": "openai/gpt-5", **USAGE}, "GENERATION", COUNTED, GPT_5),
        ({"model": "gpt-5-codex", **USAGE}, "GENERATION", COUNTED, {}),
        (USAGE, "SPAN", COUNTED, {}),
        ({"llm.response.model": "gpt-5", **USAGE}, "SPAN", COUNTED, GPT_5),
        ({"model": "gpt-5-codex", "gen_ai.usage.cost": 0.5, **USAGE}, "GENERATION", COUNTED, {"total": 0.5}),
        ({"model": "gpt-5"}, "GENERATION", {}, {}),
        ({"model": "gpt-5", "gen_ai.operation.name": "invoke_agent", **USAGE}, "AGENT", {}, {}),
    ],
)
def test_usage_and_cost_as_measured(
    attributes: dict[str, Any], kind: str, usage: dict[str, int], costs: dict[str, float]
) -> None:
    found = observe(attributes)
    assert (found["type"], found["usageDetails"], found["costDetails"]) == (kind, usage, costs)
    assert found["totalCost"] == costs.get("total", 0)


def test_the_newer_codex_model_costs_what_was_measured() -> None:
    assert observe({"model": "gpt-5.3-codex", **USAGE})["totalCost"] == 0.001225


def test_cache_writes_under_codexs_name_are_counted_twice() -> None:
    found = observe({"model": "gpt-5", "gen_ai.usage.cache_write.input_tokens": 100, **USAGE})
    assert found["usageDetails"] == {"cache_write.input_tokens": 100, **COUNTED, "total": 1350}
    assert found["totalCost"] == 0.000875


def test_langfuses_own_usage_attribute_wins() -> None:
    given_usage = {"input": 200, "input_cached_tokens": 1000, "output": 30, "output_reasoning_tokens": 20}
    found = observe(
        {"model": "gpt-5", "langfuse.observation.usage_details": json.dumps(given_usage), **USAGE}
    )
    assert (found["usageDetails"], found["costDetails"]) == (COUNTED, GPT_5)


def test_parts_of_a_given_cost_without_total_leave_the_total_at_nothing() -> None:
    parts = {"input": 1, "input_cached_tokens": 2}
    found = observe({"langfuse.observation.cost_details": json.dumps(parts)})
    assert (found["costDetails"], found["totalCost"], found["inputCost"]) == (parts, 0, 3)


@pytest.mark.parametrize(
    ("tier", "total"), [("default", 0.000875), ("priority", 0.00175), ("fast", 0.00175), ("flex", 0.0004375)]
)
def test_the_service_tier_decides_the_price(tier: str, total: float) -> None:
    assert observe({"model": "gpt-5", "gen_ai.request.service_tier": tier, **USAGE})["totalCost"] == total


def test_a_large_context_costs_more() -> None:
    found = observe({"model": "gpt-5.4", "gen_ai.usage.input_tokens": 272_001})
    assert found["usagePricingTierName"] == "Large Context (>272K)"
    assert (
        observe({"model": "gpt-5.4", "gen_ai.usage.input_tokens": 272_000})["usagePricingTierName"]
        == "Standard"
    )


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({}, "SPAN"),
        ({"model": "x", "langfuse.observation.type": "span"}, "SPAN"),
        ({"model": "x", "langfuse.observation.type": "SPAN"}, "GENERATION"),
        ({"langfuse.observation.type": "event"}, "EVENT"),
        ({"openinference.span.kind": "LLM"}, "GENERATION"),
        ({"gen_ai.operation.name": "execute_tool"}, "TOOL"),
        ({"gen_ai.operation.name": "chat"}, "GENERATION"),
        ({"gen_ai.tool.call.id": "1", "model": "x"}, "TOOL"),
        ({"tool_name": "exec_command", "call_id": "1"}, "SPAN"),
        ({"model": ""}, "SPAN"),
    ],
)
def test_type(attributes: dict[str, Any], kind: str) -> None:
    assert observe(attributes)["type"] == kind


@pytest.mark.parametrize(
    ("attributes", "resource", "environment"),
    [
        ({}, {"env": "test"}, "default"),
        ({}, {"deployment.environment.name": "qa"}, "qa"),
        ({"deployment.environment": "span"}, {"deployment.environment": "resource"}, "span"),
        ({"deployment.environment": "span"}, {"langfuse.environment": "resource"}, "resource"),
        ({"langfuse.environment": "Langfuse-Staging"}, {}, "staging"),
        ({"langfuse.environment": "a b"}, {}, "default"),
        ({"langfuse.environment": "x" * 50}, {}, "x" * 40),
        ({"langfuse.environment": 5}, {}, "default"),
    ],
)
def test_environment(attributes: dict[str, Any], resource: dict[str, Any], environment: str) -> None:
    assert observe(attributes, resource)["environment"] == environment


def test_what_a_relay_or_span_attributes_may_set() -> None:
    found = observe(
        {
            "user.id": "alice",
            "session.id": "mine",
            "langfuse.trace.tags": "codex, cli",
            "langfuse.trace.name": "codex-turn",
            "langfuse.trace.public": True,
            "langfuse.release": "r1",
            "langfuse.observation.level": "warn",
            "langfuse.observation.status_message": "slow",
            "langfuse.observation.completion_start_time": "2026-11-23T09:16:07.500Z",
            "langfuse.observation.input": '{"prompt_length": 23}',
            "langfuse.observation.output": "done",
            "langfuse.observation.metadata.turn.tokens": 7,
            "langfuse.observation.model.parameters": '{"effort":"high","n":1,"s":true}',
        },
        {"service.version": "0.163.0"},
    )
    assert (found["userId"], found["sessionId"], found["tags"]) == ("alice", "mine", ["codex", "cli"])
    assert (found["traceName"], found["public"], found["release"]) == ("codex-turn", True, "r1")
    assert (found["version"], found["level"], found["statusMessage"]) == ("0.163.0", "WARNING", "slow")
    assert (found["completionStartTime"], found["timeToFirstToken"]) == ("2026-11-23T09:16:07.500Z", 0.503)
    assert (found["input"], found["output"]) == ('{"prompt_length": 23}', "done")
    assert found["metadata"]["turn.tokens"] == 7
    assert found["modelParameters"] == {"effort": "high", "n": 1, "s": "true"}
    assert not [
        name for name in found["metadata"] if name.startswith("attributes.langfuse.observation.metadata")
    ]


def test_langfuse_4_loses_input_and_output_for_the_trace() -> None:
    found = observe({"langfuse.trace.input": "a", "langfuse.trace.output": "b"})
    assert (found["input"], found["output"], found["metadata"]) == (None, None, {"scope.name": "codex_exec"})


@pytest.mark.parametrize(
    ("plain", "kept"),
    [
        ("text", "text"),
        ("150", 150),
        (150, 150),
        (9007199254740993, 9007199254740992),
        (True, True),
        (0.5, 0.5),
        (1e-7, 1e-7),
        (["a", 1], ["a", 1]),
        ([], []),
        ("9007199254740993", "9007199254740993"),
        ("{broken", "{broken"),
    ],
)
def test_metadata(plain: Any, kept: Any) -> None:
    assert observe({"a.b": plain})["metadata"]["attributes.a.b"] == kept


@pytest.mark.parametrize(
    ("status", "level", "message"),
    [
        ({"code": 2, "message": "bad"}, "ERROR", "bad"),
        ({"code": "STATUS_CODE_ERROR"}, "DEFAULT", ""),
        ({"code": 1}, "DEFAULT", ""),
    ],
)
def test_status(status: dict[str, Any], level: str, message: str) -> None:
    found = observe({}, status=status)
    assert (found["level"], found["statusMessage"]) == (level, message)


@pytest.mark.parametrize(
    ("fields", "start", "end"),
    [
        ({"startTimeUnixNano": None}, "2026-11-23T09:16:07.997Z", "2026-11-23T09:16:07.997Z"),
        ({"endTimeUnixNano": ""}, "2026-11-23T09:16:06.997Z", "2026-11-23T09:16:06.997Z"),
        (
            {"startTimeUnixNano": "x", "endTimeUnixNano": None},
            "2026-11-23T09:16:40.000Z",
            "2026-11-23T09:16:40.000Z",
        ),
        ({"startTimeUnixNano": "0"}, "1970-01-01T00:00:00.000Z", "2026-11-23T09:16:07.997Z"),
    ],
)
def test_missing_times(fields: dict[str, Any], start: str, end: str) -> None:
    found = observe({}, **fields)
    assert (found["startTime"], found["endTime"]) == (start, end)


def test_one_attribute_without_a_value_loses_the_whole_export() -> None:
    spans = [{"traceId": "a", "spanId": "b"}, {"traceId": "a", "spanId": "c", "attributes": [{"key": "x"}]}]
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
    export = parse_otlp_json(body)
    assert export.refusal() is None
    assert observations_of(export, project_id="p", received=0) == []


def test_input_from_events_and_messages() -> None:
    event = {"name": "gen_ai.user.message", "attributes": otlp_json.attributes({"content": "hi"})}
    choice = {"name": "gen_ai.choice", "attributes": otlp_json.attributes({"content": "ho"})}
    found = observe({}, events=[event, choice])
    assert (found["input"], found["output"]) == ('[{"role":"user","content":"hi"}]', '{"content":"ho"}')
    prompt = {"name": "codex.user_prompt", "attributes": otlp_json.attributes({"prompt": "x"})}
    assert observe({}, events=[prompt])["input"] is None
    flat = observe({"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "hi"})
    assert flat["input"] == '[{"role":"user","content":"hi"}]'


def test_a_field_of_a_newer_version_is_left_aside() -> None:
    # A span with an unknown field, and its name twice.
    body = bytes.fromhex("0a131211120f0a0174120173a006012a01612a0162")
    (row,) = observations_of(parse_protobuf(body), project_id="p", received=0)
    assert row["name"] == "b"


def test_a_field_of_another_kind_is_no_span() -> None:
    # The name is a number, as what log records have in its place.
    with pytest.raises(ValueError, match="another kind"):
        parse_protobuf(bytes.fromhex("0a0c120a12080a01741201732801"))


def test_a_span_needs_its_ids() -> None:
    assert parse_protobuf(bytes.fromhex("0a0a120812060a0174120173")).refusal() is None
    assert "spanId:absent" in (parse_protobuf(bytes.fromhex("0a06120412020a00")).refusal() or "")
