"""OTLP over HTTP coming in: from headers and body to a message, or to the status that says why not.

Codex posts protobuf (``protocol = "binary"``) or JSON, uncompressed; other senders compress with gzip.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from codex_langfuse.codex.telemetry import SpanBatch
from codex_langfuse.compression import gunzip
from codex_langfuse.relay.wire_size import TooMuchError, check_json, check_protobuf

Signal = Literal["logs", "traces"]
#: Of traces only the spans that say something are decoded.
Message = ExportLogsServiceRequest | SpanBatch

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

#: Bytes a body may have, on the wire and decompressed. A turn of Codex 0.163 is 0.2 MB, as JSON 1.25 MB.
LARGEST_BODY = 32 * 1024 * 1024
LARGEST_JSON = 8 * 1024 * 1024

_REQUESTS: dict[Signal, type[ExportLogsServiceRequest] | type[ExportTraceServiceRequest]] = {
    "logs": ExportLogsServiceRequest,
    "traces": ExportTraceServiceRequest,
}


class RefusedRequestError(Exception):
    """A request that changes nothing: the status to answer with, and the reason in words."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Export:
    """One accepted export: what it carries, as protobuf bytes and decoded."""

    signal: Signal
    body: bytes
    message: Message

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it to keep."""
        return not self.body


def content_type_of(headers: Mapping[str, str]) -> str:
    """Return ``PROTOBUF`` or ``JSON``; raises ``RefusedRequestError`` (415) for any other content type."""
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in (PROTOBUF, JSON):
        raise RefusedRequestError(415, f"the content type must be {PROTOBUF} or {JSON}")
    return content_type


def decode(signal: Signal, headers: Mapping[str, str], body: bytes) -> Export:
    """Decode the body of ``POST /v1/<signal>``.

    ``headers`` have lower-case names. Raises ``RefusedRequestError``: 400 for a body that is not what the
    headers or the path say, 413 for one that is too large once decompressed or decoded, 415 for a type or a
    compression that is not understood.
    """
    content_type = content_type_of(headers)
    body = _decompressed(headers.get("content-encoding", "").strip().lower(), body)
    try:
        if content_type == JSON:
            if len(body) > LARGEST_JSON:
                raise RefusedRequestError(413, f"more than {LARGEST_JSON} bytes of JSON")
            check_json(body)
            body = _from_json(signal, body).SerializeToString()
        check_protobuf(_REQUESTS[signal], body)
    except TooMuchError as error:
        raise RefusedRequestError(413, "too many messages in it") from error
    return Export(signal, body, _from_protobuf(signal, body))


def parse(signal: Signal, body: bytes) -> Message:
    """Decode an ``Export``'s protobuf bytes again."""
    return SpanBatch.parse(body) if signal == "traces" else ExportLogsServiceRequest.FromString(body)


def _decompressed(encoding: str, body: bytes) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise RefusedRequestError(415, "the content encoding must be gzip or none")
    try:
        return gunzip(body, LARGEST_BODY)
    except OverflowError as error:
        raise RefusedRequestError(413, f"more than {LARGEST_BODY} bytes when decompressed") from error
    except ValueError as error:
        raise RefusedRequestError(400, "the gzip body is incomplete") from error


def _from_protobuf(signal: Signal, body: bytes) -> Message:
    try:
        message = parse(signal, body)
    except DecodeError as error:
        raise RefusedRequestError(400, f"the body is not an OTLP export of {signal}") from error
    if body and not _is_export(message):
        raise RefusedRequestError(400, f"the body is not an OTLP export of {signal}")
    return message


def _is_export(message: Message) -> bool:
    """Tell an export from other bytes that happen to decode: protobuf names no types.

    Of logs the first record is looked at: something else where its time belongs is what a span looks like.
    ``SpanBatch`` refuses spans without ids by itself.
    """
    if isinstance(message, SpanBatch):
        return bool(message.groups)
    records = (
        record for each in message.resource_logs for scope in each.scope_logs for record in scope.log_records
    )
    record = next(records, None)
    if record is None:
        return bool(message.resource_logs)
    unknown = UnknownFieldSet(record)
    return all(unknown[place].field_number != 1 for place in range(len(unknown)))


def _from_json(signal: Signal, body: bytes) -> ExportLogsServiceRequest | ExportTraceServiceRequest:
    own_name = "resourceLogs" if signal == "logs" else "resourceSpans"
    message = _REQUESTS[signal]()
    try:
        document = json.loads(body)
        if not isinstance(document, dict) or (document and own_name not in document):
            raise ValueError("not an export of this signal")
        for record in _records(document):
            _ids_to_base64(record)
        ParseDict(document, message, ignore_unknown_fields=True)
    except (ValueError, TypeError, ParseError, RecursionError) as error:
        raise RefusedRequestError(400, f"the body is not an OTLP export of {signal} in JSON") from error
    return message


def _records(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the spans, their links, and the log records; other shapes are left to ``ParseDict``."""
    for outer, middle, inner in (
        ("resourceSpans", "scopeSpans", "spans"),
        ("resourceLogs", "scopeLogs", "logRecords"),
    ):
        for resource in _objects(document, outer):
            for scope in _objects(resource, middle):
                for record in _objects(scope, inner):
                    yield record
                    yield from _objects(record, "links")


def _objects(value: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    found = value.get(name)
    return (each for each in found if isinstance(each, dict)) if isinstance(found, list) else iter(())


_HEX = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{16}")


def _ids_to_base64(record: dict[str, Any]) -> None:
    """Rewrite ids: OTLP/JSON has them in hex, protobuf's JSON mapping in base64, which has other lengths."""
    for name in ("traceId", "spanId", "parentSpanId"):
        value = record.get(name)
        if isinstance(value, str) and _HEX.fullmatch(value):
            record[name] = base64.b64encode(bytes.fromhex(value)).decode()
