"""Pages that lead from an address that a page had before to where its words are now.

``scripts/site/redirects.toml`` lists them. A redirect keeps the anchor that was asked for when it has none of
its own, and works without scripts.
"""

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
<script>location.replace("{target}" + ("{target}".includes("#") ? "" : location.hash))</script>
<meta http-equiv="refresh" content="0; url={target}">
<p><a href="{target}">{target}</a></p>
</html>
"""


def redirects() -> dict[str, str]:
    """Return old and new addresses, relative to the home of a language: ``{"start/": "#start"}``."""
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
            page, _, anchor = new.partition("#")
            if not (home / page / "index.html").is_file():
                continue  # another site with these settings; a test of this one visits each
            target = relpath(page or ".", old) + "/" + (f"#{anchor}" if anchor else "")
            (home / old).mkdir(parents=True, exist_ok=True)
            text = _PAGE.format(language=language, target=escape(target))
            (home / old / "index.html").write_text(text, encoding="utf-8")
