"""Faults on request: the troubles a sender must live with, played by the mock."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer, message
from codex_langfuse.mock.langfuse.ingestion import TOO_LARGE
from codex_langfuse.mock.langfuse.javascript import iso_time

_DEFAULT_RETRY_AFTER = 17


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and how often.

    ``status``
        The answer's status instead of the true one; nothing is stored then.
    ``retry_after``
        Seconds in the ``Retry-After`` header that goes with ``status`` (429 always has one).
    ``delay``
        Seconds to wait before answering.
    ``hang``
        Never answer; the connection stays open until the sender gives up.
    ``times``, ``after``
        Strike this many requests only (``None``: all), once ``after`` of them have passed unharmed.
    ``path``
        Strike requests whose path begins so; by default the OTLP endpoints.
    """

    status: int | None = None
    retry_after: int | None = None
    delay: float = 0.0
    hang: bool = False
    times: int | None = None
    after: int = 0
    path: str = "/api/public/otel/"

    def __post_init__(self) -> None:
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError(f"status must be between 200 and 599, not {self.status}")
        if self.status is None and not self.delay and not self.hang:
            raise ValueError("needs one of: status, delay, hang")
        if (
            not 0 <= self.delay < float("inf")
            or self.after < 0
            or (self.times is not None and self.times < 1)
        ):
            raise ValueError("delay and after must not be negative, times must be at least 1")
        if self.retry_after is not None and (self.status is None or self.retry_after < 0):
            raise ValueError("retry-after needs a status and must not be negative")

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Read ``status=429,retry-after=17,times=2`` or ``hang``; raises ``ValueError`` otherwise."""
        values: dict[str, Any] = {}
        readers: dict[str, Callable[[str], object]] = {
            "status": int,
            "retry-after": int,
            "delay": float,
            "times": int,
            "after": int,
            "path": str,
            "hang": lambda value: {"": True, "true": True, "false": False}[value],
        }
        for item in text.split(","):
            name, _, value = (part.strip() for part in item.partition("="))
            if name not in readers:
                raise ValueError(f"unknown setting {name!r}; known: {', '.join(readers)}")
            try:
                values[name.replace("-", "_")] = readers[name](value)
            except (ValueError, KeyError) as error:
                raise ValueError(f"bad value for {name}: {value!r}") from error
        return cls(**values)

    def answer(self) -> Answer | None:
        """Make the answer of a fault with a status: with Langfuse's words where Langfuse has any."""
        if self.status is None:
            return None
        retry = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        if self.status == 429:
            return _rate_limited(_DEFAULT_RETRY_AFTER if self.retry_after is None else self.retry_after)
        return _with_headers(
            _ANSWERS.get(self.status, message(self.status, f"Fault: status {self.status}")), retry
        )


def _with_headers(answer: Answer, headers: dict[str, str]) -> Answer:
    return replace(answer, headers={**answer.headers, **headers})


def _rate_limited(seconds: int) -> Answer:
    """Word a refusal by Langfuse Cloud's limit for the free plan (``RateLimitService.ts``)."""
    reset = datetime.now(UTC) + timedelta(seconds=seconds)
    details = {
        "retryAfterSeconds": seconds,
        "limit": 1000,
        "remaining": 0,
        "resetAt": iso_time(reset.timestamp() * 1000),
    }
    return Answer.json(
        429,
        {"message": "Rate limit exceeded", "code": "rate_limited", "details": details},
        {
            "retry-after": str(seconds),
            "x-ratelimit-limit": "1000",
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": f"{reset:%a %b %d %Y %H:%M:%S} GMT+0000 (Coordinated Universal Time)",
        },
    )


_ANSWERS = {
    401: message(401, "Invalid credentials. Confirm that you've configured the correct host."),
    403: message(
        403, "Ingestion suspended: Usage threshold exceeded. Please upgrade your plan.", "ForbiddenError"
    ),
    413: TOO_LARGE,
    500: message(500, "Internal Server Error", "Failed to upload JSON to S3"),
    503: message(503, "Service Unavailable"),
}


class Faults:
    """The faults in force; safe to change from any thread while requests come in."""

    def __init__(self, faults: list[Fault] | None = None):
        self._lock = threading.Lock()
        self._active: list[Fault] = list(faults or [])

    def add(self, fault: Fault) -> None:
        """Put a fault in force, after those that are."""
        with self._lock:
            self._active.append(fault)

    def clear(self) -> None:
        """Let everything pass again."""
        with self._lock:
            self._active.clear()

    def strike(self, path: str) -> Fault | None:
        """Return the fault for a request to ``path``, and count it."""
        with self._lock:
            for index, fault in enumerate(self._active):
                if not path.startswith(fault.path):
                    continue
                if fault.after:
                    self._active[index] = replace(fault, after=fault.after - 1)
                    continue
                if fault.times == 1:
                    del self._active[index]
                elif fault.times is not None:
                    self._active[index] = replace(fault, times=fault.times - 1)
                return fault
        return None
