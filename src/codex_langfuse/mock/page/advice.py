"""What is wrong in what arrived, how often, since when, and which page has the fix.

The words are in ``texts.toml``, under ``advice.<name>``.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from codex_langfuse.codex.content import Kind
from codex_langfuse.codex.versions import LEAKS_CONTENT, Version
from codex_langfuse.masking import mask_secrets
from codex_langfuse.mock.page.ledger import Record
from codex_langfuse.mock.page.traces import Trace

Severity = Literal["error", "warning", "note"]

#: More observations a turn than this are worth a word; Codex up to 0.137 stays below it.
MANY_OBSERVATIONS = 150
_MOST_DETAILS = 5
_LONGEST_DETAIL = 200


@dataclass(frozen=True)
class Advice:
    """One problem: ``count`` times, between ``first`` and ``last`` (milliseconds since 1970).

    ``page`` is the documentation's page and section; ``details`` are texts from the telemetry, such as paths,
    that say where.
    """

    name: str
    severity: Severity
    count: int
    first: int
    last: int
    page: tuple[str, str]
    details: tuple[str, ...] = ()
    numbers: tuple[tuple[str, str], ...] = ()


def advice_on(records: list[Record], traces: list[Trace]) -> list[Advice]:
    """Return all problems, errors first."""
    found = [*_of_requests(records), *_of_traces(traces)]
    order: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}
    return sorted(found, key=lambda each: order[each.severity])


def _leaks(record: Record) -> bool:
    return any(LEAKS_CONTENT[0] <= version < LEAKS_CONTENT[1] for version in _versions(record))


def _versions(record: Record) -> list[Version]:
    versions = []
    for text in record.contents.versions:
        try:
            versions.append(Version.parse(text))
        except ValueError:
            continue
    return versions


def _has_content(record: Record) -> bool:
    return record.signal == "traces" and record.contents.kinds[Kind.CONTENT] > 0


def _refused(record: Record, authorization: str) -> bool:
    return record.status in (401, 403) and record.authorization == authorization


def _service(record: Record) -> Iterable[str]:
    services = ", ".join(sorted(record.contents.services)) or "?"
    versions = ", ".join(sorted(record.contents.versions)) or "?"
    return (f"{services} {versions}",)


def _path(record: Record) -> Iterable[str]:
    return (f"{record.method} {record.path}: {record.status or '–'}",)


def _answer(record: Record) -> Iterable[str]:
    return (record.refusal or f"{record.path}: {record.status}",)


def _trouble(section: str) -> tuple[str, str]:
    return "guide/troubleshooting", section


def _signals(section: str) -> tuple[str, str]:
    return "concepts/signals", section


def _mapping(section: str) -> tuple[str, str]:
    return "reference/langfuse-mapping", section


def _counted_by_langfuse(trace: Trace) -> int:
    return sum("mockWarning" in row for row in trace.rows)


def _has_usage_on_root(trace: Trace) -> bool:
    return any(
        not row["parentObservationId"] and (row["usageDetails"] or row["totalCost"]) for row in trace.rows
    )


_Rule = tuple[str, Severity, tuple[str, str], Callable[[Record], bool], Callable[[Record], Iterable[str]]]
_RULES: tuple[_Rule, ...] = (
    (
        "secret",
        "error",
        _trouble("secret"),
        lambda record: record.contents.kinds[Kind.SECRET] > 0,
        lambda record: (f"{record.signal}, {record.path}",),
    ),
    (
        "leak",
        "error",
        _signals("what-leaves"),
        lambda record: _leaks(record) and _has_content(record),
        _service,
    ),
    ("logs", "error", _trouble("logs-exporter"), lambda record: record.signal == "logs", _path),
    (
        "endpoint",
        "error",
        _trouble("endpoint-path"),
        lambda record: record.is_wrong_path and record.signal != "logs",
        _path,
    ),
    ("no-header", "error", _trouble("line-break"), lambda record: _refused(record, "missing"), _answer),
    ("variable", "error", _trouble("variable"), lambda record: _refused(record, "variable"), _answer),
    (
        "refused",
        "error",
        _trouble("refused-keys"),
        lambda record: _refused(record, "refused") or _refused(record, "accepted"),
        _answer,
    ),
    (
        "not-taken",
        "error",
        _trouble("nothing-arrives"),
        lambda record: (
            (record.status >= 300 or not record.status)
            and record.status not in (401, 403, 404)
            and record.signal != "logs"
        ),
        _path,
    ),
    (
        "lost",
        "error",
        _trouble("nothing-arrives"),
        lambda record: (
            record.signal == "traces"
            and record.status == 200
            and record.contents.items > 0
            and not record.observations
        ),
        _path,
    ),
    (
        "content",
        "warning",
        _signals("what-leaves"),
        lambda record: _has_content(record) and not _leaks(record),
        _service,
    ),
    (
        "header-astray",
        "warning",
        _trouble("secret"),
        lambda record: record.signal in ("logs", "metrics") and record.authorization != "missing",
        _path,
    ),
    ("metrics", "warning", _signals("three-signals"), lambda record: record.signal == "metrics", _path),
    ("json", "note", ("configuration-only", "configuration"), lambda record: record.is_json, _path),
)


def _of_requests(records: list[Record]) -> Iterable[Advice]:
    for name, severity, page, applies, details in _RULES:
        concerned = [record for record in records if applies(record)]
        if concerned:
            yield Advice(
                name,
                severity,
                len(concerned),
                concerned[0].received,
                concerned[-1].received,
                page,
                _details(text for record in concerned for text in details(record)),
            )


def _details(texts: Iterable[str]) -> tuple[str, ...]:
    distinct: dict[str, None] = {}
    for text in texts:
        if len(distinct) == _MOST_DETAILS:
            break
        distinct[mask_secrets(text[:2000])[:_LONGEST_DETAIL]] = None
    return tuple(distinct)


def _of_traces(traces: list[Trace]) -> Iterable[Advice]:
    def advice(
        name: str,
        concerned: list[Trace],
        section: str,
        severity: Severity = "note",
        page: Callable[[str], tuple[str, str]] = _signals,
        **numbers: str,
    ) -> Iterable[Advice]:
        if concerned:
            first, last = min(each.start for each in concerned), max(each.start for each in concerned)
            yield Advice(
                name, severity, len(concerned), first, last, page(section), (), tuple(numbers.items())
            )

    counted = {id(trace): _counted_by_langfuse(trace) for trace in traces}
    yield from advice(
        "counted",
        [trace for trace in traces if counted[id(trace)]],
        "invented-tokens",
        "warning",
        _mapping,
        observations=f"{sum(counted.values()):,}",
    )
    yield from advice(
        "root-usage", [trace for trace in traces if _has_usage_on_root(trace)], "roots", "note", _mapping
    )
    plain = [trace for trace in traces if trace.environment == "default"]
    yield from advice("environment", plain, "span-attributes")
    yield from advice("session", [trace for trace in traces if not trace.session], "span-attributes")
    costless = [trace for trace in traces if trace.tokens and not trace.cost]
    yield from advice("cost", costless, "turn", tokens=f"{sum(trace.tokens for trace in costless):,.0f}")
    turns = sum(trace.turns for trace in traces)
    if turns:
        total = sum(len(trace.rows) for trace in traces)
        if total / turns > MANY_OBSERVATIONS:
            yield from advice(
                "many",
                traces,
                "versions",
                average=f"{total / turns:,.0f}",
                total=f"{total:,}",
                turns=f"{turns:,}",
            )
