"""What the mock was sent, bounded, and the observations in it.

Kept are the newest ``MOST_REQUESTS`` requests, and of those only as many as have ``MOST_BYTES`` of bodies
together; the observations of the newest ``MOST_OBSERVATIONS`` can be read. Spans become observations request
by request, once, beside the store's lock: when somebody looks, or when one who follows the store asks for it.
"""

import base64
import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any, Protocol, TextIO

from codex_langfuse.mock.langfuse.answer import Answer
from codex_langfuse.mock.langfuse.ingestion import decode
from codex_langfuse.mock.langfuse.javascript import iso_time
from codex_langfuse.mock.langfuse.observations import observations_of, shown
from codex_langfuse.mock.langfuse.prices import Model
from codex_langfuse.mock.records import Records

MOST_REQUESTS = 10_000
MOST_BYTES = 256 * 1024 * 1024
MOST_OBSERVATIONS = 100_000

#: Headers that never reach the store's file.
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie"})


@dataclass(eq=False)
class SeenRequest:
    """One request as it came over the wire.

    ``path`` is raw, with the query; ``headers`` have lower-case names, in order; ``body`` is as sent,
    still compressed; ``received`` is in milliseconds since 1970; ``status`` is what was answered, ``None`` as
    long as nothing was; ``project_id`` is set when the request's spans were accepted, and
    ``models`` are then those that the project had prices of its own for; one that is ``restored`` comes from
    the store's file, without its credentials.
    """

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    received: int = dataclass_field(default_factory=lambda: int(time.time() * 1000))
    status: int | None = None
    project_id: str | None = None
    restored: bool = False
    models: tuple[Model, ...] = ()
    _observations: list[dict[str, Any]] | None = dataclass_field(default=None, repr=False)
    _converting: threading.Lock = dataclass_field(default_factory=threading.Lock, repr=False)

    def header_values(self) -> dict[str, str]:
        """Return the headers by name as Node does: the first of some, the others joined."""
        values: dict[str, str] = {}
        for name, value in self.headers:
            if name not in values:
                values[name] = value
            elif name not in _ONLY_FIRST:
                values[name] += f"; {value}" if name == "cookie" else f", {value}"
        return values

    def observations(self) -> list[dict[str, Any]]:
        """Return the observations that Langfuse makes of this request's spans, in the order sent."""
        if self.project_id is None:
            return []
        with self._converting:
            if self._observations is None:
                export = decode(self.header_values(), self.body)
                self._observations = (
                    []
                    if isinstance(export, Answer)
                    else observations_of(
                        export, project_id=self.project_id, received=self.received, models=self.models
                    )
                )
            return self._observations

    def forget_observations(self) -> None:
        """Let go of the observations; they are made again when somebody asks again."""
        with self._converting:
            self._observations = None


#: Headers that Node does not join (``http.IncomingMessage.headers``).
_ONLY_FIRST = frozenset(
    {
        "age",
        "authorization",
        "content-length",
        "content-type",
        "etag",
        "expires",
        "from",
        "host",
        "if-modified-since",
        "if-unmodified-since",
        "last-modified",
        "location",
        "max-forwards",
        "proxy-authorization",
        "referer",
        "retry-after",
        "server",
        "user-agent",
    }
)


def _is_resend(row: dict[str, Any], earlier: dict[str, Any]) -> bool:
    arrival = {"createdAt": earlier["createdAt"], "updatedAt": earlier["updatedAt"]}
    return {**row, **arrival} == earlier


