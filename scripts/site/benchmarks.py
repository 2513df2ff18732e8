"""What ``scripts/bench`` runs: pairs of measurements, and the ratio of their medians.

A ratio holds on another machine where a time does not. The two sides of a pair take turns, so that
whatever else the machine does falls on both. With ``--save`` what was measured is kept in
``scripts/site/bench-results.toml``, from which the page about performance is made.
"""

import argparse
import contextlib
import http.client
import re
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import attacks
import bench_results
import collector_benchmark
import collector_faults
import page_weights
import recordings
from bench_results import Pair
from codex_langfuse.codex.isolated import IsolatedCodex
from codex_langfuse.codex.scripted_model import Message, Scenario, ToolCall, running_scripted_model
from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.langfuse.auth import DEMONSTRATION_PUBLIC_KEY, DEMONSTRATION_SECRET_KEY
from codex_langfuse.mock.server import running_mock
from codex_langfuse.relay.assembly import Assembly
from codex_langfuse.relay.policy import Policy
from codex_langfuse.relay.receiving import Signal, parse
from relay_process import relay_process
from running_collector import IN_HASTE, free_port, langfuse_environment, running_collector

ROOT = Path(__file__).resolve().parents[2]
RECORDING = "0.171.0-default"
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
COLLECTOR = OFF + '[otel.trace_exporter.otlp-http]\nendpoint = "{url}/v1/traces"\nprotocol = "binary"\n'
ON = (
    OFF + '[otel.trace_exporter.otlp-http]\nendpoint = "{url}/api/public/otel/v1/traces"\n'
    'protocol = "binary"\nheaders = {{ Authorization = "{authorization}" }}\n'
)

# The direct route: a name, what is measured, in how many rounds, and what Langfuse does.
DIRECT = (
    ("direct-answers", "direct", 31, ()),
    ("direct-refuses", "direct, Langfuse refuses", 7, (Fault(status=401),)),
    ("direct-slow", "direct, Langfuse answers after 1 s", 5, (Fault(delay=1),)),
    ("direct-hangs", "direct, Langfuse hangs", 1, (Fault(hang=True),)),
)
RELAYED = (
    ("relay-answers", "through the relay", ()),
    ("relay-hangs", "through the relay, Langfuse hangs", (Fault(hang=True),)),
)

# More spans than Codex's queue holds, made faster than one connection to a slow server takes them.
BURST = Scenario((*[ToolCall("exec_command", {"cmd": "true"})] * 40, Message("Done.")))
QUEUE: tuple[tuple[str, float, dict[str, str]], ...] = (
    ("at-once", 0, {}),
    ("after-300-ms", 0.3, {}),
    ("after-1-s", 1, {}),
    ("after-3-s", 3, {}),
    ("after-1-s-queue", 1, {"OTEL_BSP_MAX_QUEUE_SIZE": "16384"}),
    ("after-1-s-concurrent", 1, {"OTEL_BSP_MAX_CONCURRENT_EXPORTS": "4"}),
)


def alternated(
    rounds: int, first: Callable[[], None], second: Callable[[], None]
) -> tuple[list[float], list[float]]:
    """Run both ``rounds`` times in turns, after one of each to warm up; return their seconds.

    Which of them goes first changes from round to round.
    """
    first()
    second()
    times: tuple[list[float], list[float]] = ([], [])
    sides = [(first, times[0]), (second, times[1])]
    for number in range(rounds):
        for action, seconds in sides if number % 2 else reversed(sides):
            started = time.perf_counter()
            action()
            seconds.append(time.perf_counter() - started)
    return times


