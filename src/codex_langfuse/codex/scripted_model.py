"""The smallest Responses API server that Codex accepts, so that Codex runs without a model.

Codex is told to use it as a model provider (see ``isolated.model_overrides``). What it answers is a
scenario: data, readable below. What Codex asked is kept in ``ScriptedModel.requests``. Seen with
Codex 0.114 to 0.169: an answer is a stream of server-sent events, needs one
``response.output_item.done`` for each item, and must end with ``response.completed``.
"""

import json
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any

# Every model call costs the same, so that pages can quote the numbers.
USAGE: Mapping[str, Any] = {
    "input_tokens": 1200,
    "input_tokens_details": {"cached_tokens": 1000},
    "output_tokens": 50,
    "output_tokens_details": {"reasoning_tokens": 20},
    "total_tokens": 1250,
}

# Stands, in the arguments of a tool call, for the id that `spawn_agent` answered.
SPAWNED_AGENT = "{spawned agent}"

# Stands for the command that the prompt has between backticks, and for `echo observed` when it has none.
COMMAND_OF_PROMPT = "{command of the prompt}"


@dataclass(frozen=True)
class Message:
    """The model's final answer. It is streamed in ``deltas`` pieces before it is given whole."""

    text: str
    deltas: int = 0


@dataclass(frozen=True)
class ToolCall:
    """The model asks Codex to run a tool."""

    name: str
    arguments: Mapping[str, Any]
    namespace: str | None = None


@dataclass(frozen=True)
class Refusal:
    """The model answers with an HTTP error: ``times`` times, or for good when that is None.

    Codex 0.163 tries again after a 5xx, and after a 429 that has a ``Retry-After`` (``retry_after``,
    seconds); a 429 without one ends the turn.
    """

    status: int
    message: str
    times: int | None = None
    retry_after: int | None = None


@dataclass(frozen=True)
class Scenario:
    """What the model does in a turn: one step a model call. Each turn starts at the first step.

    A sub-agent is recognised by its prompt being ``sub_agent_task``, and follows ``sub_agent_steps``.
    """

    steps: tuple[Message | ToolCall, ...]
    refusal: Refusal | None = None
    sub_agent_task: str | None = None
    sub_agent_steps: tuple[Message | ToolCall, ...] = ()


SCENARIOS: Mapping[str, Scenario] = {
    "plain turn": Scenario((Message("Hello from the scripted model."),)),
    "tool call": Scenario(
        (
            ToolCall("exec_command", {"cmd": "echo observed"}),
            Message("The command printed: observed"),
        )
    ),
    "failing tool": Scenario(
        (
            ToolCall("exec_command", {"cmd": "echo broken >&2; exit 3"}),
            Message("The command failed with exit code 3."),
        )
    ),
    "429 then OK": Scenario(
        (Message("Hello after one refusal."),),
        refusal=Refusal(429, "Rate limit reached.", times=1, retry_after=0),
    ),
    "429 for good": Scenario((), refusal=Refusal(429, "You exceeded your current quota.")),
    "500 then OK": Scenario(
        (Message("Hello after one refusal."),), refusal=Refusal(500, "The server had an error.", times=1)
    ),
    "500 for good": Scenario((), refusal=Refusal(500, "The server had an error.")),
    "long stream": Scenario((Message("A long answer, streamed in many pieces.", deltas=100),)),
    "sub-agent": Scenario(
        (
            ToolCall("spawn_agent", {"message": "Count the files."}, namespace="multi_agent_v1"),
            ToolCall("wait_agent", {"targets": [SPAWNED_AGENT]}, namespace="multi_agent_v1"),
            Message("The sub-agent counted the files."),
        ),
        sub_agent_task="Count the files.",
        sub_agent_steps=(Message("There are no files."),),
    ),
}


@dataclass(frozen=True)
class ModelRequest:
    """One request of Codex: ``headers`` with lower-case names, ``body`` parsed from JSON."""

    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class ScriptedModel:
    """A running scripted model.

    ``base_url`` is what goes into ``model_providers.<id>.base_url``; ``requests`` holds what Codex asked,
    oldest first.
    """

    base_url: str
    scenario: Scenario
    requests: list[ModelRequest] = field(default_factory=list)
    _refusals: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def play(self, scenario: str | Scenario) -> None:
        """Answer from now on by ``scenario``: a name from ``SCENARIOS``, or a scenario of one's own.

        Forgets earlier requests.
        """
        with self._lock:
            self.scenario = SCENARIOS[scenario] if isinstance(scenario, str) else scenario
            self.requests.clear()
            self._refusals = 0

    def answer(self, request: ModelRequest) -> Refusal | list[dict[str, Any]]:
        """Return the events that answer a request to ``/responses``, or a refusal."""
        with self._lock:
            self.requests.append(request)
            refusal = self.scenario.refusal
            if refusal is not None and (refusal.times is None or self._refusals < refusal.times):
                self._refusals += 1
                return refusal
            number = len(self.requests)
        history = request.body["input"]
        prompt, outputs = _current_turn(history)
        scenario = self.scenario
        steps = scenario.sub_agent_steps if prompt == scenario.sub_agent_task else scenario.steps
        step = steps[min(len(outputs), len(steps) - 1)]
        return _events(step, number, prompt, outputs)


