"""The measurements of ``scripts/bench`` that are kept, in ``scripts/site/bench-results.toml``.

A benchmark has a table of its own there, with the day and the machine it was run on, so that one can be
run again without the others. Times are seconds.
"""

import datetime
import os
import platform
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import toml_rs

from hooks.tested_with import pinned_codex

FILE = Path(__file__).with_name("bench-results.toml")


@dataclass(frozen=True)
class Pair:
    """Two actions timed in turns: the medians in seconds, and the median of the differences in pairs."""

    seconds: float
    against: float
    difference: float
    rounds: int

    @property
    def ratio(self) -> float:
        """How many times as long the first takes."""
        return self.seconds / self.against


@dataclass(frozen=True)
class Benchmark:
    """What one benchmark measured, when, and on what; ``numbers`` are counts."""

    date: datetime.date
    machine: str
    python: str
    codex: str
    pairs: Mapping[str, Pair]
    numbers: Mapping[str, int]


def save(file: Path, name: str, pairs: Mapping[str, Pair], numbers: Mapping[str, int]) -> None:
    """Put what the benchmark ``name`` measured just now in place of what ``file`` had of it."""
    document: Any = toml_rs.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    document[name] = {
        "date": datetime.date.today(),
        "machine": machine(),
        "python": platform.python_version(),
        "codex": pinned_codex(),
        "numbers": dict(numbers),
        "pairs": {
            key: {
                "seconds": round(pair.seconds, 6),
                "against": round(pair.against, 6),
                "difference": round(pair.difference, 6),
                "rounds": pair.rounds,
            }
            for key, pair in pairs.items()
        },
    }
    file.write_text(f"# Written by: scripts/bench --save\n{toml_rs.dumps(document)}", encoding="utf-8")


def read(file: Path = FILE) -> dict[str, Benchmark]:
    """Return what ``file`` holds, by the names of the benchmarks."""
    kept = tomllib.loads(file.read_text(encoding="utf-8"))
    return {
        name: Benchmark(
            **{key: value for key, value in values.items() if key != "pairs"},
            pairs={key: Pair(**pair) for key, pair in values["pairs"].items()},
        )
        for name, values in kept.items()
    }


def machine() -> str:
    """Return what this machine is, in words: ``2 × AMD EPYC, Linux x86_64``."""
    return f"{os.cpu_count()} × {_processor()}, {platform.system()} {platform.machine()}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "processor of unknown make"
