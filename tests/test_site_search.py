"""The search: finds Chinese words, only pages in the reader's language, and loads when it is used."""

import json
import re
import tomllib

import pytest
from mkdocs.exceptions import PluginError
from playwright.sync_api import Browser, Page, expect

from harness.site import LANGUAGES, ROOT, BuiltSite
from hooks import theme_scripts
from hooks.search_index import split_long_words, typed_words, without_chinese

pytestmark = [pytest.mark.site, pytest.mark.browser]


def search(page: Page, words: str) -> list[str]:
    """Type words into the search, and return the addresses of the pages found."""
    field = page.locator("[data-md-component=search-query]")
    field.click()
    field.fill("")
    field.dispatch_event("keyup")
    summary = page.locator(".md-search-result__meta")
    expect(summary).to_have_text(page.evaluate(INITIAL_SUMMARY))
    field.fill(words)
    field.dispatch_event("keyup")  # what Material listens to; typed Chinese sends none in Chromium's driver
    expect(summary).not_to_have_text(page.evaluate(INITIAL_SUMMARY))
    found = page.locator(".md-search-result__link").evaluate_all("links => links.map(link => link.href)")
    return [address.partition("?")[0] for address in found]


QUERIES = tomllib.loads((ROOT / "tests/search_queries.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_people_type_finds_the_page_among_the_first_three(site: BuiltSite, open_page, language: str):
    queries = QUERIES[language]
    assert len(queries) >= 25
    page = open_page(site.address("index.md", language))
    missed = {}
    for words, wanted in queries.items():
        found = [address.partition("#")[0] for address in search(page, words)]
        first = list(dict.fromkeys(found))[:3]
        if not {site.address(f"{name}.md", language) for name in wanted} & set(first):
            missed[words] = [address.removeprefix(site.url) for address in first]
    assert missed == {}


def test_words_that_people_type_are_of_pages_that_there_are(site: BuiltSite):
    for language, folder in (("en", ""), ("zh", "zh/")):
        index = json.loads((site.folder / folder / "search/search_index.json").read_text(encoding="utf-8"))
        places = {place for place, words in typed_words().items() if language in words}
        assert places <= {entry["location"] for entry in index["docs"]}, language


@pytest.mark.parametrize("change", theme_scripts.CHANGES, ids=lambda change: change.why)
def test_the_hook_says_when_the_theme_has_changed(change: theme_scripts.Change):
    assert change.made(f"for(;{change.old};)") == f"for(;{change.new};)"
    for script in ("", change.new, 2 * change.old):
        with pytest.raises(PluginError, match="times, not once"):
            change.made(script)


# How a reader comes to the search: what is done on the page, and what the address has.
WAYS = {
    "click": (lambda page: page.locator(FIELD).click(), ""),
    **{key: (lambda page, key=key: page.keyboard.press(key), "") for key in ("/", "s", "f")},
    "link": (lambda page: None, "?q={words}"),
}
FIELD = "[data-md-component=search-query]"


@pytest.mark.parametrize(
    ("language", "way"),
    [("en", "/"), ("en", "f"), ("en", "link"), ("zh", "click"), ("zh", "s"), ("zh", "link")],
)
def test_the_index_loads_when_the_search_opens_and_no_letter_is_lost(
    site: BuiltSite, browser: Browser, language: str, way: str
):
    open_search, query = WAYS[way]
    words, wanted = {"en": ("prices", "guide/models.md"), "zh": ("价格", "guide/models.md")}[language]
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    held = []
    page.route("**/search_index.json", lambda route: held.append(route))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site.address("guide/faq.md", language) + query.format(words=words))
    if not query:
        assert not [url for url in asked if "search_index" in url]
        with page.expect_request("**/search_index.json"):
            open_search(page)
        page.keyboard.insert_text(words) if language == "zh" else page.keyboard.type(words)
    expect(page.locator(FIELD)).to_have_value(words)
    (request,) = held  # typed before the index is there
    request.continue_()
    found = page.locator(".md-search-result__link").first
    expect(found).to_be_attached()
    addresses = page.locator(".md-search-result__link").evaluate_all("links => links.map(each => each.href)")
    assert site.address(wanted, language) in [each.partition("?")[0].partition("#")[0] for each in addresses]
    assert len([url for url in asked if "search_index" in url]) == 1
    context.close()


def test_the_words_of_a_search_are_marked_on_the_page(site: BuiltSite, open_page):
    page = open_page(site.address("guide/models.md") + "?h=price")
    expect(page.locator("article mark").first).to_have_text(re.compile("price", re.I))


INITIAL_SUMMARY = """
JSON.parse(document.querySelector("#__config").textContent).translations["search.result.placeholder"]
"""


@pytest.mark.parametrize("words", ["数据丢失", "问题", "常见问题", "采集器", "endpoint"])
def test_chinese_pages_are_found_by_chinese_readers(specimen: BuiltSite, open_page, words: str):
    found = search(open_page(specimen.address("index.md", "zh")), words)
    assert found
    assert [address for address in found if not address.startswith(specimen.url + "zh/")] == []


def test_a_found_page_is_the_one_that_opens(specimen: BuiltSite, open_page):
    page = open_page(specimen.address("guide/specimen.md", "zh"))
    assert specimen.address("index.md", "zh") in search(page, "数据丢失")
    page.locator(".md-search-result__link").first.click()
    expect(page.locator("h1")).to_contain_text("样张站点")


def test_english_pages_are_found_by_english_readers(specimen: BuiltSite, open_page):
    page = open_page(specimen.address("index.md"))
    found = search(page, "collector")
    assert specimen.address("index.md") in found
    assert [address for address in found if address.startswith(specimen.url + "zh/")] == []
    assert search(page, "数据丢失") == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_real_site_is_searched_in_one_language(site: BuiltSite, open_page, language: str):
    found = search(open_page(site.address("index.md", language)), "Langfuse")
    assert found
    assert {address.startswith(site.url + "zh/") for address in found} == {language == "zh"}


def test_chinese_that_english_pages_quote_is_not_found_in_english(site: BuiltSite, open_page):
    page = open_page(site.address("contributing/translating.md"))
    quoted = "心跳"
    assert quoted in page.locator("article").inner_text()
    assert search(page, quoted) == []
    index = json.loads((site.folder / "search/search_index.json").read_text(encoding="utf-8"))
    assert not [entry["location"] for entry in index["docs"] if re.search(r"[\u4e00-\u9fff]", str(entry))]


@pytest.mark.parametrize(
    ("quoting", "left"),
    [
        (
            "<code>printf '再\u200b加\u200b一句\u200b。' >> page.md</code>",
            "<code>printf '…' >> page.md</code>",
        ),
        ("a turn’s end – “here” … × → ≥", "a turn’s end – “here” … × → ≥"),
    ],
)
def test_only_chinese_is_left_out(quoting: str, left: str):
    entry = {"location": "page/", "title": quoting, "text": quoting}
    assert without_chinese({"docs": [entry], "config": {}}) == {
        "docs": [{"location": "page/", "title": left, "text": left}],
        "config": {},
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("常见问题", ["常见", "问题"]),
        ("采集器", ["采集器"]),
        ("OpenTelemetry", ["OpenTelemetry"]),
        ("<p>常见问题</p>", ["<p>常见", "问题</p>"]),
    ],
)
def test_long_words_are_split_where_shorter_ones_make_them_up(text: str, words: list[str]):
    assert split_long_words(text).split("\u200b") == words
