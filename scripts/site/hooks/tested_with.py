"""The versions that pages name: those that their examples were run with, and in the footer the project's.

A page holds the mark ``<!-- tested-with -->`` where the line belongs. Codex's version is the one pinned in
package.json, Langfuse's is in ``versions.toml``.
"""

import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

MARK = "<!-- tested-with -->"

_ROOT = Path(__file__).resolve().parents[3]

_LINES: dict[str, str] = tomllib.loads(Path(__file__).with_suffix(".words.toml").read_text(encoding="utf-8"))


@cache
def pinned_codex() -> str:
    """Return the version of Codex that package.json pins."""
    package = json.loads((_ROOT / "package.json").read_text(encoding="utf-8"))
    return str(package["devDependencies"]["@openai/codex"])


@cache
def line_of(language: str) -> str:
    """Return the line in Markdown; ``language`` is ``en`` or ``zh``."""
    versions = tomllib.loads((_ROOT / "scripts/site/versions.toml").read_text(encoding="utf-8"))
    return _LINES[language].format(codex=pinned_codex(), langfuse=versions["langfuse"]["answers"])


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Give the footer the version of the project, as ``config.extra.release``."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    config.extra["release"] = project["version"]
    return config


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the line in place of its mark."""
    i18n: Any = config.plugins["i18n"]
    return markdown.replace(MARK, line_of(i18n.current_language))
