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
SERVED = Path("assets/vendor/mermaid.min.js")


# After fences.py has set the fences, before mermaid2 looks for its own.
@event_priority(90)
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Copy the library into docs/, where the plugin mermaid2 looks for it; without it, draw nothing."""
    packaged = Path(config.config_file_path).parent / PACKAGED
    served = Path(config.docs_dir) / SERVED
    if not packaged.is_file():
        _show_source(config)
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


def _show_source(config: MkDocsConfig) -> None:
    """Leave diagrams to the fence for code: Material's script would load the library from another host."""
    settings = config.mdx_configs["pymdownx.superfences"]
    settings["custom_fences"] = [fence for fence in settings["custom_fences"] if fence["name"] != "mermaid"]
    plugin = config.plugins.pop("mermaid2", None)
    for methods in config.plugins.events.values():
        methods[:] = [
            each for each in methods if plugin is None or getattr(each, "__self__", None) is not plugin
        ]
