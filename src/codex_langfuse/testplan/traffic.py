"""How cases put into words what they saw on the wire."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from codex_langfuse.exports import spans_in
from codex_langfuse.testplan.reading import NAMES
from codex_langfuse.testplan.stage import Langfuse, PlayedTurn
from codex_langfuse.testplan.wire import Exchange

#: Words by which Codex would tell of an export that failed.
_TROUBLE = re.compile(r"otel|opentelemetry|export|\b401\b|unauthorized|certificate|tls", re.I)
#: What the relay says in place of a text, such as "(prompt not sent, 36 characters)".
_NOT_SENT = re.compile(r"\([a-z ]+ not sent[,;] [\d,]+ [a-z ]+(, [\d,]+ [a-z ]+)*\)")


def requests(exchanges: Iterable[Exchange]) -> str:
    """Describe requests: method, address and status, each kind once with its number; then their bytes."""
    exchanges = list(exchanges)
    kinds = Counter(
        f"{each.method} {each.origin}{each.path.partition('?')[0]} → {each.status or 'no answer'}"
        for each in exchanges
    )
    if not kinds:
        return "no request"
    told = "; ".join(f"{number} × {kind}" for kind, number in kinds.items())
    return f"{told}; {sum(len(each.body) for each in exchanges):,} bytes"


def all_answered(exchanges: Iterable[Exchange], *statuses: int) -> bool:
    """Whether there were any, and each was answered with one of ``statuses``."""
    answers = {each.status for each in exchanges}
    return bool(answers) and answers <= set(statuses)


def ids_of(exchanges: Iterable[Exchange]) -> tuple[set[str], list[str]]:
    """Return the ids of all spans in exports, and of their traces."""
    spans = spans_in(each.body for each in exchanges)
    return {span.span_id for span in spans}, list(dict.fromkeys(span.trace_id for span in spans))


def silence(turn: PlayedTurn) -> tuple[bool, str]:
    """Return whether Codex ended well and said nothing of its telemetry on stderr."""
    said = [line for line in turn.run.stderr.splitlines() if _TROUBLE.search(line)]
    said = [line for line in said if not line.startswith("workdir:")]
    return (
        turn.run.returncode == 0 and not said,
        f"exit status {turn.run.returncode}; {'; '.join(said) or 'nothing said'}",
    )


def only_numbers(value: object) -> bool:
    """Whether an observation's input or output is empty, or holds nothing but lengths and other numbers."""
    if isinstance(value, str) and _NOT_SENT.fullmatch(value):
        return True
    if isinstance(value, str) and value:
        try:
            value = json.loads(value)
        except ValueError:
            return False
    if isinstance(value, dict):
        return all(isinstance(each, int | float) for each in value.values())
    return not value


def arrived(
    langfuse: Langfuse, turn: PlayedTurn, session: str, fields: str = NAMES, **filters: str
) -> tuple[bool, str, list[dict[str, Any]]]:
    """Wait until Langfuse shows all spans of a direct turn: whether it does, in words, the observations."""
    exports = turn.exports(langfuse.address)
    span_ids, trace_ids = ids_of(exports)
    shown = langfuse.reading.wait_for(session, span_ids, trace_ids, fields, **filters)
    told = (
        f"{len(span_ids)} spans in {len(trace_ids)} traces sent, {len(shown.ids & span_ids)} shown "
        f"after {shown.seconds} s"
    )
    return bool(span_ids) and shown.ids == span_ids, told, shown.observations
