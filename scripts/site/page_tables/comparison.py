"""The table of the five routes, from ``comparison.toml`` and the recorded turn of Codex 0.163.0."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import recordings
from codex_langfuse.codex import versions
from codex_langfuse.mock.langfuse.observations import observations_of
from codex_langfuse.mock.langfuse.otlp import parse_protobuf
from page_tables.markdown import table
from relayed_recordings import batches, relay

_FILE = Path(__file__).with_name("comparison.toml")

#: One ``codex exec`` turn with one command and two model calls.
TURN = "0.163.0-simple"

ROUTES = ("direct", "relay", "collector", "plugin", "gateway")

_HEAD = {
    "en": ["", "Direct", "Relay", "Collector", "Plugin", "AI Gateway (beta)"],
    "zh": ["", "直连", "中继", "采集器", "插件", "AI Gateway（beta）"],
}


@dataclass(frozen=True)
class Arrived:
    """What became of the recorded turn in Langfuse, on one route."""

    observations: list[dict[str, Any]]

    @property
    def traces(self) -> int:
        """How many traces it is."""
        return len({each["traceId"] for each in self.observations})


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
    """Return the rows of the file: ``id``, ``aspect`` and a cell for each of ``ROUTES``, by language."""
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))["row"]


def routes(language: str) -> str:
    """Return the table."""
    counted = _counted()
    return table(
        _HEAD[language],
        (
            [
                f"**{row['aspect'][language]}**",
                *(row[route][language].format_map(counted) for route in ROUTES),
            ]
            for row in rows()
        ),
    )


def _counted() -> Mapping[str, object]:
    direct, relayed = directly(), by_relay()
    return {
        "direct_observations": len(direct.observations),
        "direct_traces": direct.traces,
        "relay_observations": len(relayed.observations),
        "relay_traces": relayed.traces,
        "direct_first": versions.OTEL_KEYS["trace_exporter"],
        "relay_first": versions.FIRST_WITH_OTEL,
        "clean": versions.LEAKS_CONTENT[1],
    }


TABLES: dict[str, Callable[[str], str]] = {"comparison-routes": routes}
