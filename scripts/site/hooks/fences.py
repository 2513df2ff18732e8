"""How a fence of a page is drawn, whatever settings for the tests stand on it.

A fence says in braces both how it looks and how it is proved, for example
``{title="config.toml" run="turn"}``. Only the settings named in `SHOWN_SETTINGS` concern the page;
every other one belongs to the tests and leaves no trace in the HTML or in the page's Markdown twin.
"""

from typing import Any

from markdown import Markdown
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from pymdownx.superfences import fence_code_format, highlight_validator

SHOWN_SETTINGS = frozenset({"title", "linenums", "hl_lines"})


def keep_shown_settings(
    language: str, inputs: dict[str, str], options: dict[str, str], attrs: dict[str, str], md: Markdown
) -> bool:
    """Validate a code fence for SuperFences, passing on `SHOWN_SETTINGS` alone."""
    shown = {name: value for name, value in inputs.items() if name in SHOWN_SETTINGS}
    return highlight_validator(language, shown, options, attrs, md)


def drop_settings(
    language: str, inputs: dict[str, str], options: dict[str, str], attrs: dict[str, str], md: Markdown
) -> bool:
    """Validate a diagram for SuperFences: nothing that stands in its braces is drawn."""
    return True


def highlight_code(
    source: str, language: str, class_name: str, options: dict[str, str], md: Markdown, **kwargs: Any
) -> Any:
    """Highlight as SuperFences does by itself; a custom fence has to ask for it."""
    superfences = md.preprocessors["fenced_code_block"]
    return superfences.highlight(src=source, language=language, options=options, md=md, **kwargs)


# The plugin mermaid2 knows a fence that Material draws by this function's name. Its own function of that
# name does not escape the source, so that "<br/>" in a label is lost.
def fence_mermaid_custom(*args: Any, **kwargs: Any) -> str:
    """Write a diagram's source as text, for Material's script to draw and for readers without scripts."""
    return fence_code_format(*args, **kwargs)


# Before mermaid2 looks for its fence. Set here since mkdocs.yml cannot name a function of this file.
@event_priority(100)
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Tell SuperFences about both kinds of fence."""
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
