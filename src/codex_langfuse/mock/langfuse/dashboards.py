"""``/api/public/unstable/dashboard-widgets`` and ``/dashboards``: pictures that a project has of its data.

Measured on Langfuse 4.16.0, which calls this API unstable, and seen in ``web/src/features/public-api/types/``
(``unstable-dashboards.ts``, ``unstable-dashboard-widgets.ts``), ``web/src/features/dashboard/server/``,
``web/src/features/widgets/server/`` and ``DashboardService.ts``. Its errors have a form of their own. Not
played: Langfuse's own preset tiles, widgets of scores.
"""

import math
import secrets
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer, message
from codex_langfuse.mock.langfuse.filters import check_condition
from codex_langfuse.mock.langfuse.javascript import UNDEFINED, iso_time
from codex_langfuse.mock.langfuse.metrics import AGGREGATIONS, VIEWS, observations_view
from codex_langfuse.mock.langfuse.paging import whole_number
from codex_langfuse.mock.langfuse.query_parameters import Checks, InvalidQueryError, Path, parse_query
from codex_langfuse.mock.langfuse.request_body import BodyChecks

Record = dict[str, Any]

CHART_TYPES = (
    *("LINE_TIME_SERIES", "AREA_TIME_SERIES", "BAR_TIME_SERIES", "HORIZONTAL_BAR", "VERTICAL_BAR", "PIE"),
    *("NUMBER", "HISTOGRAM", "PIVOT_TABLE"),
)
_TIME_SERIES = tuple(chart for chart in CHART_TYPES if chart.endswith("_TIME_SERIES"))
#: The size of a tile that is placed without one, in cells of a grid of 12 columns.
_USUAL_SIZE = 6
_MOST_IN_A_PIVOT = {"dimensions": 2, "metrics": 10}

#: By what a widget can be filtered, and other names of it, from the pages of Langfuse.
_FILTERS: dict[str, tuple[str, ...]] = {
    "traceName": ("Trace Name",),
    "name": ("Observation Name", "observationName"),
    "userId": ("User", "user"),
    "sessionId": ("Session", "session"),
    "metadata": ("Metadata",),
    "type": ("Type",),
    "tags": ("Tags", "traceTags"),
    "providedModelName": ("Model", "model", "observationModelName"),
    "level": ("Level",),
    "toolNames": ("Tool Names (Available)", "Tool Names"),
    "calledToolNames": ("Tool Names (Called)",),
    "traceRelease": ("Trace Release", "Release"),
    "traceVersion": ("Trace Version", "Version"),
    "environment": ("Environment",),
    "release": ("Observation Release",),
    "version": (),
    "experimentName": ("Experiment Name",),
    "experimentDatasetId": ("Experiment Dataset",),
    "experimentId": ("Experiment ID",),
    "isRootObservation": ("Is Root Observation",),
}
_COLUMNS = {name: column for column, others in _FILTERS.items() for name in (column, *others)}

NO_SCORES = message(501, "The mock plays widgets of observations only. Langfuse also has widgets of scores.")
NO_PRESETS = message(501, "The mock plays no preset tiles. Langfuse does.")


# --- errors -------------------------------------------------------------------------------------------------


def error(status: int, code: str, text: str, details: Record | None = None) -> Answer:
    """Make an error in the form that this API has for all of its errors."""
    return Answer.json(
        status, {"message": text, "code": code, **({} if details is None else {"details": details})}
    )


METHOD_NOT_ALLOWED = error(405, "method_not_allowed", "Method not allowed")
_CODES = {401: "authentication_failed", 403: "access_denied"}


def refused_key(status: int, text: str) -> Answer:
    """Make the answer to a request whose key is refused."""
    return error(status, _CODES[status], text)


def _not_found(what: str, name: str) -> InvalidQueryError:
    return InvalidQueryError(error(404, "resource_not_found", f"{what} {name} not found"))


def _invalid(text: str, field: str, allowed: Iterable[str] | None = None) -> InvalidQueryError:
    details: Record = {"field": field}
    if allowed is not None:
        details["allowedValues"] = list(allowed)
    return InvalidQueryError(error(400, "invalid_request", text, details))


