"""Masks what looks like a secret, in every text that leaves."""

from __future__ import annotations

import re

MASK = "[secret masked]"

# Each pattern is the form of one kind of key; the group `keep`, where there is one, stays.
_SECRETS = re.compile(
    "|".join(
        (
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
            r"\b(?:sk|pk|rk)-lf-[A-Za-z0-9_-]{6,}",
            r"\bsk-[A-Za-z0-9_-]{12,}",
            r"\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{8,}",
            r"\bgh[pousr]_[A-Za-z0-9]{12,}",
            r"\bgithub_pat_[A-Za-z0-9_]{12,}",
            r"\bglpat-[A-Za-z0-9_-]{12,}",
            r"\bhf_[A-Za-z0-9]{16,}",
            r"\bnpm_[A-Za-z0-9]{16,}",
            r"\bpypi-[A-Za-z0-9_-]{16,}",
            r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}",
            r"\bAIza[A-Za-z0-9_-]{20,}",
            r"\bxox[a-z]-[A-Za-z0-9-]{8,}",
            r"\bey[JK][A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?",
        )
    )
)
_AUTHORIZATION = re.compile(r"\b(Bearer|Basic)(\s+|%20)[A-Za-z0-9._~+/=%-]{6,}", re.IGNORECASE)
_ASSIGNMENT = re.compile(
    r"""(\b[A-Za-z0-9_.-]*(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)"""
    r"""[A-Za-z0-9_.-]*\\?["']?\s*(?:=|:)\s*\\?["']?)([^\s"'\\,;&}]{4,})""",
    re.IGNORECASE,
)
_USER_INFO = re.compile(r"(\b[a-z][a-z0-9+.-]{1,15}://)[^\s/@:\"']*:[^\s/@\"']+@", re.IGNORECASE)


def mask_secrets(text: str) -> str:
    """Replace what looks like a key, a token, a password or a private key; the words around it stay."""
    text = _SECRETS.sub(MASK, text)
    text = _AUTHORIZATION.sub(rf"\1\2{MASK}", text)
    text = _USER_INFO.sub(rf"\1{MASK}@", text)
    return _ASSIGNMENT.sub(_mask_value, text)


def _mask_value(match: re.Match[str]) -> str:
    # Counts and switches such as `max_tokens: 4096` are no secrets.
    value = match[2]
    is_count = value.isdigit() and len(value) < 10 and "token" in match[1].lower()
    if is_count or value.lower() in {"true", "false", "null", "none"} or value.startswith("["):
        return match[0]
    return match[1] + MASK
