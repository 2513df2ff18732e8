"""Tables of what ``scripts/bench --save`` measured, from ``scripts/site/bench-results.toml``."""

import bench_results
import page_weights
from bar_plot import Bar, Row, bar_plot, picture
from bench_results import Benchmark
from page_tables.markdown import table, words_of

_TEXTS = words_of(__file__)

_ROUTES = _TEXTS["routes"]
_QUEUE = _TEXTS["queue"]
_TOOLS = _TEXTS["tools"]


def delay(language: str) -> str:
    """Return how long ``codex exec`` takes on each route, and what that is more than without export."""
    head = _TEXTS["delay_head"][language]
    measured = bench_results.read()["codex"]
    rows = [
        [
            _ROUTES[name][language],
            _time(pair.seconds),
            _time(pair.against),
            _time(pair.difference, signed=True),
            str(pair.rounds),
        ]
        for name in _ROUTES
        for pair in [measured.pairs[name]]
    ]
    return table(head, rows) + "\n" + conditions(measured, language)


def _delay_rows(language: str) -> list[Row]:
    pairs = bench_results.read()["codex"].pairs
    return [
        Row(
            words[language].replace("`", ""),
            [Bar(name.partition("-")[0], pairs[name].difference, _time(pairs[name].difference, signed=True))],
        )
        for name, words in _ROUTES.items()
    ]


def delay_plot(language: str) -> str:
    """Return the drawing of how much longer ``codex exec`` takes, by what Langfuse does."""
    return bar_plot(_TEXTS["delay_plot"][language], _delay_rows(language), language)


def _delay_picture(language: str) -> str:
    return picture("plot-delay", _TEXTS["delay_plot"][language], _delay_rows(language), language)


def queue(language: str) -> str:
    """Return how many spans of a burst arrive at a Langfuse that takes its time."""
    head = _TEXTS["queue_head"][language]
    arrived = _TEXTS["queue_arrived"][language]
    measured = bench_results.read()["queue"]
    rows = [
        [
            words[language],
            f"{measured.numbers[name]:,}",
            arrived[min(measured.numbers[f"{name}-turns"], 1)],
            _time(measured.numbers[f"{name}-ms"] / 1000),
        ]
        for name, words in _QUEUE.items()
    ]
    return table(head, rows) + "\n" + conditions(measured, language)


def relay(language: str) -> str:
    """Return what the relay can do on one core."""
    head = _TEXTS["relay_head"][language]
    words = _TEXTS["relay_words"][language]
    measured = bench_results.read()["relay"]
    values = [f"{measured.numbers['turns']:,}", f"{measured.numbers['mebibytes']} MiB"]
    rows = [list(row) for row in zip(words, values, strict=True)]
    return table(head, rows) + "\n" + conditions(measured, language)


def tools(language: str) -> str:
    """Return the ratios that the project's own tools are held to."""
    head = _TEXTS["tools_head"][language]
    measured = bench_results.read()
    rows = [
        [
            *words[language].split(" | "),
            f"{measured[name].pairs[name].ratio:.2f} ×",
            measured[name].date.isoformat(),
        ]
        for name, words in _TOOLS.items()
    ]
    return table(head, rows)


def weights(language: str) -> str:
    """Return the heaviest page of each kind, and the limit of that kind."""
    numbers = bench_results.read()["weights"].numbers
    rows = []
    for kind, limit in page_weights.LIMITS.items():
        name, weight = max(
            ((name, weight) for name, weight in numbers.items() if name.partition(" ")[0] == kind),
            key=lambda page: page[1],
        )
        address = f"`/{name.partition(' ')[2].removeprefix('.')}`"
        rows.append([_TEXTS["weights"][kind][language], address, _kilobytes(weight), _kilobytes(limit)])
    return table(_TEXTS["weights_head"][language], rows)


def _kilobytes(value: int) -> str:
    return f"{value / 1000:.0f} KB"


def conditions(measured: Benchmark, language: str) -> str:
    """Return the sentence that says when and on what a table was measured."""
    where = f"{measured.machine}, Python {measured.python}, Codex {measured.codex}"
    texts = _TEXTS["conditions"]
    return str(texts[language]).format(
        date=measured.date.isoformat(), where=where.replace(", ", texts[f"{language}_comma"])
    )


def _time(seconds: float, *, signed: bool = False) -> str:
    sign = ("+" if seconds >= 0 else "−") if signed else ""
    size = abs(seconds)
    return f"{sign}{size:.1f} s" if size >= 1 else f"{sign}{size * 1000:.0f} ms"


TABLES = {
    "plot-delay": _delay_picture,
    "bench-delay": delay,
    "bench-queue": queue,
    "bench-relay": relay,
    "bench-tools": tools,
    "bench-weights": weights,
}
