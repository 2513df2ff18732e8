"""From the outbox to Langfuse, or to any OTLP/HTTP traces endpoint.

What an answer means:

* 2xx: taken.
* 408, 425, 429, 502, 503, 504, and no connection: the destination is in trouble. Everything waits, longer
  each time, or as long as ``Retry-After`` says.
* any other 5xx, and no answer: as above, and the trace may be what it stumbles over, so it is tried again
  alone and less often.
* 400, 413, 422: this trace is refused. Sent together with others, each is tried alone first.
* anything else, such as 401, 403, 404 and redirects: keys or address are wrong.

A refused trace is set aside: it is not sent again until somebody asks for that. While keys or address are
known to be refused, an empty export asks once a minute whether they still are.
"""

import asyncio
import contextlib
import email.utils
import json
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

import httpx
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from codex_langfuse.keys.credentials import Access
from codex_langfuse.pages import page_url
from codex_langfuse.relay.keeper import Keeper
from codex_langfuse.relay.receiving import PROTOBUF
from codex_langfuse.relay.store import Store, StoreFullError, Waiting

_MOST_TURNS = 20
_MOST_BYTES = 1024 * 1024
_TIMEOUT = httpx.Timeout(30, connect=10)
#: Seconds between looks into the outbox: ``relay --retry-failed`` changes it from another process.
_LOOK = 2.0
#: Seconds between questions whether refused keys are still refused.
_ASK_AGAIN = 60.0
#: Seconds until what was delivered is noted again after the disk took no more.
_RETRY_WRITE = 5.0
#: The longest ``Retry-After`` that is obeyed, in seconds.
_LONGEST_RETRY_AFTER = 3600.0

