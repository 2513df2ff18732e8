"""A Markdown twin of each page, for readers that are programs: /quickstart/ is also /quickstart.md.

A twin lies where its source lies under docs/, so that links between pages work from twin to twin. It has
the files that the page includes, and neither the settings that tests read on fences nor icons.
``llms-full.txt``, beside each language's ``llms.txt``, has all twins of the language.
"""

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markdown import Markdown
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files

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


def on_env(env: Environment, config: MkDocsConfig, files: Files) -> Environment:
    """Write the twins of a language, each by itself and all in one file, before the pages are written."""
    i18n: Any = config.plugins["i18n"]
    site = Path(config.site_dir)
    twins = []
    for page in (file.page for file in files.documentation_pages()):
        if page is not None:
            twin = markdown_twin(page.markdown or "", config)
            _write(site / page.file.src_uri, twin)
            twins.append(f"Source: {config.site_url}{page.file.src_uri}\n\n{twin}")
    folder = site if i18n.is_default_language_build else site / i18n.current_language
    _write(folder / "llms-full.txt", "\n".join(twins))
    return env


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
