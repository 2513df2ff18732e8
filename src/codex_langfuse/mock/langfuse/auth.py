"""Who may call: from an ``Authorization`` header to a key, or to the exact words of the refusal.

Seen in ``web/src/features/public-api/server/apiAuth.ts`` (``ApiAuthService``).
"""

from dataclasses import dataclass
from typing import Literal

from codex_langfuse.keys.base64_text import decode_base64

#: The pair in Langfuse's own development seed; the mock's default.
DEMONSTRATION_PUBLIC_KEY = "pk-lf-1234567890"
DEMONSTRATION_SECRET_KEY = "sk-lf-1234567890"

_HOST_HINT = ". Confirm that you've configured the correct host."


@dataclass(frozen=True)
class ApiKey:
    """A pair of keys. An organization's key belongs to no project; an in-app agent's key may only read."""

    public_key: str
    secret_key: str
    scope: Literal["project", "organization"] = "project"
    in_app_agent: bool = False
    project_id: str | None = "proj1"
    organization_id: str = "org1"


@dataclass(frozen=True)
class Verified:
    """A key that was accepted, and for what: with the secret all of its scope, without it (Bearer) scores."""

    key: ApiKey
    access_level: Literal["project", "organization", "scores"]


@dataclass(frozen=True)
class Refused:
    """A header that was not accepted, and the message that goes out with status 401."""

    message: str


def verify(
    header: str | None, keys: tuple[ApiKey, ...], *, allow_in_app_agent: bool = False
) -> Verified | Refused:
    """Check an ``Authorization`` header as Langfuse does.

    Only the secret is looked up: a right secret passes with any public key before it.
    """
    if not header:
        return Refused("No authorization header")
    try:
        if header.startswith("Basic "):
            verified = _verify_basic(header, keys)
        elif header.startswith("Bearer "):
            verified = _verify_bearer(header, keys)
        else:
            return Refused("Invalid authorization header")
    except ValueError as error:
        return Refused(f"{error}{_HOST_HINT}")
    if verified.key.in_app_agent and not allow_in_app_agent:
        return Refused("Access denied - in-app agent keys are not allowed for this endpoint")
    return verified


def _verify_basic(header: str, keys: tuple[ApiKey, ...]) -> Verified:
    encoded = header.split(" ")[1]
    if not encoded:
        raise ValueError("Invalid authorization header")
    public_key, _, rest = decode_base64(encoded).partition(":")
    secret_key = rest.split(":")[0]
    if not public_key or not secret_key:
        raise ValueError("Invalid authorization header")
    for key in keys:
        if key.secret_key == secret_key:
            return Verified(key, key.scope)
    raise ValueError("Invalid credentials")


def _verify_bearer(header: str, keys: tuple[ApiKey, ...]) -> Verified:
    public_key = header.removeprefix("Bearer ")
    for key in keys:
        if key.public_key == public_key:
            if key.scope == "organization":
                raise ValueError("Unauthorized: Cannot use organization key with bearer auth")
            return Verified(key, "scores")
    raise ValueError("Invalid public key")
