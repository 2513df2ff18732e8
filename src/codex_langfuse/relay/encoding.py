"""Spans as protobuf bytes, written straight: five times as quick as building the library's messages.

The fields are those of `opentelemetry.proto.trace.v1.Span` and `common.v1.KeyValue`, in the order and form
in which the library serializes them; the tests parse what is written here with the library and compare.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache

Value = str | bool | int | float | tuple[str, ...]

_DOUBLE = struct.Struct("<d").pack
_TIMES = struct.Struct("<BQBQ").pack
#: Texts up to this length are remembered in their encoded form; most attributes come again and again.
_LONGEST_REMEMBERED = 64


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(tag: bytes, payload: bytes) -> bytes:
    return tag + _varint(len(payload)) + payload


def _any_value(value: Value) -> bytes:
    if isinstance(value, str):
        return _field(b"\x0a", value.encode("utf-8", "replace"))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    if isinstance(value, float):
        return b"\x21" + _DOUBLE(value)
    return _field(b"\x2a", b"".join(_field(b"\x0a", _any_value(item)) for item in value))


def _key_value(tag: bytes, key: str, value: Value) -> bytes:
    return _field(tag, _field(b"\x0a", key.encode()) + _field(b"\x12", _any_value(value)))


# typed: 1, 1.0 and True are equal, and are not the same in protobuf.
_remembered = lru_cache(16_384, typed=True)(_key_value)


def attributes(values: Mapping[str, Value | None], tag: bytes = b"\x4a") -> bytes:
    """Return `values` as the attributes of a span (by another tag, of a resource); None is left out."""
    return b"".join(
        [
            (_key_value if value.__class__ is str and len(value) > _LONGEST_REMEMBERED else _remembered)(
                tag, key, value
            )
            for key, value in values.items()
            if value is not None
        ]
    )


def span(
    trace_id: bytes, span_id: bytes, parent_id: bytes, name: str, start: int, end: int, *encoded: bytes
) -> bytes:
    """Return a span of kind internal. encoded: attributes as `attributes` returns them."""
    return b"".join(
        (
            b"\x0a\x10",
            trace_id,
            b"\x12\x08",
            span_id,
            b"\x22\x08" + parent_id if parent_id else b"",
            _field(b"\x2a", name.encode("utf-8", "replace")),
            b"\x30\x01",
            _TIMES(0x39, start, 0x41, end),
            *encoded,
        )
    )


def request(resource: Mapping[str, Value | None], scope: str, spans: Iterable[bytes]) -> bytes:
    """Return an ExportTraceServiceRequest with one resource, one scope and its spans."""
    scope_spans = _field(b"\x0a", _field(b"\x0a", scope.encode())) + b"".join(
        _field(b"\x12", each) for each in spans
    )
    group = _field(b"\x0a", attributes(resource, b"\x0a")) + _field(b"\x12", scope_spans)
    return _field(b"\x0a", group)
