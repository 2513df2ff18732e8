"""What a scripted model charged in a recording of real use, and what the relay made of it."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import recordings
from codex_langfuse.relay.assembly import Assembly
from codex_langfuse.relay.policy import Policy
from relayed_recordings import Batch, Relayed, as_received, observed, settle

NAMES = recordings.names("real-use/*")
KINDS = ("input", "input_cached_tokens", "input_cache_creation", "output", "output_reasoning_tokens")
Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Timed:
    """One request that Codex sent: seconds since the run began, its signal and its message."""

    seconds: float
    signal: str
    message: Batch


Change = Callable[[Sequence[Timed]], Sequence[Timed]]


@cache
def sent(name: str) -> tuple[Timed, ...]:
    """Return the logs and traces of a recording, as they were sent."""
    kept = (each for each in recordings.read(name) if each.signal != "metrics")
    return tuple(Timed(each.seconds, each.signal, each.message) for each in kept)


def tokens(usage: Mapping[str, Any]) -> Tokens:
    """Return what the model reported by kind, each token once, in the order of ``KINDS``."""
    inputs, outputs = usage.get("input_tokens_details") or {}, usage.get("output_tokens_details") or {}
    cached = min(inputs.get("cached_tokens", 0), usage["input_tokens"])
    written = min(inputs.get("cache_write_tokens", 0), usage["input_tokens"] - cached)
    reasoning = min(outputs.get("reasoning_tokens", 0), usage["output_tokens"])
    return (
        usage["input_tokens"] - cached - written,
        cached,
        written,
        usage["output_tokens"] - reasoning,
        reasoning,
    )


@dataclass(frozen=True)
class Truth:
    """What the model charged: each answer, and by Codex's turn if that is known. roots: traces, if known."""

    answers: Counter[Tokens]
    by_turn: Mapping[str, Counter[Tokens]] | None
    roots: int | None


@cache
def truth(name: str) -> Truth:
    """Return the truth beside a recording."""
    file = recordings.FOLDER / name
    told = file.with_name(file.name + ".truth.json")
    if told.is_file():
        found = json.loads(told.read_text(encoding="utf-8"))
        charged = [each for each in found["requests"] if each["usage"] and not each["warm_up"]]
        answers = Counter(tokens(each["usage"]) for each in charged)
        return Truth(answers, None, None if 1 in found["exit_statuses"] else found["expected_traces"])
    found = json.loads(file.with_name(file.name + ".model.json").read_text(encoding="utf-8"))
    by_turn: defaultdict[str, Counter[Tokens]] = defaultdict(Counter)
    for answer in found["model_answers"]:
        if answer["usage"]:
            by_turn[answer["turn"]][tokens(answer["usage"])] += 1
    return Truth(sum(by_turn.values(), Counter()), dict(by_turn), None)


def relayed(given: Sequence[Timed], policy: Policy | None = None) -> Relayed:
    """Feed what was sent at the times it was sent, and wait until every turn has left."""
    assembly = Assembly(policy or Policy())
    begun = 1_796_000_000.0
    turns = []
    for number, each in enumerate(given):
        assembly.take(number, as_received(each.message), begun + each.seconds)
        turns += assembly.finished(begun + each.seconds)
    turns += settle(assembly)
    return Relayed(turns, observed(turns), assembly)


def shown(result: Relayed) -> tuple[Counter[Tokens], dict[str | None, Counter[Tokens]], list[dict[str, Any]]]:
    """Return the tokens of each generation, the same by the turn of the agent above, and the roots."""
    by_id = {each["id"]: each for each in result.observations}
    by_turn: defaultdict[str | None, Counter[Tokens]] = defaultdict(Counter)
    for generation in result.of("GENERATION"):
        if generation["usageDetails"]:
            above = by_id[generation["parentObservationId"]]
            assert above["type"] == "AGENT"
            usage = tuple(int(generation["usageDetails"].get(kind, 0)) for kind in KINDS)
            by_turn[above["metadata"].get("turn_id")][usage] += 1
    roots = [each for each in result.of("AGENT") if each["parentObservationId"] not in by_id]
    return sum(by_turn.values(), Counter()), dict(by_turn), roots
