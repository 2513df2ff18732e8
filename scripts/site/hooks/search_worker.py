"""A fix in the theme's search script: the last word of a Chinese query counts, too.

Material 9.8 cuts a query in Han characters into words that the index has. Its loop ends one character early,
so no word that ends where the query ends is tried: of 没有数据 it searches for 没有. This replaces that one
expression.
"""

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority

WORKERS = "assets/javascripts/workers/search.*.min.js"
BROKEN = "o<t.length;o++)t.slice(s,o)in e"
FIXED = "o<=t.length;o++)t.slice(s,o)in e"


def fixed(script: str) -> str:
    """Return the script with the expression replaced.

    Raises PluginError when it is not there exactly once: the theme has changed, and this hook with it.
    """
    if script.count(BROKEN) != 1:
        raise PluginError(
            f"{WORKERS} has {BROKEN!r} {script.count(BROKEN)} times, not once. Is this another Material? "
            "See whether its search finds the end of a Chinese query, and change or delete "
            f"{Path(__file__).name}"
        )
    return script.replace(BROKEN, FIXED)


# After i18n (-100): the theme's files are copied for each language.
@event_priority(-200)
def on_post_build(config: MkDocsConfig) -> None:
    """Replace the expression in the script that was copied to the site."""
    i18n: Any = config.plugins["i18n"]
    if i18n.building:
        return
    (worker,) = Path(config.site_dir).glob(WORKERS)
    worker.write_text(fixed(worker.read_text(encoding="utf-8")), encoding="utf-8")
