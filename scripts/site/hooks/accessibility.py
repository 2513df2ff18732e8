"""What WCAG 2.2 AA asks of a page's own content, and Markdown's extensions leave out."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

BOX = '<input type="checkbox" disabled'
BOX_NAMES = {"en": ("to do", "done"), "zh": ("未完成", "已完成")}


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Name the boxes of checklists and let the keyboard reach tables."""
    return _with_reachable_tables(_with_named_boxes(html, config.plugins["i18n"].current_language))


def _with_named_boxes(html: str, language: str) -> str:
    """Say of each box whether it is ticked: a screen reader would announce a box of nothing."""
    to_do, done = BOX_NAMES[language]
    html = html.replace(f"{BOX} checked", f'<input type="checkbox" aria-label="{done}" disabled checked')
    return html.replace(BOX, f'<input type="checkbox" aria-label="{to_do}" disabled')


def _with_reachable_tables(html: str) -> str:
    """Let a table take the focus: a wide one scrolls, and without a link in it no key would scroll it."""
    return html.replace("<table>", '<table tabindex="0">')
