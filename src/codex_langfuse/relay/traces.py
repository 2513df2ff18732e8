"""What Codex's spans say of turns: which span belongs to which turn, by its parents and by Codex's ids.

Spans leave when they end, so a parent comes after its children, and sometimes in a later batch. Nothing is
decided as spans arrive: `Traces` keeps them, and reads turns out of them when it is asked.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from codex_langfuse.codex.telemetry import CodexSpan, Process, SpanLink
from codex_langfuse.relay import names
from codex_langfuse.relay.usage import Usage

TASKS = frozenset({"session_task.turn", "session_task.review", "session_task.compact"})
#: Spans under which a conversation is made shorter, by a model call that has no span of its own.
_COMPACTIONS = frozenset({"run_auto_compact", "session_task.compact"})
_CALLS = _COMPACTIONS | {"try_run_sampling_request"}
#: Spans that everything of a turn is under.
_TOPS = TASKS | {"run_turn", "codex.turn_input"}
#: Spans that say in which turn, and in which part of it, the spans and events below them are.
_PLACES = TASKS | {
    *("try_run_sampling_request", "run_auto_compact", "run_turn", "codex.turn_input", "turn/start"),
    *("model_client.stream_responses_websocket", "startup_prewarm", "code_mode.broker.invoke_tool", "tool"),
}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)
_TOKENS = "codex.turn.token_usage."
#: By the request id that the TUI (0.150 to 0.171) gives when it has a conversation named.
_TITLE_REQUEST = "temporary-structured-turn"
_DEEPEST = 256


@dataclass(slots=True)
class KeptSpan:
    """A span, when it came (seconds since 1970) and with which batch."""

    span: CodexSpan
    heard: float
    batch: int
    owner: str | None = None

    def text(self, key: str) -> str | None:
        """Return an attribute that is an id."""
        value = self.span.attributes.get(key)
        return names.identifier(value) if isinstance(value, str) and value else None

    @property
    def turn_id(self) -> str | None:
        """Codex's id of the turn; versions before 0.110 count turns, which names none of them."""
        found = self.span.attributes.get("turn.id") or self.span.attributes.get("turn_id")
        return found if isinstance(found, str) and _UUID.fullmatch(found) else None

    @property
    def conversation(self) -> str | None:
        """The conversation that the span names."""
        return self.text("conversation.id") or self.text("conversation")


@dataclass(slots=True)
class Call:
    """A model call as spans tell it: `try_run_sampling_request`, or the compaction of a conversation.

    streamed: when the answer ended, by `receiving_stream`. usage: None where spans do not tell it.
    """

    span: CodexSpan
    compaction: bool = False
    streamed: int | None = None
    first_output: int | None = None
    completed: int | None = None
    usage: Usage | None = None
    effort: str | None = None

    @property
    def model(self) -> str | None:
        """The model asked."""
        found = self.span.attributes.get("model")
        return names.model(found) if isinstance(found, str) else None


@dataclass(slots=True)
class Above:
    """The turn under which another one runs.

    call_id: the tool call that started it. kind: the name of what runs below.
    """

    turn_id: str | None
    conversation: str | None
    call_id: str | None = None
    kind: str = "sub-agent"


@dataclass(slots=True, eq=False)
class SpanTurn:
    """One turn, as far as its spans have come. caller: the span outside Codex that asked for it."""

    turn_id: str
    conversation: str | None = None
    task: CodexSpan | None = None
    ran: CodexSpan | None = None
    begun: CodexSpan | None = None
    first: int = 0
    last: int = 0
    calls: dict[bytes, Call] = field(default_factory=dict)
    tools: dict[str, CodexSpan] = field(default_factory=dict)
    #: The model call (a span id) that asked for a tool, and the script (call id) that made a nested call.
    asked_by: dict[str, bytes] = field(default_factory=dict)
    cells: dict[str, list[CodexSpan]] = field(default_factory=dict)
    above: Above | None = None
    caller: bytes = b""
    is_title: bool = False
    #: Whether any span of the turn itself has come: calls that a script made are in traces of their own.
    whole: bool = False
    traces: set[bytes] = field(default_factory=set)
    batches: set[int] = field(default_factory=set)
    heard: float = 0.0
    process: Process | None = None

    def usage(self) -> Usage | None:
        """Return Codex's own sum; None when it told none, as of a turn that was interrupted."""
        found = self.task.attributes if self.task is not None else {}
        if f"{_TOKENS}total_tokens" not in found:
            return None
        parts = ("input", "cached_input", "cache_write_input", "output", "reasoning_output")
        return Usage(*(names.count(found.get(f"{_TOKENS}{part}_tokens")) or 0 for part in parts))

    def labels(self) -> dict[str, str]:
        """Return what the caller says of the turn in `[otel.span_attributes]`."""
        spans = (*(call.span for call in self.calls.values()), self.ran, self.task)
        return {key: value for span in spans if span for key, value in span.labels}

    def script_of(self, cell: str, time: int) -> str | None:
        """Return the call id of the script of code mode that ran in `cell` at `time`."""
        scripts = self.cells.get(cell, [])
        begun = [each for each in scripts if each.start <= time] or scripts
        return names.identifier(str(begun[-1].attributes.get("call_id"))) if begun else None


