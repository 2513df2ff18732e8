"""From the outbox to Langfuse, or to any OTLP/HTTP traces endpoint.

What an answer means:

* 2xx with an OTLP answer, or with nothing in it: accepted. Langfuse works on it later.
* 400, 413, and a 2xx that says that spans were rejected: this turn is refused. Sent together with others,
  each is tried separately first; after a 413 its spans are sent in parts. What is still refused is set
  aside: it is not sent again until somebody asks for that.
* anything else, such as 401, 403, 404, 429, any 5xx, a redirect, a web page, or no answer: something is wrong
  with the destination. Everything waits, longer each time, or as long as ``Retry-After`` says, and is
  delivered when the destination is right again. After a 500, or when no answer came, the turn may be what it
  stumbles over: that one is tried again separately and less often.

While something is wrong and no turn waits, an empty export asks whether it still is.
"""

import asyncio
import base64
import contextlib
import email.utils
import json
import logging
import random
import sqlite3
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

import httpx
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from codex_langfuse.compression import gunzip
from codex_langfuse.keys.credentials import Access
from codex_langfuse.page_addresses import page_url
from codex_langfuse.proxies import client_options
from codex_langfuse.relay.cause import Cause
from codex_langfuse.relay.pipeline import Pipeline
from codex_langfuse.relay.receiving import JSON, PROTOBUF
from codex_langfuse.relay.store import LONGEST_POSTPONED, Store, StoreFullError, Waiting

