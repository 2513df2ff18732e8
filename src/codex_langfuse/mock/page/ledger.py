"""What was sent since the mock began, added up: requests, and every text by its kind and its place.

Read in its own thread, request by request once each has its answer, so neither the sender nor whoever
opens the page waits for it. Nothing is taken back when the store forgets old requests: what left, left.
"""

import hashlib
import threading
import weakref
from collections import Counter, deque
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Literal, get_args

from codex_langfuse.codex.content import Kind, classify
from codex_langfuse.mock.langfuse.auth import ApiKey, Refused, verify
from codex_langfuse.mock.page.request_contents import RequestContents, Signal, TelemetryField, contents_of
from codex_langfuse.mock.store import MockStore, SeenRequest

#: How much is kept; what goes beyond is counted only, and the page says so.
MOST_RECORDS = 10_000
MOST_PLACES = 2_000
MOST_TEXTS = 500
MOST_CHARACTERS = 64 * 1024 * 1024
_SAMPLES = 5
_LONGEST_KEY = 1_000
#: A text that is longer has an address of its own.
LONGEST_SHOWN = 300
#: After so many requests the store is asked for all rows, so that it lets go of the oldest observations.
_ROWS_EVERY = 64

Authorization = Literal["missing", "variable", "refused", "accepted"]


@dataclass
class TextCount:
    """One text at one place: how often it was there, in which requests first and last."""

    count: int
    first: int
    last: int


