"""The mock's own page in Chromium: accessible, live, and unmoved by instructions in telemetry."""

from collections.abc import Callable, Iterator
from itertools import product

import pytest
from playwright.sync_api import Page, expect

import recordings
from codex_langfuse.mock.page.traces import traces_of
from codex_langfuse.mock.server import RunningMock, running_mock
from harness.commands import dashboard_done
from harness.mock_client import TRACES, client
from harness.otlp_json import simple_export
from harness.page_visits import DESKTOP, PHONE, Visit, violations, watch
from harness.web import JSON, PROTOBUF

pytestmark = pytest.mark.browser

LOOKS = [
    pytest.param({"viewport": DESKTOP, "color_scheme": "light", "locale": "en-US"}, "en", id="desktop-light"),
    pytest.param({"viewport": PHONE, "color_scheme": "dark", "locale": "zh-CN"}, "zh-CN", id="phone-dark"),
]
EVIL = [
    "<script>window.struck = 1</script>",
    "\"'><img src=x onerror='window.struck = 1'>",
    "<svg/onload=window.struck=1>",
    "javascript:window.struck=1",
    "\u202eesrever\u202c",
    "x" * 3000,
]


@pytest.fixture(scope="module")
def day() -> Iterator[RunningMock]:
    """A mock that has seen an old Codex, a new one, and mistakes."""
    with running_mock(page=True) as mock, client(mock) as http:
        for name in recordings.names("*"):
            if name.startswith(("0.98.0", "0.163.0", "0.169.0-privacy")):
                for sent in recordings.read(name):
                    http.post(f"/api/public/otel/v1/{sent.signal}", headers=PROTOBUF, content=sent.body)
        http.post(
            TRACES,
            headers=JSON,
            content=simple_export(
                {
                    "langfuse.user.id": "me",
                    "langfuse.trace.tags": "one,two",
                    "langfuse.observation.level": "ERROR",
                    "langfuse.observation.output": "token ghp_abcdefghijklmnopqrstuvwxyz0123456789",
                }
            ),
        )
        http.post("/wrong", content=b"not OTLP")
        dashboard_done(mock)
        yield mock


def largest(mock: RunningMock) -> str:
    trace = max(traces_of(mock.store.rows()), key=lambda each: len(each.rows))
    return f"/-/traces/{trace.address}"


def visited(opened: Callable[..., Page], address: str, **options: object) -> tuple[Page, Visit]:
    page = opened("about:blank", **options)
    visit = Visit()
    watch(page, visit)
    page.goto(address)
    return page, visit


def complaints(visit: Visit) -> list[str]:
    """What went wrong on a page: neither that nothing changed (304) nor that the test moved on."""
    return [error for error in visit.errors if not error.startswith(("304: ", "given up: "))]


@pytest.mark.parametrize(("options", "language"), LOOKS)
@pytest.mark.parametrize("view", ["/", "trace", "/-/dashboards", "/-/sent", "/-/warnings", "/-/requests/1"])
def test_accessible_and_quiet(
    day: RunningMock, open_page: Callable[..., Page], options: dict[str, object], language: str, view: str
) -> None:
    address = day.url + (largest(day) if view == "trace" else view)
    page, visit = visited(open_page, address, **options)
    assert page.locator("html").get_attribute("lang") == language
    for number in range(min(3, page.locator("main summary").count())):
        page.locator("main summary").nth(number).click()
    assert violations(page, view) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert {request.split("/")[2] for request in visit.requests} == {day.url.removeprefix("http://")}
    assert complaints(visit) == []


def test_an_empty_mock_says_what_to_do(open_page: Callable[..., Page]) -> None:
    with running_mock(page=True) as mock:
        for (options, _), view in product([look.values for look in LOOKS], ["/", "/-/dashboards", "/-/sent"]):
            page, visit = visited(open_page, mock.url + view, **options)
            assert violations(page, view) == []
            assert complaints(visit) == []
        page.goto(mock.url)
        expect(page.locator("pre")).to_contain_text(f'endpoint = "{mock.url}{TRACES}"')


