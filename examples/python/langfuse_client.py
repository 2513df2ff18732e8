"""Langfuse's API with only Python's standard library.

The keys and the address come from LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY and LANGFUSE_BASE_URL.
Every request has a time limit. One that may be repeated is repeated when the server is busy or away.
"""

import base64
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

SECONDS_TO_WAIT = 30
TRIES = 4
PAGE_SIZE = 100
MAY_PASS = {429, 500, 502, 503, 504}


class LangfuseError(Exception):
    """What went wrong, in words for the person who runs the program."""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: another server must not get the keys."""

    def redirect_request(self, *_: Any) -> None:
        """Say that there is nowhere to go."""


def call(method: str, path: str, body: Any = None, **query: Any) -> Any:
    """Send a request that may be repeated, and return the JSON of the answer."""
    address, authorization = _connection()
    parameters = urllib.parse.urlencode({k: v for k, v in query.items() if v is not None})
    request = urllib.request.Request(
        f"{address}/api/public/{path}" + (f"?{parameters}" if parameters else ""),
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": authorization, "Content-Type": "application/json"},
        method=method,
    )
    opener = urllib.request.build_opener(NoRedirect)
    for attempt in range(1, TRIES + 1):
        try:
            with opener.open(request, timeout=SECONDS_TO_WAIT) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            if error.code not in MAY_PASS or attempt == TRIES:
                raise LangfuseError(_explained(method, path, error)) from None
            asked = error.headers.get("Retry-After", "")
            pause = min(int(asked), 60) if asked.isdigit() else 2**attempt
        except (OSError, ValueError, http.client.HTTPException) as error:
            if attempt == TRIES:
                raise LangfuseError(f"no usable answer from {address}: {error}") from None
            pause = 2**attempt
        time.sleep(pause)


def observations(**query: Any) -> Iterator[dict[str, Any]]:
    """Yield every observation that fits, newest first, one page after the other, each once."""
    seen: set[tuple[str, str]] = set()
    cursor = None
    while True:
        page = call("GET", "v2/observations", limit=PAGE_SIZE, cursor=cursor, **query)
        for observation in page["data"]:
            # One that was sent again can be there twice, until Langfuse's database merges them.
            identity = (observation["traceId"], observation["id"])
            if identity not in seen:
                seen.add(identity)
                yield observation
        cursor = page["meta"].get("cursor")
        if cursor is None:
            return


def period(days: float) -> tuple[str, str]:
    """Return the last days up to now. A fixed end keeps pages from shifting while they are read."""
    now = datetime.now(UTC)
    return (now - timedelta(days=days)).isoformat(), now.isoformat()


def run(main: Callable[[], None]) -> None:
    """Run a program: what it cannot do becomes one line on standard error and exit status 1."""
    try:
        main()
    except (LangfuseError, OSError) as error:
        sys.exit(f"error: {error}")


def _connection() -> tuple[str, str]:
    names = ("LANGFUSE_BASE_URL", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")
    values = [os.environ.get(name, "").strip() for name in names]
    missing = [name for name, value in zip(names, values, strict=True) if not value]
    if missing:
        raise LangfuseError(f"not set in the environment: {', '.join(missing)}")
    address, public_key, secret_key = values
    if not address.startswith(("https://", "http://")):
        raise LangfuseError(f"LANGFUSE_BASE_URL is {address}; it begins with https://")
    pair = base64.b64encode(f"{public_key}:{secret_key}".encode()).decode()
    return address.rstrip("/"), f"Basic {pair}"


def _explained(method: str, path: str, error: urllib.error.HTTPError) -> str:
    text = error.read(2000).decode("utf-8", "replace")
    try:
        text = json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        text = text[:200].strip()
    return f"{method} {path} was answered with {error.code}: {text}"
