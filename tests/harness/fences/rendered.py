"""Count the fences of a page a second time, with the renderer that readers get.

Python-Markdown and SuperFences, set up as ``mkdocs.yml`` sets them up, report each fence that they
draw. Nothing here is shared with ``scanner``: where the two counts differ, one of them is blind.
"""

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from markdown import Markdown
from mkdocs.config import load_config

from harness.fences.scanner import ROOT


def count_fences(page: Path) -> Counter[str]:
    """Return how many fences of each language the site's renderer finds in ``page``."""
    extensions, settings = _markdown_settings()
    found: Counter[str] = Counter()

    def count(source: str, language: str, *_: Any, **__: Any) -> str:
        found[language] += 1
        return "<pre></pre>"

    superfences = {**settings.get("pymdownx.superfences", {}), "custom_fences": [_any_language(count)]}
    # Included files are left as they are written: only the page's own fences count.
    names = [name for name in extensions if name != "pymdownx.snippets"]
    markdown = Markdown(
        extensions=names, extension_configs={**_known(settings, names), "pymdownx.superfences": superfences}
    )
    markdown.convert(_without_front_matter(page.read_text(encoding="utf-8")))
    return found


@cache
def _markdown_settings() -> tuple[list[str], dict[str, dict[str, Any]]]:
    config = load_config(str(ROOT / "mkdocs.yml"))
    return config.markdown_extensions, config.mdx_configs


def _known(settings: dict[str, dict[str, Any]], names: list[str]) -> dict[str, dict[str, Any]]:
    return {name: settings[name] for name in names if name in settings}


def _any_language(count: Any) -> dict[str, Any]:
    return {"name": "*", "class": "counted", "format": count, "validator": lambda *_, **__: True}


def _without_front_matter(text: str) -> str:
    if not text.startswith("---\n"):
        return text
    return text[text.index("\n---\n", 3) + 5 :]
