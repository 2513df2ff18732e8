"""A finished turn as the spans Langfuse shows as observations.

The names of the attributes are Langfuse's (`langfuse.observation.*`, seen working with Langfuse 4.16; see
`codex_langfuse.mock.langfuse.observations`). The ids of trace and observations are digests of Codex's own
ids, so the same turn has the same ids whenever it is rendered. The root carries neither model nor usage:
Langfuse would count and price its tokens a second time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from time import gmtime, strftime

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from codex_langfuse.masking import mask_secrets
from codex_langfuse.nanoseconds import MILLISECOND, SECOND
from codex_langfuse.relay import encoding, names
from codex_langfuse.relay.facts import Cost, Prompt, Request, StreamError, Text
from codex_langfuse.relay.model_calls import CallHistory, ModelCall, Standing
from codex_langfuse.relay.outcomes import end_of, outcome_of, request_message, tool_outcome
from codex_langfuse.relay.policy import Content, Policy
from codex_langfuse.relay.session_info import SessionInfo
from codex_langfuse.relay.turn import Sent, Tool, Turn
from codex_langfuse.relay.usage import Usage

SCOPE = "codex-langfuse-relay"
_LONGEST_NAME = 80
_METADATA = "langfuse.observation.metadata."


#: What is said of a model call for which Codex told no tokens. Never 0 tokens: they were charged.
NOT_REPORTED = "usage not reported"


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where a turn goes in Langfuse. parent_id: the observation it is under, in hexadecimal, or none.

    caller: the parent is a span of the program that ran Codex, which Langfuse may never get.
    """

    trace_id: str
    parent_id: str
    session: str
    caller: bool = False
    #: The caller does not sample, so Codex sent no span of the turn.
    unsampled: bool = False


def _digest(size: int, *parts: str) -> str:
    return sha256("\n".join(parts).encode()).hexdigest()[: 2 * size]


def trace_id_of(conversation: str, turn_key: str) -> str:
    """Return the trace id, in hexadecimal, of a turn that nothing outside it asked for."""
    return _digest(16, "trace", conversation, turn_key)


def context_of(turn: Turn, above: Sent | None, session: str, caller_trace: bytes = b"") -> TraceContext:
    """Return the trace context of a turn.

    above: the turn, already sent, in whose trace it goes. caller_trace: the trace of the program that ran
    Codex, where only log records tell it.
    """
    if turn.continues is not None:
        return TraceContext(turn.continues.trace_id, turn.continues.agent_id, turn.continues.session)
    if above is not None:
        return TraceContext(above.trace_id, above.agent_id, above.session)
    spans = turn.spans
    if spans is not None and spans.caller and spans.begun is not None:
        return TraceContext(spans.begun.trace_id.hex(), spans.caller.hex(), session, True)
    if caller_trace:
        return TraceContext(caller_trace.hex(), "", session, unsampled=True)
    return TraceContext(trace_id_of(turn.conversation, turn.key), "", session)


