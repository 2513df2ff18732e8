"""Plain values as the spans of an OTLP request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Value = str | bool | int | float | tuple[str, ...]

_LARGEST = 2**63 - 1


def attributes(values: Mapping[str, Value | None]) -> list[KeyValue]:
    """Return `values` as attributes; None is left out."""
    return [KeyValue(key=key, value=_any_value(value)) for key, value in values.items() if value is not None]


def span(
    trace_id: bytes, span_id: bytes, parent_id: bytes, name: str, start: int, end: int, *given: list[KeyValue]
) -> Span:
    """Return a span of kind internal. start, end: nanoseconds since 1970. given: its attributes."""
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent_id,
        name=_text(name),
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=start,
        end_time_unix_nano=end,
        attributes=[each for attributes in given for each in attributes],
    )


def request(resource: Mapping[str, Value | None], scope: str, spans: Iterable[Span]) -> bytes:
    """Return an ExportTraceServiceRequest with one resource, one scope and its spans."""
    export = ExportTraceServiceRequest()
    group = export.resource_spans.add()
    group.resource.attributes.extend(attributes(resource))
    scope_spans = group.scope_spans.add()
    scope_spans.scope.name = scope
    scope_spans.spans.extend(spans)
    return export.SerializeToString()


def _text(text: str) -> str:
    # What is half a character in UTF-16 cannot be written in UTF-8.
    return text.encode("utf-8", "replace").decode()


def _any_value(value: Value) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=_text(value))
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=max(-_LARGEST, min(value, _LARGEST)))
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(array_value=ArrayValue(values=[_any_value(item) for item in value]))
