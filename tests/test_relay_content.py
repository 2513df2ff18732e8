"""The relay's privacy: what is planted in Codex's telemetry leaves only where the content mode lets it."""

from collections import Counter
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from codex_langfuse.masking import FORMS, MASK
from codex_langfuse.relay.policy import Content, Policy, User
from relay_documented import (
    CONTENT_MARKER,
    NAME_MARKER,
    Field,
    fields,
    holds_marker,
    leaves,
    planted,
    relayed,
)
from relayed_recordings import LOGS, batches, relay

pytestmark = [pytest.mark.macos, pytest.mark.windows, pytest.mark.slow]

Batch = ExportLogsServiceRequest | ExportTraceServiceRequest

#: Of every shape: only logs, content in spans (0.73, 0.98), MCP and a login, sub-agents, errors.
RECORDINGS = [
    "0.44.0-simple",
    "0.73.0-simple",
    "0.98.0-simple",
    "0.130.0-simple",
    "0.169.0-privacy-lup_true_agentresp",
    "0.169.0-subagent",
    "0.169.0-err-api_429_then_ok",
    "relay/0.163.0-interrupt",
]
#: Of these every field is tried on its own.
SWEPT = ["0.44.0-simple", "0.98.0-simple", "0.169.0-privacy-lup_true_agentresp"]
#: Which content may leave, and from where. Nothing else may, in whatever field Codex puts it.
CONTENT = {
    Content.NONE: set(),
    Content.PROMPTS: {"prompt", "response"},
    Content.FULL: {"prompt", "response", "arguments", "output", "error.message"},
}
#: Names, ids and versions leave if they have the form of one.
NAMES = {
    *("model", "tool_name", "tool_namespace", "mcp_server", "mcp_servers", "provider_name", "originator"),
    *("service.name", "env", "conversation.id", "conversation_id", "thread.id", "thread_id", "call_id"),
    *("turn.id", "turn_id", "parent.conversation.id"),
}
MARKERS = [
    CONTENT_MARKER,
    "Zq7marker@example.com",
    "https://Zq7marker.example/path?q=1",
    "Zq7marker, with words\nand lines",
    '{"command": ["bash", "-lc", "Zq7marker"]}',
    "Zq7marker.rs:12 äöü 你好",
    r"C:\Users\Zq7marker",
    "~/Zq7marker",
]


@cache
def few_spans(name: str) -> tuple[Batch, ...]:
    """Return a recording with at most three spans of each name, which holds every field and is quick."""
    trimmed: list[Batch] = []
    seen: Counter[str] = Counter()
    for batch in batches(name):
        copy = type(batch).FromString(batch.SerializeToString())
        for group in copy.resource_spans if isinstance(copy, ExportTraceServiceRequest) else ():
            for scope in group.scope_spans:
                kept = []
                for span in scope.spans:
                    seen[span.name] += 1
                    if seen[span.name] <= 3 or span.events or len(span.attributes) > 12:
                        kept.append(span)
                new = [type(span).FromString(span.SerializeToString()) for span in kept]
                del scope.spans[:]
                scope.spans.extend(new)
        trimmed.append(copy)
    return tuple(trimmed)


@pytest.mark.parametrize("name", SWEPT)
@pytest.mark.parametrize("content", list(Content))
def test_content_leaves_from_nowhere_but_where_the_mode_says(name: str, content: Content):
    """One field after the other, in all records at once."""
    given_ = few_spans(name)
    found = {
        place for place in fields(given_) if leaves(given_, place, CONTENT_MARKER, Policy(content=content))
    }
    assert {place.key for place in found} <= CONTENT[content]
    assert {place.where for place in found} <= {"log", "event on a span"}


@pytest.mark.parametrize("name", SWEPT)
def test_names_leave_only_where_names_belong(name: str):
    given_ = few_spans(name)
    places = [place for place in fields(given_) if leaves(given_, place, NAME_MARKER, Policy())]
    found = {place.key for place in places if not _is_label(place)}
    assert found <= NAMES
    assert {"model", "tool_name"} <= found  # the markers do arrive where they may


def _is_label(place: Field) -> bool:
    """Whether the person who starts Codex chose it: `OTEL_RESOURCE_ATTRIBUTES`."""
    return place.key == "(new attribute)" and place.where.startswith("resource")


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_content_in_any_fields_together(data: st.DataObject):
    name = data.draw(st.sampled_from(RECORDINGS))
    content = data.draw(st.sampled_from([Content.NONE, Content.PROMPTS]))
    marker = data.draw(st.sampled_from(MARKERS))
    # Without these there is no event at all to look at.
    structure = {"event.name", "conversation.id"}
    every = [place for place in fields(few_spans(name)) if place.key not in structure | CONTENT[content]]
    places = data.draw(st.lists(st.sampled_from(every), min_size=1, unique=True))
    for trace in relayed(planted(few_spans(name), places, marker), Policy(content=content)):
        assert not holds_marker(trace)


