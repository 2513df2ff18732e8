"""One search index a language, and Chinese words that are found inside longer ones.

The plugin i18n writes one index for all languages, so that every reader would find pages in a language
they may not read. Material has Chinese text cut into words by jieba while it builds, with U+200B between
them; a search finds only whole words, and jieba keeps compounds such as 常见问题 whole. English pages quote
Chinese here and there, as the one on translating does; it is not looked for in English.

Words of the glossary are whole words for jieba, and so are short ones that people type. What they type for a
page and the page does not say is in ``scripts/site/search_words.toml``; the index has it as the page's tags,
which weigh more than its title.
"""

import json
import logging
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import jieba
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import CombinedEvent, event_priority
from mkdocs.structure.pages import Page

WORD_BREAK = "\u200b"
LONG_WORD = re.compile(r"[\u4e00-\u9fff]{4,}")
# Han characters and full-width punctuation, with the breaks between words among them.
CHINESE = re.compile(rf"{WORD_BREAK}*[\u3000-\u9fff\uff00-\uffef][\u3000-\u9fff\uff00-\uffef{WORD_BREAK}]*")

SITE = Path(__file__).parents[1]

# Around each word of highlighted code. The index has none, and reading them takes a seventh of a build.
SPAN = re.compile(r"</?span[^>]*>")
_with_spans = ""

jieba.setLogLevel(logging.WARNING)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make words that are searched for whole words for jieba, before a page is cut into words."""
    glossary = tomllib.loads((SITE / "glossary.toml").read_text(encoding="utf-8"))
    terms = [term["zh"] for term in (*glossary["term"], *glossary["word"])]
    # Jieba cuts some words of two characters, such as 内网, when nothing is around them.
    typed = [phrase for words in typed_words().values() for phrase in words["zh"] if len(phrase) == 2]
    for word in (*terms, *typed):
        if re.fullmatch(r"[\u4e00-\u9fff]{2,}", word):
            jieba.add_word(word)
    return config


def typed_words() -> dict[str, dict[str, list[str]]]:
    """Return, by address and language, what people type for a page (``search_words.toml``)."""
    return tomllib.loads((SITE / "search_words.toml").read_text(encoding="utf-8"))


@event_priority(100)
def _hide_spans(context: dict[str, Any], /, page: Page, **_: Any) -> dict[str, Any]:
    global _with_spans
    _with_spans = page.content or ""
    page.content = SPAN.sub("", _with_spans)
    return context


@event_priority(-100)
def _show_spans(context: dict[str, Any], /, page: Page, **_: Any) -> dict[str, Any]:
    page.content = _with_spans
    return context


#: Before and after the plugin that indexes the page.
on_page_context = CombinedEvent(_hide_spans, _show_spans)


def with_searched_words(index: dict[str, Any], language: str) -> dict[str, Any]:
    """Add to the entries of an index what people type for them."""
    words = typed_words()

    def cut(phrase: str) -> str:
        return split_long_words(WORD_BREAK.join(jieba.cut(phrase)))

    return index | {
        "docs": [
            entry | {"tags": [cut(phrase) for phrase in words[entry["location"]][language]]}
            if entry["location"] in words
            else entry
            for entry in index["docs"]
        ]
    }


def split_long_words(text: str) -> str:
    """Break every Chinese word of four characters or more where shorter words make it up exactly."""
    return LONG_WORD.sub(lambda word: WORD_BREAK.join(_shorter_words(word[0])), text)


def _shorter_words(word: str) -> list[str]:
    parts = [part for part in jieba.cut_for_search(word) if part != word]
    return parts if "".join(parts) == word else [word]


def without_chinese(index: dict[str, Any]) -> dict[str, Any]:
    """Leave Chinese words out of an index: a search result shows an ellipsis in their place."""
    return index | {
        "docs": [
            entry | {key: CHINESE.sub("…", entry[key]) for key in ("title", "text")}
            for entry in index["docs"]
        ]
    }


def divide(index: dict[str, Any], folder: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide an index into what lies outside `folder` ("zh/") and what lies in it, relative to it."""
    outside = [entry for entry in index["docs"] if not entry["location"].startswith(folder)]
    inside = [
        entry
        | {
            "location": entry["location"].removeprefix(folder),
            "title": split_long_words(entry["title"]),
            "text": split_long_words(entry["text"]),
        }
        for entry in index["docs"]
        if entry["location"].startswith(folder)
    ]
    return index | {"docs": outside}, index | {"docs": inside}


# After i18n (-100), which writes the index of all languages when it has built the last one.
@event_priority(-200)
def on_post_build(config: MkDocsConfig) -> None:
    """Give each language its own index, and all but the default one the sitemap Material reads."""
    i18n: Any = config.plugins["i18n"]
    if i18n.building:
        return
    site = Path(config.site_dir)
    index_file = site / "search/search_index.json"
    index = json.loads(index_file.read_text(encoding="utf-8"))
    for language in i18n.build_languages:
        if language == i18n.default_language:
            continue
        index, own_index = divide(index, f"{language}/")
        own_index = with_searched_words(own_index, language)
        _write_index(site / language / "search/search_index.json", own_index)
        # overrides/main.html makes the language's folder Material's base, where it looks for a sitemap.
        shutil.copyfile(site / "sitemap.xml", site / language / "sitemap.xml")
    index = with_searched_words(without_chinese(index), i18n.default_language)
    _write_index(index_file, index)


def _write_index(path: Path, index: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(index, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
