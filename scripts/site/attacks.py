"""What ``scripts/bench --attacks`` runs: requests and answers that are meant to harm a relay.

Each attack gets a relay of its own. Printed are the most memory it used, the longest that ``/healthz`` took
meanwhile, on a new connection each time, and how long a SIGTERM took after it.
"""

import contextlib
import gzip
import http.client
import signal
import socket
import socketserver
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from secrets import token_bytes
from urllib.parse import urlsplit

import httpx
import psutil
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import recordings
from codex_langfuse.mock.server import running_mock
from relay_process import relay_process

MEBIBYTE = 1024 * 1024
#: What a relay keeps to, whatever comes: MiB, seconds of ``/healthz``, seconds to stop.
MOST_MEMORY, SLOWEST, LONGEST_STOP = 400, 1.0, 15.0
PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
GZIP = {"content-encoding": "gzip"}
#: Seconds that an attack is watched for after its last request was answered.
AFTERWARDS = 3.0
_SECONDS_TO_ANSWER = 120


@dataclass(frozen=True)
class Attack:
    """``send`` posts to a relay's address; ``answer`` is what its Langfuse says, if not what it should."""

    name: str
    send: Callable[[str], None] = lambda _: None
    answer: Callable[[socket.socket], None] | None = None


@dataclass
class Harm:
    """What an attack did: MiB, and seconds."""

    memory: float = 0
    slowest: float = 0
    stop: float = 0

    @property
    def is_within(self) -> bool:
        """Whether the relay kept to its limits."""
        return self.memory <= MOST_MEMORY and self.slowest <= SLOWEST and self.stop <= LONGEST_STOP


# --- what is sent -------------------------------------------------------------------------------------------


def post(url: str, path: str, body: bytes, headers: dict[str, str]) -> None:
    """Post, whatever is answered."""
    with contextlib.suppress(httpx.HTTPError):
        httpx.post(f"{url}{path}", content=body, headers=headers, timeout=_SECONDS_TO_ANSWER)


def empty_messages(url: str) -> None:
    """30 kB that are 15 million resources."""
    post(url, "/v1/traces", gzip.compress(b"\x0a\x00" * 15_000_000), PROTOBUF | GZIP)


def empty_objects(url: str) -> None:
    """8 MB of JSON that are two million resources; and the same many times nested."""
    post(url, "/v1/logs", b'{"resourceLogs":[' + b"{}," * 2_700_000 + b"{}]}", JSON)
    post(url, "/v1/logs", b'{"resourceLogs":' + b"[" * 4_000_000 + b"]" * 4_000_000 + b"}", JSON)


def large_bodies(url: str) -> None:
    """Sixteen senders at once with 30 MB each."""
    body = gzip.decompress(gzip.compress(b"\x0a\x04" + b"\x12\x02\x12\x00" * 7_500_000))
    with ThreadPoolExecutor(16) as senders:
        for _ in range(16):
            senders.submit(post, url, "/v1/traces", body, PROTOBUF)


def log_events(count: int, attributes: Callable[[int], dict[str, str]], *, trace: bool = False) -> bytes:
    """Make an export of ``count`` log events."""
    export = ExportLogsServiceRequest()
    records = export.resource_logs.add().scope_logs.add().log_records
    for number in range(count):
        record = records.add(observed_time_unix_nano=time.time_ns())
        if trace:
            record.trace_id, record.span_id = token_bytes(16), token_bytes(8)
        for name, value in attributes(number).items():
            record.attributes.add(key=name).value.string_value = value
    return export.SerializeToString()


def conversations(url: str) -> None:
    """100,000 conversations that begin, in batches as large as are taken."""
    for batch in range(4):

        def prompt(number: int, batch: int = batch) -> dict[str, str]:
            conversation = f"{batch:08x}-{number:04x}-7000-8000-{number:012x}"
            return {"event.name": "codex.user_prompt", "conversation.id": conversation, "prompt_length": "9"}

        post(url, "/v1/logs", log_events(25_000, prompt), PROTOBUF)


def one_conversation(url: str, count: int = 20_000) -> None:
    """Tool calls of one conversation, each in its own trace, as logs and as spans."""

    def tool(number: int) -> dict[str, str]:
        return {
            "event.name": "codex.tool_result",
            "conversation.id": "019a0000-0000-7000-8000-000000000001",
            "call_id": f"call_{number}",
            "tool_name": "exec_command",
            "duration_ms": "1",
            "success": "true",
        }

    post(url, "/v1/logs", log_events(count, tool, trace=True), PROTOBUF)
    export = ExportTraceServiceRequest()
    spans = export.resource_spans.add().scope_spans.add().spans
    for number in range(count):
        span = spans.add(trace_id=token_bytes(16), span_id=token_bytes(8), name="exec_command")
        span.start_time_unix_nano = span.end_time_unix_nano = time.time_ns()
        for name, value in {"codex.tool.phase": "dispatch", **tool(number)}.items():
            span.attributes.add(key=name).value.string_value = value
    post(url, "/v1/traces", export.SerializeToString(), PROTOBUF)


def silent_connections(url: str) -> None:
    """600 connections, half of them with the beginning of a request, held for five seconds."""
    host, port = urlsplit(url).netloc.split(":")
    with contextlib.ExitStack() as held:
        for number in range(600):
            with contextlib.suppress(OSError):
                connection = held.enter_context(socket.create_connection((host, int(port)), timeout=10))
                if number % 2:
                    connection.sendall(b"POST /v1/logs HTTP/1.1\r\nhost: localhost\r\nx-slow: ")
        time.sleep(5)


