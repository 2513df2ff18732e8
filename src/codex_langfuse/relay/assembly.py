"""Codex's batches in, finished turns out. Pure: no clock, no files, no threads; time is passed in.

Codex's logs tell what happened, by conversation, and say nothing of turns; its spans tell turns, and which
trace they are in. Either may be missing, come first, come twice or come late. So everything is taken apart
into small facts (`turn.py`), each put to the turn it belongs to: by the id of the turn, else by the trace it
was written in, else by its time. When a turn has ended is told by Codex's span `session_task.turn`; without
it, by what the last facts are and how long nothing has come (`SETTLE` and the other limits below).
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from dataclasses import dataclass, field

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from codex_langfuse.codex.telemetry import CodexEvent, CodexSpan, Process, SpanBatch, read_logs, read_spans
from codex_langfuse.relay import clean_trace, names
from codex_langfuse.relay.facts import FactReader, prompt_in, read_completion, read_total
from codex_langfuse.relay.model_calls import Course, Sampling, Standing, TraceFacts, course_of
from codex_langfuse.relay.policy import Policy
from codex_langfuse.relay.sent_turns import SentTurns, made_within
from codex_langfuse.relay.surroundings import Surroundings
from codex_langfuse.relay.turn import MOST_CHILDREN, MOST_MODEL_CALLS, Cost, Sent, Turn

MILLISECOND = 1_000_000
SECOND = 1_000 * MILLISECOND

# How long (seconds) after the last batch a turn is taken to be over, by what is known of it. Codex sends logs
# every second and spans every five.
SETTLE = 5.0  # Codex said that it is over; or, by logs alone, it surely is
SETTLE_FOR_SPANS = 12.0  # it surely is, and Codex also sends spans, which are still to come
UNSURE = 30.0  # the model has answered, and nothing tells whether it called a tool
UNSURE_FOR_SPANS = 60.0
AFTER_ERROR = 60.0  # the last thing heard is an error; Codex may try again
NO_ANSWER = 600.0  # the model was asked and nothing came (Codex itself gives up after 300 s)
NO_RESULT = 3_600.0  # a tool runs, or a person has not yet decided whether it may

# Bounds of what is held in memory.
MOST_TURNS = 20_000
MOST_CONVERSATIONS = 40_000
MOST_TRACES = 40_000
#: What spans said of a trace is forgotten after so many seconds when no turn in progress is in it.
FORGET_TRACE = 600.0

#: By the request id the TUI (0.150 to 0.169) gives when it has a conversation named, and by how many
#: characters its prompt for that is longer than the user's.
_TITLE_REQUEST = "temporary-structured-turn"
_TITLE_OVERHEAD = frozenset({413})
_TITLE_WITHIN = 60 * SECOND
_TELL_WHO = frozenset({"codex.user_prompt", "codex.agent_response"})
_OVER = frozenset({Standing.ANSWERED, Standing.PERHAPS})


@dataclass(frozen=True)
class FinishedTurn:
    """A turn ready to be sent, once.

    key: stable name of the turn, made of identifiers and times only; `already_sent` reads it.
    trace: a serialized ExportTraceServiceRequest.
    summary: one line without content, for the status: "gpt-5-codex, 2 model calls, 1 tool, 2500 tokens".
    """

    key: str
    trace: bytes
    summary: str


@dataclass(slots=True, eq=False)
class Conversation:
    """A conversation and its turns in progress, oldest first."""

    id: str
    last_heard: float
    about: Surroundings
    open: list[Turn] = field(default_factory=list)
    turns_seen: int = 0
    parent: str | None = None
    started_in: bytes = b""
    started_at: int = 0
    batches: set[int] = field(default_factory=set)
    first_prompt: tuple[int, int] | None = None


class Assembly:
    """The turns in progress.

    dropped: how many records came for turns that had left.
    """

    def __init__(self, policy: Policy) -> None:
        self.dropped = 0
        self._policy = policy
        self._conversations: OrderedDict[str, Conversation] = OrderedDict()
        self._turns_by_id: dict[str, Turn] = {}
        self._traces: OrderedDict[bytes, TraceFacts] = OrderedDict()
        self._sent = SentTurns()
        self._parents: OrderedDict[str, str] = OrderedDict()
        self._with_children: set[str] = set()
        self._frozen: dict[Turn, tuple[Course, Surroundings]] = {}
        self._ready: list[FinishedTurn] = []
        self._ready_batches: set[int] = set()
        self._turn_count = 0
        self._turns_ever = 0
        self._heap: list[tuple[float, int, Turn]] = []
        self._dirty: set[Turn] = set()
        self._batch = 0
        self._now = 0.0
        self._facts = FactReader(policy, self._set_parent)

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
        self._batch, self._now = batch_id, now
        if isinstance(request, ExportLogsServiceRequest):
            for event in read_logs(request):
                self._event(event)
        else:
            for record in read_spans(request):
                if isinstance(record, CodexEvent):
                    self._event(record)
                else:
                    self._span(record)
        self._keep_bounds()

    def connection_closed(self, batch_id: int, connection: str, now: float) -> None:
        """Learn that the sender closed a connection, less than 90 s after its last batch.

        90 s is when reqwest, and so Codex, closes an idle connection: so the process has probably ended. This
        is an entry of the relay's store as a batch is: it comes after all batches of its connection, is fed
        again after a restart, and stays in the store while `needed_batches` names its `batch_id`. There is
        none for connections that the relay itself closed or that ended with the relay.
        """
        self._now = now

    def _event(self, event: CodexEvent) -> None:
        raw = event.attributes.get("conversation.id")
        if not isinstance(raw, str):
            return
        conversation_id = names.identifier(raw)
        if event.name == "codex.conversation_starts":
            self._conversation_starts(conversation_id, event)
        elif event.name == "codex.turn_cost":
            self._turn_cost(conversation_id, event)
        else:
            turn = self._turn_of_event(conversation_id, event)
            if turn is None:
                self.dropped += 1
                return
            self._heard(turn, event.trace_id)
            self._facts.read(turn, event)
            if event.name in _TELL_WHO:
                self._conversations[turn.conversation].about.who(event)
                if event.name == "codex.user_prompt":
                    self._prompted(turn, event)

    def _heard(self, turn: Turn, trace_id: bytes) -> None:
        if turn.last_batch != self._batch or turn.last_heard != self._now:
            turn.last_heard = self._now
            turn.last_batch = self._batch
            turn.batches.add(self._batch)
            self._dirty.add(turn)
        if trace_id and trace_id not in turn.traces and any(trace_id):
            self._join(turn, trace_id)

    def _join(self, turn: Turn, trace_id: bytes) -> None:
        turn.traces.add(trace_id)
        facts = self._traces.get(trace_id)
        if facts is None:
            facts = self._traces[trace_id] = TraceFacts(self._now)
        if turn not in facts.turns:
            facts.shared = facts.shared or bool(facts.turns)
            facts.turns.append(turn)
        turn.batches |= facts.batches

    # --- which turn a record belongs to ---------------------------------------------------------------------

    def _conversation(self, conversation_id: str, process: Process) -> Conversation:
        conversation = self._conversations.get(conversation_id)
        if conversation is None:
            about = Surroundings(process.service_name, process.version, process.environment)
            conversation = Conversation(conversation_id, self._now, about)
            self._conversations[conversation_id] = conversation
            conversation.parent = self._parents.get(conversation_id)
        elif conversation.last_heard != self._now:
            self._conversations.move_to_end(conversation_id)
            conversation.last_heard = self._now
        return conversation

    def _new_turn(self, conversation: Conversation, time: int) -> Turn:
        self._turns_ever += 1
        self._turn_count += 1
        turn = Turn(conversation.id, self._turns_ever, self._now)
        turn.at(time)
        if conversation.open:
            conversation.open[-1].successor = turn
            self._dirty.add(conversation.open[-1])
        conversation.open.append(turn)
        conversation.turns_seen += 1
        if conversation.batches:
            turn.batches |= conversation.batches
        return turn

    def _turn_of_event(self, conversation_id: str, event: CodexEvent) -> Turn | None:
        """Return the turn that the event belongs to, new if need be; None if that turn has left."""
        conversation = self._conversation(conversation_id, event.process)
        time, trace_id = event.time, event.trace_id
        turn_id = event.attributes.get("turn.id") or event.attributes.get("turn_id")
        if isinstance(turn_id, str):
            turn_id = names.identifier(turn_id)
            known = self._turns_by_id.get(turn_id)
            if known is not None:
                return known
            if self._sent.holds(turn_id):
                return None
        else:
            turn_id = None
        if self._sent.came_late(conversation_id, event):
            return None
        if event.name == "codex.user_prompt":
            return self._turn_of_prompt(conversation, event)
        turn = self._open_turn(conversation, time, trace_id)
        if turn is not None and turn.successor is None:
            turn = self._steered(conversation, turn, event)
        if turn is None:
            if event.name == "codex.agent_response":
                return None
            turn = self._new_turn(conversation, time)
            sent = self._sent.of(conversation_id)
            if sent and not sent[-1].final and sent[-1].end < time:
                # The turn was taken to be over and goes on: what comes now joins its trace.
                turn.continues = sent[-1]
        if turn_id and turn.turn_id is None:
            self._name(turn, turn_id)
        return turn

    def _open_turn(self, conversation: Conversation, time: int, trace_id: bytes) -> Turn | None:
        """Return the turn in progress that was running at `time`; None if that must be a new one."""
        turns = conversation.open
        if trace_id:
            for turn in turns:
                if trace_id in turn.traces:
                    return turn
        running = [turn for turn in turns if turn.total is None or time <= turn.total.end]
        if not running:
            return None
        turn = next((each for each in reversed(running) if each.start <= time), running[0])
        if trace_id and turn.traces and self._course(turn).standing in _OVER:
            # Something in another trace, after an answer: of a turn whose prompt has not come yet.
            return None
        return turn

    def _turn_of_prompt(self, conversation: Conversation, event: CodexEvent) -> Turn:
        """Return the turn that a prompt begins: one already heard of that has none yet, or a new one."""
        time, trace_id = event.time, event.trace_id
        for turn in conversation.open:
            if prompt_in(turn, event) or (trace_id and trace_id in turn.traces):
                return turn
            if not turn.prompts and turn.continues is None and turn.successor is None:
                elsewhere = trace_id and turn.traces
                begins = turn.total is None or turn.total.end >= time
                if begins and not elsewhere and time <= turn.start + 2 * SECOND:
                    return turn
        turns = conversation.open
        if turns and turns[-1].total is not None and turns[-1].total.start < time <= turns[-1].total.end:
            return turns[-1]
        return self._new_turn(conversation, time)

    def _steered(self, conversation: Conversation, turn: Turn, event: CodexEvent) -> Turn:
        """Return the turn before `turn` if the event shows that it never ended.

        A person may write while a turn runs (`turn/steer`): Codex logs a prompt like any other, and the turn
        goes on. It shows when a tool called before the prompt ends, the answer asked for before it comes, or
        the trace of before it is written on. Then both are one turn.
        """
        turns = conversation.open
        if len(turns) < 2 or turn is not turns[-1]:
            return turn
        before = turns[-2]
        if turn.requests or turn.completions or turn.tools or turn.total or turn.turn_id:
            return turn
        attributes = event.attributes
        goes_on = False
        if event.name in {"codex.tool_result", "codex.tool_decision"}:
            tool = before.tools.get(names.identifier(str(attributes.get("call_id", ""))))
            goes_on = event.name == "codex.tool_decision" or tool is None or tool.pending
        elif event.name == "codex.sse_event":
            goes_on = self._course(before).standing is Standing.SAMPLING
        elif event.trace_id:
            goes_on = event.trace_id in before.traces
        if goes_on:
            self._merge(conversation, before, turn)
            return before
        return turn

    def _merge(self, conversation: Conversation, turn: Turn, later: Turn) -> None:
        """Make the prompts of `later`, which holds nothing else, part of `turn`."""
        turn.prompts.update(later.prompts)
        turn.batches |= later.batches
        turn.successor = later.successor
        turn.texts += later.texts
        turn.at(later.end)
        self._forget(conversation, later)
        self._dirty.add(turn)

    def _name(self, turn: Turn, turn_id: str) -> None:
        turn.turn_id = turn_id
        self._turns_by_id[turn_id] = turn

    def _forget(self, conversation: Conversation, turn: Turn) -> None:
        conversation.open.remove(turn)
        for other in conversation.open:
            if other.successor is turn:
                other.successor = turn.successor
        self._turn_count -= 1
        self._dirty.discard(turn)
        if turn.turn_id and self._turns_by_id.get(turn.turn_id) is turn:
            del self._turns_by_id[turn.turn_id]
        for trace_id in turn.traces:
            facts = self._traces.get(trace_id)
            if facts is not None and turn in facts.turns:
                facts.turns.remove(turn)
                if not facts.turns:
                    del self._traces[trace_id]

    # --- events ---------------------------------------------------------------------------------------------

    def _conversation_starts(self, conversation_id: str, event: CodexEvent) -> None:
        conversation = self._conversation(conversation_id, event.process)
        sent = self._sent.of(conversation_id)
        if sent and event.time <= sent[-1].end and conversation.started_at:
            return
        conversation.about.starts(event)
        if not conversation.started_at or event.time < conversation.started_at:
            conversation.started_at = event.time
        conversation.batches.add(self._batch)
        for turn in conversation.open:
            turn.batches.add(self._batch)
        if event.trace_id and any(event.trace_id):
            conversation.started_in = event.trace_id
            self._adopt(conversation, event.time)

    def _adopt(self, conversation: Conversation, time: int) -> None:
        """A conversation that starts within the trace of another's turn is that turn's sub-agent."""
        if conversation.parent is not None or conversation.turns_seen:
            return
        facts = self._traces.get(conversation.started_in)
        for turn in facts.turns if facts is not None else ():
            if turn.conversation != conversation.id and turn.start <= time:
                self._set_parent(conversation.id, turn.conversation)
                return

    def _set_parent(self, child: str, parent: str) -> None:
        if child == parent or self._top(parent) == child:
            return
        self._parents[child] = parent
        self._with_children.add(parent)
        while len(self._parents) > MOST_CONVERSATIONS:
            self._with_children.discard(self._parents.popitem(last=False)[1])
        conversation = self._conversations.get(child)
        if conversation is not None:
            conversation.parent = parent

    def _top(self, conversation_id: str) -> str:
        for _ in range(8):
            parent = self._parents.get(conversation_id)
            if parent is None:
                break
            conversation_id = parent
        return conversation_id

    def _prompted(self, turn: Turn, event: CodexEvent) -> None:
        """Tell the TUI's own prompt, by which it names a conversation, when Codex does not tell prompts."""
        conversation = self._conversations[turn.conversation]
        length = names.count(event.attributes.get("prompt_length")) or 0
        if not turn.is_title and event.attributes.get("prompt") in {None, "[REDACTED]"}:
            turn.is_title = self._looks_like_title(conversation, event.time, length)
        if conversation.first_prompt is None or event.time < conversation.first_prompt[0]:
            conversation.first_prompt = (event.time, length)

    def _looks_like_title(self, conversation: Conversation, time: int, length: int) -> bool:
        """Whether a prompt that Codex does not tell is the TUI's own: just after, and longer than, another.

        Only the newest conversations are looked at.
        """
        about = conversation.about
        if about.originator not in {"codex-tui", "codex_cli_rs"} or about.sandbox_policy != "read-only":
            return False
        for other, _ in zip(reversed(self._conversations.values()), range(8), strict=False):
            if other is not conversation and other.first_prompt is not None:
                began, before = other.first_prompt
                if 0 <= time - began <= _TITLE_WITHIN and length - before in _TITLE_OVERHEAD:
                    return True
        return False

    def _turn_cost(self, conversation_id: str, event: CodexEvent) -> None:
        turn_id = event.attributes.get("turn.id")
        try:
            usd = float(str(event.attributes.get("usage.estimated_usd")))
        except ValueError:
            return
        if not isinstance(turn_id, str) or not 0 <= usd < 1e9:
            return
        turn_id = names.identifier(turn_id)
        interrupted = event.attributes.get("turn.interrupted") in {True, "true"}
        cost = Cost(event.time, usd, interrupted)
        turn = self._turns_by_id.get(turn_id) or self._turn_begun_at(conversation_id, turn_id)
        if turn is not None:
            turn.cost = cost
            self._heard(turn, b"")
            return
        sent = self._sent.of_turn(conversation_id, turn_id)
        key = f"cost|{conversation_id}|{turn_id}"
        if sent is None or not self._sent.add_cost(key):
            self.dropped += 1
            return
        about = self._conversation(conversation_id, event.process).about
        about.who(event)
        trace = clean_trace.late_cost(sent, cost, about, self._policy)
        self._ready.append(FinishedTurn(key, trace, f"cost of a turn sent before, ${usd:.4f}"))
        self._ready_batches.add(self._batch)

    def _turn_begun_at(self, conversation_id: str, turn_id: str) -> Turn | None:
        """Return the turn in progress, of those whose id is unknown, that began when the id was made."""
        conversation = self._conversations.get(conversation_id)
        for turn in conversation.open if conversation is not None else ():
            if turn.turn_id is None and made_within(turn_id, turn.start, turn.end):
                return turn
        return None

    # --- spans ----------------------------------------------------------------------------------------------

    def _span(self, span: CodexSpan) -> None:
        if span.kind in {"session_loop", "new_session", "codex.exec"}:
            self._process_ended(span)
            return
        if self._trace_has_left(span):
            self.dropped += 1
            return
        facts = self._traces.get(span.trace_id)
        if facts is None:
            facts = self._traces[span.trace_id] = TraceFacts(self._now)
        facts.last_heard = self._now
        facts.batches.add(self._batch)
        attributes = span.attributes
        if span.kind == "session_task.turn":
            self._turn_ended(span)
        elif span.kind == "tool":
            self._tool_ended(span, facts)
        elif len(facts.samplings) + len(facts.usages) < 4 * MOST_MODEL_CALLS:
            if span.kind == "try_run_sampling_request":
                turn_id, model = attributes.get("turn_id"), attributes.get("model")
                facts.samplings[span.span_id] = Sampling(
                    names.identifier(turn_id) if isinstance(turn_id, str) else None,
                    names.model(model) if isinstance(model, str) else None,
                    span.start,
                    span.end,
                )
            elif span.kind == "receiving_stream":
                facts.receivers[span.span_id] = (span.parent_id, span.end)
            elif span.kind == "handle_responses":
                facts.usages[span.span_id] = (span.parent_id, read_completion(span))
            elif span.kind == "turn/start" and isinstance(attributes.get("turn.id"), str):
                turn_id = names.identifier(str(attributes["turn.id"]))
                is_title = str(attributes.get("rpc.request_id", "")).startswith(_TITLE_REQUEST)
                facts.started[turn_id] = is_title
        for turn in facts.turns:
            turn.from_spans = True
            self._heard(turn, span.trace_id)

    def _trace_has_left(self, span: CodexSpan) -> bool:
        end = self._sent.end_in(span.trace_id)
        if end is None or span.start > end:
            return False
        facts = self._traces.get(span.trace_id)
        return facts is None or not facts.turns

    def _turn_ended(self, span: CodexSpan) -> None:
        attributes = span.attributes
        turn_id = attributes.get("turn.id")
        turn_id = names.identifier(turn_id) if isinstance(turn_id, str) else None
        if turn_id and self._sent.holds(turn_id):
            self.dropped += 1
            return
        conversation_id = attributes.get("conversation")
        turn = self._turns_by_id.get(turn_id) if turn_id else None
        if turn is None and isinstance(conversation_id, str):
            conversation = self._conversation(names.identifier(conversation_id), span.process)
            sent = self._sent.of(conversation.id)
            if (
                sent
                and span.start <= sent[-1].end
                and not any(span.trace_id in each.traces for each in conversation.open)
            ):
                self.dropped += 1
                return
            turn = self._turn_of_span(conversation, span)
        if turn is None:
            return
        if turn_id and turn.turn_id is None:
            self._name(turn, turn_id)
        read_total(turn, span)
        self._heard(turn, span.trace_id)
        conversation = self._conversations[turn.conversation]
        later = turn.successor
        if later is not None and later in conversation.open and later.start < span.end:
            holds_more = later.requests or later.completions or later.tools or later.total or later.turn_id
            if not holds_more:
                self._merge(conversation, turn, later)

    def _turn_of_span(self, conversation: Conversation, span: CodexSpan) -> Turn:
        nameless = [turn for turn in conversation.open if turn.turn_id is None and turn.total is None]
        inside = [turn for turn in nameless if span.trace_id in turn.traces]
        for turn in inside or nameless:
            if inside and len(inside) == 1:
                return turn
            if turn.start <= span.end and turn.end >= span.start - 2 * SECOND:
                return turn
        return self._new_turn(conversation, span.start)

    def _tool_ended(self, span: CodexSpan, facts: TraceFacts) -> None:
        """Put the span of a tool to its call; it alone tells of a call that was cut off."""
        attributes = span.attributes
        aborted = attributes.get("aborted")
        if aborted is None:
            return
        call_id = names.identifier(str(attributes["call_id"]))
        turn_id = attributes.get("turn.id")
        turn = self._turns_by_id.get(names.identifier(turn_id)) if isinstance(turn_id, str) else None
        if turn is None:
            turn = next((each for each in facts.turns if call_id in each.tools), None)
        if turn is None and facts.turns and aborted:
            turn = facts.turns[0]
        tool = turn.tool(call_id) if turn is not None else None
        if turn is None or tool is None:
            return
        if tool.name == "tool":
            tool.name = names.name(str(attributes["tool_name"]))
        tool.span_start, tool.span_end = span.start, span.end
        tool.aborted = bool(aborted)
        turn.at(span.end)

    def _process_ended(self, span: CodexSpan) -> None:
        """Note that Codex is through with a conversation: no turn of it that began before goes on."""
        attributes = span.attributes
        found = (
            attributes.get("thread_id") or attributes.get("conversation_id") or attributes.get("conversation")
        )
        conversation = self._conversations.get(names.identifier(found)) if isinstance(found, str) else None
        for turn in conversation.open if conversation is not None else ():
            if turn.start <= span.end:
                turn.conversation_ended = True
                self._heard(turn, b"")

    # --- when a turn is over --------------------------------------------------------------------------------

    def _course(self, turn: Turn) -> Course:
        return course_of(turn, [self._traces[each] for each in turn.traces if each in self._traces])

    def _deadline(self, turn: Turn) -> float:
        if turn.total is not None or turn.conversation_ended:
            return turn.last_heard + SETTLE
        spans_to_come = turn.from_spans or bool(turn.traces)
        standing = self._course(turn).standing
        later = turn.successor
        if later is not None:
            busy = standing in {Standing.SAMPLING, Standing.TOOLS}
            if not busy or later.requests or later.completions or later.tools or later.total:
                return turn.last_heard + (SETTLE_FOR_SPANS if spans_to_come else SETTLE)
        if standing is Standing.ANSWERED:
            return turn.last_heard + (SETTLE_FOR_SPANS if spans_to_come else SETTLE)
        if standing is Standing.PERHAPS:
            return turn.last_heard + (UNSURE_FOR_SPANS if spans_to_come else UNSURE)
        if standing is Standing.FAILED:
            return turn.last_heard + AFTER_ERROR
        if standing is Standing.TOOLS:
            return turn.last_heard + NO_RESULT
        return turn.last_heard + NO_ANSWER

    def _plan(self) -> None:
        """Give every turn that was heard of a place in the heap; entries that are too early are harmless."""
        for turn in self._dirty:
            heapq.heappush(self._heap, (self._deadline(turn), turn.number, turn))
        self._dirty.clear()
        if len(self._heap) > 1_000 + 4 * self._turn_count:
            live = {id(turn): turn for each in self._conversations.values() for turn in each.open}
            self._heap = [(self._deadline(turn), turn.number, turn) for turn in live.values()]
            heapq.heapify(self._heap)

    def next_deadline(self) -> float | None:
        """When `finished` should be asked again at the latest."""
        if self._ready:
            return self._now
        self._plan()
        while self._heap and not self._is_open(self._heap[0][2]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _is_open(self, turn: Turn) -> bool:
        conversation = self._conversations.get(turn.conversation)
        return conversation is not None and turn in conversation.open

    def finished(self, now: float) -> list[FinishedTurn]:
        """Turns that are complete (or silent for too long) at `now`; each is returned once."""
        self._now = max(self._now, now)
        self._plan()
        due: list[Turn] = []
        while self._heap and self._heap[0][0] <= now:
            turn = heapq.heappop(self._heap)[2]
            if turn in due or not self._is_open(turn):
                continue
            deadline = self._deadline(turn)
            if deadline <= now:
                due.append(turn)
            else:
                heapq.heappush(self._heap, (deadline, turn.number, turn))
        self._forget_traces(now)
        return self._leave(due)

    def close(self, now: float) -> list[FinishedTurn]:
        """All turns in progress as they stand (shutdown)."""
        self._now = max(self._now, now)
        turns = [turn for each in self._conversations.values() for turn in each.open]
        for turn in turns:
            turn.relay_stopped = True
        return self._leave(turns)

    def needed_batches(self) -> set[int]:
        """Batch ids that unfinished turns still rest on; every other batch fed so far may be forgotten."""
        needed = set(self._ready_batches)
        for conversation in self._conversations.values():
            for turn in conversation.open:
                needed |= turn.batches
            if not conversation.turns_seen and self._now - conversation.last_heard < NO_RESULT:
                needed |= conversation.batches
        for facts in self._traces.values():
            needed |= facts.batches
        return needed

    def already_sent(self, key: str) -> None:
        """After a restart: a turn that was rendered before; what still arrives for it is dropped."""
        if key.startswith("cost|"):
            self._sent.add_cost(key)
            return
        for part in key.split(";"):
            try:
                self._sent.add(Sent.from_text(part))
            except ValueError:
                continue

    # --- leaving --------------------------------------------------------------------------------------------

    def _leave(self, due: list[Turn]) -> list[FinishedTurn]:
        """Render the turns that are due, each with those of its sub-agents that have ended by then."""
        ready, self._ready = self._ready, []
        self._ready_batches.clear()
        deepest_first = sorted(due, key=lambda turn: (-self._depth(turn), turn.start, turn.number))
        for turn in deepest_first:
            if self._is_open(turn):
                above = self._above(turn)
                if isinstance(above, Turn) and len(above.children) < MOST_CHILDREN:
                    self._freeze(turn, above)
                else:
                    ready.append(self._render(turn, above if isinstance(above, Sent) else None))
        return ready

    def _depth(self, turn: Turn) -> int:
        depth, conversation = 0, turn.conversation
        while depth < 8 and conversation in self._parents:
            conversation = self._parents[conversation]
            depth += 1
        return depth

    def _above(self, turn: Turn) -> Turn | Sent | None:
        """Return the turn whose sub-agent this turn is, in progress or gone."""
        parent = self._parents.get(turn.conversation)
        if parent is None or self._client_started(turn):
            return None
        conversation = self._conversations.get(parent)
        for candidate in reversed(conversation.open if conversation is not None else []):
            if candidate.start <= turn.start:
                return candidate
        gone = [sent for sent in self._sent.of(parent) if sent.start <= turn.start]
        return gone[-1] if gone else None

    def _client_started(self, turn: Turn) -> bool:
        return any(
            turn.turn_id in facts.started
            for facts in map(self._traces.get, turn.traces)
            if facts is not None and turn.turn_id
        )

    def _freeze(self, turn: Turn, above: Turn) -> None:
        """Take a sub-agent's turn, which is over, out of the turns in progress; it leaves with its parent."""
        self._frozen[turn] = (self._course(turn), self._conversations[turn.conversation].about)
        above.children.append(turn)
        above.batches |= turn.batches
        above.at(turn.end if above.total is None else 0)
        self._forget(self._conversations[turn.conversation], turn)

    def _render(self, turn: Turn, above: Sent | None) -> FinishedTurn:
        for conversation in self._conversations.values() if turn.conversation in self._with_children else ():
            for child in list(conversation.open):
                if child is not turn and self._above(child) is turn and self._is_over(child):
                    self._freeze(child, turn)
        turn.is_title = turn.is_title or any(
            facts.started.get(turn.turn_id or "", False)
            for facts in map(self._traces.get, turn.traces)
            if facts is not None
        )
        conversation = self._conversations[turn.conversation]
        about = conversation.about
        place = clean_trace.place_of(turn, above, self._top(turn.conversation))
        scene = clean_trace.Scene(self._policy, place, about, turn.is_title)
        sent = [scene.add_turn(turn, self._course(turn), about, above is not None)]
        self._add_children(scene, turn, sent)
        self._forget(conversation, turn)
        for each in sent:
            self._sent.add(each)
        conversation.batches.clear()
        return FinishedTurn(";".join(each.as_text() for each in sent), scene.serialized(), scene.summary())

    def _add_children(self, scene: clean_trace.Scene, turn: Turn, sent: list[Sent]) -> None:
        agent_id = sent[-1].agent_id
        for child in turn.children:
            course, about = self._frozen.pop(child)
            sent.append(scene.add_turn(child, course, about, True, agent_id))
            self._add_children(scene, child, sent)

    def _is_over(self, turn: Turn) -> bool:
        if turn.total is not None or turn.conversation_ended:
            return True
        return self._course(turn).standing in _OVER

    # --- bounds ---------------------------------------------------------------------------------------------

    def _forget_traces(self, now: float) -> None:
        """Forget what spans said of traces that no turn in progress is in."""
        while self._traces:
            trace_id, facts = next(iter(self._traces.items()))
            if now - facts.last_heard < FORGET_TRACE and len(self._traces) <= MOST_TRACES:
                break
            if facts.turns and len(self._traces) <= MOST_TRACES:
                facts.last_heard = now
                self._traces.move_to_end(trace_id)
            else:
                del self._traces[trace_id]

    def _keep_bounds(self) -> None:
        """Let the longest-silent turns go, as they stand, when there are too many."""
        while self._turn_count > MOST_TURNS:
            conversation = next(each for each in self._conversations.values() if each.open)
            batches = self._ready_batches.union(*(turn.batches for turn in conversation.open))
            self._ready = self._leave(list(conversation.open))
            self._ready_batches |= batches
        while len(self._conversations) > MOST_CONVERSATIONS:
            idle = next((key for key, each in self._conversations.items() if not each.open), None)
            if idle is None:
                return
            del self._conversations[idle]
