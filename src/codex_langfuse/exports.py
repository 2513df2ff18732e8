"""What is in exports over OTLP/HTTP (protobuf), as plain values: spans, or the events of Codex in its logs.

What is no export of that kind holds none.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclass(frozen=True)
class Span:
    """A span as it went over the wire: ids in hexadecimal, ``status`` as a name, events by name."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    events: tuple[tuple[str, Mapping[str, Any]], ...]
    status: str


@dataclass(frozen=True)
class Record:
    """A log record of Codex: the name of its event, and its attributes."""

    event: str
    attributes: Mapping[str, Any]


def spans_in(bodies: Iterable[bytes]) -> list[Span]:
    """Return the spans in exports of traces, in the order sent."""
    return [
        Span(
            name=span.name,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            attributes=_plain(span.attributes),
            resource=_plain(group.resource.attributes),
            events=tuple((event.name, _plain(event.attributes)) for event in span.events),
            status=trace_pb2.Status.StatusCode.Name(span.status.code),
        )
        for export in _decoded(ExportTraceServiceRequest, bodies)
        for group in export.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def records_in(bodies: Iterable[bytes]) -> list[Record]:
    """Return the events of Codex in exports of logs, in the order sent."""
    found = (
        _plain(record.attributes)
        for export in _decoded(ExportLogsServiceRequest, bodies)
        for group in export.resource_logs
        for scope in group.scope_logs
        for record in scope.log_records
    )
    return [
        Record(str(attributes["event.name"]), attributes)
        for attributes in found
        if "event.name" in attributes
    ]


def _decoded(kind: Any, bodies: Iterable[bytes]) -> Iterator[Any]:
    for body in bodies:
        try:
            yield kind.FromString(body)
        except DecodeError:
            continue


def _plain(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    """Turn attributes into a mapping; of a name that is there twice (``thread.id``) the last one stays."""
    return {
        item.key: getattr(item.value, kind) if (kind := item.value.WhichOneof("value")) else None
        for item in attributes
    }
