"""The built site as files: languages, addresses, what programs read."""

import gzip
import re
from importlib import metadata
from xml.etree import ElementTree

import httpx
import pytest

from codex_langfuse.page_addresses import REPOSITORY
from harness import web
from harness.site import DOCS, LANGUAGES, BuiltSite, address_of, english_pages, source_of
from hooks import tested_with

pytestmark = pytest.mark.site

PAGES = english_pages()
EVERY_PAGE = [
    pytest.param(page, language, id=address_of(page, language) or "home")
    for page in PAGES
    for language in LANGUAGES
]
NAMESPACES = {"s": "http://www.sitemaps.org/schemas/sitemap/0.9", "x": "http://www.w3.org/1999/xhtml"}


def test_the_strict_build_has_nothing_to_warn_of(site: BuiltSite):
    alarming = re.findall(r"^(?:WARNING|ERROR|CRITICAL).*|.*Warning:.*|^Aborted.*", site.log, re.MULTILINE)
    assert (site.exit_code, alarming) == (0, [])
    assert "Documentation built in" in site.log


def test_every_page_has_its_twin_in_chinese():
    in_chinese = sorted(path.relative_to(DOCS / "zh").as_posix() for path in (DOCS / "zh").rglob("*.md"))
    assert in_chinese == PAGES


@pytest.mark.parametrize(("page", "language"), EVERY_PAGE)
def test_a_page_names_itself_and_its_translations(site: BuiltSite, page: str, language: str):
    tags = site.tags(page, language)
    assert tags.named("html")[0]["lang"] == language
    assert [link["href"] for link in tags.named("link", rel="canonical")] == [site.address(page, language)]
    assert {link["hreflang"]: link["href"] for link in tags.named("link", having="hreflang")} == {
        "en": site.address(page, "en"),
        "zh": site.address(page, "zh"),
        "x-default": site.address(page, "en"),
    }


@pytest.mark.parametrize(("page", "language"), EVERY_PAGE)
def test_the_switcher_leads_straight_to_the_same_page(site: BuiltSite, page: str, language: str):
    here = httpx.URL(site.address(page, language))
    switcher = site.tags(page, language).named("a", **{"class": "md-select__link"})
    targets = {link["hreflang"]: str(here.join(link["href"])) for link in switcher}
    assert targets == {other: site.address(page, other) for other in LANGUAGES}
    assert [web.get(target).status_code for target in targets.values()] == [200, 200]


@pytest.mark.parametrize(("page", "language"), EVERY_PAGE)
def test_the_edit_link_leads_to_the_pages_source(site: BuiltSite, page: str, language: str):
    source = source_of(page, language).relative_to(DOCS)
    edit = f"https://github.com/{REPOSITORY}/edit/main/docs/{source}"
    assert [link["href"] for link in site.tags(page, language).named("a", rel="edit")] == [edit]


def test_the_sitemap_lists_every_page_with_its_translations(site: BuiltSite):
    sitemap = (site.folder / "sitemap.xml").read_bytes()
    listed = {
        url.findtext("s:loc", namespaces=NAMESPACES): {
            link.get("hreflang"): link.get("href") for link in url.findall("x:link", NAMESPACES)
        }
        for url in ElementTree.fromstring(sitemap)
    }
    assert set(listed) == {site.address(page, language) for page in PAGES for language in LANGUAGES}
    for page in PAGES:
        for language in LANGUAGES:
            other = "zh" if language == "en" else "en"
            assert listed[site.address(page, language)][other] == site.address(page, other)
    assert gzip.decompress((site.folder / "sitemap.xml.gz").read_bytes()) == sitemap


def test_a_wrong_address_is_answered_in_both_languages(site: BuiltSite):
    answer = web.get(site.url + "zh/no/such/page/")
    assert answer.status_code == 404
    for text in ("There is no such page", "没有这个页面", 'href="/"', 'href="/zh/"'):
        assert text in answer.text


@pytest.mark.parametrize(
    ("file", "language", "first"),
    [("404.html", "en", "There is no such page"), ("zh/404.html", "zh", "没有这个页面")],
)
def test_each_language_has_a_404_page_of_its_own(site: BuiltSite, file: str, language: str, first: str):
    html = (site.folder / file).read_text(encoding="utf-8")
    assert f'<html lang="{language}"' in html
    assert f"<h1>{first}</h1>" in html


def test_a_404_page_under_a_sub_path_leads_home(specimen: BuiltSite):
    html = (specimen.folder / "404.html").read_text(encoding="utf-8")
    assert 'href="/specimen/"' in html
    assert 'href="/specimen/zh/"' in html


@pytest.mark.parametrize("language", LANGUAGES)
def test_llms_txt_lists_every_page_with_what_it_says(site: BuiltSite, language: str):
    text = (site.folder / ("" if language == "en" else language) / "llms.txt").read_text(encoding="utf-8")
    entries = re.findall(r"^- \[(.+)\]\((.+)\): (.+)$", text, re.M)
    assert sorted(address for _, address, _ in entries) == sorted(
        site.url + source_of(page, language).relative_to(DOCS).as_posix() for page in PAGES
    )
    assert text.count("\n- ") == len(PAGES), "each entry has a description"
    for _, address, _ in entries:
        assert web.get(address).status_code == 200


@pytest.mark.parametrize("language", LANGUAGES)
def test_llms_full_txt_has_every_page_whole(site: BuiltSite, language: str):
    home = site.url + ("" if language == "en" else f"{language}/")
    assert f"\nAll pages in one file: {home}llms-full.txt\n" in web.get(f"{home}llms.txt").text
    text = web.get(f"{home}llms-full.txt").content.decode("utf-8")
    twins = [source_of(page, language).relative_to(DOCS).as_posix() for page in PAGES]
    assert sorted(re.findall(r"^Source: (.+)$", text, re.M)) == sorted(site.url + twin for twin in twins)
    for twin in twins:
        assert (site.folder / twin).read_text(encoding="utf-8") in text


@pytest.mark.parametrize(("page", "language"), EVERY_PAGE)
def test_a_page_links_to_its_markdown_twin(site: BuiltSite, page: str, language: str):
    (link,) = site.tags(page, language).named("link", type="text/markdown")
    twin = web.get(httpx.URL(site.address(page, language)).join(link["href"]))
    assert twin.status_code == 200
    heading = re.search(r"^# .+$", source_of(page, language).read_text(encoding="utf-8"), re.M)[0]
    assert heading in twin.text
    assert "--8<--" not in twin.text
    line = tested_with.line_of(language)
    assert twin.text.count(line) == 1
    assert line.strip("*") in web.get(site.address(page, language)).text


@pytest.mark.parametrize(("page", "language"), EVERY_PAGE)
def test_no_markdown_is_left_in_a_caption(site: BuiltSite, page: str, language: str):
    for caption in re.findall(r"<figcaption>.*?</figcaption>", site.html(page, language), re.S):
        assert not re.search(r"\]\(|`|\*\*", caption)


@pytest.mark.parametrize("language", LANGUAGES)
def test_contributors_find_their_pages_in_the_footer_and_not_in_the_tabs(site: BuiltSite, language: str):
    tabs, footer = (
        re.search(pattern, site.html("quickstart.md", language), re.S)[0]
        for pattern in (r'<nav class="md-tabs".*?</nav>', r'<div class="md-copyright">.*?</div>')
    )
    assert "contributing/" not in tabs
    assert 'href="../contributing/code/"' in footer
    release = f"codex-langfuse {metadata.version('codex-langfuse')}"
    assert f'href="../contributing/changelog/">{release}</a>' in footer
    assert "Apache-2.0" in footer