class Measured:
    """What one benchmark measured: printed at once, and kept."""

    def __init__(self) -> None:
        self.pairs: dict[str, Pair] = {}
        self.numbers: dict[str, int] = {}

    def pair(self, name: str, what: str, against: str, ours: list[float], theirs: list[float]) -> None:
        """Print the ratio of the medians, the medians, and the median of the paired differences."""
        difference = statistics.median(one - other for one, other in zip(ours, theirs, strict=True))
        pair = Pair(statistics.median(ours), statistics.median(theirs), difference, len(ours))
        self.pairs[name] = pair
        medians = f"{what} ({_seconds(pair.seconds)}) against {against} ({_seconds(pair.against)})"
        print(f"{pair.ratio:6.2f} ×  {medians}, {pair.rounds} rounds", flush=True)
        print(f"{'':10}the median of the paired differences is {_seconds(difference)}", flush=True)

    def number(self, name: str, value: int, unit: str) -> None:
        """Print a number with what it counts."""
        self.numbers[name] = value
        print(f"{'':10}{value:,} {unit}", flush=True)


def bench_site(measured: Measured) -> None:
    """Build the site, and the same pages with plain MkDocs Material."""
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
                str(config),
                "-d",
                f"{folder}/site",
            ]
            subprocess.run(
                command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )

        ours, theirs = alternated(3, lambda: build(ROOT / "mkdocs.yml"), lambda: build(bare))
    measured.pair(
        "site", "the site's build, both languages", "the same Markdown by plain MkDocs Material", ours, theirs
    )


