"""The relay's routes: what Codex posts to, and what reports the relay's state."""

import asyncio
import collections
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from codex_langfuse.relay.admission import Admission
from codex_langfuse.relay.cause import NEEDS_SOMEBODY
from codex_langfuse.relay.delivery import Delivery
from codex_langfuse.relay.pipeline import Pipeline
from codex_langfuse.relay.receiving import (
    JSON,
    LARGEST_BODY,
    Export,
    RefusedRequestError,
    Signal,
    content_type_of,
    decode,
)
from codex_langfuse.relay.status import Metrics
from codex_langfuse.relay.store import Store, StoreFullError

#: Bodies beyond this many bytes, and all that are JSON or compressed, are decoded beside the event loop.
_SMALL = 256 * 1024
#: Bytes of bodies, as they come, that may be under way at once.
_MOST_UNDER_WAY = 2 * LARGEST_BODY
#: Seconds that a large body waits for its turn to be decoded.
_SECONDS_FOR_TURN = 20.0
#: Seconds after which a sender may try again when there is no room.
_RETRY_AFTER = 30

logger = logging.getLogger(__name__)


@dataclass
class AppState:
    """What the routes work with. ``body_seconds`` is how long a sender may take over one body."""

    pipeline: Pipeline
    store: Store
    delivery: Delivery
    admission: Admission
    max_disk: int
    body_seconds: float = 20.0
    started: float = field(default_factory=time.time)
    requests: collections.Counter[tuple[str, int]] = field(default_factory=collections.Counter)
    under_way: int = 0
    #: One large body at a time is decoded and stored.
    decoding: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))


def make_app(state: AppState) -> ASGIApp:
    """Make the ASGI application."""
    routes = _Routes(state)
    return _Admitted(
        Starlette(
            routes=[
                Route("/v1/logs", routes.logs, methods=["POST"]),
                Route("/v1/traces", routes.traces, methods=["POST"]),
                Route("/v1/metrics", routes.drop_metrics, methods=["POST"]),
                Route("/healthz", routes.healthz),
                Route("/readyz", routes.readyz),
                Route("/metrics", routes.metrics),
            ],
            exception_handlers={
                RefusedRequestError: _answer_refused,
                StoreFullError: _answer_full,
                ClientDisconnect: _answer_nobody,
            },
        ),
        state,
    )


class _Admitted:
    """Turns away who may not speak to the relay, and keeps count of all answers."""

    def __init__(self, app: ASGIApp, state: AppState):
        self._app = app
        self._state = state
        self._warned: set[tuple[str, int]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]

        async def send_counted(message: Any) -> None:
            if message["type"] == "http.response.start":
                self._count(scope["method"], path, message["status"])
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            self._state.admission.check(path, headers)
        except RefusedRequestError as refused:
            request = Request(scope, receive)
            await self._works_off(request)
            response = await _answer_refused(request, refused)
            await response(scope, receive, send_counted)
            return
        await self._app(scope, receive, send_counted)

    async def _works_off(self, request: Request) -> None:
        """Read what a sender insists on sending first: many look at no answer before they are through."""
        try:
            await _read(request, self._state, keep=False)
        except (RefusedRequestError, ClientDisconnect):
            return

    def _count(self, method: str, path: str, status: int) -> None:
        known = path if path in ("/v1/logs", "/v1/traces", "/v1/metrics") else "other"
        if method == "POST":
            self._state.requests[known, status] += 1
        if status >= 400 and method == "POST" and (known, status) not in self._warned:
            # Codex itself says nothing of a refused export. Once for each kind.
            self._warned.add((known, status))
            logger.warning(
                "answered %d to POST %s; further ones are only counted", status, ascii(path)[1:-1][:80]
            )


