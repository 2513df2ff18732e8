"""Record the default turn of a real Codex: all three signals, as ``tests/recordings/`` keeps them.

The turn is the same for every version: one ``codex exec``, one command, two model calls with fixed token
counts, ``log_user_prompt`` on; what is not as a user has it, is in ``codex_langfuse.codex.replaced``. So the
model is the version's default, asked over a WebSocket, and from 0.150 on in code mode.
"""

import gzip
import json
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from codex_langfuse.codex.isolated import IsolatedCodex
from codex_langfuse.codex.scripted_model import (
    HTTP_ONLY,
    SCENARIOS,
    Message,
    Scenario,
    ToolCall,
    running_scripted_model,
)
from codex_langfuse.codex.versions import METRICS_BY_DEFAULT, OTEL_KEYS, Version
from recordings import MESSAGES

PROMPT = "say hello secret-prompt"
_COMMAND = ToolCall("exec_command", {"cmd": "echo hello-from-tool"})
_ANSWER = Message("All done: hello")
#: What is recorded of a Codex: ``default`` is the turn that versions are compared by.
TURNS: Mapping[str, Scenario] = {
    "default": Scenario((_COMMAND, _ANSWER)),
    "http": Scenario((_COMMAND, _ANSWER), handshake=HTTP_ONLY),
    "sub-agent": SCENARIOS["sub-agent"],
}

#: What a recording has in place of the machine's own names.
HOST = "vm"
FOLDER = "/home/dev"


class RecordingError(Exception):
    """Codex did not do the turn; the message says what it did."""


def _config(codex: Version, url: str) -> str:
    """Return the ``[otel]`` table that sends every signal this version has to ``url``."""
    signals = {"exporter": "logs"}
    if codex >= OTEL_KEYS["trace_exporter"]:
        signals["trace_exporter"] = "traces"
    if codex >= METRICS_BY_DEFAULT:
        signals["metrics_exporter"] = "metrics"
    exporters = "".join(
        f'[otel.{key}.otlp-http]\nendpoint = "{url}/v1/{signal}"\nprotocol = "binary"\nheaders = {{}}\n'
        for key, signal in signals.items()
    )
    return f'[otel]\nenvironment = "test"\nlog_user_prompt = true\n{exporters}'


def record(binary: Path, codex: Version, turn: str = "default") -> list[dict[str, Any]]:
    """Let ``binary`` do one of ``TURNS`` and return what it sent, one entry a request, in the order sent.

    An entry has ``signal``, ``seconds`` since the run began, ``content_type``, ``user_agent``,
    ``wire_bytes`` and ``body``, the request in protobuf's JSON mapping.

    Raises:
        RecordingError: Codex ended with an error, sent nothing, or would tell of this machine.
    """
    with (
        tempfile.TemporaryDirectory(prefix="codex-recording-") as folder,
        running_scripted_model(TURNS[turn]) as model,
        _running_sink() as sink,
    ):
        isolated = IsolatedCodex(
            Path(folder), model_url=model.base_url, environment={"TERM": "xterm"}, binary=binary
        )
        isolated.write_config(_config(codex, sink.url))
        sink.started = time.monotonic()
        run = isolated.run_exec(PROMPT)
        if run.returncode != 0:
            raise RecordingError(f"Codex {codex} ended with {run.returncode}:\n{run.stderr.strip()}")
        if not model.tokens or not sink.requests:
            raise RecordingError(
                f"Codex {codex} used {model.tokens} tokens of the model "
                f"and sent {len(sink.requests)} requests of telemetry"
            )
        return [_neutral(request, isolated) for request in sink.requests]


def _neutral(request: dict[str, Any], codex: IsolatedCodex) -> dict[str, Any]:
    """Return a request without the names of this machine.

    Raises:
        RecordingError: one is left.
    """
    text = json.dumps(request, ensure_ascii=False)
    for path, stands_for in ((codex.workspace, "work"), (codex.home, ""), (codex.home.parent, "")):
        text = text.replace(str(path), f"{FOLDER}/{stands_for}".rstrip("/"))
    text = re.sub(r'(?<="key": "host\.name", "value": \{"stringValue": ")[^"]*', HOST, text)
    # Codex names agents like files below /root.
    paths = text.replace("/root/count", "")
    left = [
        word
        for word in (str(Path.home()), tempfile.gettempdir())
        if re.search(rf"(?<![\w/.-]){re.escape(word)}/", paths)
    ]
    if left:
        raise RecordingError(f"The recording would hold a path of this machine, below {left[0]}")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def write(requests: list[dict[str, Any]], file: Path) -> None:
    """Write a recording; the same requests give the same bytes."""
    lines = "".join(
        json.dumps(request, ensure_ascii=False, separators=(",", ":")) + "\n" for request in requests
    )
    file.write_bytes(gzip.compress(lines.encode(), mtime=0))


class _Sink(ThreadingHTTPServer):
    """Takes every export of telemetry, and keeps it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Export)
        self.requests: list[dict[str, Any]] = []
        self.started = 0.0
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Export(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Sink

    def do_POST(self) -> None:
        seconds = time.monotonic() - self.server.started
        body = self.rfile.read(int(self.headers["content-length"]))
        signal = self.path.removeprefix("/v1/")
        message = MESSAGES[signal].FromString(body)
        self.server.requests.append(
            {
                "signal": signal,
                "seconds": round(seconds, 4),
                "content_type": self.headers["content-type"],
                "user_agent": self.headers["user-agent"],
                "wire_bytes": len(body),
                "body": MessageToDict(message),
            }
        )
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent: the requests are the record."""


@contextmanager
def _running_sink() -> Iterator[_Sink]:
    sink = _Sink()
    thread = threading.Thread(target=sink.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        sink.shutdown()
        sink.server_close()
        thread.join()
