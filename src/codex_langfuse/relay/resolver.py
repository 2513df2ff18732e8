"""From the facts of one conversation to its turns.

Pure and without memory: the turns are made again from all facts known, so it does not matter in which order
they came. A fact belongs to the turn that it names; else to the turn in which the span is that it names; else
to the turn that its trace belongs to; and what names nothing (`codex.sse_event`) follows the request before
it. Only where Codex sends no spans are turns distinguished by prompts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from codex_langfuse.codex.telemetry import CodexSpan
from codex_langfuse.relay import names
from codex_langfuse.relay.facts import (
    Completion,
    Cost,
    Fact,
    FinalMessage,
    FirstToken,
    Mark,
    Phase,
    Prompt,
    Request,
    Sandbox,
    StreamError,
    ToolEvent,
)
from codex_langfuse.relay.sent_turns import SentTurns, made_within
from codex_langfuse.relay.traces import Above, SpanTurn, Traces
from codex_langfuse.relay.turn import MOST_MODEL_CALLS, MOST_NOTICES, Attempt, Tool, Turn

_NOT_CALLED = {"model_client.stream_responses_websocket", "startup_prewarm"}


@dataclass(slots=True)
class Resolved:
    """The turns of a conversation in the order of their beginning.

    late: facts of turns that have left. waiting: facts that no turn is known for yet. aside: facts of the
    warm-up, and of others that make no turn.
    """

    turns: list[Turn] = field(default_factory=list)
    late: list[Fact] = field(default_factory=list)
    waiting: list[Fact] = field(default_factory=list)
    aside: list[Fact] = field(default_factory=list)


class Resolver:
    """Resolves one conversation, once."""

    def __init__(
        self,
        conversation: str,
        facts: Iterable[Fact],
        traces: Traces,
        sent: SentTurns,
        old: bool,
        patience: float,
    ) -> None:
        """old: the Codex is older than 0.131, which does not say when it warms the connection.

        patience: what came before then (seconds) no longer waits for the spans that would place it.
        """
        self._conversation = conversation
        self._traces = traces
        self._sent = sent
        self._old = old
        self._patience = patience
        self._facts = sorted(_without_twins(facts), key=lambda fact: fact.place)
        self._resolved = Resolved()
        self._by_id: dict[str, Turn] = {}
        self._in_trace: dict[bytes, list[Turn]] = defaultdict(list)
        self._call_ids: dict[str, Turn] = {}
        self._placed: dict[int, Turn] = {}
        #: Turns of which only the calls that a script made have come, on spans in traces of their own.
        self._pieces: dict[str, SpanTurn] = {}
        self._loose: dict[str, CodexSpan] = {}

    def resolve(self) -> Resolved:
        """Return the turns."""
        spans, self._loose = self._traces.turns(self._conversation)
        self._begin_turns(spans)
        attempts = self._read_attempts()
        rest = self._place_all(attempts)
        self._group(rest)
        for piece in self._pieces.values():
            self._begin(piece)
        for turn in self._by_id.values():
            self._resolved.turns.append(turn)
        self._resolved.turns.sort(key=lambda turn: (turn.start, turn.key))
        for turn in self._resolved.turns:
            self._finish(turn)
        self._resolved.turns = [turn for turn in self._resolved.turns if self._is_one(turn)]
        for turn, later in zip(self._resolved.turns, self._resolved.turns[1:], strict=False):
            turn.next_prompt = True
            turn.goes_on = bool(later.attempts or later.tools or (later.spans and later.spans.calls))
        return self._resolved

    # --- turns that spans tell ------------------------------------------------------------------------------

    def _begin_turns(self, spans: list[SpanTurn]) -> None:
        for each in spans:
            if self._sent.holds(each.turn_id) or self._sent.left_by_logs(self._conversation, each):
                continue
            if not (each.conversation or self._belongs_here(each)):
                continue
            if not each.whole:
                self._pieces[each.turn_id] = each
                continue
            self._begin(each)
        for fact in self._facts:
            if isinstance(fact, ToolEvent) and fact.turn_id in self._by_id:
                self._call_ids[fact.call_id] = self._by_id[fact.turn_id or ""]

    def _begin(self, spans: SpanTurn) -> Turn:
        turn = Turn(self._conversation, spans.turn_id, spans, process=spans.process, above=spans.above)
        turn.start, turn.end, turn.heard = spans.first, spans.last, spans.heard
        turn.batches |= spans.batches
        turn.traces |= spans.traces
        turn.is_title = spans.is_title
        self._by_id[spans.turn_id] = turn
        for trace_id in spans.traces:
            self._in_trace[trace_id].append(turn)
        for call_id in spans.tools:
            self._call_ids[call_id] = turn
        return turn

    def _belongs_here(self, turn: SpanTurn) -> bool:
        """Whether a turn whose spans name no conversation yet is of this one: it names it, or spoke first."""
        if any(fact.turn_id == turn.turn_id for fact in self._facts):
            return True
        traces = (self._traces.get(trace_id) for trace_id in turn.traces)
        return any(trace.spoke[1] == self._conversation for trace in traces if trace and trace.spoke)

    # --- requests to the model and what follows them --------------------------------------------------------

    def _read_attempts(self) -> list[Attempt]:
        attempts: list[Attempt] = []
        current: Attempt | None = None
        warming = False
        for fact in self._facts:
            if isinstance(fact, Phase):
                warming = not fact.over
            elif isinstance(fact, Request):
                attempt = Attempt(fact, warm=warming and fact.websocket, facts=[fact])
                attempts.append(attempt)
                current = attempt if fact.ok else None
            elif isinstance(fact, Completion | StreamError | Mark):
                if current is None or self._is_of_another(current, fact):
                    if isinstance(fact, Mark) and fact.kind == "end":
                        self._resolved.aside.append(fact)
                        continue
                    current = Attempt()
                    attempts.append(current)
                current.facts.append(fact)
                self._follow(current, fact)
                if isinstance(fact, StreamError):
                    current = None
        if self._old:
            self._find_warm_up(attempts)
        return attempts

    @staticmethod
    def _is_of_another(attempt: Attempt, fact: Fact) -> bool:
        if isinstance(fact, Completion | StreamError):
            return attempt.completion is not None
        if attempt.request is not None and fact.trace_id and attempt.request.trace_id != fact.trace_id:
            return True
        return attempt.completion is not None and isinstance(fact, Mark) and fact.kind != "end"

    @staticmethod
    def _follow(attempt: Attempt, fact: Fact) -> None:
        if isinstance(fact, Completion):
            attempt.completion = fact
        elif isinstance(fact, StreamError):
            attempt.error = fact
        elif isinstance(fact, Mark):
            if fact.kind == "end":
                attempt.done = attempt.done or fact.time
                return
            attempt.first_output = attempt.first_output or fact.time
            if fact.kind == "text":
                attempt.text = attempt.text or fact.time
            elif fact.kind == "call":
                attempt.call = attempt.call or fact.time

    def _find_warm_up(self, attempts: list[Attempt]) -> None:
        """Codex 0.130 and older warm the connection by a first request, and get no usage for it."""
        if len(attempts) < 2 or self._sent.of(self._conversation):
            return
        first, second = attempts[0], attempts[1]
        asked = first.request is not None and first.request.ok and first.request.websocket
        silent = first.completion is None and first.error is None and first.first_output is None
        if asked and silent and second.request is not None and second.request.websocket:
            first.warm = True

    # --- which turn a fact belongs to -----------------------------------------------------------------------

    def _place_all(self, attempts: list[Attempt]) -> list[Fact | Attempt]:
        """Put what can be placed by ids to its turn; return the rest, in order, with anchors between."""
        of_attempt = {id(fact): attempt for attempt in attempts for fact in attempt.facts}
        self._match_usage(attempts)
        done: set[int] = set()
        sequence: list[Fact | Attempt] = []
        for fact in self._facts:
            attempt = of_attempt.get(id(fact))
            if attempt is None:
                if isinstance(fact, Phase):
                    self._resolved.aside.append(fact)
                elif not isinstance(fact, Mark) and not self._place(fact):
                    sequence.append(fact)
            elif id(attempt) not in done:
                done.add(id(attempt))
                if not self._place_attempt(attempt):
                    sequence.append(attempt)
        return sequence

    def _match_usage(self, attempts: list[Attempt]) -> None:
        """Find the model call on spans that each attempt is: by its request, else by its usage."""
        calls = {
            span_id: call
            for turn in self._by_id.values()
            if turn.spans is not None
            for span_id, call in turn.spans.calls.items()
        }
        free = {span_id: call for span_id, call in calls.items() if call.usage is not None}
        unsure = []
        for attempt in attempts:
            request = attempt.request
            if request is not None and request.span_id:
                place = self._traces.place(request.trace_id, request.span_id)
                if place is not None:
                    if place.span.kind in _NOT_CALLED:
                        attempt.warm = True
                    elif place.span.span_id in calls:
                        attempt.span = place.span.span_id
                        attempt.compaction = calls[attempt.span].compaction
            if attempt.warm or attempt.completion is None:
                continue
            call = calls.get(attempt.span) if attempt.span else None
            if (
                call is not None
                and call.usage is not None
                and call.usage.agrees_with(attempt.completion.usage)
            ):
                free.pop(attempt.span or b"", None)
            elif call is None or call.usage is not None:
                unsure.append(attempt)
        for attempt in unsure:
            assert attempt.completion is not None
            usage = attempt.completion.usage
            same = [span_id for span_id, call in free.items() if call.usage and call.usage.agrees_with(usage)]
            if same:
                found = min(same, key=lambda span_id: calls[span_id].span.start)
                attempt.span, attempt.compaction = found, calls[found].compaction
                del free[found]

    def _place_attempt(self, attempt: Attempt) -> bool:
        if attempt.warm:
            self._resolved.aside += attempt.facts
            return True
        turn: Turn | None = None
        if attempt.span is not None:
            turn = next(
                (
                    each
                    for each in self._by_id.values()
                    if each.spans is not None and attempt.span in each.spans.calls
                ),
                None,
            )
        if turn is None and attempt.request is not None:
            found = self._turn_of(attempt.request)
            if found is None:
                return False
            if not isinstance(found, Turn):
                (self._resolved.late if found == "late" else self._resolved.waiting).extend(attempt.facts)
                return True
            turn = found
        if turn is None:
            # Its request came before, and was late: a clock that is a little off does not make it new.
            first, within = attempt.facts[0], _LITTLE if attempt.completion is not None else 0
            if self._sent.came_late(self._conversation, first, within):
                self._resolved.late += attempt.facts
                return True
            return False
        self._take(turn, attempt)
        return True

    def _take(self, turn: Turn, item: Fact | Attempt) -> None:
        if isinstance(item, Attempt):
            if len(turn.attempts) < 2 * MOST_MODEL_CALLS:
                turn.attempts.append(item)
            else:
                turn.left_out += 1
            for fact in item.facts:
                turn.add(fact)
                self._placed[id(fact)] = turn
        else:
            turn.add(item)
            self._placed[id(item)] = turn
            piece = self._pieces.pop(item.turn_id, None) if turn.turn_id is None and item.turn_id else None
            if piece is not None:
                turn.turn_id = piece.turn_id
                turn.batches |= piece.batches
                self._loose.update(piece.tools)
            if isinstance(item, ToolEvent):
                self._call_ids.setdefault(item.call_id, turn)

    def _place(self, fact: Fact) -> bool:
        found = self._turn_of(fact)
        if found is None:
            return False
        if isinstance(found, Turn):
            self._take(found, fact)
        else:
            (self._resolved.late if found == "late" else self._resolved.waiting).append(fact)
        return True

    def _turn_of(self, fact: Fact) -> Turn | str | None:
        """Return the turn of a fact by the ids it has; `late`, `waiting`, or None if it has none."""
        if fact.turn_id is not None:
            turn = self._by_id.get(fact.turn_id)
            if turn is not None:
                return turn
            if self._sent.holds(fact.turn_id):
                return "late"
            if isinstance(fact, Cost):
                return self._begun_at(fact)
        place = self._traces.place(fact.trace_id, fact.span_id) if fact.span_id else None
        if place is not None and place.owner is not None:
            if place.owner in self._by_id:
                return self._by_id[place.owner]
            if self._sent.holds(place.owner):
                return "late"
        if isinstance(fact, ToolEvent | Sandbox) and fact.call_id in self._call_ids:
            return self._call_ids[fact.call_id]
        if self._sent.came_late(self._conversation, fact):
            return "late"
        if fact.trace_id:
            return self._turn_in_trace(fact)
        return None

    def _turn_in_trace(self, fact: Fact) -> Turn | str | None:
        """Return the turn that was running in the trace of the fact."""
        here = self._in_trace.get(fact.trace_id, [])
        running = [turn for turn in here if not _over_by(turn, fact.time)]
        if running:
            begun = [turn for turn in running if turn.start <= fact.time]
            return begun[-1] if begun else running[0]
        if isinstance(fact, Prompt):
            return None
        if not isinstance(fact, Request):
            return here[-1] if here else None
        # Asked after the turns of the trace had ended: of one whose spans are still to come, as of a goal.
        known = here or self._sent.was_in(self._conversation, fact.trace_id)
        return "waiting" if known and fact.heard > self._patience else None

    def _begun_at(self, cost: Cost) -> Turn | str | None:
        """Return the turn, of those whose id is unknown, that began when the id was made."""
        assert cost.turn_id is not None
        for turn in self._by_id.values():
            if turn.turn_id is None and made_within(cost.turn_id, turn.start, turn.end):
                return turn
        return "late" if self._sent.of_turn(self._conversation, cost.turn_id) is not None else "waiting"

    # --- turns without spans -------------------------------------------------------------------------------

    def _group(self, rest: list[Fact | Attempt]) -> None:
        """Make turns of what is left, prompt by prompt."""
        if not rest:
            return
        left = {id(item) for item in rest}
        costs: list[Cost] = []
        current: Turn | None = None
        for item in self._in_order(rest):
            if id(item) not in left:  # an anchor: something placed by its ids
                if self._placed.get(id(item)) is not None:
                    current = self._placed[id(item)]
                continue
            if isinstance(item, Cost):
                costs.append(item)
            elif isinstance(item, Prompt):
                current = self._prompted(current, item, rest)
                self._take(current, item)
            else:
                current = self._following(current, item)
                if current is None:
                    self._resolved.waiting += item.facts if isinstance(item, Attempt) else [item]
                else:
                    self._take(current, item)
        for cost in costs:
            found = self._begun_at(cost)
            if isinstance(found, Turn):
                found.add(cost)
            else:
                self._resolved.waiting.append(cost)

    def _in_order(self, rest: list[Fact | Attempt]) -> list[Fact | Attempt]:
        """Return the rest among the facts that were placed, in the order of their times."""
        first: dict[int, Fact | Attempt] = {}
        for item in rest:
            first[id(item.facts[0]) if isinstance(item, Attempt) else id(item)] = item
        return [first.get(id(fact), fact) for fact in self._facts]

    def _prompted(self, current: Turn | None, prompt: Prompt, rest: list[Fact | Attempt]) -> Turn:
        """Return the turn of a prompt: the one that runs, if it was written into it, or a new one."""
        if current is not None:
            task = current.spans.task if current.spans is not None else None
            if task is not None:
                if task.start <= prompt.time <= task.end:
                    return current
            elif self._runs_across(current, prompt, rest):
                return current
        return self._new(prompt)

    def _runs_across(self, turn: Turn, prompt: Prompt, rest: list[Fact | Attempt]) -> bool:
        """Whether a turn goes on after `prompt`: what had begun before it ends after it."""
        last = max(turn.attempts, key=lambda attempt: attempt.facts[0].place, default=None)
        if last is not None and last.facts[0] is not last.facts[-1]:
            ends = [each for each in last.facts[1:] if not isinstance(each, Mark)] or last.facts[1:]
            if ends[-1].place > prompt.place:
                return True
        open_calls = {
            fact.call_id for fact in turn.facts if isinstance(fact, ToolEvent) and fact.kind != "ended"
        }
        for item in rest:
            if isinstance(item, ToolEvent) and item.kind == "ended" and item.place > prompt.place:
                began = item.time - item.duration
                if item.call_id in open_calls or (last is not None and last.time <= began < prompt.time):
                    return True
        return False

    def _following(self, current: Turn | None, item: Fact | Attempt) -> Turn | None:
        fact = item.facts[0] if isinstance(item, Attempt) else item
        asks = isinstance(item, Attempt | ToolEvent)
        if current is not None and self._fits(current, fact):
            return current
        if fact.trace_id:
            here = self._in_trace.get(fact.trace_id)
            if here:
                return here[-1]
        if not asks and not isinstance(item, FinalMessage):
            return None
        if isinstance(item, ToolEvent) and _is_nested(item) and current is not None:
            return current
        if isinstance(item, ToolEvent) and item.on_span:
            # The span that says whose it is has not come yet.
            return None
        if isinstance(item, FinalMessage) and item.turn_id is None:
            return None
        return self._new(fact)

    @staticmethod
    def _fits(turn: Turn, fact: Fact) -> bool:
        if isinstance(fact, FinalMessage) and fact.turn_id is not None:
            return turn.turn_id in {None, fact.turn_id}
        if turn.closed and turn.spans is not None and fact.trace_id and fact.trace_id not in turn.traces:
            return isinstance(fact, ToolEvent) and _is_nested(fact)
        if isinstance(fact, ToolEvent) and _is_nested(fact):
            return True
        return not fact.trace_id or not turn.traces or fact.trace_id in turn.traces

    def _new(self, fact: Fact) -> Turn:
        turn = Turn(self._conversation)
        key = f"at {fact.time} {fact.order}"
        self._by_id[key] = turn
        if fact.trace_id:
            self._in_trace[fact.trace_id].append(turn)
        earlier = self._sent.of(self._conversation)
        if not isinstance(fact, Prompt) and earlier and not earlier[-1].final and earlier[-1].end < fact.time:
            # The turn was taken to be over and goes on: what comes now joins its trace.
            turn.continues = earlier[-1]
        return turn

    # --- what the facts of a turn come to -------------------------------------------------------------------

    def _finish(self, turn: Turn) -> None:
        for fact in sorted(turn.facts, key=lambda each: each.place):
            if isinstance(fact, Prompt):
                if len(turn.prompts) < MOST_NOTICES:
                    turn.prompts.append(fact)
                turn.is_title = turn.is_title or fact.is_title
            elif isinstance(fact, ToolEvent):
                _read_tool(turn, fact)
            elif isinstance(fact, Sandbox):
                if all((each.call_id, each.outcome) != (fact.call_id, fact.outcome) for each in turn.sandbox):
                    turn.sandbox.append(fact)
            elif isinstance(fact, FinalMessage):
                turn.answer = fact
                turn.turn_id = turn.turn_id or fact.turn_id
                if fact.parent is not None and turn.above is None:
                    turn.above = Above(fact.parent_turn, fact.parent)
            elif isinstance(fact, Cost):
                turn.cost = fact
                turn.turn_id = turn.turn_id or fact.turn_id
            elif isinstance(fact, FirstToken):
                turn.first_tokens.append(fact)
        _read_tool_spans(turn, self._loose)
        turn.attempts.sort(key=lambda attempt: attempt.facts[0].place)
        if turn.spans is not None and turn.spans.first:
            # The clock of spans is Codex's own; a proxy may have given log records another time.
            told = [fact.time for fact in turn.facts if fact.on_span]
            turn.start = min([turn.spans.first, *told])
            turn.end = max([turn.spans.last, *told])

    def _is_one(self, turn: Turn) -> bool:
        """Whether the model was asked, or a person spoke: a goal that is given up at once is no turn."""
        spans = turn.spans
        if turn.prompts or turn.attempts or turn.tools or turn.answer or turn.cost:
            return True
        if spans is None:
            self._resolved.aside += turn.facts
            return False
        if spans.calls or turn.kind != "turn":
            return True
        usage = spans.usage()
        return usage is not None and usage.total > 0


def _without_twins(facts: Iterable[Fact]) -> list[Fact]:
    """Return each fact once: as the log told it, at the time that the span gives, where both told it."""
    logged: dict[tuple[object, ...], list[Fact]] = defaultdict(list)
    spanned: dict[tuple[object, ...], list[Fact]] = defaultdict(list)
    single: list[Fact] = []
    for fact in facts:
        if not fact.TWICE or not fact.span_id:
            single.append(fact)
            continue
        extra = (fact.kind, fact.call_id) if isinstance(fact, ToolEvent) else ()
        (spanned if fact.on_span else logged)[(type(fact), fact.trace_id, fact.span_id, *extra)].append(fact)
    for key, group in logged.items():
        twins = spanned.pop(key, [])
        for each in (group, twins):
            each.sort(key=lambda fact: fact.place)
        for fact, twin in zip(group, twins, strict=False):
            fact.adopt(twin)
        single += group
        single += twins[len(group) :]
    left = [fact for group in spanned.values() for fact in group]
    _pair_nameless(single, left)
    single += left
    _set_clock([fact for fact in single if not fact.on_span])
    return single


def _pair_nameless(logged: list[Fact], spanned: list[Fact]) -> None:
    """Find the twins of log records that name no span (Codex 0.97 and older); take them from `spanned`."""
    for fact in logged:
        if not spanned or fact.on_span or fact.span_id or not fact.TWICE:
            continue
        same = [each for each in spanned if type(each) is type(fact) and each.same_as() == fact.same_as()]
        nearest = min(same, key=lambda each: abs(each.time - fact.time), default=None)
        if nearest is not None:
            fact.adopt(nearest)
            spanned.remove(nearest)


#: Log records and spans agree to a millisecond, unless something on the way gave the records other times.
_SAME_CLOCK = 2_000_000
#: By how much a log record's time may be off without being another clock's.
_LITTLE = 50_000_000
#: What a log record says of its time is cut to the millisecond, the time of its twin is not.
_CUT = 1_000_000


def _set_clock(logged: list[Fact]) -> None:
    """Give log records without a twin the time that they have by the clock of spans.

    They follow the record before them that has a twin, as they do by their own times.
    """
    logged.sort(key=lambda fact: (fact.written, fact.raw, fact.order))
    if all(abs(fact.written - fact.time) < _SAME_CLOCK for fact in logged if fact.twin is not None):
        latest = 0
        for fact in logged:
            if fact.twin is None and fact.time < latest <= fact.time + _CUT:
                fact.time = latest
            latest = max(latest, fact.time)
        return
    anchor = next(fact for fact in logged if fact.twin is not None)
    before = (anchor.written, anchor.time - 1_000)
    for fact in logged:
        if fact.twin is None:
            after = fact.written - before[0]
            fact.time = before[1] + (after if after < 0 else max(after, 1_000))
        if fact.twin is not None or fact.written >= before[0]:
            before = (fact.written, fact.time)


def _is_nested(event: ToolEvent) -> bool:
    return event.cell is not None or event.call_id.startswith("exec-")


def _over_by(turn: Turn, time: int) -> bool:
    """Whether Codex had ended the turn by then."""
    return turn.spans is not None and turn.spans.task is not None and turn.spans.task.end < time


def _read_tool(turn: Turn, event: ToolEvent) -> None:
    tool = turn.tool(event.call_id)
    if tool is None:
        return
    if event.name is not None and (tool.name == "tool" or not event.on_span):
        tool.name = event.name
    tool.cell = tool.cell or event.cell
    if event.kind in {"received", "dispatched"}:
        tool.announced = tool.announced or event.time
        return
    if event.kind == "decided":
        tool.decided, tool.decision, tool.source = event.time, event.decision, event.source
        return
    tool.finished, tool.duration = event.time, event.duration
    tool.success = event.success if event.success is not None else tool.success
    tool.exit_code = event.exit_code if event.exit_code is not None else tool.exit_code
    tool.phrase = event.phrase or tool.phrase
    tool.mcp_server = event.mcp_server or tool.mcp_server
    tool.arguments = event.arguments or tool.arguments
    tool.output = event.output or tool.output


def _read_tool_spans(turn: Turn, loose: Mapping[str, CodexSpan]) -> None:
    spans = dict(turn.spans.tools) if turn.spans is not None else {}
    spans.update({call_id: span for call_id, span in loose.items() if call_id in turn.tools})
    for call_id, span in spans.items():
        tool = turn.tool(call_id)
        if tool is None:
            continue
        if tool.name == "tool":
            tool.name = names.name(str(span.attributes["tool_name"]))
        tool.span_start, tool.span_end = span.start, span.end
        tool.aborted = bool(span.attributes.get("aborted"))
        if turn.spans is not None:
            tool.asked_by = turn.spans.asked_by.get(call_id)
    scripts = [each for each in turn.tools.values() if each.name == "exec" and not each.nested]
    for tool in turn.tools.values():
        if tool.nested:
            tool.script = _script_of(turn, tool, scripts)


#: A script's time is known to the millisecond: a call that it makes at once can seem to come before it.
_AT_ONCE = 5_000_000


def _script_of(turn: Turn, tool: Tool, scripts: list[Tool]) -> str | None:
    """Return the script (a call id) that made a nested call: by its cell, else the last begun before."""
    if turn.spans is not None and tool.cell is not None:
        script = turn.spans.script_of(tool.cell, tool.begun)
        if script is not None:
            return script
    begun = [each for each in scripts if each.begun <= tool.begun + _AT_ONCE]
    return max(begun, key=lambda each: each.begun).call_id if begun else None
