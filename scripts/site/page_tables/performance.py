"""Tables of what ``scripts/bench --save`` measured, from ``scripts/site/bench-results.toml``."""

import bench_results
from bench_results import Benchmark
from page_tables.markdown import table

_ROUTES = {
    "direct-answers": {"en": "Direct, Langfuse answers", "zh": "直连，Langfuse 正常应答"},
    "direct-refuses": {"en": "Direct, Langfuse refuses (401)", "zh": "直连，Langfuse 拒绝（401）"},
    "direct-dead": {"en": "Direct, nobody listens", "zh": "直连，端口无人监听"},
    "direct-slow": {"en": "Direct, Langfuse answers after 1 s", "zh": "直连，Langfuse 1 s 后才应答"},
    "direct-hangs": {"en": "Direct, Langfuse never answers", "zh": "直连，Langfuse 一直不应答"},
    "direct-hangs-limit": {
        "en": "The same, with `OTEL_EXPORTER_OTLP_TIMEOUT=1000`",
        "zh": "同上，设置 `OTEL_EXPORTER_OTLP_TIMEOUT=1000`",
    },
    "relay-answers": {"en": "Relay, Langfuse answers", "zh": "中继，Langfuse 正常应答"},
    "relay-hangs": {"en": "Relay, Langfuse never answers", "zh": "中继，Langfuse 一直不应答"},
}
_QUEUE = {
    "at-once": {"en": "at once", "zh": "立即"},
    "after-300-ms": {"en": "after 0.3 s", "zh": "0.3 s 后"},
    "after-1-s": {"en": "after 1 s", "zh": "1 s 后"},
    "after-3-s": {"en": "after 3 s", "zh": "3 s 后"},
    "after-1-s-queue": {
        "en": "after 1 s, `OTEL_BSP_MAX_QUEUE_SIZE=16384`",
        "zh": "1 s 后，`OTEL_BSP_MAX_QUEUE_SIZE=16384`",
    },
    "after-1-s-concurrent": {
        "en": "after 1 s, `OTEL_BSP_MAX_CONCURRENT_EXPORTS=4`",
        "zh": "1 s 后，`OTEL_BSP_MAX_CONCURRENT_EXPORTS=4`",
    },
}
_TOOLS = {
    "relay": {
        "en": "The relay's work on a turn | decoding its bytes",
        "zh": "中继处理一个轮次 | 只解码这些字节",
    },
    "mock": {
        "en": "A request to the mock over HTTP | decoding its bytes",
        "zh": "经 HTTP 向模拟服务发一个请求 | 只解码这些字节",
    },
    "site": {
        "en": "Building this site | the same Markdown by plain MkDocs Material",
        "zh": "构建本站 | 只用 MkDocs Material 构建同样的 Markdown",
    },
}


def delay(language: str) -> str:
    """Return how long ``codex exec`` takes on each route, and what that is more than without export."""
    head = {
        "en": ["Export", "`codex exec`", "Without export", "Difference", "Rounds"],
        "zh": ["导出方式", "`codex exec` 用时", "不导出", "相差", "测量次数"],
    }[language]
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


def queue(language: str) -> str:
    """Return how many spans of a burst arrive at a Langfuse that takes its time."""
    head = {
        "en": ["Langfuse answers", "Spans that arrived", "The turn's own span", "`codex exec`"],
        "zh": ["Langfuse 应答", "到达的 span", "轮次本身的 span", "`codex exec` 用时"],
    }[language]
    arrived = {"en": ["**lost**", "arrived"], "zh": ["**丢失**", "到达"]}[language]
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
    head = {"en": ["The relay", "Measured"], "zh": ["中继", "测得"]}[language]
    words = {
        "en": ["turns a second on one core", "memory with 10,000 conversations open"],
        "zh": ["单核每秒处理的轮次", "同时有 10,000 个对话未结束时的内存"],
    }[language]
    measured = bench_results.read()["relay"]
    values = [f"{measured.numbers['turns']:,}", f"{measured.numbers['mebibytes']} MiB"]
    rows = [list(row) for row in zip(words, values, strict=True)]
    return table(head, rows) + "\n" + conditions(measured, language)


def tools(language: str) -> str:
    """Return the ratios that the project's own tools are held to."""
    head = {
        "en": ["This", "against this", "takes as long", "Measured"],
        "zh": ["这一项", "对比", "用时倍数", "测量日期"],
    }[language]
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


def conditions(measured: Benchmark, language: str) -> str:
    """Return the sentence that says when and on what a table was measured."""
    where = f"{measured.machine}, Python {measured.python}, Codex {measured.codex}"
    if language == "zh":
        return f"*{measured.date.isoformat()} 测得，环境为 {where.replace(', ', '，')}。*\n"
    return f"*Measured {measured.date.isoformat()}: {where}.*\n"


def _time(seconds: float, *, signed: bool = False) -> str:
    sign = ("+" if seconds >= 0 else "−") if signed else ""
    size = abs(seconds)
    return f"{sign}{size:.1f} s" if size >= 1 else f"{sign}{size * 1000:.0f} ms"


TABLES = {"bench-delay": delay, "bench-queue": queue, "bench-relay": relay, "bench-tools": tools}
