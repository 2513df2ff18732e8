"""What a Langfuse shows of what was sent, and how what was sent is deleted again."""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from codex_langfuse.verify.connection import LangfuseConnection, has_no_traces, json_of, retry_after

Observation = dict[str, Any]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 3.0
#: Groups of fields: what identifies an observation, and all that the cases look at.
NAMES = "core,basic"
EVERYTHING = "core,basic,io,metadata,model,usage,trace_context"
#: Of Langfuse: what one request may name (``DeleteTracesV1Body``).
_MOST_DELETED = 1000


@dataclass(frozen=True)
class Shown:
    """The observations that were asked for, each once, and after how many seconds they were there."""

    observations: list[Observation]
    seconds: float

    @property
    def ids(self) -> set[str]:
        """The ids of the observations: those of the spans they were made of."""
        return {each["id"] for each in self.observations}

    def of(self, kind: str) -> list[Observation]:
        """Return the observations of a type, such as ``TOOL``, in the order of their start."""
        found = [each for each in self.observations if each["type"] == kind]
        return sorted(found, key=lambda each: each["startTime"])


class Reading:
    """Reads from one Langfuse: by observations as Langfuse 4 has them, by traces where it is 3."""

    def __init__(self, connection: LangfuseConnection, seconds: float):
        """Read by ``connection``; wait ``seconds`` at most for what was sent."""
        self._connection = connection
        self._seconds = seconds
        self._by_traces = False
        self._no_traces = False
        # Without it Langfuse looks through all that a project ever had.
        since = datetime.now(UTC) - timedelta(minutes=1)
        self._since = since.strftime("%Y-%m-%dT%H:%M:%SZ")

    def version(self, endpoint: str = "health") -> tuple[int, str]:
        """Return the status of ``/api/public/health`` or ``ready``, and the version that it reports."""
        answer = self._connection.get(f"/api/public/{endpoint}")
        body = json_of(answer)
        return answer.status_code, str(body.get("version", "")) if isinstance(body, dict) else ""

    def wait_for(
        self,
        session: str,
        span_ids: Collection[str],
        trace_ids: Iterable[str],
        fields: str = NAMES,
        **filters: str,
    ) -> Shown:
        """Wait until each of ``span_ids`` is shown; return what is shown then, or when the time is up.

        ``session`` and ``trace_ids`` are where to look: Langfuse 4 is asked for the session, Langfuse 3 for
        each trace. ``fields`` are the groups that Langfuse 4 is asked for. ``filters`` narrow what is asked
        for, such as ``environment``.
        """
        started = time.monotonic()
        pause = _FIRST_PAUSE
        while True:
            shown = Shown(
                self.now(session, trace_ids, fields, **filters), round(time.monotonic() - started, 1)
            )
            left = self._seconds - (time.monotonic() - started)
            if shown.ids >= set(span_ids) or left <= 0:
                return shown
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def now(
        self, session: str, trace_ids: Iterable[str], fields: str = NAMES, **filters: str
    ) -> list[Observation]:
        """Return what is shown now, each observation once: Langfuse may have one twice for a while."""
        rows = None if self._by_traces else self._of_session(session, fields, filters)
        if rows is None or (not rows and not self._no_traces):
            self._by_traces = self._by_traces or rows is None
            rows = [row for trace_id in dict.fromkeys(trace_ids) for row in self._of_trace(trace_id)]
            rows = [row for row in rows if all(row.get(name) == value for name, value in filters.items())]
        return list({row["id"]: row for row in rows}.values())

    def delete(self, trace_ids: Collection[str]) -> tuple[int, str]:
        """Ask that traces be deleted; return how many it took on, and what it said of the rest.

        ``DELETE /api/public/traces`` is there since Langfuse 3.39.0, and works it off later.
        """
        ids = sorted(trace_ids)
        taken = 0
        for start in range(0, len(ids), _MOST_DELETED):
            part = ids[start : start + _MOST_DELETED]
            answer = self._connection.send("DELETE", "/api/public/traces", {"traceIds": part})
            if answer.status_code != 200:
                return taken, f"status {answer.status_code}"
            taken += len(part)
        return taken, ""

    def _of_session(self, session: str, fields: str, filters: dict[str, str]) -> list[Observation] | None:
        """Return None when this Langfuse has no such endpoint."""
        rows: list[Observation] = []
        wanted = {"sessionId": session, "fromStartTime": self._since, "limit": "1000", "fields": fields}
        cursor: dict[str, str] = {}
        while True:
            answer = self._get("/api/public/v2/observations", {**wanted, **filters, **cursor})
            if answer.status_code == 404:
                return None
            body = json_of(answer)
            if answer.status_code != 200 or not isinstance(body, dict):
                return rows
            rows += body.get("data", [])
            following = body.get("meta", {}).get("cursor")
            if not following:
                return rows
            cursor = {"cursor": following}

    def _of_trace(self, trace_id: str) -> list[Observation]:
        if self._no_traces:
            return []
        answer = self._get(f"/api/public/traces/{trace_id}", {})
        self._no_traces = has_no_traces(answer)
        body = json_of(answer)
        if answer.status_code != 200 or not isinstance(body, dict):
            return []
        of_trace = {
            "sessionId": body.get("sessionId"),
            "userId": body.get("userId"),
            "tags": body.get("tags"),
        }
        return [{**row, **of_trace} for row in body.get("observations", [])]

    def _get(self, path: str, parameters: dict[str, str]) -> httpx.Response:
        answer = self._connection.get(path, **parameters)
        wait = retry_after(answer)
        if answer.status_code == 429 and wait is not None:
            time.sleep(min(wait, self._seconds))
            answer = self._connection.get(path, **parameters)
        return answer
