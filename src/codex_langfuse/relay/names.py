"""The forms a word must have to leave the relay in every mode: names, identifiers, closed choices, numbers.

An allow-list. Codex's own words are short and known (or have a narrow form); whatever does not look like
them is replaced, so that no text can leave in the place of a name, whatever a version of Codex puts there.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

from codex_langfuse.masking import mask_secrets

OTHER = "other"

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,63}(/[A-Za-z0-9][A-Za-z0-9._:+-]{0,63}){0,2}")
_VERSION = re.compile(r"[0-9]{1,5}(\.[0-9]{1,5}){1,3}([-+.][A-Za-z0-9.-]{1,24})?")
_ENVIRONMENT = re.compile(r"[a-z0-9_-]{1,40}")

APPROVAL_POLICIES = frozenset(
    {"never", "on-request", "on-failure", "untrusted", "unless-trusted", "granular"}
)
SANDBOX_POLICIES = frozenset({"danger-full-access", "read-only", "workspace-write", "external-sandbox"})
REASONING_EFFORTS = frozenset(
    {"default", "none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra", "auto"}
)
REASONING_SUMMARIES = frozenset({"auto", "concise", "detailed", "none"})
SERVICE_TIERS = frozenset(
    {"auto", "batch", "default", "fast", "flex", "priority", "scale", "standard", "ultrafast"}
)
AUTH_MODES = frozenset({"apikey", "api_key", "chatgpt", "chatgptauthtokens", "agentidentity"})
# `ReviewDecision` in lower case, and `ToolDecisionSource` (codex-rs/otel, 0.44 to 0.169).
DECISIONS = frozenset(
    {
        *("approved", "approved_for_session", "approved_with_amendment", "approvedforsession"),
        *("approved_execpolicy_amendment", "approved_with_network_policy_allow"),
        *("denied", "denied_with_network_policy_deny", "abort", "timed_out", "timedout"),
    }
)
DECISION_SOURCES = frozenset({"config", "user", "automatedreviewer", "automated_reviewer", "hook"})
SANDBOX_OUTCOMES = frozenset(
    {"denied", "success", "failed", "approved", "escalated", "timed_out", "timeout", "signal", "retried"}
)


@lru_cache(4096)
def identifier(text: str) -> str:
    """Return `text` if it has the form of an id, else a digest of it."""
    if _IDENTIFIER.fullmatch(text) and mask_secrets(text) == text:
        return text
    return "id-" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


@lru_cache(4096)
def name(text: str) -> str:
    """Return the name of a tool, a server, a client or a provider, or `other`."""
    return text if _NAME.fullmatch(text) and mask_secrets(text) == text else OTHER


@lru_cache(1024)
def model(text: str) -> str:
    """Return the name of a model, or `other`."""
    drive = text[1:2] == ":" and text[2:3] in {"/", "\\"}
    return text if _MODEL.fullmatch(text) and not drive and mask_secrets(text) == text else OTHER


@lru_cache(1024)
def version(text: str) -> str:
    """Return a version of Codex, or `other`."""
    return text if _VERSION.fullmatch(text) else OTHER


@lru_cache(1024)
def environment(text: str) -> str:
    """Return `text` as Langfuse takes it for an environment: lower case, at most 40 of a-z 0-9 - _.

    Anything else is `default`, which is what Langfuse makes of it.
    """
    lowered = text.lower()
    harmless = _ENVIRONMENT.fullmatch(lowered) and mask_secrets(text) == text
    return lowered if harmless and not lowered.startswith("langfuse") else "default"


def choice(value: object, allowed: frozenset[str]) -> str:
    """Return `value` in lower case if it is one of `allowed`, else `other`."""
    lowered = value.lower() if isinstance(value, str) else ""
    return lowered if lowered in allowed else OTHER


def count(value: object) -> int | None:
    """Return a number that Codex may have written as a text; None if it is none, or below zero."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) <= 18 else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < 2**63 else None


def name_list(text: object) -> list[str]:
    """Return the names in a comma-separated list, at most 50; all are `other` if one is no name."""
    if not isinstance(text, str) or len(text) > 10_000:
        return []
    found = [name(part) for part in (piece.strip() for piece in text.split(",")) if part]
    # A sentence has commas, too, and words between them that look like names.
    return ([OTHER] * len(found) if OTHER in found else found)[:50]
