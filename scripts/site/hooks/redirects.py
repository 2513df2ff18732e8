"""Pages that lead from an address that a page had before to where its words are now.

``scripts/site/redirects.toml`` lists them. A redirect works without scripts. With them, a listed anchor leads
to its own place, and another is kept when the redirect has none.
"""

import json
import tomllib
from html import escape
from pathlib import Path
from posixpath import relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority

LIST = Path(__file__).parents[1] / "redirects.toml"

_PAGE = """\
<!doctype html>
<html lang="{language}">
<meta charset="utf-8">
<title>{target}</title>
<meta name="robots" content="noindex">
<link rel="canonical" href="{target}">
<script>
const kept = "{target}".includes("#") ? "" : location.hash
location.replace({anchors}[location.hash] ?? "{target}" + kept)
</script>
<meta http-equiv="refresh" content="0; url={target}">
<p><a href="{target}">{target}</a></p>
</html>
"""


def redirects() -> dict[str, str]:
    """Return old and new addresses, relative to the home of a language: ``{"start/": "#start"}``.

    An old address may have an anchor, if its page is in the list, too.
    """
    return tomllib.loads(LIST.read_text(encoding="utf-8"))


# After i18n (-100), which has then built the last language.
@event_priority(-200)
def on_post_build(config: MkDocsConfig) -> None:
    """Write the redirects of every language, each where the site has the page that it leads to."""
    i18n: Any = config.plugins["i18n"]
    if i18n.building:
        return
    for language in i18n.build_languages:
        home = Path(config.site_dir) / ("" if language == i18n.default_language else language)
        for old, new in redirects().items():
            if "#" in old or not (home / new.partition("#")[0] / "index.html").is_file():
                continue  # another site with these settings; a test of this one visits each
            anchors = {
                f"#{moved.partition('#')[2]}": _link(old, there)
                for moved, there in redirects().items()
                if moved.startswith(f"{old}#")
            }
            text = _PAGE.format(
                language=language, target=escape(_link(old, new)), anchors=json.dumps(anchors)
            )
            (home / old).mkdir(parents=True, exist_ok=True)
            (home / old / "index.html").write_text(text, encoding="utf-8")


def _link(old: str, new: str) -> str:
    page, _, anchor = new.partition("#")
    return relpath(page or ".", old) + "/" + (f"#{anchor}" if anchor else "")
