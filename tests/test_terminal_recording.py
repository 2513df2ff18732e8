"""The recording of the Quickstart shows what the page says, to everybody, and asks nobody."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from playwright.sync_api import Browser, Page

from codex_langfuse.mock.langfuse.auth import DEMONSTRATION_PUBLIC_KEY, DEMONSTRATION_SECRET_KEY
from harness import terminal_recording
from harness.fences.executors import FenceFailedError
from harness.fences.own_network import apart
from harness.fences.reader import a_reader
from harness.fences.scanner import Fence, scan
from harness.terminal_recording import Step
from translations import CHINESE, DOCS

QUICKSTART = DOCS / "quickstart.md"
LANGUAGES = {"en": DOCS, "zh": CHINESE}
COMMAND = "./scripts/test draw"
MOST_BYTES = 100_000

SVG = "{http://www.w3.org/2000/svg}"
ELEMENTS = {"svg", "title", "desc", "style", "g", "rect", "text", "tspan", "a"}

in_each_language = pytest.mark.parametrize("language", LANGUAGES)


def file_of(language: str) -> Path:
    return DOCS / f"assets/images/quickstart.{language}.svg"


def recording(language: str) -> Element:
    return ElementTree.fromstring(file_of(language).read_bytes())


def fences_to_show() -> list[Fence]:
    """Those from the keys to the turn; of each row of tabs, the first."""
    lines = QUICKSTART.read_text(encoding="utf-8").splitlines()
    first, after = (
        next(number for number, line in enumerate(lines, 1) if line.endswith(end))
        for end in ("{ #set-up }", "{ #upgrade }")
    )
    fences = [
        fence
        for fence in scan(QUICKSTART)
        if first < fence.line < after and "ran_by" not in fence.settings  # installing takes no recording
    ]
    shown = []
    for in_tabs, together in groupby(fences, lambda fence: fence.indent > 0):
        row = list(together)
        shown += row[:1] if in_tabs else row
    return shown


def test_there_is_something_to_show() -> None:
    sources = [fence.source for fence in fences_to_show()]
    assert sources[0] == "codex-langfuse setup\n"
    assert "2 accepted" in sources[-1]


@in_each_language
def test_it_is_that_of_the_page_as_it_is_now(language: str) -> None:
    now = terminal_recording.drawn(language)
    assert file_of(language).read_text(encoding="utf-8") == now, f"Run: {COMMAND}"


@in_each_language
def test_every_step_is_shown_in_its_order_with_what_it_prints(language: str) -> None:
    shown: list[tuple[str, str]] = []
    for text in recording(language).iter(f"{SVG}text"):
        names = text.get("class", "").split()
        words = "".join(text.itertext())
        if "more" in names:
            words = shown.pop()[1] + words
        shown += [(kind, words) for kind in names if kind in {"typed", "printed", "file"}]
    kinds = {"bash": "typed", "toml": "file"}
    assert shown == [
        (kinds.get(fence.language, "printed"), line)
        for fence in fences_to_show()
        for line in fence.source.splitlines()
        if line
    ], f"Run: {COMMAND}"


@in_each_language
def test_the_same_stands_in_it_as_text(language: str) -> None:
    svg = recording(language)
    title, transcript = (svg.find(f"{SVG}{name}") for name in ("title", "desc"))
    assert (svg.get("aria-labelledby"), svg.get("aria-describedby")) == (
        title.get("id"),
        transcript.get("id"),
    )
    lines = iter(transcript.text.splitlines())
    for fence in fences_to_show():
        for line in fence.source.splitlines():
            signs = ("$ ", "> ") if fence.language == "bash" else ("",)
            assert any(said in {f"{sign}{line}" for sign in signs} for said in lines), line


@in_each_language
def test_it_asks_nobody_for_anything_and_is_small(language: str) -> None:
    text = file_of(language).read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES
    assert not re.search(r"url\(|@import|@font-face|<!", text)
    links = []
    for element in recording(language).iter():
        assert element.tag.removeprefix(SVG) in ELEMENTS
        assert not [name for name in element.attrib if name.startswith("on") or name.endswith("src")]
        links += [value for name, value in element.attrib.items() if name.endswith("href")]
    assert links == ["#pause", "#play", file_of(language).name, "#last"]


@in_each_language
def test_no_key_stands_in_it(language: str) -> None:
    text = file_of(language).read_text(encoding="utf-8")
    assert set(re.findall(r"[ps]k-lf-[^\s\"'&<]*", text)) <= {"pk-lf-…", "sk-lf-…"}
    assert DEMONSTRATION_PUBLIC_KEY not in text
    assert DEMONSTRATION_SECRET_KEY not in text


def test_the_languages_differ_in_captions_only() -> None:
    def without_captions(language: str) -> str:
        text = file_of(language).read_text(encoding="utf-8")
        for between in (
            r"<title.*?</title>",
            r"<desc.*?</desc>",
            r'<g class="captions".*?</g>\n</g>',
            r'<text class="versions".*?</text>',
            r'<g class="controls".*?</g>',
            r' lang=".."',
        ):
            text, found = re.subn(between, "", text, flags=re.S)
            assert found == 1, between
        return text

    assert without_captions("en") == without_captions("zh")
    assert re.search("[\u4e00-\u9fff]", without_captions("zh")) is None


@in_each_language
def test_the_page_links_it_and_says_how_long_it_takes(language: str) -> None:
    seconds = re.search(r"--plays:(\d+)s", file_of(language).read_text(encoding="utf-8"))[1]
    page = LANGUAGES[language] / "quickstart.md"
    links = r"\]\((?P<target>[^)]+\.svg)\)[^.。]*?(?P<seconds>\d+) (?:seconds|秒)"
    (link,) = re.finditer(links, page.read_text(encoding="utf-8"))
    assert (page.parent / link["target"]).resolve() == file_of(language)
    assert link["seconds"] == seconds


@pytest.mark.parametrize(
    ("command", "shown", "complaint"),
    [
        ("echo another", True, "prints something else"),
        ("echo more", False, "prints what the page does not show"),
        ("false", False, "exited with"),
    ],
)
def test_what_does_not_do_what_the_page_says_is_not_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, shown: bool, complaint: str
) -> None:
    fences = fences_to_show()
    does = replace(fences[0], source=f"{command}\n", settings={})
    output = next(fence for fence in fences if fence.language == "text") if shown else None
    monkeypatch.setattr(terminal_recording, "steps", lambda: [Step(does, output)])
    with a_reader(tmp_path, Path("/no/codex")) as reader, pytest.raises(FenceFailedError, match=complaint):
        terminal_recording.record(reader)


@pytest.mark.codex
def test_the_steps_do_what_it_shows(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """With --update-examples, as the command gives it, this draws it again."""
    with apart(), a_reader(tmp_path) as reader:
        terminal_recording.record(reader)
    if pytestconfig.getoption("update_examples"):
        for language in LANGUAGES:
            file_of(language).write_text(terminal_recording.drawn(language), encoding="utf-8")


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """A function that opens the recording as a document of its own, as the link on the page does."""
    contexts = []

    def opened(language: str, **options: object) -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 720}, **options)
        contexts.append(context)
        page = context.new_page()
        requested = []
        page.on("request", lambda request: requested.append(request.url))
        page.goto(file_of(language).as_uri())
        assert requested == [file_of(language).as_uri()]
        return page

    yield opened
    for context in contexts:
        context.close()


# What is seen now: opaque, not cut off by typing, and within the terminal's window.
SEEN = """() => {
    const paper = document.querySelector(".paper").getBoundingClientRect();
    const opaque = (node) => !node || (getComputedStyle(node).opacity !== "0" && opaque(node.parentElement));
    return [...document.querySelectorAll("text")].filter((text) => {
        const box = text.getBoundingClientRect();
        return opaque(text) && getComputedStyle(text).clipPath !== "inset(0px 100% 0px 0px)"
            && (!text.closest(".terminal") || (box.top > paper.top && box.bottom < paper.bottom));
    }).map((text) => ({ words: text.textContent, box: text.getBoundingClientRect().toJSON() }));
}"""
SEEK = "(ms) => document.getAnimations().forEach((each) => { each.currentTime = ms; })"
STATES = "() => [...new Set(document.getAnimations().map((each) => each.playState))]"


def overlapping(seen: list[dict]) -> list[str]:
    def overlap(one: dict, other: dict) -> bool:
        across = min(one["right"], other["right"]) - max(one["left"], other["left"])
        down = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
        return across > 1 and down > 4  # letters of two lines may come that close

    return [
        f"{one['words']} / {other['words']}"
        for number, one in enumerate(seen)
        for other in seen[number + 1 :]
        if overlap(one["box"], other["box"])
    ]


@pytest.mark.browser
@in_each_language
def test_without_motion_it_is_the_last_frame(opened: Callable[..., Page], language: str) -> None:
    page = opened(language, reduced_motion="reduce")
    assert page.evaluate(STATES) == []
    seen = page.evaluate(SEEN)
    words = [each["words"] for each in seen]
    assert fences_to_show()[-1].source.splitlines()[-1] in words
    assert terminal_recording.END[language] in words
    assert fences_to_show()[0].source.strip() not in words, "it has scrolled"
    assert overlapping(seen) == []


@pytest.mark.browser
@in_each_language
def test_it_plays_once_and_nothing_overlaps(opened: Callable[..., Page], language: str) -> None:
    page = opened(language, color_scheme="dark")
    assert page.evaluate(STATES) == ["running"]
    bash = [fence for fence in fences_to_show() if fence.language == "bash"]
    commands = [line for fence in bash for line in fence.source.splitlines()]
    counts = []
    for second in range(0, 50, 5):
        page.evaluate(SEEK, second * 1000)
        seen = page.evaluate(SEEN)
        counts.append(len([each for each in seen if each["words"] in commands]))
        assert overlapping(seen) == [], second
        assert all(0 < each["box"]["left"] < each["box"]["right"] < 1280 for each in seen)
    assert counts[0] == 0
    assert counts[1] < max(counts)
    page.wait_for_function("() => document.getAnimations().length === 0")


@pytest.mark.browser
def test_a_reader_can_stop_it_go_on_and_begin_again(opened: Callable[..., Page]) -> None:
    page = opened("en")

    def press(name: str) -> None:
        link = page.get_by_text(name, exact=True)
        link.evaluate("(text) => text.closest('a').focus()")
        page.keyboard.press("Enter")

    press("Pause")
    page.wait_for_function(f"() => ({STATES})().join() === 'paused'")
    press("Play")
    page.wait_for_function(f"() => ({STATES})().join() === 'running'")
    press("Last frame")
    page.wait_for_function("() => document.getAnimations().length === 0")
    assert fences_to_show()[-1].source.splitlines()[-1] in [each["words"] for each in page.evaluate(SEEN)]
    press("From the start")
    page.wait_for_url(file_of("en").as_uri())
    page.wait_for_function(f"() => ({STATES})().join() === 'running'")


@pytest.mark.browser
@in_each_language
def test_those_who_do_not_see_it_get_its_transcript(opened: Callable[..., Page], language: str) -> None:
    page = opened(language)
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    described = [node for node in nodes if "2 accepted" in node.get("description", {}).get("value", "")]
    assert [node["name"]["value"] for node in described] == [terminal_recording.TITLE[language]]
    links = [node["name"]["value"] for node in nodes if node.get("role", {}).get("value") == "link"]
    assert len(links) == 4