@dataclass(slots=True)
class Trace:
    """The spans of one of Codex's traces."""

    id: bytes
    heard: float
    links: dict[bytes, bytes] = field(default_factory=dict)
    spans: dict[bytes, KeptSpan] = field(default_factory=dict)
    conversations: set[str] = field(default_factory=set)
    batches: set[int] = field(default_factory=set)
    #: Of turns that have left, the spans that all others of the turn are under.
    gone: dict[bytes, KeptSpan] = field(default_factory=dict)
    #: The first prompt in it: when, and in which conversation.
    spoke: tuple[int, str] | None = None

    def upward(self, span_id: bytes) -> Iterator[KeptSpan]:
        """Yield the kept spans from `span_id` upward, itself included."""
        for _ in range(_DEEPEST):
            kept = self.spans.get(span_id) or self.gone.get(span_id)
            if kept is not None:
                yield kept
            parent = self.links.get(span_id)
            if not parent:
                return
            span_id = parent

    def place(self, span_id: bytes) -> KeptSpan | None:
        """Return the nearest span that says in which part of a turn `span_id` is."""
        for kept in self.upward(span_id):
            kind = kept.span.kind
            if kind == "model_client.stream_responses_websocket":
                if kept.span.attributes.get("websocket.warmup") is True:
                    return kept
            elif kind in _PLACES:
                return kept
        return None


