"""Ask Langfuse for what should be there until it shows it: Langfuse 4's observations, or the older traces."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import httpx

from codex_langfuse.verify.connection import (
    LangfuseConnection,
    has_no_traces,
    json_of,
    langfuses_words,
    retry_after,
)
from codex_langfuse.verify.layers import LAYERS, Layer, LayerError

SERVER_LOG = "See the log of Langfuse's web container: its storage, queue or database may be out of reach."
OBSERVATIONS = "/api/public/v2/observations"

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 2.0


class Step(Enum):
    """How far a verification has come."""

    KEYS_ACCEPTED = auto()
    TRACE_SENT = auto()
    WAITING = auto()


@dataclass(frozen=True)
class Query:
    """What to ask for, and how many rows are enough.

    ``what`` names it in messages. ``parameters`` are those of Langfuse 4's observations; ``older_path`` and
    ``older_parameters`` ask for the same among the older traces, where the rows are in ``older_rows``.
    """

    what: str
    parameters: Mapping[str, str]
    older_path: str
    older_rows: str
    older_parameters: Mapping[str, str] = field(default_factory=dict)
    enough: int = 1


@dataclass(frozen=True)
class Shown:
    """Rows that Langfuse shows, each id once, and the endpoint that showed them."""

    rows: list[dict[str, Any]]
    endpoint: str


class NeverShownError(Exception):
    """Too few rows at the end of the time: how many, and lines about the last answer if that was an error."""

    def __init__(self, shown: int, trouble: list[str]):
        super().__init__()
        self.shown = shown
        self.trouble = trouble


@contextmanager
def reached_before(layer: Layer, message: str) -> Iterator[None]:
    """Blame what was asked for, not the address, once the server has answered."""
    try:
        yield
    except LayerError as failure:
        if failure.layer is not Layer.ADDRESS:
            raise
        raise LayerError(
            layer, message, f"It answered before. Now: {failure}.", SERVER_LOG, page=LAYERS
        ) from failure


class Reader:
    """Asks again and again."""

    def __init__(self, connection: LangfuseConnection, query: Query):
        self._connection = connection
        self._query = query
        self._legacy = False
        self._no_traces = False
        self._rows: list[dict[str, Any]] = []
        self._trouble: list[str] = []

    def wait(self, timeout: float, report: Callable[[Step, str], None]) -> Shown:
        """Return the rows when there are enough; raises ``NeverShownError`` after ``timeout`` seconds.

        Raises ``LayerError`` when Langfuse does not answer.
        """
        deadline = time.monotonic() + timeout
        pause = _FIRST_PAUSE
        while True:
            with reached_before(Layer.READ, f"Langfuse gives no answer when asked for {self._query.what}"):
                answer = self._ask()
            if len(self._rows) >= self._query.enough:
                return Shown(self._rows, "/api/public/traces" if self._legacy else OBSERVATIONS)
            left = deadline - time.monotonic()
            if left <= 0:
                raise NeverShownError(len(self._rows), self._trouble)
            report(Step.WAITING, f"Waiting until Langfuse shows it, at most {left:.0f} seconds more.")
            asked_to_wait = (retry_after(answer) or 0) if answer.status_code == 429 else 0
            time.sleep(min(max(pause, asked_to_wait), left))
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _ask(self) -> httpx.Response:
        answer = self._ask_legacy() if self._legacy else self._ask_v4()
        if answer.status_code == 404 and not self._legacy:
            # Langfuse 3: no such endpoint, or "only available in a Langfuse v4 write mode".
            self._legacy = True
            answer = self._ask_legacy()
        elif answer.status_code == 200 and not self._legacy and not self._rows_in(answer):
            answer = self._ask_both(answer)
        self._trouble = []
        if answer.status_code == 200:
            self._rows = self._rows_in(answer)
        elif answer.status_code != 404 or "not found" not in answer.text:
            self._trouble = [f"The last answer had status {answer.status_code}.", *langfuses_words(answer)]
        return answer

    def _ask_both(self, answer: httpx.Response) -> httpx.Response:
        """Ask for the older traces where there is no observation: ``answer``, unless there are some."""
        if self._no_traces:
            return answer
        older = self._ask_legacy()
        self._no_traces = has_no_traces(older)
        self._legacy = older.status_code == 200
        return older if self._legacy else answer

    def _ask_v4(self) -> httpx.Response:
        return self._connection.get(OBSERVATIONS, **self._query.parameters)

    def _ask_legacy(self) -> httpx.Response:
        return self._connection.get(self._query.older_path, **self._query.older_parameters)

    def _rows_in(self, answer: httpx.Response) -> list[dict[str, Any]]:
        """Return the rows, each once: Langfuse 4 may show a span twice for a while."""
        body = json_of(answer)
        rows = (
            body.get(self._query.older_rows if self._legacy else "data") if isinstance(body, dict) else None
        )
        found = rows if isinstance(rows, list) else []
        return list({row.get("id"): row for row in found if isinstance(row, dict)}.values())
