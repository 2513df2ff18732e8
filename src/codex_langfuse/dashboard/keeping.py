"""Make the dashboard in a project, bring it up to date, or take it away, and nothing that is not its own.

Names are not unique in Langfuse. So a mark at the end of a widget's description,
``[codex-langfuse NAME/ID]``, shows which dashboard it belongs to. Widgets are made before the dashboard that
shows them. Whoever is interrupted leaves widgets with a mark, which the next run finds and uses.
"""

import re
from dataclasses import dataclass, field

from codex_langfuse.dashboard.api import (
    DASHBOARDS,
    WIDGETS,
    DashboardApi,
    Record,
    WidgetInUseError,
    tile_path,
)
from codex_langfuse.dashboard.definition import Definition, Widget

_MARK = re.compile(r"\s*\[codex-langfuse (?P<name>.*)/(?P<id>[a-z0-9-]+)\]$", re.DOTALL)
_TILE = "codex-langfuse-"


@dataclass
class Kept:
    """What became of a dashboard: its id, None when there is none, and a line for each change."""

    dashboard: str | None
    changes: list[str] = field(default_factory=list)


def keep(api: DashboardApi, definition: Definition) -> Kept:
    """Make the dashboard, or bring it up to date.

    What the user added to it stays, and what the user moved stays where it is. Raises what ``DashboardApi``
    raises; running it again then goes on where it stopped.
    """
    own, spare = _own_widgets(api, definition.name)
    dashboard = _own_dashboard(api, own)
    kept = Kept(None)
    made: dict[str, str] = {}
    for widget in definition.widgets:
        made[widget.id] = _keep_widget(api, definition.name, widget, own.get(widget.id), kept.changes)
    if dashboard is None:
        dashboard = api.create(DASHBOARDS, _new_dashboard(definition, made), "the dashboard")
        kept.changes.append(f"made the dashboard {definition.name} with {len(made)} widgets")
    else:
        _place(api, dashboard, definition, made, kept.changes)
    kept.dashboard = dashboard["id"]
    gone = {name: each for name, each in own.items() if name not in made}
    for each in (*gone.values(), *spare):
        _take_tiles(api, dashboard, {each["id"]})
        if _delete_widget(api, each, kept.changes):
            kept.changes.append(f"removed {each['name']}")
    return kept


def remove(api: DashboardApi, name: str) -> Kept:
    """Take away the dashboard of that name and its widgets.

    A dashboard to which the user added widgets stays, with those, and so does a widget that another dashboard
    shows.
    """
    own, spare = _own_widgets(api, name)
    widgets = [*own.values(), *spare]
    ids = {each["id"] for each in widgets}
    kept = Kept(None)
    dashboard = _own_dashboard(api, own)
    if dashboard is not None:
        others = [each for each in _tiles(dashboard) if each.get("widgetId") not in ids]
        if others:
            _take_tiles(api, dashboard, ids)
            kept.dashboard = dashboard["id"]
            kept.changes.append(
                f"kept the dashboard {dashboard['name']}: {len(others)} widgets on it are yours"
            )
        else:
            api.delete(f"{DASHBOARDS}/{dashboard['id']}", "the dashboard")
            kept.changes.append(f"removed the dashboard {dashboard['name']}")
    removed = sum([_delete_widget(api, each, kept.changes) for each in widgets])
    if removed:
        kept.changes.append(f"removed {removed} widgets")
    return kept


def _own_widgets(api: DashboardApi, name: str) -> tuple[dict[str, Record], list[Record]]:
    """Return the widgets of a dashboard by their id in its definition, and any that are there twice."""
    own: dict[str, Record] = {}
    spare: list[Record] = []
    for widget in sorted(api.all(WIDGETS), key=lambda each: str(each.get("createdAt", ""))):
        mark = _MARK.search(str(widget.get("description", "")))
        if mark is None or mark["name"] != name:
            continue
        if mark["id"] in own:
            spare.append(widget)
        else:
            own[mark["id"]] = widget
    return own, spare


