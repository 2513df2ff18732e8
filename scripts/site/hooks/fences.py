"""How a fence of a page is drawn, whatever settings for the tests it has.

A fence says in braces both how it looks and how it is proved, for example
``{title="config.toml" run="turn"}``. Only the settings named in `SHOWN_SETTINGS` concern the page;
every other one belongs to the tests and leaves no trace in the page's Markdown twin. In the HTML a small line
below the fence says what proves it (`proofs`).
"""

from html import escape
from typing import Any

import proofs  # type: ignore[import-not-found]  # MkDocs puts this folder on the path
from markdown import Markdown
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from pymdownx.superfences import fence_code_format, highlight_validator

SHOWN_SETTINGS = frozenset({"title", "linenums", "hl_lines"})

_SETTINGS = "settings"
# Of the page that is being rendered: Markdown does not know it.
_page_language = "en"
# The fences of a Chinese page are those of the English one.
_highlighted: dict[str, str] = {}


def keep_shown_settings(
    language: str, inputs: dict[str, str], options: dict[str, Any], attrs: dict[str, str], md: Markdown
) -> bool:
    """Validate a code fence for SuperFences; all its settings go to `highlight_code` as one option."""
    shown = {name: value for name, value in inputs.items() if name in SHOWN_SETTINGS}
    valid: bool = highlight_validator(language, shown, options, attrs, md)
    options[_SETTINGS] = dict(inputs)
    return valid


def drop_settings(
    language: str, inputs: dict[str, str], options: dict[str, str], attrs: dict[str, str], md: Markdown
) -> bool:
    """Validate a diagram for SuperFences: nothing in its braces is drawn."""
    return True


def highlight_code(
    source: str, language: str, class_name: str, options: dict[str, str], md: Markdown, **kwargs: Any
) -> Any:
    """Highlight as SuperFences does by itself; a custom fence has to ask for it. Say below what proves it."""
    settings = options.pop(_SETTINGS)
    fence = repr((source, language, options, kwargs))
    if fence not in _highlighted:
        superfences: Any = md.preprocessors["fenced_code_block"]
        _highlighted[fence] = superfences.highlight(
            src=source, language=language, options=options, md=md, **kwargs
        )
    said = proofs.shown(_page_language, language, settings, source)
    proof = f'<p class="proof" data-search-exclude>{escape(said)}</p>' if said else ""
    return _highlighted[fence] + proof


# The plugin mermaid2 knows a fence that Material draws by this function's name. Its own function of that
# name does not escape the source, so that "<br/>" in a label is lost.
def fence_mermaid_custom(*args: Any, **kwargs: Any) -> str:
    """Write a diagram's source as text, for Material's script to draw and for readers without scripts."""
    return str(fence_code_format(*args, **kwargs))


# Before mermaid2 looks for its fence. Set here since mkdocs.yml cannot name a function of this file.
@event_priority(100)
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Register both kinds of fence with SuperFences."""
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [
        {"name": "*", "class": "", "format": highlight_code, "validator": keep_shown_settings},
        {
            "name": "mermaid",
            "class": "mermaid",
            "format": fence_mermaid_custom,
            "validator": drop_settings,
        },
    ]
    return config


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Remember the language of the page whose fences come next."""
    global _page_language
    i18n: Any = config.plugins["i18n"]
    _page_language = i18n.current_language
    return markdown
