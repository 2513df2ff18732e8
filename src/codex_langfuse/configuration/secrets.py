"""Text that is shown to people or kept in logs, with its secrets covered."""

import re

from codex_langfuse.keys.credentials import mask

_LANGFUSE_KEY = re.compile(r"sk-lf-[A-Za-z0-9_-]+")
#: Both prefixes of Langfuse's keys, in base64.
_ENCODED_KEYS = re.compile(r"\b(cGstbGYt|c2stbGYt)[A-Za-z0-9+/=_-]+")
_SCHEME = re.compile(r"(?i)\b(basic|bearer)(\s+|%20)(?!\$\{)[A-Za-z0-9+/=_.~%-]{4,}")
_USER_INFO = re.compile(r"(?<=://)[^/\s\"'@]+(?=@)")
_TELLING = r"[\w.-]*(?:key|token|secret|passw|auth(?!or\b)|credential)[\w.-]*"
_VALUE = r"\"{3}[\s\S]*?\"{3}|'{3}[\s\S]*?'{3}|\"[^\"\n]*\"|'[^'\n]*'"
_NAMED = re.compile(rf"(?i)([\"']?{_TELLING}[\"']?\s*=\s*)({_VALUE})")
_OPTION = re.compile(rf"(?i)([\"']--?{_TELLING}[\"']\s*,\s*)({_VALUE})")
#: A table of headers, in one line or under its own name: any header may carry a secret.
_HEADERS = re.compile(
    r"(?im)^.*\bheaders\b[\"']?\s*=\s*\{[^}]*\}|^\s*\[[^\]\n]*\bheaders[\"']?\s*\](?:\n(?!\s*\[).*)*"
)
_HEADER = re.compile(rf"(=\s*)({_VALUE})")
#: A header's value of so many characters is no version number.
_SHORT = 8
_PLACEHOLDER = re.compile(r"\$\{|^.$|…")


def masked(text: str) -> str:
    """Return ``text`` with keys, passwords and headers' values covered, but not their kind.

    The lines stay as many as they are.
    """
    text = _HEADERS.sub(lambda table: _HEADER.sub(_masked_header, table[0]), text)
    text = _OPTION.sub(_masked_value, _NAMED.sub(_masked_value, text))
    text = _SCHEME.sub(lambda match: f"{match[1]}{match[2]}…", text)
    text = _LANGFUSE_KEY.sub(lambda match: mask(match[0]), text)
    text = _ENCODED_KEYS.sub(lambda match: f"{match[1]}…", text)
    return _USER_INFO.sub("…", text)


def _masked_header(match: re.Match[str]) -> str:
    return match[0] if len(match[2].strip("'\"")) < _SHORT else _masked_value(match)


def _masked_value(match: re.Match[str]) -> str:
    quote = match[2][:3] if match[2][:3] in ('"""', "'''") else match[2][0]
    inner = match[2][len(quote) : -len(quote)]
    if not inner or _PLACEHOLDER.search(inner):
        return match[0]
    scheme = _SCHEME.search(inner)
    shown = f"{scheme[1]}{scheme[2]}…" if scheme else mask(inner) if inner.startswith("sk-lf-") else "…"
    return f"{match[1]}{quote}{shown}" + "\n…" * inner.count("\n") + quote
