"""A real OpenTelemetry Collector in a test, with one of the configurations in ``examples/collector/``."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import pytest

from codex_langfuse.keys.credentials import basic_authorization
from codex_langfuse.mock.server import RunningMock
from harness import web
from harness.fences.scanner import ROOT
from harness.private_authority import PrivateAuthority

CONFIGURATIONS = ROOT / "examples/collector"
_SECONDS_TO_START = 60
_VARIABLE = re.compile(r"\$\{env:(\w+)\}")


@cache
def find_collector() -> str:
    """Return the path of a Collector, built if need be; skip the test where neither it nor Go is there."""
    run = subprocess.run([ROOT / "scripts/collector"], capture_output=True, text=True)
    if run.returncode == 3:
        pytest.skip(run.stderr.strip())
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def complaint(*configurations: Path) -> str:
    """Return what ``otelcol validate`` says of files that are used together; nothing when all is well."""
    names = {name for file in configurations for name in _VARIABLE.findall(file.read_text(encoding="utf-8"))}
    command = [find_collector(), "validate", *(f"--config={file}" for file in configurations)]
    run = subprocess.run(command, env=dict.fromkeys(names, "/tmp"), capture_output=True, text=True)
    return run.stdout + run.stderr + ("" if run.returncode == 0 else f"exit status {run.returncode}")


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


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
    process: subprocess.Popen

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    def metric(self, name: str) -> float:
        """Return the sum of a metric of its own over all labels, 0 where it has none."""
        lines = web.get(self.metrics_url, trust_env=False).text.splitlines()
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
    port, health, metrics = free_port(), free_port(), free_port()
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
    while time.monotonic() < deadline:
        assert collector.process.poll() is None, collector.log
        with contextlib.suppress(httpx.TransportError):
            if web.get(health, trust_env=False).status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError(f"not ready: {collector.log}")


#: What relays show a Collector with carry.yaml.
TOKEN = "token-of-a-relay"


class Carrier:
    """What a Collector with carry.yaml needs: its certificate, its senders' token, and Langfuse's keys."""

    def __init__(self, folder: Path, langfuse: RunningMock) -> None:
        self.folder, self.secrets = folder, folder / "secrets"
        authority = PrivateAuthority()
        authority.hand_out(folder / "authority")
        self.secrets.mkdir()
        authority.certify("127.0.0.1", self.secrets)
        (self.secrets / "server.pem").rename(self.secrets / "tls.crt")
        (self.secrets / "server.key").rename(self.secrets / "tls.key")
        (self.secrets / "senders").write_text(f"{TOKEN} # a relay\n")
        self.right = langfuse_environment(langfuse)["LANGFUSE_AUTH"]
        self.set_key("langfuse", self.right)
        self.set_key("payments", self.right)
        self.environment = {**langfuse_environment(langfuse), "COLLECTOR_SECRETS": str(self.secrets)}
        self.authority = folder / "authority/ca.pem"

    def set_key(self, project: str, key: str) -> None:
        """Change the key of a project, as a service that mounts secrets does: all at once."""
        new = self.secrets / f".{project}"
        new.write_text(key)
        new.rename(self.secrets / project)

    @contextlib.contextmanager
    def running(self, file: str | Path = "carry.yaml") -> Iterator[RunningCollector]:
        with running_collector(self.folder, file, environment=self.environment, scheme="https") as collector:
            yield collector
