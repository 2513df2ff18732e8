"""A dashboard's widgets as they are shown: numbers, bars, tables and lines over time, all computed here.

Langfuse draws them otherwise; the numbers are those that its API answers to the same queries.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from codex_langfuse.mock.langfuse.checks import RefusedError
from codex_langfuse.mock.langfuse.metrics import widget_result
from codex_langfuse.mock.page import shown

Record = dict[str, Any]
#: An element of SVG: its name, its class and its attributes.
Shape = tuple[str, str, dict[str, str]]

#: Series of a chart over time that have a colour each; the rest go together.
MOST_SERIES = 6
_DAY = 86_400_000
#: What `codex-langfuse dashboard` writes at the end of a description, for itself.
_MARK = re.compile(r"\s*\[codex-langfuse [^\]]*\]$")
_WIDTH, _HEIGHT = 600, 180


@dataclass(frozen=True)
class Bar:
    """A bar: what it is of, its value as text, and its length as a share of the longest."""

    label: str
    value: str
    share: float


@dataclass
class Chart:
    """A widget to be shown: ``kind`` is ``number``, ``bars``, ``table``, ``time`` or ``failed``.

    ``width`` is in columns of 12. A chart over time has the series in ``head``, a row for each day with their
    values, and ``shapes`` to draw. ``days`` and ``highest`` are its axes.
    """

    name: str
    description: str
    width: int
    kind: str
    number: str = ""
    bars: list[Bar] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    days: list[str] = field(default_factory=list)
    highest: str = ""
    trouble: str = ""


def charts_of(
    dashboard: Record, widgets: dict[str, Record], observations: Sequence[Record], *, now: int, days: int
) -> list[Chart]:
    """Return a dashboard's charts over the last ``days``, in the order in which they are read.

    ``widgets`` are by id; ``now`` is in milliseconds since 1970.
    """
    tiles = sorted(dashboard["definition"]["widgets"], key=lambda each: (each["y"], each["x"]))
    since = (now // _DAY - days + 1) * _DAY
    found = [(widgets.get(each["widgetId"]), min(each["width"], 12)) for each in tiles]
    return [_chart(widget, width, observations, since, now) for widget, width in found if widget is not None]


def _chart(widget: Record, width: int, observations: Sequence[Record], since: int, now: int) -> Chart:
    description = _MARK.sub("", widget["description"])
    chart = Chart(widget["name"], description, width, "failed")
    try:
        lines = widget_result(widget, observations, since=since, until=now)
    except RefusedError as refused:
        chart.trouble = str(json.loads(refused.answer.body).get("message", ""))
        return chart
    dimensions = [each["field"] for each in widget["dimensions"]]
    metrics = [(f"{each['agg']}_{each['measure']}", each["measure"]) for each in widget["metrics"]]
    if widget["chartType"] == "NUMBER":
        chart.kind, (name, measure) = "number", metrics[0]
        chart.number = _text(measure, lines[0][name] if lines else None)
    elif widget["chartType"].endswith("_TIME_SERIES"):
        chart.kind = "time"
        _over_time(chart, lines, dimensions, metrics[0], widget["chartType"], since, now)
    elif widget["chartType"] == "PIVOT_TABLE":
        chart.kind = "table"
        chart.head = [*dimensions, *(name for name, _ in metrics)]
        chart.rows = [
            [
                *(_label(line[each]) for each in dimensions),
                *(_text(what, line[name]) for name, what in metrics),
            ]
            for line in lines
        ]
    else:
        chart.kind = "bars"
        chart.bars = _bars(lines, dimensions, metrics[0])
    return chart


def _bars(lines: Iterable[Record], dimensions: list[str], metric: tuple[str, str]) -> list[Bar]:
    name, measure = metric
    known = [line for line in lines if line[name] is not None]
    longest = max((float(line[name]) for line in known), default=0) or 1
    return [
        Bar(
            ", ".join(_label(line[each]) for each in dimensions),
            _text(measure, line[name]),
            float(line[name]) / longest,
        )
        for line in known
    ]


def _over_time(
    chart: Chart,
    lines: list[Record],
    dimensions: list[str],
    metric: tuple[str, str],
    kind: str,
    since: int,
    now: int,
) -> None:
    name, measure = metric
    first = datetime.fromtimestamp(since / 1000, UTC).date()
    days = [(first + timedelta(days=n)).isoformat() for n in range((now - since) // _DAY + 1)]
    series: dict[str, dict[str, float]] = {}
    for line in lines:
        label = ", ".join(_label(line[each]) for each in _divided_by(dimensions, line))
        series.setdefault(label, {})[line["time_dimension"]] = line[name] or 0
    ranked = sorted(series.items(), key=lambda each: -sum(each[1].values()))[:MOST_SERIES]
    chart.head = [label for label, _ in ranked]
    chart.rows = [
        [day, *(_text(measure, values.get(day)) for _, values in ranked)]
        for day in days
        if any(day in values for _, values in ranked)
    ]
    values_of = [values for _, values in ranked]
    if kind == "LINE_TIME_SERIES":
        highest = max((max(values.values(), default=0) for values in values_of), default=0)
        chart.shapes = _lines(values_of, days, highest or 1)
    else:
        highest = max((sum(values.get(day, 0) for values in values_of) for day in days), default=0)
        chart.shapes = _stacked(values_of, days, highest or 1)
    chart.highest, chart.days = _text(measure, highest), [day[5:] for day in days]


def _divided_by(dimensions: list[str], line: Record) -> list[str]:
    return dimensions or [each for each in ("usageType", "costType") if each in line]


def _stacked(series: list[dict[str, float]], days: list[str], highest: float) -> list[Shape]:
    step = _WIDTH / len(days)
    shapes: list[Shape] = []
    for place, day in enumerate(days):
        top = float(_HEIGHT)
        for number, values in enumerate(series):
            height = values.get(day, 0) / highest * _HEIGHT
            top -= height
            box = {"x": place * step + step * 0.15, "y": top, "width": step * 0.7, "height": height}
            if height:
                shapes.append(("rect", f"s{number}", {name: f"{value:.1f}" for name, value in box.items()}))
    return shapes


def _lines(series: list[dict[str, float]], days: list[str], highest: float) -> list[Shape]:
    step = _WIDTH / len(days)
    shapes: list[Shape] = []
    for number, values in enumerate(series):
        points = [
            (place * step + step / 2, _HEIGHT - values[day] / highest * _HEIGHT * 0.95)
            for place, day in enumerate(days)
            if day in values
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        shapes.append(("polyline", f"l{number}", {"points": line}))
        shapes += [
            ("rect", f"s{number}", {"x": f"{x - 4:.1f}", "y": f"{y - 4:.1f}", "width": "8", "height": "8"})
            for x, y in points
        ]
    return shapes


def _label(value: Any) -> str:
    return "n/a" if value is None else shown.short(str(value), 60)


def _text(measure: str, value: float | None) -> str:
    if value is None:
        return "–"
    if "cost" in measure.lower():
        return f"${value:,.6f}".rstrip("0").rstrip(".") if value else "$0"
    if measure in ("latency", "timeToFirstToken"):
        return shown.duration(value)
    return shown.number(value)
