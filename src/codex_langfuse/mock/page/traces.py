"""Observations put together as Langfuse's pages show them: a list of traces, and one trace as a tree."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from codex_langfuse.mock.langfuse.observations import read_date

Row = dict[str, Any]

#: The span that is a turn, in Codex 0.110 and newer.
TURN = "session_task.turn"

_PLAIN_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
#: So many siblings without children, of the same name and kind in a row, are shown as one.
_FEWEST_ALIKE = 3


def address_of(trace_id: str) -> str:
    """Return an id as it is written in an address: itself, or a digest when it is no plain word."""
    if _PLAIN_ID.fullmatch(trace_id):
        return trace_id
    return "_" + hashlib.sha256(trace_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass
class Trace:
    """A trace in the list; times in milliseconds since 1970, costs in US dollars."""

    id: str
    rows: list[Row] = field(default_factory=list)
    name: str = ""
    start: int = 0
    end: int = 0
    types: Counter[str] = field(default_factory=Counter)
    levels: Counter[str] = field(default_factory=Counter)
    tokens: int | float = 0
    cost: float = 0
    session: str = ""
    user: str = ""
    environment: str = ""
    tags: list[str] = field(default_factory=list)
    version: str = ""
    has_root: bool = False
    turns: int = 0

    @property
    def address(self) -> str:
        """The trace's part of an address."""
        return address_of(self.id)


def traces_of(rows: list[Row]) -> list[Trace]:
    """Put observations together by trace, the newest trace first."""
    traces: dict[str, Trace] = {}
    for row in rows:
        trace = traces.get(row["traceId"])
        if trace is None:
            trace = traces[row["traceId"]] = Trace(row["traceId"])
        trace.rows.append(row)
    for trace in traces.values():
        _summarize(trace)
    return sorted(traces.values(), key=lambda trace: (trace.start, trace.id), reverse=True)


def _summarize(trace: Trace) -> None:
    tags: dict[str, None] = {}
    root_name = given_name = ""
    for row in trace.rows:
        trace.types[row["type"]] += 1
        trace.levels[row["level"]] += 1
        trace.tokens += _as_number(row["totalUsage"])
        trace.cost += _as_number(row["totalCost"])
        trace.session = row["sessionId"] or trace.session
        trace.user = row["userId"] or trace.user
        trace.version = row["version"] or trace.version
        if row["environment"] != "default" or not trace.environment:
            trace.environment = row["environment"]
        if row["tags"]:
            tags.update(dict.fromkeys(row["tags"]))
        if row["isRootObservation"]:
            trace.has_root = True
            root_name = root_name or row["name"]
        if row["traceName"] and (not row["isRootObservation"] or row["traceName"] != row["name"]):
            given_name = row["traceName"]
        if row["name"] == TURN:
            trace.turns += 1
    trace.name = given_name or root_name
    trace.tags = list(tags)
    # Written alike, times are in the order of their texts.
    trace.start = read_date(min(row["startTime"] for row in trace.rows)) or 0
    trace.end = max(read_date(max(row["endTime"] for row in trace.rows)) or 0, trace.start)


def _as_number(value: Any) -> int | float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value == value else 0


@dataclass
class Branch:
    """A line of the tree: one observation, or several alike; ``depth`` counts from 0 at the root."""

    depth: int
    rows: list[Row]
    start: int
    end: int

    @property
    def row(self) -> Row:
        """The observation, or the first of those alike."""
        return self.rows[0]


def tree_of(trace: Trace) -> list[Branch]:
    """Return a trace's observations in the order of a tree, children by their start.

    One whose parent was not sent, or that is its own ancestor, is at the top.
    """
    by_id = {row["id"]: row for row in trace.rows}
    children: dict[str, list[Row]] = {}
    top: list[Row] = []
    for row in trace.rows:
        parent = row["parentObservationId"]
        if parent in by_id and parent != row["id"]:
            children.setdefault(parent, []).append(row)
        else:
            top.append(row)
    seen: set[int] = set()
    lines = list(_branches(top, children, seen))
    if len(seen) < len(trace.rows):  # What is left goes round in circles.
        for row in trace.rows:
            if id(row) not in seen:
                lines.extend(_branches([row], children, seen))
    return lines


def _branches(top: list[Row], children: dict[str, list[Row]], seen: set[int]) -> Iterator[Branch]:
    waiting: list[tuple[int, list[Row]]] = [(0, alike) for alike in reversed(_runs(top, children))]
    opened: set[str] = set()
    while waiting:
        depth, alike = waiting.pop()
        alike = [row for row in alike if id(row) not in seen]
        if not alike:
            continue
        seen.update(map(id, alike))
        starts = [read_date(row["startTime"]) or 0 for row in alike]
        ends = [read_date(row["endTime"]) or 0 for row in alike]
        yield Branch(depth, alike, min(starts), max(ends))
        name = alike[0]["id"]
        if name in children and name not in opened:
            opened.add(name)
            waiting.extend((depth + 1, each) for each in reversed(_runs(children[name], children)))


def _runs(siblings: list[Row], children: dict[str, list[Row]]) -> list[list[Row]]:
    runs: list[list[Row]] = []
    for row in sorted(siblings, key=lambda each: each["startTime"]):
        if runs and _are_alike(runs[-1][0], row, children):
            runs[-1].append(row)
        else:
            runs.append([row])
    return [part for run in runs for part in ([run] if len(run) >= _FEWEST_ALIKE else [[row] for row in run])]


def _are_alike(first: Row, second: Row, children: dict[str, list[Row]]) -> bool:
    same = ("name", "type", "level", "statusMessage", "model", "input", "output", "usageDetails")
    return (
        first["id"] not in children
        and second["id"] not in children
        and all(first[key] == second[key] for key in same)
    )
