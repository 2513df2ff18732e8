"""What one request carried: its signal, and every text in it, whatever Langfuse makes of the request.

A sender may put logs on the path for traces and anything on a path that is not there, so the body decides:
it is read as each of the three signals, and the one that leaves least of it unread is taken.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from codex_langfuse.codex.content import Kind, classify
from codex_langfuse.compression import gunzip
from codex_langfuse.mock.store import SeenRequest

Signal = Literal["traces", "logs", "metrics", "unknown"]

_MESSAGES: dict[Signal, type[Message]] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
_JSON_KEYS: dict[str, Signal] = {
    "resourceSpans": "traces",
    "resourceLogs": "logs",
    "resourceMetrics": "metrics",
}
_IDS = {"traceId", "spanId", "parentSpanId"}
_ID = re.compile(r"[0-9A-Fa-f]{0,32}")
#: Bytes of a body that are read; a day of Codex is a hundredth of it.
LARGEST_READ = 64 * 1024 * 1024
_LONGEST_UNREADABLE = 1024 * 1024


@dataclass(frozen=True, order=True)
class TelemetryField:
    """Where a text was: in which signal, in what part of it, under which key."""

    signal: Signal
    part: str
    key: str


@dataclass
class RequestContents:
    """The texts of a request by place, each with how often it is there, and what identifies the sender.

    ``items`` are spans, log records or data points; ``versions`` and ``services`` are those of the resources.
    """

    signal: Signal
    items: int = 0
    texts: dict[TelemetryField, Counter[str]] = field(default_factory=dict)
    kinds: Counter[Kind] = field(default_factory=Counter)
    versions: set[str] = field(default_factory=set)
    services: set[str] = field(default_factory=set)
    readable: bool = True

    def add(self, part: str, key: str, text: str) -> None:
        """Note that ``text`` was under ``key``."""
        if text:
            self.texts.setdefault(TelemetryField(self.signal, part, key), Counter())[text] += 1


def contents_of(request: SeenRequest) -> RequestContents:
    """Read a request's body; one that cannot be read is taken whole, as one text."""
    body, media_type = request.body, dict(request.headers).get("content-type", "").lower()
    if "gzip" in dict(request.headers).get("content-encoding", ""):
        try:
            body = gunzip(body, LARGEST_READ)
        except (ValueError, OverflowError):
            return _counted(_unreadable(b""))
    hint = _hinted(request.path)
    contents = _read_json(body, hint) if "json" in media_type or body[:1] in (b"{", b"[") else None
    contents = contents or _read_protobuf(body, hint) or _unreadable(body)
    return _counted(contents)


def _hinted(path: str) -> Signal:
    last = path.partition("?")[0].rstrip("/").rpartition("/")[2]
    return next((signal for signal in _MESSAGES if signal == last), "unknown")


def _counted(contents: RequestContents) -> RequestContents:
    for place, texts in contents.texts.items():
        for text, count in texts.items():
            contents.kinds[classify(place.key, text)] += count
    return contents


def _unreadable(body: bytes) -> RequestContents:
    contents = RequestContents("unknown", readable=not body)
    contents.add("body", "(body)", body[:_LONGEST_UNREADABLE].decode("utf-8", "replace"))
    return contents


def _read_protobuf(body: bytes, hint: Signal) -> RequestContents | None:
    best: tuple[int, Signal, Message] | None = None
    for signal in sorted(_MESSAGES, key=lambda each: each != hint):
        message = _MESSAGES[signal]()
        try:
            message.ParseFromString(body)
            message.DiscardUnknownFields()
        except DecodeError:
            continue
        understood = message.ByteSize()
        if best is None or understood > best[0]:
            best = (understood, signal, message)
        if understood == len(body) and signal == hint:
            break
    # A body of another kind has a few bytes in common with a message, by chance.
    if best is None or best[0] * 2 < len(body):
        return None
    return _walk(best[1], best[2])


def _read_json(body: bytes, hint: Signal) -> RequestContents | None:
    odd_ids: list[str] = []

    def without_ids(value: dict[str, Any]) -> dict[str, Any]:
        # Langfuse takes any text for an id; the reader of OTLP does not.
        for name in _IDS & value.keys():
            given = value.pop(name)
            if isinstance(given, str) and not _ID.fullmatch(given):
                odd_ids.append(given)
        return value

    try:
        value = json.loads(body, object_hook=without_ids)
    except (ValueError, RecursionError):
        return None
    signal = hint
    if isinstance(value, dict):
        signal = next((_JSON_KEYS[key] for key in value if key in _JSON_KEYS), hint)
    contents = _parsed(signal, value)
    if contents is None:
        contents = RequestContents(signal, readable=False)
        _walk_json(contents, value)
    for odd_id in odd_ids:
        contents.add("span", "(id)", odd_id)
    return contents


