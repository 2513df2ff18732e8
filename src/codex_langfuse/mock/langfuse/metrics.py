"""``GET /api/public/v2/metrics``: numbers over observations, grouped.

Seen in ``web/src/features/public-api/types/metrics.ts`` (the query), ``packages/shared/src/features/query/``
(``validateQuery.ts``, ``dataModel.ts``, ``server/queryBuilder.ts``). What of it the mock does not play is
answered with 501 and says so: a wrong number would be worse than none. Views of scores are among it.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer, message
from codex_langfuse.mock.langfuse.checks import Checks, RefusedError, invalid_request, not_played, parse_query
from codex_langfuse.mock.langfuse.filters import array_holds, check_condition, text_holds
from codex_langfuse.mock.langfuse.javascript import iso_time, number
from codex_langfuse.mock.langfuse.observations import flat_metadata, read_date

Row = Mapping[str, Any]
Value = Callable[[Row], Any]

VIEWS = ("observations", "scores-numeric", "scores-categorical", "scores-boolean")
AGGREGATIONS = ("sum", "avg", "count", "max", "min", "p50", "p75", "p90", "p95", "p99", "histogram", "uniq")
_GRANULARITIES = ("auto", "minute", "hour", "day", "week", "month")
_DEFAULT_ROWS = 100
#: ClickHouse computes percentiles of at most so many values exactly.
_MOST_FOR_PERCENTILES = 8192

UNAVAILABLE = message(
    404,
    "The metrics v2 API is only available in a Langfuse v4 write mode. Learn more at: "
    "https://langfuse.com/docs/v4",
    "LangfuseNotFoundError",
)


@dataclass(frozen=True)
class _Dimension:
    value: Value
    is_high_cardinality: bool = False
    is_boolean: bool = False
    #: Its values are lists, which are written as tuples here.
    is_list: bool = False
    #: Where it is the name of an entry, the field whose entries a row is divided into.
    entries_of: str = ""


@dataclass(frozen=True)
class _Measure:
    value: Value
    is_number: bool = True
    #: Of no rows, the sum is nothing instead of zero.
    is_nullable: bool = False
    #: The dimension that comes with it, asked for or not.
    dimension: str = ""


def _filled(key: str) -> Value:
    return lambda row: row[key] or None


def _exactly(key: str) -> Value:
    return lambda row: row[key]


def _milliseconds(start: str, end: str) -> Value:
    def between(row: Row) -> int | None:
        first, last = read_date(row[start]), read_date(row[end])
        return None if first is None or last is None else last - first

    return between


_DIMENSIONS: dict[str, _Dimension] = {
    "id": _Dimension(_exactly("id"), is_high_cardinality=True),
    "traceId": _Dimension(_exactly("traceId"), is_high_cardinality=True),
    "environment": _Dimension(_filled("environment")),
    "parentObservationId": _Dimension(_filled("parentObservationId"), is_high_cardinality=True),
    "isRootObservation": _Dimension(_exactly("isRootObservation"), is_boolean=True),
    "type": _Dimension(_exactly("type")),
    "name": _Dimension(_exactly("name")),
    "level": _Dimension(_exactly("level")),
    "version": _Dimension(_filled("version")),
    "userId": _Dimension(_filled("userId"), is_high_cardinality=True),
    "sessionId": _Dimension(_filled("sessionId"), is_high_cardinality=True),
    "tags": _Dimension(lambda row: tuple(row["tags"]), is_list=True),
    "release": _Dimension(_filled("release")),
    "traceName": _Dimension(_filled("traceName")),
    "traceRelease": _Dimension(_filled("release")),
    "traceVersion": _Dimension(_filled("version")),
    "providedModelName": _Dimension(_filled("model")),
    "promptName": _Dimension(_filled("promptName")),
    "costType": _Dimension(_exactly("costType"), entries_of="costDetails"),
    "usageType": _Dimension(_exactly("usageType"), entries_of="usageDetails"),
    "startTimeMonth": _Dimension(lambda row: row["startTime"][:7]),
}
_MEASURES: dict[str, _Measure] = {
    "count": _Measure(lambda _row: 1),
    "traceId": _Measure(_exactly("traceId"), is_number=False),
    "uniqueUserIds": _Measure(_filled("userId"), is_number=False),
    "uniqueSessionIds": _Measure(_filled("sessionId"), is_number=False),
    "latency": _Measure(_milliseconds("startTime", "endTime")),
    "timeToFirstToken": _Measure(_milliseconds("startTime", "completionStartTime"), is_nullable=True),
    "inputTokens": _Measure(lambda row: row["inputUsage"] or 0),
    "outputTokens": _Measure(lambda row: row["outputUsage"] or 0),
    "totalTokens": _Measure(lambda row: row["usageDetails"].get("total", 0)),
    "inputCost": _Measure(lambda row: row["inputCost"] or 0),
    "outputCost": _Measure(lambda row: row["outputCost"] or 0),
    "totalCost": _Measure(lambda row: row["costDetails"].get("total", 0), is_nullable=True),
    "costByType": _Measure(_exactly("entry"), dimension="costType"),
    "usageByType": _Measure(_exactly("entry"), dimension="usageType"),
}
#: What Langfuse also has of both.
_DIMENSIONS_NOT_PLAYED = (
    *("promptVersion", "toolNames", "calledToolNames", "experimentName", "experimentDatasetId"),
    "experimentId",
)
_MEASURES_NOT_PLAYED = (
    *("streamingLatency", "outputTokensPerSecond", "tokensPerSecond", "countScores", "toolDefinitions"),
    "toolCalls",
)
#: Dimensions by which a query can be divided, and a widget cannot.
HIDDEN_DIMENSIONS = frozenset({"id", "traceId", "parentObservationId", "isRootObservation", "experimentId"})


def dimension_names() -> list[str]:
    """Return every dimension that Langfuse has."""
    return [*_DIMENSIONS, *_DIMENSIONS_NOT_PLAYED]


def measure_names() -> list[str]:
    """Return every measure that Langfuse has."""
    return [*_MEASURES, *_MEASURES_NOT_PLAYED]


def aggregations_of(measure: str) -> tuple[str, ...]:
    """Return how a measure can be aggregated."""
    is_text = measure in _MEASURES and not _MEASURES[measure].is_number
    return ("count", "uniq") if is_text else AGGREGATIONS


def answer_metrics(query_text: str, observations: Iterable[Row]) -> Answer:
    """Answer ``GET /api/public/v2/metrics``; raises ``RefusedError``."""
    query = _checked(parse_query(query_text))
    _refuse_unbounded(query)
    return Answer.json(200, {"data": _result(query, observations)})


def widget_result(
    widget: Mapping[str, Any],
    observations: Iterable[Row],
    *,
    since: int,
    until: int,
    granularity: str = "day",
) -> list[dict[str, Any]]:
    """Return the lines that a widget of observations shows, as this API answers its query.

    ``since`` and ``until`` are in milliseconds since 1970; charts over time have a line for each
    ``granularity`` (day, week or month) in which something is. Raises ``RefusedError`` for what the mock
    does not play.
    """
    metrics = [{"measure": each["measure"], "aggregation": each["agg"]} for each in widget["metrics"]]
    first = f"{metrics[0]['aggregation']}_{metrics[0]['measure']}"
    is_over_time = widget["chartType"].endswith("_TIME_SERIES")
    query: dict[str, Any] = {
        "view": widget["view"],
        "dimensions": widget["dimensions"],
        "metrics": metrics,
        "filters": widget["filters"],
        "fromTimestamp": iso_time(since),
        "toTimestamp": iso_time(until),
        "orderBy": [
            {"field": "time_dimension", "direction": "asc"}
            if is_over_time
            else {"field": first, "direction": "desc"}
        ],
        "config": {"row_limit": widget["chartConfig"].get("row_limit", 1000)},
    }
    if is_over_time:
        query["timeDimension"] = {"granularity": granularity}
    return _result(query, observations)


def _not_played(what: str) -> RefusedError:
    return not_played(f"The mock does not play {what} of the metrics API. Langfuse does.")


# --- the query ----------------------------------------------------------------------------------------------


def _checked(parameters: dict[str, Any]) -> dict[str, Any]:
    checks = Checks()
    query: dict[str, Any] = checks.object(["query"], checks.json_in_query("query", parameters.get("query")))
    checks.refuse_if_any()
    if checks.one_of(["query", "view"], query.get("view"), VIEWS, required=True) != "observations":
        checks.refuse_if_any()
        raise _not_played(f"the view {query['view']}")
    for path, item in checks.items(["query", "dimensions"], query.get("dimensions")):
        checks.text([*path, "field"], checks.object(path, item).get("field"), required=True)
    for path, item in checks.items(["query", "metrics"], query.get("metrics"), required=True):
        metric = checks.object(path, item)
        checks.text([*path, "measure"], metric.get("measure"), required=True)
        checks.one_of([*path, "aggregation"], metric.get("aggregation"), AGGREGATIONS, required=True)
    for path, item in checks.items(["query", "filters"], query.get("filters")):
        check_condition(checks, path, item)
    if (time := query.get("timeDimension")) is not None:
        granularity = checks.object(["query", "timeDimension"], time).get("granularity")
        path = ["query", "timeDimension", "granularity"]
        checks.one_of(path, granularity, _GRANULARITIES, required=True)
    for name in ("fromTimestamp", "toTimestamp"):
        checks.moment(["query", name], query.get(name), required=True)
    for path, item in checks.items(["query", "orderBy"], query.get("orderBy")):
        order = checks.object(path, item)
        checks.text([*path, "field"], order.get("field"), required=True)
        checks.one_of([*path, "direction"], order.get("direction"), ("asc", "desc"), required=True)
    config = {} if query.get("config") is None else checks.object(["query", "config"], query["config"])
    checks.whole(["query", "config", "row_limit"], config.get("row_limit"), least=1, most=1000)
    checks.refuse_if_any()
    if (read_date(query["fromTimestamp"]) or 0) >= (read_date(query["toTimestamp"]) or 0):
        checks.complain(["query"], "fromTimestamp must be before toTimestamp")
        checks.refuse_if_any()
    return query


def _refuse_unbounded(query: dict[str, Any]) -> None:
    """Refuse to group by what nearly every row has its own of, unless the top of a list is asked for."""
    fields = [item["field"] for item in query.get("dimensions") or []]
    many = [field for field in fields if field in _DIMENSIONS and _DIMENSIONS[field].is_high_cardinality]
    if not many:
        return
    names = ", ".join(many)
    if query.get("timeDimension"):
        raise invalid_request(
            f"High cardinality dimension(s) '{names}' cannot be used with timeDimension. Time series queries "
            "with high cardinality dimensions produce unbounded result sets."
        )
    falling = [item["field"] for item in query.get("orderBy") or [] if item["direction"] == "desc"]
    if "row_limit" not in (query.get("config") or {}) or not falling:
        raise invalid_request(
            f"High cardinality dimension(s) '{names}' require both 'config.row_limit' and 'orderBy' with "
            "direction 'desc' on a measure field."
        )
    measures = [item["measure"] for item in query["metrics"]]
    wrong = [
        field
        for field in falling
        if not any(field == measure or field.endswith(f"_{measure}") for measure in measures)
    ]
    if wrong:
        raise invalid_request(
            f"High cardinality dimension(s) '{names}' require 'orderBy' with direction 'desc' on a measure "
            f"field. '{', '.join(wrong)}' {'is' if len(wrong) == 1 else 'are'} not a measure in this query."
        )


# --- the result ---------------------------------------------------------------------------------------------


def _result(query: dict[str, Any], rows: Iterable[Row]) -> list[dict[str, Any]]:
    fields = [item["field"] for item in query.get("dimensions") or []]
    metrics = [(item["aggregation"], item["measure"]) for item in query["metrics"]]
    for aggregation, measure in metrics:
        _check_metric(aggregation, measure)
        brought = _MEASURES[measure].dimension
        fields += [brought] if brought and brought not in fields else []
    dimensions = {field: _dimension(field) for field in fields}
    divided = {field: each.entries_of for field, each in dimensions.items() if each.entries_of}
    if len(divided) > 1:
        raise invalid_request(
            f"Only one pairExpand dimension is supported per query. Found: {', '.join(divided)}"
        )
    conditions = [_condition(item) for item in query.get("filters") or []]
    bucket = _bucket(query)
    order = _order(query, fields, metrics, has_bucket=bucket is not None)
    since, until = read_date(query["fromTimestamp"]) or 0, read_date(query["toTimestamp"]) or 0

    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        moment = read_date(row["startTime"]) or 0
        if since <= moment <= until and all(holds(row) for holds in conditions):
            for part in _entries(row, divided):
                key = [dimension.value(part) for dimension in dimensions.values()]
                if bucket is not None:
                    key.append(bucket(moment))
                groups.setdefault(tuple(key), []).append(part)
    if not fields and bucket is None and not groups:
        groups[()] = []
    names = [*fields, *(["time_dimension"] if bucket is not None else [])]
    lines = [
        {
            **{
                name: list(value) if isinstance(value, tuple) else value
                for name, value in zip(names, key, strict=True)
            },
            **(
                {f"{how}_{what}": _aggregate(how, _MEASURES[what], members) for how, what in metrics}
                or {"count": len(members)}
            ),
        }
        for key, members in groups.items()
    ]
    for field, direction in reversed(order):
        _sort(lines, field, falling=direction == "desc")
    limit = int((query.get("config") or {}).get("row_limit", _DEFAULT_ROWS))
    return lines[:limit]


def _entries(row: Row, divided: Mapping[str, str]) -> Iterable[Row]:
    """Return a row, or one for each entry of the field that it is divided by."""
    for field, entries in divided.items():
        return [{**row, field: name, "entry": value} for name, value in row[entries].items()]
    return [row]


def _sort(lines: list[dict[str, Any]], field: str, *, falling: bool) -> None:
    """Sort in place; what has no value comes last either way, as in ClickHouse."""
    known = [line for line in lines if line[field] is not None]
    known.sort(key=lambda line: line[field], reverse=falling)
    lines[:] = [*known, *(line for line in lines if line[field] is None)]


def _dimension(field: str) -> _Dimension:
    if field in _DIMENSIONS_NOT_PLAYED:
        raise _not_played(f"the dimension {field}")
    if field not in _DIMENSIONS:
        raise invalid_request(f"Invalid dimension {field}. Must be one of {','.join(dimension_names())}")
    return _DIMENSIONS[field]


def _check_metric(aggregation: str, measure: str) -> None:
    if measure in _MEASURES_NOT_PLAYED:
        raise _not_played(f"the measure {measure}")
    if measure not in _MEASURES:
        raise invalid_request(f"Invalid metric {measure}. Must be one of {','.join(measure_names())}")
    if aggregation == "histogram":
        raise _not_played("histograms")
    if aggregation not in aggregations_of(measure):
        raise invalid_request(
            f'Aggregation "{aggregation}" is not valid for measure "{measure}" (type: string). '
            "Valid aggregations: count, uniq"
        )


def _order(
    query: dict[str, Any], fields: list[str], metrics: list[tuple[str, str]], *, has_bucket: bool
) -> list[tuple[str, str]]:
    asked = query.get("orderBy")
    results = [f"{how}_{what}" for how, what in metrics]
    if not asked:
        if has_bucket:
            raise _not_played("a time dimension without orderBy, which fills the gaps,")
        if results:
            return [(results[0], "desc")]
        return [(fields[0], "asc")] if fields else []
    known = [*fields, *results, *(["time_dimension"] if has_bucket else [])]
    for item in asked:
        if item["field"] not in known:
            raise invalid_request(
                f"Invalid orderBy field: {item['field']}. Must be one of the dimension or metric fields."
            )
    return [(item["field"], item["direction"]) for item in asked]


def _bucket(query: dict[str, Any]) -> Callable[[int], str] | None:
    dimension = query.get("timeDimension")
    if dimension is None:
        return None
    granularity = dimension["granularity"]
    if granularity not in ("day", "week", "month"):
        raise _not_played(f"the granularity {granularity}")

    def start(moment: int) -> str:
        day = datetime.fromtimestamp(0, UTC).date() + timedelta(milliseconds=moment)
        if granularity == "week":
            day -= timedelta(days=day.weekday())
        elif granularity == "month":
            day = day.replace(day=1)
        return day.isoformat()

    return start


def _condition(item: dict[str, Any]) -> Callable[[Row], bool]:
    column, kind, sign = item["column"], item["type"], item["operator"]
    wanted: Any = item.get("value")
    if sign == "matches":
        raise _not_played("the operator matches")
    if column == "metadata":
        return _metadata_condition(item)
    if column in _DIMENSIONS_NOT_PLAYED or (column in _DIMENSIONS and _DIMENSIONS[column].entries_of):
        raise _not_played(f"filters by {column}")
    if column not in _DIMENSIONS:
        raise invalid_request(f"Invalid filter column {column}. Must be one of {','.join(dimension_names())}")
    dimension = _DIMENSIONS[column]
    value = dimension.value
    if kind == "null":
        return lambda row: (value(row) is None) == (sign == "is null")
    if dimension.is_list:
        if kind != "arrayOptions":
            raise _not_played(f"filters of type {kind} by {column}")
        return lambda row: array_holds(list(value(row)), sign, wanted)
    expected = ("boolean",) if dimension.is_boolean else ("string", "stringOptions")
    if kind not in expected:
        quoted = " or ".join(f"'{each}'" for each in expected)
        raise invalid_request(
            f"Invalid filter for field '{column}': Filter type '{kind}' is not supported for dimension type "
            f"'{'boolean' if dimension.is_boolean else 'string'}'. Expected {quoted}."
        )
    if kind == "boolean":
        return lambda row: (value(row) == wanted) == (sign == "=")
    if kind == "stringOptions":
        return lambda row: ((value(row) or "") in wanted) == (sign == "any of")
    return lambda row: text_holds(str(value(row) or ""), sign, wanted)


def _metadata_condition(item: dict[str, Any]) -> Callable[[Row], bool]:
    if item["type"] != "stringObject":
        raise invalid_request(
            "Invalid filter for field 'metadata': Metadata filters require type 'stringObject' with a 'key' "
            f"property, not '{item['type']}'. Example: {_EXAMPLE_OF_METADATA}"
        )
    key, sign, wanted = item["key"], item["operator"], item["value"]
    # An observation without the key never matches, not even "does not contain".
    return lambda row: (
        (found := flat_metadata(row["metadata"]).get(key)) is not None and text_holds(found, sign, wanted)
    )


_EXAMPLE_OF_METADATA = (
    '{"column": "metadata", "type": "stringObject", "key": "environment", "operator": "=", '
    '"value": "production"}'
)
_PERCENTILES = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def _aggregate(how: str, measure: _Measure, rows: list[Row]) -> int | float | None:
    values = [value for row in rows if (value := measure.value(row)) is not None]
    if how == "count":
        return len(values)
    if how == "uniq":
        return len(set(values))
    if not values:
        return None if measure.is_nullable or how not in ("sum", "min", "max") else 0
    if how == "sum":
        return _sum(values)
    if how == "avg":
        return number(float(_decimal_sum(values) / len(values)))
    if how in ("min", "max"):
        return number(min(values) if how == "min" else max(values))
    if len(values) > _MOST_FOR_PERCENTILES:
        raise _not_played(f"percentiles of more than {_MOST_FOR_PERCENTILES} values")
    return _percentile(sorted(values), _PERCENTILES[how])


def _decimal_sum(values: Iterable[int | float]) -> Decimal:
    return sum((Decimal(str(value)) for value in values), Decimal(0))


def _sum(values: Iterable[int | float]) -> int | float:
    return number(float(_decimal_sum(values)))


def _percentile(values: list[int | float], level: float) -> int | float:
    place = level * (len(values) - 1)
    below = math.floor(place)
    above = min(below + 1, len(values) - 1)
    return number(values[below] + (values[above] - values[below]) * (place - below))
