"""Where the documentation explains what a message is about."""

from pathlib import Path

#: OWNER/NAME on GitHub, of which every link is made. ``scripts/repository`` writes it.
REPOSITORY = Path(__file__).with_name("repository.txt").read_text(encoding="utf-8").strip()
SITE = "https://{}.github.io/{}/".format(*REPOSITORY.split("/"))


def page_url(page: str, section: str = "") -> str:
    """Return the address of ``page``, such as ``guide/relay``, at the heading with the id ``section``."""
    return f"{SITE}{page}/" + (f"#{section}" if section else "")
