"""What Codex's OTLP logs and traces say, as plain records.

Read from the telemetry of Codex 0.44 to 0.171. A turn of Codex 0.171 is over five hundred spans, of which a
few dozen say something; so names are looked at first, and only the attributes that are wanted are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from codex_langfuse.nanoseconds import MILLISECOND

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Process:
    """The Codex that sent a batch, by its resource: an empty text for what it did not say.

    extra: the resource attributes that are not Codex's or the SDK's (`OTEL_RESOURCE_ATTRIBUTES`).
    """

    service_name: str
    version: str
    environment: str
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def is_codex(self) -> bool:
        """Whether it calls itself Codex; `CODEX_INTERNAL_ORIGINATOR_OVERRIDE` gives it another name."""
        return self.service_name.startswith("codex")

    def older_than(self, major: int, minor: int) -> bool:
        """Whether its version is known, and older."""
        parts = self.version.split(".")[:2]
        known = len(parts) == 2 and all(part.isdigit() for part in parts)
        return known and (int(parts[0]), int(parts[1])) < (major, minor)


@dataclass(slots=True)
class CodexEvent:
    """One `codex.*` event, from a log record or from an event on a span.

    time: nanoseconds since 1970; 0 when nothing gives it. trace_id, span_id: the span that the event is on,
    or that a log record names; none when Codex exports no traces or wrote the event outside any span
    (`codex.sse_event`). attributes: those of `WANTED[name]` that were there. raw: the time of the log record
    itself, which is finer, and which a proxy or a Collector may have changed.
    """

    name: str
    time: int
    trace_id: bytes
    attributes: dict[str, Value]
    process: Process
    on_span: bool
    span_id: bytes = b""
    raw: int = 0


@dataclass(frozen=True, slots=True)
class SpanLink:
    """The parent of a span: what says whose the spans and events below it are."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes


@dataclass(slots=True)
class CodexSpan:
    """One span that says something; times in nanoseconds since 1970. kind: a name from `SPANS`, or `tool`.

    labels: of the spans of a turn, what `[otel.span_attributes]` says of user, environment, tags and metadata
    under Langfuse's names.
    """

    kind: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    start: int
    end: int
    attributes: dict[str, Value]
    process: Process
    labels: tuple[tuple[str, str], ...] = ()


_WHO = frozenset({"app.version", "originator", "auth_mode", "user.account_id", "user.email"})


def _wanted(*names: str) -> frozenset[str]:
    return frozenset({"conversation.id", "event.timestamp", *names})


_TOOL = ("tool_name", "tool_namespace", "call_id")

#: The events that are read, and what is read of each.
WANTED: Mapping[str, frozenset[str]] = {
    "codex.conversation_starts": _WHO
    | _wanted(
        *("model", "provider_name", "reasoning_effort", "reasoning_summary", "context_window"),
        *("auto_compact_token_limit", "approval_policy", "sandbox_policy", "mcp_servers", "mcp_server_count"),
    ),
    "codex.user_prompt": _WHO | _wanted("model", "prompt_length", "prompt"),
    "codex.api_request": _wanted(
        *("model", "duration_ms", "http.response.status_code", "error.message", "attempt", "endpoint")
    ),
    "codex.websocket_connect": _wanted(
        "duration_ms", "http.response.status_code", "success", "error.message"
    ),
    "codex.websocket_request": _wanted("model", "duration_ms", "success", "error.message"),
    # Codex 0.130 and older: what came over the WebSocket, as `codex.sse_event` has it for HTTP.
    "codex.websocket_event": _wanted("event.kind"),
    "codex.sse_event": _wanted(
        *("event.kind", "error.message", "input_token_count", "output_token_count"),
        *("cached_token_count", "cache_write_token_count", "reasoning_token_count"),
        *("ttft_ms", "service_tier", "model", "model_reasoning_effort"),
    ),
    "codex.startup_phase": _wanted("startup.phase"),
    "codex.turn_ttft": _wanted("duration_ms"),
    "codex.tool_call_received": _wanted(*_TOOL, "turn_id", "cell.id"),
    "codex.code_mode.nested_tool_dispatched": _wanted(*_TOOL, "turn_id", "cell.id"),
    "codex.tool_decision": _wanted(*_TOOL, "decision", "source"),
    "codex.tool_result": _wanted(
        *(*_TOOL, "success", "duration_ms", "arguments", "output", "arguments_length", "output_length"),
        *("output_truncated", "mcp_server", "agent_name"),
    ),
    "codex.sandbox_outcome": _wanted(*_TOOL, "outcome", "initial_duration_ms", "escalated_duration_ms"),
    "codex.agent_response": _WHO
    | _wanted(
        *("agent.type", "turn.id", "parent.turn.id", "parent.conversation.id", "response", "response_length")
    ),
    "codex.guardian_assessment": _wanted("turn.id", "item.id"),
    "codex.turn_cost": _WHO | _wanted("turn.id", "usage.estimated_usd", "turn.interrupted"),
}

