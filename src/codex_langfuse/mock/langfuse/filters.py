"""The ``filter`` parameter of ``GET /api/public/v2/observations``: conditions, all of which must hold.

Seen in ``packages/shared/src/interfaces/filters.ts`` (what may be written),
``packages/shared/src/server/tableMappings/mapEventsTable.ts`` (the columns) and
``packages/shared/src/server/queries/clickhouse-sql/`` (what the conditions mean).
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from codex_langfuse.mock.langfuse.checks import Checks, FieldPath, invalid_request, not_played
from codex_langfuse.mock.langfuse.observations import flat_metadata, read_date

Observation = dict[str, Any]
Condition = Callable[[Observation], bool]

_TEXT_OPERATORS = ("=", "contains", "does not contain", "starts with", "ends with", "matches")
_ORDER_OPERATORS = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}
_OPERATORS = {
    "string": _TEXT_OPERATORS,
    "stringObject": _TEXT_OPERATORS,
    "datetime": tuple(_ORDER_OPERATORS),
    "number": ("=", *_ORDER_OPERATORS),
    "stringOptions": ("any of", "none of"),
    "arrayOptions": ("any of", "none of", "all of"),
    "boolean": ("=", "<>"),
    "null": ("is null", "is not null"),
}
#: By scores, and by the place of an observation in its trace.
_NOT_PLAYED = ("numberObject", "booleanObject", "categoryOptions", "positionInTrace")
_COMPATIBLE = {
    "string": ("string", "stringOptions"),
    "stringOptions": ("string", "stringOptions"),
    "arrayOptions": ("arrayOptions", "stringOptions"),
    "datetime": ("datetime",),
    "number": ("number",),
    "boolean": ("boolean",),
    "stringObject": ("stringObject",),
}


@dataclass(frozen=True)
class _Column:
    """A column: the kind of filter it takes, and its value in an observation."""

    kind: str
    value: Callable[[Observation], Any]


def _of(key: str) -> Callable[[Observation], Any]:
    return operator.itemgetter(key)


def _tokens_per_second(observation: Observation) -> float | None:
    return observation["outputUsage"] / observation["latency"] if observation["latency"] else None


_COLUMNS: dict[str, _Column] = {
    "environment": _Column("stringOptions", _of("environment")),
    "traceEnvironment": _Column("stringOptions", _of("environment")),
    "type": _Column("stringOptions", _of("type")),
    "id": _Column("stringOptions", _of("id")),
    "name": _Column("stringOptions", _of("name")),
    "traceId": _Column("string", _of("traceId")),
    "startTime": _Column("datetime", _of("startTime")),
    "endTime": _Column("datetime", _of("endTime")),
    "timeToFirstToken": _Column("number", _of("timeToFirstToken")),
    "latency": _Column("number", lambda each: each["latency"] or 0),
    "tokensPerSecond": _Column("number", _tokens_per_second),
    "inputCost": _Column("number", lambda each: each["inputCost"] or 0),
    "outputCost": _Column("number", lambda each: each["outputCost"] or 0),
    "totalCost": _Column("number", lambda each: each["costDetails"].get("total")),
    "level": _Column("stringOptions", _of("level")),
    "statusMessage": _Column("string", _of("statusMessage")),
    "model": _Column("stringOptions", _of("model")),
    "providedModelName": _Column("stringOptions", _of("model")),
    "modelId": _Column("stringOptions", _of("internalModelId")),
    "inputTokens": _Column("number", _of("inputUsage")),
    "outputTokens": _Column("number", _of("outputUsage")),
    "totalTokens": _Column("number", lambda each: each["usageDetails"].get("total")),
    "tokens": _Column("number", lambda each: each["usageDetails"].get("total")),
    "metadata": _Column("stringObject", lambda each: flat_metadata(each["metadata"])),
    "version": _Column("string", _of("version")),
    "release": _Column("string", _of("release")),
    "promptName": _Column("stringOptions", _of("promptName")),
    "promptVersion": _Column("number", _of("promptVersion")),
    "input": _Column("string", lambda each: each["input"] or ""),
    "output": _Column("string", lambda each: each["output"] or ""),
    "sessionId": _Column("string", _of("sessionId")),
    "traceName": _Column("stringOptions", _of("traceName")),
    "userId": _Column("string", _of("userId")),
    "traceTags": _Column("arrayOptions", _of("tags")),
    "tags": _Column("arrayOptions", _of("tags")),
    "hasParentObservation": _Column("boolean", lambda each: bool(each["parentObservationId"])),
    "isRootObservation": _Column("boolean", _of("isRootObservation")),
    "hasInput": _Column("boolean", lambda each: bool(each["input"])),
    "hasOutput": _Column("boolean", lambda each: bool(each["output"])),
    "parentObservationId": _Column("string", lambda each: each["parentObservationId"] or ""),
    "ingestionSource": _Column("stringOptions", lambda _each: "otel"),
}
#: Columns that a parameter of the same name filters too; a condition here replaces that parameter.
_SAME_AS_PARAMETER = frozenset(
    (
        *("environment", "type", "name", "traceId", "startTime", "level", "version", "sessionId", "userId"),
        *("parentObservationId", "isRootObservation"),
    )
)


@dataclass(frozen=True)
class Filter:
    """The conditions, and the parameters that they replace."""

    conditions: tuple[Condition, ...] = ()
    replaced: frozenset[str] = frozenset()


def parse_filter(checks: Checks, text: Any) -> list[Any]:
    """Check the form of a ``filter`` parameter; what is wrong goes to ``checks``.

    Raises ``RefusedError`` for text that is no JSON, and for filters that the mock does not play.
    """
    filters = checks.json_in_query("filter", text)
    for path, item in checks.items(["filter"], filters):
        check_condition(checks, path, item)
    return filters or []


def check_condition(checks: Checks, path: FieldPath, item: Any) -> None:
    """Check the form of one condition; what is wrong goes to ``checks``."""
    given = checks.object(path, item)
    kind: Any = given.get("type")
    if kind in _NOT_PLAYED:
        raise not_played(f"The mock plays no filters of type {kind}. Langfuse does.")
    checks.text([*path, "column"], given.get("column"), required=True)
    if checks.one_of([*path, "type"], kind, tuple(_OPERATORS), required=True) is None:
        return
    checks.one_of([*path, "operator"], given.get("operator"), _OPERATORS[kind], required=True)
    if kind == "stringObject":
        checks.text([*path, "key"], given.get("key"), required=True)
    place, value = [*path, "value"], given.get("value")
    if kind in ("string", "stringObject"):
        checks.text(place, value, required=True)
    elif kind == "number":
        checks.real(place, value, required=True)
    elif kind == "boolean":
        checks.boolean(place, value, required=True)
    elif kind in ("stringOptions", "arrayOptions"):
        for each, option in checks.items(place, value, required=True):
            checks.text(each, option, required=True)
        if value == [] and kind == "stringOptions":
            checks.complain(place, "Invalid input")
    elif kind == "datetime" and read_date(value) is None:
        checks.complain(place, "Invalid input: expected date, received Date")


def compile_filter(filters: list[Any]) -> Filter:
    """Make conditions of a checked filter.

    Raises ``RefusedError`` for a column that is unknown or takes no filter of that type.
    """
    conditions = tuple(_condition(item) for item in filters)
    content = [item for item in filters if item["column"].lower() in ("input", "output")]
    if content and not any(item["operator"] in ("=", "matches") for item in content):
        raise invalid_request("Input/output filters require at least one `matches` or `=` operator.")
    return Filter(conditions, frozenset(item["column"] for item in filters) & _SAME_AS_PARAMETER)


def _condition(item: dict[str, Any]) -> Condition:
    name, kind, sign = item["column"], item["type"], item["operator"]
    wanted: Any = item.get("value")
    column = _COLUMNS.get(name)
    if column is None:
        raise invalid_request(f"Column {name} does not match a UI / CH table mapping.")
    if name.lower() in ("input", "output") and kind != "string":
        raise invalid_request("Input/output filters only support filter type `string`.")
    if kind != "null" and kind not in _COMPATIBLE[column.kind]:
        raise invalid_request(
            f"Invalid filter type '{kind}' for column '{name}'. Expected filter type '{column.kind}'."
        )
    if sign == "matches":
        if not any(character.isalnum() for character in wanted):
            raise invalid_request("`matches` requires at least one search token.")
        if name.lower() not in ("input", "output", "metadata"):
            raise invalid_request("`matches` is only supported for input, output, and metadata filters.")
    value = column.value
    if kind == "stringObject":
        key = item["key"]
        return lambda each: (found := value(each).get(key)) is not None and text_holds(found, sign, wanted)
    if kind == "string":
        return lambda each: (found := value(each)) is not None and text_holds(str(found), sign, wanted)
    if kind == "stringOptions":
        return lambda each: (value(each) in wanted) == (sign == "any of")
    if kind == "arrayOptions":
        return lambda each: array_holds(value(each) or [], sign, wanted)
    if kind == "number":
        compare = _ORDER_OPERATORS.get(sign, operator.eq)
        return lambda each: (found := value(each)) is not None and compare(found, wanted)
    if kind == "datetime":
        moment, compare = read_date(wanted) or 0, _ORDER_OPERATORS[sign]
        return lambda each: compare(read_date(value(each)) or 0, moment)
    if kind == "boolean":
        return lambda each: (value(each) == wanted) == (sign == "=")
    empty_is_null = name in ("release", "parentObservationId")
    return lambda each: _is_null(value(each), empty_is_null) == (sign == "is null")


def _is_null(value: Any, empty_is_null: bool) -> bool:
    return value is None or (empty_is_null and value == "")


def text_holds(text: str, sign: str, wanted: str) -> bool:
    """Return whether a text relates to another as an operator of text says."""
    if sign == "=":
        return text == wanted
    if sign == "contains":
        return wanted in text
    if sign == "does not contain":
        return wanted not in text
    if sign == "starts with":
        return text.startswith(wanted)
    if sign == "ends with":
        return text.endswith(wanted)
    return wanted.lower() in text.lower()


def array_holds(values: list[str], sign: str, wanted: list[str]) -> bool:
    """Return whether a list holds any, none or all of what is wanted."""
    if sign == "all of":
        return set(wanted) <= set(values)
    return bool(set(wanted) & set(values)) == (sign == "any of")
