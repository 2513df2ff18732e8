"""What is known of one turn: small facts taken out of Codex's records. Times in nanoseconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass, field

# Bounds of what one turn may hold; what comes beyond is left out, and the turn says so.
MOST_MODEL_CALLS = 5_000
MOST_TOOLS = 5_000
MOST_NOTICES = 1_000
MOST_MARKS = 20_000
MOST_CHILDREN = 200
#: Characters kept of one prompt, answer, argument or output, where the content mode lets it out.
LONGEST_TEXT = 65_536
#: Characters of all texts of one turn together.
MOST_TEXT = 4_000_000


@dataclass(slots=True)
class Text:
    """A text by its length, and itself only where the policy may let it out."""

    length: int
    text: str | None = None


@dataclass(slots=True)
class Prompt:
    """What the user (or, for a sub-agent, the agent above) asked."""

    time: int
    text: Text
    on_span: bool
    trace_id: bytes = b""


@dataclass(slots=True)
class Request:
    """One attempt at a model request. status: of HTTP; None for a websocket or when no answer came."""

    time: int
    ok: bool
    status: int | None
    attempt: int | None
    duration: int
    phrase: str | None
    message: str | None
    model: str | None
    on_span: bool


@dataclass(slots=True)
class Usage:
    """Tokens as Codex counts them: input holds cached and cache-write ones, output holds reasoning."""

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0

    def details(self) -> dict[str, int]:
        """Return the parts, each token in one of them, under Langfuse's names; `total` is their sum."""
        cached = min(self.cached, self.input)
        written = min(self.cache_write, self.input - cached)
        reasoning = min(self.reasoning, self.output)
        parts = {
            "input": self.input - cached - written,
            "input_cached_tokens": cached,
            "input_cache_creation": written,
            "output": self.output - reasoning,
            "output_reasoning_tokens": reasoning,
        }
        parts["total"] = sum(parts.values())
        return parts

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.cached + other.cached,
            self.cache_write + other.cache_write,
            self.output + other.output,
            self.reasoning + other.reasoning,
        )


@dataclass(slots=True)
class Completion:
    """A model's answer that came to its end, with what it used."""

    time: int
    usage: Usage
    model: str | None = None
    effort: str | None = None
    on_span: bool = False


@dataclass(slots=True)
class StreamError:
    """The answer of a model broke off."""

    time: int
    phrase: str | None
    message: str | None
    on_span: bool


@dataclass(slots=True)
class Tool:
    """One call of a tool."""

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

    @property
    def pending(self) -> bool:
        """Whether it is still to end."""
        return self.finished is None and self.span_end is None


@dataclass(slots=True)
class SandboxOutcome:
    """What the sandbox did to a command."""

    time: int
    tool: str
    outcome: str
    initial: int | None
    escalated: int | None


@dataclass(slots=True)
class Cost:
    """What the provider says a turn costs."""

    time: int
    usd: float
    interrupted: bool


@dataclass(slots=True)
class Total:
    """Codex's own end of a turn: the span `session_task.turn`."""

    start: int
    end: int
    usage: Usage | None


@dataclass(slots=True, frozen=True)
class Sent:
    """A turn that has left: enough to drop what comes late, and to place a late cost in its trace.

    conversation, turn_id: identifiers. end: time of its last record. final: whether Codex itself said that it
    had ended. codex_traces: the trace ids of Codex it was in, in hexadecimal. trace_id, agent_id: where it is
    in Langfuse. session: the conversation at the top.
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

    def as_text(self) -> str:
        """Return it in one word, which `from_text` reads."""
        fields = (
            *(
                self.conversation,
                self.turn_id or "",
                str(self.start),
                str(self.end),
                "1" if self.final else "0",
            ),
            *(",".join(self.codex_traces), self.trace_id, self.agent_id, self.session),
        )
        return "|".join(fields)

    @classmethod
    def from_text(cls, text: str) -> Sent:
        """Read what `as_text` wrote; raises `ValueError` for anything else."""
        conversation, turn_id, start, end, final, traces, trace_id, agent_id, session = text.split("|")
        codex_traces = tuple(trace for trace in traces.split(",") if trace)
        bytes.fromhex(trace_id), bytes.fromhex(agent_id), [bytes.fromhex(each) for each in codex_traces]
        return cls(
            *(conversation, turn_id or None, int(start), int(end), final == "1"),
            *(codex_traces, trace_id, agent_id, session),
        )


@dataclass(slots=True, eq=False)
class Turn:
    """A turn in progress.

    last_heard: when (seconds) the relay last got something of it; the only clock deadlines go by.
    """

    conversation: str
    number: int
    last_heard: float
    last_batch: int | None = None
    turn_id: str | None = None
    start: int = 0
    end: int = 0
    from_logs: bool = False
    from_spans: bool = False
    prompts: dict[int, Prompt] = field(default_factory=dict)
    requests: dict[tuple[int, bool], Request] = field(default_factory=dict)
    completions: dict[int, Completion] = field(default_factory=dict)
    stream_errors: dict[tuple[int, bool], StreamError] = field(default_factory=dict)
    first_outputs: list[int] = field(default_factory=list)
    streaming: bool = False
    saying: bool = False
    dones: list[int] = field(default_factory=list)
    said: list[int] = field(default_factory=list)
    calls_announced: list[int] = field(default_factory=list)
    tools: dict[str, Tool] = field(default_factory=dict)
    sandbox: dict[tuple[str, str], SandboxOutcome] = field(default_factory=dict)
    cost: Cost | None = None
    answer: Text | None = None
    answered: int | None = None
    first_token_after: int | None = None
    total: Total | None = None
    model: str | None = None
    effort: str | None = None
    traces: set[bytes] = field(default_factory=set)
    batches: set[int] = field(default_factory=set)
    conversation_ended: bool = False
    successor: Turn | None = None
    continues: Sent | None = None
    is_title: bool = False
    relay_stopped: bool = False
    children: list[Turn] = field(default_factory=list)
    texts: int = 0
    left_out: int = 0

    def at(self, time: int) -> None:
        """Stretch the turn so that `time` lies within it."""
        if time:
            if not self.start or time < self.start:
                self.start = time
            if time > self.end:
                self.end = time

    def tool(self, call_id: str) -> Tool | None:
        """Return the tool call of that id, new if need be; None when there are too many."""
        tool = self.tools.get(call_id)
        if tool is None:
            if len(self.tools) >= MOST_TOOLS:
                self.left_out += 1
                return None
            tool = self.tools[call_id] = Tool(call_id)
        return tool
