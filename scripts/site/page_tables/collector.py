"""What the routes over OpenTelemetry cost, from what ``scripts/bench collector --save`` measured."""

import bench_results
from page_tables import comparison
from page_tables.markdown import table
from page_tables.performance import conditions

#: What the arithmetic assumes of a user.
TURNS_A_DAY, DAYS_A_MONTH, SHARE_OF_BUSIEST_HOUR = 50, 20, 0.2

_MEASURED = (1, 100, 1000)
_MONTH, _PEOPLE = TURNS_A_DAY * DAYS_A_MONTH, 500
_FLEETS = (100, 1_000, 10_000)
_ROUTES = {
    "shape": {"en": "Collector only", "zh": "只有采集器"},
    "relay": {"en": "Relay", "zh": "中继"},
    "carry": {"en": "Relay and Collector", "zh": "中继加采集器"},
}
_DIRECT = {"en": "Direct", "zh": "直连"}


def turn(language: str) -> str:
    """Return what a turn costs on each route, with 1, 100 and 1,000 users at once."""
    head = {
        "en": ["Route", "Relay, ms", "Collector, ms", "Bytes to Langfuse", "Observations"],
        "zh": ["路线", "中继，ms", "采集器，ms", "发给 Langfuse 的字节", "observation"],
    }[language]
    measured = bench_results.read()["collector"]
    numbers = measured.numbers
    direct = [
        _DIRECT[language],
        "–",
        "–",
        f"{numbers['direct-bytes']:,}",
        f"{numbers['direct-observations']}",
    ]
    rows = [direct]
    for route, words in _ROUTES.items():
        times = (
            " / ".join(f"{numbers[f'{route}-{users}-{part}-us'] / 1000:.1f}" for users in _MEASURED)
            for part in ("relay", "collector")
        )
        shown = ["–" if set(each) <= set("0. /") else each for each in times]
        last = f"{route}-{_MEASURED[-1]}"
        rows.append(
            [words[language], *shown, f"{numbers[f'{last}-bytes']:,}", f"{numbers[f'{last}-observations']}"]
        )
    return table(head, rows) + "\n" + conditions(measured, language)


def fleet(language: str) -> str:
    """Return what that is for 100, 1,000 and 10,000 users."""
    head = {
        "en": [
            "Users",
            "Turns a day",
            "Observations a month: direct",
            "Collector only",
            "Relay",
            "Cores: Collector only",
            "Relay and Collector",
        ],
        "zh": [
            "用户",
            "每天轮次",
            "每月 observation：直连",
            "只有采集器",
            "中继",
            "核数：只有采集器",
            "中继加采集器",
        ],
    }[language]
    numbers = bench_results.read()["collector"].numbers
    last = _MEASURED[-1]
    rows = []
    for users in _FLEETS:
        turns = users * TURNS_A_DAY
        kept = [
            numbers["direct-observations"],
            numbers[f"shape-{last}-observations"],
            numbers[f"relay-{last}-observations"],
        ]
        busiest = turns * SHARE_OF_BUSIEST_HOUR / 3600
        cores = (busiest * numbers[f"{route}-{last}-collector-us"] / 1e6 for route in ("shape", "carry"))
        rows.append(
            [
                f"{users:,}",
                f"{turns:,}",
                *(f"{turns * DAYS_A_MONTH * each:,}" for each in kept),
                *(f"{each:.2g}" for each in cores),
            ]
        )
    return table(head, rows)


def plot(language: str) -> str:
    """Return a chart of the processor time of a turn, by route."""
    words = {
        "en": (
            "Processor time of a turn",
            "Bars: milliseconds of processor time a turn, by route, with 1,000 users.",
            "ms",
        ),
        "zh": (
            "一个轮次的处理器时间",
            "柱形：1,000 个用户时，各条路线每个轮次的处理器时间，单位毫秒。",
            "ms",
        ),
    }[language]
    numbers = bench_results.read()["collector"].numbers
    last = _MEASURED[-1]
    bars = [
        sum(numbers[f"{route}-{last}-{part}-us"] for part in ("relay", "collector")) / 1000
        for route in _ROUTES
    ]
    names = ", ".join(f'"{each[language]}"' for each in _ROUTES.values())
    return (
        "```mermaid\nxychart\n"
        f"    accTitle: {words[0]}\n    accDescr: {words[1]}\n"
        f'    title "{words[0]}"\n    x-axis [{names}]\n    y-axis "{words[2]}" 0 --> {max(bars) * 1.2:.0f}\n'
        f"    bar [{', '.join(f'{each:.1f}' for each in bars)}]\n```\n"
    )


def team_cost(language: str) -> str:
    """Return what the recorded turn is in Langfuse Cloud's units for 500 people in a month."""
    head, traces = {
        "en": (
            ["Route", "A turn", f"A person a month ({_MONTH:,} turns)", f"{_PEOPLE} people a month"],
            "{} = {:,} observations + {} {}",
        ),
        "zh": (
            ["路线", "一个轮次", f"每人每月（{_MONTH:,} 个轮次）", f"{_PEOPLE} 人每月"],
            "{} = {:,} 个 observation + {} 个 trace",
        ),
    }[language]
    shaped = bench_results.read()["collector"].numbers[f"shape-{_MEASURED[-1]}-observations"]
    direct, relay = comparison.directly(), comparison.by_relay()
    turns = {
        _DIRECT[language]: (len(direct.observations), direct.traces),
        _ROUTES["shape"][language]: (shaped, 1),
        f"{_ROUTES['relay'][language]} / {_ROUTES['carry'][language]}": (
            len(relay.observations),
            relay.traces,
        ),
    }
    rows = []
    for route, (observations, count) in turns.items():
        units = observations + count
        shown = traces.format(units, observations, count, "trace" if count == 1 else "traces")
        rows.append([route, shown, f"{units * _MONTH:,}", f"{units * _MONTH * _PEOPLE:,}"])
    return table(head, rows)


TABLES = {"team-cost": team_cost, "collector-turn": turn, "collector-fleet": fleet, "collector-plot": plot}
