"""Codex's batches in, finished turns out. Pure: no clock, no files, no threads; time is passed in.

`facts` and `traces` keep what Codex says; `resolver` makes turns of it, whenever asked and whatever came
first; `model_calls` puts the calls of a turn in order; `deadlines` says when it is over; `clean_trace` writes
it. This module holds them together.

What leaves depends on the batches and on when they came, and on nothing else: before a batch is taken, every
turn leaves whose time was up before the batch came.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from codex_langfuse.codex.telemetry import (
    CodexEvent,
    CodexSpan,
    Process,
    SpanBatch,
    SpanLink,
    foreign_records,
    read_logs,
    read_spans,
)
from codex_langfuse.nanoseconds import SECOND
from codex_langfuse.relay import clean_trace, names
from codex_langfuse.relay.deadlines import NO_RESULT, awaits_logs, deadline, is_over
from codex_langfuse.relay.facts import Assessment, Cost, Fact, FactReader, Mark, Prompt, ToolEvent
from codex_langfuse.relay.family import Family
from codex_langfuse.relay.model_calls import CallHistory, Standing, history_of
from codex_langfuse.relay.policy import Policy
from codex_langfuse.relay.resolver import Resolved, Resolver
from codex_langfuse.relay.sent_turns import SentTurns
from codex_langfuse.relay.session_info import SessionInfo
from codex_langfuse.relay.traces import Traces
from codex_langfuse.relay.turn import MOST_CHILDREN, Sent, Turn

# Bounds of what is held in memory.
MOST_TURNS = 20_000
MOST_CONVERSATIONS = 40_000
MOST_TRACES = 40_000
MOST_FACTS = 100_000  # of one conversation
#: What spans said of a trace is forgotten after so many seconds when no turn in progress is in it.
FORGET_TRACE = 600.0
#: Seconds for which a request waits for the spans that say whose it is.
PATIENCE = 60.0
#: Seconds after a connection of `codex exec` has closed until its turns are taken to be over.
GONE = 5.0

#: By how many characters the TUI's prompt for naming a conversation is longer than the user's.
_TITLE_OVERHEAD = frozenset({413})
_TITLE_WITHIN = 60 * SECOND
_TELL_WHO = frozenset({"codex.user_prompt", "codex.agent_response"})


@dataclass(frozen=True)
class FinishedTurn:
    """A turn ready to be sent, once.

    key: stable name of the turn, made of identifiers and times only; `already_sent` reads it.
    trace: a serialized ExportTraceServiceRequest.
    summary: one line without content, for the status: "gpt-6.2-sol, 2 model calls, 1 tool, 2500 tokens".
    flags: what does not add up, such as `usage not reported` or `no end seen`.
    record: what `relay --status --json` shows of it. unpriced: tokens that Langfuse is to price, by model and
    kind.
    """

    key: str
    trace: bytes
    summary: str
    flags: tuple[str, ...] = ()
    record: Mapping[str, object] | None = None
    unpriced: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Conversation:
    """A conversation: what was told of it and has not left, and the turns that this makes."""

    id: str
    heard: float
    about: SessionInfo
    old: bool
    facts: dict[tuple[object, ...], Fact] = field(default_factory=dict)
    resolved: Resolved = field(default_factory=Resolved)
    histories: dict[Turn, CallHistory] = field(default_factory=dict)
    due: float | None = None
    batches: set[int] = field(default_factory=set)
    started: tuple[int, bytes] | None = None
    first_prompt: tuple[int, int] | None = None
    over_by: int = 0
    connections: set[str] = field(default_factory=set)
    gone: float | None = None
    mark: Mark | None = None


class Assembly:
    """The turns in progress.

    dropped: how many records came for turns that had left. foreign: how many were of other programs.
    """

    def __init__(self, policy: Policy) -> None:
        self.dropped = 0
        self.foreign = 0
        self._policy = policy
        self._conversations: OrderedDict[str, Conversation] = OrderedDict()
        self._idle = _Idle(self._conversations)
        self._traces = Traces()
        self._sent = SentTurns()
        self._family = Family()
        self._conversation_of: dict[str, str] = {}
        self._tasks: OrderedDict[str, str] = OrderedDict()
        self._assessed: OrderedDict[bytes, tuple[str, str | None]] = OrderedDict()
        self._of_connection: dict[str, set[str]] = {}
        #: The Codexes (service and version) of which turns left that log records told.
        self._senders_of_logs: set[tuple[str | None, str | None]] = set()
        self._ready: list[FinishedTurn] = []
        self._ready_batches: set[int] = set()
        self._heap: list[tuple[float, str]] = []
        self._dirty: dict[str, None] = {}
        self._turn_count = 0
        self._batch = 0
        self._now = 0.0
        self._facts = FactReader(policy)

    # --- what Codex says ------------------------------------------------------------------------------------

    def take(
        self,
        batch_id: int,
        request: ExportLogsServiceRequest | ExportTraceServiceRequest | SpanBatch,
        now: float,
        connection: str = "",
    ) -> None:
        """Feed one accepted batch. Never raises on strange content.

        now: when it was accepted, in seconds on the relay's clock: it never goes back and does not run while
        the relay does not, so only differences between such times mean something. connection: names the TCP
        connection that the batch came by, unlike any other's also after a restart; empty if not known.

        A `SpanBatch` is a traces request by another, quicker way.
        """
        self._begin(batch_id, now)
        if isinstance(request, ExportLogsServiceRequest):
            self.foreign += foreign_records(request)
            for event in read_logs(request):
                self._event(event, connection)
        else:
            self.foreign += request.foreign if isinstance(request, SpanBatch) else 0
            linked: dict[bytes, None] = {}
            for record in read_spans(request):
                if isinstance(record, CodexEvent):
                    self._event(record, connection)
                elif isinstance(record, SpanLink):
                    self._traces.link(record, batch_id, self._now)
                    linked[record.trace_id] = None
                else:
                    self._span(record)
            for trace_id in linked:
                trace = self._traces.get(trace_id)
                for conversation_id in sorted(trace.conversations) if trace is not None else ():
                    if conversation_id in self._conversations:
                        self._dirty[conversation_id] = None
        self._keep_bounds()

    def connection_closed(self, batch_id: int, connection: str, now: float) -> None:
        """Learn that the sender closed a connection, less than 90 s after its last batch.

        90 s is when reqwest, and so Codex, closes an idle connection. So the process behind a `codex exec`
        has ended (seen with SIGINT and kill -9, Codex 0.171), and its turns are over. This is an entry of
        the relay's store as a batch is: it comes after all batches of its connection, is fed again after a
        restart, and stays in the store while `needed_batches` names its `batch_id`. There is none for
        connections that the relay itself closed or that ended with the relay.
        """
        self._begin(batch_id, now)
        for conversation_id in sorted(self._of_connection.pop(connection, ())):
            conversation = self._conversations.get(conversation_id)
            if conversation is None:
                continue
            conversation.connections.discard(connection)
            if conversation.about.service_name == "codex_exec":
                conversation.gone = self._now
                conversation.batches.add(batch_id)
                self._dirty[conversation_id] = None

    def _begin(self, batch_id: int, now: float) -> None:
        self._advance(now)
        self._batch, self._now = batch_id, max(self._now, now)

    def _conversation(self, conversation_id: str, process: Process) -> Conversation:
        conversation = self._conversations.get(conversation_id)
        if conversation is None:
            about = SessionInfo(process)
            conversation = Conversation(conversation_id, self._now, about, about.older_than(0, 131))
            self._conversations[conversation_id] = conversation
        elif conversation.heard != self._now:
            self._conversations.move_to_end(conversation_id)
            conversation.heard = self._now
        return conversation

    def _event(self, event: CodexEvent, connection: str) -> None:
        raw = event.attributes.get("conversation.id")
        if not isinstance(raw, str):
            return
        conversation = self._conversation(names.identifier(raw), event.process)
        if connection:
            if connection not in conversation.connections:
                conversation.connections.add(connection)
                self._of_connection.setdefault(connection, set()).add(conversation.id)
            conversation.gone = None
        if event.trace_id:
            self._traces.meets(event.trace_id, conversation.id, self._now)
        if event.name == "codex.conversation_starts":
            self._starts(conversation, event)
            return
        if event.name in _TELL_WHO:
            conversation.about.who(event)
        fact = self._facts.read(event, self._batch, self._now)
        if fact is not None:
            self._keep(conversation, fact, event)

    def _keep(self, conversation: Conversation, fact: Fact, event: CodexEvent) -> None:
        if isinstance(fact, Mark):
            before = conversation.mark
            if before is not None and before.kind == fact.kind and before.time <= fact.time:
                return
            conversation.mark = fact
        elif not isinstance(fact, ToolEvent):
            conversation.mark = None
        key = (type(fact), event.time, fact.trace_id, fact.span_id, fact.on_span, *fact.same_as())
        if key in conversation.facts or len(conversation.facts) >= MOST_FACTS:
            return
        fact.written, fact.raw = fact.time, event.raw
        conversation.facts[key] = fact
        self._dirty[conversation.id] = None
        if isinstance(fact, Prompt):
            self._traces.prompted(fact.trace_id, conversation.id, fact.time)
            if conversation.first_prompt is None or fact.time < conversation.first_prompt[0]:
                conversation.first_prompt = (fact.time, fact.text.length)
        elif isinstance(fact, ToolEvent):
            self._spawned(conversation, fact)
        elif isinstance(fact, Assessment) and fact.trace_id:
            _remember(self._assessed, fact.trace_id, (conversation.id, fact.turn_id))

    def _starts(self, conversation: Conversation, event: CodexEvent) -> None:
        sent = self._sent.of(conversation.id)
        if sent and event.time <= sent[-1].end and conversation.started is not None:
            return
        conversation.about.starts(event)
        if conversation.started is None or event.time < conversation.started[0]:
            conversation.started = (event.time, event.trace_id)
        conversation.batches.add(self._batch)
        self._dirty[conversation.id] = None

    def _spawned(self, conversation: Conversation, tool: ToolEvent) -> None:
        if tool.spawned is not None:
            self._family.put(tool.spawned, conversation.id)
        if tool.task is not None:
            _remember(self._tasks, tool.task, conversation.id)
        parent = self._tasks.get(tool.agent) if tool.agent is not None else None
        if parent is not None and parent != conversation.id:
            self._family.put(conversation.id, parent)

    def _span(self, span: CodexSpan) -> None:
        if span.kind in {"session_loop", "new_session", "codex.exec"}:
            self._process_ended(span)
            if span.kind != "codex.exec":
                return
        turn_id = span.attributes.get("turn.id") or span.attributes.get("turn_id")
        if isinstance(turn_id, str) and self._sent.holds(names.identifier(turn_id)):
            self.dropped += 1
            self._traces.bury(span, self._batch, self._now)
            return
        for conversation_id in self._traces.add(span, self._batch, self._now):
            if conversation_id in self._conversations:
                self._dirty[conversation_id] = None
            elif span.kind != "codex.exec":
                self._conversation(conversation_id, span.process)
                self._dirty[conversation_id] = None

    def _process_ended(self, span: CodexSpan) -> None:
        """Note that Codex is through with a conversation: no turn of it that began before goes on."""
        found = span.attributes
        raw = found.get("thread_id") or found.get("conversation_id") or found.get("conversation")
        conversation = self._conversations.get(names.identifier(raw)) if isinstance(raw, str) else None
        if conversation is not None:
            conversation.over_by = max(conversation.over_by, span.end)
            conversation.batches.add(self._batch)
            self._dirty[conversation.id] = None

    # --- turns in progress ----------------------------------------------------------------------------------

    def _resolve(self, conversation: Conversation, time: float) -> None:
        facts = conversation.facts
        resolver = Resolver(
            conversation.id, facts.values(), self._traces, self._sent, conversation.old, time - PATIENCE
        )
        self._turn_count -= len(conversation.resolved.turns)
        conversation.resolved = resolved = resolver.resolve()
        self._turn_count += len(resolved.turns)
        if resolved.late:
            for fact in resolved.late:
                if isinstance(fact, Cost):
                    self._late_cost(conversation, fact)
                elif not isinstance(fact, Mark):
                    self.dropped += 1
            self._consume(conversation, resolved.late)
            resolved.late = []
        if unclaimed := [fact for fact in resolved.waiting if fact.heard <= time - PATIENCE]:
            self.dropped += len(unclaimed)
            self._consume(conversation, unclaimed)
            resolved.waiting = [fact for fact in resolved.waiting if fact.heard > time - PATIENCE]
        conversation.histories = {}
        for turn in resolved.turns:
            if turn.turn_id is not None:
                self._conversation_of[turn.turn_id] = conversation.id
            if conversation.over_by and turn.start <= conversation.over_by:
                turn.ended = "the end of the conversation"
            conversation.histories[turn] = history = history_of(turn)
            if conversation.gone is not None:
                turn.gone = True
                turn.heard = max(turn.heard, conversation.gone)
                # Of a complete turn it says nothing: a relay that was killed meanwhile does not know it.
                if not is_over(turn, history):
                    turn.ended = "the process ended"
            self._relate(conversation, turn)

    def _late_cost(self, conversation: Conversation, cost: Cost) -> None:
        """Send what a turn cost after it: Codex 0.149 and newer learn it up to 150 seconds later."""
        sent = self._sent.of_turn(conversation.id, cost.turn_id or "")
        key = f"cost|{conversation.id}|{cost.turn_id}"
        if sent is None or not self._sent.add_cost(key):
            self.dropped += 1
            return
        trace = clean_trace.late_cost(sent, cost, conversation.about, self._policy)
        self._ready.append(FinishedTurn(key, trace, f"cost of a turn sent before, ${cost.usd:.4f}"))
        self._ready_batches.add(cost.batch)

    def _relate(self, conversation: Conversation, turn: Turn) -> None:
        """Learn under which conversation this one runs."""
        above = turn.above
        if above is not None:
            parent = above.conversation or self._conversation_of.get(above.turn_id or "")
            if parent is not None and parent != conversation.id:
                turn_id = above.turn_id or self._caller_of(parent, above.call_id)
                self._family.put(conversation.id, parent, turn_id)
            return
        for trace_id in turn.traces:
            found = self._assessed.get(trace_id)
            if found is not None and found[0] != conversation.id:
                self._family.put(conversation.id, *found)
        if self._family.parent(conversation.id) is None and conversation.started is not None:
            self._adopt(conversation)

    def _caller_of(self, conversation_id: str, call_id: str | None) -> str | None:
        """Return the turn of a conversation in which a tool was called."""
        conversation = self._conversations.get(conversation_id)
        turns = conversation.resolved.turns if conversation is not None else []
        return next((turn.turn_id for turn in turns if call_id in turn.tools), None)

    def _adopt(self, conversation: Conversation) -> None:
        """A conversation that starts in the trace of another, while that starts an agent, is that agent's."""
        assert conversation.started is not None
        time, trace_id = conversation.started
        trace = self._traces.get(trace_id)
        for other_id in sorted(trace.conversations) if trace is not None else ():
            other = self._conversations.get(other_id)
            if other is None or other is conversation:
                continue
            for turn in other.resolved.turns:
                for tool in turn.tools.values():
                    within = tool.begun - SECOND <= time <= (tool.finished or tool.span_end or time) + SECOND
                    if tool.name.endswith("spawn_agent") and within and trace_id in turn.traces:
                        self._family.put(conversation.id, other_id, turn.turn_id)
                        return

    def _above(self, turn: Turn) -> Turn | Sent | None:
        """Return the turn under which this one runs, in progress or gone."""
        known = self._family.parent(turn.conversation)
        if known is None or (turn.spans is not None and turn.spans.begun is not None and turn.above is None):
            return None
        parent, turn_id = known
        if turn.above is not None and turn.above.turn_id is not None:
            turn_id = turn.above.turn_id
        conversation = self._conversations.get(parent)
        in_progress = conversation.resolved.turns if conversation is not None else []
        if turn_id is not None:
            for candidate in in_progress:
                if candidate.turn_id == turn_id:
                    return candidate
            sent = self._sent.of_turn(parent, turn_id)
            if sent is not None:
                return sent
        begun = [candidate for candidate in in_progress if candidate.start <= turn.start]
        if begun:
            return begun[-1]
        gone = [sent for sent in self._sent.of(parent) if sent.start <= turn.start]
        return gone[-1] if gone else None

    def _plan(self, time: float) -> None:
        """Resolve what changed, and see when it is due; too early an entry of the heap is harmless."""
        dirty, self._dirty = list(self._dirty), {}
        family = [each for each in dirty if each in self._conversations]
        for each in family:
            self._resolve(self._conversations[each], time)
        known = set(family)
        for each in family:  # A turn leaves with those below it: all of a family can be due at another time.
            above = self._family.parent(each)
            for other in (*self._family.children(each), *(above[:1] if above is not None else ())):
                if other in self._conversations and other not in known:
                    known.add(other)
                    family.append(other)
        for each in family:
            self._set_due(self._conversations[each])

    def _set_due(self, conversation: Conversation) -> None:
        times = [
            self._deadline(conversation, turn)
            for turn in conversation.resolved.turns
            if not isinstance(self._above(turn), Turn)
        ]
        times += [fact.heard + PATIENCE for fact in conversation.resolved.waiting]
        conversation.due = min(times, default=None)
        if conversation.due is not None:
            heapq.heappush(self._heap, (conversation.due, conversation.id))

    def _deadline(self, conversation: Conversation, turn: Turn) -> float:
        if turn.gone:
            return turn.heard + GONE
        about, history = conversation.about, conversation.histories[turn]
        sends_logs = (about.service_name, about.version) in self._senders_of_logs
        sampled = not self._caller_trace(conversation, turn)
        due = deadline(turn, history, sends_logs, sampled)
        for fact in conversation.resolved.waiting:
            if fact.time <= turn.end:
                # It may be of this turn, and would be late once the turn has left.
                due = max(due, fact.heard + PATIENCE + 1)
        for child, below in self._children_of(turn):
            its_history = below.histories.get(child)
            if its_history and is_over(child, its_history) and awaits_logs(child, its_history, sends_logs):
                due = max(due, self._deadline(below, child))
        place = conversation.resolved.turns.index(turn)
        if place and history.standing is Standing.STARTED and not is_over(turn, history):
            # A prompt and no more may have been written into the turn before it, in which a tool runs.
            return max(due, self._deadline(conversation, conversation.resolved.turns[place - 1]))
        return due

    def next_deadline(self) -> float | None:
        """When `finished` should be asked again at the latest."""
        if self._ready:
            return self._now
        self._plan(self._now)
        while self._heap and not self._is_due(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _is_due(self, time: float, conversation_id: str) -> bool:
        conversation = self._conversations.get(conversation_id)
        return conversation is not None and conversation.due == time

    def finished(self, now: float) -> list[FinishedTurn]:
        """Turns that are complete (or silent for too long) at `now`; each is returned once."""
        self._advance(now)
        self._now = max(self._now, now)
        ready, self._ready = self._ready, []
        self._ready_batches.clear()
        return ready

    def _advance(self, now: float) -> None:
        """Let every turn leave whose time is up by `now`, in the order of those times."""
        self._plan(self._now)
        while self._heap and self._heap[0][0] <= now:
            time, conversation_id = heapq.heappop(self._heap)
            if not self._is_due(time, conversation_id):
                continue
            self._now = max(self._now, time)
            conversation = self._conversations[conversation_id]
            for turn in conversation.resolved.turns:
                if not isinstance(self._above(turn), Turn) and self._deadline(conversation, turn) <= time:
                    self._leave_in_order(conversation, turn)
                    break
            self._dirty[conversation_id] = None
            self._plan(time)
        self._traces.forget_older(now - FORGET_TRACE, MOST_TRACES, self._idle)

    def close(self, now: float) -> list[FinishedTurn]:
        """All turns in progress as they are: nothing more is to come."""
        self._advance(now)
        self._now = max(self._now, now)
        turns = [turn for each in self._conversations.values() for turn in each.resolved.turns]
        for turn in turns:
            turn.ended = turn.ended or "the relay stopped"
        for turn in sorted(turns, key=lambda turn: (self._family.depth(turn.conversation), turn.start)):
            conversation = self._conversations[turn.conversation]
            if turn in conversation.histories:
                self._leave(turn)
        ready, self._ready = self._ready, []
        self._ready_batches.clear()
        return ready

    def needed_batches(self) -> set[int]:
        """Batch ids that unfinished turns still rest on; every other batch fed so far may be forgotten."""
        self._plan(self._now)
        needed = set(self._ready_batches)
        in_use: set[bytes] = set()
        for conversation in self._conversations.values():
            if conversation.resolved.turns or conversation.resolved.waiting:
                needed |= conversation.batches
                for fact in conversation.facts.values():
                    needed.add(fact.batch)
                    in_use.add(fact.trace_id)
            elif not self._sent.of(conversation.id) and self._now - conversation.heard < NO_RESULT:
                needed |= conversation.batches | {fact.batch for fact in conversation.facts.values()}
        return needed | self._traces.batches(in_use)

    def already_sent(self, key: str) -> None:
        """After a restart: a turn that was rendered before; what still arrives for it is dropped."""
        if key.startswith("cost|"):
            self._sent.add_cost(key)
            return
        for part in key.split("\n") if key.startswith("{") else key.split(";"):
            try:
                sent = Sent.from_text(part)
            except ValueError:
                continue
            self._remember_sent(sent)
            self._restore(sent)

    def _remember_sent(self, sent: Sent) -> None:
        self._sent.add(sent)
        if sent.turn_id is not None:
            self._conversation_of[sent.turn_id] = sent.conversation
            while len(self._conversation_of) > 2 * MOST_CONVERSATIONS:
                del self._conversation_of[next(iter(self._conversation_of))]
        for child in sent.children:
            self._family.put(child, sent.conversation, sent.turn_id)
        if sent.session != sent.conversation and self._family.parent(sent.conversation) is None:
            self._family.put(sent.conversation, sent.session)

    def _restore(self, sent: Sent) -> None:
        if not sent.about:
            return
        about, started, first_prompt = SessionInfo.from_text(sent.about)
        if sent.logs:
            self._senders_of_logs.add((about.service_name, about.version))
        conversation = Conversation(sent.conversation, self._now, about, about.older_than(0, 131))
        conversation.started, conversation.first_prompt = started, first_prompt
        self._conversations[sent.conversation] = conversation

    # --- leaving --------------------------------------------------------------------------------------------

    def _leave_in_order(self, conversation: Conversation, turn: Turn) -> None:
        """Let a turn leave, after those before it that only logs tell: by time, these would be late then."""
        for each in conversation.resolved.turns[: conversation.resolved.turns.index(turn)]:
            if (
                each.spans is None
                and each in conversation.histories
                and not isinstance(self._above(each), Turn)
            ):
                self._leave(each)
        if turn in conversation.histories:
            self._leave(turn)

    def _leave(self, turn: Turn) -> None:
        """Render a turn, with those of its sub-agents that have ended, and forget it."""
        above = self._above(turn)
        conversation = self._conversations[turn.conversation]
        self._name_title(conversation, turn)
        if turn.spans is not None:
            conversation.about.labels |= turn.spans.labels()
        session = self._family.top(turn.conversation)
        caller = self._caller_trace(conversation, turn) if above is None else b""
        context = clean_trace.context_of(turn, above if isinstance(above, Sent) else None, session, caller)
        builder = clean_trace.TraceBuilder(self._policy, context, conversation.about, turn.is_title)
        sent = [builder.add_turn(turn, conversation.histories[turn], conversation.about, above is not None)]
        left = [turn]
        self._add_children(builder, turn, sent, left)
        sent = [
            self._with_more(each_sent, each_turn) for each_sent, each_turn in zip(sent, left, strict=True)
        ]
        for each in sent:
            self._remember_sent(each)
        key = "\n".join(each.as_text() for each in sent)
        finished = FinishedTurn(
            *(
                key,
                builder.serialized(),
                builder.summary(),
                builder.flags(),
                builder.record(),
                builder.unpriced(),
            )
        )
        self._ready.append(finished)
        for each_turn in left:
            about = self._conversations[each_turn.conversation].about
            if each_turn.from_logs:
                self._senders_of_logs.add((about.service_name, about.version))
            self._forget(each_turn)
            self._ready_batches |= each_turn.batches

    @staticmethod
    def _caller_trace(conversation: Conversation, turn: Turn) -> bytes:
        """Return the trace of a caller that does not sample: Codex begins the conversation in it, too.

        Otherwise, from 0.113 on, each turn has a trace of its own.
        """
        if turn.spans is not None or conversation.started is None or conversation.about.older_than(0, 113):
            return b""
        begun = conversation.started[1]
        return begun if any(begun) and turn.prompts and turn.prompts[0].trace_id == begun else b""

    def _with_more(self, sent: Sent, turn: Turn) -> Sent:
        conversation = self._conversations[turn.conversation]
        awaited = tuple(
            sorted(
                {fact.span_id.hex() for fact in turn.facts if fact.on_span and fact.TWICE and fact.span_id}
            )
        )
        return replace(
            sent,
            awaited=awaited[:200],
            children=self._family.children(turn.conversation),
            logs=turn.from_logs,
            about=conversation.about.as_text(conversation.started, conversation.first_prompt, self._policy),
        )

    def _add_children(
        self, builder: clean_trace.TraceBuilder, turn: Turn, sent: list[Sent], left: list[Turn]
    ) -> None:
        agent_id = sent[-1].agent_id
        for child, conversation in self._children_of(turn):
            history = conversation.histories[child]
            if len(left) > MOST_CHILDREN:
                return
            if is_over(child, history) or turn.ended is not None:
                child.ended = child.ended or turn.ended
                sent.append(builder.add_turn(child, history, conversation.about, True, agent_id))
                left.append(child)
                self._add_children(builder, child, sent, left)

    def _children_of(self, turn: Turn) -> list[tuple[Turn, Conversation]]:
        """Return the turns in progress right under `turn`, in the order of their beginning."""
        children = [
            (child, conversation)
            for each in self._family.children(turn.conversation)
            if (conversation := self._conversations.get(each)) is not None
            for child in conversation.resolved.turns
            if self._above(child) is turn
        ]
        return sorted(children, key=lambda pair: (pair[0].start, pair[0].key))

    def _forget(self, turn: Turn) -> None:
        conversation = self._conversations[turn.conversation]
        conversation.resolved.turns.remove(turn)
        self._turn_count -= 1
        conversation.histories.pop(turn)
        self._consume(conversation, turn.facts)
        if not conversation.resolved.turns:
            aside = conversation.resolved.aside
            self._consume(conversation, [fact for fact in aside if fact.time <= turn.end])
            conversation.batches.clear()
            conversation.over_by = 0
        traces = turn.traces | {trace.id for trace in self._traces.of(conversation.id)}
        self._traces.forget_turn(turn.turn_id, traces, turn.end, self._idle)
        self._dirty[conversation.id] = None

    @staticmethod
    def _consume(conversation: Conversation, facts: list[Fact]) -> None:
        gone = {id(each) for fact in facts for each in (fact, fact.twin) if each is not None}
        conversation.facts = {key: fact for key, fact in conversation.facts.items() if id(fact) not in gone}

    def _name_title(self, conversation: Conversation, turn: Turn) -> None:
        """Tell the TUI's own prompt, by which it names a conversation, when Codex does not tell prompts."""
        if turn.is_title or not turn.prompts or not turn.prompts[0].hidden:
            return
        about, prompt = conversation.about, turn.prompts[0]
        if about.originator not in {"codex-tui", "codex_cli_rs"} or about.sandbox_policy != "read-only":
            return
        # Just after, and longer than, the first prompt of another; only the newest are looked at.
        for other, _ in zip(reversed(self._conversations.values()), range(8), strict=False):
            if other is not conversation and other.first_prompt is not None:
                began, length = other.first_prompt
                longer = prompt.text.length - length in _TITLE_OVERHEAD
                if 0 <= prompt.time - began <= _TITLE_WITHIN and longer:
                    turn.is_title = True

    # --- bounds ---------------------------------------------------------------------------------------------

    def _keep_bounds(self) -> None:
        """Let the longest-silent turns go, as they are, when there are too many."""
        if (
            self._turn_count + len(self._dirty) <= MOST_TURNS
            and len(self._conversations) <= MOST_CONVERSATIONS
        ):
            return
        self._plan(self._now)
        for conversation in list(self._conversations.values()):
            too_many = len(self._conversations) > MOST_CONVERSATIONS
            if self._turn_count <= MOST_TURNS and not too_many:
                return
            for turn in list(conversation.resolved.turns):
                if turn in conversation.histories:
                    self._leave(turn)
            if too_many:
                del self._conversations[conversation.id]


class _Idle:
    """The conversations that have no turn in progress, as a container."""

    def __init__(self, conversations: OrderedDict[str, Conversation]) -> None:
        self._conversations = conversations

    def __contains__(self, conversation_id: object) -> bool:
        found = self._conversations.get(str(conversation_id))
        return found is None or not found.resolved.turns


def _remember(known: OrderedDict[Any, Any], key: object, value: object) -> None:
    known[key] = value
    known.move_to_end(key)
    while len(known) > MOST_CONVERSATIONS:
        known.popitem(last=False)
