"""Query parameters of the read endpoints, and the complaints about them.

Langfuse checks them with zod 4.3; an answer lists what zod found, in the order of the schema.
"""

import math
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from codex_langfuse.mock.langfuse.answer import Answer
from codex_langfuse.mock.langfuse.javascript import to_number

#: zod's own pattern for a time with an offset; it is part of the complaint.
DATETIME_PATTERN = (
    r"^(?:(?:\d\d[2468][048]|\d\d[13579][26]|\d\d0[48]|[02468][048]00|[13579][26]00)-02-29|"
    r"\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|"
    r"(?:02)-(?:0[1-9]|1\d|2[0-8])))T(?:(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?"
    r"(?:Z|([+-](?:[01]\d|2[0-3]):[0-5]\d)))$"
)
_DATETIME = re.compile(DATETIME_PATTERN.removesuffix("$"), re.ASCII)

Path = list[str | int]


class InvalidQueryError(Exception):
    """A query that is refused; ``answer`` says why."""

    def __init__(self, answer: Answer):
        super().__init__(answer.status)
        self.answer = answer


def parse_query(query: str) -> dict[str, str | list[str]]:
    """Read a query string; a name given more than once has a list."""
    found: dict[str, str | list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
        if name not in found:
            found[name] = value
        elif isinstance(earlier := found[name], list):
            earlier.append(value)
        else:
            found[name] = [earlier, value]
    return found


def kind_of(value: Any) -> str:
    """Name a value's type as zod does."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    if isinstance(value, dict):
        return "object"
    return "NaN" if math.isnan(value) else "number"


def no_variant(path: Path, discriminator: str) -> dict[str, Any]:
    """Return the complaint about an object at ``path`` whose ``discriminator`` names no known variant."""
    return {
        "code": "invalid_union",
        "errors": [],
        "note": "No matching discriminator",
        "discriminator": discriminator,
        "path": [*path, discriminator],
        "message": "Invalid input",
    }


class Checks:
    """Collects what is wrong; every method returns the value to go on with, ``None`` when there is none."""

    def __init__(self) -> None:
        self.issues: list[dict[str, Any]] = []

    def refuse_if_any(self) -> None:
        """Raise ``InvalidQueryError`` with all that was found."""
        if self.issues:
            raise InvalidQueryError(
                Answer.json(400, {"message": "Invalid request data", "error": self.issues})
            )

    def wrong_type(self, path: Path, expected: str, received: str) -> None:
        """Complain about a value of another type."""
        self.issues.append(
            {
                "expected": expected,
                "code": "invalid_type",
                "path": path,
                "message": f"Invalid input: expected {expected}, received {received}",
            }
        )

    def text(self, path: Path, value: Any, *, required: bool = False) -> str | None:
        """Take a string."""
        if value is None and not required:
            return None
        if isinstance(value, str):
            return value
        self.wrong_type(path, "string", "undefined" if value is None else kind_of(value))
        return None

    def one_of(self, path: Path, value: Any, options: Sequence[str], *, required: bool = False) -> str | None:
        """Take one of some strings."""
        if value is None and not required:
            return None
        if isinstance(value, str) and value in options:
            return value
        self.issues.append({**not_one_of(options), "path": path, **_message(options)})
        return None

    def moment(self, path: Path, value: Any) -> str | None:
        """Take a time in ISO 8601 with an offset."""
        text = self.text(path, value)
        if text is not None and not _DATETIME.fullmatch(text):
            self.issues.append(
                {
                    "origin": "string",
                    "code": "invalid_format",
                    "format": "datetime",
                    "pattern": f"/{DATETIME_PATTERN}/",
                    "path": path,
                    "message": "Invalid ISO datetime",
                }
            )
            return None
        return text

    def number(
        self,
        path: Path,
        value: Any,
        default: int,
        *,
        least: float = 0,
        inclusive: bool = True,
        most: int | None,
    ) -> int:
        """Take a number, whatever JavaScript's ``Number`` makes one of; a whole one of it."""
        if value is None:
            return default
        if isinstance(value, list):
            value = value[0] if len(value) == 1 else ",".join(value)
        found = to_number(value)
        if not math.isfinite(found):
            received, shown = ("NaN", "NaN") if math.isnan(found) else ("Infinity", "number")
            self.issues.append(
                {
                    "expected": "number",
                    "code": "invalid_type",
                    "received": received,
                    "path": path,
                    "message": f"Invalid input: expected number, received {shown}",
                }
            )
        elif found < least or (found == least and not inclusive):
            self.issues.append(_size("small", "minimum", least, ">=" if inclusive else ">", inclusive, path))
        elif most is not None and found > most:
            self.issues.append(_size("big", "maximum", most, "<=", True, path))
        else:
            return int(found)
        return default


def _size(size: str, bound: str, limit: float, sign: str, inclusive: bool, path: Path) -> dict[str, Any]:
    return {
        "origin": "number",
        "code": f"too_{size}",
        bound: limit,
        "inclusive": inclusive,
        "path": path,
        "message": f"Too {size}: expected number to be {sign}{limit}",
    }


def not_one_of(options: Sequence[str]) -> dict[str, Any]:
    """Make the beginning of the complaint about a value that is none of the options."""
    return {"code": "invalid_value", "values": list(options)}


def _message(options: Sequence[str]) -> dict[str, str]:
    quoted = "|".join(f'"{option}"' for option in options)
    if len(options) == 1:
        return {"message": f"Invalid input: expected {quoted}"}
    return {"message": f"Invalid option: expected one of {quoted}"}


def literal_issue(options: Sequence[str]) -> dict[str, Any]:
    """Make the complaint that is part of the one about a union."""
    return {**not_one_of(options), "path": [], **_message(options)}
