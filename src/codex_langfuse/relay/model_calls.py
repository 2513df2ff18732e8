"""The model calls of a turn, and how far the turn is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from codex_langfuse.relay.facts import Completion, Request, StreamError
from codex_langfuse.relay.traces import Call
from codex_langfuse.relay.turn import Attempt, Turn
from codex_langfuse.relay.usage import Usage


@dataclass(slots=True)
class ModelCall:
    """One answer of the model, whole or broken off. failed_before: attempts that were refused or cut.

    span: Codex's span of it. done: the answer came to its end.
    """

    start: int
    end: int | None = None
    first_token: int | None = None
    usage: Usage | None = None
    model: str | None = None
    effort: str | None = None
    tier: str | None = None
    request: Request | None = None
    failed_before: int = 0
    error: StreamError | None = None
    compaction: bool = False
    done: bool = False
    span: bytes | None = None
    asks: list[str] = field(default_factory=list)


class Standing(Enum):
    """How far a turn is."""

    STARTED = auto()  # nothing but a prompt
    SAMPLING = auto()  # the model was asked and has not ended its answer
    FAILED = auto()  # the last thing heard of the model is an error
    TOOLS = auto()  # a tool has been called and has not ended
    BETWEEN = auto()  # a tool has ended and the model has not been asked again
    ANSWERED = auto()  # the model's answer ended, and holds no call of a tool
    PERHAPS = auto()  # the model's answer ended; whether it calls a tool is not known yet


@dataclass(slots=True)
class CallHistory:
    """The model calls of a turn in order, the failures between them, and where that leaves the turn."""

    calls: list[ModelCall]
    failures: list[Request | StreamError]
    standing: Standing

    def usage(self) -> Usage:
        """Return the sum over the calls."""
        return sum((call.usage for call in self.calls if call.usage is not None), Usage())


@dataclass(slots=True)
class _Unit:
    """A model call on spans with the attempts at it, or attempts that are on no span."""

    start: int
    call: Call | None
    attempts: list[Attempt]


def history_of(turn: Turn) -> CallHistory:
    """Put what is known of the model calls of `turn` in order."""
    calls: list[ModelCall] = []
    failures: list[Request | StreamError] = []
    failed = 0
    last: object = None
    silent = turn.process is not None and turn.process.older_than(0, 128)
    for unit in _units(turn):
        begun: ModelCall | None = None
        attempts = unit.attempts or [Attempt()]
        for attempt in attempts:
            request = attempt.request
            if request is not None and not request.ok:
                failures.append(request)
                failed += 1
                last = request
                continue
            if unit.call is None or begun is None:
                begun = ModelCall(unit.start, failed_before=failed, request=request, span=attempt.span)
                begun.compaction = attempt.compaction
                calls.append(begun)
                last = begun
            _answer(begun, attempt, exact=unit.call is None)
            if attempt.error is not None:
                failures.append(attempt.error)
                failed += 1
                last = attempt.error
        if unit.call is not None and begun is not None:
            _read_span(begun, unit.call)
            # Spans of 0.127 and older tell no usage: there an answer that was read is one that ended.
            begun.done = begun.done or (unit.call.streamed is not None and silent)
        if begun is not None and begun.done:
            failed = 0
    _first_tokens(turn, calls)
    _share_compaction(turn, calls)
    _who_asked(turn, calls)
    return CallHistory(calls, failures, _standing(turn, calls, last))


def _units(turn: Turn) -> list[_Unit]:
    spans = turn.spans.calls if turn.spans is not None else {}
    units = {span_id: _Unit(call.span.start, call, []) for span_id, call in spans.items()}
    others: list[_Unit] = []
    for attempt in turn.attempts:
        unit = units.get(attempt.span) if attempt.span else None
        if unit is None:
            others.append(_Unit(attempt.time, None, [attempt]))
        else:
            unit.attempts.append(attempt)
    return sorted([*units.values(), *others], key=lambda unit: unit.start)


def _answer(call: ModelCall, attempt: Attempt, exact: bool) -> None:
    """Note what the events say of the answer. exact: their times are the best there are."""
    completion: Completion | None = attempt.completion
    if attempt.request is not None:
        call.request = attempt.request
        call.model = attempt.request.model or call.model
        if exact:
            call.start = attempt.time
    if completion is not None:
        call.usage, call.done = completion.usage, True
        call.model = call.model or completion.model
        call.effort, call.tier = completion.effort or call.effort, completion.tier
        call.end = completion.time
        if completion.first_token_after is not None and attempt.request is not None:
            call.first_token = attempt.request.time + completion.first_token_after
    elif attempt.error is not None:
        call.error, call.end = attempt.error, attempt.error.time
    elif attempt.done is not None:
        call.end, call.done = attempt.done, True
    if call.first_token is None or (attempt.first_output and attempt.first_output < call.first_token):
        call.first_token = attempt.first_output or call.first_token


def _read_span(call: ModelCall, span: Call) -> None:
    """Take times from the span, whose clock is Codex's own, and what no log record told."""
    call.span, call.compaction = span.span.span_id, span.compaction
    call.start = span.span.start
    request = call.request
    if request is not None and span.span.start <= request.time <= span.span.end:
        call.start = max(span.span.start, request.time - request.duration)
    call.model = span.model or call.model
    call.effort = call.effort or span.effort
    if call.usage is None and span.usage is not None:
        call.usage, call.done = span.usage, True
    if call.first_token is not None and not span.span.start <= call.first_token <= span.span.end:
        call.first_token = None
    call.first_token = call.first_token or span.first_output
    if span.completed is not None:
        call.end = span.completed
    elif call.end is None or not span.span.start <= call.end <= span.span.end:
        call.end = span.span.end if call.done or call.error is not None else span.streamed


