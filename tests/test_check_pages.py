"""The catalogue as a page: whole, the same in both languages, and with examples that can be followed."""

import re
from pathlib import Path

import pytest

from error_catalogue import catalogue
from error_pages import render_errors
from harness.fences.executors import EXECUTORS, SETTINGS
from harness.fences.scanner import Fence, scan

_HEADING = re.compile(r"^#{1,3} .+ \{ #([\w-]+) \}$", re.M)


@pytest.fixture(params=["en", "zh"])
def page(request, tmp_path) -> Path:
    return written(tmp_path, request.param)


def written(folder: Path, language: str) -> Path:
    path = folder / f"errors.{language}.md"
    path.write_text(render_errors(language), encoding="utf-8")
    return path


def fences(page: Path) -> list[Fence]:
    return list(scan(page))


def test_every_mistake_has_its_section_and_its_line_in_the_table(page) -> None:
    text = page.read_text(encoding="utf-8")
    ids = _HEADING.findall(text)
    assert len(ids) == len(set(ids))
    assert [id_ for id_ in ids if id_ in catalogue()] == list(catalogue())
    assert re.findall(r"^\|.*\]\(#([\w-]+)\) \|", text, re.M) == list(catalogue())


def test_both_languages_have_the_same_sections_and_examples(tmp_path) -> None:
    english, chinese = written(tmp_path, "en"), written(tmp_path, "zh")
    assert [(f.language, f.settings, f.source) for f in fences(english)] == [
        (f.language, f.settings, f.source) for f in fences(chinese)
    ]
    ids = [_HEADING.findall(page.read_text(encoding="utf-8")) for page in (english, chinese)]
    assert ids[0] == ids[1]


def test_the_examples_are_those_of_the_catalogue_and_say_what_comes_of_them(page) -> None:
    found = fences(page)
    assert all(fence.language in EXECUTORS and set(fence.settings) <= set(SETTINGS) for fence in found)
    configurations = [f.source for f in found if f.settings.get("title") == "~/.codex/config.toml"]
    assert configurations == [m.example.config for m in catalogue().values() if m.example.printed]
    for fence in found:
        for name in ("fails", "strict", "prints"):
            shown = fence.settings.get(name)
            proofs = [str(value) for mistake in catalogue().values() for value in mistake.proof.values()]
            assert shown is None or any(shown in proof for proof in proofs)


def test_what_an_example_sets_is_taken_back(page) -> None:
    """At the end nothing is exported that the page did not begin with."""
    exported: set[str] = set()
    for fence in fences(page):
        if fence.language == "bash":
            exported |= set(re.findall(r"^export (\w+)=", fence.source, re.M))
            exported -= set(re.findall(r"^unset (\w+)$", fence.source, re.M))
    assert exported <= {"OTEL_EXPORTER_OTLP_TRACES_HEADERS"}
