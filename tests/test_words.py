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
    chinese = re.compile("[\u4e00-\u9fff]")
    for file in [*(ROOT / "src").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]:
        text = file.read_text("utf-8")
        code = ast.parse(text).body if chinese.search(text) else []
        if any(chinese.search(ast.unparse(node)) for node in code if not isinstance(node, ast.Expr)):
            found.add(file.name)
    assert found == {"masking.py"}