_MOST_TURNS = 20
_MOST_BYTES = 1024 * 1024
#: Seconds for a request and its whole answer.
_SECONDS_FOR_ANSWER = 30.0
_TIMEOUT = httpx.Timeout(_SECONDS_FOR_ANSWER, connect=10)
#: Bytes of an answer that are read, and what they may become when they are compressed.
_LARGEST_ANSWER = 64 * 1024
#: Seconds between looks into the outbox: ``relay --retry-failed`` changes it from another process.
_LOOK = 2.0
#: Seconds until what was accepted is noted again after the disk took no more.
_RETRY_WRITE = 1.0
#: The longest ``Retry-After`` that is obeyed, in seconds.
_LONGEST_RETRY_AFTER = LONGEST_POSTPONED
#: Characters: what is shorter is no secret, or one that cannot be covered without covering other text.
_SHORTEST_SECRET = 8

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Destination:
    """Where finished turns go: the address of a traces endpoint, and the headers it wants."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    label: str
    base_url: str = ""
    """The address of the Langfuse; empty for any other endpoint."""

    @classmethod
    def langfuse(cls, access: Access) -> "Destination":
        """Make the destination for a Langfuse.

        ``x-langfuse-ingestion-version: 4`` makes a server with two write paths take the direct one, so that a
        turn shows at once (``otelIngestionQueue.ts``); others ignore it.
        """
        headers = {"authorization": access.authorization, "x-langfuse-ingestion-version": "4"}
        url = access.base_url
        return cls(url.traces_endpoint, headers, f"{url.url} ({url.place})", url.url)

    @classmethod
    def otlp(cls, url: str, headers: Mapping[str, str]) -> "Destination":
        """Make the destination for another OTLP/HTTP endpoint; ``url`` is taken as it is."""
        return cls(url, dict(headers), url)


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
class _Accepted:
    pass


@dataclass(frozen=True)
class _Fault:
    """The destination is not as it should be. ``retry_after`` is in seconds.

    ``of_turn``: the turn may be the reason. ``unreachable``: it will not answer within seconds.
    """

    cause: Cause
    reason: str
    retry_after: float | None = None
    of_turn: bool = False
    unreachable: bool = False


@dataclass(frozen=True)
class _Refusal:
    """The destination works, and does not accept this."""

    status: int
    message: str

    def __str__(self) -> str:
        return f"{self.status}: {self.message}" if self.message else str(self.status)


_Outcome = _Accepted | _Fault | _Refusal


class Delivery:
    """Delivers what the pipeline's store holds; one request at a time."""

    def __init__(
        self,
        destination: Destination,
        pipeline: Pipeline,
        store: Store,
        *,
        back_off: BackOff | None = None,
        back_off_of_trace: BackOff | None = None,
        now: Callable[[], float] = time.monotonic,
    ):
        """Deliver to ``destination``.

        ``back_off`` is for a destination with which something is wrong, ``back_off_of_trace`` for a trace it
        stumbles over.
        """
        self._destination = destination
        self._pipeline = pipeline
        self._store = store
        self._back_off = back_off or BackOff()
        self._back_off_of_trace = back_off_of_trace or BackOff(5.0, 300.0)
        self._now = now
        self._secrets = forms_of_secrets(destination.headers.values())
        self._failures = 0
        self._not_before = 0.0
        self._told_not_before = 0.0
        # Whether an empty export is to ask how the destination is: at the start, nobody knows.
        self._ask = True
        self._closing_at: float | None = None
        self._unrecorded: list[int] = []
        #: What is wrong with the destination: the kind, and in words. None and empty if nothing is known.
        self.cause: Cause | None = None
        self.fault = ""
        #: Requests that were not accepted since the start.
        self.failed_requests = 0
        # Turns that a request carried which got a 500 or no answer: the destination may have them.
        self._unanswered: set[int] = set()
        #: How often a turn was sent that the destination may have already, since the start.
        self.sent_again = 0

    async def run(self) -> None:
        """Deliver until cancelled, or until ``finish`` finds nothing left to do."""
        headers = {
            "user-agent": f"codex-langfuse/{version('codex-langfuse')}",
            **self._destination.headers,
            "content-type": PROTOBUF,
            "accept-encoding": "identity",
        }
        options = client_options(self._destination.url)
        async with httpx.AsyncClient(headers=headers, timeout=_TIMEOUT, **options) as client:
            while True:
                self._pipeline.finished_turns.clear()
                try:
                    wait = await self._step(client)
                except StoreFullError:
                    wait = None if self._closing_at is not None else _RETRY_WRITE
                except sqlite3.Error:
                    raise
                except Exception:
                    logger.exception("a delivery failed; this is a bug in the relay, please report it")
                    wait = self._pause(self._back_off.longest)
                if wait is None:
                    return
                if wait > 0:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._pipeline.finished_turns.wait(), wait)

    async def finish(self, running: asyncio.Task[None], seconds: float) -> None:
        """Let ``run`` deliver what there is, for at most ``seconds``, and end it."""
        self._closing_at = self._now() + seconds
        self._not_before = self._told_not_before
        with contextlib.suppress(StoreFullError):
            await self._pipeline.use_store(self._store.hasten)
        self._pipeline.finished_turns.set()
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
        most = 1 if self._failures else _MOST_TURNS
        waiting = await self._pipeline.use_store(self._store.due, now, most, _MOST_BYTES)
        if not waiting and not (self._ask and self._closing_at is None):
            return self._pause(await self._until_next(now))
        self.sent_again += sum(each.id in self._unanswered for each in waiting)
        # Serialized exports in a row are one export: protobuf appends repeated fields.
        outcome = await self._post(client, b"".join(each.trace for each in waiting), split=len(waiting) == 1)
        self._ask = False
        if isinstance(outcome, _Accepted):
            await self._accepted(waiting)
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
        due = await self._pipeline.use_store(self._store.next_due, now)
        if due is None:
            return _LOOK if self._closing_at is None else float("inf")
        return max(due - now, 0.01)

    async def _post(self, client: httpx.AsyncClient, body: bytes, *, split: bool = False) -> _Outcome:
        """Send an export; with ``split``, one that is too large in parts. What was sent may be sent again."""
        try:
            async with asyncio.timeout(_SECONDS_FOR_ANSWER):
                async with client.stream("POST", self._destination.url, content=body) as response:
                    answer = await _read(response)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError, ValueError) as error:
            return _fault_of(error)
        finally:
            client.cookies.clear()
        outcome = self._judged(response, answer)
        if split and isinstance(outcome, _Refusal) and outcome.status == 413:
            for half in _halves(body):
                outcome = await self._post(client, half, split=True)
                if not isinstance(outcome, _Accepted):
                    break
        return outcome

    def _judged(self, response: httpx.Response, answer: bytes | None) -> _Outcome:
        status = response.status_code
        content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.is_success:
            rejected = _rejected_in(content_type, answer)
            if rejected is None:
                what = content_type or "something"
                return _Fault(Cause.ANSWER, f"{status} with {what} that is not an OTLP answer")
            return _Refusal(status, self._covered(rejected)) if rejected else _Accepted()
        message = self._message(response, content_type, answer)
        reason = f"{status}: {message}" if message else str(status)
        if status == 413 or (status == 400 and content_type != "text/html"):
            return _Refusal(status, message)
        if status in (401, 403):
            return _Fault(Cause.KEYS, reason)
        if status in (408, 425, 429):
            retry_after = _retry_after(response.headers.get("retry-after"), time.time())
            return _Fault(Cause.BUSY, reason, retry_after)
        if status >= 500:
            retry_after = _retry_after(response.headers.get("retry-after"), time.time())
            return _Fault(Cause.SERVER, reason, retry_after, of_turn=status not in (502, 503, 504))
        return _Fault(Cause.ADDRESS, reason)

    def _message(self, response: httpx.Response, content_type: str, answer: bytes | None) -> str:
        """Return what the answer says, in one line, without the secrets that were sent."""
        if response.has_redirect_location:
            target = urllib.parse.urlsplit(response.headers["location"]).hostname
            return f"redirects to {self._covered(target)}" if target else "redirects"
        if content_type == PROTOBUF:
            # OTLP answers with google.rpc.Status; its message is the field that this one has, too.
            with contextlib.suppress(DecodeError):
                return self._covered(Status.FromString(answer or b"").message)
            return response.reason_phrase
        text = (answer or b"").decode("utf-8", "replace")
        with contextlib.suppress(ValueError, RecursionError):
            document = json.loads(text)
            if isinstance(document, dict):
                text = str(document.get("message") or document.get("error") or text)
        return response.reason_phrase if text.lstrip().startswith("<") else self._covered(text)

    def _covered(self, text: str) -> str:
        return cover(text, self._secrets)

    # --- what follows from an answer ------------------------------------------------------------------------

    async def _accepted(self, waiting: Sequence[Waiting]) -> None:
        self._unanswered -= {each.id for each in waiting}
        self._unrecorded = [each.id for each in waiting]
        hasten = bool(waiting and (self._failures or self.fault))
        await self._works()
        if hasten:
            await self._pipeline.use_store(self._store.hasten)
        if waiting:
            await self._record()

    async def _record(self) -> None:
        """Take what was accepted out of the outbox; on a full disk nothing is sent before that is done."""
        await self._pipeline.use_store(self._store.accepted, self._unrecorded, time.time())
        self._unrecorded = []

    async def _works(self) -> None:
        """Know that nothing is wrong with the destination."""
        if self.fault:
            logger.info("%s accepts turns again", self._destination.label)
            await self._note("fault", None)
        self._failures = 0
        self._not_before = self._told_not_before = 0.0
        self.cause, self.fault = None, ""

    async def _refused(self, waiting: Sequence[Waiting], refusal: _Refusal) -> None:
        ids = [each.id for each in waiting]
        if len(waiting) > 1:
            await self._pipeline.use_store(self._store.postpone, ids, 0.0)
            return
        self.failed_requests += 1
        if waiting:
            page = page_url("guide/troubleshooting", "nothing-arrives")
            await self._pipeline.use_store(self._store.set_aside, ids, f"{refusal}. See {page}")
            await self._report(f"refused a turn with {refusal}. It is set aside. See {page}")
        await self._works()

    async def _failed(self, waiting: Sequence[Waiting], fault: _Fault) -> None:
        self.failed_requests += 1
        self._failures += 1
        seconds = self._back_off.seconds(self._failures)
        if fault.retry_after is not None:
            seconds = max(seconds, min(fault.retry_after, _LONGEST_RETRY_AFTER))
            self._told_not_before = self._now() + seconds
        self._not_before = self._now() + seconds
        # A turn that may be the reason is asked about with the turn itself.
        self._ask = not fault.of_turn
        if self.cause != fault.cause or not self.fault:
            text = f"does not accept turns now: {fault.reason}. They wait on disk. See {fault.cause.page}"
            await self._report(text)
        if self.fault != fault.reason:
            self.cause, self.fault = fault.cause, fault.reason
            await self._note("fault", f"{fault.reason}. See {fault.cause.page}")
        if fault.of_turn and waiting:
            self._unanswered |= {each.id for each in waiting}
            attempts = max(each.attempts for each in waiting) + 1
            until = self._now() + self._back_off_of_trace.seconds(attempts)
            await self._pipeline.use_store(self._store.postpone, [each.id for each in waiting], until)

    async def _report(self, text: str) -> None:
        logger.warning("%s %s", self._destination.label, text)
        await self._note("last error", f"{self._destination.label} {text}")

    async def _note(self, name: str, text: str | None) -> None:
        with contextlib.suppress(StoreFullError):
            await self._pipeline.use_store(self._store.note, name, text, time.time())


