"""A client of a running mock, and where it takes traces."""

import httpx

from codex_langfuse.mock.server import RunningMock
from harness import web

TRACES = "/api/public/otel/v1/traces"


def client(mock: RunningMock) -> httpx.Client:
    """Make a client with the mock's address and keys."""
    return web.Client(base_url=mock.url, auth=(mock.public_key, mock.secret_key))
