"""The body of a request to the JSON endpoints, read as Next.js reads it.

Next.js parses a body before the endpoint is asked, so a body that is no JSON is refused before anybody looks
at the method or at the keys (``next/dist/server/api-utils/node/parse-body.js``).
"""

from collections.abc import Mapping
from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer, message
from codex_langfuse.mock.langfuse.javascript import parse_json

MEBIBYTE = 1024 * 1024
#: What Next.js takes where an endpoint says nothing else, and what the endpoints with large bodies say.
USUAL_BODY = (MEBIBYTE, "1mb")
LARGE_BODY = (int(4.5 * MEBIBYTE), "4.5mb")

_NOT_JSON = Answer(400, b"Invalid JSON", None)
#: How many lists and objects may be nested: what Python can write again.
_DEEPEST = 200
_TOO_DEEP = message(501, f"The mock plays JSON with at most {_DEEPEST} levels. Langfuse takes more.")


def read_body(headers: Mapping[str, str], body: bytes, largest: tuple[int, str] = USUAL_BODY) -> Any:
    """Return the value in a body, or the ``Answer`` that Next.js gives to one that it cannot read.

    ``headers`` have lower-case names; ``largest`` is a number of bytes and its name in the refusal.
    """
    limit, name = largest
    if len(body) > limit:
        return Answer(413, f"Body exceeded {name} limit".encode(), None)
    media_type = headers.get("content-type", "text/plain").partition(";")[0].strip().lower()
    text = body.decode("utf-8", "replace")
    if media_type != "application/json":
        return text if media_type == "text/plain" else {}
    if not text:
        return {}
    try:
        value = parse_json(text)
    except ValueError as error:
        return _TOO_DEEP if isinstance(error.__cause__, RecursionError) else _NOT_JSON
    return _TOO_DEEP if _is_too_deep(value) else value


def _is_too_deep(value: Any) -> bool:
    layer = [value]
    for _ in range(_DEEPEST + 1):
        layer = [
            item
            for holder in layer
            if isinstance(holder, dict | list)
            for item in (holder.values() if isinstance(holder, dict) else holder)
        ]
    return bool(layer)
