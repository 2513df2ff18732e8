"""Where the documentation explains what a message is about."""

SITE = "https://codex-langfuse.github.io/codex-langfuse/"


def page_url(page: str, section: str = "") -> str:
    """Return the address of ``page``, such as ``guide/verify``, at the heading with the id ``section``."""
    return f"{SITE}{page}/" + (f"#{section}" if section else "")
