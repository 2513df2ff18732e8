"""A Markdown twin of each page, for readers that are programs: /quickstart/ is also /quickstart.md.

A twin lies where its source lies under docs/, so that links between pages work from twin to twin. It has
the files that the page includes, and neither the settings that tests read on fences nor icons.
``llms-full.txt``, beside each language's ``llms.txt``, has all twins of the language.
"""

import re
from pathlib import Path

from jinja2 import Environment
from markdown import Markdown
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

FENCE = re.compile(r"^(?P<lead>[\s>]*)(?P<marks>`{3,}|~{3,})(?P<info>.*)$")
TITLE = re.compile(r"""\btitle=(?P<quote>["'])(?P<text>.*?)(?P=quote)""")
BRACES = re.compile(r"\s*\{.*\}\s*$")
ICON = re.compile(r":(?:material|octicons|fontawesome|simple)-[a-z0-9-]+:(?:\{[^}\n]*\})?[ \t]*")


def markdown_twin(markdown: str, config: MkDocsConfig) -> str:
    """Return a page's Markdown as its twin shows it, given the page's Markdown without front matter."""
    expanded = _with_included_files(markdown, config)
    twin, open_marks = [], ""
    for line in expanded:
        fence = FENCE.match(line)
        if open_marks:
            if fence and fence["marks"].startswith(open_marks) and not fence["info"].strip():
                open_marks = ""
        elif fence:
            open_marks = fence["marks"]
            line = fence["lead"] + fence["marks"] + _shown_info(fence["info"])
        else:
            line = ICON.sub("", line)
        twin.append(line)
    return "\n".join(twin).strip() + "\n"


def _shown_info(info: str) -> str:
    """Return a fence's language and title, without settings in braces."""
    title = TITLE.search(info)
    language = BRACES.sub("", info).split(maxsplit=1)[:1]
    return " ".join(["".join(language), f'title="{title["text"]}"']) if title else "".join(language)


def _with_included_files(markdown: str, config: MkDocsConfig) -> list[str]:
    """Return the lines of a page with the files that pymdownx.snippets includes."""
    name = "pymdownx.snippets"
    converter = Markdown(extensions=[name], extension_configs={name: config.mdx_configs[name]})
    return converter.preprocessors["snippet"].run(markdown.splitlines())


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Write the twin beside the page that is about to be written."""
    twin = Path(config.site_dir) / page.file.src_uri
    twin.parent.mkdir(parents=True, exist_ok=True)
    twin.write_text(markdown_twin(page.markdown or "", config), encoding="utf-8")
    return output


def on_env(env: Environment, config: MkDocsConfig, files: Files) -> Environment:
    """Write all twins of a language into one file, before the pages are written."""
    i18n = config.plugins["i18n"]
    folder = Path(config.site_dir, "" if i18n.is_default_language_build else i18n.current_language)
    folder.mkdir(parents=True, exist_ok=True)
    twins = [
        f"Source: {config.site_url}{page.file.src_uri}\n\n{markdown_twin(page.markdown or '', config)}"
        for page in (file.page for file in files.documentation_pages())
        if page is not None
    ]
    (folder / "llms-full.txt").write_text("\n".join(twins), encoding="utf-8")
    return env
