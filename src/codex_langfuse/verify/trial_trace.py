"""The trace that ``verify`` sends: an agent, one model call, one tool call, and nothing of the reader's."""

import secrets
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from codex_langfuse.nanoseconds import MILLISECOND, SECOND

NAME = "codex-langfuse verify"
#: A model that does not exist, so that Langfuse adds no cost to the reader's project.
MODEL = "codex-langfuse-verify"

_AGENT = {
    "gen_ai.operation.name": "invoke_agent",
    "langfuse.observation.input": "Does a trace arrive?",
    "langfuse.observation.output": "It does.",
}
_GENERATION = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": MODEL,
    "gen_ai.usage.input_tokens": 2,
    "gen_ai.usage.output_tokens": 1,
}
_TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "test tool"}


@dataclass(frozen=True)
class ExpectedTrace:
    """A trace that Langfuse is to show: its id in hexadecimal, and when it began (seconds since 1970)."""

    trace_id: str
    start: float
    observations: int


@dataclass(frozen=True)
class TrialTrace(ExpectedTrace):
    """A trace ready to send, with the OTLP body (protobuf)."""

    body: bytes


def make_trial_trace(environment: str) -> TrialTrace:
    """Make a trace that ends now; ``environment`` is what Langfuse will file it under."""
    trace_id, agent_id = secrets.token_bytes(16), secrets.token_bytes(8)
    end = time.time_ns()
    start = end - 60 * MILLISECOND

    def span(
        name: str, attributes: dict[str, Any], begin: int, finish: int, span_id: bytes, parent: bytes = b""
    ) -> Span:
        return Span(
            trace_id=trace_id,
            span_id=span_id,
            parent_span_id=parent,
            name=name,
            kind=Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=start + begin * MILLISECOND,
            end_time_unix_nano=start + finish * MILLISECOND,
            attributes=_attributes(attributes | {"langfuse.environment": environment}),
        )

    spans = [
        span(NAME, _AGENT, 0, 60, agent_id),
        span("test generation", _GENERATION, 5, 35, secrets.token_bytes(8), agent_id),
        span("test tool", _TOOL, 40, 55, secrets.token_bytes(8), agent_id),
    ]
    own_version = version("codex-langfuse")
    resource = Resource(
        attributes=_attributes({"service.name": "codex-langfuse", "service.version": own_version})
    )
    scope = InstrumentationScope(name="codex-langfuse", version=own_version)
    export = ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=resource, scope_spans=[ScopeSpans(scope=scope, spans=spans)])]
    )
    return TrialTrace(trace_id.hex(), start / SECOND, len(spans), export.SerializeToString())


def _attributes(values: dict[str, Any]) -> list[KeyValue]:
    return [
        KeyValue(
            key=key,
            value=AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value),
        )
        for key, value in values.items()
    ]
