"""Screenshots are taken in both languages, and those that the pages show are there."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.fences.scanner import ROOT

pytestmark = pytest.mark.browser


def test_they_are_taken_in_both_languages(tmp_path: Path) -> None:
    """`.venv/bin/python scripts/site/screenshots.py`, into another folder."""
    kept = {file.name for file in (ROOT / "docs/assets/images").glob("*.??.png")}
    subprocess.run([sys.executable, ROOT / "scripts/site/screenshots.py", tmp_path], check=True)
    taken = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert taken.keys() == kept
    for name, picture in taken.items():
        assert picture.startswith(b"\x89PNG")
        if name.endswith(".en.png"):
            assert picture != taken[name.replace(".en.", ".zh.")], "the same words in both"
