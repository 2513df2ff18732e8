"""Tables of all that Codex sends, by signal, from the recordings: names, types, examples, since when."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import recordings
from codex_langfuse.codex.versions import Version
from hooks.tested_with import pinned_codex
from page_tables.markdown import table, words_of
from page_tables.recorded_since import since_recorded
from page_tables.relay_fields import MADE_BY_HAND
from page_tables.tracked_events import EVENTS, ON_SPANS_ALONE
from recorded_names import ON_EVERY_SPAN, Name, records

_TEXTS = words_of(__file__)

_TYPES = _TEXTS["types"]
_LONGEST_EXAMPLE = 48

#: What was planted in a recording, or is an id or a time: an example says what it is, not whose.
_NEUTRAL = [
    (re.compile(pattern), instead)
    for pattern, instead in (
        (r"EMAILMARK@example\.com", "dev@example.com"),
        (r"ACCTMARK-1", "account-1"),
        (r"HOSTMARK-pc|^vm$", "laptop"),
        (r"mcpsrvmark", "docs"),
        (r"\w*MARK\b ?", ""),
        (
            r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
            "019a…",
        ),
        (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "2026-01-01T00:00:00.000Z"),
    )
]

#: Attributes on nearly every event, told once.
_COMMON = (
    *("event.name", "event.timestamp", "conversation.id", "app.version", "originator", "terminal.type"),
    *("model", "slug", "auth_mode", "user.account_id", "user.email"),
)

#: The spans that say something, by what they are about.
_SPANS = {
    "turn": ("turn/start", "op.dispatch.turn_input", "codex.turn_input", "session_task.turn", "run_turn"),
    "model": (
        *("run_sampling_request", "try_run_sampling_request", "codex.sampling"),
        *("model_client.stream_responses_websocket", "responses_websocket.stream_request"),
        *("model_client.stream_responses_api", "endpoint_session.stream_encoded_json_with"),
        *("handle_responses", "built_tools"),
    ),
    "tools": (
        *("exec", "code_mode.broker.invoke_tool", "exec_command", "codex.tool_blocking"),
        *("unified_exec.exec_command", "mcp.tools.call"),
    ),
    "process": ("codex.exec", "thread/start", "session_init", "session_loop"),
}

#: Metrics that tell of turns, model calls and tools; the rest tell of Codex itself.
_METRICS_OF_TURNS = (
    *("codex.turn.", "codex.tool.", "codex.api_request", "codex.sse_event", "codex.conversation."),
    *("codex.mcp.call", "codex.thread.started"),
)
_ON_EVERY_METRIC = frozenset({"app.version", "model", "originator", "session_source", "auth_mode"})


@dataclass
class _Seen:
    """What an attribute held in the newest recording that has it."""

    kinds: dict[str, None] = field(default_factory=dict)
    example: Any = None


def _newest_first() -> list[str]:
    simple = recordings.simple_turns().values()
    others = [name for name in recordings.names() if name not in set(simple)]

    def age(name: str) -> Version:
        return Version.parse(name.rpartition("/")[2])

    return [*reversed(simple), *sorted(others, key=age, reverse=True)]


@cache
def _seen() -> dict[Name, _Seen]:
    """Return every attribute in the recordings, by the name of what has it and its own."""
    seen: dict[Name, _Seen] = {}
    for recording in _newest_first():
        for request in recordings.read(recording):
            for name, holder in records(request):
                for item in holder.attributes:
                    told = seen.setdefault((*name, item.key), _Seen())
                    kind = item.value.WhichOneof("value")
                    if kind is None:
                        continue
                    told.kinds.setdefault(kind)
                    if told.example in (None, ""):
                        told.example = getattr(item.value, kind)
    return seen


def _example(value: Any) -> str:
    """Return a value as code in a cell: neutral, in one line, short."""
    if value is None or value == "":
        return "–"
    if not isinstance(value, str):
        number = round(value, 3) if isinstance(value, float) else value
        return f"`{json.dumps(number)}`" if isinstance(number, bool | int | float) else "–"
    for pattern, instead in _NEUTRAL:
        value = pattern.sub(instead, value)
    line = value.split("\n", 1)[0]
    if len(line) > _LONGEST_EXAMPLE or line != value:
        line = line[:_LONGEST_EXAMPLE].rstrip() + "…"
    line = line.replace("|", "\\|")
    return f"`` {line} ``" if "`" in line else f"`{line}`"


def _types(told: _Seen, language: str) -> str:
    comma = _TEXTS["comma"][language]
    return comma.join(_TYPES[kind][language] for kind in told.kinds) or "–"


def _attributes(*name: str) -> list[str]:
    """Return the attributes of a name that any recording has, in the order sent."""
    return [key[-1] for key in _seen() if key[:-1] == name]


_HEAD = _TEXTS["head"]


def _event_rows(event: str, keys: Iterable[str], language: str) -> list[list[str]]:
    rows = []
    for key in keys:
        logged, spanned = ("log", event, key), ("event", event, key)
        told = _seen().get(logged) or _seen()[spanned]
        rows.append(
            [
                f"`{key}`",
                _types(told, language),
                _example(told.example),
                since_recorded(logged, language),
                since_recorded(spanned, language),
            ]
        )
    return rows


def common(language: str) -> str:
    """Return the attributes of nearly every event, each with the version since which any event has it."""
    rows = []
    for key in _COMMON:
        columns = []
        for where in ("log", "event"):
            having = [
                since_recorded(name, language) for name in _seen() if name[0] == where and name[2:] == (key,)
            ]
            plain = [since for since in having if since[:1].isdigit() and since.count(".") == 2]
            columns.append(min(plain, key=Version.parse) if plain else next(iter(having), "–"))
        logged = next(name for name in _seen() if name[0] == "log" and name[2:] == (key,))
        told = _seen()[logged]
        rows.append([f"`{key}`", _types(told, language), _example(told.example), *columns])
    return table(_HEAD[language], rows)


def event(name: str, language: str) -> str:
    """Return the attributes of an event that are its own."""
    left_out = {*_COMMON, *ON_EVERY_SPAN}
    keys = dict.fromkeys((*_attributes("log", name), *_attributes("event", name)))
    if not keys:
        head = _TEXTS["event_head"][language]
        types = {str: "string_value", int: "int_value", bool: "bool_value"}
        return table(
            head,
            (
                [f"`{key}`", _TYPES[types[type(value)]][language], _example(value)]
                for key, value in MADE_BY_HAND[name].items()
            ),
        )
    return table(_HEAD[language], _event_rows(name, [key for key in keys if key not in left_out], language))


def resources(language: str) -> str:
    """Return the attributes of the resource, by signal."""
    head = _TEXTS["resources_head"][language]
    keys = dict.fromkeys(
        key for signal in ("logs", "traces", "metrics") for key in _attributes("resource", signal)
    )
    rows = []
    for key in sorted(keys):
        names = [("resource", signal, key) for signal in ("logs", "traces", "metrics")]
        told = next(_seen()[name] for name in names if name in _seen())
        rows.append([f"`{key}`", _example(told.example), *(since_recorded(name, language) for name in names)])
    return table(head, rows)


def on_every_span(language: str) -> str:
    """Return the attributes that are on every span."""
    head = _TEXTS["on_every_span_head"][language]
    rows = []
    for key in _attributes("span", "session_task.turn"):
        if key in ON_EVERY_SPAN:
            told = _seen()["span", "session_task.turn", key]
            rows.append([f"`{key}`", _types(told, language), _example(told.example)])
    return table(head, rows)


def spans(group: str, language: str) -> str:
    """Return the spans of a group with the attributes that are their own."""
    head = _TEXTS["spans_head"][language]
    rows = []
    for span in _SPANS[group]:
        rows.append([f"**`{span}`**", "–", "–", since_recorded(("span", span), language)])
        for key in _attributes("span", span):
            told = _seen()["span", span, key]
            if key in ON_EVERY_SPAN or (key == "thread.id" and "string_value" not in told.kinds):
                continue
            since = since_recorded(("span", span, key), language)
            rows.append([f"`{key}`", _types(told, language), _example(told.example), since])
    return table(head, rows)


def other_spans(language: str) -> str:
    """Return every other span of the simple turn: how many of each, with the pinned and the newest Codex."""
    versions = sorted({pinned_codex(), list(recordings.simple_turns())[-1]}, key=Version.parse)
    told = {name for group in _SPANS.values() for name in group}
    counts: dict[str, Counter[str]] = {}
    for codex in versions:
        counts[codex] = Counter(
            name[1]
            for request in recordings.read(recordings.simple_turns()[codex])
            for name, _ in records(request)
            if name[0] == "span" and name[1] not in told
        )
    others = sorted(
        set().union(*counts.values()),
        key=lambda name: (-max(counted[name] for counted in counts.values()), name),
    )
    head = [_TEXTS["other_spans_head"][language], *versions]
    rows = [[f"`{name}`", *(str(counts[codex][name] or "–") for codex in versions)] for name in others]
    title = _TEXTS["other_spans"][language].format(len(others))
    body = "".join(f"    {line}\n" for line in table(head, rows).splitlines())
    return f'??? note "{title}"\n\n{body}'


@cache
def _metrics() -> dict[str, Any]:
    """Return each metric as it was in the newest recording that has it."""
    metrics: dict[str, Any] = {}
    for recording in _newest_first():
        for request in recordings.read(recording):
            if request.signal == "metrics":
                for scope in (
                    scope for group in request.message.resource_metrics for scope in group.scope_metrics
                ):
                    for metric in scope.metrics:
                        metrics.setdefault(metric.name, metric)
    return metrics


def metrics(of_turns: bool, language: str) -> str:
    """Return the metrics about turns, or the others."""
    head = _TEXTS["metrics_head"][language]
    kinds = _TEXTS["metrics_kinds"]
    comma, left, right = _TEXTS["metrics_words"][language]
    rows = []
    for name, metric in sorted(_metrics().items()):
        if name.startswith(_METRICS_OF_TURNS) == of_turns:
            kind = metric.WhichOneof("data")
            own = [key for key in _attributes("metric", name) if key not in _ON_EVERY_METRIC]
            point = getattr(metric, kind).data_points[0]
            rows.append(
                [
                    f"`{name}`",
                    kinds[kind][language] + (f"{left}{metric.unit}{right}" if metric.unit else ""),
                    comma.join(f"`{key}`" for key in own) or "–",
                    _point(point, kind, language),
                    since_recorded(("metric", name), language),
                ]
            )
    return table(head, rows)


def _point(point: Any, kind: str, language: str) -> str:
    if kind == "histogram":
        count = _TEXTS["values" if point.count != 1 else "value"][language].format(point.count)
        return f"{count}{_TEXTS['point_sum'][language]}{_number(point.sum)}"
    return _number(point.as_int if point.WhichOneof("value") == "as_int" else point.as_double)


def _number(value: float) -> str:
    return f"{value:.12g}"


TABLES: dict[str, Callable[[str], str]] = {
    "telemetry-resources": resources,
    "telemetry-common": common,
    **{
        f"telemetry-{re.sub(r'[._]', '-', name.removeprefix('codex.'))}": partial(event, name)
        for name in (*EVENTS, *ON_SPANS_ALONE)
    },
    "telemetry-on-every-span": on_every_span,
    **{f"telemetry-spans-{group}": partial(spans, group) for group in _SPANS},
    "telemetry-other-spans": other_spans,
    "telemetry-metrics-of-turns": partial(metrics, True),
    "telemetry-metrics-of-codex": partial(metrics, False),
}