_TROUBLE = frozenset({408, 425, 429, 502, 503, 504})
_THIS_TRACE = frozenset({400, 413, 422})

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Destination:
    """Where finished turns go: the address of a traces endpoint, and the headers it wants."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    label: str
    is_langfuse: bool = True

    @classmethod
    def langfuse(cls, access: Access) -> "Destination":
        """Make the destination for a Langfuse.

        ``x-langfuse-ingestion-version: 4`` makes a server with two write paths take the direct one, so that a
        turn shows at once (``otelIngestionQueue.ts``); others leave it alone.
        """
        headers = {"authorization": access.authorization, "x-langfuse-ingestion-version": "4"}
        url = access.base_url
        return cls(url.traces_endpoint, headers, f"{url.url} ({url.place})")

    @classmethod
    def otlp(cls, url: str, headers: Mapping[str, str]) -> "Destination":
        """Make the destination for another OTLP/HTTP endpoint; ``url`` is taken as it is."""
        return cls(url, dict(headers), url, is_langfuse=False)


@dataclass(frozen=True)
class BackOff:
    """How long to wait after the n-th failure in a row: doubling, half of it by chance. Seconds."""

    first: float = 1.0
    longest: float = 30.0

    def seconds(self, failures: int) -> float:
        """Return how long to wait after ``failures`` of them, at least one."""
        full = min(self.first * 2.0 ** min(failures - 1, 30), self.longest)
        return full / 2 + random.random() * full / 2


@dataclass(frozen=True)
class _Taken:
    complaint: str = ""


@dataclass(frozen=True)
class _Trouble:
    """It may work later. ``retry_after`` is in seconds; ``of_trace``: the trace may be the reason."""

    reason: str
    retry_after: float | None = None
    of_trace: bool = False
    unreachable: bool = False


@dataclass(frozen=True)
class _Refusal:
    """It will not work. ``of_trace``: the trace is the reason, not keys or address."""

    status: int
    message: str
    of_trace: bool

    @property
    def page(self) -> str:
        """The page that explains it."""
        if self.status in (401, 403):
            return page_url("guide/troubleshooting", "refused-keys")
        if self.of_trace:
            return page_url("guide/troubleshooting", "nothing-arrives")
        return page_url("guide/troubleshooting", "endpoint-path")

    def __str__(self) -> str:
        return f"{self.status}: {self.message}" if self.message else str(self.status)


class Delivery:
    """Delivers what the keeper's store holds; one request at a time."""

    def __init__(
        self,
        destination: Destination,
        keeper: Keeper,
        store: Store,
        *,
        back_off: BackOff | None = None,
        back_off_of_trace: BackOff | None = None,
        now: Callable[[], float] = time.time,
    ):
        """Deliver to ``destination``.

        ``back_off`` is for a destination in trouble, ``back_off_of_trace`` for a trace it stumbles over.
        """
        self._destination = destination
        self._keeper = keeper
        self._store = store
        self._back_off = back_off or BackOff()
        self._back_off_of_trace = back_off_of_trace or BackOff(5.0, 300.0)
        self._now = now
        self._failures = 0
        self._not_before = 0.0
        self._told_not_before = 0.0
        self._ask_at = 0.0
        self._closing_at: float | None = None
        self._unrecorded: list[int] = []
        #: What keys or address were last refused with; empty when they are not known to be.
        self.refused = ""
        #: Requests that failed since the start, refusals included.
        self.failed_requests = 0

    async def run(self) -> None:
        """Deliver until cancelled, or until ``finish`` finds nothing left to do."""
        headers = {
            "user-agent": f"codex-langfuse/{version('codex-langfuse')}",
            **self._destination.headers,
            "content-type": PROTOBUF,
        }
        async with httpx.AsyncClient(headers=headers, timeout=_TIMEOUT) as client:
            self._ask_at = self._now()
            while True:
                self._keeper.finished_turns.clear()
                try:
                    wait = await self._step(client)
                except StoreFullError:
                    wait = None if self._closing_at is not None else _RETRY_WRITE
                if wait is None:
                    return
                if wait > 0:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._keeper.finished_turns.wait(), wait)

    async def finish(self, running: asyncio.Task[None], seconds: float) -> None:
        """Let ``run`` deliver what there is, for at most ``seconds``, and end it."""
        self._closing_at = self._now() + seconds
        self._not_before = self._told_not_before
        await self._keeper.use_store(self._store.hasten)
        self._keeper.finished_turns.set()
        await asyncio.wait({running}, timeout=seconds)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    async def _step(self, client: httpx.AsyncClient) -> float | None:
        """Send one request if one is due; return for how many seconds to wait, ``None`` to end."""
        now = self._now()
        if self._unrecorded:
            await self._record()
        if now < self._not_before:
            return self._pause(self._not_before - now)
        if self._ask_at and now >= self._ask_at and self._closing_at is None:
            await self._ask(client)
            return 0
        most = 1 if self._failures else _MOST_TURNS
        waiting = await self._keeper.use_store(self._store.due, now, most, _MOST_BYTES)
        if not waiting:
            return self._pause(await self._until_next(now))
        # Serialized exports in a row are one export: protobuf appends repeated fields.
        outcome = await self._post(client, b"".join(each.trace for each in waiting))
        if isinstance(outcome, _Taken):
            await self._taken(waiting, outcome)
        elif isinstance(outcome, _Refusal):
            await self._refused(waiting, outcome)
        else:
            await self._failed(waiting, outcome)
            if self._closing_at is not None and outcome.unreachable:
                return None
        return 0

    def _pause(self, seconds: float) -> float | None:
        if self._closing_at is None:
            return min(seconds, _LOOK)
        return seconds if self._now() + seconds < self._closing_at else None

    async def _until_next(self, now: float) -> float:
        due = await self._keeper.use_store(self._store.next_due)
        if due is None:
            return _LOOK if self._closing_at is None else float("inf")
        return max(due - now, 0.01)

    async def _ask(self, client: httpx.AsyncClient) -> None:
        """Send an export with nothing in it: the answer tells whether keys and address are right."""
        outcome = await self._post(client, b"")
        self._ask_at = 0.0
        if isinstance(outcome, _Taken):
            await self._succeeded()
        elif isinstance(outcome, _Refusal) and not outcome.of_trace:
            await self._know_refused(outcome)
        elif isinstance(outcome, _Trouble):
            # Also when it was refused before: nothing new is known about that.
            self._ask_at = self._now() + _ASK_AGAIN if self.refused else 0.0
            await self._wait(outcome)

    async def _post(self, client: httpx.AsyncClient, body: bytes) -> _Taken | _Trouble | _Refusal:
        try:
            response = await client.post(self._destination.url, content=body)
        except httpx.HTTPError as error:
            unreachable = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            return _Trouble(_words_of(error), of_trace=not unreachable, unreachable=unreachable)
        status = response.status_code
        if response.is_success:
            return _Taken(_complaint(response))
        message = self._message(response)
        reason = f"{status}: {message}" if message else str(status)
        if status in _TROUBLE:
            return _Trouble(reason, _retry_after(response.headers.get("retry-after"), self._now()))
        if status >= 500:
            return _Trouble(reason, of_trace=True)
        return _Refusal(status, message, of_trace=status in _THIS_TRACE)

    def _message(self, response: httpx.Response) -> str:
        """Return what the answer says, in one line, without the secrets that were sent."""
        text = response.text
        with contextlib.suppress(ValueError):
            document = json.loads(text)
            if isinstance(document, dict):
                text = str(document.get("message") or document.get("error") or text)
        for secret in self._destination.headers.values():
            text = text.replace(secret, "…")
        text = " ".join("".join(each if each.isprintable() else " " for each in text).split())
        if text.startswith("<"):
            return response.reason_phrase
        return text.rstrip(".") if len(text) <= 300 else f"{text[:300]}…"

    # --- what follows from an answer ------------------------------------------------------------------------

    async def _taken(self, waiting: Sequence[Waiting], outcome: _Taken) -> None:
        self._unrecorded = [each.id for each in waiting]
        await self._record()
        if outcome.complaint:
            await self._report(f"took {_turns(len(waiting))}, but not all of it: {outcome.complaint}")
        await self._succeeded()

    async def _record(self) -> None:
        """Take what was delivered out of the outbox; on a full disk nothing is sent before that is done."""
        await self._keeper.use_store(self._store.delivered, self._unrecorded, self._now())
        self._unrecorded = []

    async def _succeeded(self) -> None:
        if self._failures or self.refused:
            logger.info("%s takes turns again", self._destination.label)
            await self._keeper.use_store(self._store.hasten)
        if self.refused:
            await self._keeper.use_store(self._store.note, "refused", None, self._now())
        self._failures = 0
        self._not_before = self._ask_at = 0.0
        self.refused = ""

    async def _refused(self, waiting: Sequence[Waiting], refusal: _Refusal) -> None:
        ids = [each.id for each in waiting]
        if refusal.of_trace and len(waiting) > 1:
            await self._keeper.use_store(self._store.postpone, ids, self._now())
            return
        await self._keeper.use_store(self._store.set_aside, ids, f"{refusal}. See {refusal.page}")
        if refusal.of_trace:
            self.failed_requests += 1
            await self._report(f"refused a turn with {refusal}. It is set aside. See {refusal.page}")
            await self._succeeded()
        else:
            await self._know_refused(refusal)

    async def _know_refused(self, refusal: _Refusal) -> None:
        self.failed_requests += 1
        self._ask_at = self._now() + _ASK_AGAIN
        if self.refused != str(refusal):
            self.refused = str(refusal)
            text = f"refuses what is sent with {refusal}. Turns are set aside. See {refusal.page}"
            await self._report(text)
            await self._keeper.use_store(self._store.note, "refused", self.refused, self._now())

    async def _failed(self, waiting: Sequence[Waiting], trouble: _Trouble) -> None:
        if trouble.of_trace:
            attempts = max(each.attempts for each in waiting) + 1
            until = self._now() + self._back_off_of_trace.seconds(attempts)
            await self._keeper.use_store(self._store.postpone, [each.id for each in waiting], until)
        await self._wait(trouble)

    async def _wait(self, trouble: _Trouble) -> None:
        self.failed_requests += 1
        self._failures += 1
        seconds = self._back_off.seconds(self._failures)
        if trouble.retry_after is not None:
            seconds = max(seconds, min(trouble.retry_after, _LONGEST_RETRY_AFTER))
            self._told_not_before = self._now() + seconds
        self._not_before = self._now() + seconds
        if self._failures == 1:
            await self._report(f"does not take turns now: {trouble.reason}. They wait on disk")

    async def _report(self, text: str) -> None:
        logger.warning("%s %s", self._destination.label, text)
        await self._keeper.use_store(
            self._store.note, "last error", f"{self._destination.label} {text}", self._now()
        )


