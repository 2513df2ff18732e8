"""``GET /api/public/v2/metrics``: numbers over observations and scores, grouped.

Seen in ``web/src/features/public-api/types/metrics.ts`` (the query), ``packages/shared/src/features/query/``
(``validateQuery.ts``, ``dataModel.ts``, ``server/queryBuilder.ts``). What of it the mock does not play is
answered with 501 and says so: a wrong number would be worse than none.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer, message
from codex_langfuse.mock.langfuse.filters import array_holds, check_condition, text_holds
from codex_langfuse.mock.langfuse.javascript import iso_time, number, parse_json
from codex_langfuse.mock.langfuse.observations import flat_metadata, read_date
from codex_langfuse.mock.langfuse.query_parameters import (
    Checks,
    InvalidQueryError,
    Path,
    kind_of,
    parse_query,
)

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
    #: Widgets cannot be divided by it.
    is_hidden: bool = False


@dataclass(frozen=True)
class _Measure:
    value: Value
    is_number: bool = True
    #: Of no rows, the sum is nothing instead of zero.
    is_nullable: bool = False
    #: The dimension that comes with it, asked for or not.
    dimension: str = ""


@dataclass(frozen=True)
class _View:
    dimensions: dict[str, _Dimension]
    measures: dict[str, _Measure]
    time: str
    #: What Langfuse also has and the mock does not play, and what of it are measures.
    left_out: frozenset[str]
    left_out_measures: frozenset[str] = frozenset()
    is_in_it: Callable[[Row], bool] = lambda _row: True

    def dimension_names(self) -> list[str]:
        """Return every dimension that Langfuse has."""
        return _in_order([*self.dimensions, *self.left_out], _DIMENSIONS)

    def measure_names(self) -> list[str]:
        """Return every measure that Langfuse has."""
        return _in_order([*self.measures, *self.left_out_measures], _MEASURES)


def _in_order(names: list[str], order: tuple[str, ...]) -> list[str]:
    """Put names into the order of Langfuse's own lists; that of scores was not seen."""
    known = {name: place for place, name in enumerate(order)}
    return sorted(names, key=lambda name: (known.get(name, len(known)), name))


_DIMENSIONS = (
    *("id", "traceId", "environment", "parentObservationId", "isRootObservation", "type", "name", "level"),
    *("version", "userId", "sessionId", "tags", "release", "traceName", "traceRelease", "traceVersion"),
    *("providedModelName", "promptName", "promptVersion", "startTimeMonth", "toolNames", "calledToolNames"),
    *("costType", "usageType", "experimentName", "experimentDatasetId", "experimentId"),
)
_MEASURES = (
    *("count", "traceId", "uniqueUserIds", "uniqueSessionIds", "latency", "streamingLatency", "inputTokens"),
    *("outputTokens", "totalTokens", "outputTokensPerSecond", "tokensPerSecond", "inputCost", "outputCost"),
    *("totalCost", "timeToFirstToken", "countScores", "toolDefinitions", "toolCalls", "costByType"),
    "usageByType",
)


def _filled(key: str) -> Value:
    return lambda row: row[key] or None


def _exactly(key: str) -> Value:
    return lambda row: row[key]


def _milliseconds(start: str, end: str) -> Value:
    def between(row: Row) -> int | None:
        first, last = read_date(row[start]), read_date(row[end])
        return None if first is None or last is None else last - first

    return between


_OBSERVATIONS = _View(
    dimensions={
        "id": _Dimension(_exactly("id"), is_high_cardinality=True, is_hidden=True),
        "traceId": _Dimension(_exactly("traceId"), is_high_cardinality=True, is_hidden=True),
        "environment": _Dimension(_filled("environment")),
        "parentObservationId": _Dimension(
            _filled("parentObservationId"), is_high_cardinality=True, is_hidden=True
        ),
        "isRootObservation": _Dimension(_exactly("isRootObservation"), is_boolean=True, is_hidden=True),
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
    },
    measures={
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
    },
    time="startTime",
    left_out=frozenset(
        {
            "promptVersion",
            "toolNames",
            "calledToolNames",
            "experimentName",
            "experimentDatasetId",
            "experimentId",
        }
    ),
    left_out_measures=frozenset(
        {
            "streamingLatency",
            "outputTokensPerSecond",
            "tokensPerSecond",
            "countScores",
            "toolDefinitions",
            "toolCalls",
        }
    ),
)