#: Kinds of `codex.sse_event` by which nothing has begun or ended yet.
_BOOKKEEPING = frozenset({"response.created", "response.in_progress", "response.queued", "response.metadata"})

_TOTAL = "codex.turn.token_usage."

_TASK = frozenset(
    {
        *("turn.id", "model", "codex.turn.reasoning_effort"),
        *(f"{_TOTAL}{part}_tokens" for part in ("input", "cached_input", "cache_write_input", "output")),
        *(f"{_TOTAL}{part}_tokens" for part in ("reasoning_output", "total")),
    }
)
_OF_TURN = frozenset({"turn.id", "conversation.id"})
_OF_CELL = frozenset({"turn_id", "conversation.id", "call_id", "cell.id"})

#: The spans that are read, and what is read of each (and `conversation`, see `_span_attributes`).
SPANS: Mapping[str, frozenset[str]] = {
    "session_task.turn": _TASK,
    "session_task.review": _TASK,
    "session_task.compact": _TASK,
    "run_turn": _OF_TURN,
    "codex.turn_input": _OF_TURN,
    "run_auto_compact": frozenset(),
    "code_mode.handler.execute": _OF_CELL,
    "code_mode.handler.wait": _OF_CELL,
    "code_mode.broker.invoke_tool": _OF_CELL,
    "model_client.stream_responses_websocket": frozenset({"websocket.warmup"}),
    "startup_prewarm": frozenset(),
    "guardian_review": frozenset({"thread_id", "tool_call_id"}),
    "turn/start": frozenset({"turn.id", "rpc.request_id"}),
    "try_run_sampling_request": frozenset({"turn_id", "model"}),
    "receiving_stream": frozenset(),
    "handle_responses": frozenset(
        {
            *("gen_ai.usage.input_tokens", "gen_ai.usage.cache_read.input_tokens"),
            *("gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.output_tokens"),
            *("codex.usage.reasoning_output_tokens", "codex.request.reasoning_effort", "from"),
        }
    ),
    "session_loop": frozenset({"thread_id"}),
    "new_session": frozenset({"conversation_id"}),
    "codex.exec": frozenset({"turn.id"}),
}
#: The spans of a turn on which labels are looked for; `[otel.span_attributes]` are on every span.
_LABELLED = frozenset(
    {
        *("session_task.turn", "session_task.review", "session_task.compact"),
        *("run_turn", "try_run_sampling_request"),
    }
)
_LABELS = frozenset({"user.id", "deployment.environment.name", "deployment.environment"})
_TOOL_SPAN = frozenset({"tool_name", "call_id", "aborted", "conversation.id", "turn.id", "turn_id"})
#: Spans that are read only for the events on them.
_HOLD_EVENTS = frozenset(
    {
        *("session_init", "thread/start", "run_hooks_and_record_inputs"),
        *("op.dispatch.turn_input", "op.dispatch.user_input_with_turn_context", "submission_dispatch"),
        *("stream_request", "stream_prompt", "handle_output_item_done", "handle_tool_call_with_source"),
        *("endpoint_session.stream_encoded_json_with", "endpoint_session.stream_with", "dispatch_tool_call"),
        *("dispatch_tool_call_with_state", "dispatch_tool_call_with_code_mode_result"),
    }
)
_A_TOOL = frozenset({"tool_name", "call_id", "aborted"})
_SPAN_NAMES = frozenset(name.encode() for name in SPANS)
#: The most frequent spans (nine in ten of a turn of 0.163), which say nothing and never hold an event.
_NOISE = frozenset(
    {
        *("fs.get_metadata", "fs.read_file", "fs.read_directory", "fs.canonicalize", "auth", "receiving"),
        *("append_items", "persist_rollout_items", "record_conversation_items"),
        *("send_raw_response_items", "realtime_conversation.running_state", "plugins_for_config"),
        *("get_model_info", "list_models", "environments.snapshot", "mcp.runtime.refresh_wait"),
        *("mcp.runtime.refresh_if_dirty", "render_available_skills"),
        *("app_server.serialized_request_queue", "world_state.build", "agents_md.refresh"),
        *("load_with_cli_overrides", "instructions.load", "skills_for_config"),
        *("collect_explicit_skill_mentions", "build_prompt", "build_tool_call"),
        *("set_previous_turn_settings", "skills.executor.refresh_executor_catalog", "add_shell_tools"),
        *("add_mcp_resource_tools", "add_core_utility_tools", "add_collaboration_tools"),
        *("hosted_model_tool_specs", "merge_into_namespaces", "build_tool_router", "built_tools"),
        *("capability_roots.resolve", "session.flush_rollout", "extension_tool_executors"),
        *("built_tools.load_discoverable_tools", "recommended_plugins_mode_for_config"),
        *("recommended_plugin_candidates_for_config", "list_skills"),
        *("capability_roots.snapshot_for_step", "mcp.runtime.resolve_for_step", "append_mcp_tools"),
        *("prepare_tool_recommendations", "add_core_tool_sources", "append_dynamic_tool_runtimes"),
        *("build_model_visible_specs", "finalize_tool_router", "step_context.capture"),
        *("get_default_model", "environments.wait_until_ready", "environments.resolve", "agents_md.load"),
        *("agents_md.discover", "session_init.state_d", "session_init.auth_mcp"),
        *("session_init.thread_name_lookup", "session_init.mcp_manager_init"),
        *("session_init.thread_persistence", "mcp.runtime.refresh", "session_init.plugin_skill_warmup"),
        *("session_init.required_mcp_wait", "app_server.thread_start.config_snapshot"),
        *("app_server.thread_start.attach_listener", "app_server.thread_start.upsert_thread"),
        *("app_server.thread_start.resolve_status", "app_server.thread_start.send_response"),
        *("app_server.thread_start.notify_started", "app_server.thread_start.create_thread"),
        *("turn_context.make", "turn_context.build", "shell_snapshot"),
        *("load_skill_prompts", "skills.shadow_selection.rank", "build_extension_turn_input_items"),
        *("build_skills_and_plugins", "merge_connector_selection", "turn_diff_display_roots"),
        *("track_turn_resolved_config_analytics", "mcp.runtime.apps_catalog_wait"),
        *("mcp.runtime_config.project_for_step", "load_plugins_from_layer_stack"),
        *("exec_server.environment.wait_until_ready", "build_skill_outcome", "run_session_end_hooks"),
        *(
            "flush_assistant_text_segments_all",
            "run_turn.prepare_sampling_request_input",
        ),
    }
)
_NOISE_BYTES = frozenset(name.encode() for name in _NOISE)


