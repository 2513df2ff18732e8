"""The glossary page, made from ``scripts/site/glossary.toml``: each term and its meaning."""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

import translations
from page_tables.markdown import words_of

_TEXTS = words_of(__file__)

_FILE = Path(__file__).resolve().parents[1] / "glossary.toml"
_PAGE = "reference/glossary.md"
_TITLE = re.compile(r"^# (?P<title>.+?) \{ #", re.M)


@dataclass(frozen=True)
class Entry:
    """A term that the page explains; ``see`` is the page, and place in it, that has more, if there is one."""

    names: dict[str, str]
    means: dict[str, str]
    see: str

    @property
    def anchor(self) -> str:
        """The id of the entry: its English name in lower case, with hyphens."""
        return re.sub(r"[^a-z0-9]+", "-", self.names["en"].lower())


@cache
def entries() -> tuple[Entry, ...]:
    """Return the terms that have a meaning, in the order of the English alphabet."""
    data = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    found = (
        Entry({"en": each["en"], "zh": each["zh"]}, each["means"], each.get("see", ""))
        for each in [*data["term"], *data["word"]]
        if "means" in each
    )
    return tuple(sorted(found, key=lambda entry: entry.names["en"].lower()))


def glossary(language: str) -> str:
    """Return a section for each letter, with its terms; the reader's language comes first."""
    sections = []
    for letter, group in groupby(entries(), key=lambda entry: entry.names["en"][0].upper()):
        terms = "\n".join(_definition(entry, language) for entry in group)
        sections.append(f"## {letter} {{ #letter-{letter.lower()} }}\n\n{terms}")
    return "\n".join(sections)


def _definition(entry: Entry, language: str) -> str:
    # The search finds each language's words on that language's page.
    other, tag = _TEXTS["definition_zh"][language]
    name = entry.names[other]
    beside = "" if name == entry.names[language] else f" · {_foreign(name, tag)}"
    more = f" {_link(entry.see, language)}" if entry.see else ""
    return (
        f"**{entry.names[language]}**{{ #{entry.anchor} }}{beside}\n"
        f":   {entry.means[language]}{more}\n\n"
        f"    {_foreign(entry.means[other], tag)}\n"
    )


def _foreign(text: str, tag: str) -> str:
    return f'<span lang="{tag}" data-search-exclude>{text}</span>'


def _link(see: str, language: str) -> str:
    """Return a link to a page by its own title."""
    page, _, anchor = see.partition("#")
    file = {"en": translations.english, "zh": translations.chinese}[language](page)
    title = _TITLE.search(file.read_text(encoding="utf-8"))
    assert title is not None, f"{file} has no title"
    here = translations.english(_PAGE).parent
    target = translations.english(page)
    up = "../" if target.parent != here else ""
    path = target.name if not up else up + page
    return f"→ [{title['title']}]({path}{f'#{anchor}' if anchor else ''})"


TABLES: dict[str, Callable[[str], str]] = {"glossary": glossary}
