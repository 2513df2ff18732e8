"""The tables of the routes, from ``comparison.toml`` and the recorded turn of the pinned Codex."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import bench_results
import recordings
from codex_langfuse.codex import versions
from codex_langfuse.mock.langfuse.observations import observations_of
from codex_langfuse.mock.langfuse.otlp import parse_protobuf
from page_tables.markdown import table, words_of
from relayed_recordings import batches, relay

_FILE = Path(__file__).with_name("comparison.toml")

#: One ``codex exec`` turn with one command and two model calls.
TURN = "0.171.0-default"

#: Recordings of real use with traces, and those in which shape.yaml does not show the tokens that the model
#: charged, with the reason: tests/test_collector_shape.py runs all of them through a Collector.
RUNS = 55
MISSED = {
    "real-use/0.163.0-tui-interrupt": "interrupted",
    "real-use/0.171.0-appserver-interrupt-tool": "interrupted",
    "real-use/0.171.0-code-mode-interrupted": "interrupted",
    "real-use/0.171.0-subagents-nested": "interrupted",
    "real-use/0.163.0-ws-two-turns": "no_end",
    "real-use/0.171.0-code-mode-slow": "no_end",
    "real-use/0.171.0-caller-unsampled": "not_sampled",
    "real-use/0.171.0-odd-usage": "parts",
}

#: Over OpenTelemetry.
ROUTES = ("relay", "direct", "collector", "carry")
#: Langfuse's own.
OTHERS = ("plugin", "gateway")

_NAMES = words_of(__file__)["names"]


@dataclass(frozen=True)
class Arrived:
    """What became of the recorded turn in Langfuse, on one route."""

    observations: list[dict[str, Any]]

    @property
    def traces(self) -> int:
        """How many traces it is."""
        return len({each["traceId"] for each in self.observations})

    @property
    def tokens(self) -> int:
        """How many tokens Langfuse shows, of all kinds."""
        return sum(each["usageDetails"].get("total", 0) for each in self.observations)

    @property
    def generations(self) -> int:
        """How many observations Langfuse takes for model calls."""
        return sum(each["type"] == "GENERATION" for each in self.observations)


@cache
def directly(turn: str = TURN) -> Arrived:
    """Return what the direct route makes of a recorded turn."""
    bodies = recordings.bodies(turn, "traces")
    return Arrived(
        [
            each
            for body in bodies
            for each in observations_of(parse_protobuf(body), project_id="p", received=0)
        ]
    )


@cache
def by_relay(turn: str = TURN) -> Arrived:
    """Return what the relay makes of a recorded turn, with its own defaults."""
    return Arrived(list(relay(batches(turn)).observations))


def rows() -> list[dict[str, Any]]:
    """Return the rows of the file: ``id``, ``aspect`` and a cell for each route, by language."""
    rows: list[dict[str, Any]] = tomllib.loads(_FILE.read_text(encoding="utf-8"))["row"]
    return rows


def routes(language: str) -> str:
    """Return the table of the three choices; a Collector has two columns."""
    return _table(ROUTES, language)


def others(language: str) -> str:
    """Return the table of Langfuse's own routes."""
    return _table(OTHERS, language)


def _table(columns: tuple[str, ...], language: str) -> str:
    counted = _counted()
    return table(
        ["", *(_NAMES[column][language] for column in columns)],
        (
            [
                f"**{row['aspect'][language]}**",
                *(row[column][language].format_map(counted) for column in columns),
            ]
            for row in rows()
        ),
    )


def _counted() -> Mapping[str, object]:
    direct, relayed = directly(), by_relay()
    return {
        "shape_observations": bench_results.read()["collector"].numbers["shape-1-observations"],
        "direct_tokens": direct.tokens,
        "direct_generations": direct.generations,
        # The relay shows what was charged: tests/test_relay_real_use.py.
        "charged": relayed.tokens,
        "calls": relayed.generations,
        "shape_runs": RUNS,
        "shape_right": RUNS - len(MISSED),
        "runs": len(recordings.names("real-use/*")),
        "direct_observations": len(direct.observations),
        "direct_traces": direct.traces,
        "relay_observations": len(relayed.observations),
        "relay_traces": relayed.traces,
        "direct_first": versions.OTEL_KEYS["trace_exporter"],
        "relay_first": versions.FIRST_WITH_OTEL,
        "clean": versions.LEAKS_CONTENT[1],
    }


TABLES: dict[str, Callable[[str], str]] = {
    "comparison-routes": routes,
    "comparison-others": others,
}
