"""What WCAG 2.2 AA asks of a page's own content, and Markdown's extensions leave out."""

import tomllib
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

BOX = '<input type="checkbox" disabled'
_NAMES: dict[str, list[str]] = tomllib.loads(
    Path(__file__).with_suffix(".words.toml").read_text(encoding="utf-8")
)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Say of each box of a checklist whether it is ticked: a screen reader would announce an empty box."""
    i18n: Any = config.plugins["i18n"]
    to_do, done = _NAMES[i18n.current_language]
    html = html.replace(f"{BOX} checked", f'<input type="checkbox" aria-label="{done}" disabled checked')
    return html.replace(BOX, f'<input type="checkbox" aria-label="{to_do}" disabled')