class TraceBuilder:
    """One request for Langfuse: a turn, with the turns of its sub-agents, in one trace."""

    def __init__(self, policy: Policy, context: TraceContext, about: SessionInfo, is_title: bool) -> None:
        self._policy = policy
        self._context = context
        self._full = policy.content is Content.FULL
        self._resource = {
            "service.name": "codex",
            "service.version": about.version,
            "deployment.environment.name": about.environment_of(policy),
            "langfuse.release": about.release(),
        }
        self._spans: list[Span] = []
        self._trace_id = bytes.fromhex(context.trace_id)
        self._about = about
        self._is_title = is_title
        self._common: list[KeyValue] = []
        self._trace_name = ""
        self._calls = self._tools = self._tokens = 0
        self._usage = Usage()
        self._unpriced: dict[tuple[str, str], int] = {}
        self._costs: list[float | None] = []
        self._told_cost: float | None = None
        self._record: dict[str, object] = {}
        self._models: dict[str, None] = {}
        self._level = "DEFAULT"
        self._flags: dict[str, None] = {}
        self._events: Counter[tuple[str, ...]] = Counter()

    # --- turns ----------------------------------------------------------------------------------------------

    def add_turn(
        self,
        turn: Turn,
        history: CallHistory,
        about: SessionInfo,
        is_child: bool,
        parent_id: str | None = None,
    ) -> Sent:
        """Add a turn; is_child: it is a sub-agent's. Return what to remember of it."""
        context = self._context
        agent_id = _digest(8, "agent", turn.conversation, turn.key)
        name = _name_of(turn, is_child)
        if not self._common:
            self._trace_name = self._name_of_trace(turn, name)
            self._common = self._common_attributes()
        if turn.continues is not None:
            agent_id = turn.continues.agent_id
        else:
            above = context.parent_id if parent_id is None else parent_id
            self._agent(turn, history, about, is_child, agent_id, above, name)
        self._count(turn, history, about)
        if not self._record:
            self._record = self._about_turn(turn, history, about)
        under = self._model_calls(turn, history, about, agent_id, is_child)
        for tool in turn.tools.values():
            script = turn.tools.get(tool.script) if tool.script is not None else None
            parent = _tool_id(turn, script) if script is not None else under.get(tool.call_id, agent_id)
            self._tool(turn, tool, parent)
        for failure in history.failures:
            fatal = history.standing is Standing.FAILED and failure is history.failures[-1]
            self._failure(turn, failure, agent_id, "ERROR" if fatal else "WARNING")
        for outcome in turn.sandbox:
            metadata = {
                "outcome": outcome.outcome,
                "tool": outcome.tool,
                "initial_duration_ms": outcome.initial,
                "escalated_duration_ms": outcome.escalated,
            }
            level = "DEFAULT" if outcome.outcome in {"success", "approved"} else "WARNING"
            said = f"{outcome.tool}: {outcome.outcome}"
            name = f"sandbox: {outcome.outcome}"
            self._event(turn.conversation, name, outcome.time, agent_id, level, said, metadata)
        if turn.cost is not None:
            self._cost(turn.conversation, turn.cost, agent_id)
        return Sent(
            turn.conversation,
            turn.turn_id,
            turn.start,
            turn.end,
            turn.closed,
            tuple(sorted(trace.hex() for trace in turn.traces)),
            context.trace_id,
            agent_id,
            context.session,
        )

    def _name_of_trace(self, turn: Turn, name: str) -> str:
        if self._policy.name_by_prompt and self._policy.content is not Content.NONE and name == "codex turn":
            text = next((prompt.text.text for prompt in turn.prompts if prompt.text.text), None)
            if text:
                line = " ".join(mask_secrets(text).split())
                return line if len(line) <= _LONGEST_NAME else line[: _LONGEST_NAME - 1] + "…"
        return name

    def _common_attributes(self) -> list[KeyValue]:
        """Return what every observation of the trace says of the trace."""
        policy, about = self._policy, self._about
        user = about.user(policy)
        tags = ["codex", about.originator or about.service_name or "", *policy.tags, *about.tags()]
        if self._is_title:
            tags.append("title-generation")
        common: dict[str, encoding.Value | None] = {
            "langfuse.session.id": self._context.session,
            "session.id": self._context.session,
            "langfuse.trace.name": self._trace_name,
            "langfuse.trace.tags": tuple(dict.fromkeys(tag for tag in tags if tag)),
        }
        if user is not None:
            common["langfuse.user.id"] = common["user.id"] = mask_secrets(user)
        return encoding.attributes(common)

    def _agent(
        self,
        turn: Turn,
        history: CallHistory,
        about: SessionInfo,
        is_child: bool,
        agent_id: str,
        parent_id: str,
        name: str,
    ) -> None:
        level, message = outcome_of(turn, history, about)
        attributes: dict[str, encoding.Value | None] = {
            **_level(level, message),
            "langfuse.observation.input": self._asked(turn.prompts, is_child),
            "langfuse.observation.output": self._answered(turn, history, is_child),
        }
        if self._context.caller and not is_child:
            # Langfuse counts what has a parent as no root, and the caller's span may never reach it.
            attributes["langfuse.internal.is_app_root"] = True
        self._span(
            agent_id,
            parent_id,
            self._trace_name if not is_child else name,
            turn.start,
            turn.spans.task.end if turn.spans is not None and turn.spans.task is not None else turn.end,
            "agent",
            attributes,
            self._agent_metadata(turn, history, about, is_child),
        )
        if not is_child:
            self._level = level

    def _agent_metadata(
        self, turn: Turn, history: CallHistory, about: SessionInfo, is_child: bool
    ) -> dict[str, encoding.Value | None]:
        """Return what is known of a whole turn, and keep what it lacks and its tokens for the trace."""
        usage = history.usage()
        own = turn.spans.usage() if turn.spans is not None else None
        total = own if own is not None and own.total > usage.total else usage
        prompts = turn.prompts
        compactions = sum(call.compaction for call in history.calls)
        unreported = sum(call.usage is None for call in history.calls)
        metadata: dict[str, encoding.Value | None] = {
            **about.metadata(),
            "conversation_id": turn.conversation,
            "turn_id": turn.turn_id,
            "model": _model_of(turn, history) or about.model,
            "reasoning_effort": _effort_of(turn) or about.reasoning_effort,
            **_totals(total),
            "total_from": "Codex" if own is not None and total == own else "the model calls seen",
            "model_calls": len(history.calls),
            "tool_calls": len(turn.tools),
            "compactions": compactions or None,
            "retries": sum(call.failed_before for call in history.calls) or None,
            "prompt_length": prompts[0].text.length if prompts else None,
            "prompts": len(prompts) if len(prompts) > 1 else None,
            "response_length": _length(turn.answer.text) if turn.answer is not None else None,
            "signals": _signals(turn),
            "end": end_of(turn),
            "left_out": turn.left_out or None,
            "estimated_usd": turn.cost.usd if turn.cost is not None else None,
            "calls_without_usage": unreported or None,
            "calls_priced_by_file": sum(cost is not None for cost in self._costs_of(turn, history, about))
            or None,
        }
        if own is not None and own.total > usage.total:
            # Codex's own sum is higher: a model call was not seen.
            metadata["tokens_seen"] = usage.total
            self._flags["tokens missing"] = None
        elif own is not None and own.total < usage.total:
            # Codex leaves out what a compaction used that the provider did.
            metadata["codex_total_tokens"] = own.total
        if unreported:
            self._flags[NOT_REPORTED] = None
        if self._context.unsampled and not is_child:
            metadata["spans_missing"] = (
                "the caller does not sample (TRACEPARENT); what [otel.span_attributes] says is unknown"
            )
            self._flags["no spans, as the caller does not sample"] = None
        if metadata["end"] == "silence":
            self._flags["no end seen"] = None
        if history.calls and prompts and history.calls[0].first_token is not None:
            first = history.calls[0].first_token - prompts[0].time
            if first >= 0:
                metadata["time_to_first_token_ms"] = first // MILLISECOND
        self._tokens += total.total
        return metadata

    def _costs_of(
        self, turn: Turn, history: CallHistory, about: SessionInfo
    ) -> list[dict[str, float] | None]:
        """Return what each model call cost by the price file; None where it has no price."""
        return [self._cost_of(call, self._model_name(turn, call, about)) for call in history.calls]

    def _cost_of(self, call: ModelCall, model: str | None) -> dict[str, float] | None:
        price = self._policy.price(model, call.tier) if model else None
        return price.costs(call.usage.details()) if price is not None and call.usage is not None else None

    @staticmethod
    def _model_name(turn: Turn, call: ModelCall, about: SessionInfo) -> str | None:
        return call.model or _model_of(turn, None) or about.model

    def _count(self, turn: Turn, history: CallHistory, about: SessionInfo) -> None:
        """Add a turn's model calls to what is told of the trace."""
        self._calls += len(history.calls)
        self._tools += len(turn.tools)
        self._usage += history.usage()
        if turn.cost is not None:
            self._told_cost = (self._told_cost or 0) + turn.cost.usd
        for call, cost in zip(history.calls, self._costs_of(turn, history, about), strict=True):
            self._costs.append(cost["total"] if cost is not None else None)
            if cost is None and call.usage is not None:
                model = self._model_name(turn, call, about) or names.OTHER
                for kind, tokens in call.usage.details().items():
                    if kind != "total" and tokens:
                        self._unpriced[model, kind] = self._unpriced.get((model, kind), 0) + tokens

    def _about_turn(self, turn: Turn, history: CallHistory, about: SessionInfo) -> dict[str, object]:
        level, message = outcome_of(turn, history, about)
        return {
            "session": self._context.session,
            "turn": turn.turn_id,
            "trace": self._context.trace_id,
            "name": _name_of(turn, False),
            "outcome": {"DEFAULT": "ok", "WARNING": "incomplete"}.get(level, "failed"),
            "message": message,
            "started": turn.start / SECOND,
            "duration": round(max(turn.end - turn.start, 0) / SECOND, 3),
        }

    def _speaks(self, is_child: bool) -> bool:
        return self._full or (self._policy.content is Content.PROMPTS and not is_child)

    def _asked(self, prompts: list[Prompt], is_child: bool) -> str:
        """Return the input of a turn: its prompts, or their length. Langfuse's sessions need some text."""
        said = [prompt.text.text for prompt in prompts if prompt.text.text] if self._speaks(is_child) else []
        if said:
            return mask_secrets("\n\n".join(said))
        if not prompts:
            return "(no prompt)"
        return _withheld("prompt", sum(prompt.text.length for prompt in prompts))

    def _answered(self, turn: Turn, history: CallHistory, is_child: bool) -> str:
        text = turn.answer.text if turn.answer is not None else None
        if text is not None and text.text is not None and self._speaks(is_child):
            return mask_secrets(text.text)
        if text is not None:
            return _withheld("answer", text.length)
        calls, tools = len(history.calls), len(turn.tools)
        return f"(answer not sent; {_counted(calls, 'model call')}, {_counted(tools, 'tool call')})"

    # --- what a turn is made of -----------------------------------------------------------------------------

    def _model_calls(
        self, turn: Turn, history: CallHistory, about: SessionInfo, agent_id: str, is_child: bool
    ) -> dict[str, str]:
        """Add the model calls; return the observation that each tool call is under."""
        under: dict[str, str] = {}
        results: list[Tool] = []
        last = next((call for call in reversed(history.calls) if not call.compaction), None)
        for number, call in enumerate(history.calls):
            span_id = _digest(8, "generation", turn.conversation, turn.key, str(number))
            asked = self._input_of(turn, results if number else None, is_child)
            answered = self._output_of(turn, call, call is last, is_child)
            self._generation(turn, call, about, agent_id, span_id, asked, answered)
            if not call.compaction:
                results = [turn.tools[call_id] for call_id in call.asks]
            under.update(dict.fromkeys(call.asks, span_id))
        return under

    def _input_of(self, turn: Turn, results: list[Tool] | None, is_child: bool) -> str | None:
        """Return what a model call was asked: the prompt, or the results of the tools it had asked for."""
        if results is None:
            return self._asked(turn.prompts, is_child) if turn.prompts else None
        if not results:
            return None
        if self._full and any(tool.output is not None and tool.output.text for tool in results):
            return _json([{"tool": tool.name, "output": _shown(tool.output)} for tool in results])
        length = sum(tool.output.length for tool in results if tool.output is not None)
        return _withheld("results of " + ", ".join(tool.name for tool in results), length)

    def _output_of(self, turn: Turn, call: ModelCall, is_last: bool, is_child: bool) -> str | None:
        """Return what a model call answered: the calls it asked for, or the text of the turn's answer."""
        if call.asks:
            tools = [turn.tools[call_id] for call_id in call.asks]
            if self._full and any(tool.arguments is not None and tool.arguments.text for tool in tools):
                return _json([{"tool": tool.name, "arguments": _shown(tool.arguments)} for tool in tools])
            length = sum(tool.arguments.length for tool in tools if tool.arguments is not None)
            return _withheld("call of " + ", ".join(tool.name for tool in tools), length)
        answer = turn.answer.text if turn.answer is not None and is_last else None
        if answer is None:
            return None
        if self._speaks(is_child) and answer.text is not None:
            return mask_secrets(answer.text)
        return _withheld("answer", answer.length)

    def _generation(
        self,
        turn: Turn,
        call: ModelCall,
        about: SessionInfo,
        agent_id: str,
        span_id: str,
        asked: str | None,
        answered: str | None,
    ) -> None:
        model = self._model_name(turn, call, about)
        if model:
            self._models[model] = None
        effort = call.effort or _effort_of(turn) or about.reasoning_effort
        end = call.end if call.end is not None else max(call.start, turn.end)
        attributes: dict[str, encoding.Value | None] = {
            "langfuse.observation.input": asked,
            "langfuse.observation.output": answered,
        }
        parameters = {
            "reasoning_effort": effort if effort != names.OTHER else None,
            "service_tier": call.tier if call.tier != names.OTHER else None,
        }
        parameters = {key: value for key, value in parameters.items() if value}
        if model:
            attributes["langfuse.observation.model.name"] = model
        if parameters:
            attributes["langfuse.observation.model.parameters"] = _json(parameters)
        if call.usage is not None:
            attributes["langfuse.observation.usage_details"] = _json(call.usage.details())
            cost = self._cost_of(call, model)
            if cost is not None:
                attributes["langfuse.observation.cost_details"] = _json(cost)
        else:
            # Without it Langfuse counts the tokens of the text by itself, and prices them.
            attributes["langfuse.observation.cost_details"] = _json({"total": 0})
        if call.first_token is not None:
            attributes["langfuse.observation.completion_start_time"] = _iso(max(call.first_token, call.start))
        if call.error is not None:
            attributes |= _level("ERROR", self._stream_message(call.error))
        elif call.end is None:
            attributes |= _level("WARNING", f"no end seen: {NOT_REPORTED}")
        elif call.usage is None:
            attributes |= _level(
                "WARNING", NOT_REPORTED if call.done else f"the answer broke off: {NOT_REPORTED}"
            )
        metadata: dict[str, encoding.Value | None] = {
            "attempts": call.failed_before + 1,
            "usage": "not reported" if call.usage is None else None,
            "priced_by": "price file" if self._cost_of(call, model) is not None else None,
        }
        if call.request is not None:
            metadata["request_duration_ms"] = call.request.duration // MILLISECOND
            metadata["status"] = call.request.status
            metadata["attempt"] = call.request.attempt
        name = "compaction" if call.compaction else "model call"
        self._span(span_id, agent_id, name, call.start, end, "generation", attributes, metadata)

    def _tool(self, turn: Turn, tool: Tool, parent_id: str) -> None:
        begin, end = _times(tool, turn)
        level, message = tool_outcome(tool)
        output = self._io("output", tool.output)
        metadata: dict[str, encoding.Value | None] = {
            "call_id": tool.call_id,
            "decision": tool.decision,
            "decision_source": tool.source,
            "success": tool.success,
            "exit_code": tool.exit_code,
            "duration_ms": tool.duration // MILLISECOND if tool.duration is not None else None,
            "arguments_length": _length(tool.arguments),
            "output_length": _length(tool.output),
            "mcp_server": tool.mcp_server,
        }
        attributes = _level(level, message)
        attributes["langfuse.observation.input"] = self._io("arguments", tool.arguments)
        attributes["langfuse.observation.output"] = output
        self._span(_tool_id(turn, tool), parent_id, tool.name, begin, end, "tool", attributes, metadata)

    def _io(self, what: str, text: Text | None) -> str | None:
        if text is None:
            return None
        if self._full and text.text is not None:
            return mask_secrets(text.text)
        return _withheld(what, text.length)

    def _failure(self, turn: Turn, failure: Request | StreamError, agent_id: str, level: str) -> None:
        if isinstance(failure, Request):
            metadata = {
                "status": failure.status,
                "attempt": failure.attempt,
                "duration_ms": failure.duration // MILLISECOND,
            }
            message = self._request_message(failure)
            self._event(turn.conversation, "api error", failure.time, agent_id, level, message, metadata)
        else:
            message = self._stream_message(failure)
            self._event(turn.conversation, "stream error", failure.time, agent_id, level, message, {})

    def _request_message(self, failure: Request) -> str:
        if self._full and failure.message:
            return mask_secrets(failure.message)
        return request_message(failure)

    def _stream_message(self, failure: StreamError) -> str:
        if self._full and failure.message:
            return mask_secrets(failure.message)
        return failure.phrase or "the answer broke off"

    def _cost(self, conversation: str, cost: Cost, agent_id: str) -> None:
        metadata = {"estimated_usd": cost.usd, "interrupted": cost.interrupted}
        self._event(conversation, "turn cost", cost.time, agent_id, "DEFAULT", f"${cost.usd:.6f}", metadata)

    def _event(
        self,
        conversation: str,
        name: str,
        time: int,
        agent_id: str,
        level: str,
        message: str | None,
        metadata: Mapping[str, encoding.Value | None],
    ) -> None:
        place = (conversation, name, str(time))
        self._events[place] += 1
        # Without times of their own, several can be of the same moment.
        again = (str(self._events[place]),) if self._events[place] > 1 else ()
        span_id = _digest(8, "event", *place, *again)
        self._span(span_id, agent_id, name, time, time, "event", _level(level, message), metadata)

    def _span(
        self,
        span_id: str,
        parent_id: str,
        name: str,
        start: int,
        end: int,
        kind: str,
        attributes: Mapping[str, encoding.Value | None],
        metadata: Mapping[str, encoding.Value | None],
    ) -> None:
        start = max(0, start)
        own: dict[str, encoding.Value | None] = {"langfuse.observation.type": kind, **attributes}
        for key, value in metadata.items():
            own[_METADATA + key] = value
        self._spans.append(
            encoding.span(
                self._trace_id,
                bytes.fromhex(span_id),
                bytes.fromhex(parent_id),
                name,
                start,
                max(start, end),
                self._common,
                encoding.attributes(own),
            )
        )

    # --- the whole ------------------------------------------------------------------------------------------

    def serialized(self) -> bytes:
        """Return the request as protobuf."""
        return encoding.request(self._resource, SCOPE, self._spans)

    def summary(self) -> str:
        """Return one line without content."""
        calls, tools = _counted(self._calls, "model call"), _counted(self._tools, "tool")
        parts = [", ".join(self._models) or "no model", calls, tools, f"{self._tokens} tokens"]
        if self._level != "DEFAULT":
            parts.append(self._level.lower())
        return ", ".join(parts)

    def flags(self) -> tuple[str, ...]:
        """Return what does not add up."""
        return tuple(self._flags)

    def record(self) -> dict[str, object]:
        """Return what is told of the turn, with its sub-agents, to the person whose relay it is: no content.

        Times in seconds; cost in US dollars, by the price file if it has a price for every model call, else
        as Codex estimates it.
        """
        by_file = [cost for cost in self._costs if cost is not None]
        all_by_file = bool(by_file) and len(by_file) == len(self._costs)
        cost = sum(by_file) if all_by_file else self._told_cost
        return {
            **self._record,
            "models": list(self._models),
            "model_calls": self._calls,
            "tool_calls": self._tools,
            "tokens": self._usage.details(),
            "cost": cost,
            "cost_from": None if cost is None else "price file" if all_by_file else "Codex",
            "calls_priced_by_file": len(by_file),
        }

    def unpriced(self) -> dict[tuple[str, str], int]:
        """Return the tokens, by model and kind, that the price file leaves to Langfuse."""
        return self._unpriced


