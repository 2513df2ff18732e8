"""Cases: an outage and a crash, a long answer, a Langfuse that hangs."""

import time
from pathlib import Path

from codex_langfuse.codex.scripted_model import Message, Scenario
from codex_langfuse.exports import spans_in
from codex_langfuse.keys.credentials import TRACES_PATH
from codex_langfuse.mock.faults import Fault
from codex_langfuse.relay.status import read_status
from codex_langfuse.relay.store import Figures
from codex_langfuse.testplan import configurations, traffic
from codex_langfuse.testplan.proof import Proof, in_words
from codex_langfuse.testplan.stage import Langfuse, PlayedTurn, Stage
from codex_langfuse.testplan.wire import Exchange, origin_of

_PIECES = 100
_LONG_ANSWER = Scenario((Message("A long answer, streamed in many pieces. " * 10, deltas=_PIECES),))
#: The spans that Codex makes for each event of the model's stream.
_SPANS_OF_A_PIECE = ("handle_responses", "receiving")
_MOST_RELAYED = 10

#: The relay takes a turn for over some seconds after its last batch; then it tries to deliver.
_SECONDS_UNTIL_TRIED = 45
#: Below the time after which Codex itself gives a request up (10 s), and far above what a busy machine adds.
_MOST_SECONDS_MORE = 8.0
#: How long Codex waits for each request on the direct route here, in seconds; by itself 10.
_DIRECT_LIMIT = 2.0


def recovery(stage: Stage, proof: Proof) -> None:
    """End a turn while Langfuse is down, kill the relay, bring Langfuse back, start the relay again."""
    langfuse = stage.langfuse()
    outage = Fault(status=503)
    stage.mock.faults.add(outage)
    state = stage.new_folder("relay")
    with stage.relay_process(langfuse, state) as relay:
        turn = stage.turn(configurations.relayed(), scenario="tool call")
        code, sent = turn.run.returncode, turn.exports(configurations.RELAY)
        proof.check("unharmed", code == 0 and sent, f"exit status {code}; {traffic.requests(sent)}")
        tried = _wait_for_attempts(stage, _SECONDS_UNTIL_TRIED)
        relay.kill()
    waiting = _figures(state)
    told = f"{traffic.requests(tried)}; then killed, with {_in_words(waiting)}"
    proof.check("tried", traffic.all_answered(tried, 503), told)

    stage.mock.faults.clear()
    before = len(stage.wire.exchanges)
    with stage.relay_process(langfuse, state):
        pass
    relayed = stage.arrived(langfuse, turn, stage.wire.exchanges[before:])
    ids = {span.span_id for span in relayed.spans}
    left = _figures(state)
    done = left is not None and (left.accepted, left.waiting) == (1, 0)
    proof.check(
        "survives",
        ids and relayed.shown.ids == ids and done,
        f"{traffic.requests(relayed.delivered)}; {_in_words(left)}",
    )
    rows = langfuse.reading.now(turn.session, [span.trace_id for span in relayed.spans])
    traces = {row["traceId"] for row in rows}
    stored = [row["id"] for row in stage.mock.store.observations]
    once = len(traces) == 1 and sorted(stored) == sorted(ids) and ids
    proof.check(
        "once", once, f"{len(stored)} observations, {len(set(stored))} different; traces: {len(traces)}"
    )

    stage.mock.faults.add(outage)
    config = configurations.direct(langfuse.address, session=stage.session)
    direct = stage.turn(config, environment=langfuse.key)
    exports = direct.exports(langfuse.address)
    stage.mock.faults.clear()
    bodies = [each.body for each in exports]
    lost = traffic.all_answered(exports, 503) and len(set(bodies)) == len(bodies)
    shown = langfuse.reading.now(stage.session, [])
    proof.check("direct_lost", lost and not shown, f"{traffic.requests(exports)}; {len(shown)} shown")


