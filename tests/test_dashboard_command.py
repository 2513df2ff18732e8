"""``codex-langfuse dashboard``: made once, brought up to date, taken away; what it says when it cannot be."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click.testing
import pytest

from codex_langfuse.dashboard.api import DASHBOARDS, WIDGETS
from codex_langfuse.dashboard.definition import built_in
from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import ORGANIZATION_KEY, RunningMock, running_mock
from harness import web
from harness.commands import dashboard_done, run_dashboard
from harness.mock_client import client

pytestmark = pytest.mark.slow

NUMBER = len(built_in().widgets)


@pytest.fixture
def mock() -> Iterator[RunningMock]:
    with running_mock(page=True) as mock:
        yield mock


def project(mock: RunningMock) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The project's dashboards and widgets."""
    with client(mock) as http:
        return tuple(http.get(path, params={"limit": 100}).json()["data"] for path in (DASHBOARDS, WIDGETS))


def shape(mock: RunningMock) -> tuple[Any, Any]:
    """What is in the project, without what differs from run to run: ids and times."""
    dashboards, widgets = project(mock)
    names = {each["id"]: each["description"] for each in widgets}
    tiles = [
        (
            each["name"],
            sorted((names[tile.pop("widgetId")], str(tile)) for tile in each["definition"]["widgets"]),
        )
        for each in dashboards
    ]
    varying = ("id", "createdAt", "updatedAt")
    kept = [{key: value for key, value in each.items() if key not in varying} for each in widgets]
    return tiles, sorted(kept, key=lambda each: str(each["description"]))


def test_it_is_made_once_and_its_link_is_printed(mock: RunningMock) -> None:
    first = dashboard_done(mock)
    ((dashboard,), widgets) = project(mock)
    assert first.stdout == f"{mock.url}/project/proj1/dashboards/{dashboard['id']}\n"
    assert first.stderr == f"made the dashboard Codex with {NUMBER} widgets\n"
    assert (dashboard["name"], len(widgets)) == ("Codex", NUMBER)
    assert {each["widgetId"] for each in dashboard["definition"]["widgets"]} == {
        each["id"] for each in widgets
    }
    before = shape(mock)
    again = dashboard_done(mock)
    assert (again.stdout, again.stderr) == (first.stdout, "nothing to change\n")
    assert shape(mock) == before


def test_every_widget_says_what_it_answers() -> None:
    for widget in built_in().widgets:
        description = widget.fields["description"]
        assert description.count("?") == 1 and len(description) < 120, description


def test_the_widgets_lie_beside_each_other_in_a_grid_of_twelve_columns() -> None:
    taken: set[tuple[int, int]] = set()
    for widget in built_in().widgets:
        place = widget.place
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["width"]) for y in range(place["height"])
        }
        assert not cells & taken and max(x for x, _ in cells) < 12
        taken |= cells


def test_what_the_user_added_and_moved_stays(mock: RunningMock) -> None:
    dashboard_done(mock)
    ((dashboard,), _) = project(mock)
    tile = dashboard["definition"]["widgets"][0]
    path = f"{DASHBOARDS}/{dashboard['id']}/placements"
    with client(mock) as http:
        mine = http.post(WIDGETS, json=own_widget()).json()
        http.post(path, json={"type": "widget", "widgetId": mine["id"]})
        http.patch(f"{path}/{tile['id']}", json={"x": 6, "y": 90, "height": 9})
        http.patch(f"{DASHBOARDS}/{dashboard['id']}", json={"name": "Ours"})
        changed = next(each for each in project(mock)[1] if each["name"] == "Cost")
        http.patch(f"{WIDGETS}/{changed['id']}", json={"chartType": "PIE"})
        before = http.get(f"{DASHBOARDS}/{dashboard['id']}").json()
    assert dashboard_done(mock).stderr == "updated Cost: chartType\n"
    ((after,), widgets) = project(mock)
    assert after["definition"] == before["definition"] and after["name"] == "Ours"
    assert mine["id"] in {each["id"] for each in widgets}
    assert next(each for each in widgets if each["id"] == changed["id"])["chartType"] == "NUMBER"
    # What is the user's own is not taken away, nor the dashboard that it is on.
    removed = dashboard_done(mock, "--remove")
    assert "kept the dashboard Ours: 1 widgets on it are yours" in removed.stderr
    ((left,), widgets) = project(mock)
    assert [each["widgetId"] for each in left["definition"]["widgets"]] == [mine["id"]]
    assert [each["id"] for each in widgets] == [mine["id"]]


def own_widget() -> dict[str, Any]:
    return {
        "name": "Mine",
        "view": "observations",
        "dimensions": [],
        "metrics": [{"measure": "count", "agg": "count"}],
        "filters": [],
        "chartType": "NUMBER",
    }