def late_cost(sent: Sent, cost: Cost, about: SessionInfo, policy: Policy) -> bytes:
    """Render a cost that came after its turn had left, as one more observation in the turn's trace.

    Codex 0.149 and newer learns what a turn cost up to 150 seconds later.
    """
    builder = TraceBuilder(policy, TraceContext(sent.trace_id, sent.agent_id, sent.session), about, False)
    builder._trace_name = "codex turn"
    builder._common = builder._common_attributes()
    builder._cost(sent.conversation, cost, sent.agent_id)
    return builder.serialized()


def _signals(turn: Turn) -> str:
    if turn.from_logs and turn.from_spans:
        return "logs and traces"
    return "logs" if turn.from_logs else "traces"


def _times(tool: Tool, turn: Turn) -> tuple[int, int]:
    if tool.finished is not None:
        return tool.begun, tool.finished
    begin = tool.begun or turn.start
    return begin, tool.span_end or max(begin, turn.end)


def _name_of(turn: Turn, is_child: bool) -> str:
    if turn.is_title:
        return "title generation"
    if turn.kind == "compact":
        return "compaction"
    if turn.kind == "review":
        return "review"
    if not is_child:
        return "codex turn"
    return turn.above.kind if turn.above is not None else "sub-agent"


def _tool_id(turn: Turn, tool: Tool) -> str:
    return _digest(8, "tool", turn.conversation, turn.key, tool.call_id)


