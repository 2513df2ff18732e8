"""The minutes that docs/start.md promises are those that its paths take, and the same in both languages."""

import re
from pathlib import Path

import pytest

from harness.fences.pages import CHINESE, DOCS

# Words a minute that people read technical English with, and more who try things while reading.
QUICK, SLOW = 400, 60

START = (DOCS / "start.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^## [^\n]*\{ #([\w-]+) \}\n(.*?)(?=^## |\Z)", START, re.M | re.S)


def minutes(text: str) -> int | None:
    found = re.search(r"^\*(?:About |大约 )(\d+) ", text, re.M)
    return int(found[1]) if found else None


def words(target: str) -> int:
    """The words of prose on a page, or in the section of it that the link leads to."""
    path, _, section = target.partition("#")
    text = Path(DOCS, path).read_text(encoding="utf-8")
    if section:
        text = re.search(rf"^#+ [^\n]*\{{ #{section} \}}\n.*?(?=^## |\Z)", text, re.M | re.S)[0]
    text = re.sub(r"<!-- generated: .*?<!-- end -->|^ *```.*?^ *```", "", text, flags=re.M | re.S)
    return len(re.findall(r"\w+", text))


@pytest.mark.parametrize(("section", "text"), SECTIONS, ids=[section for section, _ in SECTIONS])
def test_a_path_takes_the_time_it_says(section: str, text: str) -> None:
    promised = minutes(text)
    if promised is None:
        assert section in {"look-up", "chinese"}  # no path to walk
        return
    steps = re.sub(r"^(?!\d\.|   ).*$", "", text, flags=re.M)
    count = sum(words(target) for target in re.findall(r"\]\(([\w/#.-]+)\)", steps))
    assert count / QUICK <= promised <= count / SLOW, f"{count} words"


def test_both_languages_promise_the_same() -> None:
    chinese = (CHINESE / "start.md").read_text(encoding="utf-8")
    promised = re.findall(r"^\*大约 (\d+) 分钟", chinese, re.M)
    assert list(map(int, promised)) == [minutes(text) for _, text in SECTIONS if minutes(text)]
