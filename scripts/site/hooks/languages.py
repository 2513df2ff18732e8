"""What a site in two languages needs that plugin and theme leave undone."""

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemBytecodeCache
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

# Files that the theme writes once, at the root: the build of the language after would overwrite them.
ONE_FOR_EACH_LANGUAGE = frozenset({"404.html", "llms.txt"})

ALTERNATE_LINK = re.compile(r'(<link\b[^>]*\brel="alternate)(")')


def on_env(env: Environment, config: MkDocsConfig, files: Files) -> Environment:
    """Keep compiled templates for the next language, and the next build."""
    env.bytecode_cache = FileSystemBytecodeCache()
    return env


def on_post_template(output: str, template_name: str, config: MkDocsConfig) -> str:
    """Write another language's 404 page and llms.txt into its own folder."""
    i18n: Any = config.plugins["i18n"]
    if template_name in ONE_FOR_EACH_LANGUAGE and not i18n.is_default_language_build:
        folder = Path(config.site_dir) / i18n.current_language
        folder.mkdir(parents=True, exist_ok=True)
        (folder / template_name).write_text(output, encoding="utf-8")
        return ""  # MkDocs writes no empty file
    return output


# After mermaid2 (0), which parses pages with diagrams and writes rel="alternate " back without its space.
@event_priority(-200)
def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Keep the theme's script from asking for a sitemap beside every alternate of the page.

    Material 9.8 does so for what `link[rel=alternate]` matches. With a space after the word the attribute
    means the same to a parser (a list of tokens) and the selector no longer matches.
    """
    head, end, body = output.partition("</head>")
    return ALTERNATE_LINK.sub(r"\1 \2", head) + end + body
