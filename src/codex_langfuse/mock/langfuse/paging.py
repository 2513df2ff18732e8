"""Lists that come page by page: by number, or by a cursor, the place of the last one."""

import base64
import binascii
from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer
from codex_langfuse.mock.langfuse.checks import Checks, invalid_request
from codex_langfuse.mock.langfuse.javascript import parse_json, stringify

Query = dict[str, Any]


def page_and_limit(checks: Checks, query: Query) -> tuple[int, int]:
    """Return the number of the page that is asked for, from 1, and how many records it has."""
    page = checks.number_in_query("page", query.get("page"), 1, least=1, most=None)
    return page, checks.number_in_query("limit", query.get("limit"), 50, least=1, most=100)


def page_of(found: list[Any], page: int, limit: int) -> Answer:
    """Answer with a page of a list."""
    meta = {"page": page, "limit": limit, "totalItems": len(found), "totalPages": -(-len(found) // limit)}
    return Answer.json(200, {"data": found[(page - 1) * limit : page * limit], "meta": meta})


def write_cursor(place: dict[str, Any]) -> str:
    """Write the cursor that continues after a place."""
    return base64.urlsafe_b64encode((stringify(place) or "").encode()).decode()


def read_cursor(checks: Checks, query: Query, *names: str) -> tuple[str, ...] | None:
    """Return the texts of these names in a cursor, ``None`` without one; raises ``RefusedError``."""
    text = checks.text(["cursor"], query.get("cursor"))
    if text is None:
        return None
    try:
        place = parse_json(base64.b64decode(text, altchars=b"-_", validate=True).decode("utf-8", "replace"))
    except (ValueError, binascii.Error) as error:
        raise invalid_request("Invalid cursor format") from error
    given = checks.object(["cursor"], place)
    return tuple(checks.text(["cursor", name], given.get(name), required=True) or "" for name in names)
