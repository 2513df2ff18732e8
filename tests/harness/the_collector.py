"""The real OpenTelemetry Collector in a test: where it is, and what it says of configurations."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

import running_collector

_VARIABLE = re.compile(r"\$\{env:(\w+)\}")


@cache
def find_collector() -> str:
    """Return the path of a Collector, built if need be; skip the test where neither it nor Go is there."""
    try:
        return running_collector.find_collector()
    except running_collector.NoCollectorError as missing:
        pytest.skip(str(missing))


def complaint(*configurations: Path) -> str:
    """Return what ``otelcol validate`` says of files that are used together; nothing when all is well."""
    names = {name for file in configurations for name in _VARIABLE.findall(file.read_text(encoding="utf-8"))}
    command = [find_collector(), "validate", *(f"--config={file}" for file in configurations)]
    run = subprocess.run(command, env=dict.fromkeys(names, "/tmp"), capture_output=True, text=True)
    return run.stdout + run.stderr + ("" if run.returncode == 0 else f"exit status {run.returncode}")
