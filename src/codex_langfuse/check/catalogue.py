"""The catalogue of mistakes as objects; the data is in ``catalogue.toml``."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from codex_langfuse.pages import page_url

Severity = Literal["info", "warning", "error"]
Language = Literal["en", "zh"]

#: The page that the catalogue is printed on.
PAGE = "reference/errors"


@dataclass(frozen=True)
class Words:
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
class Mistake:
    """One entry.

    ``shows`` is the text, the same in every language, by which a reader recognises it; empty when nothing
    shows. ``check`` is a command that shows it. ``proof`` is what happens with the real Codex.
    """

    id: str
    severity: Severity
    group: str
    shows: str
    check: str
    words: Mapping[Language, Words]
    example: Example
    proof: Mapping[str, str | int]

    @property
    def page(self) -> str:
        """The address of its section."""
        return page_url(PAGE, self.id)


@cache
def catalogue() -> dict[str, Mistake]:
    """Return every mistake by its id, in the order of the page."""
    with (Path(__file__).parent / "catalogue.toml").open("rb") as file:
        entries = tomllib.load(file)["mistake"]
    return {entry["id"]: _mistake(entry) for entry in entries}


def _mistake(entry: dict[str, Any]) -> Mistake:
    example = dict(entry["example"])
    example["also"] = tuple(example.get("also", ()))
    words: dict[Language, Words] = {"en": Words(**entry["en"]), "zh": Words(**entry["zh"])}
    return Mistake(
        entry["id"],
        entry["severity"],
        entry["group"],
        entry["shows"],
        entry["check"],
        words,
        Example(**example),
        entry["proof"],
    )