def _scores(kinds: tuple[str, ...], more: dict[str, _Dimension], *, has_value: bool) -> _View:
    measures = {"count": _Measure(lambda _row: 1)}
    if has_value:
        measures["value"] = _Measure(_exactly("value"))
    return _View(
        dimensions={
            "id": _Dimension(_exactly("id"), is_high_cardinality=True),
            "environment": _Dimension(_exactly("environment")),
            "name": _Dimension(_exactly("name")),
            "source": _Dimension(_exactly("source")),
            "dataType": _Dimension(_exactly("dataType")),
            "traceId": _Dimension(_exactly("traceId"), is_high_cardinality=True),
            "observationId": _Dimension(_exactly("observationId"), is_high_cardinality=True),
            "sessionId": _Dimension(_exactly("sessionId"), is_high_cardinality=True),
            "configId": _Dimension(_exactly("configId")),
            "timestampMonth": _Dimension(lambda row: row["timestamp"][:7]),
            "timestampDay": _Dimension(lambda row: row["timestamp"][:10]),
            **more,
        },
        measures=measures,
        time="timestamp",
        left_out=frozenset(
            {
                "datasetRunId",
                "traceName",
                "userId",
                "tags",
                "traceRelease",
                "traceVersion",
                "observationName",
                "observationModelName",
                "observationPromptName",
                "observationPromptVersion",
                "experimentName",
                "experimentId",
                "evaluatorId",
            }
        ),
        is_in_it=lambda row: row["dataType"] in kinds,
    )


_VIEWS = {
    "observations": _OBSERVATIONS,
    "scores-numeric": _scores(
        ("NUMERIC", "BOOLEAN"), {"value": _Dimension(_exactly("value"))}, has_value=True
    ),
    "scores-categorical": _scores(
        ("CATEGORICAL",), {"stringValue": _Dimension(_exactly("stringValue"))}, has_value=False
    ),
    "scores-boolean": _scores(
        ("BOOLEAN",),
        {"booleanValue": _Dimension(lambda row: row["value"] == 1, is_boolean=True)},
        has_value=True,
    ),
}


def answer_metrics(query_text: str, observations: Sequence[Row], scores: Iterable[Row]) -> Answer:
    """Answer ``GET /api/public/v2/metrics``; raises ``InvalidQueryError``."""
    query = _checked(parse_query(query_text))
    view = _VIEWS[query["view"]]
    _refuse_unbounded(query, view)
    rows = observations if query["view"] == "observations" else scores
    return Answer.json(200, {"data": _result(query, view, rows)})


def observations_view() -> _View:
    """Return what can be asked of observations."""
    return _OBSERVATIONS


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
    ``granularity`` (day, week or month) in which something is. Raises ``InvalidQueryError`` for what the mock
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
    return _result(query, _OBSERVATIONS, observations)


def _not_played(what: str) -> InvalidQueryError:
    return InvalidQueryError(
        message(501, f"The mock does not play {what} of the metrics API. Langfuse does.")
    )


def _refused(text: str) -> InvalidQueryError:
    return InvalidQueryError(message(400, text, "InvalidRequestError"))


# --- the query ----------------------------------------------------------------------------------------------


