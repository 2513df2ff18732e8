"""Tables of the mistakes that ``codex-langfuse check`` knows, from its catalogue."""

from error_pages import render_symptoms


def symptoms(language: str) -> str:
    """Return every mistake of the catalogue by what a reader sees of it."""
    return render_symptoms(language, "../reference/errors.md")


TABLES = {"symptoms": symptoms}