def _refuse_if_any(checks: Checks, part: str = "body") -> None:
    if checks.issues:
        text = "Invalid query parameters" if part == "query" else "Invalid request body"
        raise InvalidQueryError(error(400, f"invalid_{part}", text, {"issues": checks.issues}))


# --- lists --------------------------------------------------------------------------------------------------


def answer_list(query: str, records: Iterable[Record]) -> Answer:
    """Answer with a page of widgets or dashboards, the last changed first."""
    checks = Checks()
    asked = parse_query(query)
    page = whole_number(checks, "page", asked.get("page"), 1, least=0, inclusive=False, most=None)
    limit = whole_number(checks, "limit", asked.get("limit"), 50, least=0, inclusive=False, most=100)
    _refuse_if_any(checks, "query")
    found = sorted(records, key=lambda each: each["updatedAt"], reverse=True)
    meta = {
        "page": page,
        "limit": limit,
        "totalItems": len(found),
        "totalPages": math.ceil(len(found) / limit),
    }
    return Answer.json(200, {"data": found[(page - 1) * limit : page * limit], "meta": meta})


def found_in(records: Iterable[Record], what: str, name: str) -> Record:
    """Return a widget or a dashboard by its id; raises ``InvalidQueryError`` when it is not there."""
    for record in records:
        if record["id"] == name:
            return record
    raise _not_found(what, name)


# --- widgets ------------------------------------------------------------------------------------------------

_WIDGET_FIELDS = (
    "name",
    "description",
    "view",
    "dimensions",
    "metrics",
    "filters",
    "chartType",
    "chartConfig",
)


def make_widget(body: Any, *, now: int) -> Record:
    """Make a widget of a request's body, or raise ``InvalidQueryError``; ``now`` in ms since 1970."""
    given = _checked_widget(body, is_whole=True)
    return _stamped({"description": "", **given}, _WIDGET_FIELDS, now)


def change_widget(widget: Record, body: Any, *, now: int) -> Record:
    """Return a widget with the changes of a request's body."""
    given = _checked_widget(body, is_whole=False)
    if "chartType" in given and given["chartType"] != widget["chartType"] and "chartConfig" not in given:
        given["chartConfig"] = {}
    merged = {**{name: widget[name] for name in _WIDGET_FIELDS}, **given}
    return {**widget, **_normalized(merged), "updatedAt": iso_time(now)}


def _stamped(record: Record, fields: tuple[str, ...], now: int) -> Record:
    stamp = iso_time(now)
    return {
        "id": "c" + secrets.token_hex(12),
        "createdAt": stamp,
        "updatedAt": stamp,
        **{name: record[name] for name in fields},
    }


def _checked_widget(body: Any, *, is_whole: bool) -> Record:
    checks = BodyChecks()
    given = checks.object([], body)
    _refuse_if_any(checks)
    assert given is not None

    def has(name: str) -> bool:
        return (is_whole and name not in ("description", "chartConfig")) or name in given

    if has("name"):
        checks.string(["name"], given.get("name", UNDEFINED), least=1, too_short="Widget name is required")
    if has("description"):
        checks.string(["description"], given.get("description", UNDEFINED))
    if has("view"):
        checks.choice(["view"], given.get("view", UNDEFINED), VIEWS)
    for name, check in (("dimensions", _check_dimension), ("metrics", _check_metric)):
        if has(name):
            _each(checks, [name], given.get(name, UNDEFINED), check, least=1 if name == "metrics" else 0)
    if has("filters"):
        _each(checks, ["filters"], given.get("filters", UNDEFINED), check_condition)
    if has("chartType"):
        checks.choice(["chartType"], given.get("chartType", UNDEFINED), CHART_TYPES)
    if has("chartConfig"):
        config = checks.object(["chartConfig"], given.get("chartConfig", UNDEFINED))
        checks.choice(
            ["chartConfig", "type"], (config or {}).get("type", UNDEFINED), CHART_TYPES, optional=True
        )
    known = {name: given[name] for name in _WIDGET_FIELDS if name in given}
    if not is_whole and not known and checks.is_final:
        checks.whole("At least one field is required")
    _refuse_if_any(checks)
    return _normalized(known) if is_whole else known