async def _read(response: httpx.Response) -> bytes | None:
    """Return the answer's body; ``None`` for one that is too large or compressed in an unknown way."""
    parts, size = [], 0
    async for part in response.aiter_raw():
        parts.append(part)
        size += len(part)
        if size > _LARGEST_ANSWER:
            return None
    body = b"".join(parts)
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return body
    try:
        return gunzip(body, _LARGEST_ANSWER) if encoding == "gzip" else None
    except (ValueError, OverflowError):
        return None


def _rejected_in(content_type: str, answer: bytes | None) -> str | None:
    """Return what of an export was rejected, in words, by a 2xx answer; ``None`` if it is no OTLP answer."""
    if answer == b"" and content_type != "text/html":
        return ""
    try:
        if content_type == PROTOBUF and answer is not None:
            partial = ExportTraceServiceResponse.FromString(answer).partial_success
            number, message = partial.rejected_spans, partial.error_message
        elif content_type == JSON and answer is not None:
            document = json.loads(answer)
            if not isinstance(document, dict) or document.keys() & {"error", "errors"}:
                return None
            told = document.get("partialSuccess") or document.get("partial_success") or {}
            number = int(told.get("rejectedSpans") or told.get("rejected_spans") or 0)
            message = str(told.get("errorMessage") or told.get("error_message") or "")
        else:
            return None
    except (DecodeError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    return f"{number} spans rejected, {message}".rstrip(", ") if number else ""


def _fault_of(error: Exception) -> _Fault:
    words = {
        httpx.ConnectTimeout: "no connection within 10 seconds",
        httpx.ConnectError: "no connection",
        httpx.RemoteProtocolError: "it closed the connection, or does not speak HTTP",
        httpx.ReadError: "it hung up",
        httpx.ReadTimeout: "no answer within 30 seconds",
        TimeoutError: "no complete answer within 30 seconds",
    }.get(type(error), type(error).__name__)
    text = f"{words} ({error})" if str(error) else words
    unreachable = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    kind = Cause.NETWORK if cause is None else Cause.TLS
    return _Fault(kind, text, of_turn=not unreachable and cause is None, unreachable=unreachable)


def _halves(trace: bytes) -> list[bytes]:
    """Return an export as two with half of its spans each; one of a single span as none."""
    export = ExportTraceServiceRequest.FromString(trace)
    spans = [
        (resource, scope, span)
        for resource in export.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    if len(spans) < 2:
        return []
    halves = []
    for part in (spans[: len(spans) // 2], spans[len(spans) // 2 :]):
        half = ExportTraceServiceRequest()
        for resource, scope, span in part:
            group = half.resource_spans.add(resource=resource.resource, schema_url=resource.schema_url)
            group.scope_spans.add(scope=scope.scope, schema_url=scope.schema_url, spans=[span])
        halves.append(half.SerializeToString())
    return halves


def cover(text: str, secrets: Sequence[str]) -> str:
    """Return ``text`` as one line of at most 300 characters, without ``secrets``."""
    for secret in secrets:
        text = text.replace(secret, "…")
    text = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return text.rstrip(".") if len(text) <= 300 else f"{text[:300]}…"


def forms_of_secrets(values: Iterable[str]) -> list[str]:
    """Return what must not be shown of headers' values: each as it is, its parts, and all of that encoded."""
    parts: set[str] = set()
    for value in values:
        parts |= {value, *value.split()}
        for word in value.split():
            with contextlib.suppress(ValueError):
                pair = base64.b64decode(word, validate=True).decode()
                parts |= {pair, *pair.split(":")}
    parts = {each for each in parts if len(each) >= _SHORTEST_SECRET}
    forms = set(parts)
    for each in parts:
        plain = each.encode()
        for encoded in (base64.b64encode(plain).decode(), base64.urlsafe_b64encode(plain).decode()):
            forms |= {encoded, encoded.rstrip("=")}
        forms |= {plain.hex(), plain.hex().upper(), urllib.parse.quote(each, safe=""), json.dumps(each)[1:-1]}
    return sorted(forms, key=len, reverse=True)


def _retry_after(value: str | None, now: float) -> float | None:
    """Read ``Retry-After``: seconds, or a date."""
    if value is None:
        return None
    try:
        if value.strip().isdecimal():
            return float(value)
        return max(email.utils.parsedate_to_datetime(value).timestamp() - now, 0.0)
    except (ValueError, TypeError, OverflowError):
        return None