def test_a_widget_that_is_missing_from_the_dashboard_is_put_back_below(mock: RunningMock) -> None:
    dashboard_done(mock)
    ((dashboard,), _) = project(mock)
    tile = next(each for each in dashboard["definition"]["widgets"] if each["id"] == "codex-langfuse-people")
    with client(mock) as http:
        http.delete(f"{DASHBOARDS}/{dashboard['id']}/placements/{tile['id']}")
    assert dashboard_done(mock).stderr == "added People\n"
    ((dashboard,), _) = project(mock)
    lowest = max(dashboard["definition"]["widgets"], key=lambda each: each["y"])
    assert (lowest["widgetId"], lowest["width"]) == (tile["widgetId"], tile["width"])


def test_it_is_taken_away_and_nothing_else(mock: RunningMock) -> None:
    with client(mock) as http:
        mine = http.post(WIDGETS, json=own_widget()).json()
        other = http.post(DASHBOARDS, json={"name": "Codex"}).json()
        before = shape(mock)
        dashboard_done(mock)
        dashboard_done(mock, "--name", "Other")
        ((*_,), widgets) = project(mock)
        turns = next(each for each in widgets if "[codex-langfuse Codex/turns]" in each["description"])
        http.post(f"{DASHBOARDS}/{other['id']}/placements", json={"type": "widget", "widgetId": turns["id"]})
        removed = dashboard_done(mock, "--remove")
        assert "removed the dashboard Codex\n" in removed.stderr
        assert "kept the widget Turns, which is on another dashboard: Codex\n" in removed.stderr
        assert f"removed {NUMBER - 1} widgets\n" in removed.stderr and not removed.stdout
        http.patch(f"{DASHBOARDS}/{other['id']}", json={"definition": {"widgets": []}})
        assert dashboard_done(mock, "--remove").stderr == "removed 1 widgets\n"
        assert dashboard_done(mock, "--remove", "--name", "Other").exit_code == 0
        assert shape(mock) == before
        assert dashboard_done(mock, "--remove").stderr == "nothing to remove\n"
        assert mine["id"] in {each["id"] for each in project(mock)[1]}


@pytest.mark.parametrize("after", [0, 1, 2, 9, NUMBER, NUMBER + 1, NUMBER + 2])
def test_whoever_is_interrupted_runs_it_again(after: int) -> None:
    with running_mock() as whole, running_mock() as mock:
        dashboard_done(whole)
        mock.faults.add(Fault(status=500, times=1, after=after, path="/api/public/unstable/"))
        broken = run_dashboard(mock)
        assert broken.exit_code == 1 and "it goes on where it stopped" in broken.stderr
        assert dashboard_done(mock).exit_code == 0
        assert shape(mock) == shape(whole)
        mock.faults.add(Fault(status=500, times=1, after=after, path="/api/public/unstable/"))
        run_dashboard(mock, "--remove")
        dashboard_done(mock, "--remove")
        assert project(mock) == ([], [])


def test_another_name_is_another_dashboard_and_is_narrowed(mock: RunningMock) -> None:
    dashboard_done(mock)
    dashboard_done(mock, "--name", "CI", "--environment", "ci", "--environment", "nightly", "--user", "bot")
    dashboards, widgets = project(mock)
    assert {each["name"] for each in dashboards} == {"Codex", "CI"} and len(widgets) == 2 * NUMBER
    added = [
        {"column": "environment", "type": "stringOptions", "operator": "any of", "value": ["ci", "nightly"]},
        {"column": "userId", "type": "stringOptions", "operator": "any of", "value": ["bot"]},
    ]
    for each in widgets:
        assert (each["filters"][-2:] == added) == ("[codex-langfuse CI/" in each["description"])


def test_what_is_printed_is_a_file_that_it_takes(mock: RunningMock, tmp_path: Path) -> None:
    printed = run_dashboard(mock, "--print", "--name", "Mine", "--user", "ada")
    definition = json.loads(printed.stdout)
    assert (definition["name"], len(definition["widgets"])) == ("Mine", NUMBER)
    assert project(mock) == ([], [])
    file = tmp_path / "mine.json"
    definition["widgets"] = definition["widgets"][:2]
    file.write_text(json.dumps(definition))
    assert dashboard_done(mock, "--file", str(file)).stderr == "made the dashboard Mine with 2 widgets\n"
    definition["widgets"].pop()
    file.write_text(json.dumps(definition))
    assert dashboard_done(mock, "--file", str(file)).stderr == "removed Cost\n"
    ((dashboard,), widgets) = project(mock)
    assert len(dashboard["definition"]["widgets"]) == len(widgets) == 1


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda d: d["widgets"][0].pop("name"), "widget 'turns': has no 'name'"),
        (lambda d: d["widgets"][0].update(colour="red"), "widget 'turns': has an unknown field 'colour'"),
        (lambda d: d["widgets"][0].update(id="Turns"), "widget 'Turns': the id must be lower-case letters"),
        (lambda d: d["widgets"][0].update(id="cost"), "two widgets have the id 'cost'"),
        (lambda d: d["widgets"][0].update(width=0), "widget 'turns': 'width' must be a whole number from 1"),
        (lambda d: d["widgets"][0].update(filters={}), "widget 'turns': 'filters' must be a list"),
        (lambda d: d.update(widgets=[]), 'needs an object with "name" and a list "widgets"'),
        (lambda d: d.update(name=7), '"name" must be a text'),
    ],
)
def test_a_file_that_is_no_dashboard_is_refused_before_anything_is_sent(
    mock: RunningMock,
    tmp_path: Path,
    change: Any,
    complaint: str,
) -> None:
    definition = json.loads(built_in().as_json())
    change(definition)
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(definition))
    result = run_dashboard(mock, "--file", str(file))
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert f"{file}: {complaint}" in result.stderr
    assert not mock.store.requests