class Traces:
    """The spans that are kept, by trace. Bounded: the links of the oldest traces are forgotten first."""

    #: Links kept in all traces together, at about 200 bytes each.
    MOST_LINKS = 500_000

    def __init__(self) -> None:
        self._traces: OrderedDict[bytes, Trace] = OrderedDict()
        self._links = 0
        self._of_conversation: dict[str, set[bytes]] = {}

    def get(self, trace_id: bytes) -> Trace | None:
        """Return a trace; None if nothing of it is kept."""
        return self._traces.get(trace_id)

    def _trace(self, trace_id: bytes, heard: float) -> Trace:
        trace = self._traces.get(trace_id)
        if trace is None:
            trace = self._traces[trace_id] = Trace(trace_id, heard)
        elif trace.heard != heard:
            trace.heard = heard
            self._traces.move_to_end(trace_id)
        return trace

    def link(self, link: SpanLink, batch: int, heard: float) -> None:
        """Keep the parent of a span."""
        trace = self._trace(link.trace_id, heard)
        if link.span_id not in trace.links:
            trace.links[link.span_id] = link.parent_id
            trace.batches.add(batch)
            self._links += 1
            while self._links > self.MOST_LINKS:
                oldest = next(each for each in self._traces.values() if each.links)
                self._links -= len(oldest.links)
                oldest.links.clear()

    def add(self, span: CodexSpan, batch: int, heard: float) -> set[str]:
        """Keep a span; return the conversations whose turns it may change."""
        trace = self._trace(span.trace_id, heard)
        kept = trace.spans.get(span.span_id)
        if kept is None:
            kept = trace.spans[span.span_id] = KeptSpan(span, heard, batch)
            trace.batches.add(batch)
        conversation = kept.conversation
        if conversation is not None:
            self.meets(span.trace_id, conversation, heard)
        return trace.conversations

    def meets(self, trace_id: bytes, conversation: str, heard: float) -> None:
        """Note that something of the conversation is in the trace."""
        trace = self._trace(trace_id, heard)
        if conversation not in trace.conversations:
            trace.conversations.add(conversation)
            self._of_conversation.setdefault(conversation, set()).add(trace_id)

    def prompted(self, trace_id: bytes, conversation: str, time: int) -> None:
        """Note a prompt in the trace: the first one is of the turn that the trace began with."""
        trace = self._traces.get(trace_id)
        if trace is not None and (trace.spoke is None or (time, conversation) < trace.spoke):
            trace.spoke = (time, conversation)

    def of(self, conversation: str) -> list[Trace]:
        """Return the traces that something of the conversation is in."""
        found = (self._traces.get(each) for each in sorted(self._of_conversation.get(conversation, ())))
        return [trace for trace in found if trace is not None]

    def place(self, trace_id: bytes, span_id: bytes) -> KeptSpan | None:
        """Return the span that says in which part of which turn a span is."""
        trace = self._traces.get(trace_id)
        return trace.place(span_id) if trace is not None and span_id else None

    def forget_turn(self, turn_id: str | None, traces: set[bytes], end: int, idle: Container[str]) -> None:
        """Forget the spans of a turn that has left.

        idle: conversations without a turn in progress; in their traces what no turn owns goes, too.
        """
        for trace_id in traces:
            trace = self._traces.get(trace_id)
            if trace is None:
                continue
            none_else = all(each in idle for each in trace.conversations)
            for span_id, kept in list(trace.spans.items()):
                owner = self._owner(trace, kept)
                if owner == turn_id if owner is not None else none_else and kept.span.start <= end:
                    del trace.spans[span_id]
                    if owner is not None:
                        self._bury(trace, kept)

    def bury(self, span: CodexSpan, batch: int, heard: float) -> None:
        """Note a span of a turn that has left: what is below it belongs to that turn, and to no other."""
        self._bury(self._trace(span.trace_id, heard), KeptSpan(span, heard, batch))

    @staticmethod
    def _bury(trace: Trace, kept: KeptSpan) -> None:
        if kept.span.kind in _TOPS and kept.turn_id is not None:
            kept.owner = kept.turn_id
            trace.gone[kept.span.span_id] = kept

    def batches(self, in_use: Container[bytes]) -> set[int]:
        """Return the batches of traces that hold spans of turns in progress, or facts (`in_use`)."""
        found = (each.batches for each in self._traces.values() if each.spans or each.id in in_use)
        return set().union(*found)

    def forget_older(self, heard: float, most: int, idle: Container[str]) -> None:
        """Forget traces that were last heard of before `heard` (seconds), or beyond `most`.

        Not those with a turn in progress: of a conversation that is not `idle`.
        """
        while self._traces:
            trace_id, trace = next(iter(self._traces.items()))
            if trace.heard >= heard and len(self._traces) <= most:
                return
            if not all(each in idle for each in trace.conversations) and len(self._traces) <= most:
                self._traces.move_to_end(trace_id)
                trace.heard = heard
                continue
            self._links -= len(trace.links)
            del self._traces[trace_id]
            for conversation in trace.conversations:
                known = self._of_conversation.get(conversation)
                if known is not None:
                    known.discard(trace_id)
                    if not known:
                        del self._of_conversation[conversation]

    # --- turns ----------------------------------------------------------------------------------------------

    @staticmethod
    def _owner(trace: Trace, kept: KeptSpan) -> str | None:
        """Return the turn that a span belongs to: the one it names, else that of the nearest span above."""
        if kept.owner is None:
            kept.owner = next(
                (each.turn_id for each in trace.upward(kept.span.span_id) if each.turn_id), None
            )
        return kept.owner

    def turns(self, conversation: str) -> tuple[list[SpanTurn], dict[str, CodexSpan]]:
        """Return the turns of a conversation that its spans tell, in the order of their beginning.

        Also the spans of tool calls, by call id, that name no turn (nested calls of Codex 0.163 and older).
        """
        found: dict[str, SpanTurn] = {}
        loose: dict[str, CodexSpan] = {}
        for trace in self.of(conversation):
            for kept in trace.spans.values():
                turn_id = self._owner(trace, kept)
                if turn_id is None:
                    if kept.span.kind == "tool" and kept.conversation in {conversation, None}:
                        loose[names.identifier(str(kept.span.attributes["call_id"]))] = kept.span
                    continue
                turn = found.get(turn_id)
                if turn is None:
                    turn = found[turn_id] = SpanTurn(turn_id)
                self._read(turn, trace, kept)
        mine = [turn for turn in found.values() if turn.conversation in {conversation, None}]
        return sorted(mine, key=lambda turn: (turn.first, turn.turn_id)), loose

    def _read(self, turn: SpanTurn, trace: Trace, kept: KeptSpan) -> None:
        span = kept.span
        kind = span.kind
        turn.traces.add(trace.id)
        turn.batches.add(kept.batch)
        turn.heard = max(turn.heard, kept.heard)
        turn.process = turn.process or span.process
        turn.conversation = turn.conversation or (kept.conversation if kept.turn_id else None)
        if kind not in {"turn/start", "codex.exec", "guardian_review"}:
            turn.first = min(turn.first or span.start, span.start)
            turn.last = max(turn.last, span.end)
        if kind != "tool" and not kind.startswith("code_mode."):
            turn.whole = True
        if kind in _CALLS:
            turn.calls.setdefault(span.span_id, Call(span, kind in _COMPACTIONS))
        if kind in TASKS:
            turn.task = span
            self._look_above(turn, trace, span.span_id)
        elif kind in {"run_turn", "codex.turn_input"}:
            if kind == "run_turn":
                turn.ran = span
            if turn.above is None and not turn.caller:
                self._look_above(turn, trace, span.span_id)
        elif kind == "turn/start":
            turn.begun = span
            turn.is_title = str(span.attributes.get("rpc.request_id", "")).startswith(_TITLE_REQUEST)
            if span.parent_id and any(span.parent_id) and span.parent_id not in trace.spans:
                turn.caller = span.parent_id
        elif kind in {"receiving_stream", "handle_responses"}:
            self._stream(turn, trace, span)
        elif kind == "tool":
            self._tool(turn, trace, span)
        elif kind == "code_mode.handler.execute":
            cell = turn.cells.setdefault(names.identifier(str(span.attributes.get("cell.id", ""))), [])
            cell.append(span)
            cell.sort(key=lambda each: each.start)

    def _call_above(self, turn: SpanTurn, trace: Trace, span_id: bytes) -> Call | None:
        for kept in trace.upward(span_id):
            if kept.span.kind in _CALLS:
                return turn.calls.setdefault(
                    kept.span.span_id, Call(kept.span, kept.span.kind in _COMPACTIONS)
                )
        return None

    def _stream(self, turn: SpanTurn, trace: Trace, span: CodexSpan) -> None:
        call = self._call_above(turn, trace, span.span_id)
        if call is None:
            return
        if span.kind == "receiving_stream":
            call.streamed = span.end
            return
        found = span.attributes
        if "from" in found:
            call.first_output = min(call.first_output or span.start, span.start)
        if "gen_ai.usage.input_tokens" not in found:
            return
        effort = found.get("codex.request.reasoning_effort")
        call.effort = names.choice(effort, names.REASONING_EFFORTS) if isinstance(effort, str) else None
        call.completed = span.start
        call.usage = Usage(
            names.count(found.get("gen_ai.usage.input_tokens")) or 0,
            names.count(found.get("gen_ai.usage.cache_read.input_tokens")) or 0,
            names.count(found.get("gen_ai.usage.cache_write.input_tokens")) or 0,
            names.count(found.get("gen_ai.usage.output_tokens")) or 0,
            names.count(found.get("codex.usage.reasoning_output_tokens")) or 0,
        )

    def _tool(self, turn: SpanTurn, trace: Trace, span: CodexSpan) -> None:
        call_id = names.identifier(str(span.attributes["call_id"]))
        turn.tools[call_id] = span
        for kept in trace.upward(span.span_id):
            if kept.span.kind == "try_run_sampling_request":
                turn.asked_by[call_id] = kept.span.span_id
                return

    def _look_above(self, turn: SpanTurn, trace: Trace, span_id: bytes) -> None:
        """Find what a turn runs under: a tool call of another, a review, or the guardian."""
        for kept in trace.upward(span_id):
            kind, turn_id = kept.span.kind, kept.turn_id
            if kind == "tool" and turn_id is None:
                turn_id = self._owner(trace, kept)
            if kind == "guardian_review":
                turn.above = Above(None, kept.text("thread_id"), kept.text("tool_call_id"), "guardian")
                return
            if turn_id is not None and turn_id != turn.turn_id and kind in TASKS | {"tool"}:
                call_id = kept.text("call_id") if kind == "tool" else None
                reviewed = kind == "session_task.review"
                turn.above = Above(
                    turn_id, kept.conversation, call_id, "reviewer" if reviewed else "sub-agent"
                )
                return
