"""The relay's law as a property: whatever Codex does and however its telemetry comes, each token once.

`pytest tests/test_relay_law.py --hypothesis-profile=thorough` tries a hundred times as many scenarios.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from codex_langfuse.codex.telemetry import SPANS, WANTED
from codex_langfuse.nanoseconds import SECOND
from codex_langfuse.relay.policy import Content, Policy
from harness.langfuse_laws import broken
from harness.recorded_truth import Timed, relayed, sent, shown
from harness.simulated_codex import (
    Conversation,
    Step,
    Telemetry,
    Tool,
    TurnScript,
    Usage,
    as_logs,
    as_traces,
    telemetry,
)
from relayed_recordings import Relayed, tree

# --- scenarios ----------------------------------------------------------------------------------------------


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Small numbers: several calls that use the same are common."""
    given, told = draw(st.integers(1, 3)) * 1_000, draw(st.integers(1, 3)) * 10
    return given, draw(st.sampled_from([0, given // 2, given])), told, draw(st.sampled_from([0, told]))


COMMANDS = st.builds(Tool, st.sampled_from([5, 200, 4_000]), st.booleans())


def steps(tools: st.SearchStrategy[Tool]) -> st.SearchStrategy[Step]:
    """Return model calls that ask for some of `tools`."""
    return st.builds(
        Step,
        usages(),
        st.sampled_from([5, 50, 3_000]),
        st.lists(tools, min_size=1, max_size=2).map(tuple),
        st.sampled_from([(), (), (), ("refused",), ("cut",), ("cut", "refused")]),
        st.none() | st.none() | usages(),
        st.sampled_from([False, False, True]),
    )


LAST = st.builds(Step, usages(), st.sampled_from([5, 700]))
AGENTS = st.builds(
    lambda before, last: Tool(agent=TurnScript((*before, last))), st.lists(steps(COMMANDS), max_size=1), LAST
)
SCRIPTS = st.builds(lambda nested: Tool(nested=tuple(nested)), st.lists(COMMANDS, min_size=1, max_size=2))


@st.composite
def turns(draw: st.DrawFn) -> TurnScript:
    """A turn: mostly answered."""
    before = draw(st.lists(steps(COMMANDS | SCRIPTS | AGENTS), max_size=2))
    end = draw(st.sampled_from(["answered", "answered", "answered", "interrupted", "failed"]))
    last = [draw(LAST)] if end == "answered" else []
    return TurnScript((*before, *last), end, draw(st.booleans()), draw(st.integers(0, 5)) == 0)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """A conversation, which may end with its process."""
    done = draw(st.lists(turns(), min_size=1, max_size=3))
    done[0] = TurnScript(done[0].steps, done[0].end, False, done[0].unclosed)
    if draw(st.integers(0, 4)) == 0:
        last = done[-1]
        rest = last.steps[:-1] if last.end == "answered" else last.steps
        done[-1] = TurnScript(rest, "killed", last.goal)
    return Conversation(
        tuple(done),
        draw(st.integers(0, 3_000)),
        draw(st.sampled_from([1, 900, 20_000])),
        draw(st.booleans()),
    )


SCENARIOS = st.lists(conversations(), min_size=1, max_size=2)

# --- how it comes -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arrival:
    """How telemetry reaches the relay.

    order: `as sent`; `logs late` or `traces late`; `any` order of the requests, or of the `records`, at once.
    again: how many in ten come twice. clock: by how many seconds log records are off; stamped: they still
    have Codex's own time too (and always when they are late). ids: where only logs come, they name their
    spans, which they do unless Codex makes none.
    """

    signals: str
    order: str
    again: int
    clock: float
    stamped: bool
    ids: bool
    seed: int


ARRIVALS = st.builds(
    Arrival,
    st.sampled_from(["both", "both", "logs", "traces"]),
    st.sampled_from(["as sent", "logs late", "traces late", "any", "records"]),
    st.sampled_from([0, 3, 10]),
    st.sampled_from([0, 0, 0.01, -2.5, 3_600, -3_600]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 1_000),
)


def arriving(sent: Telemetry, how: Arrival) -> list[Timed]:
    """Return the requests as they come: Codex sends logs every second, and spans every five."""
    chance = random.Random(how.seed)
    given: list[Timed] = []
    size = 1 if how.order == "records" else 512
    if how.signals != "traces":
        logs = [_shifted(record, how) for record in sent.logs]
        due = [record.observed_time_unix_nano for record in sent.logs]
        late = 25.0 * (how.order == "logs late")
        given += [Timed(at + late, "logs", as_logs(part)) for at, part in _batches(logs, due, 1, size)]
    if how.signals != "logs":
        due = [span.end_time_unix_nano for span in sent.spans]
        late = 25.0 * (how.order == "traces late")
        given += [
            Timed(at + late, "traces", as_traces(part)) for at, part in _batches(sent.spans, due, 5, size)
        ]
    given += [each for each in given if chance.random() * 10 < how.again]
    if how.order in {"any", "records"}:
        chance.shuffle(given)
        return [Timed(0.0, each.signal, each.message) for each in given]
    return sorted(given, key=lambda each: each.seconds)


def _batches(
    records: Sequence[Any], due: Sequence[int], every: int, size: int
) -> Iterator[tuple[float, list[Any]]]:
    parts: defaultdict[int, list[Any]] = defaultdict(list)
    for record, time in zip(records, due, strict=True):
        parts[time // (every * SECOND)].append(record)
    start = min(parts, default=0)
    for number, part in sorted(parts.items()):
        for first in range(0, len(part), size):
            yield float((number - start + 1) * every), part[first : first + size]


def _shifted(record: Any, how: Arrival) -> Any:
    record = deepcopy(record)
    if how.signals == "logs" and not how.ids:
        record.trace_id = record.span_id = b""
    record.observed_time_unix_nano += int(how.clock * SECOND)
    if how.clock and not how.stamped and how.order != "logs late":
        kept = [each for each in record.attributes if each.key != "event.timestamp"]
        del record.attributes[:]
        record.attributes.extend(kept)
    return record


# --- the law ------------------------------------------------------------------------------------------------


def by_kind(usage: Usage) -> tuple[int, ...]:
    """Return the tokens of a usage by kind, each once, as `recorded_truth.shown` has them."""
    return usage[0] - usage[1], usage[1], 0, usage[2] - usage[3], usage[3]


def counted(usages: Counter[Usage]) -> Counter[tuple[int, ...]]:
    """Return usages by kind."""
    return Counter({by_kind(usage): times for usage, times in usages.items()})


def hold_the_law(
    result: Relayed, sent: Telemetry, conversations: Sequence[Conversation], how: Arrival
) -> None:
    answers, per_turn, roots = shown(result)
    missing = counted(sent.total()) - answers
    assert not answers - counted(sent.total()), "tokens that nobody charged"
    if how.signals == "traces":
        # What a compaction used is on no span, nor what was used in calls that a kill cut off.
        hidden = counted(sent.compacted) + (counted(sent.total()) if is_killed(conversations) else Counter())
        assert not missing - hidden
        assert not missing or "usage not reported" in flags(result) or is_killed(conversations)
    else:
        assert not missing
    if how.signals == "both":
        charged = {turn: counted(usages) for turn, usages in sent.charged.items() if usages}
        assert per_turn == charged
    agents = Counter(each["metadata"].get("turn_id") for each in result.of("AGENT"))
    assert all(times == 1 for turn_id, times in agents.items() if turn_id is not None)
    if how.signals == "both":
        assert len(roots) == len({each["traceId"] for each in result.observations})
        assert {each["metadata"]["turn_id"] for each in roots} == sent.charged.keys() - sent.parents.keys()
    hold_the_laws_of_langfuse(result.observations)


def flags(result: Relayed) -> set[str]:
    return {flag for turn in result.turns for flag in turn.flags}


def is_killed(conversations: Iterable[Conversation]) -> bool:
    return any(turn.end == "killed" for conversation in conversations for turn in conversation.turns)


def hold_the_laws_of_langfuse(observations: Sequence[dict[str, Any]]) -> None:
    assert len({each["id"] for each in observations}) == len(observations)
    assert not broken(observations)
    for each in observations:
        assert each["startTime"] > "2026"
        if each["type"] == "GENERATION":
            reported = sum(each["usageDetails"].values())
            assert reported or "not reported" in str(each["metadata"].get("usage"))


ANSWER = Step((2_000, 0, 30, 0), 700)
AGENT_AT_WORK = Tool(agent=TurnScript((Step((1_000, 0, 30, 30), 3_000, (Tool(200),)), ANSWER)))
CUT = Step((1_000, 500, 10, 10), 50, (Tool(5),), ("cut",), (2_000, 2_000, 20, 0), steered=True)

# Found by this test. By logs only, a prompt that was written into a turn with its process left before it.
CUT_OFF = [
    Conversation((TurnScript((CUT,), "failed"), TurnScript((CUT,), "killed", goal=True)), pause=20_000)
]
# A turn waits for the logs that tell its compaction; the next one, which needs none, left meanwhile.
WAITING = [Conversation((TurnScript((CUT, ANSWER)), TurnScript((ANSWER,))), pause=1, websocket=False)]
# The spans of a goal's turn are below those of the turn before: with its own gone, it seemed to be of that.
GOAL = [Conversation((TurnScript((CUT,), "failed"), TurnScript((ANSWER,), goal=True)), pause=1)]
# What an agent used came after the turn above it had left.
BELOW = [
    Conversation(
        (TurnScript((Step((1_000, 0, 10, 0), tools=(Tool(agent=TurnScript((CUT, ANSWER))),)), ANSWER)),)
    )
]
# By logs only, requests that wait for the spans of a goal's turn.
GOALS = [
    Conversation(
        (
            TurnScript((), "interrupted"),
            TurnScript(
                (
                    Step((1_000, 500, 20, 20), tools=(AGENT_AT_WORK,)),
                    Step((2_000, 1_000, 30, 30), 3_000, (AGENT_AT_WORK,), steered=True),
                    ANSWER,
                ),
                goal=True,
            ),
            TurnScript((ANSWER,), goal=True),
        ),
        begins=520,
        pause=900,
    )
]

IS_THOROUGH = settings.get_current_profile_name() == "thorough"


@settings(
    max_examples=settings.default.max_examples if IS_THOROUGH else 50,
    derandomize=not IS_THOROUGH,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@example(CUT_OFF, Arrival("logs", "as sent", 0, 0, True, True, 1), Content.NONE)
@example(WAITING, Arrival("both", "logs late", 0, 0, True, True, 1), Content.NONE)
@example(GOAL, Arrival("both", "logs late", 0, 0, True, True, 1), Content.NONE)
@example(BELOW, Arrival("both", "logs late", 0, 0, True, True, 1), Content.NONE)
@example(CUT_OFF, Arrival("both", "any", 3, 3_600, True, True, 1), Content.FULL)
@example(GOALS, Arrival("logs", "as sent", 0, 0, True, True, 3), Content.NONE)
@given(SCENARIOS, ARRIVALS, st.sampled_from(list(Content)))
def test_each_token_that_was_charged_is_shown_once(
    scenario: list[Conversation], how: Arrival, content: Content
) -> None:
    sent = telemetry(scenario)
    result = relayed(arriving(sent, how), Policy(content=content))
    try:
        hold_the_law(result, sent, scenario, how)
    except AssertionError:
        print("\n".join(tree(result.observations)))
        raise


# --- the scenarios are like what Codex does -----------------------------------------------------------------


def kinds_of_records(given: Iterable[Timed]) -> tuple[set[tuple[str, frozenset[str]]], set[tuple[str, str]]]:
    """Return the kinds of records, each with those of its attributes that are read, and who is under whom."""
    kinds: set[tuple[str, frozenset[str]]] = set()
    spans = []
    for each in given:
        message: Any = each.message
        if each.signal == "logs":
            records = (r for g in message.resource_logs for s in g.scope_logs for r in s.log_records)
            kinds.update(
                (f"log {name}, {'span' if record.span_id else 'no span'}", read)
                for record in records
                for name, read in _read_of_event(record)
            )
        else:
            spans += [r for g in message.resource_spans for s in g.scope_spans for r in s.spans]
    names = {span.span_id: _name_of(span) for span in spans}
    for span in spans:
        keys = {item.key for item in span.attributes}
        kinds.add((_name_of(span), frozenset(keys & (_OF_TOOLS if _name_of(span) == "tool" else _of(span)))))
        kinds.update(
            (f"event {name} on {_name_of(span)}", read)
            for event in span.events
            for name, read in _read_of_event(event)
        )
    return kinds, {(_name_of(span), names.get(span.parent_span_id, "")) for span in spans}


_OF_TOOLS = {"tool_name", "call_id", "aborted", "conversation.id", "turn.id", "turn_id"}


def _name_of(span: Any) -> str:
    keys = {item.key for item in span.attributes}
    return "tool" if {"tool_name", "call_id", "aborted"} <= keys else span.name


def _of(span: Any) -> frozenset[str]:
    return SPANS.get(span.name, frozenset())


def _read_of_event(record: Any) -> Iterator[tuple[str, frozenset[str]]]:
    name = next((item.value.string_value for item in record.attributes if item.key == "event.name"), "")
    if name in WANTED:
        yield name, WANTED[name] & {item.key for item in record.attributes}


#: What the relay reads, and the scenarios leave out: they say what a turn did, not who asked for it.
NOT_SIMULATED = {"app.version", "originator", "auth_mode", "terminal.type", "thread.id"}


@pytest.mark.slow
def test_the_simulated_codex_sends_what_codex_sends() -> None:
    """Each kind of record that is made up is in a recording of Codex 0.171, with the same attributes."""
    names = ("openai-provider-websocket-code-mode", "auto-compaction", "goal", "err-429-then-ok")
    names += ("websocket-cut-then-ok", "subagents-nested")
    files = [*(f"real-use/0.171.0-{name}" for name in names), "0.171.0-sub-agent"]
    recorded = kinds_of_records(each for file in files for each in sent(file))
    for websocket in (True, False):
        made = telemetry([Conversation((EVERYTHING, *AFTER), websocket=websocket)])
        kinds, parents = kinds_of_records(arriving(made, Arrival("both", "as sent", 0, 0, True, True, 0)))
        assert {(name, keys - NOT_SIMULATED) for name, keys in kinds} <= {
            (name, keys - NOT_SIMULATED) for name, keys in recorded[0]
        }
        assert parents <= recorded[1]


EVERYTHING = TurnScript(
    (
        Step(
            (1, 0, 1, 0),
            tools=(Tool(nested=(Tool(), Tool(failed=True))), Tool()),
            failures=("refused", "cut"),
            compaction=(2, 0, 1, 0),
        ),
        Step((3, 0, 1, 0), tools=(Tool(agent=TurnScript((Step((4, 0, 1, 0)),))),)),
        Step((5, 0, 1, 0)),
    )
)
AFTER = (
    TurnScript((Step((6, 0, 1, 0)),), goal=True),
    TurnScript((), "interrupted"),
    TurnScript((), "failed"),
)
