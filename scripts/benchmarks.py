"""What ``scripts/bench`` runs: pairs of measurements, and the ratio of their medians.

A ratio holds on another machine where a time does not. The two sides of a pair take turns, so that
whatever else the machine does falls on both.
"""

import argparse
import contextlib
import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import recordings
from codex_langfuse.codex.isolated import IsolatedCodex
from codex_langfuse.codex.scripted_model import running_scripted_model
from codex_langfuse.langfuse.auth import DEMONSTRATION_PUBLIC_KEY, DEMONSTRATION_SECRET_KEY
from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import running_mock
from codex_langfuse.relay.assembly import Assembly
from codex_langfuse.relay.policy import Policy
from codex_langfuse.relay.receiving import parse

ROOT = Path(__file__).resolve().parents[1]
RECORDING = "0.163.0-simple"
PAIR = f"{DEMONSTRATION_PUBLIC_KEY}:{DEMONSTRATION_SECRET_KEY}".encode()
AUTHORIZATION = f"Basic {b64encode(PAIR).decode()}"

BARE_SITE = """\
site_name: The same Markdown, and nothing else
docs_dir: {docs}
theme: {{ name: material, font: false }}
plugins: [search]
"""

OFF = '[otel]\nmetrics_exporter = "none"\n'
RELAY = (
    OFF + '[otel.exporter.otlp-http]\nendpoint = "{url}/v1/logs"\nprotocol = "binary"\n'
    '[otel.trace_exporter.otlp-http]\nendpoint = "{url}/v1/traces"\nprotocol = "binary"\n'
)
ON = (
    OFF + '[otel.trace_exporter.otlp-http]\nendpoint = "{url}/api/public/otel/v1/traces"\n'
    'protocol = "binary"\nheaders = {{ Authorization = "{authorization}" }}\n'
)


def alternated(
    rounds: int, first: Callable[[], None], second: Callable[[], None]
) -> tuple[list[float], list[float]]:
    """Run both ``rounds`` times in turns, after one of each to warm up; return their seconds."""
    first()
    second()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for action, seconds in zip((first, second), times, strict=True):
            started = time.perf_counter()
            action()
            seconds.append(time.perf_counter() - started)
    return times


def report(what: str, against: str, ours: list[float], theirs: list[float]) -> None:
    """Print the ratio of the medians, and the medians."""
    first, second = statistics.median(ours), statistics.median(theirs)
    medians = f"{what} ({_seconds(first)}) against {against} ({_seconds(second)})"
    print(f"{first / second:6.2f} ×  {medians}, {len(ours)} rounds", flush=True)


def bench_site() -> None:
    """Build the site, and the same pages with MkDocs Material alone."""
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder, "mkdocs.yml")
        bare.write_text(BARE_SITE.format(docs=ROOT / "docs"))

        def build(config: Path) -> None:
            command = [
                sys.executable,
                "-m",
                "mkdocs",
                "build",
                "--quiet",
                "-f",
                config,
                "-d",
                f"{folder}/site",
            ]
            subprocess.run(
                command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )

        ours, theirs = alternated(3, lambda: build(ROOT / "mkdocs.yml"), lambda: build(bare))
    report("the site's build, both languages", "the same Markdown by MkDocs Material alone", ours, theirs)