def bench_weights(measured: Measured) -> None:
    """Open each page of the site in Chromium, cold: its bytes over the wire, and their share of the limit."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "-d", folder]
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        pages = page_weights.measured(Path(folder))
    for address, (kind, weight) in sorted(pages.items(), key=lambda page: page[1]):
        limit = page_weights.LIMITS[kind]
        measured.number(
            f"{kind} {address}", weight, f"bytes, {weight / limit:.2f} × the limit: {kind}, {address}"
        )


def bench_codex(measured: Measured) -> None:
    """Run ``codex exec`` on each route to an endpoint in each state, and exporting nothing."""
    with tempfile.TemporaryDirectory() as folder, running_scripted_model("tool call") as model:
        codex = IsolatedCodex(Path(folder, "codex"), model_url=model.base_url)

        def turn(config: str, environment: Mapping[str, str]) -> None:
            codex.write_config(config)
            run = codex.run_exec(environment=environment)
            if run.returncode:
                raise RuntimeError(run.stderr)

        def compare(name: str, what: str, config: str, rounds: int, **environment: str) -> None:
            ours, theirs = alternated(rounds, lambda: turn(config, environment), lambda: turn(OFF, {}))
            measured.pair(name, f"codex exec {what},", "exporting nothing", ours, theirs)

        for name, what, rounds, faults in DIRECT:
            with running_mock(faults=faults) as mock:
                config = ON.format(url=mock.url, authorization=AUTHORIZATION)
                compare(name, what, config, rounds)
        nobody = f"http://127.0.0.1:{free_port()}"
        dead = ON.format(url=nobody, authorization=AUTHORIZATION)
        compare("direct-dead", "direct, nobody listens", dead, 7)
        with running_mock(faults=(Fault(hang=True),)) as mock:
            config = ON.format(url=mock.url, authorization=AUTHORIZATION)
            what = "direct, Langfuse hangs, OTEL_EXPORTER_OTLP_TIMEOUT=1000"
            compare("direct-hangs-limit", what, config, 3, OTEL_EXPORTER_OTLP_TIMEOUT="1000")
        for name, what, faults in RELAYED:
            with (
                running_mock(faults=faults) as mock,
                relay_process(mock.url, Path(folder, name)) as (_, relay),
            ):
                compare(name, what, RELAY.format(url=relay), 7)


def bench_queue(measured: Measured) -> None:
    """Run a turn of 40 commands against a Langfuse that takes its time: how many spans does it get?"""
    with tempfile.TemporaryDirectory() as folder, running_scripted_model(BURST) as model:
        codex = IsolatedCodex(Path(folder), model_url=model.base_url)
        for name, seconds, environment in QUEUE:
            faults = (Fault(delay=seconds),) if seconds else ()
            with running_mock(faults=faults) as mock:
                codex.write_config(ON.format(url=mock.url, authorization=AUTHORIZATION))
                run = codex.run_exec(environment=environment)
                arrived = mock.store.observations
            if run.returncode:
                raise RuntimeError(run.stderr)
            settings = " ".join(f"{key}={value}" for key, value in environment.items())
            measured.number(name, len(arrived), f"spans arrived, answers after {seconds} s {settings}")
            turns = sum(each["name"] == "session_task.turn" for each in arrived)
            measured.number(f"{name}-turns", turns, "of them the turn's own")
            measured.number(f"{name}-ms", round(run.seconds * 1000), "ms, all of codex exec")


def bench_mock(measured: Measured) -> None:
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
    what = f"a request of {len(body):,} bytes to the mock"
    measured.pair("mock", what, "decoding these bytes", ours, theirs)


#: Of the benchmark of the relay.
TURNS, CONVERSATIONS = 200, 10_000


def bench_relay(measured: Measured) -> None:
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

    ours, theirs = alternated(TURNS, make, decode)
    what = "the relay's work on a turn, without network and disk"
    measured.pair("relay", what, "decoding its bytes", ours, theirs)
    measured.number("turns", round(1 / statistics.median(ours)), "turns a second on one core")
    mebibytes = _memory_of_open_conversations(CONVERSATIONS)
    measured.number("mebibytes", mebibytes, f"MiB resident with {CONVERSATIONS:,} conversations open")


def bench_collector(measured: Measured) -> None:
    """Replay a turn of 1, 100 and 1,000 users without a relay, with one, and with one before a Collector."""
    sent, spans = collector_benchmark.direct()
    measured.number("direct-bytes", sent, "bytes a turn on the direct route")
    measured.number("direct-observations", spans, "observations a turn on the direct route")
    for users in collector_benchmark.USERS:
        for route in collector_benchmark.ROUTES:
            cost = collector_benchmark.measure(route, users)
            name, who = f"{route}-{users}", f"a turn, {route}, {users:,} users"
            measured.number(
                f"{name}-relay-us", round(cost.relay / cost.turns * 1e6), f"µs of the relay {who}"
            )
            measured.number(
                f"{name}-collector-us", round(cost.collector / cost.turns * 1e6), f"µs of the Collector {who}"
            )
            measured.number(f"{name}-bytes", round(cost.bytes / cost.turns), f"bytes to Langfuse {who}")
            measured.number(
                f"{name}-observations", round(cost.observations / cost.turns), f"observations {who}"
            )
            measured.number(f"{name}-ms", round(cost.seconds * 1000), f"ms for all {who}")


def bench_faults(measured: Measured) -> None:
    """Let each fault befall each configuration of a Collector: what was acknowledged, and what of it is lost.

    The configurations run side by side, five turns a second each, but as many as go while a Collector is
    killed.
    """
    for fault, (happen, kinds) in collector_faults.FAULTS.items():
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
            pause = 0.2 if fault in ("down", "key", "error") else 0.0
            rigs = [collector_faults.Rig(Path(folder, kind), kind, pause=pause) for kind in kinds]
            for kind, found in zip(kinds, pool.map(happen, rigs), strict=True):
                name, where = f"{fault}-{kind}", f"{fault}, {kind}"
                measured.number(f"{name}-acknowledged", found.acknowledged, f"turns acknowledged: {where}")
                measured.number(f"{name}-refused", found.refused, f"turns refused: {where}")
                measured.number(f"{name}-lost", found.lost, f"turns acknowledged and lost: {where}")
                failed = int(found.metrics[collector_faults.SENT_FAILED])
                measured.number(
                    f"{name}-failed", failed, f"spans that the Collector counts as failed: {where}"
                )


#: Of the benchmark of turns whose closing span never comes.
RUNS = 100


def bench_closing(measured: Measured) -> None:
    """Run `codex exec` as people do, to a Collector with shape.yaml: how often are the tokens missing?"""
    with tempfile.TemporaryDirectory() as name, running_scripted_model("tool call") as model:
        folder = Path(name)
        codex = IsolatedCodex(folder / "codex", model_url=model.base_url)
        haste = folder / "haste.yaml"
        haste.write_text(IN_HASTE.format(exporter="otlp_http/langfuse"), encoding="utf-8")
        with running_mock() as langfuse:
            environment = langfuse_environment(langfuse)
            with running_collector(folder, "shape.yaml", haste, environment=environment) as collector:
                codex.write_config(COLLECTOR.format(url=collector.url))
                for _ in range(RUNS):
                    run = codex.run_exec()
                    if run.returncode:
                        raise RuntimeError(run.stderr)
                collector.stop()
            shown = [{each["type"] for each in trace} for trace in langfuse.store.traces.values()]
    measured.number("runs", RUNS, "runs of codex exec")
    measured.number("turns", sum("AGENT" in types for types in shown), "turns in Langfuse")
    measured.number("tokens", sum("GENERATION" in types for types in shown), "of them with their tokens")


def _memory_of_open_conversations(count: int) -> int:
    """Return the MiB that a process holds while ``count`` conversations are open."""
    program = (
        "import resource, benchmarks;"
        f"benchmarks.open_conversations({count});"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    here = Path(__file__).parent
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=here, capture_output=True, text=True, check=True
    )
    return int(run.stdout)


def open_conversations(count: int) -> Assembly:
    """Return an assembly in which ``count`` conversations are open: the recorded one, under other ids."""
    logs = next(body for signal, body in _recorded_bodies() if signal == "logs")
    (known, *_) = re.findall(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", logs)
    assembly = Assembly(Policy())
    for number in range(count):
        other = f"{number:08x}".encode() + known[8:]
        assembly.take(number, parse("logs", logs.replace(known, other)), 0.0)
    return assembly


def _recorded_bodies() -> list[tuple[Signal, bytes]]:
    requests = recordings.read(RECORDING)
    signals: tuple[Signal, ...] = ("logs", "traces")
    return [(each, request.body) for request in requests for each in signals if request.signal == each]


def _recorded_request() -> bytes:
    return max(recordings.bodies(RECORDING, "traces"), key=len)


@contextlib.contextmanager
def _mock_process() -> Iterator[str]:
    """A mock in its own process, so that it does not share this one's lock."""
    command = [sys.executable, "-m", "codex_langfuse", "mock", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield next(word for word in process.stdout.readline().split() if word.startswith("http://"))
    finally:
        process.terminate()
        process.wait()


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if abs(value) >= 1 else f"{value * 1000:.1f} ms"


BENCHMARKS = {
    "site": bench_site,
    "weights": bench_weights,
    "codex": bench_codex,
    "queue": bench_queue,
    "mock": bench_mock,
    "relay": bench_relay,
    "collector": bench_collector,
    "faults": bench_faults,
    "closing": bench_closing,
}


def main() -> None:
    """Run the benchmarks named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="|".join(BENCHMARKS))
    parser.add_argument("--attacks", action="store_true", help="attack a relay instead")
    parser.add_argument("--save", action="store_true", help="keep what was measured")
    parser.add_argument(
        "--file",
        type=Path,
        default=bench_results.FILE,
        help="where to keep it",
    )
    arguments = parser.parse_args()
    if arguments.attacks:
        sys.exit(0 if attacks.run() else 1)
    names = arguments.names or list(BENCHMARKS)
    if len(names) > 1:
        _each_in_a_process_of_its_own(names)
        return
    measured = Measured()
    BENCHMARKS[names[0]](measured)
    if arguments.save:
        bench_results.save(arguments.file, names[0], measured.pairs, measured.numbers)


def _each_in_a_process_of_its_own(names: list[str]) -> None:
    """Run this program once for each name: what one benchmark leaves in memory must not slow the next."""
    options = [word for word in sys.argv[1:] if word not in names]
    for name in names:
        run = subprocess.run([sys.executable, __file__, name, *options], check=False)
        if run.returncode:
            sys.exit(run.returncode)


if __name__ == "__main__":
    main()
