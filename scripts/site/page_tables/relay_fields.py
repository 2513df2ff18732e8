"""Where Langfuse shows each thing that Codex reports, through the relay: found by changing it and looking.

A recorded turn goes through the relay once as it is, and once with one attribute changed. The fields of the
observations that differ are where that attribute is seen.
"""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

import recordings
from codex_langfuse.codex.telemetry import SPANS, WANTED
from codex_langfuse.mock.langfuse.observations import flat_metadata, observations_of
from codex_langfuse.mock.langfuse.otlp import parse_protobuf
from codex_langfuse.relay.policy import Content, Policy, User
from recorded_names import Name, event_name
from relay_documented import Batch, relayed

#: A turn with nearly every event: a ChatGPT login, an MCP server, prompts and answers logged.
RECORDING = "0.169.0-privacy-lup_true_agentresp"
#: Turns in which an event carries what it does not carry there: a request to the model was refused; a tool
#: was allowed and then cut off.
_ELSEWHERE = {
    "codex.api_request": "0.169.0-err-api_429_then_ok",
    "codex.tool_decision": "relay/0.163.0-interrupt-logs",
    "codex.websocket_connect": "0.171.0-http",
    "codex.websocket_request": "0.171.0-default",
    "codex.websocket_event": "0.130.0-default",
    "codex.agent_communication": "0.171.0-sub-agent",
}


@dataclass(frozen=True, order=True)
class Field:
    """A field of an observation. kind: its type; path: as the v2 API calls it, ``metadata.turn_id``."""

    kind: str
    path: str


#: What Codex could have said instead, where not everything is taken for what it is.
_INSTEAD: dict[str, Any] = {
    "approval_policy": "on-request",
    "sandbox_policy": "read-only",
    "reasoning_effort": "high",
    "codex.request.reasoning_effort": "high",
    "codex.turn.reasoning_effort": "high",
    "reasoning_summary": "concise",
    "auth_mode": "ApiKey",
    "decision": "denied",
    "source": "User",
    "success": "false",
    "outcome": "timed_out",
    "app.version": "7.7.7",
    "mcp_servers": "one,two",
    "user.email": "another@example.com",
    "event.kind": "response.in_progress",
    "usage.estimated_usd": "0.7700000000",
    "agent.type": "subagent",
    "error.message": "stream disconnected before completion: another reason",
}

#: All events of a signal, and the span of any tool.
EVERY, TOOL = "*", "tool"
_PLACES = (
    ("resource", EVERY),
    *(("log", event) for event in WANTED),
    *(("event", event) for event in WANTED),
    *(("span", span) for span in (*SPANS, TOOL)),
)

#: What ties records together: all that mean the same id change in all records, or those would fall apart.
_TIES = (
    frozenset({"conversation.id", "thread.id", "thread_id", "conversation_id"}),
    frozenset({"turn.id", "turn_id"}),
    frozenset({"call_id"}),
)

#: Attributes that were not in the recording, each with a value that Codex 0.163 or 0.169 was seen to send.
_ADDED: dict[Name, Any] = {
    ("log", "codex.conversation_starts", "reasoning_effort"): "medium",
    ("log", "codex.conversation_starts", "context_window"): 272000,
    ("log", "codex.conversation_starts", "auto_compact_token_limit"): 244800,
    ("log", "codex.sse_event", "error.message"): "stream disconnected before completion: the stream was cut",
}

#: Events that no recording holds, made by hand after those measured separately.
MADE_BY_HAND: dict[str, dict[str, Any]] = {
    "codex.sandbox_outcome": {
        "tool_name": "exec_command",
        "call_id": "call_0_2",
        "outcome": "denied",
        "initial_duration_ms": 12,
        "escalated_duration_ms": 0,
    },
    "codex.turn_cost": {
        "turn.id": "01a20793-961d-7011-944a-5555d2b23588",
        "usage.estimated_usd": "0.0123000000",
        "turn.interrupted": False,
    },
}

_NOT_FIELDS = frozenset(
    {
        *("id", "traceId", "parentObservationId", "projectId", "createdAt", "updatedAt", "trace"),
        *("latency", "timeToFirstToken", "inputUsage", "outputUsage", "totalUsage", "isRootObservation"),
        *("inputCost", "outputCost", "totalCost", "costDetails", "internalModelId"),
        *("usagePricingTierId", "usagePricingTierName", "inputPrice", "outputPrice", "totalPrice"),
    }
)
_OUR_OWN = ("attributes.", "resourceAttributes.", "scope.")


def _value(plain: Any) -> AnyValue:
    if isinstance(plain, bool):
        return AnyValue(bool_value=plain)
    if isinstance(plain, int):
        return AnyValue(int_value=plain)
    if isinstance(plain, float):
        return AnyValue(double_value=plain)
    return AnyValue(string_value=plain)


