"""The catalogue of mistakes as objects; the data is in ``catalogue.toml``."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from codex_langfuse.page_addresses import page_url

Severity = Literal["info", "warning", "error"]

#: The page that the catalogue is printed on.
PAGE = "reference/errors"


@dataclass(frozen=True)
class Mistake:
    """One entry, in English; the page has it in Chinese too, with an example."""

    id: str
    severity: Severity
    title: str
    symptom: str
    cause: str
    fix: str

    @property
    def page(self) -> str:
        """The address of its section."""
        return page_url(PAGE, self.id)


@cache
def catalogue() -> dict[str, Mistake]:
    """Return every mistake by its id, in the order of the page."""
    text = (Path(__file__).parent / "catalogue.toml").read_text(encoding="utf-8")
    return {entry["id"]: Mistake(**entry) for entry in tomllib.loads(text)["mistake"]}