def test_a_new_trace_appears_and_nothing_else_moves(open_page: Callable[..., Page]) -> None:
    with running_mock(page=True) as mock, client(mock) as http:
        for number in range(40):
            body = simple_export(traceId=f"{number:032x}", name=f"early {number}")
            http.post(TRACES, headers=JSON, content=body)
        page, visit = visited(open_page, mock.url, viewport=DESKTOP)
        page.get_by_role("link", name="early 5", exact=True).scroll_into_view_if_needed()
        page.get_by_role("link", name="early 7", exact=True).focus()
        page.evaluate("window.same = true")
        top = "document.activeElement.getBoundingClientRect().top"
        before = page.evaluate(top)
        later = simple_export(traceId="f" * 32, name="latest", startTimeUnixNano="1895425366997770217")
        http.post(TRACES, headers=JSON, content=later)
        expect(page.get_by_role("link", name="latest")).to_have_count(1)
        expect(page.get_by_role("link", name="early 7", exact=True)).to_be_focused()
        assert page.evaluate(top) == pytest.approx(before, abs=1)
        assert page.evaluate("window.same")
        assert complaints(visit) == []


def test_what_is_open_stays_open_and_pause_stops(open_page: Callable[..., Page]) -> None:
    with running_mock(page=True) as mock, client(mock) as http:
        http.post(TRACES, headers=JSON, content=simple_export(name="first"))
        page = open_page(f"{mock.url}/-/traces/{'ab' * 16}")
        page.locator("#line-1 > summary").click()
        http.post(TRACES, headers=JSON, content=simple_export(name="second", spanId="ef" * 8))
        expect(page.locator(".tree > li")).to_have_count(2)
        expect(page.locator("#line-1")).to_have_attribute("open", "")
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("#live-state")).to_have_text("Paused")
        http.post(TRACES, headers=JSON, content=simple_export(name="third", spanId="aa" * 8))
        with pytest.raises(AssertionError):
            expect(page.locator(".tree > li")).to_have_count(3, timeout=2_500)
        page.get_by_role("button", name="Resume").click()
        expect(page.locator(".tree > li")).to_have_count(3)


def test_all_is_there_without_javascript(day: RunningMock, open_page: Callable[..., Page]) -> None:
    page = open_page(day.url, java_script_enabled=False)
    page.get_by_role("link", name="What left").click()
    expect(page.get_by_text("say hello secret-prompt").first).to_be_visible()
    expect(page.locator("#live")).to_be_hidden()
    page.get_by_role("link", name="中文").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("哪些数据离开了本机")
    page.get_by_role("link", name="警告").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("警告")


def test_hostile_telemetry_does_nothing(open_page: Callable[..., Page]) -> None:
    with running_mock(page=True) as mock, client(mock) as http:
        for number, evil in enumerate(EVIL):
            keys = ("prompt", "cwd", "session.id", "user.id", "langfuse.trace.tags", "model", evil)
            attributes = dict.fromkeys((*keys, "langfuse.observation.input"), evil)
            body = simple_export(attributes, name=evil, traceId=f"{evil}{number}")
            assert http.post(TRACES, headers=JSON, content=body).status_code == 200
        page, visit = visited(open_page, mock.url, viewport=PHONE)
        page.on("dialog", lambda dialog: visit.errors.append(dialog.message))
        addresses = page.locator("main th a").evaluate_all("links => links.map((link) => link.href)")
        assert len(addresses) == len(EVIL)
        for address in [
            *addresses,
            f"{mock.url}/-/sent",
            f"{mock.url}/-/requests/1",
            f"{mock.url}/-/warnings",
        ]:
            page.goto(address)
            page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
            assert page.evaluate("window.struck") is None
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
        page.goto(f"{mock.url}/-/sent")
        http.post(TRACES, headers=JSON, content=simple_export({"prompt": EVIL[0] + "again"}, name="z"))
        expect(page.get_by_text("again")).not_to_have_count(0)
        assert page.evaluate("window.struck") is None
        assert complaints(visit) == []
