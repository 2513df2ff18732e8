"""How Codex is run in all combinations, and the law that the relay keeps in each of them.

Under each turn's AGENT are the tokens that the model charged for that turn, by kind, each answer once; a turn
is one trace.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import relayed_recordings as relayed
from codex_langfuse.codex.isolated import IsolatedCodex
from codex_langfuse.codex.scripted_model import Message, ScriptedModel, ToolCall
from codex_langfuse.testplan.wire import Exchange

MODELS = {"default": "", "gpt-5.5": 'model = "gpt-5.5"\n', "unknown": 'model = "somebodys-model"\n'}
#: Of a user who has said that the terminal need not offer the newer model.
NOTICE = '[notice.model_migrations]\n"gpt-5.5" = "gpt-6-sol"\n'
PROVIDERS = {
    "websocket": 'openai_base_url = "{url}"\n',
    "http": 'model_provider = "mine"\n[model_providers.mine]\nname = "mine"\nbase_url = "{url}"\n'
    'wire_api = "responses"\nenv_key = "OPENAI_API_KEY"\n',
}
SIGNALS = {"both": relayed.BOTH, "logs": relayed.LOGS, "traces": relayed.TRACES}
PAUSES = {"fast": 0.0, "slow": 0.01}

KINDS: dict[str, type[ExportLogsServiceRequest | ExportTraceServiceRequest]] = {
    "logs.example": ExportLogsServiceRequest,
    "traces.example": ExportTraceServiceRequest,
}
STEPS = (
    ToolCall("exec_command", {"cmd": "echo one"}),
    ToolCall("exec_command", {"cmd": "echo two"}),
    Message("Done."),
)


def configuration(codex: IsolatedCodex, url: str, model: str, provider: str, signals: str) -> str:
    """Return the configuration file of a combination; the model is at ``url``."""
    return (
        MODELS[model]
        + PROVIDERS[provider].format(url=url)
        + f"[features]\nplugins = false\n[projects.{str(codex.workspace)!r}]\ntrust_level = 'trusted'\n"
        + NOTICE
        + _otel(signals)
    )


def batches(requests: Iterable[Exchange]) -> Iterator[relayed.Batch]:
    """Return the telemetry among what Codex sent."""
    for request in requests:
        if request.host in KINDS:
            yield KINDS[request.host].FromString(request.body)


def turns_of(model: ScriptedModel) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """Return the usage of each answer, by conversation and turn."""
    turns: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for charge in list(model.charges):
        if charge.usage is not None and not charge.warm_up:
            turns.setdefault((charge.thread, charge.turn), []).append(charge.usage)
    return turns


def charged(model: ScriptedModel) -> list[list[tuple[int, ...]]]:
    """Return what each turn was charged: its answers' exclusive parts, as Langfuse has them."""
    return sorted(sorted(_parts(usage) for usage in turn) for turn in turns_of(model).values())


def generations(sent: relayed.Relayed) -> list[list[tuple[int, ...]]]:
    """Return the generations below the AGENT of each trace; there is one AGENT in each."""
    names = ("input", "input_cached_tokens", "output", "output_reasoning_tokens")
    traces: dict[str, list[tuple[int, ...]]] = {each["traceId"]: [] for each in sent.of("AGENT")}
    assert len(traces) == len(sent.of("AGENT"))
    for each in sent.of("GENERATION"):
        usage = each["usageDetails"]
        traces[each["traceId"]].append(tuple(usage.get(name, 0) for name in names))
    return sorted(sorted(turn) for turn in traces.values())


def _otel(signals: str) -> str:
    keys = {"logs": "exporter", "traces": "trace_exporter"}
    exporters = "".join(
        f'[otel.{keys[signal]}.otlp-http]\nendpoint = "https://{signal}.example/v1/{signal}"\n'
        'protocol = "binary"\n'
        for signal in SIGNALS[signals]
    )
    return f'[otel]\nmetrics_exporter = "none"\n{exporters}'


def _parts(usage: Mapping[str, Any]) -> tuple[int, ...]:
    cached = usage["input_tokens_details"]["cached_tokens"]
    reasoning = usage["output_tokens_details"]["reasoning_tokens"]
    return usage["input_tokens"] - cached, cached, usage["output_tokens"] - reasoning, reasoning
