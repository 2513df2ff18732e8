"""The body of a request to the JSON endpoints: read as Next.js reads it, checked as zod 4.3 checks it.

Next.js parses a body before the endpoint is asked, so a body that is no JSON is refused before anybody looks
at the method or at the keys (``next/dist/server/api-utils/node/parse-body.js``). The complaints about what is
in it, and their order, were compared with those of zod itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer, message
from codex_langfuse.mock.langfuse.javascript import UNDEFINED, parse_json
from codex_langfuse.mock.langfuse.query_parameters import Checks, Path, kind_of, literal_issue, parse_query

MEBIBYTE = 1024 * 1024
#: What Next.js takes where an endpoint says nothing else, and what the endpoints with large bodies say.
USUAL_BODY = (MEBIBYTE, "1mb")
LARGE_BODY = (int(4.5 * MEBIBYTE), "4.5mb")

_NOT_JSON = Answer(400, b"Invalid JSON", None)
#: How many lists and objects may be nested: what Python can write again.
DEEPEST = 200
_TOO_DEEP = message(501, f"The mock plays JSON with at most {DEEPEST} levels. Langfuse takes more.")


def read_body(headers: Mapping[str, str], body: bytes, largest: tuple[int, str] = USUAL_BODY) -> Any:
    """Return the value in a body, or the ``Answer`` that Next.js gives to one that it cannot read.

    ``headers`` have lower-case names; ``largest`` is a number of bytes and its name in the refusal.
    """
    limit, name = largest
    if len(body) > limit:
        return Answer(413, f"Body exceeded {name} limit".encode(), None)
    media_type = headers.get("content-type", "text/plain").partition(";")[0].strip().lower()
    text = body.decode("utf-8", "replace")
    if media_type in ("application/json", "application/ld+json"):
        if not text:
            return {}
        try:
            value = parse_json(text)
        except ValueError as error:
            return _TOO_DEEP if isinstance(error.__cause__, RecursionError) else _NOT_JSON
        return _TOO_DEEP if is_deeper(value, DEEPEST) else value
    if media_type == "application/x-www-form-urlencoded":
        return dict(parse_query(text))
    return text if media_type == "text/plain" else {}


def is_deeper(value: Any, levels: int) -> bool:
    """Return whether lists and objects are nested more than ``levels`` deep."""
    layer = [value]
    for _ in range(levels + 1):
        layer = [
            item
            for holder in layer
            if isinstance(holder, dict | list)
            for item in (holder.values() if isinstance(holder, dict) else holder)
        ]
    return bool(layer)


def utf16_length(text: str) -> int:
    """Return how long JavaScript takes a text to be."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


class BodyChecks(Checks):
    """Checks fields of a body; each method returns the value to go on with, ``None`` when there is none.

    ``is_final``: zod goes on to checks of the whole, as it does after a value out of bounds, and not after a
    wrong type.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_final = True

    def object(self, path: Path, value: Any) -> dict[str, Any] | None:
        """Take an object."""
        if isinstance(value, dict):
            return value
        self.mistyped(path, "object", value)
        return None

    def variant(self, path: Path, value: Any) -> dict[str, Any] | None:
        """Take an object of one of several kinds, distinguished by a field; zod says that differently."""
        if isinstance(value, dict):
            return value
        self.is_final = False
        received = "undefined" if value is UNDEFINED else kind_of(value)
        text = f"Invalid input: expected object, received {received}"
        self.issues.append({"code": "invalid_type", "expected": "object", "path": path, "message": text})
        return None

    def mistyped(self, path: Path, expected: str, value: Any) -> None:
        """Complain about a value of another type."""
        self.is_final = False
        self.wrong_type(path, expected, "undefined" if value is UNDEFINED else kind_of(value))

    def string(
        self,
        path: Path,
        value: Any,
        *,
        optional: bool = False,
        least: int = 0,
        most: int | None = None,
        too_short: str = "",
        too_long: str = "",
    ) -> str | None:
        """Take a string of a length, in UTF-16; ``optional`` ones may be ``null``.

        ``too_short`` and ``too_long`` are complaints of Langfuse's own.
        """
        if optional and (value is UNDEFINED or value is None):
            return None
        if isinstance(value, str):
            self._check_length(path, "string", utf16_length(value), (least, most), (too_short, too_long))
            return value
        self.mistyped(path, "string", value)
        if isinstance(value, list):
            # zod looks at the length of whatever has one.
            self._check_length(path, "array", len(value), (least, most), (too_short, too_long))
        return None

    def _check_length(
        self,
        path: Path,
        origin: str,
        length: int,
        bounds: tuple[int, int | None],
        texts: tuple[str, str],
    ) -> None:
        least, most = bounds
        if length < least:
            size, bound, limit, sign, text = "small", "minimum", least, ">=", texts[0]
        elif most is not None and length > most:
            size, bound, limit, sign, text = "big", "maximum", most, "<=", texts[1]
        else:
            return
        unit = "characters" if origin == "string" else "items"
        self.issues.append(
            {
                "origin": origin,
                "code": f"too_{size}",
                bound: limit,
                "inclusive": True,
                "path": path,
                "message": text or f"Too {size}: expected {origin} to have {sign}{limit} {unit}",
            }
        )

    def real(
        self, path: Path, value: Any, *, optional: bool = False, least: float | None = None, text: str = ""
    ) -> int | float | None:
        """Take a number, not below ``least``; ``text`` is the complaint when it is."""
        if optional and (value is UNDEFINED or value is None):
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            self.mistyped(path, "number", value)
            return None
        if least is not None and value < least:
            self.issues.append(
                {
                    "origin": "number",
                    "code": "too_small",
                    "minimum": least,
                    "inclusive": True,
                    "path": path,
                    "message": text or f"Too small: expected number to be >={least}",
                }
            )
        return value

    def choice(self, path: Path, value: Any, options: Sequence[str], *, optional: bool = False) -> str | None:
        """Take one of some strings."""
        if optional and (value is UNDEFINED or value is None):
            return None
        if isinstance(value, str) and value in options:
            return value
        self.is_final = False
        self.issues.append({**literal_issue(options), "path": path})
        return None

    def texts(self, path: Path, value: Any, *, optional: bool = False) -> list[str] | None:
        """Take a list of strings."""
        if optional and (value is UNDEFINED or value is None):
            return None
        if not isinstance(value, list):
            self.mistyped(path, "array", value)
            return None
        for place, item in enumerate(value):
            self.string([*path, place], item)
        return value

    def custom(self, path: Path, text: str) -> None:
        """Make a complaint of Langfuse's own about a field."""
        self.issues.append({"code": "custom", "path": path, "message": text})

    def whole(self, text: str) -> None:
        """Make a complaint of Langfuse's own about all of it."""
        self.issues.append({"code": "custom", "message": text, "path": []})