def _each(
    checks: BodyChecks, path: Path, value: Any, check: Callable[[Any, Path, Any], None], least: int = 0
) -> None:
    if not isinstance(value, list):
        checks.mistyped(path, "array", value)
        return
    for place, item in enumerate(value):
        check(checks, [*path, place], item)
    if len(value) < least:
        checks.issues.append(
            {
                "origin": "array",
                "code": "too_small",
                "minimum": least,
                "inclusive": True,
                "path": path,
                "message": f"Too small: expected array to have >={least} items",
            }
        )


def _check_dimension(checks: BodyChecks, path: Path, item: Any) -> None:
    given = checks.object(path, item)
    if given is not None:
        checks.string([*path, "field"], given.get("field", UNDEFINED), least=1)


def _check_metric(checks: BodyChecks, path: Path, item: Any) -> None:
    given = checks.object(path, item)
    if given is not None:
        checks.string([*path, "measure"], given.get("measure", UNDEFINED), least=1)
        checks.choice([*path, "agg"], given.get("agg", UNDEFINED), AGGREGATIONS)


def _normalized(widget: Record) -> Record:
    """Return a widget with the names of the query's fields; raises for what no widget can show."""
    if widget["view"] != "observations":
        raise InvalidQueryError(NO_SCORES)
    unknown = [each["column"] for each in widget["filters"] if each["column"] not in _COLUMNS]
    if unknown:
        text = f'Unsupported filter column for view "{widget["view"]}": {", ".join(unknown)}'
        raise _invalid(text, "filters")
    config = widget.get("chartConfig") or {}
    if config.get("type", widget["chartType"]) != widget["chartType"]:
        raise _invalid("chartConfig.type must match chartType", "chartConfig.type")
    _check_fields(widget)
    return {
        **widget,
        "dimensions": [{"field": each["field"]} for each in widget["dimensions"]],
        "metrics": [{"measure": each["measure"], "agg": each["agg"]} for each in widget["metrics"]],
        "filters": [{**each, "column": _COLUMNS[each["column"]]} for each in widget["filters"]],
        "chartConfig": _chart_config(widget["chartType"], config),
    }


def _chart_config(chart: str, given: Record) -> Record:
    """Return the configuration of a chart: its type, and the settings of a chart of that type."""
    checks = BodyChecks()
    kept: Record = {"type": chart}
    if chart not in _TIME_SERIES and "row_limit" in given:
        whole = checks.real(["row_limit"], given["row_limit"])
        if whole is not None and not (whole % 1 == 0 and 0 < whole <= 1000):
            checks.custom(["row_limit"], "Invalid input: expected a whole number from 1 to 1000")
        kept["row_limit"] = given["row_limit"]
    if chart == "HORIZONTAL_BAR" and "show_value_labels" in given:
        kept["show_value_labels"] = given["show_value_labels"]
    if chart == "HISTOGRAM":
        kept["bins"] = given.get("bins", 10)
    if chart == "PIVOT_TABLE" and "defaultSort" in given:
        kept["defaultSort"] = given["defaultSort"]
    if checks.issues:
        complaints = ", ".join(
            f"{'.'.join(map(str, each['path']))}: {each['message']}" for each in checks.issues
        )
        raise _invalid(f"Invalid chartConfig: {complaints}", "chartConfig")
    return kept