def read_logs(request: ExportLogsServiceRequest) -> list[CodexEvent]:
    """Return the events in a logs request, in the order sent."""
    events = []
    for group in request.resource_logs:
        process = _process(group.resource)
        for scope in group.scope_logs:
            for record in scope.log_records:
                told = _event(record.attributes)
                if told is not None:
                    # Codex leaves time_unix_nano at 0; the SDK writes observed_time_unix_nano.
                    raw = record.time_unix_nano or record.observed_time_unix_nano
                    time = _written(told[1].pop("event.timestamp", None), raw)
                    trace_id, span_id = record.trace_id, record.span_id
                    events.append(CodexEvent(told[0], time, trace_id, told[1], process, False, span_id, raw))
    return events


#: The SDK's time of a record follows Codex's own by at most so much (seen: 4 ms).
_CLOSE = 50_000_000


def _written(stamp: Value | None, raw: int) -> int:
    """Return when Codex wrote a log record.

    `event.timestamp` is Codex's own, to the millisecond, and no Collector on the way changes it. The record's
    time is finer, and is taken as long as it agrees.
    """
    told = _milliseconds(stamp) if isinstance(stamp, str) else None
    if told is None:
        return raw
    return raw if 0 <= raw - told <= _CLOSE else told


@lru_cache(256)
def _milliseconds(stamp: str) -> int | None:
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return round(moment.timestamp() * 1_000) * MILLISECOND if moment.tzinfo is not None else None


