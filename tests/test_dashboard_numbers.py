"""Each widget of the dashboard shows the number that comes out by hand, from what the relay sends."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import dashboard_sample
from codex_langfuse.dashboard.definition import Widget, built_in
from codex_langfuse.mock.server import RunningMock, running_mock
from harness import web
from harness.commands import dashboard_done
from harness.mock_client import TRACES, client
from harness.web import PROTOBUF

pytestmark = pytest.mark.slow

NOW = datetime.now(UTC)
SINCE = NOW - timedelta(days=10)
WIDGETS = {widget.id: widget for widget in built_in().widgets}


@dataclass(frozen=True)
class Sent:
    """One span as it was sent: what the numbers are made of."""

    name: str
    kind: str
    is_root: bool
    day: str
    milliseconds: int
    attributes: dict[str, Any]
    resource: dict[str, Any]

    @property
    def usage(self) -> dict[str, int]:
        usage = json.loads(self.attributes.get("langfuse.observation.usage_details", "{}"))
        return {**usage, "total": usage.get("total", sum(usage.values()))} if usage else {}

    @property
    def cost(self) -> float:
        given = self.attributes.get("langfuse.observation.cost_details")
        if given is not None:
            return json.loads(given)["total"]
        if self.model is None:
            return 0
        return sum(
            count * dashboard_sample.PRICES[kind]
            for kind, count in self.usage.items()
            if kind in dashboard_sample.PRICES
        )

    @property
    def model(self) -> str | None:
        return self.attributes.get("langfuse.observation.model.name")

    @property
    def first_token(self) -> int | None:
        moment = self.attributes.get("langfuse.observation.completion_start_time")
        if moment is None:
            return None
        return round(datetime.fromisoformat(moment).timestamp() * 1000) - self.attributes["start"]


@cache
def exports() -> list[bytes]:
    return list(dashboard_sample.exports(NOW))


@cache
def sent() -> list[Sent]:
    found = []
    for export in exports():
        for group in ExportTraceServiceRequest.FromString(export).resource_spans:
            resource = {each.key: each.value.string_value for each in group.resource.attributes}
            for span in (span for scope in group.scope_spans for span in scope.spans):
                attributes: dict[str, Any] = {
                    each.key: each.value.string_value
                    for each in span.attributes
                    if each.value.HasField("string_value")
                }
                start, end = span.start_time_unix_nano // 1_000_000, span.end_time_unix_nano // 1_000_000
                attributes["start"] = start
                found.append(
                    Sent(
                        span.name,
                        attributes["langfuse.observation.type"].upper(),
                        not span.parent_span_id,
                        datetime.fromtimestamp(start / 1000, UTC).date().isoformat(),
                        end - start,
                        attributes,
                        resource,
                    )
                )
    return found


def turns() -> list[Sent]:
    return [span for span in sent() if span.is_root]


Line = dict[str, Any]


def total(spans: list[Sent], key: Callable[[Sent], Any], value: Callable[[Sent], float]) -> dict[Any, float]:
    sums: dict[Any, float] = defaultdict(float)
    for span in spans:
        sums[key(span)] += value(span)
    return dict(sums)


def percentile(values: list[int], level: float) -> float:
    """Between the two values that lie around it, as ClickHouse computes it."""
    values = sorted(values)
    place = level * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def by(key: Callable[[Sent], Any], spans: list[Sent], value: Callable[[Sent], Any]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for span in spans:
        if value(span) is not None:
            groups[key(span)].append(value(span))
    return groups


def user(span: Sent) -> str:
    return span.attributes["langfuse.user.id"]


def by_hand() -> dict[str, list[Line]]:
    spans, roots = sent(), turns()
    calls = [span for span in spans if span.kind == "GENERATION"]
    tools = [span for span in spans if span.kind == "TOOL"]
    kinds: Counter[tuple[str, str]] = Counter()
    for span in spans:
        for kind, count in span.usage.items():
            kinds[span.day, kind] += count
    decided = [(span, span.attributes.get("langfuse.observation.metadata.decision")) for span in tools]
    refused = [span for span, decision in decided if decision and "approved" not in decision]
    levels = Counter(
        (span.name, span.attributes.get("langfuse.observation.level", "DEFAULT")) for span in tools
    )
    tokens = total(calls, lambda span: span.model, lambda span: span.usage.get("total", 0))
    costs = total(calls, lambda span: span.model, lambda span: span.cost)
    durations = by(lambda span: span.day, roots, lambda span: span.milliseconds)
    waits = by(lambda span: span.model, calls, lambda span: span.first_token)
    cost = "sum_totalCost"
    return {
        "turns": [{"count_count": len(roots)}],
        "cost": [{cost: sum(span.cost for span in spans)}],
        "people": [{"uniq_uniqueUserIds": len({user(span) for span in roots})}],
        "failed-turns": [
            {
                "count_count": sum(
                    span.attributes.get("langfuse.observation.level") == "ERROR" for span in roots
                )
            }
        ],
        "cost-by-model": [
            {"time_dimension": day, "providedModelName": model, cost: value}
            for (day, model), value in total(
                calls, lambda span: (span.day, span.model), lambda span: span.cost
            ).items()
        ],
        "cost-by-person": [
            {"userId": name, cost: value}
            for name, value in total(spans, user, lambda span: span.cost).items()
        ],
        "cost-by-environment": [
            {"environment": name, cost: value}
            for name, value in total(
                spans, lambda span: span.resource["deployment.environment.name"], lambda span: span.cost
            ).items()
        ],
        "tokens-by-kind": [
            {"time_dimension": day, "usageType": kind, "sum_usageByType": count}
            for (day, kind), count in kinds.items()
        ],
        "models": [
            {"providedModelName": model, "sum_totalTokens": count, cost: costs[model]}
            for model, count in tokens.items()
        ],
        "tools": [
            {"name": name, "level": level, "count_count": count} for (name, level), count in levels.items()
        ],
        "refused-approvals": [
            {"name": name, "count_count": count}
            for name, count in Counter(span.name for span in refused).items()
        ],
        "turn-duration-p50": [
            {"time_dimension": day, "p50_latency": percentile(values, 0.5)}
            for day, values in durations.items()
        ],
        "turn-duration-p95": [
            {"time_dimension": day, "p95_latency": percentile(values, 0.95)}
            for day, values in durations.items()
        ],
        "first-token": [
            {"providedModelName": model, "p95_timeToFirstToken": percentile(values, 0.95)}
            for model, values in waits.items()
        ],
        "versions": [
            {"version": version, "count_count": count}
            for version, count in Counter(span.resource["service.version"] for span in roots).items()
        ],
    }


def in_order(lines: list[Line]) -> list[list[tuple[str, Any]]]:
    """Lines that can be compared: rounded to what Langfuse keeps of a cost, in an order of their own."""
    rounded = [
        sorted((key, round(each, 9) if isinstance(each, float) else each) for key, each in line.items())
        for line in lines
    ]
    return sorted(rounded, key=repr)


@pytest.fixture(scope="module")
def week() -> Iterator[RunningMock]:
    """A mock with the week's turns in it, and a price for their model."""
    with running_mock(page=True) as mock, client(mock) as http:
        assert http.post("/api/public/models", json=dashboard_sample.MODEL).status_code == 200
        for export in exports():
            assert http.post(TRACES, headers=PROTOBUF, content=export).status_code == 200
        yield mock


