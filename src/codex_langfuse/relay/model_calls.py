"""The model calls of a turn, and where the turn stands, from its facts in the order of their times."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from operator import attrgetter

from codex_langfuse.relay.turn import Completion, Request, StreamError, Turn, Usage

MILLISECOND = 1_000_000
#: A log record and the event on a span that tell the same are written at most this far apart (seen: 6 ms).
_SAME = 150 * MILLISECOND
#: The same for the completion of a model call, when the span around it did not arrive.
_SAME_COMPLETION = 2_000 * MILLISECOND


@dataclass(slots=True)
class Sampling:
    """The span `try_run_sampling_request`: one model call and the tools it asks for. turn_id: Codex's."""

    turn_id: str | None
    model: str | None
    start: int
    end: int


@dataclass(slots=True)
class TraceFacts:
    """What the spans of one of Codex's traces say that no event on them says."""

    last_heard: float
    samplings: dict[bytes, Sampling] = field(default_factory=dict)
    #: The span `receiving_stream`: its parent (a sampling) and its end.
    receivers: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    #: The span `handle_responses` that holds the usage: its parent (a receiver) and what it says.
    usages: dict[bytes, tuple[bytes, Completion]] = field(default_factory=dict)
    #: Turns that a client started by `turn/start`; sub-agents are not among them.
    started: dict[str, bool] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    #: Whether more than one turn has been in the trace: a turn and its sub-agents'.
    shared: bool = False
    batches: set[int] = field(default_factory=set)


@dataclass(slots=True)
class ModelCall:
    """One answer of the model, whole or broken off. failed_before: attempts that were refused or cut."""

    start: int
    end: int | None = None
    first_token: int | None = None
    usage: Usage | None = None
    model: str | None = None
    effort: str | None = None
    request: Request | None = None
    failed_before: int = 0
    error: StreamError | None = None

    @property
    def complete(self) -> bool:
        """Whether the answer came to its end."""
        return self.end is not None and self.error is None


class Standing(Enum):
    """Where a turn stands."""

    STARTED = auto()  # nothing but a prompt
    SAMPLING = auto()  # the model was asked and has not ended its answer
    FAILED = auto()  # the last thing heard of the model is an error
    TOOLS = auto()  # a tool has been called and has not ended
    BETWEEN = auto()  # a tool has ended and the model has not been asked again
    ANSWERED = auto()  # the model's answer ended, and holds no call of a tool
    PERHAPS = auto()  # the model's answer ended; whether it calls a tool is not known yet


@dataclass(slots=True)
class Course:
    """The model calls of a turn in order, the failures between them, and where that leaves the turn."""

    calls: list[ModelCall]
    failures: list[Request | StreamError]
    standing: Standing


def course_of(turn: Turn, traces: list[TraceFacts]) -> Course:
    """Put the facts of `turn`, and those that `traces` hold of it, in order."""
    samplings, completions, dones = _from_traces(turn, traces)
    completions = _merged_completions(turn, completions, samplings)
    requests = _merged(turn.requests.values())
    errors = _merged(turn.stream_errors.values())
    # Sorted by time; at the same time in the order request, first output, error, completion, end of stream.
    facts: list[tuple[int, int, object]] = [(each.time, 0, each) for each in requests]
    facts += [(time, 1, None) for time in turn.first_outputs]
    facts += [(each.time, 2, each) for each in errors]
    facts += [(each.time, 3, each) for each in completions]
    facts += [(time, 4, None) for time in turn.dones]
    facts += [(time, 4, None) for time in dones]
    facts.sort(key=_by_time)

    calls: list[ModelCall] = []
    failures: list[Request | StreamError] = []
    current: ModelCall | None = None
    failed = 0
    last: object = None
    for time, kind, fact in facts:
        if kind == 0:
            assert isinstance(fact, Request)
            last = fact
            if fact.ok:
                current = ModelCall(
                    time - fact.duration, model=fact.model, request=fact, failed_before=failed
                )
                calls.append(current)
                failed = 0
            else:
                failures.append(fact)
                failed += 1
        elif kind == 1:
            if current is None:
                current = ModelCall(time)
                calls.append(current)
            if current.first_token is None:
                current.first_token = time
        elif kind == 2:
            assert isinstance(fact, StreamError)
            last = fact
            failures.append(fact)
            failed += 1
            if current is not None and current.usage is None:
                current.error, current.end = fact, time
            current = None
        elif kind == 3:
            assert isinstance(fact, Completion)
            last = fact
            if current is None or current.usage is not None:
                current = ModelCall(_start_before(time, samplings))
                calls.append(current)
            current.end, current.usage = time, fact.usage
            current.model = current.model or fact.model
            current.effort = fact.effort
        elif current is not None and current.end is None:
            current.end = time
            last = current
    for call in calls:
        if call.first_token is not None and call.end is not None and call.first_token > call.end:
            call.first_token = None
    if calls and calls[0].first_token is None and turn.first_token_after and turn.prompts:
        first = turn.first_token_after
        if calls[0].end is None or calls[0].start <= first <= calls[0].end:
            calls[0].first_token = first
    return Course(calls, failures, _standing(turn, calls, last))


