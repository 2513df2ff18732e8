"""The page's two languages: which one a reader gets, and its words."""

import re
import tomllib
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

from markupsafe import Markup, escape

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


def chosen(asked: str | None, accept_language: str) -> Language:
    """Return the language asked for, else the one the browser prefers, else English."""
    for language in LANGUAGES:
        if asked == language:
            return language
    best: tuple[float, Language] = (0.0, "en")
    for part in accept_language.lower().split(",")[:20]:
        name, _, quality = part.strip().partition(";")
        weight = re.fullmatch(r"\s*q=([01](?:\.[0-9]{0,3})?)\s*", quality)
        value = float(weight[1]) if weight else 1.0
        for language in LANGUAGES:
            if name.split("-")[0] == language and value > best[0]:
                best = (value, language)
    return best[1]


class Translator:
    """The words of one language."""

    def __init__(self, language: Language):
        self.language = language

    def __call__(self, key: str, **values: object) -> Markup:
        """Return a text as HTML: what is filled in is escaped, what is in backquotes is code."""
        text = self._find(key)
        pieces = re.split(r"`([^`]*)`", text)
        filled = [
            Markup("<code>{}</code>").format(_fill(piece, values)) if place % 2 else _fill(piece, values)
            for place, piece in enumerate(pieces)
        ]
        return Markup("").join(filled)

    def _find(self, key: str) -> str:
        found: Any = _texts()
        for part in key.split("."):
            found = found[part]
        return str(found[self.language])


def _fill(text: str, values: dict[str, object]) -> Markup:
    return Markup(escape(text)).format(**values) if values else Markup(escape(text))


@cache
def _texts() -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("texts.toml").read_text(encoding="utf-8"))
