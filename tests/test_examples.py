"""Every fence of every page runs, and does what its page says.

English pages are followed from the top with the real Codex, a real shell and real HTTP. The Chinese
fences are the same text (``test_translation.py``), so they are not run again, but for the diagrams and for
the parts that only Chinese pages have.
"""

import sys
import traceback
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from langfuse._client.resource_manager import LangfuseResourceManager
from playwright.sync_api import Browser, Page
from pytest_examples import CodeExample, EvalExample

from harness.fences.executors import FenceFailedError
from harness.fences.following import Execute, Following
from harness.fences.pages import chinese_pages, english_pages, followed, needs_codex, needs_collector, twin_of
from harness.fences.reader import Reader
from harness.fences.rendered import count_fences
from harness.fences.scanner import ROOT, Fence, scan


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _fences() -> Iterator[pytest.param]:
    for page in [*english_pages(), *chinese_pages()]:
        fences = scan(page)
        run = followed(page)
        marks = [pytest.mark.codex if needs_codex(run) else pytest.mark.slow]
        marks += [pytest.mark.collector] if needs_collector(run) else []
        for fence in fences:
            if fence.language == "mermaid":
                yield pytest.param(fence, id=fence.place, marks=pytest.mark.browser)
            elif fence in run:
                yield pytest.param(fence, id=fence.place, marks=marks)


@pytest.fixture(scope="module")
def following(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Following]:
    renew = pytestconfig.getoption("update_examples")
    following = Following(lambda: tmp_path_factory.mktemp("page"), renew=renew)
    yield following
    following.close()


@pytest.fixture(scope="module")
def mermaid_page(browser: Browser) -> Iterator[Page]:
    """A page of the real Chromium with the Mermaid that the site serves."""
    page = browser.new_page()
    page.add_script_tag(path=ROOT / "node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js")
    yield page
    page.close()


@pytest.mark.parametrize("fence", list(_fences()))
def test_fence(
    fence: Fence,
    following: Following,
    eval_example: EvalExample,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    try:
        if fence.language == "mermaid":
            _draw(fence, request)
            return
        following.reach(fence, {"python": _python(eval_example, monkeypatch), "mermaid": _drawn_elsewhere})
    except FenceFailedError as failure:
        raise pytest.fail.Exception(f"{fence.place} ({fence.language}): {failure}", pytrace=False) from None
    eval_example.to_update += following.renewals()
    twin = twin_of(fence)
    if twin is not None:
        eval_example.to_update += [twin.example(example.source) for example in eval_example.to_update]


def _python(eval_example: EvalExample, monkeypatch: pytest.MonkeyPatch) -> Execute:
    eval_example.set_config(line_length=100, target_version="py311")

    def run(fence: Fence, reader: Reader) -> None:
        example = fence.example(fence.source)
        if "title" in fence.settings:
            # A program, which a later fence runs.
            _linted(eval_example, example)
            reader.terminal.write(fence.settings["title"], fence.source)
            return
        with monkeypatch.context() as patch:
            for name, value in reader.terminal.environment().items():
                patch.setenv(name, value)
            patch.chdir(reader.terminal.project)
            patch.setitem(sys.modules, "__main__", sys.modules["__main__"])
            # It remembers the proxy of whoever called urlopen first: another page's, which is gone.
            patch.setattr(urllib.request, "_opener", None)
            # So does the client that Langfuse's SDK keeps for a public key.
            patch.setattr(LangfuseResourceManager, "_instances", {})
            try:
                if eval_example.update_examples and fence.source == fence.written:
                    eval_example.run_print_update(example)
                else:
                    eval_example.lint(example)
                    eval_example.run_print_check(example)
            except (Exception, pytest.fail.Exception) as error:
                # Text only: pytest 9.2 stumbles over the traceback that pytest-examples makes up.
                raise FenceFailedError("".join(traceback.format_exception_only(error))) from None

    return run


def _linted(eval_example: EvalExample, example: CodeExample) -> None:
    try:
        eval_example.lint(example)
    except pytest.fail.Exception as error:
        raise FenceFailedError(str(error)) from None


def _draw(fence: Fence, request: pytest.FixtureRequest) -> None:
    """Have the real Mermaid draw the diagram in the real Chromium."""
    page = request.getfixturevalue("mermaid_page")
    problem = page.evaluate(
        """async (source) => {
            try { return (await mermaid.render("diagram", source)).svg.includes("<svg") ? "" : "no svg" }
            catch (error) { return String(error) }
        }""",
        fence.source,
    )
    if problem:
        raise FenceFailedError(f"Mermaid cannot draw it: {problem}")
    for line in ("accTitle:", "accDescr:"):
        if line not in fence.source:
            raise FenceFailedError(f"a diagram describes itself for those who do not see it: {line}")


def _drawn_elsewhere(fence: Fence, reader: Reader) -> None:
    """A diagram changes nothing for the fences after it."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [*english_pages(), *chinese_pages()], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_both_counts_of_fences_agree(page: Path) -> None:
    assert Counter(fence.language for fence in scan(page)) == count_fences(page)
