"""Base64 as Langfuse decodes it (``atob`` of Node.js)."""

import base64

_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_ASCII_WHITESPACE = "\t\n\f\r "


def decode_base64(text: str) -> str:
    """Decode as JavaScript's ``atob`` does, one character a byte; raises ``ValueError`` with Node's words."""
    compact = "".join(character for character in text if character not in _ASCII_WHITESPACE)
    digits = compact.rstrip("=")
    padding = len(compact) - len(digits)
    if not _ALPHABET.issuperset(digits) or (padding and (padding > 2 or len(compact) % 4)):
        raise ValueError("Invalid character")
    if len(digits) % 4 == 1:
        raise ValueError("The string to be decoded is not correctly encoded.")
    return base64.b64decode(digits + "=" * (-len(digits) % 4)).decode("latin-1")
