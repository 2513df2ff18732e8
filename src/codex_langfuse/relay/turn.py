"""One turn, put together from what is known of it so far. Times in nanoseconds since 1970."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from codex_langfuse.codex.telemetry import Process
from codex_langfuse.relay.facts import (
    Completion,
    Cost,
    Fact,
    FinalMessage,
    FirstToken,
    Prompt,
    Request,
    Sandbox,
    StreamError,
    Text,
)
from codex_langfuse.relay.traces import Above, SpanTurn

# Bounds of what one turn may hold; what comes beyond is left out, and the turn says so.
MOST_MODEL_CALLS = 5_000
MOST_TOOLS = 5_000
MOST_NOTICES = 1_000
MOST_CHILDREN = 200


@dataclass(slots=True)
class Attempt:
    """One request to the model, and what the events after it tell of its answer.

    span: the model call on spans that it belongs to. first: its place among all facts. warm: it only warmed
    the connection.
    """

    request: Request | None = None
    completion: Completion | None = None
    error: StreamError | None = None
    first_output: int | None = None
    text: int | None = None
    call: int | None = None
    done: int | None = None
    warm: bool = False
    span: bytes | None = None
    compaction: bool = False
    facts: list[Fact] = field(default_factory=list)

    @property
    def time(self) -> int:
        """When it began, as far as is known."""
        if self.request is not None:
            return self.request.time - self.request.duration
        return self.facts[0].time if self.facts else 0


@dataclass(slots=True)
class Tool:
    """One call of a tool.

    script: the call id of the script of code mode that made it. asked_by: the span of the model call that
    asked for it.
    """

    call_id: str
    name: str = "tool"
    announced: int | None = None
    decided: int | None = None
    decision: str | None = None
    source: str | None = None
    finished: int | None = None
    duration: int | None = None
    success: bool | None = None
    exit_code: int | None = None
    phrase: str | None = None
    arguments: Text | None = None
    output: Text | None = None
    mcp_server: str | None = None
    span_start: int | None = None
    span_end: int | None = None
    aborted: bool = False
    cell: str | None = None
    script: str | None = None
    asked_by: bytes | None = None

    @property
    def pending(self) -> bool:
        """Whether it is still to end."""
        return self.finished is None and self.span_end is None

    @property
    def refused(self) -> bool:
        """Whether it may not run."""
        return self.decision in {"denied", "abort"}

    @property
    def nested(self) -> bool:
        """Whether a script of code mode made the call."""
        return self.cell is not None or self.call_id.startswith("exec-")

    @property
    def begun(self) -> int:
        """When it began, as far as is known."""
        if self.finished is not None:
            return self.finished - (self.duration or 0)
        return self.span_start or self.announced or self.decided or 0


@dataclass(slots=True, frozen=True)
class Sent:
    """A turn that has left: enough to recognise what comes late, and to place what belongs under it.

    start, end: time of its first and last record. final: whether Codex itself said that it had ended.
    codex_traces: the trace ids of Codex it was in. awaited: the spans, in hexadecimal, whose log records had
    not come. trace_id, agent_id: where it is in Langfuse. session: the conversation at the top. children: the
    conversations of its sub-agents. about: what was known of the conversation when it left. logs: whether
    log records told of it.
    """

    conversation: str
    turn_id: str | None
    start: int
    end: int
    final: bool
    codex_traces: tuple[str, ...]
    trace_id: str
    agent_id: str
    session: str
    awaited: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    about: str = ""
    logs: bool = False

    def as_text(self) -> str:
        """Return it in one line, which `from_text` reads."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Sent:
        """Read what `as_text` wrote, in this version or in 0.1.0; raises `ValueError` for anything else."""
        if not text.startswith("{"):
            return cls._from_0_1_0(text)
        found = json.loads(text)
        for key in ("codex_traces", "awaited", "children"):
            found[key] = tuple(found.get(key, ()))
        try:
            sent = cls(**found)
        except TypeError as error:
            raise ValueError(str(error)) from error
        bytes.fromhex(sent.trace_id), bytes.fromhex(sent.agent_id)
        return sent

    @classmethod
    def _from_0_1_0(cls, text: str) -> Sent:
        conversation, turn_id, start, end, final, traces, trace_id, agent_id, session = text.split("|")
        codex_traces = tuple(trace for trace in traces.split(",") if trace)
        bytes.fromhex(trace_id), bytes.fromhex(agent_id), [bytes.fromhex(each) for each in codex_traces]
        return cls(
            *(conversation, turn_id or None, int(start), int(end), final == "1"),
            *(codex_traces, trace_id, agent_id, session),
        )


@dataclass(slots=True, eq=False)
class Turn:
    """What is known of a turn; made again whenever more is known.

    heard: when (seconds) the relay last got something of it. next_prompt: a later turn of the conversation
    has begun. ended: why nothing more comes. gone: the process that ran it is gone.
    """

    conversation: str
    turn_id: str | None = None
    spans: SpanTurn | None = None
    start: int = 0
    end: int = 0
    heard: float = 0.0
    batches: set[int] = field(default_factory=set)
    traces: set[bytes] = field(default_factory=set)
    facts: list[Fact] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    tools: dict[str, Tool] = field(default_factory=dict)
    sandbox: list[Sandbox] = field(default_factory=list)
    answer: FinalMessage | None = None
    cost: Cost | None = None
    first_tokens: list[FirstToken] = field(default_factory=list)
    above: Above | None = None
    process: Process | None = None
    next_prompt: bool = False
    goes_on: bool = False
    ended: str | None = None
    gone: bool = False
    continues: Sent | None = None
    is_title: bool = False
    left_out: int = 0

    @property
    def key(self) -> str:
        """The name of the turn in its conversation: Codex's id of it, else its beginning."""
        return self.turn_id or f"at-{self.start}"

    @property
    def kind(self) -> str:
        """`turn`, `review` or `compact`: the task that Codex ran."""
        task = self.spans.task if self.spans is not None else None
        return task.kind.removeprefix("session_task.") if task is not None else "turn"

    @property
    def closed(self) -> bool:
        """Whether Codex itself said that the turn had ended."""
        return self.spans is not None and self.spans.task is not None

    @property
    def from_logs(self) -> bool:
        """Whether any log record told of it."""
        return any(not fact.on_span for fact in self.facts)

    @property
    def from_spans(self) -> bool:
        """Whether any span told of it."""
        return self.spans is not None or any(fact.on_span or fact.twin is not None for fact in self.facts)

    def add(self, fact: Fact) -> None:
        """Note a fact, and stretch the turn so that it lies within."""
        self.facts.append(fact)
        for each in (fact, fact.twin):
            if each is not None:
                self.batches.add(each.batch)
                self.heard = max(self.heard, each.heard)
        if fact.trace_id:
            self.traces.add(fact.trace_id)
        if not self.start or fact.time < self.start:
            self.start = fact.time
        self.end = max(self.end, fact.time)

    def tool(self, call_id: str) -> Tool | None:
        """Return the tool call of that id, new if need be; None when there are too many."""
        tool = self.tools.get(call_id)
        if tool is None:
            if len(self.tools) >= MOST_TOOLS:
                self.left_out += 1
                return None
            tool = self.tools[call_id] = Tool(call_id)
        return tool
