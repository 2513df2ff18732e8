"""An HTTP answer in Langfuse's manner: compact JSON, Next.js' pages for what does not exist."""

from dataclasses import dataclass, field
from typing import Any

from codex_langfuse.mock.langfuse.javascript import stringify

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True)
class Answer:
    """Status, body and content type of an answer, and headers beyond those every answer has."""

    status: int
    body: bytes
    content_type: str | None = JSON
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, value: Any, headers: dict[str, str] | None = None) -> "Answer":
        """Make an answer of a value, written as ``JSON.stringify`` writes it."""
        return cls(status, (stringify(value) or "").encode(), JSON, headers or {})


def message(status: int, text: str, error: str | None = None) -> Answer:
    """Make the answer ``{"message": …}``, with ``"error"`` where Langfuse names one."""
    return Answer.json(status, {"message": text} if error is None else {"message": text, "error": error})


#: What every path without a route answers, whoever asks. The real page is larger (7 kB) and says the same.
NOT_FOUND = Answer(
    404,
    b'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"/><meta name="viewport" '
    b'content="width=device-width"/>'
    b"<title>404: This page could not be found.</title></head><body><div><h1>404</h1>"
    b"<h2>This page could not be found.</h2></div></body></html>",
    HTML,
    {"cache-control": "private, no-cache, no-store, max-age=0, must-revalidate"},
)

METHOD_NOT_ALLOWED = message(405, "Method not allowed", "MethodNotAllowedError")
