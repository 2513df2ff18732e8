"""Every page as Chromium shows it, in both languages: visited once, looked at in four ways."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext
from playwright.sync_api import TimeoutError as NotInTime

import page_weights
from harness.page_visits import DESKTOP, PHONE, Visit, violations, watch
from harness.site import (
    LANGUAGES,
    OPEN_AND_STILL,
    ROOT,
    SPECIMEN,
    BuiltSite,
    address_of,
    english_pages,
    source_of,
)

pytestmark = [pytest.mark.site, pytest.mark.browser]

TABLET = {"width": 768, "height": 1024}

DRAWN_DIAGRAMS = """
[...document.querySelectorAll("div.mermaid")]
    .map((diagram) => diagram.shadowRoot?.querySelector("svg"))
    .filter((svg) => svg && svg.getBoundingClientRect().height > 0)
"""


# Tables and code that reach beyond their box, so that a reader has to scroll them to see all. A drawing in
# plain characters may.
CUT_OFF = """
[...document.querySelectorAll(
    "article .md-typeset__scrollwrap, article :is(td, th), article pre:not(.mermaid) > code"
)].filter((box) => !box.closest(".language-ascii"))
  .filter((box) => box.clientWidth && box.scrollWidth > box.clientWidth + 1)
  .map((box) => `${innerWidth} px: ${box.tagName} ${box.textContent.trim().slice(0, 60)}`)
