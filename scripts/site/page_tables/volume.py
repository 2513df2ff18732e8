"""How many observations a turn leaves in Langfuse, counted in recordings and in what the bench measured."""

from functools import cache

import bench_results
import recordings
from bar_plot import Bar, Row, bar_plot, picture
from codex_langfuse.exports import Span, spans_in
from codex_langfuse.relay.policy import Policy
from page_tables.markdown import table, words_of
from relay_documented import relayed

_TEXTS = words_of(__file__)

# The oldest Codex that is recommended, one between, and the newest recorded ones.
_VERSIONS = ("0.130.0", "0.150.0", "0.163.0", "0.171.0")


def volume(language: str) -> str:
    """Return the observations and traces of the same turn on both routes, and what Langfuse Cloud counts."""
    head = _TEXTS["volume_head"][language]
    rows = [
        [f"Codex {version}", *(_counted(spans, language) for spans in _both_routes(version))]
        for version in _VERSIONS
    ]
    return table(head, rows)


def _volume_rows(language: str) -> list[Row]:
    routes = _TEXTS["volume_plot_routes"][language]
    return [
        Row(
            f"Codex {version}",
            [
                Bar(route, len(spans), f"{words} {len(spans)}")
                for (route, words), spans in zip(routes.items(), _both_routes(version), strict=True)
            ],
        )
        for version in _VERSIONS
    ]


def volume_plot(language: str) -> str:
    """Return the drawing of the observations of the same turn, by version and route."""
    return bar_plot(_TEXTS["volume_plot"][language], _volume_rows(language), language)


def _volume_picture(language: str) -> str:
    return picture("plot-volume", _TEXTS["volume_plot"][language], _volume_rows(language), language)


def burst(language: str) -> str:
    """Return the sentence about a turn of many commands, from the benchmark ``queue``."""
    spans = bench_results.read()["queue"].numbers["at-once"]
    each = round(spans / 40, -1)
    return f"{_TEXTS['burst'][language].format(spans=spans, each=each)}\n"


@cache
def _both_routes(version: str) -> tuple[list[Span], list[Span]]:
    name = recordings.simple_turns()[version]
    direct = spans_in(recordings.bodies(name, "traces"))
    messages = [request.message for request in recordings.read(name) if request.signal != "metrics"]
    return direct, spans_in(relayed(messages, Policy()))


def _counted(spans: list[Span], language: str) -> str:
    traces = len({span.trace_id for span in spans})
    words = _TEXTS["counted" if traces == 1 else "counted_more"][language]
    return str(words.format(observations=len(spans), traces=traces))


def recorded_turns(language: str) -> str:
    """Return spans and traces of the turn of each version, and whether spans have tool output and tokens."""
    head, yes, no = _TEXTS["recorded_turns_codex"][language]
    rows = []
    for codex, name in recordings.simple_turns().items():
        spans = spans_in(recordings.bodies(name, "traces"))
        text = repr(spans)
        output = f"**{yes}**" if "hello-from-tool" in text else no
        tokens = yes if "gen_ai.usage.input_tokens" in text else no
        traces = len({span.trace_id for span in spans})
        rows.append([codex, str(len(spans)), str(traces), *((output, tokens) if spans else ("–", "–"))])
    return table(head, rows)


TABLES = {"plot-volume": _volume_picture, "volume": volume, "burst": burst, "recorded-turns": recorded_turns}
