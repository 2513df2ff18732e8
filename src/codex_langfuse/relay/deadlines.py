"""When a turn is taken to be over: by what is known of it, and how long nothing has come. Seconds."""

from __future__ import annotations

from codex_langfuse.relay.model_calls import CallHistory, Standing
from codex_langfuse.relay.turn import Turn

# How long after the last batch. Codex sends logs every second and spans every five.
SETTLE = 5.0  # Codex said that it is over; or, with only logs, it surely is
SETTLE_FOR_SPANS = 35.0  # it surely is, and Codex also sends spans, which a Collector may hold back for 30 s
LATE_LOGS = 35.0  # it is over, and the logs, which Codex also sends, are still to come
UNSURE = 30.0  # the model has answered, and it is not known whether it called a tool
UNSURE_FOR_SPANS = 60.0
AFTER_ERROR = 60.0  # the last thing heard is an error; Codex may try again
NO_ANSWER = 600.0  # the model was asked and nothing came (Codex itself gives up after 300 s)
NO_RESULT = 3_600.0  # a tool runs, or a person has not yet decided whether it may


def deadline(turn: Turn, history: CallHistory, sends_logs: bool, sampled: bool) -> float:
    """Return when (seconds) the turn leaves if nothing more comes.

    sends_logs: the Codex that runs it is known to send logs, too. sampled: its spans are sent.
    """
    if turn.closed or turn.ended is not None:
        return turn.heard + (LATE_LOGS if awaits_logs(turn, history, sends_logs) else SETTLE)
    spans_to_come = sampled and (turn.from_spans or bool(turn.traces))
    settle = SETTLE_FOR_SPANS if spans_to_come else SETTLE
    if turn.spans is not None and turn.spans.ran is not None:
        return turn.heard + settle
    standing = history.standing
    if turn.next_prompt and (turn.goes_on or standing not in {Standing.SAMPLING, Standing.TOOLS}):
        return turn.heard + settle
    if standing is Standing.ANSWERED:
        return turn.heard + settle
    if standing is Standing.PERHAPS:
        return turn.heard + (UNSURE_FOR_SPANS if spans_to_come else UNSURE)
    if standing is Standing.FAILED:
        return turn.heard + AFTER_ERROR
    if standing is Standing.TOOLS:
        return turn.heard + NO_RESULT
    return turn.heard + NO_ANSWER


def awaits_logs(turn: Turn, history: CallHistory, sends_logs: bool) -> bool:
    """Whether log records are on their way that tell of the turn what its spans do not, or tell, too."""
    if turn.spans is None:
        return False
    if any(call.compaction and call.usage is None for call in history.calls) or not turn.spans.whole:
        return True
    if not turn.from_logs:
        return sends_logs
    told = {attempt.span for attempt in turn.attempts if attempt.completion is not None}
    return any(call.usage is not None and span_id not in told for span_id, call in turn.spans.calls.items())


def is_over(turn: Turn, history: CallHistory) -> bool:
    """Whether nothing more is to be expected of a turn but what is on its way."""
    done = turn.spans is not None and turn.spans.ran is not None
    ended = turn.closed or done or turn.ended is not None
    return ended or history.standing in {Standing.ANSWERED, Standing.PERHAPS}
