"""The only words of an example that are replaced before it runs.

A page shows a reader where a key of their own belongs. The tests put the mock's demonstration
keys there; nothing else in an example is touched. The page "How these examples are checked" shows
this table, and a test holds the two equal. What Git makes of the project's address is in ``checkout.py``.
"""

from base64 import b64encode

from codex_langfuse.mock.langfuse.auth import DEMONSTRATION_PUBLIC_KEY, DEMONSTRATION_SECRET_KEY

PLACEHOLDERS = {
    "pk-lf-…": DEMONSTRATION_PUBLIC_KEY,
    "sk-lf-…": DEMONSTRATION_SECRET_KEY,
    "cGstbGYt…": b64encode(f"{DEMONSTRATION_PUBLIC_KEY}:{DEMONSTRATION_SECRET_KEY}".encode()).decode(),
}


def filled_in(source: str) -> str:
    """Return ``source`` with the values for the placeholders."""
    for placeholder, value in PLACEHOLDERS.items():
        source = source.replace(placeholder, value)
    return source


def with_placeholders(printed: str) -> str:
    """Return ``printed`` with the placeholders for the values."""
    for placeholder, value in PLACEHOLDERS.items():
        printed = printed.replace(value, placeholder)
    return printed
