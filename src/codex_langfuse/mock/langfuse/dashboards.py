"""``/api/public/unstable/dashboard-widgets`` and ``/dashboards``: pictures that a project has of its data.

Measured on Langfuse 4.16.0, which calls this API unstable, and seen in ``web/src/features/public-api/types/``
(``unstable-dashboards.ts``, ``unstable-dashboard-widgets.ts``), ``web/src/features/dashboard/server/``,
``web/src/features/widgets/server/`` and ``DashboardService.ts``. Its errors have a form of their own. Not
played: Langfuse's own preset tiles, widgets of scores.
"""

import secrets
import uuid
from collections.abc import Iterable
from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer
from codex_langfuse.mock.langfuse.checks import Checks, FieldPath, RefusedError, not_played, parse_query
from codex_langfuse.mock.langfuse.filters import check_condition
from codex_langfuse.mock.langfuse.javascript import iso_time
from codex_langfuse.mock.langfuse.metrics import (
    AGGREGATIONS,
    HIDDEN_DIMENSIONS,
    VIEWS,
    aggregations_of,
    dimension_names,
    measure_names,
)
from codex_langfuse.mock.langfuse.paging import page_and_limit, page_of

Record = dict[str, Any]

CHART_TYPES = (
    *("LINE_TIME_SERIES", "AREA_TIME_SERIES", "BAR_TIME_SERIES", "HORIZONTAL_BAR", "VERTICAL_BAR", "PIE"),
    *("NUMBER", "HISTOGRAM", "PIVOT_TABLE"),
)
_TIME_SERIES = tuple(chart for chart in CHART_TYPES if chart.endswith("_TIME_SERIES"))
#: The size of a tile that is placed without one, in cells of a grid of 12 columns.
_USUAL_SIZE = 6
_MOST_IN_A_PIVOT = {"dimensions": 2, "metrics": 10}

#: By what a widget can be filtered.
_FILTERS = (
    *("traceName", "name", "userId", "sessionId", "metadata", "type", "tags", "providedModelName", "level"),
    *("toolNames", "calledToolNames", "traceRelease", "traceVersion", "environment", "release", "version"),
    *("experimentName", "experimentDatasetId", "experimentId", "isRootObservation"),
)

_NO_SCORES = "The mock plays widgets of observations only. Langfuse also has widgets of scores."
_NO_PRESETS = "The mock plays no preset tiles. Langfuse does."


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


def _not_found(what: str, name: str) -> RefusedError:
    return RefusedError(error(404, "resource_not_found", f"{what} {name} not found"))


def _invalid(text: str, field: str, allowed: Iterable[str] | None = None) -> RefusedError:
    details: Record = {"field": field}
    if allowed is not None:
        details["allowedValues"] = list(allowed)
    return RefusedError(error(400, "invalid_request", text, details))


def _refuse_if_any(checks: Checks, part: str = "body") -> None:
    if checks.issues:
        text = "Invalid query parameters" if part == "query" else "Invalid request body"
        raise RefusedError(error(400, f"invalid_{part}", text, {"issues": checks.issues}))


# --- lists --------------------------------------------------------------------------------------------------


def answer_list(query: str, records: Iterable[Record]) -> Answer:
    """Answer with a page of widgets or dashboards, the last changed first."""
    checks = Checks()
    page, limit = page_and_limit(checks, parse_query(query))
    _refuse_if_any(checks, "query")
    return page_of(sorted(records, key=lambda each: each["updatedAt"], reverse=True), page, limit)


def found_in(records: Iterable[Record], what: str, name: str) -> Record:
    """Return a widget or a dashboard by its id; raises ``RefusedError`` when it is not there."""
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
    """Make a widget of a request's body, or raise ``RefusedError``; ``now`` in ms since 1970."""
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
    checks = Checks()
    given = checks.object([], body)
    checks.text(["name"], given.get("name"), required=is_whole or "name" in given, least=1)
    checks.text(["description"], given.get("description"))
    checks.one_of(["view"], given.get("view"), VIEWS, required=is_whole)
    for path, item in checks.items(["dimensions"], given.get("dimensions"), required=is_whole):
        checks.text([*path, "field"], checks.object(path, item).get("field"), required=True, least=1)
    for path, item in checks.items(["metrics"], given.get("metrics"), required=is_whole):
        metric = checks.object(path, item)
        checks.text([*path, "measure"], metric.get("measure"), required=True, least=1)
        checks.one_of([*path, "agg"], metric.get("agg"), AGGREGATIONS, required=True)
    if given.get("metrics") == []:
        checks.complain(["metrics"], "Too small: expected array to have >=1 items")
    for path, item in checks.items(["filters"], given.get("filters"), required=is_whole):
        check_condition(checks, path, item)
    checks.one_of(["chartType"], given.get("chartType"), CHART_TYPES, required=is_whole)
    if given.get("chartConfig") is not None:
        checks.object(["chartConfig"], given["chartConfig"])
    known = {name: given[name] for name in _WIDGET_FIELDS if given.get(name) is not None}
    if not known:
        checks.complain([], "At least one field is required")
    _refuse_if_any(checks)
    return _normalized(known) if is_whole else known


def _normalized(widget: Record) -> Record:
    """Return a widget with the names of the query's fields; raises for what no widget can show."""
    if widget["view"] != "observations":
        raise not_played(_NO_SCORES)
    unknown = [each["column"] for each in widget["filters"] if each["column"] not in _FILTERS]
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
        "chartConfig": _chart_config(widget["chartType"], config),
    }


