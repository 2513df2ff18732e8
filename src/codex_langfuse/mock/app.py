"""The mock's routes: which request is answered by what.

Paths, methods and their order as Langfuse 4.16.0 (Next.js 16) has them: redirect of untidy paths, 404 for a
path that is not there, CORS, method, and only then the endpoint itself. The mock's own page is separate, at
``/`` and under ``/-/``: its requests are neither recorded nor struck by faults.
"""

import asyncio
import ipaddress
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Message, Receive, Scope, Send

from codex_langfuse.mock.faults import Faults
from codex_langfuse.mock.langfuse import legacy_read_api
from codex_langfuse.mock.langfuse.answer import METHOD_NOT_ALLOWED, NOT_FOUND, Answer, message
from codex_langfuse.mock.langfuse.auth import ApiKey
from codex_langfuse.mock.langfuse.ingestion import (
    LARGEST_BODY,
    TOO_LARGE,
    Accepted,
    answer_metrics,
    answer_traces,
    authorize,
)
from codex_langfuse.mock.langfuse.read_api import (
    answer_health,
    answer_observations,
    answer_projects,
    answer_ready,
)
from codex_langfuse.mock.page.views import Views, is_page
from codex_langfuse.mock.project_api import (
    DELETE_TRACE,
    DELETE_TRACES,
    EVENTS_ONLY,
    ApiPath,
    Call,
    find_route,
)
from codex_langfuse.mock.store import MockStore, SeenRequest
from codex_langfuse.mock.visibility import IMMEDIATE, Visibility, arrived
from codex_langfuse.proxies import is_this_machine

#: Bodies beyond this many bytes are worked on beside the event loop.
_SMALL = 256 * 1024

#: What Langfuse puts on every answer (``web/next.config.mjs``).
_HEADERS = {
    "x-robots-tag": "noindex",
    "x-content-type-options": "nosniff",
    "referrer-policy": "strict-origin-when-cross-origin",
    "document-policy": "js-profiling",
    "permissions-policy": "autoplay=*, fullscreen=*, microphone=*",
    "x-frame-options": "SAMEORIGIN",
}
#: Methods that Node's HTTP parser knows; it hangs up on others.
_METHODS = frozenset(
    {
        "ACL",
        "BIND",
        "CHECKOUT",
        "CONNECT",
        "COPY",
        "DELETE",
        "GET",
        "HEAD",
        "LINK",
        "LOCK",
        "M-SEARCH",
        "MERGE",
        "MKACTIVITY",
        "MKCALENDAR",
        "MKCOL",
        "MOVE",
        "NOTIFY",
        "OPTIONS",
        "PATCH",
        "POST",
        "PROPFIND",
        "PROPPATCH",
        "PURGE",
        "PUT",
        "QUERY",
        "REBIND",
        "REPORT",
        "SEARCH",
        "SOURCE",
        "SUBSCRIBE",
        "TRACE",
        "UNBIND",
        "UNLINK",
        "UNLOCK",
        "UNSUBSCRIBE",
    }
)
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
            await _send(answer, request, send, _langfuse_headers(answer, request))
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
    if request.method not in _METHODS:
        return Answer(400, b"", None, {"connection": "close"})
    path, _, query = request.path.partition("?")
    if _UNTIDY.search(path):
        tidy = re.sub("//+", "/", path.replace("\\", "/")) + (f"?{query}" if query else "")
        return _redirect(tidy)
    if len(path) > 1 and path.endswith("/"):
        return _redirect(path.rstrip("/") + (f"?{query}" if query else ""), refresh=True)
    headers = request.header_values()
    observations = partial(_project_observations, mock)
    endpoints: dict[str, dict[str, Callable[[], Answer | Accepted]]] = {
        "/api/public/otel/v1/traces": {
            "POST": lambda: answer_traces(
                headers,
                request.body,
                mock.keys,
                job_number=mock.store.next_job_number(),
                langfuse=mock.langfuse,
            )
        },
        "/api/public/otel/v1/metrics": {"POST": lambda: answer_metrics(headers, mock.keys)},
        "/api/public/projects": {"GET": lambda: answer_projects(headers, mock.keys)},
        "/api/public/v2/observations": {
            "GET": lambda: _authorized(mock, headers, lambda _: _v2_observations(mock, query, observations()))
        },
    }
    if path in ("/api/public/health", "/api/public/ready"):
        # These two look at no method.
        if request.method == "OPTIONS":
            return _preflight(headers)
        if path.endswith("ready"):
            return answer_ready(mock.langfuse)
        return lambda: answer_health(query, observations(), mock.langfuse)
    if (found := find_route(path)) is not None and not (found[0].is_new and mock.langfuse == 3):
        return _of_project(mock, request, query, *found)
    if request.method == "DELETE" and (deleted := _TRACES.fullmatch(path)):
        names = tuple(unquote(name) for name in deleted.groups() if name is not None)
        return _of_project(mock, request, query, DELETE_TRACE if names else DELETE_TRACES, names)
    methods = endpoints.get(path)
    if methods is None:
        methods = _legacy_reads(mock, path, query, headers)
    if methods is None:
        return _not_played(path, mock.langfuse)
    if request.method == "OPTIONS":
        return _preflight(headers)
    if request.method not in methods and path == "/api/public/projects":
        return message(405, "Method not allowed")
    return methods.get(request.method, METHOD_NOT_ALLOWED)


