"""What Codex 0.171 sends while it does what a scenario says: the spans and log records that the relay reads.

A scenario says what happens in each conversation. `telemetry` returns the records that tell of it, with the
names, attributes and parents that they have in `tests/recordings/real-use` (`test_relay_law.py` compares
them), and what the model charged. Spans and attributes that the relay does not read are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from codex_langfuse.nanoseconds import MILLISECOND, SECOND

#: When every scenario begins: 2026-11-29, in nanoseconds since 1970.
BEGIN = 1_796_000_000 * SECOND
MODEL = "gpt-6.2-sol"

#: What a model reports: input, of it cached, output, of it reasoning.
Usage = tuple[int, int, int, int]


@dataclass(frozen=True)
class Tool:
    """A call of a tool. nested: it is a script of code mode, which calls these. agent: it starts an agent."""

    milliseconds: int = 20
    failed: bool = False
    nested: tuple[Tool, ...] = ()
    agent: TurnScript | None = None

    @property
    def name(self) -> str:
        """The name of the tool."""
        return "spawn_agent" if self.agent else "exec" if self.nested else "exec_command"


@dataclass(frozen=True)
class Step:
    """A model call, and the tools it asks for, side by side.

    failures: attempts before it, each `refused` or `cut` while it streamed. compaction: the usage of a
    compaction before it. steered: a person writes something while the first tool runs.
    """

    usage: Usage
    milliseconds: int = 50
    tools: tuple[Tool, ...] = ()
    failures: tuple[str, ...] = ()
    compaction: Usage | None = None
    steered: bool = False


@dataclass(frozen=True)
class TurnScript:
    """What Codex does for one prompt.

    end: `answered`; `failed` (the model refused); `interrupted` or `killed` while the last tool runs, else
    while the model answers once more. goal: there is no prompt, Codex goes on by itself. unclosed: the span
    `session_task.turn` does not come.
    """

    steps: tuple[Step, ...]
    end: str = "answered"
    goal: bool = False
    unclosed: bool = False


@dataclass(frozen=True)
class Conversation:
    """Turns one after the other, `pause` milliseconds between them; begins: milliseconds."""

    turns: tuple[TurnScript, ...]
    begins: int = 0
    pause: int = 500
    websocket: bool = True


@dataclass
class Telemetry:
    """The records, each with the time at which Codex has it to send, and what was charged by turn.

    parents: the turn under which one of a sub-agent runs.
    """

    spans: list[Span] = field(default_factory=list)
    logs: list[LogRecord] = field(default_factory=list)
    charged: dict[str, Counter[Usage]] = field(default_factory=dict)
    compacted: Counter[Usage] = field(default_factory=Counter)
    parents: dict[str, str] = field(default_factory=dict)

    def total(self) -> Counter[Usage]:
        """Return all that was charged."""
        return sum(self.charged.values(), Counter())


#: What `handle_responses` always says.
_ANSWERED = {"codex.request.reasoning_effort": "low"}


class _StoppedError(Exception):
    """The turn is interrupted: the spans in progress end now."""


class _KilledError(Exception):
    """The process is gone: the spans in progress never end."""


def telemetry(conversations: Sequence[Conversation]) -> Telemetry:
    """Return what Codex sends."""
    sent = Telemetry()
    for number, conversation in enumerate(conversations):
        _Codex(sent, conversation, str(number)).run()
    sent.logs.sort(key=lambda record: record.observed_time_unix_nano)
    sent.spans.sort(key=lambda span: span.end_time_unix_nano)
    return sent


def _dotted(attributes: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("__", "."): value for key, value in attributes.items()}


def _attributes(holder: Any, values: dict[str, Any]) -> None:
    for key, value in values.items():
        item = holder.attributes.add(key=key)
        if isinstance(value, bool):
            item.value.bool_value = value
        elif isinstance(value, int):
            item.value.int_value = value
        else:
            item.value.string_value = value


class _Codex:
    """One conversation, and those of the agents it starts."""

    def __init__(self, sent: Telemetry, conversation: Conversation, seed: str) -> None:
        self._sent = sent
        self._plan = conversation
        self._seed = seed
        self._now = BEGIN + conversation.begins * MILLISECOND
        self._count = 0
        self._thread = self._uuid()
        #: Of an agent: the conversation that started it.
        self._asker = ""
        self._turn = ""
        self._asked = 0
        self._calls = 0

    # --- ids, times, records --------------------------------------------------------------------------------

    def _bytes(self, size: int) -> bytes:
        self._count += 1
        return sha256(f"{self._seed} {self._count}".encode()).digest()[:size]

    def _uuid(self) -> str:
        """Return an id of version 7, which holds the time, as Codex's ids do."""
        text = (self._now // MILLISECOND).to_bytes(6, "big").hex() + "7" + self._bytes(10).hex()[:19]
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-a{text[17:20]}-{text[20:32]}"

    def _wait(self, milliseconds: float) -> None:
        self._now += int(milliseconds * MILLISECOND)

    @contextmanager
    def _span(self, name: str, parent: Span | None, **attributes: Any) -> Iterator[Span]:
        """Open a span, and send it when it ends. Underscores in the names of attributes are dots there."""
        span = Span(
            trace_id=parent.trace_id if parent is not None else self._bytes(16),
            span_id=self._bytes(8),
            parent_span_id=parent.span_id if parent is not None else b"",
            name=name,
            start_time_unix_nano=self._now,
        )
        self._wait(0.05)
        try:
            yield span
        except _KilledError:
            raise
        except _StoppedError:
            self._end(span, attributes)
            raise
        else:
            self._end(span, attributes)

    def _end(self, span: Span, attributes: dict[str, Any]) -> None:
        self._wait(0.05)
        span.end_time_unix_nano = self._now
        _attributes(span, _dotted(attributes))
        self._sent.spans.append(span)

    def _short(self, name: str, parent: Span | None, **attributes: Any) -> Span:
        with self._span(name, parent, **attributes) as span:
            pass
        return span

    def _stamp(self) -> str:
        moment = datetime.fromtimestamp(self._now // MILLISECOND / 1_000, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _log(self, name: str, span: Span | None, **attributes: Any) -> None:
        self._wait(0.02)
        record = LogRecord(observed_time_unix_nano=self._now)
        if span is not None:
            record.trace_id, record.span_id = span.trace_id, span.span_id
        said = {"event.timestamp": self._stamp(), "conversation.id": self._thread, "model": MODEL}
        _attributes(record, {"event.name": name, **_dotted(attributes), **said})
        self._sent.logs.append(record)

    def _event(self, name: str, span: Span, **attributes: Any) -> None:
        self._wait(0.02)
        event = span.events.add(time_unix_nano=self._now, name=name)
        said = {"level": "INFO", "event.name": name, **_dotted(attributes), "conversation.id": self._thread}
        _attributes(event, said)

    def _both(self, name: str, span: Span, log: dict[str, Any], event: dict[str, Any]) -> None:
        """Write an event as a log record that says `log`, and on the span, where it says `event`."""
        self._log(name, span, **log)
        self._event(name, span, **event, model=MODEL, event__timestamp=self._stamp())

    # --- a conversation -------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run the conversation to its end."""
        with self._span("thread/start", None) as thread:
            spawn = self._short("thread_spawn", thread)
            init = self._init(spawn)
        if self._plan.websocket:
            self._warm(init)
        task: Span | None = None
        try:
            for turn in self._plan.turns:
                self._wait(self._plan.pause)
                task = self._run_turn(turn, task if turn.goal else None)
        except _KilledError:
            return
        self._short("session_loop", None, thread_id=self._thread)

    def _init(self, spawn: Span) -> Span:
        with self._span("session_init", spawn) as init:
            about = {"provider_name": "OpenAI", "approval_policy": "never", "sandbox_policy": "read-only"}
            about["reasoning_summary"] = "auto"
            servers = {"mcp_servers": ""}, {"mcp_server_count": "0"}
            self._both("codex.conversation_starts", init, about | servers[0], about | servers[1])
        return init

    def _phase(self, span: Span, phase: str) -> None:
        said = {"startup__phase": phase, "duration_ms": "1"}
        self._both("codex.startup_phase", span, said, said)

    def _warm(self, init: Span) -> None:
        """Connect, and make the request that only warms the connection."""
        with self._span("startup_prewarm", init) as warming:
            self._phase(warming, "startup_prewarm_build_tools")
            self._connect(warming)
            stream = self._short(
                "model_client.stream_responses_websocket",
                warming,
                model=MODEL,
                websocket__warmup=True,
            )
            with self._span("responses_websocket.stream_request", stream) as request:
                self._requested(request, "codex.websocket_request", success="true")
            self._completed((0, 0, 0, 0))
            self._phase(warming, "startup_prewarm_websocket_warmup")
            self._phase(warming, "startup_prewarm_total")

    def _connect(self, parent: Span) -> None:
        with self._span("model_client.websocket_connection", parent) as connection:
            self._requested(connection, "codex.websocket_connect", success="true")

    def _requested(self, span: Span, name: str, **said: Any) -> None:
        self._wait(1)
        on_span = {key: str(value) for key, value in said.items()}
        self._both(name, span, {"duration_ms": "1", **said}, {"duration_ms": "1", **on_span})

    # --- a turn ---------------------------------------------------------------------------------------------

    def _run_turn(self, turn: TurnScript, above: Span | None, parent: str | None = None) -> Span:
        """Run a turn. above: the task that a goal continues, or the call in the turn `parent`."""
        self._turn = self._uuid()
        self._asked = 0
        charged = self._sent.charged[self._turn] = Counter()
        if parent is not None:
            self._sent.parents[self._turn] = parent
        above = above or self._short("turn/start", None, turn__id=self._turn, rpc__request_id="3")
        dispatch = self._short("op.dispatch.turn_input", above)
        begun = self._short("codex.turn_input", dispatch, conversation__id=self._thread, turn__id=self._turn)
        task = Span(
            trace_id=begun.trace_id,
            span_id=self._bytes(8),
            parent_span_id=begun.span_id,
            name="session_task.turn",
            start_time_unix_nano=self._now,
        )
        told: dict[str, Any] = {"turn__id": self._turn, "model": MODEL, "codex.turn.reasoning_effort": "low"}
        try:
            with self._span("session_task.run", task) as ran:
                self._work(turn, ran)
        except _StoppedError:
            pass
        else:
            told |= self._sums(charged)
        if not turn.unclosed:
            self._end(task, told)
        return task

    def _sums(self, charged: Counter[Usage]) -> dict[str, int]:
        spent = [usage for usage, times in charged.items() for _ in range(times)]
        parts = ("input", "cached_input", "output", "reasoning_output")
        sums = {part: sum(usage[place] for usage in spent) for place, part in enumerate(parts)}
        sums |= {"cache_write_input": 0, "non_cached_input": sums["input"] - sums["cached_input"]}
        sums["total"] = sums["input"] + sums["output"]
        return {f"codex.turn.token_usage.{part}_tokens": value for part, value in sums.items()}

    def _work(self, turn: TurnScript, ran: Span) -> None:
        if self._plan.websocket:
            prepare = self._short("regular_task.prepare_run_turn", ran)
            consume = self._short("consume_startup_prewarm_for_regular_turn", prepare)
            with self._span("startup_prewarm.resolve", consume) as resolve:
                self._phase(resolve, "startup_prewarm_resolve")
        with self._span("run_turn", ran, conversation__id=self._thread, turn__id=self._turn) as run:
            if not turn.goal:
                self._prompt(run)
            for step in turn.steps:
                last = step is turn.steps[-1]
                stop = turn.end if last and step.tools and turn.end != "failed" else "answered"
                self._step(step, run, stop)
            if turn.end != "answered" and not (turn.steps and turn.steps[-1].tools and turn.end != "failed"):
                self._call_that_ends_badly(turn, run)

    def _prompt(self, run: Span) -> None:
        with self._span("run_hooks_and_record_inputs", run) as inputs:
            said = {"prompt_length": "2"}
            self._both("codex.user_prompt", inputs, {**said, "prompt": "go"}, said)

    def _step(self, step: Step, run: Span, stop: str) -> None:
        if step.compaction is not None:
            self._compact(step.compaction, run)
        with self._sampling(run) as sampling:
            for failure in step.failures:
                with self._try(sampling) as attempt:
                    self._fail(attempt, failure)
                self._wait(20)
            with self._try(sampling) as attempt:
                self._answer(step, attempt, run, stop)

    def _call_that_ends_badly(self, turn: TurnScript, run: Span) -> None:
        with self._sampling(run) as sampling, self._try(sampling) as attempt:
            if turn.end == "failed":
                self._fail(attempt, "refused")
                return
            self._ask(attempt)
            with self._span("receiving_stream", attempt):
                self._wait(30)
                raise _KilledError if turn.end == "killed" else _StoppedError

    def _sampling(self, run: Span) -> Any:
        return self._span("run_sampling_request", run, turn_id=self._turn, model=MODEL)

    def _try(self, sampling: Span) -> Any:
        return self._span("try_run_sampling_request", sampling, turn_id=self._turn, model=MODEL)

    # --- the model ------------------------------------------------------------------------------------------

    def _ask(self, parent: Span, status: int = 200) -> None:
        """Ask the model: over HTTP the answer begins with a status."""
        holder = parent if parent.name == "run_auto_compact" else self._short("stream_request", parent)
        if self._plan.websocket and holder is not parent:
            stream = self._short(
                "model_client.stream_responses_websocket", holder, model=MODEL, websocket__warmup=False
            )
            with self._span("responses_websocket.stream_request", stream) as request:
                self._requested(request, "codex.websocket_request", success="true")
            return
        with (
            self._span("model_client.stream_responses_api", holder, model=MODEL) as client,
            self._span("responses.stream_request", client) as stream,
            self._span("endpoint_session.stream_encoded_json_with", stream) as request,
        ):
            said: dict[str, Any] = {"http__response__status_code": status, "attempt": 0}
            if status != 200:
                said["error__message"] = f"http {status}"
            self._requested(request, "codex.api_request", **said, endpoint="/responses")

    def _fail(self, attempt: Span, failure: str) -> None:
        if failure == "refused" and not self._plan.websocket:
            self._ask(attempt, 429)
            return
        self._ask(attempt)
        message = "exceeded retry limit, last status: 429 Too Many Requests"
        if failure == "cut":
            message = "stream disconnected before completion: stream closed before response.completed"
        kind = {"event__kind": "response.completed", "error__message": message}
        if failure == "refused":
            self._log("codex.sse_event", None, **kind)
            return
        with self._span("receiving_stream", attempt) as stream:
            self._wait(5)
            self._log("codex.sse_event", None, **kind)
            self._short("handle_responses", stream, **_ANSWERED, **{"from": "output_item_added"})

    def _streamed(self) -> None:
        """Write what came over HTTP, event by event."""
        if not self._plan.websocket:
            for kind in ("created", "output_item.done", "completed"):
                self._log("codex.sse_event", None, event__kind=f"response.{kind}", duration_ms="0")

    def _completed(self, usage: Usage) -> None:
        parts = dict(zip(("input", "cached", "output", "reasoning"), usage, strict=True))
        self._log(
            "codex.sse_event",
            None,
            event__kind="response.completed",
            input_token_count=str(parts["input"]),
            output_token_count=str(parts["output"]),
            cached_token_count=parts["cached"],
            cache_write_token_count=0,
            reasoning_token_count=parts["reasoning"],
            **({"model_reasoning_effort": "low"} if parts["input"] else {}),
        )

    def _charge(self, usage: Usage) -> None:
        self._sent.charged[self._turn][usage] += 1

    def _compact(self, usage: Usage, run: Span) -> None:
        """Make the conversation shorter by a model call of its own, of which no span reports the usage."""
        with self._span("run_auto_compact", run) as compact:
            self._ask(compact)
            self._streamed()
            self._completed(usage)
            self._charge(usage)
            self._sent.compacted[usage] += 1

    def _answer(self, step: Step, attempt: Span, run: Span, stop: str) -> None:
        self._ask(attempt)
        with self._span("receiving_stream", attempt) as stream:
            self._wait(step.milliseconds)
            self._streamed()
            if self._asked == 0:
                self._log("codex.turn_ttft", None, duration_ms="10")
            self._asked += 1
            self._completed(step.usage)
            self._charge(step.usage)
            done = {**_ANSWERED, "from": "output_item_done"}
            with self._span("handle_responses", stream, **done) as response:
                item = self._short("handle_output_item_done", response)
                call_ids = [self._call_id() for _ in step.tools]
                for call_id, tool in zip(call_ids, step.tools, strict=True):
                    self._received(tool, call_id, item)
            self._short("handle_responses", stream, **_ANSWERED, **self._usage_on_span(step.usage))
        if not step.tools:
            self._log(
                "codex.agent_response",
                item,
                agent__type="subagent" if self._asker else "main",
                turn__id=self._turn,
                response="done",
                response_length=4,
                **self._parent(),
            )
        self._side_by_side(
            [
                partial(self._call, tool, call_id, item, stop)
                for tool, call_id in zip(step.tools, call_ids, strict=True)
            ],
            (lambda: self._prompt(run)) if step.steered else None,
        )

    def _parent(self) -> dict[str, str]:
        if not self._asker:
            return {}
        parent = self._sent.parents[self._turn]
        return {"parent__turn__id": parent, "parent__conversation__id": self._asker}

    @staticmethod
    def _usage_on_span(usage: Usage) -> dict[str, int]:
        return {
            "gen_ai.usage.input_tokens": usage[0],
            "gen_ai.usage.cache_read.input_tokens": usage[1],
            "gen_ai.usage.cache_write.input_tokens": 0,
            "gen_ai.usage.output_tokens": usage[2],
            "codex.usage.reasoning_output_tokens": usage[3],
        }

    # --- tools ----------------------------------------------------------------------------------------------

    def _side_by_side(self, works: Sequence[Callable[[], None]], also: Callable[[], None] | None) -> None:
        """Do several things at once; what stops one of them stops the rest."""
        begun = self._now
        ends = [begun]
        stopped: Exception | None = None
        for place, work in enumerate(works):
            self._now = begun + place * MILLISECOND
            if place == 0 and also is not None:
                self._wait(3)
                also()
                self._now = begun
            try:
                work()
            except (_KilledError, _StoppedError) as error:
                stopped = error
            ends.append(self._now)
        self._now = max(ends)
        if stopped is not None:
            raise stopped

    def _call_id(self) -> str:
        self._calls += 1
        return f"call_{self._seed}_{self._calls}"

    def _names(self, tool: Tool, call_id: str) -> dict[str, Any]:
        namespace = "collaboration" if tool.agent else "functions"
        return {"tool_name": tool.name, "tool_namespace": namespace, "call_id": call_id}

    def _received(self, tool: Tool, call_id: str, span: Span, cell: str | None = None) -> None:
        said = self._names(tool, call_id)
        if cell is None:
            said["turn_id"] = self._turn
        else:
            said["cell.id"] = cell
        self._event("codex.tool_call_received", span, **said)

    def _call(self, tool: Tool, call_id: str, above: Span, stop: str, source: str = "direct") -> None:
        name = "collaborationspawn_agent" if tool.agent else tool.name
        with (
            self._span("handle_tool_call_with_source", above) as handled,
            self._span(
                name,
                handled,
                tool_name=name,
                conversation__id=self._thread,
                turn__id=self._turn,
                turn_id=self._turn,
                tool_source=source,
                call_id=call_id,
                aborted=stop == "interrupted",
            ) as called,
            self._span("dispatch_tool_call_with_state", called) as dispatch,
        ):
            if tool.agent:
                output = self._agent(tool.agent, dispatch)
            elif tool.nested:
                self._script(tool, call_id, dispatch, stop)
                output = "Script completed"
            else:
                self._command(tool, call_id, dispatch, stop)
                output = f"Process exited with code {int(tool.failed)}"
            self._result(tool, call_id, dispatch, output)

    def _command(self, tool: Tool, call_id: str, dispatch: Span, stop: str) -> None:
        with self._span("unified_exec.exec_command", dispatch) as command:
            session = self._short("unified_exec.open_session", command)
            said = {"decision": "approved", "source": "Config"}
            self._log("codex.tool_decision", session, **self._names(tool, call_id), **said)
            self._wait(tool.milliseconds)
            if stop != "answered":
                raise _KilledError if stop == "killed" else _StoppedError

    def _script(self, tool: Tool, call_id: str, dispatch: Span, stop: str) -> None:
        """Run a script of code mode: each tool that it calls is in a trace of its own."""
        cell = call_id.rpartition("_")[2]
        with self._span(
            "code_mode.handler.execute",
            dispatch,
            **{"conversation.id": self._thread, "cell.id": cell},
            turn_id=self._turn,
            call_id=call_id,
        ):
            self._wait(1)
            works = [partial(self._nested, each, cell, place, stop) for place, each in enumerate(tool.nested)]
            self._side_by_side(works, None)

    def _nested(self, tool: Tool, cell: str, place: int, stop: str) -> None:
        call_id = f"exec-{self._uuid()}"
        about = {"conversation.id": self._thread, "cell.id": cell}
        with (
            self._span("code_mode.grpc.callback", None) as callback,
            self._span("code_mode.broker.invoke_tool", callback, **about) as broker,
        ):
            self._received(tool, call_id, broker, cell)
            dispatched = {**self._names(tool, call_id), "turn_id": self._turn, "cell.id": cell}
            self._event("codex.code_mode.nested_tool_dispatched", broker, **dispatched)
            self._call(tool, call_id, broker, stop, "code_mode")

    def _result(self, tool: Tool, call_id: str, dispatch: Span, output: str) -> None:
        said = {**self._names(tool, call_id), "duration_ms": str(tool.milliseconds), "success": "true"}
        said["output_truncated"] = False
        lengths = {"arguments_length": 2, "output_length": len(output)}
        told = {"agent_name": "/root", "mcp_server": "", "arguments": "{}", "output": output}
        self._both("codex.tool_result", dispatch, {**said, **told}, {**said, **lengths})

    def _agent(self, turn: TurnScript, dispatch: Span) -> str:
        """Start an agent, which works in the trace of the turn that started it, and wait for its end."""
        here = (self._thread, self._asker, self._turn, self._asked)
        self._asker = self._thread
        thread = self._thread = self._uuid()
        try:
            self._init(self._short("thread_spawn", dispatch))
            self._run_turn(turn, dispatch, here[2])
        finally:
            self._thread, self._asker, self._turn, self._asked = here
        return f'{{"agent_id":"{thread}"}}'


def as_logs(records: Sequence[LogRecord]) -> ExportLogsServiceRequest:
    """Return a request that holds log records."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    _attributes(group.resource, _RESOURCE)
    group.scope_logs.add().log_records.extend(records)
    return request


def as_traces(spans: Sequence[Span]) -> ExportTraceServiceRequest:
    """Return a request that holds spans."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    _attributes(group.resource, _RESOURCE)
    group.scope_spans.add().spans.extend(spans)
    return request


_RESOURCE = {"service.name": "codex_exec", "service.version": "0.171.0", "env": "dev"}
