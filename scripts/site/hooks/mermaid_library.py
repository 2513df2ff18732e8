"""The library that draws diagrams: served by the site itself, copied from the pinned npm package.

Without that package the site builds all the same: a diagram shows its source as text.
"""

import filecmp
import shutil
import sys
from functools import cache
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority

PACKAGED = Path("node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js")
#: Where theme_scripts.py sends the theme's script for it.
SERVED = Path("assets/vendor/mermaid.min.js")


# After fences.py (100) has set the fences.
@event_priority(90)
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Copy the library into docs/; without it, leave diagrams to the fence for code."""
    packaged = Path(config.config_file_path).parent / PACKAGED
    served = Path(config.docs_dir) / SERVED
    if not packaged.is_file():
        settings = config.mdx_configs["pymdownx.superfences"]
        settings["custom_fences"] = [each for each in settings["custom_fences"] if each["name"] != "mermaid"]
        _warn()
        return config
    # Only when it differs: a fresh file under docs/ would make `mkdocs serve` build again, for ever.
    if not served.is_file() or not filecmp.cmp(packaged, served, shallow=False):
        served.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(packaged, served)
    return config


@cache
def _warn() -> None:
    """Say it once a build, and not by the log: a strict build would end at a logged warning."""
    print(
        f"WARNING -  Diagrams are shown as text: {PACKAGED} is missing. Install it: npm ci --ignore-scripts",
        file=sys.stderr,
    )