def _chart_config(chart: str, given: Record) -> Record:
    """Return the configuration of a chart: its type, and the settings of a chart of that type."""
    kept: Record = {"type": chart}
    if chart not in _TIME_SERIES and "row_limit" in given:
        checks = Checks()
        checks.whole(["row_limit"], given["row_limit"], least=1, most=1000, required=True)
        if checks.issues:
            text = f"Invalid chartConfig: row_limit: {checks.issues[0]['message']}"
            raise _invalid(text, "chartConfig")
        kept["row_limit"] = given["row_limit"]
    if chart == "HORIZONTAL_BAR" and "show_value_labels" in given:
        kept["show_value_labels"] = given["show_value_labels"]
    if chart == "HISTOGRAM":
        kept["bins"] = given.get("bins", 10)
    if chart == "PIVOT_TABLE" and "defaultSort" in given:
        kept["defaultSort"] = given["defaultSort"]
    return kept


def _check_fields(widget: Record) -> None:
    shown = [name for name in dimension_names() if name not in HIDDEN_DIMENSIONS]
    for place, each in enumerate(widget["dimensions"]):
        field = f"dimensions[{place}].field"
        if each["field"] in HIDDEN_DIMENSIONS:
            raise _invalid(f'Dimension "{each["field"]}" is not available for widgets', field, shown)
        if each["field"] not in shown:
            text = f'Dimension "{each["field"]}" is not available for view "observations" in version "v2"'
            raise _invalid(text, field, shown)
    for place, each in enumerate(widget["metrics"]):
        measure = each["measure"]
        if measure not in measure_names():
            text = f'Measure "{measure}" is not available for view "observations" in version "v2"'
            raise _invalid(text, f"metrics[{place}].measure", measure_names())
        allowed = aggregations_of(measure)
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
    """Make a dashboard of a request's body, or raise ``RefusedError``."""
    given = _checked_dashboard(body, widgets, is_whole=True)
    return _stamped(
        {"description": "", "definition": {"widgets": []}, "filters": [], **given}, _DASHBOARD_FIELDS, now
    )


def change_dashboard(dashboard: Record, body: Any, widgets: Iterable[Record], *, now: int) -> Record:
    """Return a dashboard with the changes of a request's body."""
    given = _checked_dashboard(body, widgets, is_whole=False)
    return {**dashboard, **given, "updatedAt": iso_time(now)}


def _checked_dashboard(body: Any, widgets: Iterable[Record], *, is_whole: bool) -> Record:
    checks = Checks()
    given = checks.object([], body)
    checks.text(["name"], given.get("name"), required=is_whole or "name" in given, least=1)
    checks.text(["description"], given.get("description"))
    if given.get("definition") is not None:
        placed: Any = checks.object(["definition"], given["definition"]).get("widgets")
        for path, item in checks.items(["definition", "widgets"], placed, required=True):
            _check_placement(checks, path, item)
        if not checks.issues and len({each["id"] for each in placed}) < len(placed):
            checks.complain(["definition"], "Placement ids must be unique")
    for path, item in checks.items(["filters"], given.get("filters")):
        check_condition(checks, path, item)
    known = {name: given[name] for name in _DASHBOARD_FIELDS if given.get(name) is not None}
    if not known:
        checks.complain([], "At least one field is required")
    _refuse_if_any(checks)
    if "definition" in known:
        placements = [_placement(each) for each in known["definition"]["widgets"]]
        for each in placements:
            found_in(widgets, "Dashboard widget", each["widgetId"])
        known["definition"] = {"widgets": placements}
    return known


def _placement(given: Record) -> Record:
    return {name: given[name] for name in ("type", "id", "widgetId", "x", "y", "width", "height")}


_POSITION = {"x": 0, "y": 0, "width": 1, "height": 1}


def _check_placement(checks: Checks, path: FieldPath, item: Any, *, required: bool = True) -> None:
    given = checks.object(path, item)
    if given.get("type") == "preset":
        raise not_played(_NO_PRESETS)
    checks.one_of([*path, "type"], given.get("type"), ("widget", "preset"), required=True)
    checks.text([*path, "id"], given.get("id"), required=required)
    checks.text([*path, "widgetId"], given.get("widgetId"), required=True)
    _check_position(checks, path, given, required=required)


def _check_position(checks: Checks, path: FieldPath, given: Record, *, required: bool) -> None:
    for name, least in _POSITION.items():
        checks.whole([*path, name], given.get(name), least=least, required=required or name in given)


def place(dashboard: Record, body: Any, widgets: Iterable[Record], *, now: int) -> tuple[Record, Record]:
    """Return a dashboard with one more tile, below the others unless a place is given, and the tile."""
    checks = Checks()
    _check_placement(checks, [], body, required=False)
    _refuse_if_any(checks)
    placed = dashboard["definition"]["widgets"]
    below = max((each["y"] + each["height"] for each in placed), default=0)
    usual = {"id": str(uuid.uuid4()), "x": 0, "y": below, "width": _USUAL_SIZE, "height": _USUAL_SIZE}
    made = _placement({**usual, **body})
    if any(each["id"] == made["id"] for each in placed):
        raise RefusedError(error(409, "conflict", f"Placement {made['id']} already exists"))
    found_in(widgets, "Dashboard widget", made["widgetId"])
    return _with_placements(dashboard, [*placed, made], now), made


def move(dashboard: Record, name: str, body: Any, *, now: int) -> tuple[Record, Record]:
    """Return a dashboard with a tile moved or resized, and the tile."""
    checks = Checks()
    given = checks.object([], body)
    _check_position(checks, [], given, required=False)
    changes = {key: value for key, value in given.items() if key in _POSITION}
    if not changes:
        checks.complain([], "At least one field is required")
    _refuse_if_any(checks)
    earlier = _tile(dashboard, name)
    moved = {**earlier, **changes}
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
