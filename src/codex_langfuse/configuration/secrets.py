"""Text that is shown to people, with its secrets covered: every known form, and what is in header tables."""

import re
from collections.abc import Iterator

from codex_langfuse.keys.credentials import PREFIXES, mask
from codex_langfuse.masking import covered

#: A table whose values may all be secret, in one line or under its own name.
_TABLE = re.compile(
    r"(?i)\b(?:http_)?(?:headers|env)[\"']?[ \t]{0,8}(?:(?P<open>=[ \t]{0,8}\{)|\][ \t\r]{0,8}(?:#|$))"
)
_VALUE = re.compile(r"=[ \t]{0,8}(?:\"(?P<basic>(?:[^\"\\]|\\.)*+)\"|'(?P<literal>[^']*+)')")
_SCHEME = re.compile(r"(?i)(?:basic|bearer)(?: |%20)")
#: A header's value of so many characters is no version number.
_SHORT = 8


def masked(text: str) -> str:
    """Return ``text`` with keys, passwords and headers' values covered, but not their kind.

    The lines stay as many as they are.
    """

    def cover(start: int, end: int) -> str:
        # A key of Langfuse is shown by its last characters, which tell two of them apart.
        for prefix in PREFIXES.values():
            whole = start if text.startswith(prefix, start) else start - len(prefix)
            if text.startswith(prefix, max(whole, 0)) and ":" not in text[whole:end]:
                return mask(text[whole:end])[start - whole :]
        return "…" + "\n…" * text.count("\n", start, end)

    return covered(text, cover, _in_tables(text))


def _in_tables(text: str) -> Iterator[tuple[int, int]]:
    at = 0
    in_table = False
    for line in text.splitlines(keepends=True):
        found = _TABLE.search(line)
        if line.lstrip().startswith("["):
            in_table = found is not None and not found["open"]
        elif in_table or (found and found["open"]):
            for value in _VALUE.finditer(line, 0 if in_table or found is None else found.end()):
                inner = value["basic"] or value["literal"] or ""
                if len(inner) >= _SHORT and "$" not in inner:
                    end = at + value.end(value.lastgroup or 0)
                    scheme = _SCHEME.match(inner)
                    yield end - len(inner) + (scheme.end() if scheme else 0), end
        at += len(line)
