"""The library that draws diagrams: served by the site itself, copied from the pinned npm package."""

import filecmp
import shutil
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority

PACKAGED = Path("node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js")
SERVED = Path("assets/vendor/mermaid.min.js")


@event_priority(100)
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Copy the library into docs/, where the plugin mermaid2 looks for it.

    Raises PluginError when the npm packages are not installed.
    """
    packaged = Path(config.config_file_path).parent / PACKAGED
    served = Path(config.docs_dir) / SERVED
    if not packaged.is_file():
        raise PluginError(f"Mermaid is missing ({PACKAGED}). Install it with: npm ci --ignore-scripts")
    # Only when it differs: a fresh file under docs/ would make `mkdocs serve` build again, for ever.
    if not served.is_file() or not filecmp.cmp(packaged, served, shallow=False):
        served.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(packaged, served)
    return config