def _check_fields(widget: Record) -> None:
    view = observations_view()
    dimensions = view.dimension_names()
    hidden = {name for name, each in view.dimensions.items() if each.is_hidden} | {"experimentId"}
    shown = [name for name in dimensions if name not in hidden]
    for place, each in enumerate(widget["dimensions"]):
        field = f"dimensions[{place}].field"
        if each["field"] not in dimensions:
            text = f'Dimension "{each["field"]}" is not available for view "observations" in version "v2"'
            raise _invalid(text, field, shown)
        if each["field"] in hidden:
            raise _invalid(f'Dimension "{each["field"]}" is not available for widgets', field, shown)
    for place, each in enumerate(widget["metrics"]):
        measure = each["measure"]
        if measure not in view.measure_names():
            text = f'Measure "{measure}" is not available for view "observations" in version "v2"'
            raise _invalid(text, f"metrics[{place}].measure", view.measure_names())
        is_text = measure in view.measures and not view.measures[measure].is_number
        allowed = ("count", "uniq") if is_text else AGGREGATIONS
        if each["agg"] not in allowed:
            text = f'Aggregation "{each["agg"]}" is not valid for measure "{measure}"'
            raise _invalid(text, f"metrics[{place}].agg", allowed)
    if widget["chartType"] != "PIVOT_TABLE":
        if len(widget["dimensions"]) > 1:
            raise _invalid("Only pivot table widgets can have multiple dimensions", "dimensions")
        return
    for part, most in _MOST_IN_A_PIVOT.items():
        if len(widget[part]) > most:
            raise _invalid(f"Pivot table widgets can have at most {most} {part}", part)


def in_use(widget: Record, dashboards: Iterable[Record]) -> Answer | None:
    """Return the refusal to delete a widget that dashboards show, ``None`` when none does."""
    names = [
        f'"{dashboard["name"]}"'
        for dashboard in dashboards
        if any(each.get("widgetId") == widget["id"] for each in dashboard["definition"]["widgets"])
    ]
    if not names:
        return None
    text = (
        "Cannot delete widget because it is still used in the following dashboards: "
        f"{', '.join(names)}. Please remove the widget from these dashboards first."
    )
    return error(409, "conflict", text)


# --- dashboards ---------------------------------------------------------------------------------------------

_DASHBOARD_FIELDS = ("name", "description", "definition", "filters")


def make_dashboard(body: Any, widgets: Iterable[Record], *, now: int) -> Record:
    """Make a dashboard of a request's body, or raise ``InvalidQueryError``."""
    given = _checked_dashboard(body, widgets, is_whole=True)
    return _stamped(
        {"description": "", "definition": {"widgets": []}, "filters": [], **given}, _DASHBOARD_FIELDS, now
    )


def change_dashboard(dashboard: Record, body: Any, widgets: Iterable[Record], *, now: int) -> Record:
    """Return a dashboard with the changes of a request's body."""
    given = _checked_dashboard(body, widgets, is_whole=False)
    return {**dashboard, **given, "updatedAt": iso_time(now)}


def _checked_dashboard(body: Any, widgets: Iterable[Record], *, is_whole: bool) -> Record:
    checks = BodyChecks()
    given = checks.object([], body)
    _refuse_if_any(checks)
    assert given is not None
    if is_whole or "name" in given:
        checks.string(["name"], given.get("name", UNDEFINED), least=1)
    if "description" in given:
        checks.string(["description"], given["description"])
    if "definition" in given:
        definition = checks.object(["definition"], given["definition"])
        path: Path = ["definition", "widgets"]
        if definition is not None:
            placed = definition.get("widgets", UNDEFINED)
            _each(checks, path, placed, _check_placement)
            if checks.is_final and len({each["id"] for each in placed}) < len(placed):
                checks.custom(["definition"], "Placement ids must be unique")
    if "filters" in given:
        _each(checks, ["filters"], given["filters"], check_condition)
    known = {name: given[name] for name in _DASHBOARD_FIELDS if name in given}
    if not is_whole and not known and checks.is_final:
        checks.whole("At least one field is required")
    _refuse_if_any(checks)
    if "definition" in known:
        placements = [_placement(each) for each in known["definition"]["widgets"]]
        ids = {widget["id"] for widget in widgets}
        for each in placements:
            if each["widgetId"] not in ids:
                raise _not_found("Dashboard widget", each["widgetId"])
        known["definition"] = {"widgets": placements}
    return known


def _placement(given: Record) -> Record:
    return {name: given[name] for name in ("type", "id", "widgetId", "x", "y", "width", "height")}


_POSITION = {"x": 0, "y": 0, "width": 1, "height": 1}


