"""Draw measurements as bars: an SVG without script or request, light or dark, its numbers also as text."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

#: In px. Narrow, so that its text is legible on a phone.
WIDTH, FONT = 480, 15
_LABEL, _BAR, _GAP, _VALUE = 22, 18, 5, 130

#: The colours are those of docs/assets/stylesheets/site.css.
_STYLE = f"""
svg {{ --ink: #1b2730; --direct: #515e69; --relay: #0b6170; color-scheme: light dark; }}
@media (prefers-color-scheme: dark) {{ svg {{ --ink: #dbe3e8; --direct: #a3b2bd; --relay: #74cbd8; }} }}
text {{
  font: {FONT}px system-ui, -apple-system, "Segoe UI", Roboto, Arial, "PingFang SC", "Microsoft YaHei",
    "Noto Sans CJK SC", sans-serif;
  fill: var(--ink);
}}
.title {{ font-weight: 650; }}
.direct {{ fill: var(--direct); }}
.relay {{ fill: var(--relay); }}
"""


@dataclass(frozen=True)
class Bar:
    """One measurement: its route (``direct`` or ``relay``), its size, and how it is written."""

    route: str
    size: float
    shown: str


@dataclass(frozen=True)
class Row:
    """What was measured, and the bars below it."""

    label: str
    bars: Sequence[Bar]


def text_of(title: str, rows: Sequence[Row], language: str) -> str:
    """Return what the plot shows as one line of text."""
    colon, comma, semicolon = ("：", "，", "；") if language == "zh" else (": ", ", ", "; ")
    parts = [f"{row.label}{colon}{comma.join(bar.shown for bar in row.bars)}" for row in rows]
    return f"{title}{colon}{semicolon.join(parts)}"


def bar_plot(title: str, rows: Sequence[Row], language: str) -> str:
    """Return the SVG; all bars have the same linear scale, from zero."""
    largest = max(bar.size for row in rows for bar in row.bars)
    drawn, y = [f'<text class="title" x="0" y="16">{escape(title)}</text>'], _LABEL + 2 * _GAP
    for row in rows:
        drawn.append(f'<text x="0" y="{y + 16}">{escape(row.label)}</text>')
        y += _LABEL
        for bar in row.bars:
            length = max(2, round((WIDTH - _VALUE) * bar.size / largest))
            drawn.append(f'<rect class="{bar.route}" y="{y}" width="{length}" height="{_BAR}" rx="2"/>')
            drawn.append(f'<text x="{length + 8}" y="{y + 14}">{escape(bar.shown)}</text>')
            y += _BAR + _GAP
        y += _GAP
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {_height(rows)}" '
            f'lang="{language}" role="img" aria-labelledby="title" aria-describedby="numbers">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="numbers">{escape(text_of(title, rows, language))}</desc>',
            f"<style>{_STYLE}</style>",
            *drawn,
            "</svg>",
            "",
        ]
    )


def _height(rows: Sequence[Row]) -> int:
    return _LABEL + 2 * _GAP + sum(_LABEL + len(row.bars) * (_BAR + _GAP) + _GAP for row in rows)


def picture(name: str, title: str, rows: Sequence[Row], language: str) -> str:
    """Return the Markdown that shows the plot ``name`` on a page in a folder under docs/."""
    folder = "../assets" if language == "en" else "../../assets"
    size = f'{{ width="640" height="{640 * _height(rows) // WIDTH}" }}'
    return f"![{text_of(title, rows, language)}]({folder}/images/{name}.{language}.svg){size}\n"