def _model_of(turn: Turn, history: CallHistory | None) -> str | None:
    task = turn.spans.task if turn.spans is not None else None
    found = task.attributes.get("model") if task is not None else None
    if isinstance(found, str):
        return names.model(found)
    prompted = next((prompt.model for prompt in turn.prompts if prompt.model), None)
    if prompted is None and history is not None:
        return next((call.model for call in history.calls if call.model), None)
    return prompted


def _effort_of(turn: Turn) -> str | None:
    task = turn.spans.task if turn.spans is not None else None
    found = task.attributes.get("codex.turn.reasoning_effort") if task is not None else None
    return names.choice(found, names.REASONING_EFFORTS) if isinstance(found, str) else None


def _withheld(what: str, length: int) -> str:
    return f"({what} not sent, {_counted(length, 'character')})"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _shown(text: Text | None) -> str | None:
    return mask_secrets(text.text) if text is not None and text.text is not None else None


def _length(text: Text | None) -> int | None:
    return text.length if text is not None else None


def _totals(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.input,
        "cached_input_tokens": usage.cached,
        "cache_write_input_tokens": usage.cache_write,
        "output_tokens": usage.output,
        "reasoning_output_tokens": usage.reasoning,
        "total_tokens": usage.total,
    }


def _level(level: str, message: str | None) -> dict[str, encoding.Value | None]:
    if level == "DEFAULT":
        return {"langfuse.observation.status_message": message} if message else {}
    return {"langfuse.observation.level": level, "langfuse.observation.status_message": message or level}


def _iso(time: int) -> str:
    return f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(time // SECOND))}.{time // MILLISECOND % 1_000:03d}Z"


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
