"""What a reader does with the site: changes language and colours, copies, reads without scripts."""

import re

import pytest
from playwright.sync_api import Page, Response, expect

from harness.site import LANGUAGES, SPECIMEN, BuiltSite, source_of
from hooks import redirects

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "guide/specimen.md"


def switch_to(page: Page, language: str) -> Response:
    """Change the language as a reader does, and return how the new page was answered."""
    page.locator(".md-select button").focus()
    with page.expect_navigation() as navigation:
        page.locator(f".md-select__link[hreflang={language}]").click()
    return navigation.value


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_the_switcher_stays_on_the_page(specimen: BuiltSite, open_page, scripts: bool):
    page = open_page(specimen.address(PAGE), java_script_enabled=scripts)
    for language in ("zh", "en"):
        answer = switch_to(page, language)
        assert (answer.status, answer.request.redirected_from) == (200, None)
        assert page.url == specimen.address(PAGE, language)


@pytest.mark.parametrize("home", ["", "zh/"])
def test_an_old_address_with_an_anchor_leads_to_its_own_place(site: BuiltSite, open_page, home: str):
    moved = {old: new for old, new in redirects.redirects().items() if "#" in old}
    page = open_page(site.url)
    for old, new in moved.items():
        page.goto(f"{site.url}{home}{old}")
        page.wait_for_url(f"{site.url}{home}{new}")


def test_colours_follow_the_system(specimen: BuiltSite, open_page):
    page = open_page(specimen.address(PAGE), color_scheme="dark")
    body = page.locator("body")
    expect(body).to_have_attribute("data-md-color-scheme", "slate")
    page.emulate_media(color_scheme="light")
    expect(body).to_have_attribute("data-md-color-scheme", "default")


def test_chosen_colours_stay_when_the_language_changes(specimen: BuiltSite, open_page):
    page = open_page(specimen.address(PAGE), color_scheme="light")
    body = page.locator("body")
    toggle = page.locator("[data-md-component=palette] label:visible")
    toggle.click()  # from the system's to light
    expect(toggle).to_have_attribute("title", "Colours: light; switch to dark")
    toggle.click()
    expect(body).to_have_attribute("data-md-color-scheme", "slate")
    switch_to(page, "zh")
    expect(body).to_have_attribute("data-md-color-scheme", "slate")
    expect(toggle).to_have_attribute("title", "配色：深色；切换到跟随系统")


def test_copying_a_fence_gives_exactly_its_text(specimen: BuiltSite, open_page):
    page = open_page(specimen.address(PAGE), permissions=["clipboard-read", "clipboard-write"])
    source = source_of(PAGE, "en", SPECIMEN).read_text(encoding="utf-8")
    for language in ("toml", "bash", "python", "powershell"):
        expected = re.search(rf"^```{language}[^\n]*\n(.*?)^```$", source, re.MULTILINE | re.DOTALL)[1]
        block = page.locator(f".language-{language}.highlight").first
        block.hover()
        block.locator("[data-md-type=copy]").click()
        expect(page.locator(".md-dialog--active")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == expected.rstrip("\n")
        page.evaluate("navigator.clipboard.writeText('')")


@pytest.mark.parametrize(("language", "label"), [("en", "Copy as Markdown"), ("zh", "复制为 Markdown")])
def test_copying_a_page_gives_its_markdown_twin(specimen: BuiltSite, open_page, language: str, label: str):
    page = open_page(specimen.address(PAGE, language), permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name=label).press("Enter")
    expect(page.locator(".md-dialog--active")).to_be_visible()
    twin = specimen.folder / source_of(PAGE, language, SPECIMEN).relative_to(SPECIMEN)
    assert page.evaluate("navigator.clipboard.readText()") == twin.read_text(encoding="utf-8")


def test_the_page_reads_without_scripts(specimen: BuiltSite, open_page):
    page = open_page(specimen.address(PAGE, "zh"), java_script_enabled=False)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_title("复制为 Markdown")).to_be_hidden()
    for text in ("accDescr: Codex sends traces to Langfuse.", 'environment = "dev"', "A warning."):
        expect(page.get_by_text(text).first).to_be_visible()
    expect(page.get_by_role("link", name="样张站点").or_(page.locator("nav a:visible")).first).to_be_visible()


def test_tabs_of_one_name_change_together(specimen: BuiltSite, open_page):
    page = open_page(specimen.address(PAGE))
    page.get_by_text("Windows", exact=True).click()
    expect(page.get_by_text("echo windows")).to_be_visible()
    expect(page.get_by_text("echo unix")).to_be_hidden()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_first_screen_of_a_laptop_leads_from_what_you_get_to_what_to_do(
    site: BuiltSite, open_page, language: str
):
    """The sentence, the pictures with their captions, the commands and the recommendation."""
    page = open_page(site.address("index.md", language))
    recommended = {"en": "Recommended:", "zh": "推荐"}[language]
    last = page.locator("article > p").filter(has=page.locator(f"strong:text-is('{recommended}')"))
    for size in ({"width": 1440, "height": 900}, {"width": 1280, "height": 800}):
        page.set_viewport_size(size)
        for picture in page.locator(".before-after img").all():
            assert picture.bounding_box()["height"] > 200
        for part in (
            page.locator("article > p").first,
            *page.locator("figcaption, .commands pre").all(),
            last,
        ):
            box = part.bounding_box()
            assert box["y"] + box["height"] <= size["height"], part.inner_text()