def _by_time(fact: tuple[int, int, object]) -> tuple[int, int]:
    return fact[0], fact[1]


def _standing(turn: Turn, calls: list[ModelCall], last: object) -> Standing:
    if isinstance(last, StreamError) or (isinstance(last, Request) and not last.ok):
        return Standing.FAILED
    if any(tool.pending for tool in turn.tools.values()):
        return Standing.TOOLS
    call = calls[-1] if calls else None
    if call is None:
        return Standing.BETWEEN if turn.tools else Standing.STARTED
    if call.end is None:
        return Standing.SAMPLING
    begun = call.start
    if any(tool.finished and tool.finished > begun for tool in turn.tools.values()):
        return Standing.BETWEEN
    if turn.answered is not None and turn.answered >= begun:
        return Standing.ANSWERED
    if any(time >= begun for time in turn.calls_announced):
        return Standing.TOOLS
    if any(time >= begun for time in turn.said):
        return Standing.ANSWERED
    return Standing.PERHAPS


def _start_before(time: int, samplings: list[Sampling]) -> int:
    """Return when the sampling began in which `time` lies; `time` itself if none is known."""
    return max((each.start for each in samplings if each.start <= time <= each.end), default=time)


def _merged(facts) -> list:  # type: ignore[no-untyped-def]
    """Return the facts that logs told, and those that only spans told."""
    logged = [fact for fact in facts if not fact.on_span]
    spanned = [fact for fact in facts if fact.on_span]
    if not logged or not spanned:
        return logged or spanned
    merged, free = list(logged), sorted(logged, key=attrgetter("time"))
    for fact in sorted(spanned, key=attrgetter("time")):
        twin = next(
            (each for each in free if abs(each.time - fact.time) <= _SAME and _alike(each, fact)), None
        )
        if twin is None:
            merged.append(fact)
        else:
            free.remove(twin)
    return merged


def _alike(one: Request | StreamError, other: Request | StreamError) -> bool:
    if isinstance(one, Request) and isinstance(other, Request):
        return one.status == other.status and one.ok == other.ok
    return True


def _from_traces(
    turn: Turn, traces: list[TraceFacts]
) -> tuple[list[Sampling], list[tuple[Sampling | None, Completion]], list[int]]:
    """Return the samplings, the completions and the ends of streams that spans tell of this turn."""
    samplings: list[Sampling] = []
    completions: list[tuple[Sampling | None, Completion]] = []
    dones: list[int] = []
    for trace in traces:
        alone = not trace.shared
        mine = {
            span_id: sampling
            for span_id, sampling in trace.samplings.items()
            if (sampling.turn_id == turn.turn_id if turn.turn_id and sampling.turn_id else alone)
        }
        samplings += mine.values()
        for parent, end in trace.receivers.values():
            if parent in mine:
                dones.append(end)
        for receiver, completion in trace.usages.values():
            parent = trace.receivers.get(receiver, (b"", 0))[0]
            sampling = mine.get(parent)
            if sampling is not None or (alone and parent not in trace.samplings):
                completions.append((sampling, completion))
    return samplings, completions, dones


def _merged_completions(
    turn: Turn, spanned: list[tuple[Sampling | None, Completion]], samplings: list[Sampling]
) -> list[Completion]:
    """Return each completion once: as the log told it, or as the span did where no log came.

    One sampling holds one completion, so a log record and a span in the same sampling are the same.
    """
    merged = list(turn.completions.values())
    free = sorted(merged, key=attrgetter("time"))
    for sampling, completion in sorted(spanned, key=lambda pair: pair[1].time):
        for logged in free:
            if sampling is not None:
                same = sampling.start <= logged.time <= max(sampling.end, completion.time)
            else:
                same = (
                    abs(logged.time - completion.time) <= _SAME_COMPLETION
                    and logged.usage == completion.usage
                )
            if same:
                logged.effort = logged.effort or completion.effort
                free.remove(logged)
                break
        else:
            if sampling is not None and completion.model is None:
                completion.model = sampling.model
            merged.append(completion)
    return merged
