"""Lists that come page by page, by number: ``page`` and ``limit`` in, ``meta`` out."""

import math
from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer
from codex_langfuse.mock.langfuse.javascript import to_number
from codex_langfuse.mock.langfuse.query_parameters import Checks


def page_of(query: dict[str, Any], found: list[Any], *, default: int = 50) -> Answer:
    """Answer with a page of a list.

    Raises ``InvalidQueryError`` for a page or a limit that is no whole number or out of bounds.
    """
    checks = Checks()
    page = whole_number(checks, "page", query.get("page"), 1, least=0, inclusive=False, most=None)
    limit = whole_number(checks, "limit", query.get("limit"), default, least=1, most=100)
    checks.refuse_if_any()
    meta = {"page": page, "limit": limit, "totalItems": len(found), "totalPages": -(-len(found) // limit)}
    return Answer.json(200, {"data": found[(page - 1) * limit : page * limit], "meta": meta})


def whole_number(
    checks: Checks,
    name: str,
    value: Any,
    default: int,
    *,
    least: int,
    inclusive: bool = True,
    most: int | None,
) -> int:
    """Take a parameter that is a whole number; an empty one is as good as none."""
    if value is None or value == "":
        return default
    number = to_number(value[0] if isinstance(value, list) and len(value) == 1 else value)
    if math.isfinite(number) and number % 1:
        checks.issues.append(
            {
                "expected": "int",
                "format": "safeint",
                "code": "invalid_type",
                "path": [name],
                "message": "Invalid input: expected int, received number",
            }
        )
        return default
    return checks.number([name], value, default, least=least, inclusive=inclusive, most=most)