@dataclass(frozen=True, slots=True)
class SpanBatch:
    """A traces request of which only the spans that say something were decoded.

    Nine spans in ten say nothing, and decoding them is most of the work; whether one says something shows in
    its bytes. Every span is looked at, so what is no traces request does not pass for one.

    links: the parents of spans that were not decoded. foreign: how many spans are of other programs.
    """

    groups: list[tuple[Process, list[Span]]]
    links: list[SpanLink] = field(default_factory=list)
    foreign: int = 0

    @classmethod
    def parse(cls, body: bytes) -> SpanBatch:
        """Read a serialized ExportTraceServiceRequest; raises `DecodeError` if it is none."""
        groups = []
        links = []
        foreign = 0
        # Names of their own for what the loop, which sees every span, would else look up each time.
        noise, parent_at, parent_tag, name_at = _NOISE_BYTES, _PARENT_AT, _PARENT_TAG, _NAME_AT
        for group in _UNREAD_TRACES.FromString(body).resource_spans:
            spans = []
            for scope in group.scope_spans:
                for span in scope.spans:
                    try:
                        at = name_at if span[parent_at] == parent_tag else parent_at
                        name = span[at + 2 : at + 2 + span[at + 1]]
                    except IndexError:
                        name = b""
                        at = 0
                    if name in noise:
                        continue
                    if _says_something(span, name, at):
                        decoded = Span.FromString(span)
                        if len(decoded.trace_id) != 16:
                            raise DecodeError("a span without a trace id")
                        spans.append(decoded)
                    elif at == name_at and name != b"handle_responses":
                        links.append(SpanLink(span[2:18], span[20:28], span[30:38]))
            process = _process(group.resource)
            if not process.is_codex and not any(
                b"codex" in span for scope in group.scope_spans for span in scope.spans
            ):
                foreign += sum(len(scope.spans) for scope in group.scope_spans)
            groups.append((process, spans))
        return cls(groups, links, foreign)


# Codex's exporter writes trace_id (tag, length, 16 bytes), span_id (tag, length, 8 bytes), parent_span_id
# (the same, not on a root) and name (tag, length, text), in this order.
_PARENT_AT, _NAME_AT = 28, 38
_PARENT_TAG, _NAME_TAG = 0x22, 0x2A


def _unread_traces() -> Any:
    """Return the class of a traces request whose spans stay bytes, which protobuf's wire format allows."""
    kind = FieldDescriptorProto
    file = FileDescriptorProto(
        name="codex_langfuse/unread_traces.proto",
        package="codex_langfuse.unread",
        syntax="proto3",
        dependency=["opentelemetry/proto/resource/v1/resource.proto"],
    )
    messages: dict[str, list[tuple[str, int, FieldDescriptorProto.Label.ValueType, str | None]]] = {
        "Traces": [("resource_spans", 1, kind.LABEL_REPEATED, ".codex_langfuse.unread.ResourceSpans")],
        "ResourceSpans": [
            ("resource", 1, kind.LABEL_OPTIONAL, ".opentelemetry.proto.resource.v1.Resource"),
            ("scope_spans", 2, kind.LABEL_REPEATED, ".codex_langfuse.unread.ScopeSpans"),
        ],
        "ScopeSpans": [("spans", 2, kind.LABEL_REPEATED, None)],
    }
    for message, fields in messages.items():
        described = file.message_type.add(name=message)
        for name, number, label, type_name in fields:
            field = described.field.add(name=name, number=number, label=label)
            if type_name is None:
                field.type = kind.TYPE_BYTES
            else:
                field.type, field.type_name = kind.TYPE_MESSAGE, type_name
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("codex_langfuse.unread.Traces"))


_UNREAD_TRACES = _unread_traces()


def _says_something(span: bytes, name: bytes, at: int) -> bool:
    """Whether a serialized span holds anything that `read_spans` reads; raises `DecodeError` if it is none.

    name, at: its name and where that begins, if its fields are in the usual order.
    """
    if not name or span[at] != _NAME_TAG or not span.startswith(b"\x0a\x10"):
        return True
    if b"event.name" in span:
        return True
    if name == b"handle_responses":
        return b"gen_ai.usage.input_tokens" in span or b"output_item_" in span
    if name in _SPAN_NAMES:
        return True
    return b"aborted" in span and b"call_id" in span


def foreign_records(request: ExportLogsServiceRequest) -> int:
    """Return how many log records of a request are of other programs."""
    return sum(
        len(scope.log_records)
        for group in request.resource_logs
        if not _process(group.resource).is_codex
        for scope in group.scope_logs
        if not any(_event(record.attributes) for record in scope.log_records)
    )