@dataclass
class Attribute:
    """Everything that was at one place and is of one kind; ``beyond`` counts texts that are not kept."""

    kind: Kind
    place: TelemetryField
    count: int = 0
    beyond: int = 0
    texts: dict[str, TextCount] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One request that carried telemetry, or tried to.

    ``size`` is in bytes as sent; ``items`` are spans, log records or data points; ``observations`` is how
    many Langfuse made of them; ``refusal`` is Langfuse's word on the ``Authorization`` header. ``status`` is
    0 when the sender gave up before it was answered.
    """

    number: int
    received: int
    method: str
    path: str
    status: int
    size: int
    is_json: bool
    authorization: Authorization
    refusal: str
    contents: RequestContents
    observations: int
    request: weakref.ref[SeenRequest]

    @property
    def signal(self) -> Signal:
        """Which signal the body is."""
        return self.contents.signal

    @property
    def is_wrong_path(self) -> bool:
        """True when Langfuse has nothing at this address."""
        return self.status == 404


@dataclass
class Total:
    """Sums over the requests of one signal."""

    requests: int = 0
    size: int = 0
    items: int = 0
    kept: int = 0


class Ledger:
    """Follows a store until closed; safe to read from any thread."""

    def __init__(self, store: MockStore, keys: tuple[ApiKey, ...]):
        self._store = store
        self._keys = keys
        self._changed = threading.Condition()
        self._queue: SimpleQueue[tuple[int, SeenRequest] | None] = SimpleQueue()
        self._waiting = 0
        self._clearings = 0
        self._forget()
        self._revision = 0
        self._thread = threading.Thread(target=self._read, name="mock-ledger", daemon=True)
        self._thread.start()
        store.follow(self)

    def _forget(self) -> None:
        self._number = 0
        self._characters = 0
        self._records: deque[Record] = deque(maxlen=MOST_RECORDS)
        self._totals: dict[Signal, Total] = {}
        self._attributes: dict[tuple[Kind, TelemetryField], Attribute] = {}
        self._addressed: dict[str, str] = {}
        self._left_out = 0

    def answered(self, request: SeenRequest) -> None:
        """Put a request in line; one that only reads or asks carries nothing."""
        if request.method in ("GET", "HEAD", "OPTIONS"):
            return
        with self._changed:
            self._waiting += 1
            self._queue.put((self._clearings, request))

    def cleared(self) -> None:
        """Forget everything."""
        with self._changed:
            self._forget()
            self._clearings += 1
            self._revision += 1

    def close(self) -> None:
        """Stop reading."""
        self._queue.put(None)
        self._thread.join()

    def wait(self, seconds: float) -> int:
        """Wait until everything in line has been read, but no longer; return how many requests remain."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, seconds)
            return self._waiting

    @property
    def revision(self) -> tuple[int, int]:
        """Two numbers of which one grows whenever there is something new to show."""
        with self._changed:
            return self._revision, self._waiting

    @property
    def records(self) -> list[Record]:
        """The requests, oldest first; the newest ``MOST_RECORDS`` of them."""
        with self._changed:
            return list(self._records)

    @property
    def totals(self) -> dict[Signal, Total]:
        """The sums by signal."""
        with self._changed:
            return {signal: Total(**vars(total)) for signal, total in self._totals.items()}

    @property
    def left_out(self) -> int:
        """How many texts were at places beyond the ``MOST_PLACES`` that are kept."""
        with self._changed:
            return self._left_out

    def attributes(self) -> list[Attribute]:
        """Return what was where, the most serious kind first: a copy."""
        with self._changed:
            found = [
                Attribute(each.kind, each.place, each.count, each.beyond, dict(each.texts))
                for each in self._attributes.values()
            ]
        return in_order(found)

    def record(self, number: int) -> Record | None:
        """Return a request by its number, ``None`` when there is none, or none any more."""
        with self._changed:
            return next((record for record in reversed(self._records) if record.number == number), None)

    def text(self, address: str) -> str | None:
        """Return a long text by the address that ``address_of`` gave it."""
        with self._changed:
            return self._addressed.get(address)

    def _read(self) -> None:
        since_rows = 0
        while (waiting := self._queue.get()) is not None:
            clearings, request = waiting
            try:
                contents, observations = contents_of(request), len(request.observations())
            except Exception:
                # One that cannot be read must not keep the others from being read.
                contents, observations = RequestContents("unknown", readable=False), 0
            with self._changed:
                if clearings == self._clearings:
                    self._enter(request, contents, observations)
                self._waiting -= 1
                self._revision += 1
                self._changed.notify_all()
            since_rows += 1
            if since_rows >= _ROWS_EVERY:
                self._store.rows()
                since_rows = 0

    def _enter(self, request: SeenRequest, contents: RequestContents, observations: int) -> None:
        self._number += 1
        authorization, refusal = self._judged(request)
        texts, contents.texts = contents.texts, {}
        self._records.append(
            Record(
                number=self._number,
                received=request.received,
                method=request.method,
                path=request.path,
                status=request.status or 0,
                size=len(request.body),
                is_json="json" in request.header_values().get("content-type", "").lower(),
                authorization=authorization,
                refusal=refusal,
                contents=contents,
                observations=observations,
                request=weakref.ref(request),
            )
        )
        total = self._totals.setdefault(contents.signal, Total())
        total.requests += 1
        total.size += len(request.body)
        total.items += contents.items
        total.kept += request.project_id is not None
        for place, counts in texts.items():
            self._count(place, counts)

    def _judged(self, request: SeenRequest) -> tuple[Authorization, str]:
        if request.restored:
            return ("refused" if request.status in (401, 403) else "missing"), ""
        header = request.header_values().get("authorization", "")
        outcome = verify(header, self._keys)
        if not isinstance(outcome, Refused):
            return "accepted", ""
        if not header:
            return "missing", outcome.message
        return ("variable" if "${" in header or "$env:" in header.lower() else "refused"), outcome.message

    def _count(self, place: TelemetryField, counts: Counter[str]) -> None:
        place = TelemetryField(place.signal, place.part, place.key[:_LONGEST_KEY])
        for text, count in counts.items():
            kind = classify(place.key, text)
            attribute = self._attributes.get((kind, place))
            if attribute is None:
                if len(self._attributes) >= MOST_PLACES:
                    self._left_out += count
                    continue
                attribute = self._attributes[kind, place] = Attribute(kind, place)
            attribute.count += count
            known = attribute.texts.get(text)
            if known is not None:
                known.count += count
                known.last = self._number
            elif (
                len(attribute.texts) >= (_SAMPLES if kind is Kind.OTHER else MOST_TEXTS)
                or self._characters + len(text) > MOST_CHARACTERS
            ):
                attribute.beyond += count
            else:
                attribute.texts[text] = TextCount(count, self._number, self._number)
                self._characters += len(text)
                if len(text) > LONGEST_SHOWN:
                    self._addressed[address_of(text)] = text


def in_order(attributes: list[Attribute]) -> list[Attribute]:
    """Sort by kind, the most serious first, then by signal, traces first."""
    kinds, signals = list(Kind), get_args(Signal)
    return sorted(
        attributes,
        key=lambda each: (kinds.index(each.kind), signals.index(each.place.signal), each.place),
    )


def address_of(text: str) -> str:
    """Name a text by what it says: 32 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
