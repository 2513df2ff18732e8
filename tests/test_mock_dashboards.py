"""The API for dashboards, as measured on Langfuse 4.16.0: what it takes, what it answers, its errors."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from codex_langfuse.dashboard.api import DASHBOARDS, WIDGETS
from codex_langfuse.mock.server import ORGANIZATION_KEY, RunningMock, running_mock
from harness import web
from harness.mock_client import client
from harness.web import JSON

pytestmark = pytest.mark.slow

WIDGET: dict[str, Any] = {
    "name": "Turns",
    "view": "observations",
    "dimensions": [],
    "metrics": [{"measure": "count", "agg": "count"}],
    "filters": [],
    "chartType": "NUMBER",
}


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with running_mock() as mock, client(mock) as http:
        yield http


def made(http: httpx.Client, **changes: Any) -> dict[str, Any]:
    answer = http.post(WIDGETS, json={**WIDGET, **changes})
    assert answer.status_code == 200, answer.text
    return answer.json()


def tile(widget: dict[str, Any], name: str = "a", **place: int) -> dict[str, Any]:
    at = {"x": 0, "y": 0, "width": 6, "height": 6, **place}
    return {"type": "widget", "id": name, "widgetId": widget["id"], **at}


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()


def test_a_widget_is_kept_as_it_is_given(http: httpx.Client) -> None:
    widget = made(http, chartType="HORIZONTAL_BAR", chartConfig={"row_limit": 10, "colour": "red"})
    assert list(widget) == [
        *("id", "createdAt", "updatedAt", "name", "description", "view", "dimensions", "metrics"),
        *("filters", "chartType", "chartConfig"),
    ]
    assert widget["description"] == ""
    assert widget["chartConfig"] == {"type": "HORIZONTAL_BAR", "row_limit": 10}
    assert http.get(f"{WIDGETS}/{widget['id']}").json() == widget
    again = made(http)
    assert again["name"] == widget["name"] and again["id"] != widget["id"], "names are not unique"
    assert http.get(WIDGETS).json()["meta"] == {"page": 1, "limit": 50, "totalItems": 2, "totalPages": 1}
    assert http.get(WIDGETS, params={"limit": 1, "page": 2}).json()["data"][0]["id"] == widget["id"]


def test_a_widget_is_changed_field_by_field(http: httpx.Client) -> None:
    widget = made(http, chartType="HISTOGRAM", chartConfig={"bins": 20})
    changed = http.patch(f"{WIDGETS}/{widget['id']}", json={"name": "Other", "chartType": "PIE"}).json()
    assert changed == {
        **widget,
        "name": "Other",
        "chartType": "PIE",
        "chartConfig": {"type": "PIE"},
        "updatedAt": changed["updatedAt"],
    }
    body = refused(http.patch(f"{WIDGETS}/{widget['id']}", json={}), 400, "invalid_body")
    assert body["details"]["issues"][0]["message"] == "At least one field is required"


def test_a_dashboard_holds_tiles(http: httpx.Client) -> None:
    widget = made(http)
    body = {"name": "Codex", "definition": {"widgets": [tile(widget, width=14)]}}
    dashboard = http.post(DASHBOARDS, json=body).json()
    assert list(dashboard) == ["id", "createdAt", "updatedAt", "name", "description", "definition", "filters"]
    assert dashboard["definition"] == body["definition"] and dashboard["filters"] == []
    path = f"{DASHBOARDS}/{dashboard['id']}/placements"
    placed = http.post(path, json={"type": "widget", "widgetId": widget["id"]}).json()
    assert {key: placed[key] for key in ("x", "y", "width", "height")} == {
        "x": 0,
        "y": 6,
        "width": 6,
        "height": 6,
    }
    moved = http.patch(f"{path}/{placed['id']}", json={"x": 3, "height": 2}).json()
    assert moved == {**placed, "x": 3, "height": 2}
    gone = http.delete(f"{path}/{placed['id']}")
    assert (gone.status_code, gone.json()) == (200, {"message": "Placement successfully deleted"})
    assert len(http.get(f"{DASHBOARDS}/{dashboard['id']}").json()["definition"]["widgets"]) == 1
    assert http.patch(f"{DASHBOARDS}/{dashboard['id']}", json={"name": "New"}).json()["name"] == "New"
    refused(http.patch(f"{DASHBOARDS}/{dashboard['id']}", json={}), 400, "invalid_body")
    in_use = refused(http.delete(f"{WIDGETS}/{widget['id']}"), 409, "conflict")
    assert 'still used in the following dashboards: "New"' in in_use["message"]
    assert http.delete(f"{DASHBOARDS}/{dashboard['id']}").status_code == 200
    assert http.get(f"{WIDGETS}/{widget['id']}").status_code == 200, "its widgets stay"
    assert http.delete(f"{WIDGETS}/{widget['id']}").status_code == 200
    assert http.get(WIDGETS).json()["data"] == []


@pytest.mark.parametrize(
    ("changes", "field", "text"),
    [
        ({"metrics": [{"measure": "weight", "agg": "sum"}]}, "metrics[0].measure", 'Measure "weight"'),
        ({"metrics": [{"measure": "traceId", "agg": "sum"}]}, "metrics[0].agg", 'Aggregation "sum"'),
        ({"dimensions": [{"field": "metadata"}]}, "dimensions[0].field", 'Dimension "metadata"'),
        ({"dimensions": [{"field": "traceId"}]}, "dimensions[0].field", "not available for widgets"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_can(
    http: httpx.Client, changes: dict[str, Any], field: str, text: str
) -> None:
    body = refused(http.post(WIDGETS, json={**WIDGET, **changes}), 400, "invalid_request")
    assert text in body["message"] and body["details"]["field"] == field
    assert len(body["details"]["allowedValues"]) >= 2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"filters": [{"column": "totalCost", "type": "number", "operator": ">", "value": 1}]}, "filters"),
        ({"dimensions": [{"field": "name"}, {"field": "level"}]}, "dimensions"),
        ({"chartConfig": {"type": "PIE"}}, "chartConfig.type"),
        ({"chartConfig": {"row_limit": 0}}, "chartConfig"),
        (
            {
                "chartType": "PIVOT_TABLE",
                "dimensions": [{"field": each} for each in ("name", "level", "type")],
            },
            "dimensions",
        ),
    ],
)
def test_what_no_chart_can_show_is_refused(http: httpx.Client, changes: dict[str, Any], field: str) -> None:
    body = refused(http.post(WIDGETS, json={**WIDGET, **changes}), 400, "invalid_request")
    assert body["details"]["field"] == field


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"name": ""}, ["name"]),
        ({"view": "traces"}, ["view"]),
        ({"metrics": []}, ["metrics"]),
        ({"metrics": [{"measure": "count", "agg": "median"}]}, ["metrics", 0, "agg"]),
        ({"dimensions": "name"}, ["dimensions"]),
        ({"filters": [{"column": "type", "type": "odd"}]}, ["filters", 0, "type"]),
        ({"chartType": "MAP"}, ["chartType"]),
        ({"chartConfig": 7}, ["chartConfig"]),
    ],
)
def test_a_body_of_another_form_is_refused(
    http: httpx.Client, changes: dict[str, Any], path: list[Any]
) -> None:
    body = refused(http.post(WIDGETS, json={**WIDGET, **changes}), 400, "invalid_body")
    assert body["message"] == "Invalid request body"
    assert body["details"]["issues"][0]["path"] == path


@pytest.mark.parametrize("field", sorted(WIDGET))
def test_no_field_of_a_widget_can_be_left_out(http: httpx.Client, field: str) -> None:
    body = {name: value for name, value in WIDGET.items() if name != field}
    refused(http.post(WIDGETS, json=body), 400, "invalid_body")


def test_tiles_are_checked(http: httpx.Client) -> None:
    widget = made(http)

    def put(*tiles: Any) -> httpx.Response:
        return http.post(DASHBOARDS, json={"name": "D", "definition": {"widgets": list(tiles)}})

    body = refused(put(tile({"id": "nope"})), 404, "resource_not_found")
    assert body == {"message": "Dashboard widget nope not found", "code": "resource_not_found"}
    refused(put(tile(widget), tile(widget)), 400, "invalid_body")
    for wrong in ({"x": -1}, {"width": 0}, {"y": 1.5}, {"height": "2"}):
        refused(put({**tile(widget), **wrong}), 400, "invalid_body")
    assert put({**tile(widget), "type": "preset"}).status_code == 501
    dashboard = put(tile(widget)).json()
    path = f"{DASHBOARDS}/{dashboard['id']}/placements"
    refused(http.post(path, json=tile(widget)), 409, "conflict")
    refused(http.post(path, json={"type": "widget", "widgetId": "nope"}), 404, "resource_not_found")
    refused(http.patch(f"{path}/a", json={}), 400, "invalid_body")
    refused(http.patch(f"{path}/b", json={"x": 1}), 404, "resource_not_found")
    refused(http.delete(f"{path}/b"), 404, "resource_not_found")
    refused(http.get(f"{DASHBOARDS}/nope"), 404, "resource_not_found")
    refused(http.patch(f"{WIDGETS}/nope", json={"name": "x"}), 404, "resource_not_found")


def test_lists_keys_verbs_and_text_that_is_no_json(http: httpx.Client) -> None:
    refused(http.get(WIDGETS, params={"limit": 101}), 400, "invalid_query")
    refused(http.get(DASHBOARDS, params={"page": 0}), 400, "invalid_query")
    for method in ("PUT", "DELETE", "PATCH"):
        refused(http.request(method, WIDGETS), 405, "method_not_allowed")
    refused(web.get(f"{str(http.base_url).rstrip('/')}{WIDGETS}"), 401, "authentication_failed")
    refused(http.get(WIDGETS, auth=("pk-lf-1", "sk-lf-no")), 401, "authentication_failed")
    pair = (ORGANIZATION_KEY.public_key, ORGANIZATION_KEY.secret_key)
    refused(http.get(WIDGETS, auth=pair), 403, "access_denied")
    broken = http.post(WIDGETS, headers=JSON, content=b"{")
    assert (broken.status_code, broken.text) == (400, "Invalid JSON")


def test_langfuse_3_has_no_such_api() -> None:
    with running_mock(langfuse=3) as older, client(older) as http:
        for path in (WIDGETS, DASHBOARDS, f"{DASHBOARDS}/x/placements"):
            answer = http.get(path)
            assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (
                404,
                "text/html",
            )


def test_dashboards_are_forgotten_with_the_rest() -> None:
    with running_mock() as mock, client(mock) as http:
        made(http)
        mock.store.clear()
        assert http.get(WIDGETS).json()["data"] == []
        assert isinstance(mock, RunningMock)
