"""The mock's routes: which request is answered by what.

Paths, methods and their order as Langfuse 4.16.0 has them: redirect of untidy paths, 404 for a path that is
not there, method, and only then the endpoint itself. The mock's own page is separate, at ``/`` and under
``/-/``: its requests are neither recorded nor struck by faults. Unlike Langfuse's, no answer may be read by a
web page elsewhere: the keys are published.
"""

import asyncio
import ipaddress
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Message, Receive, Scope, Send

from codex_langfuse.keys.credentials import TRACES_PATH, is_this_machine
from codex_langfuse.mock.faults import Faults
from codex_langfuse.mock.langfuse.answer import METHOD_NOT_ALLOWED, NOT_FOUND, Answer, message
from codex_langfuse.mock.langfuse.auth import ApiKey
from codex_langfuse.mock.langfuse.ingestion import (
    LARGEST_BODY,
    TOO_LARGE,
    Accepted,
    answer_metrics,
    answer_traces,
)
from codex_langfuse.mock.langfuse.read_api import answer_version
from codex_langfuse.mock.page.views import Views, is_page
from codex_langfuse.mock.project_api import Call, find_route
from codex_langfuse.mock.store import MockStore, SeenRequest
from codex_langfuse.mock.visibility import IMMEDIATE, Visibility, arrived

#: Bodies beyond this many bytes are worked on beside the event loop.
_SMALL = 256 * 1024

_UNTIDY = re.compile(r"\\|//")


@dataclass
class Mock:
    """What the routes work with; there is a page only where somebody looks at it."""

    keys: tuple[ApiKey, ...]
    store: MockStore
    faults: Faults
    page: Views | None
    own_host: str
    langfuse: int = 4
    visibility: Visibility = IMMEDIATE


def make_app(mock: Mock) -> Starlette:
    """Make the ASGI application."""
    return Starlette(routes=[Mount("", app=_Langfuse(mock))])


class _Langfuse:
    """Records a request, plays the fault in force if there is one, and answers."""

    def __init__(self, mock: Mock):
        self._mock = mock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = await _read_body(receive)
        if isinstance(body, _Gone):
            return
        query = scope["query_string"].decode("latin-1")
        path = scope["raw_path"].decode("latin-1")
        request = SeenRequest(
            method=scope["method"],
            path=f"{path}?{query}" if query else path,
            headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
            body=body if body is not None else b"",
        )
        if self._mock.page and is_page(request.method, path):
            page = await asyncio.to_thread(self._mock.page.answer, request.path, request.header_values())
            await _send(page, request, send, page.headers)
            return
        if is_this_machine(self._mock.own_host) and _may_be_rebound(request.header_values().get("host", "")):
            await _send(_FOREIGN_NAME, request, send, {})
            return
        self._mock.store.add(request)
        fault = self._mock.faults.strike(request.path)
        if fault is not None:
            if fault.hang:
                while (await receive())["type"] != "http.disconnect":
                    pass
                self._mock.store.sent(request)
                return
            await asyncio.sleep(fault.delay)
        answer: Answer | Accepted | None = fault.answer() if fault is not None else None
        if answer is None:
            answer = TOO_LARGE if body is None else await self._answer(request)
        if isinstance(answer, Accepted):
            self._mock.store.answered(request, answer.answer.status, answer.key.project_id)
            answer = answer.answer
        else:
            self._mock.store.answered(request, answer.status)
        try:
            await _send(answer, request, send, answer.headers)
        finally:
            self._mock.store.sent(request)

    async def _answer(self, request: SeenRequest) -> Answer | Accepted:
        work = route(self._mock, request)
        if isinstance(work, Answer):
            return work
        if request.method == "GET" or len(request.body) > _SMALL:
            return await asyncio.to_thread(work)
        return work()


#: Names under which your own Langfuse may be reached and that no stranger can point at this machine.
_OWN_NAMES = re.compile(
    r"[^.]*|.*\.(localhost|local|internal|test|example|example\.(com|org|net)|langfuse\.com)", re.IGNORECASE
)
_FOREIGN_NAME = Answer(
    421, b"The mock answers under an IP address, a name without a dot, or one of Langfuse's own only.\n", None
)


def _may_be_rebound(host: str) -> bool:
    """Return whether a web page elsewhere could have pointed this name here, to read what Codex sent.

    The demonstration's keys are published, so they protect nothing from a page in the reader's browser.
    """
    name = re.sub(r":[0-9]*$", "", host).rstrip(".")
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return not _OWN_NAMES.fullmatch(name)
    return False


