"""docs/reference/glossary.md: every word is explained once, in both languages, where its link leads."""

import re
import tomllib
from collections import Counter

import pytest

import translations
from harness.fences.scanner import ROOT
from page_tables.glossary import Entry, entries

GLOSSARY = tomllib.loads((ROOT / "scripts/site/glossary.toml").read_text(encoding="utf-8"))


def named(entry: Entry) -> str:
    return entry.anchor


def test_each_word_is_there_once() -> None:
    assert len(entries()) > 70
    for key in ("names", "anchor"):
        values = [str(getattr(entry, key)) for entry in entries()]
        assert Counter(values).most_common(1)[0][1] == 1


@pytest.mark.parametrize("entry", entries(), ids=named)
def test_it_is_explained_in_both_languages(entry: Entry) -> None:
    assert entry.means["en"].endswith((".", ")"))
    assert entry.means["zh"].endswith("。")
    assert re.search("[\u4e00-\u9fff]", entry.means["zh"])
    assert not re.search("[\u4e00-\u9fff]", entry.means["en"])


@pytest.mark.parametrize("entry", [entry for entry in entries() if entry.see], ids=named)
def test_where_it_leads_is_there(entry: Entry) -> None:
    page, _, anchor = entry.see.partition("#")
    for file in (translations.english(page), translations.chinese(page)):
        assert not anchor or f"{{ #{anchor} }}" in file.read_text(encoding="utf-8"), file


def test_words_that_are_only_explained_are_not_terms_as_well() -> None:
    """The tests look for the Chinese of a term; for that of a word they do not."""
    terms = {term["en"].lower() for term in GLOSSARY["term"]}
    assert not terms & {word["en"].lower() for word in GLOSSARY["word"]}