def volume(stage: Stage, proof: Proof) -> None:
    """Run a turn with a long streamed answer on both routes."""
    langfuse = stage.langfuse()
    config = configurations.direct(langfuse.address, session=stage.session)
    turn = stage.turn(config, scenario=_LONG_ANSWER, environment=langfuse.key)
    exports = turn.exports(langfuse.address)
    spans = spans_in(each.body for each in exports)
    of_pieces = {name: sum(span.name == name for span in spans) for name in _SPANS_OF_A_PIECE}
    traces = {span.trace_id for span in spans}
    largest = max((len(each.body) for each in exports), default=0)
    right = all(number >= _PIECES for number in of_pieces.values()) and len(spans) > 4 * _PIECES
    proof.check(
        "hundreds",
        right,
        f"{len(spans)} spans in {len(traces)} traces, of them {in_words(of_pieces)} for {_PIECES} pieces; "
        f"{len(exports)} requests, the largest of {largest:,} bytes",
    )
    all_shown, told, _ = traffic.arrived(langfuse, turn, stage.session)
    proof.check("complete", all_shown and traffic.all_answered(exports, 200, 207), told)
    relayed = stage.relayed_turn(langfuse, scenario=_LONG_ANSWER)
    ids = {span.span_id for span in relayed.spans}
    proof.check(
        "relay",
        ids and relayed.shown.ids == ids and len(ids) <= _MOST_RELAYED,
        f"{len(ids)} spans sent, {len(relayed.shown.ids)} shown; "
        f"{sum(len(each.body) for each in relayed.delivered):,} bytes",
    )


def performance(stage: Stage, proof: Proof) -> None:
    """Time a turn in five set-ups, two of them with a Langfuse that never answers."""
    langfuse = stage.langfuse()
    turns = {"off": stage.turn('[otel]\nmetrics_exporter = "none"\n')}
    config = configurations.direct(langfuse.address, session=stage.session)
    turns["direct"] = stage.turn(config, environment=langfuse.key)
    turns["relay"] = _through_relay(stage, langfuse, stage.new_folder("relay"))
    stage.mock.faults.add(Fault(hang=True))
    limit = {"OTEL_EXPORTER_OTLP_TIMEOUT": str(int(_DIRECT_LIMIT * 1000))}
    turns["direct, hanging"] = stage.turn(config, environment={**langfuse.key, **limit})
    before, state = len(stage.wire.exchanges), stage.new_folder("relay")
    turns["relay, hanging"] = _through_relay(stage, langfuse, state, killed=True)
    hanging = {
        "direct": turns["direct, hanging"].exports(langfuse.address),
        # The relay has asked, with an empty export, whether its keys are right, and still waits.
        "relay": [
            each
            for each in stage.wire.exchanges[before:]
            if each.origin == origin_of(langfuse.address) and each.method == "POST"
        ],
    }
    kept = _figures(state)

    seconds = {name: turn.run.seconds for name, turn in turns.items()}
    in_words = ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
    ratios = ", ".join(f"{name} ×{value / seconds['off']:.2f}" for name, value in seconds.items())
    codes = {turn.run.returncode for turn in turns.values()}
    proof.check("measured", codes == {0}, f"{in_words}; to off: {ratios}")
    met = all(found and all(each.status is None for each in found) for found in hanging.values())
    proof.check(
        "hung", met, "; ".join(f"{name}: {traffic.requests(found)}" for name, found in hanging.items())
    )
    waited = seconds["direct, hanging"]
    proof.check("direct", waited >= _DIRECT_LIMIT, f"{waited:.2f} s, where {seconds['direct']:.2f} s do")
    more = seconds["relay, hanging"] - seconds["relay"]
    proof.check("relay", more < _MOST_SECONDS_MORE, f"{more:+.2f} s")
    proof.check("kept", kept and (kept.batches or kept.waiting), _in_words(kept))


def _through_relay(stage: Stage, langfuse: Langfuse, state: Path, *, killed: bool = False) -> PlayedTurn:
    """Time a turn to a relay's own address, unseen."""
    with stage.relay_process(langfuse, state) as relay:
        turn = stage.turn(configurations.relayed(relay.url))
        if killed:
            relay.kill()
    return turn


def _wait_for_attempts(stage: Stage, seconds: float) -> list[Exchange]:
    """Wait until the relay has tried to send a turn to Langfuse and has its answer; return the attempts."""
    deadline = time.monotonic() + seconds
    while True:
        tried = [
            each for each in stage.wire.exchanges if each.path == TRACES_PATH and each.body and each.status
        ]
        if tried or time.monotonic() > deadline:
            return tried
        time.sleep(0.05)


def _figures(state: Path) -> Figures | None:
    return read_status(state).figures


def _in_words(figures: Figures | None) -> str:
    if figures is None:
        return "nothing on disk"
    return (
        f"{figures.seen} turns seen, {figures.accepted} accepted, {figures.waiting} waiting, "
        f"{figures.batches} exports of turns in progress on disk"
    )


PLAYERS = {
    "failure-recovery": recovery,
    "volume": volume,
    "performance": performance,
}
