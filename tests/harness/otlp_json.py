"""Exports of traces in OTLP's JSON mapping, of spans that a test makes up."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def attribute(key: str, plain: Any) -> dict[str, Any]:
    """Make an attribute of a boolean, a number, a text, or a list of these."""
    return {"key": key, "value": _value(plain)}


def _value(plain: Any) -> dict[str, Any]:
    if isinstance(plain, bool):
        return {"boolValue": plain}
    if isinstance(plain, int):
        return {"intValue": str(plain)}
    if isinstance(plain, float):
        return {"doubleValue": plain}
    if isinstance(plain, list):
        return {"arrayValue": {"values": [_value(item) for item in plain]}}
    return {"stringValue": plain}


def attributes(plain: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Make the attributes of a span, a resource or an event."""
    return [attribute(key, value) for key, value in plain.items()]


def span(plain: Mapping[str, Any] = _NOTHING, **fields: Any) -> dict[str, Any]:
    """Make a span of one second with these attributes; ``fields`` replace its own, by their names in OTLP."""
    return {
        "traceId": "ab" * 16,
        "spanId": "cd" * 8,
        "name": "turn",
        "startTimeUnixNano": "1795425366997770217",
        "endTimeUnixNano": "1795425367997770217",
        "attributes": attributes(plain),
        **fields,
    }


def export(*spans: Mapping[str, Any], resource: Mapping[str, Any] = _NOTHING, scope: str = "probe") -> bytes:
    """Make an export of spans, with the attributes of their resource and the name of their scope."""
    scopes = [{"scope": {"name": scope}, "spans": spans}]
    group = {"resource": {"attributes": attributes(resource)}, "scopeSpans": scopes}
    return json.dumps({"resourceSpans": [group]}).encode()


def simple_export(plain: Mapping[str, Any] = _NOTHING, **fields: Any) -> bytes:
    """Make an export of one span; see ``span``."""
    return export(span(plain, **fields))