class _Gone:
    """The sender left before its body was complete."""


async def _read_body(receive: Receive) -> bytes | _Gone | None:
    """Return the body, or ``None`` when it is larger than the mock takes."""
    parts: list[bytes] = []
    size = 0
    while True:
        event: Message = await receive()
        if event["type"] == "http.disconnect":
            return _Gone()
        part = event.get("body", b"")
        size += len(part)
        if size > LARGEST_BODY:
            return None
        parts.append(part)
        if not event.get("more_body"):
            return b"".join(parts)


def route(mock: Mock, request: SeenRequest) -> Answer | Callable[[], Answer | Accepted]:
    """Find what answers a request: an answer already, or the work that leads to one."""
    path, _, query = request.path.partition("?")
    if _UNTIDY.search(path):
        tidy = re.sub("//+", "/", path.replace("\\", "/")) + (f"?{query}" if query else "")
        return _redirect(tidy)
    if len(path) > 1 and path.endswith("/"):
        return _redirect(path.rstrip("/") + (f"?{query}" if query else ""), refresh=True)
    headers = request.header_values()
    if path in ("/api/public/health", "/api/public/ready"):  # They look at no method.
        return answer_version(mock.langfuse)
    if path == TRACES_PATH:
        number = mock.store.next_job_number()
        return _if_post(
            request, lambda: answer_traces(headers, request.body, mock.keys, number, mock.langfuse)
        )
    if path == _METRICS:
        return _if_post(request, lambda: answer_metrics(headers, mock.keys))
    found = find_route(path, mock.langfuse)
    if found is None:
        is_unplayed = _NOT_PLAYED.fullmatch(path) and not (mock.langfuse == 3 and "/unstable/" in path)
        return message(501, f"The mock does not play {path}. Langfuse does.") if is_unplayed else NOT_FOUND
    route_of_path, names = found
    call = Call(
        path=path,
        headers=headers,
        query=query,
        body=request.body,
        keys=mock.keys,
        records=mock.store.records,
        observations=partial(_observations, mock),
        scores=lambda: arrived(mock.store.records.scores, mock.visibility.scores, "updatedAt"),
        delete_traces=mock.store.delete,
        langfuse=mock.langfuse,
        names=names,
        now=request.received,
    )
    return partial(route_of_path.answer, request.method, call)


_METRICS = "/api/public/otel/v1/metrics"
#: What else Langfuse 4.16.0 has (``web/src/pages/api/public/``), and no page, example or command uses.
_NOT_PLAYED = re.compile(
    r"/api/public/(?:annotation-queues|comments|datasets|events|experiment-items|experiments|feedback"
    r"|generations|ingestion|integrations/blob-storage|llm-connections|mcp|media|organizations/[^/]+"
    r"|projects/[^/]+|prompts|scim/[^/]+|score-configs|spans|unstable/evaluation-rules|unstable/evaluators"
    r"|v2/prompts/[^/]+/versions)(?:/.+)?"
)


def _if_post(
    request: SeenRequest, work: Callable[[], Answer | Accepted]
) -> Answer | Callable[[], Answer | Accepted]:
    return work if request.method == "POST" else METHOD_NOT_ALLOWED


def _observations(mock: Mock) -> list[dict[str, Any]]:
    rows = mock.store.rows()
    if mock.visibility.duplicates:
        rows = [*rows, *mock.store.sent_again()]
    return arrived(rows, mock.visibility.observations)


def _redirect(location: str, *, refresh: bool = False) -> Answer:
    headers = {"location": location, **({"refresh": f"0;url={location}"} if refresh else {})}
    return Answer(308, location.encode("latin-1"), None, headers)


async def _send(
    answer: Answer,
    request: SeenRequest,
    send: Callable[[Message], Awaitable[None]],
    headers: dict[str, str],
) -> None:
    headers = dict(headers)
    if answer.content_type is not None:
        headers["content-type"] = answer.content_type
    has_body = answer.status >= 200 and answer.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
    if has_body:
        headers["content-length"] = str(len(answer.body))
    headers["keep-alive"] = "timeout=5"
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        }
    )
    body = answer.body if has_body and request.method != "HEAD" else b""
    await send({"type": "http.response.body", "body": body})
