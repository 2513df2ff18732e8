"""Changes in the theme's scripts: what a page loads and when, and the end of a Chinese query.

Each replaces one expression of Material 9.8 in the built site. When it is not there exactly once, the theme
has changed: the build fails and says so.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority

BUNDLE = "assets/javascripts/bundle.*.min.js"
WORKER = "assets/javascripts/workers/search.*.min.js"


@dataclass(frozen=True)
class Change:
    """What to replace in which file of the site, a glob; ``why`` is what the change is for."""

    file: str
    old: str
    new: str
    why: str

    def made(self, script: str) -> str:
        """Return the script with the expression replaced.

        Raises PluginError when it is not there exactly once.
        """
        if script.count(self.old) != 1:
            raise PluginError(
                f"{self.file} has {self.old!r} {script.count(self.old)} times, not once. Is this another "
                f"Material? See whether it still needs the change ({self.why}), and adapt or delete it in "
                f"{Path(__file__).name}"
            )
        return script.replace(self.old, self.new)


CHANGES = (
    # The loop that cuts a query in Han characters into words of the index ends one character early: of
    # 没有数据 it searches for 没有.
    Change(
        WORKER,
        "o<t.length;o++)t.slice(s,o)in e",
        "o<=t.length;o++)t.slice(s,o)in e",
        "the last word of a Chinese query counts",
    ),
    # Of a page opened as a file the theme loads the index when the search opens; of a served one, at once.
    Change(
        BUNDLE,
        'location.protocol!=="file:"',
        "!1",
        "the index loads when the search is first opened",
    ),
    # The words of a search are marked on the page that it leads to; the index says how to cut them.
    Change(
        BUNDLE,
        'z([t,r.pipe(Q(we()),g(o=>!!o.searchParams.get("h")))])',
        'r.pipe(Q(we()),g(o=>!!o.searchParams.get("h")),b(o=>t.pipe(m(n=>[n,o]))))',
        "the index loads on a page only when there are words to mark",
    ),
    # The theme fits every diagram to the page: on a phone, letters of a wide one get four pixels high.
    Change(
        BUNDLE,
        'r=x("div",{class:"mermaid"}),o=e.textContent,{svg:n,fn:i}=yield mermaid.render(t,o),'
        's=r.attachShadow({mode:"closed"});s.innerHTML=n,',
        'r=x("div",{class:"mermaid",tabindex:0}),o=e.textContent,{svg:n,fn:i}=yield mermaid.render(t,o),'
        's=r.attachShadow({mode:"closed"});'
        's.innerHTML=n.replace(/max-width: ([\\d.]+)px/,"$&;min-width:calc($1px*.62)"),',
        "a wide diagram scrolls on a phone, and stays legible",
    ),
)


# After i18n (-100): the theme's files are copied for each language.
@event_priority(-200)
def on_post_build(config: MkDocsConfig) -> None:
    """Change the scripts that were copied to the site."""
    i18n: Any = config.plugins["i18n"]
    if i18n.building:
        return
    for change in CHANGES:
        (script,) = Path(config.site_dir).glob(change.file)
        script.write_text(change.made(script.read_text(encoding="utf-8")), encoding="utf-8")
