"""Values as JavaScript reads and writes them.

Langfuse is a JavaScript program and stores what its conversions make of a value: ``JSON.stringify`` of an
attribute, ``Number`` of a token count, ``parseInt`` of a header. A JavaScript number is here an ``int``
when it is whole and exact, else a ``float``; ``UNDEFINED`` is used where an object would have no such key.
"""

import json
import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

MAX_SAFE_INTEGER = 2**53 - 1
UNDEFINED: Any = type(
    "Undefined", (), {"__repr__": lambda self: "UNDEFINED", "__bool__": lambda self: False}
)()


class JavaScriptTypeError(Exception):
    """Where Langfuse's own code would throw a ``TypeError`` and lose the work in hand."""


_WHITESPACE = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_DECIMAL = re.compile(r"[+-]?(?:Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)")
_INTEGER_PREFIX = re.compile(r"[+-]?[0-9]+")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_quote = json.encoder.encode_basestring


def number(value: float) -> int | float:
    """Return ``value`` rounded to what a JavaScript number can hold, whole numbers as ``int``."""
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER
    ):
        return value
    try:
        as_float = float(value)
    except OverflowError:
        as_float = math.inf if value > 0 else -math.inf
    if (
        as_float.is_integer()
        and abs(as_float) <= MAX_SAFE_INTEGER
        and not (as_float == 0 and math.copysign(1, as_float) < 0)
    ):
        return int(as_float)
    return as_float


def parse_json(text: str) -> Any:
    """Parse as ``JSON.parse`` does; raises ``ValueError`` (also for nesting too deep for Python)."""
    try:
        return _DECODER.decode(text) if text[:1] != "\ufeff" else _refuse(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse(constant: str) -> Any:
    raise ValueError(f"not JSON: {constant[:20]}")


def _parse_int(digits: str) -> int | float:
    return number(int(digits)) if len(digits) < 20 else number(float(digits))


_DECODER = json.JSONDecoder(
    parse_int=_parse_int, parse_float=lambda digits: number(float(digits)), parse_constant=_refuse
)


def parse_json_exactly(text: str) -> Any:
    """Parse as ``JSON.parse`` does, but leave a number that JavaScript cannot hold exactly as its text.

    Langfuse shows metadata so (``parseJsonPrioritised`` in ``packages/shared/src/utils/json.ts``).
    """
    if text[:1] == "\ufeff":
        _refuse(text)
    try:
        return _EXACT_DECODER.decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _exact_number(source: str) -> int | float | str:
    value = _parse_int(source) if _INTEGER_PREFIX.fullmatch(source) else number(float(source))
    held = number_text(value)
    return value if source == held or _significant_digits(source) == _significant_digits(held) else source


def _significant_digits(text: str) -> str:
    return text.lower().partition("e")[0].replace("-", "").replace(".", "").strip("0")


_EXACT_DECODER = json.JSONDecoder(parse_int=_exact_number, parse_float=_exact_number, parse_constant=_refuse)


def number_text(value: int | float) -> str:
    """Write a number as ``String(value)`` does: shortest digits, an exponent from 1e21 and below 1e-6."""
    if isinstance(value, int):
        if abs(value) < 10**21:
            return str(value)
        value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent_text = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + ("" if fraction == "0" else fraction)).lstrip("0")
    # The decimal point comes before digit number `point` of `digits`.
    point = int(exponent_text or 0) + (
        len(whole) if whole != "0" else len(fraction.lstrip("0")) - len(fraction)
    )
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    exponent = point - 1
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{'+' if exponent > 0 else '-'}{abs(exponent)}"


def quote(text: str) -> str:
    """Write a string as ``JSON.stringify`` does: lone surrogates escaped, the rest as it is if it may be."""
    quoted = _quote(text)
    if quoted.isascii():
        return quoted
    try:
        quoted.encode()
    except UnicodeEncodeError:
        # A pair that arrived as two escapes is one character in JavaScript.
        joined = quoted.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", joined)
    return quoted


def stringify(value: Any) -> str | None:
    """Write ``value`` as ``JSON.stringify`` does, compact; ``None`` where that answers ``undefined``."""
    if value is UNDEFINED:
        return None
    parts: list[str] = []
    _write(value, parts.append)
    return "".join(parts)


def _write(value: Any, put: Any) -> None:
    if isinstance(value, str):
        put(quote(value))
    elif value is None or value is UNDEFINED:
        put("null")
    elif value is True:
        put("true")
    elif value is False:
        put("false")
    elif isinstance(value, int):
        put(number_text(value))
    elif isinstance(value, float):
        put(number_text(value) if math.isfinite(value) else "null")
    elif isinstance(value, dict):
        separator = "{"
        for key, item in value.items():
            if item is UNDEFINED:
                continue
            put(separator)
            put(quote(key))
            put(":")
            _write(item, put)
            separator = ","
        put("{}" if separator == "{" else "}")
    elif isinstance(value, bytes):
        put('{"type":"Buffer","data":[')
        put(",".join(map(str, value)))
        put("]}")
    else:
        separator = "["
        for item in value:
            put(separator)
            _write(item, put)
            separator = ","
        put("[]" if separator == "[" else "]")


def to_number(value: Any) -> int | float:
    """Convert as ``Number(value)`` does; ``nan`` where that is NaN."""
    if value is None or value is False:
        return 0
    if value is True:
        return 1
    if isinstance(value, int | float):
        return value
    if value is UNDEFINED or isinstance(value, dict):
        return math.nan
    text = to_string(value).strip(_WHITESPACE)
    if not text:
        return 0
    return number(float(text)) if _DECIMAL.fullmatch(text) else math.nan


def to_string(value: Any) -> str:
    """Convert as ``String(value)`` does."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if value is UNDEFINED:
        return "undefined"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    if isinstance(value, list):
        return ",".join("" if item is None or item is UNDEFINED else to_string(item) for item in value)
    return "[object Object]"


def parse_int(text: str) -> int | float:
    """Convert as ``parseInt(text, 10)`` does: the leading digits; ``nan`` when there are none."""
    found = _INTEGER_PREFIX.match(text.lstrip(_WHITESPACE))
    if not found:
        return math.nan
    return _parse_int(found[0])


def truthy(value: Any) -> bool:
    """Return whether JavaScript takes ``value`` as true: empty lists and objects are, NaN is not."""
    if isinstance(value, list | dict | bytes):
        return True
    return bool(value) and value == value


_1970 = datetime(1970, 1, 1, tzinfo=UTC)


def is_moment(milliseconds: int | float) -> bool:
    """Return whether a time in milliseconds since 1970 can be written as a date: in the years 1 to 9999."""
    return -62_135_596_800_000 <= milliseconds < 253_402_300_800_000


def iso_time(milliseconds: int | float) -> str:
    """Write a time in milliseconds since 1970 as ``Date.toISOString`` does."""
    moment = _1970 + timedelta(milliseconds=int(milliseconds))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
