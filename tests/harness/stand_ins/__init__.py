"""``docker``, ``kubectl`` and ``helm`` for the reader of a page: they read and check, and start nothing real.

``docker compose`` merges and interpolates the files in the folder and holds them to the Compose schema.
``kubectl`` holds manifests to the Kubernetes schemas, and remembers namespaces and Secrets. ``helm`` holds
values to the paths that Langfuse's chart has, and every reference to a Secret to the Secrets that are there.
Where Langfuse would start, the mock does, with the keys that the files give it, and the proxy leads the
address of that Langfuse to it. What they are given and cannot make sense of is an error.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

#: The folder that goes in front of a reader's PATH.
PROGRAMS = Path(__file__).parent / "bin"

#: The variable with the folder where the programs keep their state.
STATE = "STAND_INS_STATE"

_UPSTREAM = Path(__file__).parents[2] / "upstream"


class ComplaintError(Exception):
    """What a program says when it refuses what it was given."""


def upstream(name: str) -> dict[str, Any]:
    """Return a list of ``tests/upstream/``: ``compose``, ``environment`` or ``chart``."""
    listed: dict[str, Any] = json.loads((_UPSTREAM / f"{name}.json").read_text(encoding="utf-8"))
    return listed


def state_folder() -> Path:
    """Return where the programs of this reader keep what they know."""
    return Path(os.environ[STATE])


class Routes(Mapping[str, str]):
    """Where the proxy leads: to the given places, and to each Langfuse that a program has started."""

    def __init__(self, fixed: Mapping[str, str], state: Path) -> None:
        self._fixed = fixed
        self._started = state / "hosts"

    def __getitem__(self, host: str) -> str:
        file = self._started / host
        return file.read_text() if file.is_file() else self._fixed[host]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fixed)

    def __len__(self) -> int:
        return len(self._fixed)


def compose_skeleton() -> str:
    """Return Langfuse's Compose file as far as ``tests/upstream/compose.json`` lists what is in it."""
    listed = upstream("compose")

    def variable(name: str) -> str:
        return f"${{{name}:-{listed['variables'].get(name, '')}}}"

    services = {
        name: {
            "image": service["image"],
            "ports": service["ports"],
            "environment": {each: variable(each) for each in service["environment"]},
            "volumes": service["volumes"],
        }
        for name, service in listed["services"].items()
    }
    document = {"services": services, "volumes": {name: {} for name in listed["volumes"]}}
    return yaml.safe_dump(document, sort_keys=False)


@contextmanager
def downloads() -> Iterator[dict[str, str]]:
    """Serve that skeleton where Langfuse's file is downloaded from; yield the routes that lead there."""
    body = compose_skeleton().encode()
    path = f"/langfuse/langfuse/{upstream('compose')['version']}/docker-compose.yml"

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200 if self.path == path else 404)
            self.send_header("content-length", str(len(body) if self.path == path else 0))
            self.end_headers()
            if self.path == path:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield {"raw.githubusercontent.com": f"http://127.0.0.1:{server.server_address[1]}"}
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
