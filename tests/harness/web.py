"""httpx's calls with a time-out for a machine under load: a test waits for its turn, not for five seconds."""

from functools import partial
from typing import Any

import httpx

SECONDS = 60
PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


class Client(httpx.Client):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{"timeout": SECONDS, **options})


get, post, head, patch, delete, options, request = (
    partial(call, timeout=SECONDS)
    for call in (httpx.get, httpx.post, httpx.head, httpx.patch, httpx.delete, httpx.options, httpx.request)
)
