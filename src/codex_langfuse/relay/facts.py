"""From Codex's events to the facts of a turn: each reader takes out of an event what a turn keeps of it.

The same event may come as a log record and on a span; they are two facts here, which `model_calls` (or the
id of a tool's call) makes one again. Texts are kept only where the policy may let them out.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from codex_langfuse.codex.telemetry import CodexEvent, CodexSpan
from codex_langfuse.relay import failures, names
from codex_langfuse.relay.policy import Content, Policy
from codex_langfuse.relay.turn import (
    LONGEST_TEXT,
    MOST_MARKS,
    MOST_MODEL_CALLS,
    MOST_NOTICES,
    MOST_TEXT,
    Completion,
    Prompt,
    Request,
    SandboxOutcome,
    StreamError,
    Text,
    Tool,
    Total,
    Turn,
    Usage,
)

MILLISECOND = 1_000_000
SECOND = 1_000 * MILLISECOND

#: A prompt and its twin on a span are written at most this far apart.
_SAME = 150 * MILLISECOND
#: Codex writes this for a prompt that it may not log.
_REDACTED = "[REDACTED]"
#: The TUI (0.150 to 0.169) names a new conversation by a turn of its own, whose prompt begins so.
_TITLE_PROMPT = "Generate a concise, single-line task title"
_AGENT_ID = re.compile(r'"agent_id"\s*:\s*"([0-9a-fA-F-]{36})"')
_CALL_ANNOUNCED = frozenset({"response.function_call_arguments.done", "response.custom_tool_call_input.done"})
_STREAM_ENDS = frozenset(
    {"response.completed", "response.done", "response.incomplete", "response.failed", "response.cancelled"}
)
_TEXT = frozenset({"response.output_text.delta", "response.output_text.done"})
_TOKENS = "codex.turn.token_usage."


class FactReader:
    """Reads events into turns. spawned: called with the ids of a conversation and of the one above it."""

    def __init__(self, policy: Policy, spawned: Callable[[str, str], None]) -> None:
        self._keep_prompts = policy.content is not Content.NONE
        self._keep_all = policy.content is Content.FULL
        self._spawned = spawned
        self._readers: dict[str, Callable[[Turn, CodexEvent], None]] = {
            "codex.user_prompt": self._user_prompt,
            "codex.api_request": self._api_request,
            "codex.websocket_connect": self._websocket_connect,
            "codex.websocket_request": self._websocket_request,
            "codex.sse_event": self._sse_event,
            "codex.turn_ttft": self._turn_ttft,
            "codex.tool_call_received": self._tool_call_received,
            "codex.tool_decision": self._tool_decision,
            "codex.tool_result": self._tool_result,
            "codex.sandbox_outcome": self._sandbox_outcome,
            "codex.agent_response": self._agent_response,
        }

    def read(self, turn: Turn, event: CodexEvent) -> None:
        """Add what `event` tells to `turn`."""
        if event.on_span:
            turn.from_spans = True
        else:
            turn.from_logs = True
        self._readers[event.name](turn, event)
        turn.at(event.time)

    def _user_prompt(self, turn: Turn, event: CodexEvent) -> None:
        attributes = event.attributes
        prompt = attributes.get("prompt")
        told = prompt if isinstance(prompt, str) and prompt != _REDACTED else None
        text = self._text(turn, told, self._keep_prompts, attributes.get("prompt_length")) or Text(0)
        twin = prompt_in(turn, event)
        if twin is None:
            if len(turn.prompts) < MOST_NOTICES:
                turn.prompts[event.time] = Prompt(event.time, text, event.on_span, event.trace_id)
        elif twin.text.text is None and text.text is not None:
            twin.text = text
        model = attributes.get("model")
        if isinstance(model, str):
            turn.model = names.model(model)
        if told is not None and told.startswith(_TITLE_PROMPT):
            turn.is_title = True

    def _text(self, turn: Turn, value: object, keep: bool, length: object = None) -> Text | None:
        given = names.count(length)
        if not isinstance(value, str):
            return None if given is None else Text(given)
        size = len(value) if given is None else given
        if not keep or turn.texts >= MOST_TEXT:
            return Text(size)
        kept = value[:LONGEST_TEXT]
        turn.texts += len(kept)
        return Text(size, kept)

    def _api_request(self, turn: Turn, event: CodexEvent) -> None:
        attributes = event.attributes
        endpoint = attributes.get("endpoint")
        if isinstance(endpoint, str) and endpoint.startswith("/models"):
            return
        status = names.count(attributes.get("http.response.status_code"))
        if status is not None and not 100 <= status <= 599:
            status = None
        message = attributes.get("error.message")
        ok = status is not None and 200 <= status <= 299 and message is None
        self._request(turn, event, ok, status)

    def _websocket_request(self, turn: Turn, event: CodexEvent) -> None:
        self._request(turn, event, event.attributes.get("success") != "false", None)

    def _websocket_connect(self, turn: Turn, event: CodexEvent) -> None:
        if event.attributes.get("success") == "false":
            self._request(turn, event, False, names.count(event.attributes.get("http.response.status_code")))

    def _request(self, turn: Turn, event: CodexEvent, ok: bool, status: int | None) -> None:
        if len(turn.requests) >= 2 * MOST_MODEL_CALLS:
            turn.left_out += 1
            return
        attributes = event.attributes
        message = attributes.get("error.message")
        model = attributes.get("model")
        turn.streaming = turn.saying = False
        turn.requests[(event.time, event.on_span)] = Request(
            event.time,
            ok,
            status,
            names.count(attributes.get("attempt")),
            (names.count(attributes.get("duration_ms")) or 0) * MILLISECOND,
            failures.phrase_of(message) if isinstance(message, str) else None,
            message[:LONGEST_TEXT] if self._keep_all and isinstance(message, str) else None,
            names.model(model) if isinstance(model, str) else None,
            event.on_span,
        )

    def _sse_event(self, turn: Turn, event: CodexEvent) -> None:
        attributes = event.attributes
        time = event.time
        message = attributes.get("error.message")
        if isinstance(message, str):
            if len(turn.stream_errors) < MOST_NOTICES:
                kept = message[:LONGEST_TEXT] if self._keep_all else None
                turn.stream_errors[(time, event.on_span)] = StreamError(
                    time, failures.phrase_of(message), kept, event.on_span
                )
            turn.streaming = turn.saying = False
        elif "input_token_count" in attributes or "output_token_count" in attributes:
            turn.streaming = turn.saying = False
            if len(turn.completions) >= MOST_MODEL_CALLS:
                turn.left_out += 1
                return
            model = attributes.get("model")
            turn.completions[time] = Completion(
                time,
                Usage(
                    names.count(attributes.get("input_token_count")) or 0,
                    names.count(attributes.get("cached_token_count")) or 0,
                    names.count(attributes.get("cache_write_token_count")) or 0,
                    names.count(attributes.get("output_token_count")) or 0,
                    names.count(attributes.get("reasoning_token_count")) or 0,
                ),
                names.model(model) if isinstance(model, str) else None,
            )
        else:
            self._streamed(turn, attributes.get("event.kind"), time)

    def _streamed(self, turn: Turn, kind: object, time: int) -> None:
        """Keep of a stream its first output, its end, and whether it says something or calls a tool."""
        if not isinstance(kind, str):
            return
        if kind in _STREAM_ENDS:
            turn.streaming = turn.saying = False
            self._mark(turn, turn.dones, time)
            return
        if kind in _CALL_ANNOUNCED:
            self._mark(turn, turn.calls_announced, time)
        elif kind in _TEXT and not turn.saying:
            turn.saying = True
            self._mark(turn, turn.said, time)
        if not turn.streaming:
            turn.streaming = True
            self._mark(turn, turn.first_outputs, time)

    def _mark(self, turn: Turn, marks: list[int], time: int) -> None:
        if len(marks) >= MOST_MARKS:
            turn.left_out += 1
        elif time not in marks[-64:]:
            marks.append(time)

    def _turn_ttft(self, turn: Turn, event: CodexEvent) -> None:
        if turn.first_token_after is None or not event.on_span:
            turn.first_token_after = event.time

    def _tool(self, turn: Turn, event: CodexEvent) -> Tool | None:
        attributes = event.attributes
        call_id = attributes.get("call_id")
        # A call that names no tool that there is has no id (`log_tool_failed`).
        key = names.identifier(call_id) if isinstance(call_id, str) else f"at-{event.time // SECOND}"
        tool = turn.tool(key)
        if tool is not None:
            tool_name = attributes.get("tool_name")
            namespace = attributes.get("tool_namespace")
            if isinstance(tool_name, str):
                tool.name = names.name(tool_name)
                if isinstance(namespace, str) and namespace.startswith("mcp__"):
                    tool.name = f"{names.name(namespace)}.{tool.name}"
        return tool

    def _tool_call_received(self, turn: Turn, event: CodexEvent) -> None:
        tool = self._tool(turn, event)
        if tool is not None:
            tool.announced = event.time

    def _tool_decision(self, turn: Turn, event: CodexEvent) -> None:
        tool = self._tool(turn, event)
        if tool is not None:
            tool.decided = event.time
            tool.decision = names.choice(event.attributes.get("decision"), names.DECISIONS)
            tool.source = names.choice(event.attributes.get("source"), names.DECISION_SOURCES)

    def _tool_result(self, turn: Turn, event: CodexEvent) -> None:
        tool = self._tool(turn, event)
        if tool is None:
            return
        attributes = event.attributes
        if tool.finished is None or not event.on_span:
            tool.finished = event.time
        tool.duration = (names.count(attributes.get("duration_ms")) or 0) * MILLISECOND
        success = attributes.get("success")
        if success in {"true", "false", True, False}:
            tool.success = success in {"true", True}
        server = attributes.get("mcp_server")
        if isinstance(server, str) and server:
            tool.mcp_server = names.name(server)
        arguments = self._text(
            turn, attributes.get("arguments"), self._keep_all, attributes.get("arguments_length")
        )
        if arguments is not None and (tool.arguments is None or not event.on_span):
            tool.arguments = arguments
        output = attributes.get("output")
        told = self._text(turn, output, self._keep_all, attributes.get("output_length"))
        if told is not None and (tool.output is None or tool.output.text is None):
            if tool.output is not None:
                # The log's output is a preview; the span's length is of the whole.
                told.length = max(told.length, tool.output.length)
            tool.output = told
        if isinstance(output, str):
            if not server:
                tool.exit_code = failures.exit_code(output)
            if tool.success is False:
                tool.phrase = failures.tool_phrase_of(output)
            if tool.name.endswith("spawn_agent"):
                match = _AGENT_ID.search(output)
                if match:
                    self._spawned(names.identifier(match[1]), turn.conversation)

    def _sandbox_outcome(self, turn: Turn, event: CodexEvent) -> None:
        attributes = event.attributes
        call_id = names.identifier(str(attributes.get("call_id", "")))
        outcome = names.choice(attributes.get("outcome"), names.SANDBOX_OUTCOMES)
        if len(turn.sandbox) >= MOST_NOTICES or (call_id, outcome) in turn.sandbox:
            return
        tool_name = attributes.get("tool_name")
        turn.sandbox[(call_id, outcome)] = SandboxOutcome(
            event.time,
            names.name(tool_name) if isinstance(tool_name, str) else names.OTHER,
            outcome,
            names.count(attributes.get("initial_duration_ms")),
            names.count(attributes.get("escalated_duration_ms")),
        )

    def _agent_response(self, turn: Turn, event: CodexEvent) -> None:
        attributes = event.attributes
        parent = attributes.get("parent.conversation.id")
        if attributes.get("agent.type") == "subagent" and isinstance(parent, str):
            self._spawned(turn.conversation, names.identifier(parent))
        if turn.answered is None or event.time >= turn.answered:
            turn.answered = event.time
            turn.answer = self._text(
                turn, attributes.get("response"), self._keep_prompts, attributes.get("response_length")
            )


def prompt_in(turn: Turn, event: CodexEvent) -> Prompt | None:
    """Return the prompt of `turn` that `event` tells: the same record again, or its twin on a span."""
    length = names.count(event.attributes.get("prompt_length"))
    for prompt in turn.prompts.values():
        if prompt.on_span == event.on_span:
            if prompt.time == event.time:
                return prompt
            continue
        # Two short prompts can follow at once; the trace tells them apart where both have one.
        elsewhere = prompt.trace_id and event.trace_id and prompt.trace_id != event.trace_id
        near = abs(prompt.time - event.time) <= _SAME
        if near and not elsewhere and length in {None, prompt.text.length}:
            return prompt
    return None


def read_total(turn: Turn, span: CodexSpan) -> None:
    """Add Codex's own end of a turn, the span `session_task.turn`, to `turn`."""
    attributes = span.attributes
    usage = None
    if f"{_TOKENS}total_tokens" in attributes:
        parts = ("input", "cached_input", "cache_write_input", "output", "reasoning_output")
        usage = Usage(*(names.count(attributes.get(f"{_TOKENS}{part}_tokens")) or 0 for part in parts))
    turn.total = Total(span.start, span.end, usage)
    turn.from_spans = True
    model, effort = attributes.get("model"), attributes.get("codex.turn.reasoning_effort")
    if isinstance(model, str):
        turn.model = names.model(model)
    if isinstance(effort, str):
        turn.effort = names.choice(effort, names.REASONING_EFFORTS)
    turn.at(span.start)
    turn.at(span.end)


def read_completion(span: CodexSpan) -> Completion:
    """Return what the span `handle_responses` tells of the end of a model call."""
    attributes = span.attributes
    effort = attributes.get("codex.request.reasoning_effort")
    return Completion(
        span.start,
        Usage(
            names.count(attributes.get("gen_ai.usage.input_tokens")) or 0,
            names.count(attributes.get("gen_ai.usage.cache_read.input_tokens")) or 0,
            names.count(attributes.get("gen_ai.usage.cache_write.input_tokens")) or 0,
            names.count(attributes.get("gen_ai.usage.output_tokens")) or 0,
            names.count(attributes.get("codex.usage.reasoning_output_tokens")) or 0,
        ),
        effort=names.choice(effort, names.REASONING_EFFORTS) if isinstance(effort, str) else None,
        on_span=True,
    )
