"""What a fence of a page says, small, below it: that it was run, and with what."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from tested_with import pinned_codex  # type: ignore[import-not-found]  # MkDocs puts this folder on the path

_WORDS: dict[str, dict[str, str]] = tomllib.loads(
    Path(__file__).with_suffix(".words.toml").read_text(encoding="utf-8")
)
_TYPED = {"bash", "console", "python"}


def proof(language: str, settings: Mapping[str, str], source: str) -> str:
    """Return which words say what proves a fence; empty for a drawing, which shows itself."""
    if "ran_by" in settings:
        return "ran by"
    if language == "toml" and settings.get("title", "").endswith(".codex/config.toml"):
        return "refused" if settings.keys() & {"fails", "strict"} else "loaded"
    if language in {"toml", "json", "python"} and "title" in settings:
        return "used"
    if language in _TYPED:
        if settings.keys() & {"fails", "exits"}:
            return "run, fails"
        return "run with" if "codex exec" in source or "codex app-server" in source else "run"
    return {"text": "printed", "json": "printed", "yaml": "schema", "powershell": "parsed"}.get(language, "")


def shown(page_language: str, language: str, settings: Mapping[str, str], source: str) -> str:
    """Return what is below a fence, in the language of its page, as text; empty for a drawing."""
    words = _WORDS[page_language].get(proof(language, settings, source), "")
    return words.format_map({"codex": pinned_codex(), "schema": "", **settings})