def _parsed(signal: Signal, value: Any) -> RequestContents | None:
    if signal not in _MESSAGES:
        return None
    message = _MESSAGES[signal]()
    try:
        return _walk(signal, json_format.ParseDict(value, message, ignore_unknown_fields=True))
    except (json_format.ParseError, RecursionError, ValueError, TypeError, AttributeError):
        return None


def _walk_json(contents: RequestContents, value: Any) -> None:
    """Note every text in JSON that is no OTLP, under the name of the field that holds it."""
    waiting: list[tuple[str, Any]] = [("(body)", value)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            named = value.get("key")
            for name, inner in value.items():
                contents.add("body", "(key)", name)
                waiting.append((named if isinstance(named, str) and name == "value" else name, inner))
        elif isinstance(value, list):
            waiting.extend((key, inner) for inner in value)
        elif isinstance(value, str):
            contents.add("body", key if len(key) < 200 else "(key)", value)


def _walk(signal: Signal, message: Any) -> RequestContents:
    contents = RequestContents(signal)
    groups, scopes, walk_scope = _WALKS[signal]
    for group in getattr(message, groups):
        resource = {item.key: item.value.string_value for item in group.resource.attributes}
        if version := resource.get("service.version"):
            contents.versions.add(version)
        if service := resource.get("service.name"):
            contents.services.add(service)
        _attributes(contents, "resource", group.resource.attributes)
        contents.add("resource", "(schema URL)", group.schema_url)
        for scope in getattr(group, scopes):
            _attributes(contents, "scope", scope.scope.attributes)
            contents.add("scope", "(scope)", scope.scope.name)
            contents.add("scope", "(scope)", scope.scope.version)
            contents.add("scope", "(schema URL)", scope.schema_url)
            walk_scope(contents, scope)
    return contents


def _walk_spans(contents: RequestContents, scope: Any) -> None:
    for span in scope.spans:
        contents.items += 1
        contents.add("span", "(name)", span.name)
        contents.add("span", "(trace state)", span.trace_state)
        contents.add("span", "(status message)", span.status.message)
        _attributes(contents, "span", span.attributes)
        for event in span.events:
            contents.add("span event", "(name)", event.name)
            _attributes(contents, "span event", event.attributes)
        for link in span.links:
            _attributes(contents, "span link", link.attributes)


def _walk_records(contents: RequestContents, scope: Any) -> None:
    for record in scope.log_records:
        contents.items += 1
        contents.add("log record", "(event name)", record.event_name)
        if record.HasField("body"):
            contents.add("log record", "(body)", _text(record.body))
        _attributes(contents, "log record", record.attributes)


def _walk_metrics(contents: RequestContents, scope: Any) -> None:
    for metric in scope.metrics:
        contents.add("metric", "(metric)", metric.name)
        contents.add("metric", "(description)", metric.description)
        contents.add("metric", "(unit)", metric.unit)
        _attributes(contents, "metric", metric.metadata)
        which = metric.WhichOneof("data")
        for point in getattr(metric, which).data_points if which else ():
            contents.items += 1
            _attributes(contents, "data point", point.attributes)
            for exemplar in getattr(point, "exemplars", ()):
                _attributes(contents, "data point", exemplar.filtered_attributes)


_WALKS: dict[Signal, tuple[str, str, Callable[[RequestContents, Any], None]]] = {
    "traces": ("resource_spans", "scope_spans", _walk_spans),
    "logs": ("resource_logs", "scope_logs", _walk_records),
    "metrics": ("resource_metrics", "scope_metrics", _walk_metrics),
}


def _attributes(contents: RequestContents, part: str, attributes: Iterable[Any]) -> None:
    for item in attributes:
        value = item.value
        if value.HasField("string_value"):
            contents.add(part, item.key, value.string_value)
        elif value.HasField("array_value") or value.HasField("kvlist_value") or value.HasField("bytes_value"):
            contents.add(part, item.key, _text(value))
        else:
            # A number says nothing but its name; how many different ones there are says less.
            contents.add(part, item.key, "(number)")


def _text(value: Any, depth: int = 0) -> str:
    which = value.WhichOneof("value")
    if which == "string_value":
        return str(value.string_value)
    if which == "bytes_value":
        return str(value.bytes_value, "utf-8", "replace")
    if depth > 20:
        return "…"
    if which == "array_value":
        return ", ".join(_text(each, depth + 1) for each in value.array_value.values)
    if which == "kvlist_value":
        return ", ".join(f"{each.key}: {_text(each.value, depth + 1)}" for each in value.kvlist_value.values)
    return "" if which is None else str(getattr(value, which))
