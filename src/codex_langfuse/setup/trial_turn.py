"""The turn that ``setup`` sends through the relay: what Codex sends of one, with nothing of the reader's.

No model is called. The model's name is one that Langfuse has no price for, so the turn costs nothing.
"""

import secrets
import time
import uuid
from dataclasses import dataclass
from importlib.metadata import version

import httpx
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from codex_langfuse.nanoseconds import MILLISECOND, SECOND
from codex_langfuse.proxies import client_options
from codex_langfuse.relay.clean_trace import trace_id_of
from codex_langfuse.verify.trial_trace import ExpectedTrace

NAME = "codex-langfuse-setup"
#: Where Langfuse files it, apart from real turns.
ENVIRONMENT = "setup"
_SECONDS_TO_ANSWER = 20


@dataclass(frozen=True)
class TrialTurn:
    """A turn ready to send: what Langfuse is to show of it, and its two exports (protobuf)."""

    expected: ExpectedTrace
    logs: bytes
    traces: bytes

    def send(self, relay: str) -> None:
        """Send it to the relay at ``relay``, as Codex does; raises ``httpx.HTTPError``."""
        headers = {"content-type": "application/x-protobuf"}
        with httpx.Client(timeout=_SECONDS_TO_ANSWER, headers=headers, **client_options(relay)) as client:
            for path, body in (("logs", self.logs), ("traces", self.traces)):
                client.post(f"{relay}/v1/{path}", content=body).raise_for_status()


def make_trial_turn() -> TrialTurn:
    """Make a turn of one model call that ends now."""
    conversation, turn = str(uuid.uuid4()), str(uuid.uuid4())
    trace_id, span_id = secrets.token_bytes(16), secrets.token_bytes(8)
    end = time.time_ns()
    start = end - 60 * MILLISECOND
    resource = Resource(
        attributes=_attributes(
            {"service.name": NAME, "service.version": version("codex-langfuse"), "env": ENVIRONMENT}
        )
    )

    def record(name: str, after: int, **more: str | int) -> LogRecord:
        attributes = {"event.name": name, "conversation.id": conversation, "model": NAME}
        return LogRecord(
            observed_time_unix_nano=start + after * MILLISECOND,
            trace_id=trace_id,
            span_id=span_id,
            attributes=_attributes({**attributes, **{key.replace("__", "."): more[key] for key in more}}),
        )

    records = [
        record("codex.user_prompt", 0, prompt_length=0),
        record(
            "codex.api_request", 20, duration_ms=10, http__response__status_code=200, endpoint="/responses"
        ),
        record(
            "codex.sse_event", 40, event__kind="response.completed", input_token_count=2, output_token_count=1
        ),
    ]
    usage = {
        f"codex.turn.token_usage.{kind}_tokens": n for kind, n in (("input", 2), ("output", 1), ("total", 3))
    }
    span = Span(
        name="session_task.turn",
        trace_id=trace_id,
        span_id=span_id,
        start_time_unix_nano=start,
        end_time_unix_nano=end,
        attributes=_attributes({"turn.id": turn, "thread.id": conversation, "model": NAME, **usage}),
    )
    logs = ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(resource=resource, scope_logs=[ScopeLogs(log_records=records)])]
    )
    traces = ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=resource, scope_spans=[ScopeSpans(spans=[span])])]
    )
    expected = ExpectedTrace(trace_id_of(conversation, turn), start / SECOND, observations=2)
    return TrialTurn(expected, logs.SerializeToString(), traces.SerializeToString())


def _attributes(values: dict[str, str | int]) -> list[KeyValue]:
    """Write attributes as Codex does: numbers as text."""
    return [KeyValue(key=key, value=AnyValue(string_value=str(value))) for key, value in values.items()]
