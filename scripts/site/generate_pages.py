#!/usr/bin/env python3
"""Write what is made from data into the pages, in both languages.

    .venv/bin/python scripts/site/generate_pages.py

- docs/reference/errors.md, whole, from the catalogue of ``codex-langfuse check``.
- What pages and CONTRIBUTING.md have between ``<!-- generated: NAME -->`` and ``<!-- end -->``, by the
  functions of ``page_tables``.
- The plots of measurements, docs/assets/images/plot-*.svg.
"""

import re
from functools import partial
from pathlib import Path

import translations
from codex_langfuse.dashboard.definition import built_in_text
from error_pages import render_errors
from page_tables import TABLES
from page_tables.collector import cost_plot
from page_tables.performance import delay_plot
from page_tables.volume import volume_plot

ERRORS = "reference/errors.md"

_ROOT = Path(__file__).resolve().parents[2]
#: For a reader to look at and to change; the package brings the same.
EXAMPLE_DASHBOARD = _ROOT / "examples/dashboard/codex.json"
#: The drawing of each picture plot-NAME, in a language.
PLOTS = {"collector": cost_plot, "delay": delay_plot, "volume": volume_plot}
_IMAGES = _ROOT / "docs/assets/images"
_GENERATED = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.S)


def generated_files() -> dict[Path, str]:
    """Return every file that holds something generated, with the text that it should have."""
    errors = render_errors("en")
    pin = f"---\ntranslates: {translations.fingerprint(errors)}\n"
    files = {
        translations.english(ERRORS): errors,
        translations.chinese(ERRORS): render_errors("zh").replace("---\n", pin, 1),
    }
    files[EXAMPLE_DASHBOARD] = built_in_text()
    for name, drawn in PLOTS.items():
        files |= {_IMAGES / f"plot-{name}.{language}.svg": drawn(language) for language in ("en", "zh")}
    pages = translations.english_pages()
    english = [*map(translations.english, pages), translations.ROOT / "CONTRIBUTING.md"]
    for language, pages_in_it in (("en", english), ("zh", map(translations.chinese, pages))):
        for file in pages_in_it:
            text = file.read_text(encoding="utf-8") if file.is_file() else ""
            if "<!-- generated: " in text:
                files[file] = _GENERATED.sub(partial(_filled, language=language), text)
    return files


def _filled(found: re.Match[str], language: str) -> str:
    return f"{found[1]}\n{TABLES[found['name']](language)}\n{found[3]}"


def main() -> None:
    """Write all of them."""
    for file, text in generated_files().items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