def _of_project(
    mock: Mock, request: SeenRequest, query: str, found: ApiPath, names: tuple[str, ...]
) -> Answer | Callable[[], Answer]:
    """Answer a request to a route of ``project_api``."""
    headers = request.header_values()
    if request.method == "OPTIONS":
        return _preflight(headers)
    call = Call(
        headers=headers,
        query=query,
        body=request.body,
        keys=mock.keys,
        records=mock.store.records,
        observations=partial(_project_observations, mock),
        scores=lambda: arrived(mock.store.records.scores, mock.visibility.scores, "updatedAt"),
        delete_traces=mock.store.delete,
        langfuse=mock.langfuse,
        names=names,
        now=request.received,
    )
    return partial(found.answer, request.method, call)


#: What else Langfuse 4.16.0 has (``web/src/pages/api/public/``), and no page, example or command uses.
_NOT_PLAYED = re.compile(
    r"/api/public/(?:annotation-queues|comments|datasets|events|experiment-items|experiments|feedback"
    r"|generations|integrations/blob-storage|llm-connections|mcp|media|organizations/[^/]+|projects/[^/]+"
    r"|prompts|scim/[^/]+|score-configs|spans|unstable/evaluation-rules|unstable/evaluators"
    r"|v2/prompts/[^/]+/versions)(?:/.+)?"
)


def _not_played(path: str, langfuse: int) -> Answer:
    """Answer for a path that the mock does not have: 404 like Langfuse, 501 where Langfuse has it."""
    is_older = langfuse == 3 and path in ("/api/public/metrics", "/api/public/metrics/daily")
    if is_older or (_NOT_PLAYED.fullmatch(path) and not (langfuse == 3 and "/unstable/" in path)):
        return message(501, f"The mock does not play {path}. Langfuse does.")
    return NOT_FOUND


_TRACES = re.compile(r"/api/public/traces(?:/([^/]+))?")
_LEGACY_READ = re.compile(
    r"/api/public/(?:traces(?:/[^/]+)?|observations(?:/[^/]+)?|sessions(?:/[^/]+)?|metrics(?:/daily)?)"
)


def _legacy_reads(
    mock: Mock, path: str, query: str, headers: dict[str, str]
) -> dict[str, Callable[[], Answer | Accepted]] | None:
    """Return the methods of an endpoint that Langfuse 4 has given up by default."""
    if not _LEGACY_READ.fullmatch(path):
        return None
    if mock.langfuse == 4:
        methods = ("GET", "POST") if path == "/api/public/traces" else ("GET",)
        return dict.fromkeys(methods, lambda: EVENTS_ONLY)
    kind, _, name = path.removeprefix("/api/public/").partition("/")
    one, many = _LEGACY_ANSWERS.get(kind, (None, None))
    name = unquote(name)
    if name and one is not None:
        return {"GET": lambda: _authorized(mock, headers, lambda _: one(name, _project_observations(mock)))}
    if not name and many is not None:
        return {"GET": lambda: _authorized(mock, headers, lambda _: many(query, _project_observations(mock)))}
    return None


#: By kind: what answers for one and for all of them.
_LEGACY_ANSWERS = {
    "traces": (legacy_read_api.answer_trace, legacy_read_api.answer_traces),
    "observations": (legacy_read_api.answer_observation, legacy_read_api.answer_observations),
    "sessions": (legacy_read_api.answer_session, legacy_read_api.answer_sessions),
}


def _authorized(mock: Mock, headers: dict[str, str], work: Callable[[ApiKey], Answer]) -> Answer:
    key = authorize(headers, mock.keys, read_only=True)
    return key if isinstance(key, Answer) else work(key)


def _project_observations(mock: Mock) -> list[dict[str, Any]]:
    rows = mock.store.rows()
    if mock.visibility.duplicates:
        rows = [*rows, *mock.store.sent_again()]
    return arrived(rows, mock.visibility.observations)


def _v2_observations(mock: Mock, query: str, observations: list[dict[str, Any]]) -> Answer:
    if mock.langfuse == 3:
        return message(
            404,
            "The observations v2 API is only available in a Langfuse v4 write mode. "
            "Learn more at: https://langfuse.com/docs/v4",
            "LangfuseNotFoundError",
        )
    return answer_observations(query, observations)


def _redirect(location: str, *, refresh: bool = False) -> Answer:
    headers = {"location": location, **({"refresh": f"0;url={location}"} if refresh else {})}
    return Answer(308, location.encode("latin-1"), None, headers)


def _preflight(headers: dict[str, str]) -> Answer:
    """Answer OPTIONS as the ``cors`` package does with any origin allowed."""
    allowed = {"access-control-allow-methods": "GET,HEAD,PUT,PATCH,POST,DELETE", "content-length": "0"}
    vary = "Origin"
    if requested := headers.get("access-control-request-headers"):
        allowed["access-control-allow-headers"] = requested
    vary += ", Access-Control-Request-Headers"
    return Answer(204, b"", None, {**allowed, "vary": vary})


def _langfuse_headers(answer: Answer, request: SeenRequest) -> dict[str, str]:
    headers = {**_HEADERS, "vary": "Origin, Accept-Encoding"}
    origin = dict(request.headers).get("origin")
    # Langfuse lets any web page read its API. Here that would be whatever Codex sent, behind well-known keys.
    if origin and answer is not NOT_FOUND and request.method != "GET":
        headers["access-control-allow-origin"] = origin
    return {**headers, **answer.headers}


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