def read_spans(request: ExportTraceServiceRequest | SpanBatch) -> list[CodexEvent | CodexSpan | SpanLink]:
    """Return the events on spans, the spans that say something and the parents of all, in the order sent."""
    records: list[CodexEvent | CodexSpan | SpanLink] = []
    if isinstance(request, SpanBatch):
        records += request.links
        for process, spans in request.groups:
            for span in spans:
                _read_span(span, process, records)
    else:
        for group in request.resource_spans:
            process = _process(group.resource)
            for scope in group.scope_spans:
                for span in scope.spans:
                    _read_span(span, process, records)
    return records


def _read_span(span: Span, process: Process, records: list[CodexEvent | CodexSpan | SpanLink]) -> None:
    name = span.name
    if name == "handle_responses" and not _is_told(span):
        return
    if span.parent_span_id and name not in _NOISE:
        records.append(SpanLink(span.trace_id, span.span_id, span.parent_span_id))
    for event in span.events:
        told = _event(event.attributes)
        if told is not None:
            told[1].pop("event.timestamp", None)
            time = event.time_unix_nano
            records.append(CodexEvent(told[0], time, span.trace_id, told[1], process, True, span.span_id))
    if name in _HOLD_EVENTS or name in _NOISE:
        return
    wanted = SPANS.get(name)
    if wanted is None:
        attributes = _span_attributes(span.attributes, _TOOL_SPAN)
        if len(_A_TOOL & attributes.keys()) < len(_A_TOOL):
            return
        name = "tool"
    else:
        attributes = _span_attributes(span.attributes, wanted)
    records.append(
        CodexSpan(
            name,
            span.trace_id,
            span.span_id,
            span.parent_span_id,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            attributes,
            process,
            _labels(span.attributes) if name in _LABELLED else (),
        )
    )


def _labels(attributes: Any) -> tuple[tuple[str, str], ...]:
    return tuple(
        (item.key, item.value.string_value)
        for item in attributes
        if item.key in _LABELS or item.key.startswith("langfuse.")
    )


def _is_told(span: Span) -> bool:
    """Whether `handle_responses`, of which there is one for each event of a stream, says something."""
    return any(item.key in {"gen_ai.usage.input_tokens", "from"} for item in span.attributes)


def _process(resource: Any) -> Process:
    found = {item.key: item.value.string_value for item in resource.attributes}
    texts = [found.pop(name, "") for name in ("service.name", "service.version", "env")]
    extra = ((key, value) for key, value in found.items() if value and not key.startswith(_OF_THE_SDK))
    return Process(texts[0], texts[1], texts[2], tuple(extra))


#: Resource attributes that the SDK and Codex write; a Collector adds more of the same kinds.
_OF_THE_SDK = ("telemetry.sdk.", "host.", "os.", "process.", "service.")


def _event(attributes: Any) -> tuple[str, dict[str, Value]] | None:
    """Return the name and the wanted attributes; None for what is no event that is read."""
    items = iter(attributes)
    before = 0
    for item in items:
        if item.key == "event.name":
            break
        before += 1
    else:
        return None
    name = item.value.string_value
    wanted = WANTED.get(name)
    if wanted is None:
        return None
    # Codex writes the name first (on a span after `level` and `target`); so the rest is read once.
    found = _attributes(items if before <= 2 else attributes, wanted)
    return None if found.get("event.kind") in _BOOKKEEPING else (name, found)


def _attributes(attributes: Any, wanted: frozenset[str] | set[str]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    if wanted:
        for item in attributes:
            key = item.key
            if key in wanted:
                value = item.value
                found[key] = value.string_value or value.int_value or _number(value)
    return found


def _span_attributes(attributes: Any, wanted: frozenset[str]) -> dict[str, Value]:
    """Read `wanted`, and as `conversation` the text that `thread.id` has.

    Codex writes `thread.id` twice on some spans: the number of an operating system's thread, and the id of
    the conversation as a text.
    """
    found: dict[str, Value] = {}
    for item in attributes:
        key = item.key
        if key in wanted:
            value = item.value
            found[key] = value.string_value or value.int_value or _number(value)
        elif key == "thread.id" and item.value.string_value:
            found["conversation"] = item.value.string_value
    return found


def _number(value: Any) -> Value:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind in ("int_value", "bool_value", "double_value") else ""
