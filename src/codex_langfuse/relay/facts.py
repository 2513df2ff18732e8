"""What Codex's events tell, one small fact for each. Times in nanoseconds since 1970.

Text is cut and kept only as far as the policy may let it out; everything else passes `names`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from codex_langfuse.codex.telemetry import CodexEvent
from codex_langfuse.nanoseconds import MILLISECOND, SECOND
from codex_langfuse.relay import failures, names
from codex_langfuse.relay.policy import Content, Policy
from codex_langfuse.relay.usage import Usage

#: Characters kept of one prompt, answer, argument or output, where the content mode lets it out.
LONGEST_TEXT = 65_536
#: Codex writes this for a prompt that it may not log.
_REDACTED = "[REDACTED]"
#: The TUI (0.150 to 0.171) names a new conversation by a turn of its own, whose prompt begins so.
_TITLE_PROMPT = "Generate a concise, single-line task title"
_AGENT_ID = re.compile(r'"agent_id"\s*:\s*"([0-9a-fA-F-]{36})"')
_TASK_NAME = re.compile(r'"task_name"\s*:\s*"([^"]{1,200})"')

_CALL_KINDS = frozenset({"response.function_call_arguments.done", "response.custom_tool_call_input.done"})
_END_KINDS = frozenset(
    {"response.completed", "response.done", "response.incomplete", "response.failed", "response.cancelled"}
)
_TEXT_KINDS = frozenset({"response.output_text.delta", "response.output_text.done"})


@dataclass(slots=True)
class Text:
    """A text by its length in characters, and itself only where the policy may let it out."""

    length: int
    text: str | None = None


@dataclass(slots=True)
class Fact:
    """Where and when something was told.

    order: the place among all facts, as they came. heard: when it came (seconds since 1970). batch: with
    which export. turn_id: the turn that the event itself names.
    """

    #: Whether Codex writes the same event as a log record and on a span; both name the same span.
    TWICE: ClassVar[bool] = False

    time: int
    order: int
    heard: float
    batch: int
    trace_id: bytes
    span_id: bytes
    on_span: bool
    turn_id: str | None
    #: When it was by the clock that wrote it: of a log record, a proxy's or a Collector's may be another.
    written: int = field(init=False, default=0, compare=False)
    #: The time that the log record itself has; it puts those of one millisecond in order.
    raw: int = field(init=False, default=0, compare=False)
    #: The same event as the span has it.
    twin: Fact | None = field(init=False, default=None, repr=False, compare=False)

    @property
    def place(self) -> tuple[int, int, int]:
        """What puts it in order among all facts."""
        return (self.time, self.raw, self.order)

    def adopt(self, twin: Fact) -> None:
        """Take from the event on the span what the log record does not say: the time by Codex's clock."""
        self.twin = twin
        self.time = twin.time

    def same_as(self) -> tuple[object, ...]:
        """Return what distinguishes the fact from others of its span and time."""
        return ()


@dataclass(slots=True)
class Prompt(Fact):
    """What the user, or for a sub-agent the agent above, asked. hidden: Codex did not tell the text."""

    TWICE: ClassVar[bool] = True

    text: Text
    hidden: bool
    is_title: bool
    model: str | None

    def same_as(self) -> tuple[object, ...]:
        """Two prompts can be written at once."""
        return (self.text.length,)


@dataclass(slots=True)
class Request(Fact):
    """One attempt at a model request. status: of HTTP; None for a WebSocket or when no answer came.

    connection: it is about the WebSocket, not about a request on it.
    """

    TWICE: ClassVar[bool] = True

    ok: bool
    connection: bool
    websocket: bool
    status: int | None
    attempt: int | None
    duration: int
    phrase: str | None
    message: str | None
    model: str | None

    def same_as(self) -> tuple[object, ...]:
        """An attempt that failed, and the next one."""
        return (self.ok, self.status, self.attempt, self.connection)


@dataclass(slots=True)
class Completion(Fact):
    """The end of a model's answer, with its usage. first_token_after: nanoseconds since the request."""

    usage: Usage
    model: str | None
    effort: str | None
    tier: str | None
    first_token_after: int | None

    def same_as(self) -> tuple[object, ...]:
        """Each answer has a usage; two of the same are distinguished by their times."""
        return (self.usage,)