def _current_turn(history: list[dict[str, Any]]) -> tuple[str, list[str]]:
    """Return the prompt that began the turn, and the outputs of the tools run since.

    What Codex itself adds in the user's name (environment, notices of sub-agents) is a tagged text.
    """
    prompt = ""
    outputs: list[str] = []
    for item in history:
        if item["type"] == "message" and item["role"] == "user":
            text = "".join(part.get("text", "") for part in item["content"])
            if not text.startswith("<"):
                prompt, outputs = text, []
        elif item["type"] == "function_call_output":
            outputs.append(item["output"])
    return prompt, outputs


def _events(step: Message | ToolCall, number: int, prompt: str, outputs: list[str]) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = [{"type": "response.created", "response": {"id": f"resp_{number}"}}]
    if isinstance(step, Message):
        item = {
            "type": "message",
            "id": f"msg_{number}",
            "role": "assistant",
            "phase": "final_answer",  # else the log event codex.agent_response is not written
            "content": [{"type": "output_text", "text": step.text}],
        }
        if step.deltas:
            begun = {**item, "content": []}
            events.append({"type": "response.output_item.added", "output_index": 0, "item": begun})
        events += [
            {
                "type": "response.output_text.delta",
                "item_id": item["id"],
                "output_index": 0,
                "content_index": 0,
                "delta": piece,
            }
            for piece in _pieces(step.text, step.deltas)
        ]
    else:
        item = {
            "type": "function_call",
            "id": f"fc_{number}",
            "call_id": f"call_{number}",
            "name": step.name,
            "arguments": _arguments(step, prompt, outputs),
        }
        if step.namespace is not None:
            item["namespace"] = step.namespace
    events.append({"type": "response.output_item.done", "output_index": 0, "item": item})
    events.append({"type": "response.completed", "response": {"id": f"resp_{number}", "usage": USAGE}})
    return events


def _pieces(text: str, count: int) -> list[str]:
    """Cut ``text`` into ``count`` pieces, some of them empty when there are more pieces than characters."""
    return [text[i * len(text) // count : (i + 1) * len(text) // count] for i in range(count)]


def _arguments(step: ToolCall, prompt: str, outputs: list[str]) -> str:
    arguments = json.dumps(step.arguments)
    if COMMAND_OF_PROMPT in arguments:
        asked = re.search("`([^`]+)`", prompt)
        command = json.dumps(asked[1] if asked else "echo observed")[1:-1]
        arguments = arguments.replace(COMMAND_OF_PROMPT, command)
    if SPAWNED_AGENT in arguments:
        arguments = arguments.replace(SPAWNED_AGENT, json.loads(outputs[-1])["agent_id"])
    return arguments


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent about a Codex that left before it had its answer."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: ScriptedModel

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path != "/v1/responses":  # Codex asks /v1/analytics/… for prices; any answer is fine
            self._send(404, "application/json", b'{"error": {"message": "Not found."}}')
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.model.answer(ModelRequest(self.path, headers, json.loads(body)))
        if isinstance(answer, Refusal):
            error = {"error": {"message": answer.message, "type": "scripted_refusal"}}
            wait = {} if answer.retry_after is None else {"retry-after": str(answer.retry_after)}
            self._send(answer.status, "application/json", json.dumps(error).encode(), wait)
            return
        stream = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in answer)
        self._send(200, "text/event-stream", stream.encode())

    def _send(
        self, status: int, content_type: str, body: bytes, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent: `ScriptedModel.requests` is the record."""


@contextmanager
def running_scripted_model(scenario: str | Scenario = "plain turn") -> Iterator[ScriptedModel]:
    """Serve ``scenario`` on a free loopback port for as long as the ``with`` block lasts."""

    class Handler(_Handler):
        pass

    server = _Server(("127.0.0.1", 0), Handler)
    model = ScriptedModel(f"http://127.0.0.1:{server.server_port}/v1", Scenario(()))
    model.play(scenario)
    Handler.model = model
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