# --- what is answered ---------------------------------------------------------------------------------------


def status_line(text: str, *headers: str) -> bytes:
    """Return the head of an answer."""
    return "\r\n".join([f"HTTP/1.1 {text}", *headers, "", ""]).encode()


def far_date(connection: socket.socket) -> None:
    """A date that no calendar has, in a character set that is none."""
    date = "retry-after: Mon, 01 Jan 2026 00:00:00 +99999999999999999999"
    kind = "content-type: text/plain; charset=idna"
    connection.sendall(status_line("429 Too Many Requests", date, kind, "content-length: 3") + b"\xff.a")


def dripping(connection: socket.socket) -> None:
    """One byte a second, for as long as somebody listens."""
    connection.sendall(status_line("200 OK", "content-type: application/json", "content-length: 999999"))
    while connection.send(b" "):
        time.sleep(1)


def endless(connection: socket.socket) -> None:
    """1.5 GB."""
    connection.sendall(status_line("200 OK", "content-type: application/json", "content-length: 1500000000"))
    for _ in range(1_500):
        connection.sendall(b" " * 1_000_000)


def bomb(connection: socket.socket) -> None:
    """Two megabytes that are two gigabytes."""
    part = gzip.compress(bytes(16 * MEBIBYTE))
    headers = ("content-type: application/json", "content-encoding: gzip")
    connection.sendall(status_line("200 OK", *headers, f"content-length: {len(part) * 128}") + part * 128)


ATTACKS = (
    Attack("a quiet relay"),
    Attack("15 million empty messages in 30 kB", empty_messages),
    Attack("2.7 million empty objects, and 4 million brackets, of JSON", empty_objects),
    Attack("16 bodies of 30 MB at once", large_bodies),
    Attack("100,000 conversations", conversations),
    Attack("40,000 events of one conversation", one_conversation),
    Attack("600 connections that say nothing, or half of it", silent_connections),
    Attack("Langfuse answers with an impossible date and character set", answer=far_date),
    Attack("Langfuse answers with a byte a second", answer=dripping),
    Attack("Langfuse answers with 1.5 GB", answer=endless),
    Attack("Langfuse answers with 2 GB in 2 MB", answer=bomb),
)


# --- and what comes of it -----------------------------------------------------------------------------------


def harm_of(attack: Attack, folder: Path) -> Harm:
    """Run an attack against a relay with its state in ``folder``."""
    harm = Harm()
    with _langfuse(attack) as langfuse, relay_process(langfuse, folder) as (process, url):
        with _watched(process.pid, url, harm):
            _send_turn(url)
            attack.send(url)
            _send_turn(url)
            time.sleep(AFTERWARDS)
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait()
        harm.stop = time.monotonic() - told
    return harm


@contextlib.contextmanager
def _watched(pid: int, url: str, harm: Harm) -> Iterator[None]:
    """Ask ``/healthz`` and look at the memory, until the end of the block."""
    ended = threading.Event()
    process = psutil.Process(pid)
    place = urlsplit(url).netloc

    def look() -> None:
        while not ended.wait(0.02):
            harm.memory = max(harm.memory, process.memory_info().rss / MEBIBYTE)

    def ask() -> None:
        while not ended.wait(0.05):
            asked = time.monotonic()
            with contextlib.closing(http.client.HTTPConnection(place, timeout=60)) as connection:
                connection.request("GET", "/healthz")
                if connection.getresponse().status != 200:
                    raise RuntimeError("/healthz is not well")
            harm.slowest = max(harm.slowest, time.monotonic() - asked)

    watchers = [threading.Thread(target=each) for each in (look, ask)]
    for each in watchers:
        each.start()
    try:
        yield
    finally:
        ended.set()
        for each in watchers:
            each.join()


def _send_turn(url: str) -> None:
    """Send what Codex sends of a turn, as Codex does: what is refused is not sent again."""
    for body in recordings.bodies("0.44.0-simple", "logs"):
        post(url, "/v1/logs", body, PROTOBUF)


@contextlib.contextmanager
def _langfuse(attack: Attack) -> Iterator[str]:
    if attack.answer is None:
        with running_mock() as mock:
            yield mock.url
        return
    answer = attack.answer

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                self.request.recv(65536)
                answer(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def run(attacks: tuple[Attack, ...] = ATTACKS) -> bool:
    """Run attacks, print each outcome, and return whether the relay kept to its limits."""
    print(f"{'memory':>8} {'/healthz':>9} {'stop':>7}  attack", flush=True)
    within = True
    with tempfile.TemporaryDirectory() as folder:
        for number, attack in enumerate(attacks):
            harm = harm_of(attack, Path(folder, str(number)))
            within = within and harm.is_within
            mark = "" if harm.is_within else "  TOO MUCH"
            figures = f"{harm.memory:4.0f} MiB {harm.slowest * 1000:6.0f} ms {harm.stop:5.1f} s"
            print(f"{figures}  {attack.name}{mark}", flush=True)
    print(f"{MOST_MEMORY:4} MiB {SLOWEST * 1000:6.0f} ms {LONGEST_STOP:5.1f} s  the most that is allowed")
    return within