@dataclass(slots=True)
class StreamError(Fact):
    """The answer of a model broke off."""

    phrase: str | None
    message: str | None


@dataclass(slots=True)
class Mark(Fact):
    """A step of a streamed answer. kind: `output`, `text`, `call` (of a tool) or `end`."""

    kind: str

    def same_as(self) -> tuple[object, ...]:
        """Two steps can be written at once."""
        return (self.kind,)


@dataclass(slots=True)
class FirstToken(Fact):
    """The first output of a turn."""

    TWICE: ClassVar[bool] = True


@dataclass(slots=True)
class ToolEvent(Fact):
    """One event of a tool call. kind: `received`, `dispatched`, `decided` or `ended`.

    cell: of code mode, the script in which the call was made. agent: the name of the agent that made it.
    spawned, task: the conversation, or the name, of an agent that the call started.
    """

    TWICE: ClassVar[bool] = True

    kind: str
    call_id: str
    name: str | None
    cell: str | None = None
    decision: str | None = None
    source: str | None = None
    duration: int = 0
    success: bool | None = None
    exit_code: int | None = None
    phrase: str | None = None
    arguments: Text | None = None
    output: Text | None = None
    mcp_server: str | None = None
    agent: str | None = None
    spawned: str | None = None
    task: str | None = None

    def same_as(self) -> tuple[object, ...]:
        """Calls run side by side."""
        return (self.kind, self.call_id)

    def adopt(self, twin: Fact) -> None:
        """The log's output is a preview; the length on the span is of the whole."""
        Fact.adopt(self, twin)
        if isinstance(twin, ToolEvent) and twin.output is not None:
            if self.output is None:
                self.output = twin.output
            else:
                self.output.length = max(self.output.length, twin.output.length)
            self.arguments = self.arguments or twin.arguments


@dataclass(slots=True)
class Sandbox(Fact):
    """What the sandbox did to a command. initial, escalated: milliseconds."""

    TWICE: ClassVar[bool] = True

    call_id: str
    tool: str
    outcome: str
    initial: int | None
    escalated: int | None

    def same_as(self) -> tuple[object, ...]:
        """Calls run side by side."""
        return (self.call_id, self.outcome)


@dataclass(slots=True)
class FinalMessage(Fact):
    """The last message of a turn. parent, parent_turn: for a sub-agent, who asked it."""

    text: Text | None
    parent: str | None
    parent_turn: str | None


@dataclass(slots=True)
class Phase(Fact):
    """A step of Codex's start. over: the model's connection is warm; what came before is the warm-up."""

    TWICE: ClassVar[bool] = True

    over: bool

    def same_as(self) -> tuple[object, ...]:
        """Two steps can be written at once."""
        return (self.over,)


@dataclass(slots=True)
class Assessment(Fact):
    """The guardian judged a tool call of the turn."""

    call_id: str


@dataclass(slots=True)
class Cost(Fact):
    """What the provider says a turn costs."""

    usd: float
    interrupted: bool


_Origin: TypeAlias = tuple[int, int, float, int, bytes, bytes, bool, str | None]


