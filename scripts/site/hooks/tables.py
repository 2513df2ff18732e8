"""Tables that fit a phone: the stylesheet shows each row as a card, with the labels that this writes."""

import re
from collections.abc import Iterator
from html import escape, unescape

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.pages import Page

_TABLE = re.compile(r"(?<=<table>).*?(?=</table>)", re.S)
_HEADING = re.compile(r"<th\b[^>]*>(.*?)</th>", re.S)
_ROW = re.compile(r"<tr>.*?</tr>", re.S)


# After mermaid2 (0), which parses pages with diagrams.
@event_priority(-100)
def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Give each cell of the page's tables its column's heading, as ``data-label``."""
    return _TABLE.sub(lambda table: labelled(table[0]), output)


def labelled(table: str) -> str:
    """Return a table's HTML with ``data-label`` on each cell below the headings."""
    head, end, body = table.partition("</thead>")
    labels = [escape(unescape(re.sub(r"<[^>]*>", "", heading))) for heading in _HEADING.findall(head)]
    return head + end + _ROW.sub(lambda row: _labelled(row[0], iter(labels)), body)


def _labelled(row: str, labels: Iterator[str]) -> str:
    return re.sub(r"<td\b", lambda _: f'<td data-label="{next(labels)}"', row)