def _own_dashboard(api: DashboardApi, own: dict[str, Record]) -> Record | None:
    """Return the oldest dashboard with a tile that was placed for one of the widgets."""
    ids = {each["id"] for each in own.values()}
    for dashboard in sorted(api.all(DASHBOARDS), key=lambda each: str(each.get("createdAt", ""))):
        if any(each["id"].startswith(_TILE) and each.get("widgetId") in ids for each in _tiles(dashboard)):
            return dashboard
    return None


def _tiles(dashboard: Record) -> list[Record]:
    tiles: list[Record] = dashboard["definition"]["widgets"]
    return tiles


def _keep_widget(
    api: DashboardApi, name: str, widget: Widget, earlier: Record | None, changes: list[str]
) -> str:
    """Make or change a widget and return its id in Langfuse."""
    description = f"{widget.fields['description']} [codex-langfuse {name}/{widget.id}]".strip()
    wanted = {**widget.fields, "description": description}
    what = f"the widget {widget.id!r}"
    if earlier is None:
        return str(api.create(WIDGETS, wanted, what)["id"])
    differing = [key for key, value in wanted.items() if not _is_same(key, value, earlier.get(key))]
    if differing:
        api.change(f"{WIDGETS}/{earlier['id']}", wanted, what)
        changes.append(f"updated {widget.fields['name']}: {', '.join(differing)}")
    return str(earlier["id"])


def _is_same(key: str, wanted: object, there: object) -> bool:
    if key == "chartConfig" and isinstance(wanted, dict) and isinstance(there, dict):
        return wanted.items() <= there.items()  # Langfuse adds the type and what it takes for granted.
    return wanted == there


def _tile(widget: Widget, widget_id: str) -> Record:
    return {"type": "widget", "id": f"{_TILE}{widget.id}", "widgetId": widget_id, **widget.place}


def _new_dashboard(definition: Definition, made: dict[str, str]) -> Record:
    tiles = [_tile(widget, made[widget.id]) for widget in definition.widgets]
    return {
        "name": definition.name,
        "description": definition.description,
        "definition": {"widgets": tiles},
    }


def _place(
    api: DashboardApi, dashboard: Record, definition: Definition, made: dict[str, str], changes: list[str]
) -> None:
    """Put widgets that are not on the dashboard on it: where their tile was, or below all others."""
    placed = {each.get("widgetId") for each in _tiles(dashboard)}
    below = max((each["y"] + each["height"] for each in _tiles(dashboard)), default=0)
    for widget in definition.widgets:
        if made[widget.id] in placed:
            continue
        tile = _tile(widget, made[widget.id])
        earlier = next((each for each in _tiles(dashboard) if each["id"] == tile["id"]), None)
        if earlier is not None:  # It showed a widget that somebody deleted.
            api.delete(tile_path(dashboard["id"], tile["id"]), "a tile")
            tile |= {key: earlier[key] for key in widget.place}
        else:
            tile |= {"x": 0, "y": below}
            below += widget.place["height"]
        api.create(f"{DASHBOARDS}/{dashboard['id']}/placements", tile, f"the tile of {widget.id!r}")
        changes.append(f"added {widget.fields['name']}")


def _take_tiles(api: DashboardApi, dashboard: Record, widgets: set[str]) -> None:
    for each in _tiles(dashboard):
        if each.get("widgetId") in widgets:
            api.delete(tile_path(dashboard["id"], each["id"]), "a tile")


def _delete_widget(api: DashboardApi, widget: Record, changes: list[str]) -> bool:
    """Delete a widget and say whether it is gone; one that is shown elsewhere stays."""
    try:
        api.delete(f"{WIDGETS}/{widget['id']}", f"the widget {widget['name']}")
    except WidgetInUseError:
        users = [
            dashboard["name"]
            for dashboard in api.all(DASHBOARDS)
            if any(each.get("widgetId") == widget["id"] for each in _tiles(dashboard))
        ]
        changes.append(f"kept the widget {widget['name']}, which is on another dashboard: {', '.join(users)}")
        return False
    return True