def _turns(number: int) -> str:
    return "1 turn" if number == 1 else f"{number} turns"


def _words_of(error: httpx.HTTPError) -> str:
    kinds: dict[type[httpx.HTTPError], str] = {
        httpx.ConnectTimeout: "no connection within 10 seconds",
        httpx.ReadTimeout: "no answer within 30 seconds",
        httpx.ConnectError: "no connection",
        httpx.RemoteProtocolError: "it hung up",
        httpx.ReadError: "it hung up",
    }
    kind = kinds.get(type(error), type(error).__name__)
    return f"{kind} ({error})" if str(error) else kind


def _complaint(response: httpx.Response) -> str:
    """Return what an OTLP answer says of spans that were not taken though the rest was."""
    if not response.headers.get("content-type", "").startswith(PROTOBUF):
        return ""
    try:
        partial = ExportTraceServiceResponse.FromString(response.content).partial_success
    except DecodeError:
        return ""
    return (
        f"{partial.rejected_spans} spans rejected, {partial.error_message}" if partial.rejected_spans else ""
    )


def _retry_after(value: str | None, now: float) -> float | None:
    """Read ``Retry-After``: seconds, or a date."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(email.utils.parsedate_to_datetime(value).timestamp() - now, 0.0)
    except (ValueError, TypeError):
        return None
