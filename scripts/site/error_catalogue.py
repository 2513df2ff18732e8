"""What pages and tests need of each mistake, in addition to what ``codex-langfuse check`` says of it.

The data is in ``error_catalogue.toml``: the Chinese, how the mistake shows, an example and its proof.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from codex_langfuse.check import catalogue as shipped
from codex_langfuse.check.catalogue import Mistake

Language = Literal["en", "zh"]


@dataclass(frozen=True)
class MistakeTexts:
    """A mistake in one language."""

    title: str
    symptom: str
    cause: str
    fix: str


@dataclass(frozen=True)
class Example:
    """A set-up that makes one mistake, all else being right."""

    config: str
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    keys: bool = True
    policy: bool = True
    profile: str | None = None
    version: str | None = None
    mode: str = "600"
    fault: str | None = None
    printed: bool = True
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry(Mistake):
    """One entry.

    ``shows`` is the text, the same in every language, by which a reader recognises it; empty when nothing
    shows. ``check`` is a command that shows it. ``proof`` is what happens with the real Codex.
    """

    group: str
    shows: str
    check: str
    words: Mapping[Language, MistakeTexts]
    example: Example
    proof: Mapping[str, str | int]


@cache
def catalogue() -> dict[str, Entry]:
    """Return every mistake by its id, in the order of the page.

    Raises:
        ValueError: the two files do not have the same mistakes, in the same order.
    """
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    pairs = zip(shipped.catalogue().values(), tomllib.loads(text)["mistake"], strict=True)
    return {mistake.id: _entry(mistake, entry) for mistake, entry in pairs}


def _entry(mistake: Mistake, entry: dict[str, Any]) -> Entry:
    if mistake.id != entry["id"]:
        raise ValueError(f"{mistake.id} is where error_catalogue.toml has {entry['id']}")
    english = MistakeTexts(mistake.title, mistake.symptom, mistake.cause, mistake.fix)
    example = dict(entry["example"])
    example["also"] = tuple(example.get("also", ()))
    return Entry(
        **vars(mistake),
        group=entry["group"],
        shows=entry.get("shows", ""),
        check=entry["check"],
        words={"en": english, "zh": MistakeTexts(**entry["zh"])},
        example=Example(**example),
        proof=entry["proof"],
    )
