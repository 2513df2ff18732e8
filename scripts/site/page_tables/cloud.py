"""What Langfuse Cloud counts of Codex's turns, from recordings of real turns on both routes.

Units are traces plus observations plus scores (langfuse.com/docs/administration/billable-units, read in
November 2026).
"""

import recordings
from codex_langfuse.exports import Span, spans_in
from codex_langfuse.relay.policy import Policy
from hooks.tested_with import pinned_codex
from page_tables.markdown import table, words_of
from relay_documented import relayed

_TEXTS = words_of(__file__)

#: The pieces of the streamed answer in the second row, and the units that the plan Hobby includes in a month.
PIECES, HOBBY = 300, 50_000

_HEAD = _TEXTS["head"]


def units(language: str) -> str:
    """Return the units of a turn on the direct route and through the relay."""
    direct, relay, exports = _counted(recordings.simple_turns()[pinned_codex()])
    session = _counted("real-use/0.171.0-two-turns-with-text")
    turn = [round(units / 2) for units in session[:2]]
    # Each piece is two spans more on the direct route (concepts/signals.md); the relay sends none of them.
    counts = [
        (direct, relay),
        (direct + 2 * PIECES, relay),
        turn,
        (1000 * direct, 1000 * relay),
        (HOBBY // direct, HOBBY // relay),
        [HOBBY // units for units in turn],
        exports,
    ]
    names = (name.format(pieces=PIECES, hobby=f"{HOBBY:,}") for name in _TEXTS["rows"][language])
    rows = zip(names, counts, strict=True)
    return table(_HEAD[language], ([name, *(f"{count:,}" for count in pair)] for name, pair in rows))


def _counted(name: str) -> tuple[int, int, tuple[int, int]]:
    """Return the units of a recording on both routes, and its requests to Langfuse on both."""
    requests = recordings.read(name)
    exported = [request.body for request in requests if request.signal == "traces"]
    sent = relayed([request.message for request in requests if request.signal != "metrics"], Policy())
    return _units(exported), _units(sent), (len(exported), len(sent))


def _units(bodies: list[bytes]) -> int:
    spans: list[Span] = spans_in(bodies)
    return len(spans) + len({span.trace_id for span in spans})


TABLES = {"cloud-units": units}