@pytest.mark.parametrize("marker", MARKERS)
@pytest.mark.parametrize("name", RECORDINGS)
def test_content_in_every_field_at_once(name: str, marker: str):
    structure = {"event.name", "conversation.id", "event.kind", "success", "call_id"}
    places = [place for place in fields(few_spans(name)) if place.key not in structure]
    traces = relayed(planted(few_spans(name), places, marker), Policy())
    assert traces
    assert not any(holds_marker(trace) for trace in traces)


@pytest.mark.parametrize("content", list(Content))
def test_nobody_is_named_unless_asked_for(content: Content):
    name = "0.169.0-privacy-lup_true_agentresp"
    sent = b"".join(relayed(batches(name), Policy(content=content)))
    for marker in (b"EMAILMARK", b"ACCTMARK", b"HOSTMARK"):
        assert marker not in sent
    with_email = b"".join(relayed(batches(name), Policy(content=content, user=User.parse("email"))))
    assert b"EMAILMARK" in with_email
    assert b"ACCTMARK" not in with_email


def test_each_mode_shows_what_it_promises():
    name = "0.169.0-privacy-lup_true_agentresp"
    markers = {
        "PROMPTMARK": {Content.PROMPTS, Content.FULL},
        "MSGMARK": {Content.PROMPTS, Content.FULL},
        "MCPARGMARK": {Content.FULL},
        "MCPOUTMARK": {Content.FULL},
        "PATCHMARK": {Content.FULL},
    }
    for content in Content:
        sent = b"".join(relayed(batches(name), Policy(content=content)))
        for marker, modes in markers.items():
            assert (marker.encode() in sent) is (content in modes), (marker, content)


def test_prompt_and_answer_are_the_input_and_output_of_the_turn():
    root = relay(batches("relay/0.163.0-long-stream-logs"), Policy(content=Content.PROMPTS)).root
    assert (root["input"], root["output"]) == ("Say hello.", "A long answer, streamed in many pieces.")
    assert root["traceName"] == "codex turn"
    named = relay(
        batches("relay/0.163.0-long-stream-logs"), Policy(Content.PROMPTS, name_by_prompt=True)
    ).root
    assert (named["traceName"], named["name"]) == ("Say hello.", "Say hello.")


def test_what_a_sub_agent_is_asked_is_no_prompt_of_a_person():
    name = "0.169.0-subagent"
    prompts = b"".join(relayed(batches(name), Policy(content=Content.PROMPTS)))
    assert b"SUBTASKMARK" not in prompts
    assert b"sub done" not in prompts
    assert b"main done" in prompts
    assert b"SUBTASKMARK" in b"".join(relayed(batches(name), Policy(content=Content.FULL)))


def test_redacted_prompt_is_a_length():
    given_ = planted(batches("0.44.0-simple"), [Field("log", "prompt")], "[REDACTED]")
    root = relay(given_, Policy(content=Content.PROMPTS)).root
    assert root["input"] == "(prompt not sent, 23 characters)"


# --- secrets ------------------------------------------------------------------------------------------------

SECRETS = st.sampled_from(
    [(looks.replace("…", sample), sample) for form in FORMS for looks, sample in form.looks.items()]
)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(
    secret=SECRETS,
    before=st.sampled_from(["", "use ", "{", "a=1; ", "\n"]),
    after=st.sampled_from(["", " please", "\n", "; rm"]),
    key=st.sampled_from(["prompt", "response", "arguments", "output", "error.message"]),
)
def test_secrets_are_masked_in_every_mode(secret: tuple[str, str], before: str, after: str, key: str):
    text, value = secret
    name = "0.169.0-err-api_429_then_ok" if key == "error.message" else "0.169.0-privacy-lup_true_agentresp"
    places = [Field("log", key), Field("event on a span", key)]
    given_ = planted(batches(name, LOGS), places, before + text + after)
    sent = b"".join(relayed(given_, Policy(content=Content.FULL)))
    assert value.encode() not in sent
    assert MASK.encode() in sent


@settings(max_examples=100)
@given(
    secret=SECRETS,
    key=st.sampled_from(
        ["model", "tool_name", "originator", "provider_name", "mcp_servers", "env", "call_id"]
    ),
)
def test_a_secret_in_the_place_of_a_name_does_not_leave(secret: tuple[str, str], key: str):
    places = [Field(where, key) for where in ("log", "resource of logs", "resource of spans")]
    sent = b"".join(
        relayed(planted(batches("0.44.0-simple"), places, secret[0]), Policy(content=Content.FULL))
    )
    assert secret[1].encode() not in sent
