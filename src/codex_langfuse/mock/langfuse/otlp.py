"""An OTLP trace export as Langfuse decodes it, and whether it can be taken."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from codex_langfuse.mock.langfuse.javascript import UNDEFINED, number, parse_json, truthy


class TraceExport:
    """One decoded request body: its spans, on demand, as the JavaScript objects Langfuse works on."""

    def __init__(self, resource_spans: Any = UNDEFINED, *, decoded: ExportTraceServiceRequest | None = None):
        self._resource_spans = resource_spans
        self._decoded = decoded

    @property
    def is_empty(self) -> bool:
        """True when Langfuse sees nothing to do and answers ``{}``."""
        if self._decoded is not None:
            return not self._decoded.resource_spans
        value = self._resource_spans
        if isinstance(value, dict):
            length = value.get("length", UNDEFINED)
            return isinstance(length, int | float) and not isinstance(length, bool) and length == 0
        return not truthy(value) or value == []

    def resource_spans(self) -> Any:
        """Return ``resourceSpans`` as decoded; whatever was sent, when it was JSON."""
        if self._decoded is not None:
            return [_resource_spans_object(each) for each in self._decoded.resource_spans]
        return self._resource_spans

    def refusal(self) -> str | None:
        """Return the message for an export with unusable ids or lists, or ``None`` when all is usable."""
        if self._decoded is not None and all(
            span.trace_id and span.span_id
            for resource in self._decoded.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ):
            return None
        return _refusal(self.resource_spans())


def parse_protobuf(body: bytes) -> TraceExport:
    """Decode an ``application/x-protobuf`` body; raises ``ValueError`` for what is no export of traces.

    Langfuse's decoder (protobufjs 7.6.5) takes a field for what its number says, whatever its wire type, and
    stumbles over one of another kind, as log records have. Google's leaves such a field aside.
    """
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise ValueError("not decodable") from error
    request.DiscardUnknownFields()
    is_unknown_left_out = request.ByteSize() < len(body)
    if is_unknown_left_out and _has_field_of_another_kind(ExportTraceServiceRequest.FromString(body)):
        raise ValueError("a field of another kind")
    return TraceExport(decoded=request)


def _has_field_of_another_kind(message: Message) -> bool:
    known = message.DESCRIPTOR.fields_by_number
    unknown = UnknownFieldSet(message)
    if any(unknown[place].field_number in known for place in range(len(unknown))):
        return True
    return any(
        _has_field_of_another_kind(inner)
        for descriptor, value in message.ListFields()
        if descriptor.message_type
        for inner in ([value] if isinstance(value, Message) else value)
    )


def parse_otlp_json(body: bytes) -> TraceExport:
    """Decode an ``application/json`` body.

    Raises ``ValueError`` where ``JSON.parse(body).resourceSpans`` throws.
    """
    value = parse_json(body.decode("utf-8", "replace"))
    if value is None:
        raise ValueError("Cannot read properties of null (reading 'resourceSpans')")
    return TraceExport(value.get("resourceSpans", UNDEFINED) if isinstance(value, dict) else UNDEFINED)


# --- the objects that Langfuse works on ---------------------------------------------------------------------


def _resource_spans_object(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if message.HasField("resource"):
        found["resource"] = _with_attributes({}, message.resource)
    if message.scope_spans:
        found["scopeSpans"] = [_scope_spans_object(each) for each in message.scope_spans]
    if message.schema_url:
        found["schemaUrl"] = message.schema_url
    return found


def _scope_spans_object(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if message.HasField("scope"):
        scope = message.scope
        named = {name: value for name, value in (("name", scope.name), ("version", scope.version)) if value}
        found["scope"] = _with_attributes(named, scope)
    if message.spans:
        found["spans"] = [_span_object(each) for each in message.spans]
    if message.schema_url:
        found["schemaUrl"] = message.schema_url
    return found


def _span_object(span: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in (
        ("traceId", span.trace_id),
        ("spanId", span.span_id),
        ("traceState", span.trace_state),
        ("parentSpanId", span.parent_span_id),
        ("name", span.name),
        ("kind", span.kind),
    ):
        if value:
            found[name] = value
    if span.start_time_unix_nano:
        found["startTimeUnixNano"] = str(span.start_time_unix_nano)
    if span.end_time_unix_nano:
        found["endTimeUnixNano"] = str(span.end_time_unix_nano)
    _with_attributes(found, span)
    if span.events:
        found["events"] = [
            _with_attributes({"name": event.name} if event.name else {}, event) for event in span.events
        ]
    if span.HasField("status"):
        status = span.status
        found["status"] = {
            name: value for name, value in (("message", status.message), ("code", status.code)) if value
        }
    return found


def _with_attributes(found: dict[str, Any], message: Any) -> dict[str, Any]:
    if message.attributes:
        found["attributes"] = [_key_value_object(each) for each in message.attributes]
    if message.dropped_attributes_count:
        found["droppedAttributesCount"] = message.dropped_attributes_count
    return found


def _key_value_object(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if message.key:
        found["key"] = message.key
    if message.HasField("value"):
        found["value"] = _any_value_object(message.value)
    return found


def _any_value_object(value: Any) -> dict[str, Any]:
    which = value.WhichOneof("value")
    if which == "string_value":
        return {"stringValue": value.string_value}
    if which == "int_value":
        return {"intValue": str(value.int_value)}
    if which == "bool_value":
        return {"boolValue": value.bool_value}
    if which == "double_value":
        return {"doubleValue": number(value.double_value)}
    if which == "bytes_value":
        return {"bytesValue": value.bytes_value}
    if which == "array_value":
        values = [_any_value_object(each) for each in value.array_value.values]
        return {"arrayValue": {"values": values} if values else {}}
    if which == "kvlist_value":
        pairs = [_key_value_object(each) for each in value.kvlist_value.values]
        return {"kvlistValue": {"values": pairs} if pairs else {}}
    return {}


# --- what can be taken --------------------------------------------------------------------------------------


def field(value: Any, name: str) -> Any:
    """Return ``value?.name`` of a decoded object: ``UNDEFINED`` where there is none."""
    return value.get(name, UNDEFINED) if isinstance(value, dict) else UNDEFINED


def listed(value: Any) -> list[Any]:
    """Return a list of a decoded object, an empty one for anything else."""
    return value if isinstance(value, list) else []


def _is_absent(value: Any) -> bool:
    return value is None or value is UNDEFINED


def _id_reason(value: Any) -> str | None:
    if _is_absent(value):
        return "absent"
    if isinstance(value, str | bytes | list):
        return None
    if isinstance(value, dict) and value.get("type") == "Buffer" and isinstance(value.get("data"), list):
        return None
    return "not_an_id"


def _is_malformed_list(value: Any) -> bool:
    return not _is_absent(value) and not isinstance(value, list)


def _span_reasons(span: Any) -> Iterator[str]:
    for name in ("traceId", "spanId"):
        if reason := _id_reason(field(span, name)):
            yield f"{name}:{reason}"
    parent = field(span, "parentSpanId")
    if truthy(parent) and (reason := _id_reason(parent)):
        yield f"parentSpanId:{reason}"
    if _is_malformed_list(field(span, "attributes")):
        yield "attributes:not_an_array"
    events = field(span, "events")
    if _is_malformed_list(events):
        yield "events:not_an_array"
    elif isinstance(events, list) and any(_is_malformed_list(field(event, "attributes")) for event in events):
        yield "event.attributes:not_an_array"


def _refusal(resource_spans: Any) -> str | None:
    """Word the refusal of an export with unusable ids or lists (``validateOtelSpanIds``), more briefly."""
    reasons = dict.fromkeys(
        reason for resource_span in listed(resource_spans) for reason in _resource_reasons(resource_span)
    )
    if not reasons:
        return None
    return (
        f"Invalid OTLP trace export ({', '.join(reasons)}). Every span needs a traceId and a spanId, each a "
        "string or a byte array; scopeSpans, spans, attributes and events must be arrays. The entire export "
        "was rejected and no spans were ingested. This endpoint accepts OpenTelemetry traces only — if you "
        "are exporting OpenTelemetry logs, point your log exporter elsewhere."
    )


def _resource_reasons(resource_span: Any) -> Iterator[str]:
    if _is_malformed_list(field(field(resource_span, "resource"), "attributes")):
        yield "resource.attributes:not_an_array"
    if _is_malformed_list(field(resource_span, "scopeSpans")):
        yield "scopeSpans:not_an_array"
    for scope_span in listed(field(resource_span, "scopeSpans")):
        if _is_malformed_list(field(field(scope_span, "scope"), "attributes")):
            yield "scope.attributes:not_an_array"
        if _is_malformed_list(field(scope_span, "spans")):
            yield "spans:not_an_array"
        for span in listed(field(scope_span, "spans")):
            yield from _span_reasons(span)