class _Routes:
    def __init__(self, state: AppState):
        self._state = state

    async def logs(self, request: Request) -> Response:
        return await self._receive("logs", request)

    async def traces(self, request: Request) -> Response:
        return await self._receive("traces", request)

    async def _receive(self, signal: Signal, request: Request) -> Response:
        state = self._state
        headers = dict(request.headers)
        try:
            content_type = content_type_of(headers)
        except RefusedRequestError:
            await _read(request, state, keep=False)
            raise
        try:
            body = await _read(request, state, keep=True)
            small = content_type != JSON and len(body) < _SMALL and "content-encoding" not in headers
            with request.state.connection as connection:
                if small:
                    await self._keep(decode(signal, headers, body), connection.name)
                else:
                    async with self._turn():
                        export = await asyncio.to_thread(decode, signal, headers, body)
                        await self._keep(export, connection.name)
        finally:
            state.under_way -= request.state.bytes
        return _ok(content_type)

    async def _keep(self, export: Export, connection: str) -> None:
        if not export.is_empty:
            await self._state.pipeline.accept(export, connection)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Let one large body pass at a time."""
        try:
            async with asyncio.timeout(_SECONDS_FOR_TURN):
                await self._state.decoding.acquire()
        except TimeoutError as error:
            raise RefusedRequestError(503, "too much at once") from error
        try:
            yield
        finally:
            self._state.decoding.release()

    async def drop_metrics(self, request: Request) -> Response:
        """Take and forget: nothing in Codex's metrics is of a turn."""
        await _read(request, self._state, keep=False)
        return _ok(request.headers.get("content-type", ""))

    async def healthz(self, request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(self, request: Request) -> Response:
        state = self._state
        if state.pipeline.full:
            return PlainTextResponse(f"no room for more: {state.pipeline.full}\n", 503)
        if state.delivery.cause in NEEDS_SOMEBODY:
            return PlainTextResponse(f"turns are not accepted: {state.delivery.fault}\n", 503)
        return PlainTextResponse("ready\n")

    async def metrics(self, request: Request) -> Response:
        state = self._state
        figures = await state.pipeline.use_store(state.store.figures)
        metrics = Metrics(
            started=state.started,
            requests=state.requests,
            failed_deliveries=state.delivery.failed_requests,
            sent_again=state.delivery.sent_again,
            turned_away=state.pipeline.turned_away,
            cause=state.delivery.cause,
            full=bool(state.pipeline.full),
            limit=state.max_disk,
        )
        return PlainTextResponse(metrics.text(figures), media_type="text/plain; version=0.0.4")


async def _read(request: Request, state: AppState, *, keep: bool) -> bytes:
    """Read the body; what is not kept, or too large, is read and thrown away.

    Adds what it holds in memory to ``state.under_way`` and, for who takes it off again, to
    ``request.state.bytes``. Raises ``RefusedRequestError``: 408 when it takes too long, 413 when it is too
    large, 503 when too many come at once.
    """
    request.state.bytes = 0
    declared = request.headers.get("content-length", "")
    too_large = declared.isdecimal() and int(declared) > LARGEST_BODY
    if too_large and "expect" in request.headers:
        raise RefusedRequestError(413, f"more than {LARGEST_BODY} bytes")
    parts: list[bytes] = []
    size = 0
    crowded = False
    try:
        async with asyncio.timeout(state.body_seconds):
            async for part in request.stream():
                size += len(part)
                too_large = too_large or size > LARGEST_BODY
                crowded = crowded or state.under_way + len(part) > _MOST_UNDER_WAY
                if keep and not too_large and not crowded:
                    parts.append(part)
                    state.under_way += len(part)
                    request.state.bytes += len(part)
                else:
                    parts.clear()
    except TimeoutError as error:
        if not too_large:
            reason = f"the body took more than {state.body_seconds:g} seconds"
            raise RefusedRequestError(408, reason) from error
    if too_large:
        raise RefusedRequestError(413, f"more than {LARGEST_BODY} bytes")
    if keep and crowded:
        raise RefusedRequestError(503, "too much at once")
    return b"".join(parts)


def _ok(content_type: str) -> Response:
    """Answer as OTLP wants it: an empty message of the request's own kind."""
    if content_type.startswith(JSON):
        return Response(b"{}", media_type=JSON)
    return Response(b"", media_type="application/x-protobuf")


async def _answer_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedRequestError)
    headers = {}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.status == 408:
        headers["connection"] = "close"
    if error.status == 503:
        headers["retry-after"] = str(_RETRY_AFTER)
    return JSONResponse({"message": error.reason}, error.status, headers)


async def _answer_full(request: Request, error: Exception) -> Response:
    return JSONResponse({"message": "no room for more"}, 503, {"retry-after": str(_RETRY_AFTER)})


async def _answer_nobody(request: Request, error: Exception) -> Response:
    return Response(status_code=400)