"""


# Each picture, how high it is for its width, and how high the page says it is before it has loaded.
PICTURES = """
Promise.all([...document.querySelectorAll("article img")].map(async (picture) => {
    picture.loading = "eager"
    await picture.decode()
    const { src, naturalHeight, naturalWidth } = picture
    return [src, naturalHeight / naturalWidth, picture.getAttribute("height") / picture.getAttribute("width")]
}))
"""


@dataclass(kw_only=True)
class VisitOfSite(Visit):
    """What was seen while a page was open: light and wide, as wide as a tablet, then dark on a phone."""

    source: str
    diagrams: list[str] = field(default_factory=list)
    undrawn: int = 0
    violations: list[str] = field(default_factory=list)
    cut_off: list[str] = field(default_factory=list)
    width_on_phone: int = 0
    weight: int = 0
    limit: int = 0
    sizes: list[tuple[str, float, float]] = field(default_factory=list)


def number_of_diagrams(markdown: str) -> int:
    return len(re.findall(r"^[ \t]*```mermaid\b", markdown, re.MULTILINE))


@pytest.fixture(scope="module")
def reader(browser: Browser) -> Iterator[BrowserContext]:
    """A reader whose system is light, with a wide window; each page gets a tab of its own."""
    context = browser.new_context(viewport=DESKTOP, color_scheme="light")
    context.add_init_script(OPEN_AND_STILL)
    context.new_page()  # While it is open, the next ones are tabs of its window, which open faster.
    yield context
    context.close()


EVERY_PAGE = [
    pytest.param(("site", page, language), id=address_of(page, language) or "home")
    for page in english_pages()
    for language in LANGUAGES
]
SPECIMENS = [
    pytest.param(("specimen", page, language), id=f"specimen/{address_of(page, language)}")
    for page in english_pages(SPECIMEN)
    for language in LANGUAGES
]


@pytest.fixture(scope="module", params=EVERY_PAGE + SPECIMENS)
def visit(request: pytest.FixtureRequest, reader: BrowserContext) -> VisitOfSite:
    which, name, language = request.param
    built: BuiltSite = request.getfixturevalue(which)
    docs = SPECIMEN if which == "specimen" else ROOT / "docs"
    seen = VisitOfSite(source=source_of(name, language, docs).read_text(encoding="utf-8"))
    page = reader.new_page()
    watch(page, seen)
    page.goto(built.address(name, language))

    expected = number_of_diagrams(seen.source)
    with suppress(NotInTime):  # the test of diagrams says how many there are
        page.wait_for_function(f"count => {DRAWN_DIAGRAMS}.length === count", arg=expected, timeout=30_000)
    seen.diagrams = page.evaluate(f"{DRAWN_DIAGRAMS}.map((svg) => svg.getAttribute('aria-labelledby') ?? '')")
    seen.undrawn = page.locator("pre.mermaid").count()
    # A page and its Chinese twin have the same structure and colours: one is judged light, one dark.
    if which == "specimen" or language == "en":
        seen.violations += violations(page, "light, desktop")

    seen.sizes = page.evaluate(PICTURES)
    loaded = {urlsplit(url).path for url in [*seen.requests, *(picture[0] for picture in seen.sizes)]}
    seen.weight = sum(len(page_weights.body(built.file(path))) for path in loaded)
    seen.limit = page_weights.LIMITS[page_weights.kind(built.html(name, language))]

    for size in (DESKTOP, TABLET, PHONE):
        page.set_viewport_size(size)
        seen.cut_off += page.evaluate(CUT_OFF)
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("body[data-md-color-scheme=slate]")
    seen.width_on_phone = page.evaluate("document.documentElement.scrollWidth")
    if which == "specimen" or language == "zh":
        seen.violations += violations(page, "dark, phone")
    page.close()
    return seen


def test_nothing_is_asked_of_another_host(visit: VisitOfSite):
    assert visit.requests
    assert [
        url for url in visit.requests if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))
    ] == []


def test_nothing_fails_and_the_console_is_silent(visit: VisitOfSite):
    assert visit.errors == []


def test_a_first_visit_takes_few_bytes(visit: VisitOfSite):
    assert visit.weight <= visit.limit
    assert not [url for url in visit.requests if "search_index" in url]


def test_a_picture_keeps_its_place_while_it_loads(visit: VisitOfSite):
    for source, is_high, said in visit.sizes:
        assert said == pytest.approx(is_high, abs=0.005), source


def test_every_diagram_is_drawn_and_described(visit: VisitOfSite):
    assert (len(visit.diagrams), visit.undrawn) == (number_of_diagrams(visit.source), 0)
    assert all(visit.diagrams), "each diagram has accTitle and accDescr"


def test_no_barrier_against_wcag(visit: VisitOfSite):
    assert visit.violations == []


def test_the_page_fits_a_phone(visit: VisitOfSite):
    assert visit.width_on_phone == PHONE["width"]


def test_no_table_and_no_code_is_cut_off(visit: VisitOfSite):
    assert visit.cut_off == []


def test_a_row_on_a_phone_is_a_card_with_the_headings(specimen: BuiltSite, open_page):
    page = open_page(specimen.address("guide/specimen.md"), viewport=PHONE)
    cells = page.get_by_role("cell", name="A sentence long enough")
    assert cells.evaluate("cell => getComputedStyle(cell, '::before').content") == '"Notes"'
    assert page.get_by_text("Where it was seen", exact=True).is_hidden()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_barrier_in_the_other_schemes_search_and_drawer(
    specimen: BuiltSite, open_page, scheme: str, language: str
):
    address = specimen.address("guide/specimen.md", language)
    desktop = open_page(address, viewport=DESKTOP, color_scheme=scheme)
    found = violations(desktop, "desktop") if scheme == "dark" else []
    search = desktop.locator("[data-md-component=search-query]")
    search.click()
    search.fill("endpoint")
    search.dispatch_event("keyup")
    desktop.wait_for_selector(".md-search-result__link")
    # The page below lies under a veil, where a half-covered link is no target.
    found += violations(desktop, "search open", within=".md-header")

    phone = open_page(address, viewport=PHONE, color_scheme=scheme)
    found += violations(phone, "phone") if scheme == "light" else []
    phone.locator("label.md-header__button[for=__drawer]").click()
    phone.wait_for_function(
        "document.querySelector('.md-sidebar--primary').getBoundingClientRect().left >= 0"
    )
    found += violations(phone, "drawer open")
    assert found == []


def test_the_404_page_is_sound(site: BuiltSite, open_page):
    page = open_page(site.url + "zh/404.html")
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    assert violations(page, "404") == []
