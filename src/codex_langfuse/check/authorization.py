"""What Langfuse will make of an ``Authorization`` header, known before it is sent."""

import re

from codex_langfuse.keys.base64_text import decode_base64
from codex_langfuse.keys.credentials import VARIABLE

#: What pages write where a key is to be put.
_PLACEHOLDER = re.compile(
    r"(?i)<[^>]*>|\byour[-_ ]?\w*|\bbase64[-_]|_base64\b|change[-_]?me|\bxxx+|placeholder|\.\.\.|…$"
)


def mistake_in(value: str) -> str | None:
    """Return the id of the mistake in the value of an ``Authorization`` header for Langfuse, or None."""
    if VARIABLE.search(value):
        return "unexpanded-variable"
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
        return "line-break"
    value = value.strip()
    if _PLACEHOLDER.search(value):
        return "placeholder"
    if not value.startswith("Basic ") or value.startswith("Basic  "):
        return "not-basic"
    encoded = value.removeprefix("Basic ")
    if re.match(r"(?i)basic(\s|%20|$)", encoded):
        return "basic-twice"
    if " " in encoded:
        # Langfuse takes what is before the space.
        encoded = encoded.split(" ")[0]
    try:
        decoded = decode_base64(encoded)
    except ValueError:
        return "keys-not-encoded"
    return _mistake_in_pair(decoded)


def _mistake_in_pair(decoded: str) -> str | None:
    public_key, colon, secret_key = decoded.partition(":")
    if not colon:
        return "base64-twice" if _is_encoded_pair(decoded) else "not-a-pair"
    if public_key.startswith("sk-lf-") or secret_key.startswith("pk-lf-"):
        return "swapped-keys"
    if not public_key.strip() or not secret_key.strip():
        return "not-a-pair"
    if re.search(r"\s", decoded):
        return "key-whitespace"
    return None


def _is_encoded_pair(text: str) -> bool:
    try:
        return ":" in decode_base64(text.strip())
    except ValueError:
        return False
