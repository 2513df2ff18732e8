"""Which conversation runs under which: sub-agents, reviews and the guardian under the one that asked."""

from __future__ import annotations

from collections import OrderedDict

MOST = 40_000
_DEEPEST = 16


class Family:
    """The conversations that run under others, and the turn that asked where it is known."""

    def __init__(self) -> None:
        self._above: OrderedDict[str, tuple[str, str | None]] = OrderedDict()
        self._below: dict[str, set[str]] = {}

    def put(self, child: str, parent: str, turn_id: str | None = None) -> None:
        """Note that `child` runs under `parent`; turn_id: the turn that started it."""
        if child == parent or child in self._line(parent):
            return
        known = self._above.get(child)
        if known is not None and known[0] != parent:
            self._below.get(known[0], set()).discard(child)
        self._above[child] = (parent, turn_id or (known[1] if known and known[0] == parent else None))
        self._below.setdefault(parent, set()).add(child)
        while len(self._above) > MOST:
            forgotten, (its_parent, _) = self._above.popitem(last=False)
            self._below.get(its_parent, set()).discard(forgotten)

    def parent(self, conversation: str) -> tuple[str, str | None] | None:
        """Return the conversation above, and the turn of it if that is known."""
        return self._above.get(conversation)

    def children(self, conversation: str) -> tuple[str, ...]:
        """Return the conversations right below."""
        return tuple(sorted(self._below.get(conversation, ())))

    def _line(self, conversation: str) -> list[str]:
        line = [conversation]
        while len(line) < _DEEPEST and line[-1] in self._above:
            line.append(self._above[line[-1]][0])
        return line

    def top(self, conversation: str) -> str:
        """Return the conversation at the top: the session."""
        return self._line(conversation)[-1]

    def depth(self, conversation: str) -> int:
        """Return how many conversations are above."""
        return len(self._line(conversation)) - 1
