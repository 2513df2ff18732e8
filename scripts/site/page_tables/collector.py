"""What the routes over OpenTelemetry cost and lose, from what ``scripts/bench --save`` measured."""

from collections import Counter
from collections.abc import Mapping

import bench_results
from bar_plot import Bar, Row, bar_plot, picture
from page_tables import comparison
from page_tables.comparison import MISSED, RUNS
from page_tables.markdown import table, words_of
from page_tables.performance import conditions

_TEXTS = words_of(__file__)
_ROUTES = _TEXTS["routes"]
_RUN = ("shape", "relay", "carry")

#: What the arithmetic assumes of a user.
TURNS_A_DAY, DAYS_A_MONTH, SHARE_OF_BUSIEST_HOUR = 50, 20, 0.2

_MEASURED = (1, 100, 1000)
_LAST = _MEASURED[-1]
_MONTH, _PEOPLE = TURNS_A_DAY * DAYS_A_MONTH, 500
_FLEETS = (100, 1_000, 10_000)


def turn(language: str) -> str:
    """Return what a turn costs on each route, with 1, 100 and 1,000 users at once."""
    measured = bench_results.read()["collector"]
    numbers = measured.numbers
    sent = [f"{numbers['direct-bytes']:,}", f"{numbers['direct-observations']}"]
    rows = [[_ROUTES["direct"][language], "–", "–", *sent]]
    for route in _RUN:
        times = (
            " / ".join(f"{numbers[f'{route}-{users}-{part}-us'] / 1000:.1f}" for users in _MEASURED)
            for part in ("relay", "collector")
        )
        shown = ["–" if set(each) <= set("0. /") else each for each in times]
        sent = [f"{numbers[f'{route}-{_LAST}-bytes']:,}", f"{numbers[f'{route}-{_LAST}-observations']}"]
        rows.append([_ROUTES[route][language], *shown, *sent])
    return table(_TEXTS["turn_head"][language], rows) + "\n" + conditions(measured, language)


def fleet(language: str) -> str:
    """Return what that is for 100, 1,000 and 10,000 users, and how it is computed."""
    numbers = bench_results.read()["collector"].numbers
    kept = [numbers[f"{each}-observations"] for each in ("direct", f"shape-{_LAST}", f"relay-{_LAST}")]
    rows = []
    for users in _FLEETS:
        turns = users * TURNS_A_DAY
        busiest = turns * SHARE_OF_BUSIEST_HOUR / 3600
        cores = [busiest * numbers[f"{route}-{_LAST}-collector-us"] / 1e6 for route in ("shape", "carry")]
        rows.append(
            [
                f"{users:,}",
                f"{turns:,}",
                *(f"{turns * DAYS_A_MONTH * each:,}" for each in kept),
                *(f"{each:.2g}" for each in cores),
            ]
        )
    example = _TEXTS["arithmetic"][language].format(
        users=users,
        day=TURNS_A_DAY,
        share=SHARE_OF_BUSIEST_HOUR,
        rate=busiest,
        ms=numbers[f"shape-{_LAST}-collector-us"] / 1000,
        cores=cores[0],
        received=busiest * numbers["direct-bytes"] / 1e6,
        sent=busiest * numbers[f"shape-{_LAST}-bytes"] / 1e6,
    )
    return f"{table(_TEXTS['fleet_head'][language], rows)}\n{example}\n"


def _cost_rows(language: str) -> list[Row]:
    numbers = bench_results.read()["collector"].numbers
    rows = []
    for route in _RUN:
        spent = {part: numbers[f"{route}-{_LAST}-{part}-us"] / 1000 for part in ("relay", "collector")}
        bars = [
            Bar(
                "relay" if part == "relay" else "direct",
                each,
                f"{_TEXTS['plot_parts'][language][part]} {each:.1f} ms",
            )
            for part, each in spent.items()
            if each
        ]
        rows.append(Row(_ROUTES[route][language], bars))
    return rows


def cost_plot(language: str) -> str:
    """Return the drawing of the processor time of a turn, by route and machine."""
    return bar_plot(_TEXTS["plot"][language], _cost_rows(language), language)


def _cost_picture(language: str) -> str:
    return picture("plot-collector", _TEXTS["plot"][language], _cost_rows(language), language)


def team_cost(language: str) -> str:
    """Return what the recorded turn is in Langfuse Cloud's units for 500 people in a month."""
    shaped = bench_results.read()["collector"].numbers[f"shape-{_LAST}-observations"]
    direct, relay = comparison.directly(), comparison.by_relay()
    turns = {
        _ROUTES["direct"][language]: (len(direct.observations), direct.traces),
        _ROUTES["shape"][language]: (shaped, 1),
        f"{_ROUTES['relay'][language]} / {_ROUTES['carry'][language]}": (
            len(relay.observations),
            relay.traces,
        ),
    }
    rows = []
    for route, (observations, count) in turns.items():
        units = observations + count
        shown = _TEXTS["cost_turn"][language].format(
            units=units, observations=observations, count=count, traces="trace" if count == 1 else "traces"
        )
        rows.append([route, shown, f"{units * _MONTH:,}", f"{units * _MONTH * _PEOPLE:,}"])
    head = [each.format(month=_MONTH, people=_PEOPLE) for each in _TEXTS["cost_head"][language]]
    return table(head, rows)


def missing(language: str) -> str:
    """Return how often shape.yaml shows a turn without its tokens, and how often the tokens are right."""
    measured = bench_results.read()["closing"]
    said = _TEXTS["missing"][language].format(
        **measured.numbers, recordings=RUNS, right=RUNS - len(MISSED), **Counter(MISSED.values())
    )
    return f"{said}\n\n{conditions(measured, language)}"


def faults(language: str) -> str:
    """Return what was acknowledged, refused and lost when something failed."""
    measured = bench_results.read()["faults"]
    rows = []
    for fault, words in _TEXTS["faults"].items():
        happened, seen = words[language]
        cells = (_losses(measured.numbers, f"{fault}-{kind}") for kind in ("shape", "carry", "queue"))
        rows.append([happened, *cells, seen])
    return table(_TEXTS["faults_head"][language], rows) + "\n" + conditions(measured, language)


def _losses(numbers: Mapping[str, int], run: str) -> str:
    if f"{run}-lost" not in numbers:
        return "–"
    acknowledged, refused, lost = (
        f"{numbers[f'{run}-{what}']:,}" for what in ("acknowledged", "refused", "lost")
    )
    return f"{acknowledged} / {refused} / {lost if lost == '0' else f'**{lost}**'}"


TABLES = {
    "team-cost": team_cost,
    "collector-turn": turn,
    "collector-fleet": fleet,
    "collector-plot": _cost_picture,
    "collector-missing": missing,
    "collector-faults": faults,
}