def _checked(parameters: dict[str, Any]) -> dict[str, Any]:
    checks = Checks()
    text = checks.text(["query"], parameters.get("query"), required=True)
    checks.refuse_if_any()
    try:
        query: dict[str, Any] = parse_json(text or "")
    except ValueError as error:
        raise _refused("Invalid JSON in query parameter") from error
    if not isinstance(query, dict):
        checks.wrong_type(["query"], "object", kind_of(query))
        checks.refuse_if_any()
    checks.one_of(["query", "view"], query.get("view"), VIEWS, required=True)
    for place, item in _items(checks, query, "dimensions"):
        checks.text(["query", "dimensions", place, "field"], item.get("field"), required=True)
    for place, item in _items(checks, query, "metrics", required=True):
        path: Path = ["query", "metrics", place]
        checks.text([*path, "measure"], item.get("measure"), required=True)
        checks.one_of([*path, "aggregation"], item.get("aggregation"), AGGREGATIONS, required=True)
    filters = query.get("filters", [])
    if isinstance(filters, list):
        for place, item in enumerate(filters):
            check_condition(checks, ["query", "filters", place], item)
    else:
        checks.wrong_type(["query", "filters"], "array", kind_of(filters))
    _check_time(checks, query)
    for place, item in _items(checks, query, "orderBy"):
        path = ["query", "orderBy", place]
        checks.text([*path, "field"], item.get("field"), required=True)
        checks.one_of([*path, "direction"], item.get("direction"), ("asc", "desc"), required=True)
    _check_config(checks, query.get("config"))
    checks.refuse_if_any()
    if (read_date(query["fromTimestamp"]) or 0) >= (read_date(query["toTimestamp"]) or 0):
        text = "fromTimestamp must be before toTimestamp"
        checks.issues.append({"code": "custom", "path": ["query"], "message": text})
        checks.refuse_if_any()
    return query


def _items(
    checks: Checks, query: dict[str, Any], name: str, *, required: bool = False
) -> Iterable[tuple[int, dict[str, Any]]]:
    value = query.get(name)
    if value is None and not required and (name == "orderBy" or name not in query):
        return
    if not isinstance(value, list):
        checks.wrong_type(["query", name], "array", "undefined" if name not in query else kind_of(value))
        return
    for place, item in enumerate(value):
        if isinstance(item, dict):
            yield place, item
        else:
            checks.wrong_type(["query", name, place], "object", kind_of(item))


def _check_time(checks: Checks, query: dict[str, Any]) -> None:
    dimension = query.get("timeDimension")
    if dimension is not None:
        if isinstance(dimension, dict):
            path: Path = ["query", "timeDimension", "granularity"]
            checks.one_of(path, dimension.get("granularity"), _GRANULARITIES, required=True)
        else:
            checks.wrong_type(["query", "timeDimension"], "object", kind_of(dimension))
    for name in ("fromTimestamp", "toTimestamp"):
        if checks.text(["query", name], query.get(name), required=True) is not None:
            checks.moment(["query", name], query[name])


def _check_config(checks: Checks, config: Any) -> None:
    if config is None:
        return
    if not isinstance(config, dict):
        checks.wrong_type(["query", "config"], "object", kind_of(config))
        return
    for name, most in (("bins", 100), ("row_limit", 1000)):
        value = config.get(name)
        if value is None and name not in config:
            continue
        path: Path = ["query", "config", name]
        if not isinstance(value, int | float) or isinstance(value, bool):
            checks.wrong_type(path, "number", kind_of(value))
        elif value % 1:
            checks.issues.append(
                {
                    "expected": "int",
                    "format": "safeint",
                    "code": "invalid_type",
                    "path": path,
                    "message": "Invalid input: expected int, received number",
                }
            )
        else:
            checks.number(path, value, 1, least=1, most=most)


