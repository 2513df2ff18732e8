"""What is made from data in the pages says what the data say now."""

import pytest

import generate_pages
from harness.fences.scanner import ROOT

pytestmark = pytest.mark.slow


def test_pages_are_current() -> None:
    stale = [
        file.relative_to(ROOT).as_posix()
        for file, text in generate_pages.generated_files().items()
        if not file.is_file() or file.read_text(encoding="utf-8") != text
    ]
    assert not stale, "Run: .venv/bin/python scripts/site/generate_pages.py"