class FactReader:
    """Reads events into facts; keeps of their text what the policy may let out."""

    def __init__(self, policy: Policy) -> None:
        self._keep_prompts = policy.content is not Content.NONE
        self._keep_all = policy.content is Content.FULL
        self._order = 0
        self._readers: dict[str, Callable[[CodexEvent, _Origin], Fact | None]] = {
            "codex.user_prompt": self._prompt,
            "codex.api_request": self._api_request,
            "codex.websocket_connect": self._websocket,
            "codex.websocket_request": self._websocket,
            "codex.websocket_event": self._stream_event,
            "codex.sse_event": self._sse_event,
            "codex.turn_ttft": lambda _, origin: FirstToken(*origin),
            "codex.startup_phase": self._phase,
            "codex.tool_call_received": self._tool,
            "codex.code_mode.nested_tool_dispatched": self._tool,
            "codex.tool_decision": self._tool,
            "codex.tool_result": self._tool,
            "codex.sandbox_outcome": self._sandbox,
            "codex.agent_response": self._answer,
            "codex.guardian_assessment": self._assessment,
            "codex.turn_cost": self._cost,
        }

    def read(self, event: CodexEvent, batch: int, heard: float) -> Fact | None:
        """Return what `event` reports; None for nothing. heard: seconds since 1970."""
        reader = self._readers.get(event.name)
        if reader is None:
            return None
        self._order += 1
        turn_id = event.attributes.get("turn.id") or event.attributes.get("turn_id")
        known = names.identifier(turn_id) if isinstance(turn_id, str) else None
        time = event.time or int(heard * 1_000) * MILLISECOND
        return reader(
            event, (time, self._order, heard, batch, event.trace_id, event.span_id, event.on_span, known)
        )

    def _text(self, value: object, keep: bool, length: object = None) -> Text | None:
        given = names.count(length)
        if not isinstance(value, str):
            return None if given is None else Text(given)
        return Text(len(value) if given is None else given, value[:LONGEST_TEXT] if keep else None)

    def _prompt(self, event: CodexEvent, origin: _Origin) -> Prompt:
        found = event.attributes
        value = found.get("prompt")
        told = value if isinstance(value, str) and value != _REDACTED else None
        text = self._text(told, self._keep_prompts, found.get("prompt_length")) or Text(0)
        is_title = told is not None and told.startswith(_TITLE_PROMPT)
        return Prompt(*origin, text, told is None, is_title, _model(found.get("model")))

    def _api_request(self, event: CodexEvent, origin: _Origin) -> Request | None:
        found = event.attributes
        endpoint = found.get("endpoint")
        if isinstance(endpoint, str) and endpoint.startswith("/models"):
            return None
        status = names.count(found.get("http.response.status_code"))
        if status is not None and not 100 <= status <= 599:
            status = None
        ok = status is not None and 200 <= status <= 299 and "error.message" not in found
        return self._request(event, origin, ok, False, False, status)

    def _websocket(self, event: CodexEvent, origin: _Origin) -> Request | None:
        found = event.attributes
        ok = found.get("success") not in {"false", False}
        if event.name == "codex.websocket_request":
            return self._request(event, origin, ok, False, True, None)
        if ok:
            return None
        status = names.count(found.get("http.response.status_code"))
        return self._request(event, origin, False, True, True, status)

    def _request(
        self,
        event: CodexEvent,
        origin: _Origin,
        ok: bool,
        connection: bool,
        websocket: bool,
        status: int | None,
    ) -> Request:
        found = event.attributes
        message = found.get("error.message")
        return Request(
            *origin,
            ok,
            connection,
            websocket,
            status,
            names.count(found.get("attempt")),
            (names.count(found.get("duration_ms")) or 0) * MILLISECOND,
            failures.phrase_of(message) if isinstance(message, str) else None,
            message[:LONGEST_TEXT] if self._keep_all and isinstance(message, str) else None,
            _model(found.get("model")),
        )

    def _sse_event(self, event: CodexEvent, origin: _Origin) -> Fact | None:
        found = event.attributes
        message = found.get("error.message")
        if isinstance(message, str):
            kept = message[:LONGEST_TEXT] if self._keep_all else None
            return StreamError(*origin, failures.phrase_of(message), kept)
        if "input_token_count" not in found and "output_token_count" not in found:
            return self._stream_event(event, origin)
        effort, tier = found.get("model_reasoning_effort"), found.get("service_tier")
        first = names.count(found.get("ttft_ms"))
        parts = ("input", "cached", "cache_write", "output", "reasoning")
        return Completion(
            *origin,
            Usage(*(names.count(found.get(f"{part}_token_count")) or 0 for part in parts)),
            _model(found.get("model")),
            names.choice(effort, names.REASONING_EFFORTS) if isinstance(effort, str) else None,
            names.choice(tier, names.SERVICE_TIERS) if isinstance(tier, str) else None,
            None if first is None else first * MILLISECOND,
        )

    def _stream_event(self, event: CodexEvent, origin: _Origin) -> Mark | None:
        kind = event.attributes.get("event.kind")
        if not isinstance(kind, str):
            return None
        if kind in _END_KINDS:
            return Mark(*origin, "end")
        if kind in _CALL_KINDS:
            return Mark(*origin, "call")
        return Mark(*origin, "text" if kind in _TEXT_KINDS else "output")

    def _phase(self, event: CodexEvent, origin: _Origin) -> Phase | None:
        phase = event.attributes.get("startup.phase")
        if not isinstance(phase, str) or not phase.startswith("startup_prewarm_"):
            return None
        return Phase(*origin, phase.endswith(("_total", "_resolve")))

    def _tool(self, event: CodexEvent, origin: _Origin) -> ToolEvent:
        found = event.attributes
        call_id = found.get("call_id")
        # A call that names no tool that there is has no id (`log_tool_failed`).
        key = names.identifier(call_id) if isinstance(call_id, str) else f"at-{origin[0] // SECOND}"
        cell = found.get("cell.id")
        kinds = {"codex.tool_call_received": "received", "codex.tool_decision": "decided"}
        kind = "ended" if event.name == "codex.tool_result" else kinds.get(event.name, "dispatched")
        tool = ToolEvent(
            *origin, kind, key, _tool_name(found), names.identifier(str(cell)) if cell is not None else None
        )
        if kind == "decided":
            tool.decision = names.choice(found.get("decision"), names.DECISIONS)
            tool.source = names.choice(found.get("source"), names.DECISION_SOURCES)
        elif kind == "ended":
            self._tool_result(tool, found)
        return tool

    def _tool_result(self, tool: ToolEvent, found: dict[str, str | int | float | bool]) -> None:
        tool.duration = (names.count(found.get("duration_ms")) or 0) * MILLISECOND
        success = found.get("success")
        if success in {"true", "false", True, False}:
            tool.success = success in {"true", True}
        server, agent, output = found.get("mcp_server"), found.get("agent_name"), found.get("output")
        if isinstance(server, str) and server:
            tool.mcp_server = names.name(server)
        if isinstance(agent, str):
            tool.agent = names.identifier(agent)
        tool.arguments = self._text(found.get("arguments"), self._keep_all, found.get("arguments_length"))
        tool.output = self._text(output, self._keep_all, found.get("output_length"))
        if isinstance(output, str):
            if not server:
                tool.exit_code = failures.exit_code(output)
            if tool.success is False:
                tool.phrase = failures.tool_phrase_of(output)
            if tool.name is not None and tool.name.endswith("spawn_agent"):
                match, task = _AGENT_ID.search(output), _TASK_NAME.search(output)
                tool.spawned = names.identifier(match[1]) if match else None
                tool.task = names.identifier(task[1]) if task else None

    def _sandbox(self, event: CodexEvent, origin: _Origin) -> Sandbox:
        found = event.attributes
        tool_name = found.get("tool_name")
        return Sandbox(
            *origin,
            names.identifier(str(found.get("call_id", ""))),
            names.name(tool_name) if isinstance(tool_name, str) else names.OTHER,
            names.choice(found.get("outcome"), names.SANDBOX_OUTCOMES),
            names.count(found.get("initial_duration_ms")),
            names.count(found.get("escalated_duration_ms")),
        )

    def _answer(self, event: CodexEvent, origin: _Origin) -> FinalMessage:
        found = event.attributes
        parent, turn = found.get("parent.conversation.id"), found.get("parent.turn.id")
        below = found.get("agent.type") == "subagent"
        return FinalMessage(
            *origin,
            self._text(found.get("response"), self._keep_prompts, found.get("response_length")),
            names.identifier(parent) if below and isinstance(parent, str) else None,
            names.identifier(turn) if below and isinstance(turn, str) else None,
        )

    def _assessment(self, event: CodexEvent, origin: _Origin) -> Assessment:
        return Assessment(*origin, names.identifier(str(event.attributes.get("item.id", ""))))

    def _cost(self, event: CodexEvent, origin: _Origin) -> Cost | None:
        found = event.attributes
        try:
            usd = float(str(found.get("usage.estimated_usd")))
        except ValueError:
            return None
        if origin[-1] is None or not 0 <= usd < 1e9:
            return None
        return Cost(*origin, usd, found.get("turn.interrupted") in {True, "true"})


def _model(value: object) -> str | None:
    return names.model(value) if isinstance(value, str) else None


def _tool_name(found: dict[str, str | int | float | bool]) -> str | None:
    tool_name, namespace = found.get("tool_name"), found.get("tool_namespace")
    if not isinstance(tool_name, str):
        return None
    name = names.name(tool_name)
    if isinstance(namespace, str) and namespace.startswith("mcp__"):
        return f"{names.name(namespace)}.{name}"
    return name