def _refuse_unbounded(query: dict[str, Any], view: _View) -> None:
    """Refuse to group by what nearly every row has its own of, unless the top of a list is asked for."""
    fields = [item["field"] for item in query.get("dimensions", [])]
    many = [
        field for field in fields if field in view.dimensions and view.dimensions[field].is_high_cardinality
    ]
    if not many:
        return
    names = ", ".join(many)
    if query.get("timeDimension"):
        raise _refused(
            f"High cardinality dimension(s) '{names}' cannot be used with timeDimension. Time series queries "
            "with high cardinality dimensions produce unbounded result sets."
        )
    falling = [item["field"] for item in query.get("orderBy") or [] if item["direction"] == "desc"]
    if "row_limit" not in (query.get("config") or {}) or not falling:
        raise _refused(
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
        raise _refused(
            f"High cardinality dimension(s) '{names}' require 'orderBy' with direction 'desc' on a measure "
            f"field. '{', '.join(wrong)}' {'is' if len(wrong) == 1 else 'are'} not a measure in this query."
        )


# --- the result ---------------------------------------------------------------------------------------------


def _result(query: dict[str, Any], view: _View, rows: Iterable[Row]) -> list[dict[str, Any]]:
    fields = [item["field"] for item in query.get("dimensions", [])]
    metrics = [(item["aggregation"], item["measure"]) for item in query["metrics"]]
    for aggregation, measure in metrics:
        _check_metric(view, aggregation, measure)
        brought = view.measures[measure].dimension
        fields += [brought] if brought and brought not in fields else []
    dimensions = {field: _dimension(view, field) for field in fields}
    divided = {field: each.entries_of for field, each in dimensions.items() if each.entries_of}
    if len(divided) > 1:
        raise _refused(f"Only one pairExpand dimension is supported per query. Found: {', '.join(divided)}")
    conditions = [_condition(view, item) for item in query.get("filters", [])]
    bucket = _bucket(query)
    order = _order(query, fields, metrics, has_bucket=bucket is not None)
    since, until = read_date(query["fromTimestamp"]) or 0, read_date(query["toTimestamp"]) or 0

    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        moment = read_date(row[view.time]) or 0
        if since <= moment <= until and view.is_in_it(row) and all(holds(row) for holds in conditions):
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
                {f"{how}_{what}": _aggregate(how, view.measures[what], members) for how, what in metrics}
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


def _dimension(view: _View, field: str) -> _Dimension:
    if field in view.left_out:
        raise _not_played(f"the dimension {field}")
    if field not in view.dimensions:
        raise _refused(f"Invalid dimension {field}. Must be one of {','.join(view.dimension_names())}")
    return view.dimensions[field]


def _check_metric(view: _View, aggregation: str, measure: str) -> None:
    if measure in view.left_out_measures:
        raise _not_played(f"the measure {measure}")
    if measure not in view.measures:
        raise _refused(f"Invalid metric {measure}. Must be one of {','.join(view.measure_names())}")
    if aggregation == "histogram":
        raise _not_played("histograms")
    if not view.measures[measure].is_number and aggregation not in ("count", "uniq"):
        raise _refused(
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
            raise _refused(
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


def _condition(view: _View, item: dict[str, Any]) -> Callable[[Row], bool]:
    column, kind, sign = item["column"], item["type"], item["operator"]
    wanted: Any = item.get("value")
    if column == "metadata" and view is _OBSERVATIONS:
        return _metadata_condition(item)
    if column in view.left_out or column == "metadata" or column not in view.dimensions:
        known = column in view.left_out or column in ("metadata", "timestamp", "start_time")
        if known or column.endswith("Name"):
            raise _not_played(f"filters by {column}")
        time = "start_time" if view.time == "startTime" else "timestamp"
        everything = ",".join(view.dimension_names())
        raise _refused(f"Invalid filter column {column}. Must be one of {everything} or {time}")
    if view.dimensions[column].entries_of:
        raise _not_played(f"filters by {column}")
    dimension = view.dimensions[column]
    value = dimension.value
    if kind == "null":
        return lambda row: (value(row) is None) == (sign == "is null")
    if column == "value":
        raise _not_played("filters by value")
    if dimension.is_list:
        if kind != "arrayOptions":
            raise _not_played(f"filters of type {kind} by {column}")
        return lambda row: array_holds(list(value(row)), sign, wanted)
    expected = ("boolean",) if dimension.is_boolean else ("string", "stringOptions")
    if kind not in expected:
        quoted = " or ".join(f"'{each}'" for each in expected)
        raise _refused(
            f"Invalid filter for field '{column}': Filter type '{kind}' is not supported for dimension type "
            f"'{'boolean' if dimension.is_boolean else 'string'}'. Expected {quoted}."
        )
    if kind == "boolean":
        return lambda row: (value(row) == wanted) == (sign == "=")
    if kind == "stringOptions":
        return lambda row: ((value(row) or "") in wanted) == (sign == "any of")
    if sign == "matches":
        raise _not_played("the operator matches")
    return lambda row: text_holds(str(value(row) or ""), sign, wanted)


def _metadata_condition(item: dict[str, Any]) -> Callable[[Row], bool]:
    if item["type"] != "stringObject":
        raise _refused(
            "Invalid filter for field 'metadata': Metadata filters require type 'stringObject' with a 'key' "
            f"property, not '{item['type']}'. Example: {_EXAMPLE_OF_METADATA}"
        )
    key, sign, wanted = item["key"], item["operator"], item["value"]
    if sign == "matches":
        raise _not_played("the operator matches")
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
