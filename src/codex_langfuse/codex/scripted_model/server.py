"""The scripted model's transports: HTTP with server-sent events, and WebSocket, on one port."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from codex_langfuse.codex.scripted_model.model import ModelResponse, ScriptedModel
from codex_langfuse.codex.scripted_model.scenario import Refusal, Scenario
from codex_langfuse.listening import listen
from codex_langfuse.thread_server import ThreadServer


class _BreaksOffError(Exception):
    """Makes uvicorn close the connection in the middle of an answer."""


class _App:
    def __init__(self, model: ScriptedModel):
        self._model = model
        self.routes = [
            Route("/v1/responses", self._over_http, methods=["POST"]),
            WebSocketRoute("/v1/responses", self._over_websocket),
            Route("/v1/responses/compact", self._compact, methods=["POST"]),
            Route("/v1/models", self._models),
        ]

    async def _over_http(self, request: Request) -> Response:
        body = await request.json()
        answer = self._model.answer("http", request.url.path, dict(request.headers), body)
        if isinstance(answer, Refusal):
            await asyncio.sleep(answer.after)
            return _refused(answer)
        return StreamingResponse(_server_sent(answer), media_type="text/event-stream")

    async def _over_websocket(self, websocket: WebSocket) -> None:
        refusal = self._model.handshake()
        if refusal is not None:
            await websocket.send_denial_response(_refused(refusal))
            return
        await websocket.accept()
        headers = dict(websocket.headers)
        with contextlib.suppress(WebSocketDisconnect):
            async for text in websocket.iter_text():
                answer = self._model.answer("websocket", websocket.url.path, headers, json.loads(text))
                if isinstance(answer, Refusal):
                    await asyncio.sleep(answer.after)
                    await websocket.send_json({"type": "error", "status": answer.status, **_error(answer)})
                    continue
                for event in answer.events:
                    await websocket.send_json(event)
                    await asyncio.sleep(answer.pause)
                if answer.cut:
                    await websocket.close(1011)
                    return

    async def _compact(self, request: Request) -> Response:
        return JSONResponse(self._model.compact(dict(request.headers), await request.json()))

    async def _models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": []})


async def _server_sent(answer: ModelResponse) -> AsyncIterator[str]:
    for event in answer.events:
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
        await asyncio.sleep(answer.pause)
    if answer.cut:
        raise _BreaksOffError


def _refused(refusal: Refusal) -> Response:
    wait = {} if refusal.retry_after is None else {"retry-after": str(refusal.retry_after)}
    return JSONResponse(_error(refusal), refusal.status, wait)


def _error(refusal: Refusal) -> dict[str, Any]:
    return {"error": {"type": refusal.code, "code": refusal.code, "message": refusal.message}}


@contextlib.contextmanager
def running_scripted_model(scenario: str | Scenario = "plain turn") -> Iterator[ScriptedModel]:
    """Serve ``scenario`` on a free loopback port for as long as the ``with`` block lasts."""
    with contextlib.closing(listen("127.0.0.1", 0)) as listener:
        model = ScriptedModel(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", Scenario(()))
        model.play(scenario)
        server = ThreadServer(
            uvicorn.Config(
                Starlette(routes=_App(model).routes),
                ws="websockets-sansio",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
            )
        )
        thread = threading.Thread(target=server.run, args=([listener],), name="scripted-model", daemon=True)
        thread.start()
        try:
            server.wait_until_ready()
            yield model
        finally:
            server.stop()
            thread.join()
