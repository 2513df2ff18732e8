"""A finished turn as the spans Langfuse shows as observations.

The names of the attributes are Langfuse's (`langfuse.observation.*`, seen working with Langfuse 4.16; see
`codex_langfuse.mock.langfuse.observations`). The ids of trace and observations are digests of Codex's own
ids, so the same turn has the same ids whenever it is rendered. The root carries neither model nor usage:
Langfuse would count and price its tokens a second time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from time import gmtime, strftime

from codex_langfuse.masking import mask_secrets
from codex_langfuse.relay import encoding, names
from codex_langfuse.relay.failures import status_phrase
from codex_langfuse.relay.model_calls import Course, ModelCall, Standing
from codex_langfuse.relay.policy import Content, Policy, Price
from codex_langfuse.relay.surroundings import Surroundings
from codex_langfuse.relay.turn import Cost, Request, Sent, StreamError, Text, Tool, Turn, Usage

SCOPE = "codex-langfuse-relay"
_MILLISECOND = 1_000_000
_LONGEST_NAME = 80
_METADATA = "langfuse.observation.metadata."


@dataclass(frozen=True, slots=True)
class Place:
    """Where a turn goes in Langfuse. parent_id: the observation it stands under, in hexadecimal, or none."""

    trace_id: str
    parent_id: str
    session: str


def _digest(size: int, *parts: str) -> str:
    return sha256("\n".join(parts).encode()).hexdigest()[: 2 * size]


def identity_of(turn: Turn) -> str:
    """Return what tells a turn from the others of its conversation: Codex's id of it, else its beginning."""
    return turn.turn_id or f"at-{turn.start}"


def place_of(turn: Turn, above: Sent | None, session: str) -> Place:
    """Return the place of a turn; `above`: the turn, already sent, in whose trace it goes."""
    if turn.continues is not None:
        return Place(turn.continues.trace_id, turn.continues.agent_id, turn.continues.session)
    if above is not None:
        return Place(above.trace_id, above.agent_id, above.session)
    return Place(_digest(16, "trace", turn.conversation, identity_of(turn)), "", session)


