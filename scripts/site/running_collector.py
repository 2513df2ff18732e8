"""A real OpenTelemetry Collector with one of the configurations in ``examples/collector/``."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import trustme

from codex_langfuse.keys.credentials import basic_authorization
from codex_langfuse.mock.server import RunningMock

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATIONS = ROOT / "examples/collector"
#: What relays show a Collector with carry.yaml.
TOKEN = "token-of-a-relay"
#: Does at once what shape.yaml and queue.yaml do within seconds.
IN_HASTE = """\
exporters:
  {exporter}:
    retry_on_failure: {{ initial_interval: 100ms, max_interval: 300ms }}
    sending_queue: {{ batch: {{ flush_timeout: 50ms }} }}
"""
_SECONDS_TO_START = 60


class NoCollectorError(Exception):
    """There is no Collector, and no Go to build one."""


def find_collector() -> str:
    """Return the path of a Collector, built if need be.

    Raises:
        NoCollectorError: there is neither a Collector nor Go.
        RuntimeError: it could not be built.
    """
    run = subprocess.run([ROOT / "scripts/collector"], capture_output=True, text=True)
    if run.returncode == 3:
        raise NoCollectorError(run.stderr.strip())
    if run.returncode:
        raise RuntimeError(run.stderr)
    return run.stdout.strip()


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return different ports of loopback that nobody listens on."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(listener.getsockname()[1]) for listener in listeners]


def langfuse_environment(langfuse: RunningMock) -> dict[str, str]:
    """Return the variables by which a configuration finds a mock Langfuse."""
    authorization = basic_authorization(langfuse.public_key, langfuse.secret_key)
    return {"LANGFUSE_BASE_URL": langfuse.url, "LANGFUSE_AUTH": authorization.removeprefix("Basic ")}


@dataclass
class RunningCollector:
    """A Collector that takes exports at ``url``; ``log`` is what it printed so far."""

    url: str
    metrics_url: str
    log_file: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        """Return what it printed so far."""
        return self.log_file.read_text(encoding="utf-8")

    def metric(self, name: str) -> float:
        """Return the sum of a metric of its own over all labels, 0 where it has none."""
        lines = httpx.get(self.metrics_url, trust_env=False, timeout=60).text.splitlines()
        series = [line for line in lines if line.startswith((name + "{", name + " "))]
        return sum(float(line.rpartition(" ")[2]) for line in series)

    def stop(self) -> None:
        """End it as a service manager does; it delivers what it can."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.kill()
        self.process.wait(30)


@contextlib.contextmanager
def running_collector(
    folder: Path, *configurations: str | Path, environment: Mapping[str, str], scheme: str = "http"
) -> Iterator[RunningCollector]:
    """Run a Collector whose queue and log are in ``folder``; files are named as in ``examples/collector``."""
    folder.mkdir(parents=True, exist_ok=True)
    port, health, metrics = free_ports(3)
    variables = {
        "PATH": os.environ["PATH"],
        "COLLECTOR_LISTEN": f"127.0.0.1:{port}",
        "COLLECTOR_HEALTH": f"127.0.0.1:{health}",
        "COLLECTOR_METRICS_PORT": str(metrics),
        "COLLECTOR_STATE": str(folder / "queue"),
        **environment,
    }
    command = [find_collector(), *(f"--config={CONFIGURATIONS / file}" for file in configurations)]
    log_file = folder / "collector.log"
    with log_file.open("ab") as log:
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
    collector = RunningCollector(
        f"{scheme}://127.0.0.1:{port}", f"http://127.0.0.1:{metrics}/metrics", log_file, process
    )
    try:
        _wait_until_ready(collector, f"http://127.0.0.1:{health}/")
        yield collector
    finally:
        if process.poll() is None:
            collector.stop()


def _wait_until_ready(collector: RunningCollector, health: str) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline and collector.process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(health, trust_env=False, timeout=60).status_code == 200:
                return
        time.sleep(0.02)
    raise RuntimeError(f"the Collector is not ready: {collector.log}")


class Carrier:
    """What a Collector with carry.yaml needs: its certificate, its senders' token, and Langfuse's keys."""

    def __init__(self, folder: Path, langfuse: RunningMock) -> None:
        """Write the files into ``folder``."""
        self.folder, self.secrets, self.authority = folder, folder / "secrets", folder / "ca.pem"
        self.secrets.mkdir(mode=0o700, parents=True)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.authority))
        certificate = authority.issue_cert("127.0.0.1")
        certificate.private_key_pem.write_to_path(str(self.secrets / "tls.key"))
        certificate.cert_chain_pems[0].write_to_path(str(self.secrets / "tls.crt"))
        (self.secrets / "senders").write_text(f"{TOKEN} # a relay\n")
        self.right = langfuse_environment(langfuse)["LANGFUSE_AUTH"]
        self.set_key("langfuse", self.right)
        self.set_key("payments", self.right)
        self.environment = {**langfuse_environment(langfuse), "COLLECTOR_SECRETS": str(self.secrets)}

    def set_key(self, project: str, key: str) -> None:
        """Change the key of a project, as a service that mounts secrets does: all at once."""
        new = self.secrets / f".{project}"
        new.write_text(key)
        new.rename(self.secrets / project)

    @contextlib.contextmanager
    def running(self, *files: str | Path) -> Iterator[RunningCollector]:
        """Run the Collector, with ``carry.yaml`` unless files are named."""
        files = files or ("carry.yaml",)
        with running_collector(
            self.folder, *files, environment=self.environment, scheme="https"
        ) as collector:
            yield collector