def _rows_of(
    requests: list[SeenRequest], deleted: dict[str, str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the observations of requests, each once, and those that were sent again unchanged.

    ``deleted`` are traces with the time of their deletion: what came until then is gone.
    """
    newest: list[list[dict[str, Any]]] = []
    total = 0
    for request in reversed(requests):
        if total > MOST_OBSERVATIONS:
            request.forget_observations()
            continue
        batch = request.observations()
        total += len(batch)
        if total <= MOST_OBSERVATIONS:
            newest.append(batch)
    known: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    rows, again = [], []
    for batch in reversed(newest):
        for row in batch:
            if row["createdAt"] <= deleted.get(row["traceId"], ""):
                continue
            place = (row["traceId"], row["id"], row["startTime"])
            same = known.get(place)
            if same is None:
                known[place] = [row]
            elif any(_is_resend(row, earlier) for earlier in same):
                again.append(row)
                continue
            else:
                same.append(row)
            rows.append(row)
    return rows, again


class Follower(Protocol):
    """A listener for what happens in a store, briefly, in the thread in which it happens."""

    def answered(self, request: SeenRequest) -> None:
        """Take note of a request that has its answer, or whose sender gave up waiting for one."""

    def cleared(self) -> None:
        """Take note that the store forgot everything."""


class StoreFileError(ValueError):
    """The file cannot be read or written, or is none of a store; the message begins with its path."""


class MockStore:
    """The requests seen, oldest first, and what else is in the project; safe to use from any thread."""

    def __init__(self, file: Path | None = None):
        self.records = Records()
        self._lock = threading.RLock()
        self._requests: deque[SeenRequest] = deque()
        self._bytes = 0
        self._accepted = 0
        self._rows: tuple[list[dict[str, Any]], list[dict[str, Any]]] | None = None
        self._revision = 0
        self._deleted: dict[str, str] = {}
        self._followers: list[Follower] = []
        self._path = file
        self._file: TextIO | None = None
        self._written = 0
        if file is not None:
            try:
                self._load(file)
                self._rewrite()
            except OSError as error:
                raise StoreFileError(f"{file}: {error.strerror or error}") from error

    @property
    def requests(self) -> list[SeenRequest]:
        """Every request kept, in the order in which they came."""
        with self._lock:
            return list(self._requests)

    @property
    def observations(self) -> list[dict[str, Any]]:
        """Every observation with all fields of the v2 API, as it shows them, in the order received."""
        return [shown(row) for row in self.rows()]

    @property
    def traces(self) -> dict[str, list[dict[str, Any]]]:
        """The observations by the id of their trace, each list in the order received."""
        traces: dict[str, list[dict[str, Any]]] = {}
        for observation in self.observations:
            traces.setdefault(observation["traceId"], []).append(observation)
        return traces

    def rows(self) -> list[dict[str, Any]]:
        """Return every observation as ``observations_of`` makes it.

        One that was sent again unchanged is there once (see ``sent_again``); sent again with a change, both
        are there, as they are in Langfuse until its database merges them.
        """
        return self._all_rows()[0]

    def sent_again(self) -> list[dict[str, Any]]:
        """Return the observations that came a second time, or more often, unchanged: one row each time."""
        return self._all_rows()[1]

    def _all_rows(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        with self._lock:
            if self._rows is not None:
                return self._rows
            revision, requests, deleted = self._revision, list(self._requests), dict(self._deleted)
        rows = _rows_of(requests, deleted)
        with self._lock:
            if revision == self._revision:
                self._rows = rows
            return rows

    def delete(self, trace_ids: Iterable[str]) -> None:
        """Delete the observations that traces have by now; the requests that brought them stay."""
        with self._lock:
            self._deleted |= dict.fromkeys(trace_ids, iso_time(time.time() * 1000))
            self._changed()

    def next_job_number(self) -> int:
        """Return the number of the queue's job for the next accepted export, from 1."""
        with self._lock:
            return self._accepted + 1

    def add(self, request: SeenRequest) -> None:
        """Keep a request that has come in."""
        with self._lock:
            self._requests.append(request)
            self._bytes += len(request.body)
            while len(self._requests) > MOST_REQUESTS or self._bytes > MOST_BYTES:
                self._bytes -= len(self._requests.popleft().body)
                self._changed()

    def answered(self, request: SeenRequest, status: int, project_id: str | None = None) -> None:
        """Note what a request was answered with, and for which project its spans were accepted."""
        with self._lock:
            request.status = status
            if project_id is not None:
                request.project_id = project_id
                request.models = self.records.priced
                self._accepted += 1
                self._changed()
            if self._file is not None and request.method == "POST":
                self._append(request)

    def sent(self, request: SeenRequest) -> None:
        """Let followers begin on a request: its answer is on its way, or nobody waits for it any more."""
        with self._lock:
            for follower in self._followers:
                follower.answered(request)

    def follow(self, follower: Follower) -> None:
        """Report to ``follower`` every request that has its answer: those kept already, then each to come."""
        with self._lock:
            for request in self._requests:
                if request.status is not None:
                    follower.answered(request)
            self._followers.append(follower)

    @property
    def revision(self) -> int:
        """A number that grows whenever the observations change."""
        with self._lock:
            return self._revision

    def _changed(self) -> None:
        self._rows = None
        self._revision += 1

    def clear(self) -> None:
        """Forget everything, in the file too."""
        self.records.clear()
        with self._lock:
            self._requests.clear()
            self._deleted.clear()
            self._changed()
            self._bytes = 0
            for follower in self._followers:
                follower.cleared()
            if self._path is not None:
                self._rewrite()

    def close(self) -> None:
        """Close the file; the store can still be read."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _append(self, request: SeenRequest) -> None:
        assert self._file is not None
        line = _line(request)
        self._file.write(line)
        self._file.flush()
        self._written += len(line)
        if self._written > 4 * MOST_BYTES:
            self._rewrite()

    def _load(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError), path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    break  # Torn: the writer was stopped in the middle of it.
                try:
                    request = _request(line)
                except (ValueError, KeyError, TypeError) as error:
                    raise StoreFileError(f"{path}, line {number}: not a line of a store ({error})") from error
                self.add(request)
                self._accepted += request.project_id is not None

    def _rewrite(self) -> None:
        """Rewrite the file with what is kept, so that it does not outgrow the store."""
        assert self._path is not None
        self.close()
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.touch(mode=0o600)
        with fresh.open("w", encoding="utf-8") as file:
            kept = [request for request in self._requests if request.method == "POST" and request.status]
            self._written = sum(file.write(_line(request)) for request in kept)
        fresh.replace(self._path)
        self._file = self._path.open("a", encoding="utf-8")


def _line(request: SeenRequest) -> str:
    return (
        json.dumps(
            {
                "received": request.received,
                "method": request.method,
                "path": request.path,
                "headers": [[name, value] for name, value in request.headers if name not in _CREDENTIALS],
                "status": request.status,
                "project": request.project_id,
                "body": base64.b64encode(request.body).decode(),
            },
            separators=(",", ":"),
        )
        + "\n"
    )


def _request(line: bytes) -> SeenRequest:
    value = json.loads(line)
    return SeenRequest(
        method=str(value["method"]),
        path=str(value["path"]),
        headers=[(str(name), str(text)) for name, text in value["headers"]],
        body=base64.b64decode(value["body"], validate=True),
        received=int(value["received"]),
        status=int(value["status"]),
        project_id=None if value["project"] is None else str(value["project"]),
        restored=True,
    )