class Scene:
    """One request for Langfuse: a turn, with the turns of its sub-agents, in one trace."""

    def __init__(self, policy: Policy, place: Place, about: Surroundings, is_title: bool) -> None:
        self._policy = policy
        self._place = place
        self._full = policy.content is Content.FULL
        self._resource = {
            "service.name": "codex",
            "service.version": about.version,
            "deployment.environment.name": names.environment(policy.environment)
            if policy.environment
            else about.environment,
        }
        self._spans: list[bytes] = []
        self._trace_id = bytes.fromhex(place.trace_id)
        self._about = about
        self._is_title = is_title
        self._common = b""
        self._trace_name = ""
        self._calls = self._tools = self._tokens = 0
        self._models: dict[str, None] = {}
        self._level = "DEFAULT"

    # --- turns ----------------------------------------------------------------------------------------------

    def add_turn(
        self,
        turn: Turn,
        course: Course,
        about: Surroundings,
        is_child: bool,
        parent_id: str | None = None,
    ) -> Sent:
        """Add a turn; is_child: it is a sub-agent's. Return what to remember of it."""
        identity = identity_of(turn)
        place = self._place
        agent_id = _digest(8, "agent", turn.conversation, identity)
        if not self._common:
            self._trace_name = self._name_of_trace(turn, is_child)
            self._common = self._common_attributes()
        if turn.continues is not None:
            agent_id = turn.continues.agent_id
        else:
            self._agent(
                turn, course, about, is_child, agent_id, place.parent_id if parent_id is None else parent_id
            )
        for number, call in enumerate(course.calls):
            self._generation(turn, call, about, agent_id, number)
        for tool in turn.tools.values():
            self._tool(turn, tool, agent_id, identity)
        for failure in course.failures:
            fatal = course.standing is Standing.FAILED and failure is course.failures[-1]
            self._failure(turn, failure, agent_id, "ERROR" if fatal else "WARNING")
        for outcome in turn.sandbox.values():
            metadata = {
                "outcome": outcome.outcome,
                "tool": outcome.tool,
                "initial_duration_ms": outcome.initial,
                "escalated_duration_ms": outcome.escalated,
            }
            level = "DEFAULT" if outcome.outcome in {"success", "approved"} else "WARNING"
            self._event(
                turn.conversation,
                f"sandbox: {outcome.outcome}",
                outcome.time,
                agent_id,
                level,
                f"{outcome.tool}: {outcome.outcome}",
                metadata,
            )
        if turn.cost is not None:
            self._cost(turn.conversation, turn.cost, agent_id)
        return Sent(
            turn.conversation,
            turn.turn_id,
            turn.start,
            turn.end,
            turn.total is not None,
            tuple(sorted(trace.hex() for trace in turn.traces)),
            place.trace_id,
            agent_id,
            place.session,
        )

    def _name_of_trace(self, turn: Turn, is_child: bool) -> str:
        if self._is_title:
            return "title generation"
        if is_child:
            return "codex turn"
        if self._policy.content is not Content.NONE:
            prompts = sorted(turn.prompts.values(), key=lambda prompt: prompt.time)
            text = next((prompt.text.text for prompt in prompts if prompt.text.text), None)
            if text:
                line = " ".join(mask_secrets(text).split())
                return line if len(line) <= _LONGEST_NAME else line[: _LONGEST_NAME - 1] + "…"
        return "codex turn"

    def _common_attributes(self) -> bytes:
        """Return what every observation of the trace says of the trace."""
        policy, about = self._policy, self._about
        user = about.user(policy)
        tags = ["codex", about.originator or about.service_name or "", *policy.tags]
        if self._is_title:
            tags.append("title-generation")
        common: dict[str, encoding.Value | None] = {
            "langfuse.session.id": self._place.session,
            "session.id": self._place.session,
            "langfuse.trace.name": self._trace_name,
            "langfuse.trace.tags": tuple(dict.fromkeys(tag for tag in tags if tag)),
        }
        if user is not None:
            common["langfuse.user.id"] = common["user.id"] = mask_secrets(user)
        return encoding.attributes(common)

    def _agent(
        self, turn: Turn, course: Course, about: Surroundings, is_child: bool, agent_id: str, parent_id: str
    ) -> None:
        level, message = outcome_of(turn, course)
        usage = sum((call.usage for call in course.calls if call.usage is not None), Usage())
        own = turn.total.usage if turn.total is not None else None
        retries = sum(call.failed_before for call in course.calls)
        prompts = sorted(turn.prompts.values(), key=lambda prompt: prompt.time)
        metadata: dict[str, encoding.Value | None] = {
            "conversation_id": turn.conversation,
            "turn_id": turn.turn_id,
            "model": turn.model or about.model,
            "reasoning_effort": turn.effort or about.reasoning_effort,
            **about.metadata(),
            **_totals(own or usage),
            "total_from": "Codex" if own is not None else "the model calls seen",
            "model_calls": len(course.calls),
            "tool_calls": len(turn.tools),
            "retries": retries or None,
            "prompt_length": prompts[0].text.length if prompts else None,
            "prompts": len(prompts) if len(prompts) > 1 else None,
            "response_length": turn.answer.length if turn.answer is not None else None,
            "signals": _signals(turn),
            "end": _end(turn),
            "left_out": turn.left_out or None,
            "estimated_usd": turn.cost.usd if turn.cost is not None else None,
        }
        if own is not None and own != usage:
            # Codex's own sum tells that a model call was not seen.
            metadata["tokens_seen"] = usage.details()["total"]
        if course.calls and prompts and course.calls[0].first_token is not None:
            first = course.calls[0].first_token - prompts[0].time
            if first >= 0:
                metadata["time_to_first_token_ms"] = first // _MILLISECOND
        speak = self._full or (self._policy.content is Content.PROMPTS and not is_child)
        said = [prompt.text.text for prompt in prompts if prompt.text.text] if speak else []
        answer = turn.answer.text if speak and turn.answer is not None else None
        counts = {"model_calls": len(course.calls), "tool_calls": len(turn.tools)}
        if turn.answer is not None:
            counts["response_length"] = turn.answer.length
        # Langfuse's view of a session leaves out what has neither input nor output.
        asked = (
            {"prompt_length": sum(prompt.text.length for prompt in prompts)} if prompts else {"prompts": 0}
        )
        name = "title generation" if turn.is_title else "sub-agent" if is_child else "codex turn"
        self._span(
            agent_id,
            parent_id,
            name,
            min(turn.start, turn.total.start if turn.total is not None else turn.start),
            turn.total.end if turn.total is not None else turn.end,
            "agent",
            {
                **_level(level, message),
                "langfuse.observation.input": mask_secrets("\n\n".join(said)) if said else _json(asked),
                "langfuse.observation.output": mask_secrets(answer) if answer is not None else _json(counts),
            },
            metadata,
        )
        if not is_child:
            self._level = level
        self._calls += len(course.calls)
        self._tools += len(turn.tools)
        self._tokens += (own or usage).details()["total"]

    # --- what a turn is made of -----------------------------------------------------------------------------

    def _generation(
        self, turn: Turn, call: ModelCall, about: Surroundings, agent_id: str, number: int
    ) -> None:
        model = call.model or turn.model or about.model
        if model:
            self._models[model] = None
        effort = call.effort or turn.effort or about.reasoning_effort
        end = call.end if call.end is not None else max(call.start, turn.end)
        attributes: dict[str, encoding.Value | None] = {}
        if model:
            attributes["langfuse.observation.model.name"] = model
        if effort and effort != names.OTHER:
            attributes["langfuse.observation.model.parameters"] = _json({"reasoning_effort": effort})
        if call.usage is not None:
            details = call.usage.details()
            attributes["langfuse.observation.usage_details"] = _json(details)
            price = self._policy.prices.get(model) if model else None
            if price is not None:
                attributes["langfuse.observation.cost_details"] = _json(_costs(details, price))
        if call.first_token is not None:
            attributes["langfuse.observation.completion_start_time"] = _iso(max(call.first_token, call.start))
        if call.error is not None:
            attributes |= _level("ERROR", self._stream_message(call.error))
        elif call.end is None:
            attributes |= _level("WARNING", "no end seen")
        metadata: dict[str, encoding.Value | None] = {"attempts": call.failed_before + 1}
        if call.request is not None:
            metadata["request_duration_ms"] = call.request.duration // _MILLISECOND
            metadata["status"] = call.request.status
            metadata["attempt"] = call.request.attempt
        span_id = _digest(8, "generation", turn.conversation, str(call.end or call.start), str(number))
        self._span(span_id, agent_id, "model call", call.start, end, "generation", attributes, metadata)

    def _tool(self, turn: Turn, tool: Tool, agent_id: str, identity: str) -> None:
        begin, end = _times(tool, turn)
        level, message = tool_outcome(tool)
        input_, output = self._io("arguments", tool.arguments), self._io("output", tool.output)
        if tool.exit_code is not None and isinstance(output, dict):
            output["exit_code"] = tool.exit_code
        metadata: dict[str, encoding.Value | None] = {
            "call_id": tool.call_id,
            "decision": tool.decision,
            "decision_source": tool.source,
            "success": tool.success,
            "exit_code": tool.exit_code,
            "duration_ms": tool.duration // _MILLISECOND if tool.duration is not None else None,
            "arguments_length": tool.arguments.length if tool.arguments is not None else None,
            "output_length": tool.output.length if tool.output is not None else None,
            "mcp_server": tool.mcp_server,
        }
        attributes = _level(level, message)
        if input_ is not None:
            attributes["langfuse.observation.input"] = input_ if isinstance(input_, str) else _json(input_)
        if output is not None:
            attributes["langfuse.observation.output"] = output if isinstance(output, str) else _json(output)
        span_id = _digest(8, "tool", turn.conversation, identity, tool.call_id)
        self._span(span_id, agent_id, tool.name, begin, end, "tool", attributes, metadata)

    def _io(self, what: str, text: Text | None) -> str | dict[str, int] | None:
        if text is None:
            return None
        if self._full and text.text is not None:
            return mask_secrets(text.text)
        return {f"{what}_length": text.length}

    def _failure(self, turn: Turn, failure: Request | StreamError, agent_id: str, level: str) -> None:
        if isinstance(failure, Request):
            metadata = {
                "status": failure.status,
                "attempt": failure.attempt,
                "duration_ms": failure.duration // _MILLISECOND,
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
        span_id = _digest(8, "event", conversation, name, str(time))
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
        calls = f"{self._calls} model call{'' if self._calls == 1 else 's'}"
        tools = f"{self._tools} tool{'' if self._tools == 1 else 's'}"
        parts = [", ".join(self._models) or "no model", calls, tools, f"{self._tokens} tokens"]
        if self._level != "DEFAULT":
            parts.append(self._level.lower())
        return ", ".join(parts)


def late_cost(sent: Sent, cost: Cost, about: Surroundings, policy: Policy) -> bytes:
    """Render a cost that came after its turn had left, as one more observation in the turn's trace.

    Codex 0.149 and newer learns what a turn cost up to 150 seconds later.
    """
    scene = Scene(policy, Place(sent.trace_id, sent.agent_id, sent.session), about, False)
    scene._trace_name = "codex turn"
    scene._common = scene._common_attributes()
    scene._cost(sent.conversation, cost, sent.agent_id)
    return scene.serialized()


def outcome_of(turn: Turn, course: Course) -> tuple[str, str | None]:
    """Return the level of a turn and, when it is not DEFAULT, why."""
    standing = course.standing
    told_end = turn.total is not None or turn.successor is not None or turn.conversation_ended
    usage = turn.total.usage if turn.total is not None else None
    cut_off = [tool for tool in turn.tools.values() if tool.aborted and tool.finished is None]
    if standing is Standing.FAILED:
        failure = course.failures[-1]
        if isinstance(failure, Request):
            return "ERROR", f"the model request failed: {request_message(failure)}"
        return "ERROR", failure.phrase or "the model's answer broke off"
    if cut_off:
        return "WARNING", f"interrupted: {cut_off[-1].name} was cut off"
    if turn.cost is not None and turn.cost.interrupted:
        return "WARNING", "interrupted"
    if standing in {Standing.ANSWERED, Standing.PERHAPS}:
        return "DEFAULT", None
    if usage is not None and usage.output:
        # Codex counted what it used, which it does only at the end of a turn: the last records were lost.
        return "DEFAULT", None
    where = {
        Standing.STARTED: "before the model answered",
        Standing.SAMPLING: "while the model answered",
        Standing.TOOLS: "while a tool ran or waited for approval",
        Standing.BETWEEN: "after a tool ran",
    }[standing]
    return "WARNING", f"interrupted {where}" if told_end else f"no end seen: silence {where}"


def tool_outcome(tool: Tool) -> tuple[str, str | None]:
    """Return the level of a tool call and, when it is not DEFAULT, why.

    Codex says `success = true` of a command that it could run, whatever the command's exit code.
    """
    if tool.exit_code:
        return "ERROR", f"exit code {tool.exit_code}"
    if tool.decision in {"denied", "abort"}:
        return "WARNING", f"{tool.decision} by {tool.source}"
    if tool.success is False:
        return "ERROR", tool.phrase or "failed"
    if tool.finished is None and tool.aborted:
        return "WARNING", "cut off"
    if tool.pending:
        return "WARNING", "no end seen"
    return "DEFAULT", None


def request_message(failure: Request) -> str:
    """Return what is said of a failed request when messages may not leave."""
    if failure.status is not None:
        status = status_phrase(failure.status)
        return f"{status} ({failure.phrase})" if failure.phrase else status
    return failure.phrase or "no answer"


def _signals(turn: Turn) -> str:
    if turn.from_logs and turn.from_spans:
        return "logs and traces"
    return "logs" if turn.from_logs else "traces"


def _end(turn: Turn) -> str:
    """Return by what the turn is taken to be over."""
    if turn.total is not None:
        return "told by Codex"
    if turn.successor is not None:
        return "the next prompt"
    if turn.conversation_ended:
        return "the end of the conversation"
    return "the relay stopped" if turn.relay_stopped else "silence"


def _times(tool: Tool, turn: Turn) -> tuple[int, int]:
    if tool.finished is not None:
        begin = tool.finished - (tool.duration or 0)
        return begin, tool.finished
    begin = tool.span_start or tool.announced or tool.decided or turn.start
    return begin, tool.span_end or max(begin, turn.end)


def _totals(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.input,
        "cached_input_tokens": usage.cached,
        "cache_write_input_tokens": usage.cache_write,
        "output_tokens": usage.output,
        "reasoning_output_tokens": usage.reasoning,
        "total_tokens": usage.input + usage.output,
    }


def _costs(details: Mapping[str, int], price: Price) -> dict[str, float]:
    reasoning = price.output if price.reasoning_output is None else price.reasoning_output
    costs = {
        "input": details["input"] * price.input,
        "input_cached_tokens": details["input_cached_tokens"] * price.cached_input,
        "input_cache_creation": details["input_cache_creation"] * price.cache_write,
        "output": details["output"] * price.output,
        "output_reasoning_tokens": details["output_reasoning_tokens"] * reasoning,
    }
    # Parts without a total leave the observation at no cost.
    return {**costs, "total": sum(costs.values())}


def _level(level: str, message: str | None) -> dict[str, encoding.Value | None]:
    if level == "DEFAULT":
        return {"langfuse.observation.status_message": message} if message else {}
    return {"langfuse.observation.level": level, "langfuse.observation.status_message": message or level}


def _iso(time: int) -> str:
    return f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(time // 1_000_000_000))}.{time // 1_000_000 % 1_000:03d}Z"


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
