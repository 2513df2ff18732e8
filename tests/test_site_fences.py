"""What a fence's settings leave on the page: a title, and nothing of what is meant for the tests."""

import re
from html import unescape

import proofs
import pytest

from harness.fences.executors import EXECUTORS
from harness.fences.scanner import scan
from harness.site import LANGUAGES, SPECIMEN, BuiltSite, english_pages, source_of

pytestmark = pytest.mark.site

PAGE = "guide/specimen.md"
# Languages that something runs or compares: Python has its executor in tests/test_examples.py.
PROVEN = {*EXECUTORS, "python"}
TEST_SETTINGS = ("run", "expect", "fails", "session", "check", "needs", "output", "shows", "status")


@pytest.mark.parametrize("language", LANGUAGES)
def test_titles_show_as_file_names(specimen: BuiltSite, language: str):
    titles = re.findall(r'<span class="filename">(.*?)</span>', specimen.html(PAGE, language))
    assert titles == ["~/.codex/config.toml", "send.py", "package.json", "nested.toml"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_settings_for_tests_leave_no_attribute(specimen: BuiltSite, language: str):
    source = source_of(PAGE, language, SPECIMEN).read_text(encoding="utf-8")
    attributes = {name for _, own in specimen.tags(PAGE, language).all for name in own}
    for setting in TEST_SETTINGS:
        assert re.search(rf"\b{setting}=", source), f"the specimen uses {setting}"
        assert setting not in attributes


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_fence_of_the_pages_says_what_proves_it(site: BuiltSite, language: str):
    drawings = {"mermaid", "ascii"}
    for page in english_pages():
        fences = [fence for fence in scan(source_of(page, language)) if fence.language not in drawings]
        expected = [proofs.shown(language, fence.language, fence.settings, fence.source) for fence in fences]
        assert all(expected), page
        assert {fence.language for fence in fences if "ran_by" not in fence.settings} <= PROVEN, page
        said = re.findall(r'<p class="proof"[^>]*>(.*?)</p>', site.html(page, language))
        assert [unescape(text) for text in said] == expected, page


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_fence_is_drawn_as_code_or_diagram(specimen: BuiltSite, language: str):
    html = specimen.html(PAGE, language)
    # The fence within a fence is text of the outer one; the one in a box and those in tabs are drawn.
    drawn = re.findall(r'<div class="language-(\w+) highlight">', html)
    assert drawn[:9] == ["toml", "bash", "python", "json", "yaml", "powershell", "console", "diff", "json"]
    assert drawn[9:] == ["md", "toml", "bash", "powershell"]
    assert len(re.findall(r'<pre class="mermaid"', html)) == 2


def test_highlighted_lines_are_kept(specimen: BuiltSite):
    assert re.search(r'<span class="hll">.*?otel', specimen.html(PAGE))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_markdown_twin_has_titles_included_files_and_no_settings(specimen: BuiltSite, language: str):
    twin = source_of(PAGE, language, specimen.folder).read_text(encoding="utf-8")
    fences = re.findall(r"^ *(```+\S.*)$", twin, re.M)
    assert fences[0] == '```toml title="~/.codex/config.toml"'
    assert fences[1] == "```bash"
    assert '"@mermaid-js/tiny"' in twin, "package.json is included"
    # What a fence shows is not touched, even where it looks like a fence with settings.
    assert [fence for fence in fences if "{" in fence] == ['```toml {title="inner.toml" run="never"}']
    assert ":material-" not in source_of("index.md", language, specimen.folder).read_text(encoding="utf-8")


@pytest.mark.parametrize(("language", "names"), [("en", ["done", "to do"]), ("zh", ["已完成", "未完成"])])
def test_boxes_of_a_checklist_are_named(specimen: BuiltSite, language: str, names: list[str]):
    boxes = specimen.tags(PAGE, language).named("input", having="disabled", type="checkbox")
    assert [box["aria-label"] for box in boxes] == names
