"""What Langfuse checks in a query and in a body, and the refusal with everything that is wrong.

Langfuse checks with zod and answers all of zod's complaints. Here each complaint is where (``path``) and what
(``message``), which is what a reader of the refusal needs.
"""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl

from codex_langfuse.mock.langfuse.answer import Answer, message
from codex_langfuse.mock.langfuse.javascript import parse_json, to_number
from codex_langfuse.mock.langfuse.observations import read_date

FieldPath = list[str | int]

_TIME_AND_OFFSET = re.compile(r"T[0-9:.]+(?:Z|[+-]\d\d:\d\d)$", re.ASCII)


class RefusedError(Exception):
    """A request that is refused; ``answer`` says why."""

    def __init__(self, answer: Answer):
        super().__init__(answer.status)
        self.answer = answer


def invalid_request(text: str) -> RefusedError:
    """Make the refusal of a request that is well formed and cannot be done."""
    return RefusedError(message(400, text, "InvalidRequestError"))


def not_played(text: str) -> RefusedError:
    """Make the refusal of what Langfuse does and the mock does not; ``text`` is a sentence."""
    return RefusedError(message(501, text))


def parse_query(query: str) -> dict[str, Any]:
    """Read a query string; a name given more than once has a list."""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
        if name not in found:
            found[name] = value
        elif isinstance(earlier := found[name], list):
            earlier.append(value)
        else:
            found[name] = [earlier, value]
    return found


def kind_of(value: Any) -> str:
    """Name a value's type as zod does; what is not there is ``undefined``."""
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", list: "array", dict: "object", int: "number", float: "number"}
    return names.get(type(value), "undefined")


class Checks:
    """Collects what is wrong; every method returns the value to go on with, ``None`` when there is none.

    ``null`` is as good as nothing, as it is for nearly all of Langfuse's fields.
    """

    def __init__(self) -> None:
        self.issues: list[dict[str, Any]] = []

    def complain(self, path: FieldPath, text: str) -> None:
        """Note what is wrong at a place."""
        self.issues.append({"path": path, "message": text})

    def refuse_if_any(self) -> None:
        """Raise ``RefusedError`` with all that was found."""
        if self.issues:
            raise RefusedError(Answer.json(400, {"message": "Invalid request data", "error": self.issues}))

    def _typed(self, path: FieldPath, value: Any, types: tuple[type, ...], name: str, required: bool) -> Any:
        if isinstance(value, types) and (bool in types or not isinstance(value, bool)):
            return value
        if value is not None or required:
            self.complain(path, f"Invalid input: expected {name}, received {kind_of(value)}")
        return None

    def text(
        self, path: FieldPath, value: Any, *, required: bool = False, least: int = 0, most: int | None = None
    ) -> str | None:
        """Take a string of a length."""
        text: str | None = self._typed(path, value, (str,), "string", required)
        if text is not None and len(text) < least:
            self.complain(path, f"Too small: expected string to have >={least} characters")
        if text is not None and most is not None and len(text) > most:
            self.complain(path, f"Too big: expected string to have <={most} characters")
        return text

    def real(self, path: FieldPath, value: Any, *, required: bool = False) -> int | float | None:
        """Take a number."""
        number: int | float | None = self._typed(path, value, (int, float), "number", required)
        return number

    def whole(
        self, path: FieldPath, value: Any, *, least: int, most: int | None = None, required: bool = False
    ) -> int | float | None:
        """Take a whole number within bounds."""
        number = self.real(path, value, required=required)
        if number is None:
            return None
        if number % 1:
            self.complain(path, "Invalid input: expected int, received number")
        elif number < least:
            self.complain(path, f"Too small: expected number to be >={least}")
        elif most is not None and number > most:
            self.complain(path, f"Too big: expected number to be <={most}")
        return number

    def boolean(self, path: FieldPath, value: Any, *, required: bool = False) -> bool | None:
        """Take true or false."""
        found: bool | None = self._typed(path, value, (bool,), "boolean", required)
        return found

    def object(self, path: FieldPath, value: Any) -> dict[str, Any]:
        """Take an object; return an empty one for anything else."""
        found: dict[str, Any] | None = self._typed(path, value, (dict,), "object", required=True)
        return found or {}

    def items(
        self, path: FieldPath, value: Any, *, required: bool = False
    ) -> Iterator[tuple[FieldPath, Any]]:
        """Take a list: yield each item with its place."""
        found: list[Any] | None = self._typed(path, value, (list,), "array", required)
        for place, item in enumerate(found or ()):
            yield [*path, place], item

    def one_of(
        self, path: FieldPath, value: Any, options: Sequence[str], *, required: bool = False
    ) -> str | None:
        """Take one of some strings."""
        if value is None and not required:
            return None
        if isinstance(value, str) and value in options:
            return value
        quoted = "|".join(f'"{option}"' for option in options)
        self.complain(path, f"Invalid option: expected one of {quoted}")
        return None

    def moment(self, path: FieldPath, value: Any, *, required: bool = False) -> str | None:
        """Take a time in ISO 8601 with an offset."""
        text = self.text(path, value, required=required)
        if text is not None and (read_date(text) is None or not _TIME_AND_OFFSET.search(text)):
            self.complain(path, "Invalid ISO datetime")
            return None
        return text

    def number_in_query(self, name: str, value: Any, default: int, *, least: int, most: int | None) -> int:
        """Take a whole number that a query writes as text, empty for none."""
        if value in (None, ""):
            return default
        number = to_number(value)
        if not math.isfinite(number):
            self.complain([name], "Invalid input: expected number, received NaN")
            return default
        return int(self.whole([name], number, least=least, most=most) or 0)

    def json_in_query(self, name: str, value: Any) -> Any:
        """Take JSON that a query writes as text; raises ``RefusedError`` for text that is none."""
        text = self.text([name], value)
        try:
            return parse_json(text) if text else None
        except ValueError as error:
            raise invalid_request(f"Invalid JSON in {name} parameter") from error