def _check_placement(checks: BodyChecks, path: Path, item: Any, *, optional: bool = False) -> None:
    given = checks.variant(path, item)
    if given is None:
        return
    if given.get("type") == "preset":
        raise InvalidQueryError(NO_PRESETS)
    checks.choice([*path, "type"], given.get("type", UNDEFINED), ("widget", "preset"))
    if not optional or "id" in given:
        checks.string([*path, "id"], given.get("id", UNDEFINED))
    checks.string([*path, "widgetId"], given.get("widgetId", UNDEFINED))
    _check_position(checks, path, given, optional=optional)
    unknown = sorted(set(given) - {"type", "id", "widgetId", *_POSITION})
    if unknown:
        names = ", ".join(f'"{name}"' for name in unknown)
        text = f"Unrecognized key{'s' if len(unknown) > 1 else ''}: {names}"
        checks.issues.append({"code": "unrecognized_keys", "keys": unknown, "path": path, "message": text})


def _check_position(checks: BodyChecks, path: Path, given: Record, *, optional: bool) -> None:
    for name, least in _POSITION.items():
        if optional and name not in given:
            continue
        number = checks.real([*path, name], given.get(name, UNDEFINED))
        if number is None:
            continue
        if number % 1:
            checks.is_final = False
            checks.issues.append(
                {
                    "expected": "int",
                    "format": "safeint",
                    "code": "invalid_type",
                    "path": [*path, name],
                    "message": "Invalid input: expected int, received number",
                }
            )
        elif number < least:
            inclusive = least == 0
            text = f"Too small: expected number to be >{'=' if inclusive else ''}0"
            checks.issues.append(
                {
                    "origin": "number",
                    "code": "too_small",
                    "minimum": 0,
                    "inclusive": inclusive,
                    "path": [*path, name],
                    "message": text,
                }
            )


def place(dashboard: Record, body: Any, widgets: Iterable[Record], *, now: int) -> tuple[Record, Record]:
    """Return a dashboard with one more tile, below the others unless a place is given, and the tile."""
    checks = BodyChecks()
    _check_placement(checks, [], body, optional=True)
    _refuse_if_any(checks)
    placed = dashboard["definition"]["widgets"]
    below = max((each["y"] + each["height"] for each in placed), default=0)
    usual = {"id": str(uuid.uuid4()), "x": 0, "y": below, "width": _USUAL_SIZE, "height": _USUAL_SIZE}
    made = _placement({**usual, **body})
    if any(each["id"] == made["id"] for each in placed):
        raise InvalidQueryError(error(409, "conflict", f"Placement {made['id']} already exists"))
    if made["widgetId"] not in {widget["id"] for widget in widgets}:
        raise _not_found("Dashboard widget", made["widgetId"])
    return _with_placements(dashboard, [*placed, made], now), made


def move(dashboard: Record, name: str, body: Any, *, now: int) -> tuple[Record, Record]:
    """Return a dashboard with a tile moved or resized, and the tile."""
    checks = BodyChecks()
    given = checks.object([], body)
    if given is not None:
        _check_position(checks, [], given, optional=True)
        if checks.is_final and not set(given) & set(_POSITION):
            checks.whole("At least one field is required")
    _refuse_if_any(checks)
    earlier = _tile(dashboard, name)
    moved = {**earlier, **{key: value for key, value in (given or {}).items() if key in _POSITION}}
    placed = [moved if each is earlier else each for each in dashboard["definition"]["widgets"]]
    return _with_placements(dashboard, placed, now), moved


def take_away(dashboard: Record, name: str, *, now: int) -> Record:
    """Return a dashboard without a tile."""
    gone = _tile(dashboard, name)
    placed = [each for each in dashboard["definition"]["widgets"] if each is not gone]
    return _with_placements(dashboard, placed, now)


def _tile(dashboard: Record, name: str) -> Record:
    tiles: list[Record] = dashboard["definition"]["widgets"]
    for each in tiles:
        if each["id"] == name:
            return each
    raise _not_found("Placement", name)


def _with_placements(dashboard: Record, placed: list[Record], now: int) -> Record:
    return {**dashboard, "definition": {"widgets": placed}, "updatedAt": iso_time(now)}