def _attribute(key: str, plain: Any) -> KeyValue:
    return KeyValue(key=key, value=_value(plain))


@cache
def _turn(recording: str) -> tuple[Batch, ...]:
    """Return a recorded turn as the relay gets it, without the spans of which it reads nothing."""
    batches = _copy(each.message for each in recordings.read(recording) if each.signal != "metrics")
    for batch in batches:
        if isinstance(batch, ExportTraceServiceRequest):
            for scope in (scope for group in batch.resource_spans for scope in group.scope_spans):
                read = [span for span in scope.spans if _is_read(span)]
                del scope.spans[:]
                scope.spans.extend(read)
    return tuple(batches)


def _is_read(span: Any) -> bool:
    keys = {item.key for item in span.attributes}
    return span.name in SPANS or {"tool_name", "call_id", "aborted"} <= keys or bool(span.events)


def _holders(batch: Batch, where: str, name: str) -> Iterable[Any]:
    """Return the records called ``name``: log records, events on spans, or spans; ``tool`` is any tool's."""
    if where == "resource":
        groups = batch.resource_logs if isinstance(batch, ExportLogsServiceRequest) else batch.resource_spans
        yield from (group.resource for group in groups)
    elif isinstance(batch, ExportLogsServiceRequest):
        if where == "log":
            for group in batch.resource_logs:
                for scope in group.scope_logs:
                    yield from (each for each in scope.log_records if event_name(each.attributes) == name)
    else:
        scopes = (scope for group in batch.resource_spans for scope in group.scope_spans)
        for span in (span for scope in scopes for span in scope.spans):
            if where == "event":
                yield from (each for each in span.events if event_name(each.attributes) == name)
            elif where == "span" and name == (span.name if span.name in SPANS else TOOL):
                yield span


def _copy(batches: Iterable[Batch]) -> list[Batch]:
    return [deepcopy(batch) for batch in batches]


def _others(key: str, value: AnyValue) -> tuple[AnyValue, ...]:
    """Return other values that Codex could have sent; all attributes of a key have as many."""
    kind = value.WhichOneof("value")
    if key == "http.response.status_code":
        # Another success, another failure; then a failure in any case.
        return AnyValue(int_value=204 if value.int_value == 200 else 500), AnyValue(int_value=503)
    if kind == "bool_value":
        return (AnyValue(bool_value=not value.bool_value),)
    if kind == "int_value":
        return (AnyValue(int_value=value.int_value + 7),)
    if key in _INSTEAD:
        return (AnyValue(string_value=_INSTEAD[key]),)
    text = value.string_value
    if key == "output":
        # Another text, and another end of the command that it reports.
        failed = text.replace("exited with code 0", "exited with code 3")
        return AnyValue(string_value=f"{text}zq7"), AnyValue(string_value=failed)
    return (AnyValue(string_value=str(int(text) + 7) if text.isdigit() else f"{text}zq7"),)


def _changed(batches: Sequence[Batch], where: str, name: str, key: str) -> list[list[Batch]]:
    """Return copies of a turn in which the attribute has another value, one for each of ``_others``."""
    tied = next((tie for tie in _TIES if key in tie), frozenset())
    keys = tied or {key}
    if tied or name == EVERY:
        places = [place for place in _PLACES if tied or place[0] == where]
    else:
        places = [(where, name)]

    def change(batch: Batch, number: int) -> int:
        most = 0
        for place in places:
            for holder in _holders(batch, *place):
                for item in holder.attributes:
                    if item.key in keys and not (item.key == "thread.id" and item.value.int_value):
                        others = _others(key, item.value)
                        most = max(most, len(others))
                        item.value.CopyFrom(others[min(number, len(others) - 1)])
        return most

    copies, number, most = [], 0, 1
    while number < most:
        copy = _copy(batches)
        most = max(change(batch, number) for batch in copy)
        copies.append(copy)
        number += 1
    return copies


def _fields(batches: Sequence[Batch], policy: Policy) -> list[tuple[str, dict[str, Any]]]:
    """Return the observations that the relay makes, each with its type and its fields."""
    found = []
    for trace in relayed(batches, policy):
        for observation in observations_of(parse_protobuf(trace), project_id="", received=0):
            fields: dict[str, Any] = {}
            for key, value in observation.items():
                if key == "metadata":
                    told = flat_metadata(value).items()
                    fields |= {f"{key}.{name}": text for name, text in told if not name.startswith(_OUR_OWN)}
                elif key not in _NOT_FIELDS:
                    fields |= (
                        {f"{key}.{name}": inner for name, inner in value.items()}
                        if isinstance(value, dict)
                        else {key: value}
                    )
            # Told only when Codex's own sum and the model calls disagree, as they do when one is changed.
            fields.pop("metadata.tokens_seen", None)
            found.append((observation["type"], fields))
    return found