def asked(mock: RunningMock, widget: Widget) -> list[Line]:
    """What the metrics API answers to a widget's query."""
    metrics = [{"measure": each["measure"], "aggregation": each["agg"]} for each in widget.fields["metrics"]]
    first = f"{metrics[0]['aggregation']}_{metrics[0]['measure']}"
    is_over_time = widget.fields["chartType"].endswith("_TIME_SERIES")
    order = {"field": first, "direction": "desc"}
    query = {
        "view": "observations",
        "dimensions": widget.fields["dimensions"],
        "metrics": metrics,
        "filters": widget.fields["filters"],
        "fromTimestamp": SINCE.isoformat().replace("+00:00", "Z"),
        "toTimestamp": NOW.isoformat().replace("+00:00", "Z"),
        "orderBy": [{"field": "time_dimension", "direction": "asc"} if is_over_time else order],
        "config": {"row_limit": 1000},
        **({"timeDimension": {"granularity": "day"}} if is_over_time else {}),
    }
    with client(mock) as http:
        answer = http.get("/api/public/v2/metrics", params={"query": json.dumps(query)})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def test_every_widget_is_computed_by_hand() -> None:
    assert by_hand().keys() == WIDGETS.keys()


@pytest.mark.parametrize("name", WIDGETS)
def test_a_widget_shows_what_comes_out_by_hand(week: RunningMock, name: str) -> None:
    wanted = by_hand()[name]
    assert wanted and any(any(line.values()) for line in wanted), (
        "a number that is never there proves nothing"
    )
    assert in_order(asked(week, WIDGETS[name])) == in_order(wanted)


@pytest.mark.parametrize("name", WIDGETS)
def test_a_person_and_an_environment_narrow_every_widget(week: RunningMock, name: str) -> None:
    narrowed = {
        each.id: each for each in built_in().narrowed(environments=["ci"], users=["ci-bot", "nobody"]).widgets
    }
    counted = [span for span in sent() if user(span) == "ci-bot"]
    assert {span.resource["deployment.environment.name"] for span in counted} == {"ci"}
    lines = asked(week, narrowed[name])
    if name == "turns":
        assert lines == [{"count_count": sum(span.is_root for span in counted)}]
    assert len(lines) <= len(asked(week, WIDGETS[name]))


def test_the_page_of_the_mock_shows_the_same_numbers(week: RunningMock) -> None:
    link = dashboard_done(week).stdout.strip()
    html = web.get(f"{week.url}/-/dashboards/{link.rpartition('/')[2]}").text
    for widget in WIDGETS.values():
        assert widget.fields["name"] in html
    assert f'<p class="big">{len(turns())}</p>' in html
    shown = f"{sum(span.cost for span in sent()):,.6f}".rstrip("0")
    assert f'<p class="big">${shown}</p>' in html
    for name in ("ada", "grace", "exec_command", "input_cached_tokens", "0.169.0", "gpt-5-codex"):
        assert f"<bdi>{name}</bdi>" in html
