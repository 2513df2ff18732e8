"""Screenshots are taken in both languages, and those that the pages show are there."""

from pathlib import Path

import pytest

import screenshots

pytestmark = pytest.mark.browser


def test_they_are_taken_in_both_languages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.venv/bin/python scripts/screenshots.py`, into another folder."""
    monkeypatch.setattr(screenshots, "IMAGES", tmp_path)
    kept = {file.name for file in (screenshots.ROOT / "docs/assets/images").glob("*.??.png")}
    screenshots.main()
    taken = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert taken.keys() == kept
    for name, picture in taken.items():
        assert picture.startswith(b"\x89PNG")
        if name.endswith(".en.png"):
            assert picture != taken[name.replace(".en.", ".zh.")], "the same words in both"