def _difference(
    base: list[tuple[str, dict[str, Any]]], other: list[tuple[str, dict[str, Any]]]
) -> frozenset[Field]:
    if len(base) != len(other):
        kinds = [kind for kind, _ in other], [kind for kind, _ in base]
        longer, shorter = kinds if len(other) > len(base) else kinds[::-1]
        return frozenset(Field(kind, "") for kind in set(longer) if longer.count(kind) != shorter.count(kind))
    return frozenset(
        Field(kind, path)
        for (kind, ours), (_, theirs) in zip(base, other, strict=True)
        for path in ours.keys() | theirs.keys()
        if ours.get(path) != theirs.get(path)
    )


@cache
def _stage(name: str) -> tuple[Batch, ...]:
    """Return a turn on which attributes are changed: ``logs``, ``traces``, a recording, or an event by hand.

    An event made by hand comes after the last record of its conversation.
    """
    signal = ExportTraceServiceRequest if name == "traces" else ExportLogsServiceRequest
    turn = _turn(name if name in _ELSEWHERE.values() else RECORDING)
    batches = [batch for batch in turn if isinstance(batch, signal)]
    if name in MADE_BY_HAND:
        batches = _copy(batches)
        records = [each for batch in batches for each in _holders(batch, "log", "codex.tool_result")]
        own = {"event.name": name, **MADE_BY_HAND[name]}
        common = [item for item in records[-1].attributes if item.key in _COMMON]
        export: Any = batches[-1]
        scope = export.resource_logs[0].scope_logs[0]
        last = scope.log_records[-1].observed_time_unix_nano
        record = scope.log_records.add(observed_time_unix_nano=last)
        record.attributes.extend([*(_attribute(key, value) for key, value in own.items()), *common])
    return tuple(batches)


_COMMON = frozenset({"conversation.id", "app.version", "originator", "model", "slug", "event.timestamp"})


@cache
def _base(stage: str, user: str) -> list[tuple[str, dict[str, Any]]]:
    return _fields(_stage(stage), _policy(user))


def _policy(user: str) -> Policy:
    return Policy(content=Content.FULL, user=User(user))


def _stages(where: str, name: str) -> tuple[str, ...]:
    if where in ("event", "span"):
        return ("traces",)
    if name in MADE_BY_HAND:
        return (name,)
    return ("logs", _ELSEWHERE[name]) if name in _ELSEWHERE else ("logs",)


@cache
def shown_by(where: str, name: str, key: str) -> frozenset[Field]:
    """Return the fields in which an attribute is seen. where: ``log``, ``event`` (on a span) or ``span``.

    A field without a path says that with another value there would be more or fewer such observations.
    """
    user = "account-id" if key == "user.account_id" else "email"
    found: frozenset[Field] = frozenset()
    for stage in _stages(where, name):
        batches = _stage(stage)
        if (where, name, key) in _ADDED:
            turns = [_added(batches, name, key, _ADDED[where, name, key])]
        else:
            turns = _changed(batches, where, name, key)
        for turn in turns:
            found |= _difference(_base(stage, user), _fields(turn, _policy(user)))
    return found


def _added(batches: Sequence[Batch], name: str, key: str, value: Any) -> list[Batch]:
    copy = _copy(batches)
    holder = next(holder for batch in copy for holder in _holders(batch, "log", name))
    if key == "error.message":
        # A stream that breaks is told of by a record without a kind.
        kind = next(item for item in holder.attributes if item.key == "event.kind")
        holder.attributes.remove(kind)
    holder.attributes.append(_attribute(key, value))
    return copy


@cache
def shown_by_presence(where: str, name: str) -> frozenset[Field]:
    """Return what of the observations would be otherwise if Codex did not send this event."""
    found: frozenset[Field] = frozenset()
    for stage in _stages(where, name):
        copy = _copy(_stage(stage))
        for holder in (holder for batch in copy for holder in _holders(batch, where, name)):
            holder.ClearField("attributes")
        found |= _difference(_base(stage, "email"), _fields(copy, _policy("email")))
    return found


def attributes_of(where: str, name: str) -> list[str]:
    """Return the attributes that the records called ``name`` have in the turns that are looked at."""
    keys = {
        item.key
        for stage in _stages(where, name)
        for batch in _stage(stage)
        for holder in _holders(batch, where, name)
        for item in holder.attributes
    }
    keys |= {key for place, event, key in _ADDED if (place, event) == (where, name)}
    return sorted(keys - {"event.name"})


@cache
def relayed_fields() -> frozenset[tuple[str, str]]:
    """Return every field of the observations of the turn, as (type, path), logs and traces taken together."""
    fields = _fields(_turn(RECORDING), _policy("email"))
    return frozenset((kind, path) for kind, found in fields for path in found)
