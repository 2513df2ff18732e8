"""The turns that have left: so that what comes late is dropped, and a late cost finds its trace."""

from __future__ import annotations

import uuid
from collections import OrderedDict

from codex_langfuse.nanoseconds import MILLISECOND, SECOND
from codex_langfuse.relay.facts import Fact
from codex_langfuse.relay.traces import SpanTurn
from codex_langfuse.relay.turn import Sent

# Bounds of what is remembered; the oldest is forgotten first.
MOST_CONVERSATIONS = 50_000
MOST_PER_CONVERSATION = 16


class SentTurns:
    """The turns that have left, by conversation and by Codex's id."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, list[Sent]] = OrderedDict()
        self._by_turn: dict[str, Sent] = {}
        self._costs: OrderedDict[str, None] = OrderedDict()

    def of(self, conversation_id: str) -> list[Sent]:
        """Return those of a conversation, the latest last."""
        return self._of.get(conversation_id, [])

    def add(self, sent: Sent) -> None:
        """Remember a turn."""
        turns = self._of.setdefault(sent.conversation, [])
        self._of.move_to_end(sent.conversation)
        turns.append(sent)
        turns.sort(key=lambda each: each.end)
        if sent.turn_id:
            self._by_turn[sent.turn_id] = sent
        forgotten = turns[:-MOST_PER_CONVERSATION]
        del turns[:-MOST_PER_CONVERSATION]
        while len(self._of) > MOST_CONVERSATIONS:
            forgotten += self._of.popitem(last=False)[1]
        for each in forgotten:
            if each.turn_id:
                self._by_turn.pop(each.turn_id, None)

    def holds(self, turn_id: str) -> bool:
        """Whether the turn of that id has left."""
        return turn_id in self._by_turn

    def came_late(self, conversation_id: str, fact: Fact, within: int = 0) -> bool:
        """Whether a fact belongs to a turn that has left, or is ``within`` nanoseconds of its end."""
        turns = self._of.get(conversation_id)
        if not turns:
            return False
        return fact.time <= turns[-1].end + within or (
            bool(fact.span_id) and any(fact.span_id.hex() in each.awaited for each in turns)
        )

    def left_by_logs(self, conversation_id: str, turn: SpanTurn) -> bool:
        """Whether a turn whose spans have come left before, under no id, as its log records told it."""
        traces = {trace.hex() for trace in turn.traces}
        return any(
            turn.first <= sent.end and not traces.isdisjoint(sent.codex_traces)
            for sent in self.of(conversation_id)
            if sent.turn_id != turn.turn_id and not sent.final
        )

    def was_in(self, conversation_id: str, trace_id: bytes) -> bool:
        """Whether a turn of the conversation that has left was in one of Codex's traces."""
        return any(trace_id.hex() in each.codex_traces for each in self.of(conversation_id))

    def of_turn(self, conversation_id: str, turn_id: str) -> Sent | None:
        """Return the turn of that id; if ids were not known, the one that began when the id was made."""
        sent = self._by_turn.get(turn_id)
        if sent is not None:
            return sent
        return next(
            (
                each
                for each in self.of(conversation_id)
                if each.turn_id is None and made_within(turn_id, each.start, each.end)
            ),
            None,
        )

    def add_cost(self, key: str) -> bool:
        """Remember that a cost was sent; False if it was before."""
        if key in self._costs:
            return False
        self._costs[key] = None
        while len(self._costs) > MOST_CONVERSATIONS:
            self._costs.popitem(last=False)
        return True


def made_within(turn_id: str, start: int, end: int) -> bool:
    """Whether an id was made as a turn began that lasted from `start` to `end` (nanoseconds).

    The ids of Codex's turns are UUIDs of version 7, which hold the time (milliseconds) they were made.
    """
    try:
        value = uuid.UUID(turn_id)
    except ValueError:
        return False
    return value.version == 7 and start - 5 * SECOND <= (value.int >> 80) * MILLISECOND <= end