def _first_tokens(turn: Turn, calls: list[ModelCall]) -> None:
    for told in turn.first_tokens:
        call = next((each for each in calls if each.span is not None and each.span == told.span_id), None)
        if call is None and turn.prompts:
            call = next((each for each in calls if not each.compaction), None)
        if (
            call is not None
            and call.first_token is None
            and (call.end is None or call.start <= told.time <= call.end)
        ):
            call.first_token = told.time
    for call in calls:
        if call.first_token is not None and not call.start <= call.first_token <= (
            call.end or call.first_token
        ):
            call.first_token = None


def _share_compaction(turn: Turn, calls: list[ModelCall]) -> None:
    """Give a compaction that no log record shows the rest of Codex's own sum.

    The sum holds it where Codex compacts by itself, and not where the provider does.
    """
    silent = [call for call in calls if call.usage is None and call.compaction]
    own = turn.spans.usage() if turn.spans is not None else None
    if own is None or len(silent) != 1:
        return
    if any(call.usage is None and not call.compaction for call in calls):
        return
    rest = own - sum((call.usage for call in calls if call.usage is not None), Usage())
    if rest.total:
        silent[0].usage, silent[0].done = rest, True
        silent[0].end = silent[0].end or silent[0].start


def _who_asked(turn: Turn, calls: list[ModelCall]) -> None:
    """Find the model call that asked for each tool: by its span, else the last one begun before."""
    by_span = {call.span: call for call in calls if call.span is not None}
    for tool in sorted(turn.tools.values(), key=lambda each: each.begun):
        if tool.nested and tool.script is not None:
            continue
        call = by_span.get(tool.asked_by) if tool.asked_by is not None else None
        if call is None:
            begun = tool.begun
            before = (each for each in reversed(calls) if each.start <= begun and not each.compaction)
            call = next(before, None)
        if call is not None:
            call.asks.append(tool.call_id)


def _standing(turn: Turn, calls: list[ModelCall], last: object) -> Standing:
    if isinstance(last, StreamError) or (isinstance(last, Request) and not last.ok):
        return Standing.FAILED
    if any(tool.pending and not tool.refused for tool in turn.tools.values()):
        return Standing.TOOLS
    call = calls[-1] if calls else None
    if call is None:
        return Standing.BETWEEN if turn.tools else Standing.STARTED
    if not call.done:
        return Standing.SAMPLING
    begun = call.start
    if any(tool.finished and tool.finished > begun for tool in turn.tools.values()):
        return Standing.BETWEEN
    if turn.answer is not None and turn.answer.time >= begun:
        return Standing.ANSWERED
    latest = turn.attempts[-1] if turn.attempts else None
    if latest is not None and latest.call is not None:
        return Standing.TOOLS
    if latest is not None and latest.text is not None:
        return Standing.ANSWERED
    return Standing.PERHAPS