def test_what_langfuse_refuses_is_said_with_what_it_allows(mock: RunningMock, tmp_path: Path) -> None:
    definition = json.loads(built_in().as_json())
    definition["widgets"][1]["metrics"] = [{"measure": "weight", "agg": "sum"}]
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(definition))
    result = run_dashboard(mock, "--file", str(file))
    assert result.exit_code == 1 and result.stderr.count("\n") == 1
    assert "Langfuse refuses the widget 'cost': Measure \"weight\" is not available" in result.stderr
    assert "metrics[0].measure; allowed: count, " in result.stderr


def one_line(result: click.testing.Result, *words: str) -> None:
    assert result.exit_code == 1 and not result.stdout
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    for each in words:
        assert each in result.stderr


def test_each_refusal_is_one_line_that_says_what_to_do(mock: RunningMock) -> None:
    with running_mock(langfuse=3) as older:
        one_line(
            run_dashboard(older),
            "Langfuse 3.",
            "has no API for dashboards (404). Upgrade it",
            "4.16.0",
            "unstable",
        )
    one_line(run_dashboard(mock, LANGFUSE_SECRET_KEY="sk-lf-wrong"), "refuses the keys (401)")
    keys = {
        "LANGFUSE_PUBLIC_KEY": ORGANIZATION_KEY.public_key,
        "LANGFUSE_SECRET_KEY": ORGANIZATION_KEY.secret_key,
    }
    one_line(
        run_dashboard(mock, **keys), "the keys do not belong to a project (403)", "Make a pair in the project"
    )
    mock.faults.add(Fault(status=404, times=1, path="/api/public/projects"))
    one_line(run_dashboard(mock), "answers, but not as Langfuse does (status 404)")
    one_line(run_dashboard(mock, LANGFUSE_BASE_URL="http://127.0.0.1:9"), "cannot be reached")
    for status, words in (
        (403, "these keys may not change dashboards (403"),
        (500, "it goes on where it stopped"),
        (418, "not as Langfuse does (status 418)"),
    ):
        mock.faults.add(Fault(status=status, times=1, path=WIDGETS))
        one_line(run_dashboard(mock), words)


def test_it_waits_once_when_langfuse_limits_requests(mock: RunningMock) -> None:
    mock.faults.add(Fault(status=429, retry_after=0, times=1, path=WIDGETS))
    assert dashboard_done(mock).exit_code == 0
    mock.faults.add(Fault(status=429, retry_after=90, times=1, path=WIDGETS))
    one_line(run_dashboard(mock), "limits the number of requests (429). Run this again in 90 seconds")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--remove", "--print"),
        ("--name", " "),
        ("--name", "a\nb"),
        ("--region", "eu", "--base-url", "http://x"),
    ],
)
def test_wrong_usage(mock: RunningMock, arguments: tuple[str, ...]) -> None:
    assert run_dashboard(mock, *arguments).exit_code == 2


def test_the_mock_shows_what_it_cannot_draw_and_where_there_is_nothing(mock: RunningMock) -> None:
    assert "There is no dashboard yet" in web.get(f"{mock.url}/-/dashboards").text
    with client(mock) as http:
        odd = {**own_widget(), "metrics": [{"measure": "toolCalls", "agg": "sum"}]}
        widget = http.post(WIDGETS, json=odd).json()
        tile = {
            "type": "widget",
            "id": "a",
            "widgetId": widget["id"],
            "x": 0,
            "y": 0,
            "width": 13,
            "height": 1,
        }
        dashboard = {"name": "Odd <b>", "definition": {"widgets": [tile]}}
        made = http.post(DASHBOARDS, json=dashboard).json()
    html = web.get(f"{mock.url}/-/dashboards/{made['id']}?lang=zh").text
    assert "The mock does not play the measure toolCalls" in html and "Odd &lt;b&gt;" in html
    assert web.get(f"{mock.url}/-/dashboards/nope").status_code == 404
