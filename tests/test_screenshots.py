"""Screenshots are taken in both languages, and those that the pages show are there, with right captions."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.fences.scanner import ROOT
from recordings import simple_turns

IMAGES = ROOT / "docs/assets/images"


@pytest.mark.browser
def test_they_are_taken_in_both_languages(tmp_path: Path) -> None:
    """`.venv/bin/python scripts/site/screenshots.py`, into another folder."""
    kept = {file.name for file in IMAGES.glob("*.??.webp")}
    subprocess.run([sys.executable, ROOT / "scripts/site/screenshots.py", tmp_path], check=True)
    taken = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert taken.keys() == kept
    for name, picture in taken.items():
        assert picture[:4] + picture[8:12] == b"RIFFWEBP"
        if ".en." in name:
            assert picture != taken[name.replace(".en.", ".zh.")], "the same words in both"


@pytest.mark.parametrize("picture", ["mock-sent", "relay-turn"])
def test_the_caption_names_the_codex_that_was_recorded(picture: str) -> None:
    for docs, page in (("docs", "en"), ("docs/zh", "zh")):
        shown = 0
        for file in (ROOT / docs / "guide").glob("*.md"):
            text = file.read_text(encoding="utf-8")
            for caption in re.findall(rf"{picture}\.{page}\.webp\).*\n<figcaption.*", text):
                shown += 1
                assert f"Codex {list(simple_turns())[-1]} " in caption
        assert shown
