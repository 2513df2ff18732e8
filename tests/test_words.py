"""English pages, messages, comments and names use plain words."""

import ast
import re

import words
from harness.fences.scanner import ROOT


def test_words_to_avoid_are_nowhere() -> None:
    found = list(words.found())
    assert not found, "\n".join(["Use other words (scripts/site/words.toml):", *found])


def test_chinese_is_in_files_that_a_translator_edits() -> None:
    """Masking finds Chinese words, too."""
    found = set()
    for file in [*(ROOT / "src").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]:
        code = [node for node in ast.parse(file.read_text("utf-8")).body if not isinstance(node, ast.Expr)]
        if re.search("[\u4e00-\u9fff]", "".join(map(ast.unparse, code))):
            found.add(file.name)
    assert found == {"masking.py"}