def bench_codex() -> None:
    """Run ``codex exec`` with traces exported to the mock, and without."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_mock() as mock,
        running_scripted_model("tool call") as model,
    ):
        codex = IsolatedCodex(Path(folder), model_url=model.base_url)

        def turn(config: str) -> None:
            codex.write_config(config)
            run = codex.run_exec()
            if run.returncode:
                raise RuntimeError(run.stderr)

        exporting = ON.format(url=mock.url, authorization=AUTHORIZATION)
        ours, theirs = alternated(15, lambda: turn(exporting), lambda: turn(OFF))
    report("codex exec exporting traces", "codex exec exporting nothing", ours, theirs)
    difference = statistics.median(one - other for one, other in zip(ours, theirs, strict=True))
    print(f"{'':10}the median of the paired differences is {_seconds(difference)}")


def bench_mock() -> None:
    """Send a recorded request to the mock over HTTP, and decode the same bytes and nothing else."""
    body = _recorded_request()
    with (
        _mock_process() as url,
        contextlib.closing(http.client.HTTPConnection(urlsplit(url).netloc)) as connection,
    ):
        headers = {"Authorization": AUTHORIZATION, "Content-Type": "application/x-protobuf"}

        def send() -> None:
            connection.request("POST", "/api/public/otel/v1/traces", body, headers)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise RuntimeError(f"the mock answered {response.status}")

        ours, theirs = alternated(200, send, lambda: ExportTraceServiceRequest.FromString(body) and None)
    report(f"a request of {len(body):,} bytes to the mock", "decoding these bytes", ours, theirs)


def bench_relay() -> None:
    """Make a clean trace of the recorded turn, and decode its bytes and nothing else; then memory."""
    bodies = _recorded_bodies()

    def make() -> None:
        assembly = Assembly(Policy())
        for number, (signal, body) in enumerate(bodies):
            assembly.take(number, parse(signal, body), 0.0)
        if len(assembly.close(1.0)) != 1:
            raise RuntimeError("one turn was expected")

    def decode() -> None:
        for signal, body in bodies:
            recordings.MESSAGES[signal].FromString(body)

    ours, theirs = alternated(200, make, decode)
    report("the relay's work on a turn, without network and disk", "decoding its bytes", ours, theirs)
    print(f"{'':10}{1 / statistics.median(ours):,.0f} turns a second on one core")
    print(f"{'':10}{_memory_of_open_conversations(10_000)} MiB resident with 10,000 conversations open")


def bench_exit() -> None:
    """Run ``codex exec`` through the relay and off, with a Langfuse that answers or hangs; then direct."""
    with tempfile.TemporaryDirectory() as folder, running_scripted_model("tool call") as model:
        codex = IsolatedCodex(Path(folder, "codex"), model_url=model.base_url)

        def turn(config: str) -> None:
            codex.write_config(config)
            run = codex.run_exec()
            if run.returncode:
                raise RuntimeError(run.stderr)

        for state, faults in (("that answers", ()), ("that hangs", (Fault(hang=True),))):
            with running_mock(faults=faults) as mock, _relay_process(mock.url, Path(folder, state)) as relay:
                ours, theirs = alternated(7, lambda: turn(RELAY.format(url=relay)), lambda: turn(OFF))
                report(f"codex exec through the relay, with a Langfuse {state},", "off", ours, theirs)
        with running_mock(faults=(Fault(hang=True),)) as mock:
            exporting = ON.format(url=mock.url, authorization=AUTHORIZATION)
            ours, theirs = alternated(1, lambda: turn(exporting), lambda: turn(OFF))
            report("codex exec direct, with a Langfuse that hangs,", "off", ours, theirs)


def _memory_of_open_conversations(count: int) -> int:
    """Return the MiB that a process holds while ``count`` conversations are open."""
    program = (
        "import resource, sys; sys.path.insert(0, 'scripts'); import benchmarks;"
        f"benchmarks.open_conversations({count});"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return int(run.stdout)


def open_conversations(count: int) -> Assembly:
    """Return an assembly in which ``count`` conversations are open: the recorded one, under other ids."""
    logs = next(body for signal, body in _recorded_bodies() if signal == "logs")
    known = re.search(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", logs)[0]
    assembly = Assembly(Policy())
    for number in range(count):
        other = f"{number:08x}".encode() + known[8:]
        assembly.take(number, parse("logs", logs.replace(known, other)), 0.0)
    return assembly


def _recorded_bodies() -> list[tuple[str, bytes]]:
    requests = recordings.read(RECORDING)
    return [(request.signal, request.body) for request in requests if request.signal != "metrics"]


def _recorded_request() -> bytes:
    return max(recordings.bodies(RECORDING, "traces"), key=len)


@contextlib.contextmanager
def _relay_process(langfuse: str, state: Path) -> Iterator[str]:
    """A relay in a process of its own that delivers to ``langfuse``."""
    command = [sys.executable, "-m", "codex_langfuse", "relay", "--listen", "127.0.0.1:0", "--state", state]
    environment = os.environ | {
        "LANGFUSE_PUBLIC_KEY": DEMONSTRATION_PUBLIC_KEY,
        "LANGFUSE_SECRET_KEY": DEMONSTRATION_SECRET_KEY,
        "LANGFUSE_BASE_URL": langfuse,
    }
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _mock_process() -> Iterator[str]:
    """A mock in a process of its own, so that it does not share this one's lock."""
    command = [sys.executable, "-m", "codex_langfuse", "mock", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield next(word for word in process.stdout.readline().split() if word.startswith("http://"))
    finally:
        process.terminate()
        process.wait()


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms"


BENCHMARKS = {
    "site": bench_site,
    "codex": bench_codex,
    "mock": bench_mock,
    "relay": bench_relay,
    "exit": bench_exit,
}


def main() -> None:
    """Run the benchmarks named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="|".join(BENCHMARKS))
    for name in parser.parse_args().names or BENCHMARKS:
        BENCHMARKS[name]()


if __name__ == "__main__":
    main()
