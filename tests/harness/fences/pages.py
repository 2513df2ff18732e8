"""Which pages there are, and which page is the other language's twin of which."""

from collections.abc import Sequence
from pathlib import Path

import translations
from harness.fences.scanner import Fence, scan
from translations import CHINESE, DOCS, ROOT

#: Read outside the site, and in English only.
_CONTRIBUTING = ROOT / "CONTRIBUTING.md"


def english_pages() -> list[Path]:
    """Return every page whose fences are run, the README and the contributors' page among them."""
    return [*map(translations.english, translations.english_pages()), _CONTRIBUTING]


def twin(page: Path) -> Path | None:
    """Return the Chinese page that mirrors the English ``page``, or None if it needs none."""
    if page == _CONTRIBUTING:
        return None
    return translations.chinese(page.relative_to(DOCS if DOCS in page.parents else ROOT).as_posix())


def chinese_pages() -> list[Path]:
    """Return every Chinese page that there is."""
    return [*sorted(CHINESE.rglob("*.md")), translations.chinese("README.md")]


def followed(page: Path) -> list[Fence]:
    """Return the fences of ``page`` that are run: of a Chinese page, those that the English one lacks."""
    is_chinese = page in chinese_pages()
    return [fence for fence in scan(page) if fence.own or not is_chinese]


def needs_codex(fences: Sequence[Fence]) -> bool:
    """Return whether following a page with these ``fences`` takes the real Codex."""
    return any(
        fence.language == "toml" or (fence.language in {"bash", "console"} and "codex " in fence.source)
        for fence in fences
    )


def needs_collector(fences: Sequence[Fence]) -> bool:
    """Return whether following a page with these ``fences`` takes the real OpenTelemetry Collector."""
    return any(
        fence.settings.get("schema") == "otelcol"
        or (fence.language in {"bash", "console"} and "otelcol " in fence.source)
        for fence in fences
    )


def twin_of(fence: Fence) -> Fence | None:
    """Return the same fence of the Chinese page, or None while that page does not have it."""
    page = twin(fence.page)
    if page is None or not page.is_file():
        return None
    place = [entry.line for entry in scan(fence.page)].index(fence.line)
    fences = [entry for entry in scan(page) if not entry.own]
    return fences[place] if place < len(fences) else None
