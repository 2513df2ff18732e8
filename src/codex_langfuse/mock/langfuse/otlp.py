"""An OTLP trace export as Langfuse decodes it, and whether it can be taken."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from codex_langfuse.mock.langfuse.javascript import UNDEFINED, number, parse_json, to_string, truthy


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
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise ValueError("not decodable") from error
    if _has_field_of_another_kind(request):
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
    """Word the refusal of an export with unusable ids or lists (``validateOtelSpanIds`` and its caller)."""
    total = bad = malformed = 0
    reasons: dict[str, None] = {}
    scope_names: dict[str, None] = {}

    def sample(scope: Any) -> None:
        name = field(scope, "name")
        if truthy(name) and len(scope_names) < 5:
            scope_names[to_string(name)] = None

    for resource_span in resource_spans if isinstance(resource_spans, list) else ():
        if _is_malformed_list(field(field(resource_span, "resource"), "attributes")):
            malformed += 1
            reasons["resource.attributes:not_an_array"] = None
        scope_spans = field(resource_span, "scopeSpans")
        if not isinstance(scope_spans, list):
            if not _is_absent(scope_spans):
                malformed += 1
                reasons["scopeSpans:not_an_array"] = None
            continue
        for scope_span in scope_spans:
            scope = field(scope_span, "scope")
            if _is_malformed_list(field(scope, "attributes")):
                malformed += 1
                reasons["scope.attributes:not_an_array"] = None
                sample(scope)
            spans = field(scope_span, "spans")
            if not isinstance(spans, list):
                if not _is_absent(spans):
                    malformed += 1
                    reasons["spans:not_an_array"] = None
                    sample(scope)
                continue
            for span in spans:
                total += 1
                found = list(_span_reasons(span))
                if found:
                    bad += 1
                    reasons.update(dict.fromkeys(found))
                    sample(scope)

    if not bad and not malformed:
        return None
    problems = []
    if bad:
        problems.append(f"{bad} of {total} span(s) cannot be processed")
    if malformed:
        problems.append(f"{malformed} resource- or scope-level field(s) are present but not arrays")
    hints = []
    if any(reason.endswith((":absent", ":not_an_id")) for reason in reasons):
        hints.append(
            "traceId and spanId are required on every span, and each must be a string or a byte array."
        )
    if any(reason.endswith(":not_an_array") for reason in reasons):
        hints.append(
            "scopeSpans, spans, attributes and events must all be arrays — OTLP attributes are a list of "
            "{key, value} entries, not a JSON object."
        )
    return (
        f"Invalid OTLP trace export: {'; '.join(problems)} ({', '.join(reasons)}). {' '.join(hints)} "
        "The entire export was rejected and no spans were ingested. "
        f"Instrumentation scopes: {', '.join(scope_names) or 'unknown'}. "
        "This endpoint accepts OpenTelemetry traces only — if you are exporting OpenTelemetry logs, "
        "point your log exporter elsewhere."
    )
