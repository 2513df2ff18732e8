"""What a request of Codex or of the relay holds, as plain values: its spans, or its log records."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue


@dataclass(frozen=True)
class Span:
    """A span as it went over the wire; ids in hexadecimal."""

    name: str
    trace_id: str
    span_id: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """A log record of Codex: the name of its event, and its attributes."""

    event: str
    attributes: Mapping[str, Any]


def spans_in(bodies: Iterable[bytes]) -> list[Span]:
    """Return the spans in exports of traces (protobuf); what is no such export holds none."""
    spans = []
    for body in bodies:
        try:
            export = ExportTraceServiceRequest.FromString(body)
        except DecodeError:
            continue
        spans += [
            Span(span.name, span.trace_id.hex(), span.span_id.hex(), _plain(span.attributes))
            for resource in export.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
    return spans


def records_in(bodies: Iterable[bytes]) -> list[Record]:
    """Return the events of Codex in exports of logs (protobuf), in the order sent."""
    records = []
    for body in bodies:
        try:
            export = ExportLogsServiceRequest.FromString(body)
        except DecodeError:
            continue
        for resource in export.resource_logs:
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    attributes = _plain(record.attributes)
                    if "event.name" in attributes:
                        records.append(Record(str(attributes["event.name"]), attributes))
    return records


def _plain(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {
        item.key: getattr(item.value, kind) if (kind := item.value.WhichOneof("value")) else None
        for item in attributes
    }
