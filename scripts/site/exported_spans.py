"""The spans in an OTLP/HTTP request, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Status


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


def spans_in(body: bytes) -> list[Span]:
    """Decode a protobuf export of traces; raises ``DecodeError`` for anything else."""
    return [
        Span(
            name=span.name,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            attributes=_plain(span.attributes),
            resource=_plain(group.resource.attributes),
            events=tuple((event.name, _plain(event.attributes)) for event in span.events),
            status=Status.StatusCode.Name(span.status.code),
        )
        for group in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _plain(attributes: list[KeyValue]) -> dict[str, Any]:
    """Turn attributes into a mapping; of a name that is there twice (``thread.id``) the last one stays."""
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}
