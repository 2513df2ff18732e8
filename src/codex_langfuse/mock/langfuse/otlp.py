"""An OTLP trace export as Langfuse decodes it, and whether it can be taken.

Langfuse decodes protobuf with code that protobufjs 7.6.5 runs (``web/src/pages/api/public/otel/otlp-proto``),
which looks at a field's number and never at its wire type, lets a message run past its own end, tolerates
invalid UTF-8, and remembers whether a field was on the wire. Both readers are here: ``_ProtobufjsReader``
does exactly that, and Google's (a hundred times faster) is used whenever the bytes are such that both must
agree: nothing unknown in them and nothing but the canonical encoding.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from codex_langfuse.mock.langfuse.javascript import UNDEFINED, number, parse_json, to_string, truthy


class TraceExport:
    """One decoded request body: its spans, on demand, as the JavaScript objects Langfuse works on."""

    def __init__(
        self, resource_spans: Any = UNDEFINED, *, canonical: ExportTraceServiceRequest | None = None
    ):
        self._resource_spans = resource_spans
        self._canonical = canonical

    @property
    def is_empty(self) -> bool:
        """True when Langfuse sees nothing to do and answers ``{}``."""
        if self._canonical is not None:
            return not self._canonical.resource_spans
        value = self._resource_spans
        if isinstance(value, dict):
            length = value.get("length", UNDEFINED)
            return isinstance(length, int | float) and not isinstance(length, bool) and length == 0
        return not truthy(value) or value == []

    def resource_spans(self) -> Any:
        """Return ``resourceSpans`` as decoded; whatever was sent, when it was JSON."""
        if self._canonical is not None:
            return [_resource_spans_object(each) for each in self._canonical.resource_spans]
        return self._resource_spans

    def refusal(self) -> str | None:
        """Return the message for an export with unusable ids or lists, or ``None`` when all is usable."""
        if self._canonical is not None and all(
            span.trace_id and span.span_id
            for resource in self._canonical.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ):
            return None
        return _refusal(self.resource_spans())


def parse_protobuf(body: bytes) -> TraceExport:
    """Decode an ``application/x-protobuf`` body; raises ``ValueError`` where protobufjs would."""
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        pass
    else:
        request.DiscardUnknownFields()
        # Shorter: something was unknown, repeated or written in a longer way than needed.
        if request.ByteSize() == len(body):
            return TraceExport(canonical=request)
    try:
        return TraceExport(
            _ProtobufjsReader(body).message("ExportTraceServiceRequest").get("resourceSpans", UNDEFINED)
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def parse_otlp_json(body: bytes) -> TraceExport:
    """Decode an ``application/json`` body.

    Raises ``ValueError`` where ``JSON.parse(body).resourceSpans`` throws.
    """
    value = parse_json(body.decode("utf-8", "replace"))
    if value is None:
        raise ValueError("Cannot read properties of null (reading 'resourceSpans')")
    return TraceExport(value.get("resourceSpans", UNDEFINED) if isinstance(value, dict) else UNDEFINED)


# --- the protobufjs way -------------------------------------------------------------------------------------

#: Field number to name and kind, as Langfuse's decoders have them (no flags); a capital letter begins a
#: message, in a list when it is repeated.
_FIELDS: dict[str, dict[int, tuple[str, str | list[str]]]] = {
    "ExportTraceServiceRequest": {1: ("resourceSpans", ["ResourceSpans"])},
    "ResourceSpans": {
        1: ("resource", "Resource"),
        2: ("scopeSpans", ["ScopeSpans"]),
        3: ("schemaUrl", "string"),
    },
    "Resource": {1: ("attributes", ["KeyValue"]), 2: ("droppedAttributesCount", "uint32")},
    "ScopeSpans": {1: ("scope", "InstrumentationScope"), 2: ("spans", ["Span"]), 3: ("schemaUrl", "string")},
    "InstrumentationScope": {
        1: ("name", "string"),
        2: ("version", "string"),
        3: ("attributes", ["KeyValue"]),
        4: ("droppedAttributesCount", "uint32"),
    },
    "Span": {
        1: ("traceId", "bytes"),
        2: ("spanId", "bytes"),
        3: ("traceState", "string"),
        4: ("parentSpanId", "bytes"),
        5: ("name", "string"),
        6: ("kind", "int32"),
        7: ("startTimeUnixNano", "fixed64"),
        8: ("endTimeUnixNano", "fixed64"),
        9: ("attributes", ["KeyValue"]),
        10: ("droppedAttributesCount", "uint32"),
        11: ("events", ["Event"]),
        12: ("droppedEventsCount", "uint32"),
        13: ("links", ["Link"]),
        14: ("droppedLinksCount", "uint32"),
        15: ("status", "Status"),
    },
    "Event": {
        1: ("timeUnixNano", "fixed64"),
        2: ("name", "string"),
        3: ("attributes", ["KeyValue"]),
        4: ("droppedAttributesCount", "uint32"),
    },
    "Link": {
        1: ("traceId", "bytes"),
        2: ("spanId", "bytes"),
        3: ("traceState", "string"),
        4: ("attributes", ["KeyValue"]),
        5: ("droppedAttributesCount", "uint32"),
    },
    "Status": {2: ("message", "string"), 3: ("code", "int32")},
    "KeyValue": {1: ("key", "string"), 2: ("value", "AnyValue")},
    "AnyValue": {
        1: ("stringValue", "string"),
        2: ("boolValue", "bool"),
        3: ("intValue", "int64"),
        4: ("doubleValue", "double"),
        5: ("arrayValue", "ArrayValue"),
        6: ("kvlistValue", "KeyValueList"),
        7: ("bytesValue", "bytes"),
    },
    "ArrayValue": {1: ("values", ["AnyValue"])},
    "KeyValueList": {1: ("values", ["KeyValue"])},
}
_DEEPEST_GROUP = 100


class _ProtobufjsReader:
    """Reads as protobufjs' ``BufferReader`` and the decoders generated for it; raises ``ValueError``."""

    def __init__(self, data: bytes):
        self._data = data
        self._length = len(data)
        self._at = 0

    def message(self, kind: str, length: int | None = None) -> dict[str, Any]:
        fields = _FIELDS[kind]
        end = self._length if length is None else self._at + length
        found: dict[str, Any] = {}
        while self._at < end:
            tag = self._uint32()
            field = fields.get(tag >> 3)
            if field is None:
                self._skip(tag & 7)
                continue
            name, content = field
            if isinstance(content, list):
                found.setdefault(name, []).append(self.message(content[0], self._uint32()))
            elif content[0].isupper():
                found[name] = self.message(content, self._uint32())
            else:
                found[name] = _SCALARS[content](self)
        # protobufjs makes the object in the order of the declaration, whatever the order on the wire.
        return {name: found[name] for name, _ in fields.values() if name in found}

    def _uint32(self) -> int:
        data, at, length = self._data, self._at, self._length
        value = 0
        for shift, mask in ((0, 127), (7, 127), (14, 127), (21, 127), (28, 15)):
            # Beyond the end JavaScript reads `undefined`: no bits, and not below 128.
            byte = data[at] if at < length else 128
            at += 1
            value |= (byte & mask) << shift
            if byte < 128:
                self._at = at
                return value
        self._at = at + 5
        if self._at > length:
            raise ValueError("index out of range")
        return value

    def _int32(self) -> int:
        value = self._uint32()
        return value - 2**32 if value >= 2**31 else value

    def _bool(self) -> bool:
        return self._uint32() != 0

    def _int64(self) -> str:
        data, length = self._data, self._length
        # With fewer than five bytes left protobufjs stops after four, even if the fourth is not there.
        last = 3 if length - self._at <= 4 else 9
        value = 0
        for index in range(last + 1):
            if self._at < length:
                byte = data[self._at]
            elif index == 3:
                byte = 0
            else:
                raise ValueError("index out of range")
            self._at += 1
            value |= (byte & 127) << (7 * index)
            if byte < 128 or last == index == 3:
                value &= 2**64 - 1
                return str(value - 2**64 if value >= 2**63 else value)
        raise ValueError("invalid varint encoding")

    def _take(self, size: int) -> bytes:
        if self._at + size > self._length:
            raise ValueError("index out of range")
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def _fixed64(self) -> str:
        return str(int.from_bytes(self._take(8), "little"))

    def _double(self) -> int | float:
        return number(struct.unpack("<d", self._take(8))[0])

    def _bytes(self) -> bytes:
        return self._take(self._uint32())

    def _string(self) -> str:
        # A string is the one thing that may be cut short by the end of the body.
        size = self._uint32()
        taken = self._data[self._at : self._at + size]
        self._at = min(self._at + size, self._length)
        return taken.decode("utf-8", "replace")

    def _skip(self, wire_type: int, depth: int = 0) -> None:
        if depth > _DEEPEST_GROUP:
            raise ValueError("maximum nesting depth exceeded")
        if wire_type == 0:
            while True:
                if self._at >= self._length:
                    raise ValueError("index out of range")
                self._at += 1
                if self._data[self._at - 1] < 128:
                    return
        elif wire_type == 1:
            self._take(8)
        elif wire_type == 2:
            self._take(self._uint32())
        elif wire_type == 3:
            while (inner := self._uint32() & 7) != 4:
                self._skip(inner, depth + 1)
        elif wire_type == 5:
            self._take(4)
        else:
            raise ValueError("invalid wire type")


_SCALARS: dict[str, Callable[[_ProtobufjsReader], Any]] = {
    "string": _ProtobufjsReader._string,
    "bytes": _ProtobufjsReader._bytes,
    "uint32": _ProtobufjsReader._uint32,
    "int32": _ProtobufjsReader._int32,
    "int64": _ProtobufjsReader._int64,
    "fixed64": _ProtobufjsReader._fixed64,
    "double": _ProtobufjsReader._double,
    "bool": _ProtobufjsReader._bool,
}


# --- the same objects from Google's parser ------------------------------------------------------------------


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
