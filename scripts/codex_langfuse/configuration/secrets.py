"""Text that is shown to people or kept in logs, with its secrets covered."""

import re

from codex_langfuse.langfuse.credentials import mask

_LANGFUSE_KEY = re.compile(r"sk-lf-[A-Za-z0-9_-]+")
_SCHEME = re.compile(r"(?i)\b(basic|bearer)(\s+|%20)(?!\$\{)[A-Za-z0-9+/=_.~%-]{4,}")
_USER_INFO = re.compile(r"(?<=://)[^/\s\"'@]+(?=@)")
_NAME = r"[\w.-]*(?:key|token|secret|passw|authorization|credential)[\w.-]*"
_VALUE = r"\"[^\"\n]*\"|'[^'\n]*'"
_NAMED = re.compile(rf"(?i)([\"']?{_NAME}[\"']?\s*=\s*)({_VALUE})")
_PLACEHOLDER = re.compile(r"\$\{|^.$|…")


def masked(text: str) -> str:
    """Return ``text`` with keys, passwords and ``Authorization`` values covered, but not their kind."""
    text = _NAMED.sub(_masked_value, text)
    text = _SCHEME.sub(lambda match: f"{match[1]}{match[2]}…", text)
    text = _LANGFUSE_KEY.sub(lambda match: mask(match[0]), text)
    return _USER_INFO.sub("…", text)


def _masked_value(match: re.Match[str]) -> str:
    quote, inner = match[2][0], match[2][1:-1]
    if not inner or _PLACEHOLDER.search(inner):
        return match[0]
    scheme = _SCHEME.search(inner)
    shown = f"{scheme[1]}{scheme[2]}…" if scheme else mask(inner) if inner.startswith("sk-lf-") else "…"
    return f"{match[1]}{quote}{shown}{quote}"
