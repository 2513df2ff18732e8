"""Token counts and costs of an observation.

Seen in ``OtelIngestionProcessor.ts`` (what the attributes say), ``ingestion/types.ts`` (``UsageDetails``:
which of it is kept) and ``worker/src/services/IngestionService/index.ts`` (totals and computed costs).
"""

import math
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from codex_langfuse.mock.langfuse.javascript import (
    MAX_SAFE_INTEGER,
    number,
    number_text,
    parse_int,
    parse_json,
    to_number,
    truthy,
)
from codex_langfuse.mock.langfuse.prices import Tier

_INPUT = ("prompt_tokens", "input_tokens", "prompt")
_OUTPUT = ("completion_tokens", "output_tokens", "completion")
_TOTAL = ("total_tokens", "total")
_CACHED = (
    "cache_read.input_tokens",
    "cache_read_input_tokens",
    "cache_read_tokens",
    "details.cache_read_tokens",
    "details.cache_read_input_tokens",
    "prompt_details.cache_read",
    "input_cached_tokens",
)
_CACHE_CREATION = (
    "cache_creation.input_tokens",
    "cache_creation_input_tokens",
    "cache_write_tokens",
    "details.cache_write_tokens",
    "details.cache_creation_input_tokens",
    "prompt_details.cache_write",
    "input_cache_creation",
)
_REASONING = ("reasoning.output_tokens", "completion_details.reasoning")
_AUDIO = ("completion_details.audio",)
_KNOWN = frozenset(_INPUT + _OUTPUT + _TOTAL + _CACHED + _CACHE_CREATION + _REASONING + _AUDIO)

_COST_DIGITS = Decimal("1e-12")


def json_object_attribute(attributes: dict[str, Any], key: str) -> dict[str, Any] | None:
    """Return an attribute that holds a JSON object; ``{}`` for JSON of another kind, ``None`` for no JSON."""
    text = attributes.get(key)
    if not truthy(text):
        return None
    if not isinstance(text, str):
        return {}
    try:
        value = parse_json(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else {}


def provided_usage(attributes: dict[str, Any]) -> dict[str, int | float]:
    """Return the token counts that a span's attributes give, each token counted once."""
    given = json_object_attribute(attributes, "langfuse.observation.usage_details")
    return _accepted(given if given is not None else _from_gen_ai(attributes))


def _from_gen_ai(attributes: dict[str, Any]) -> dict[str, Any]:
    raw: dict[str, int | float] = {}
    for key, value in attributes.items():
        if (key.startswith("gen_ai.usage.") and key != "gen_ai.usage.cost") or key.startswith(
            "llm.token_count."
        ):
            count = to_number(value)
            if not math.isnan(count):
                raw[key.replace("gen_ai.usage.", "", 1).replace("llm.token_count.", "", 1)] = count

    def first(names: tuple[str, ...]) -> int | float | None:
        return next((raw[name] for name in names if name in raw), None)

    usage: dict[str, int | float] = {
        key.replace("details.", "", 1) if key.startswith("details.") else key: value
        for key, value in raw.items()
        if key not in _KNOWN
    }
    cached, creation, reasoning, audio = (
        first(_CACHED),
        first(_CACHE_CREATION),
        first(_REASONING),
        first(_AUDIO),
    )
    if (asked := first(_INPUT)) is not None:
        usage["input"] = max(asked - (cached or 0) - (creation or 0), 0)
    if (answered := first(_OUTPUT)) is not None:
        usage["output"] = max(answered - (reasoning or 0) - (audio or 0), 0)
    for name, value in (
        ("total", first(_TOTAL)),
        ("input_cached_tokens", cached),
        ("input_cache_creation", creation),
        ("output_reasoning_tokens", reasoning),
        ("output_audio_tokens", audio),
    ):
        if value is not None:
            usage[name] = value
    return usage


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SAFE_INTEGER


def _accepted(given: dict[str, Any]) -> dict[str, int | float]:
    for asked, answered in (("prompt", "completion"), ("input", "output")):
        usage = _openai_usage(given, f"{asked}_tokens", f"{answered}_tokens")
        if usage is not None:
            return usage
    kept: dict[str, int | float] = {}
    for key, value in given.items():
        if isinstance(value, str):
            count = parse_int(value)
            if not math.isnan(count) and count >= 0:
                kept[key] = count
        elif isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and value % 1 == 0:
            kept[key] = value
    return kept


def _openai_usage(given: dict[str, Any], asked: str, answered: str) -> dict[str, int | float] | None:
    """Read the ``usage`` of OpenAI's own answers (Chat Completions, Responses), if it is exactly that."""
    details = {f"{asked}_details": "input", f"{answered}_details": "output"}
    counts = (asked, answered, "total_tokens")
    if not all(_is_count(given.get(name)) for name in counts) or not set(given) <= {*counts, *details}:
        return None
    usage = {"input": given[asked], "output": given[answered], "total": given["total_tokens"]}
    for name, side in details.items():
        parts = given.get(name)
        if parts is None:
            continue
        if not isinstance(parts, dict) or not all(part is None or _is_count(part) for part in parts.values()):
            return None
        for part, count in parts.items():
            if count is not None:
                usage[f"{side}_{part}"] = count
                usage[side] = max(usage[side] - count, 0)
    return usage


def provided_costs(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the costs, in US dollars, that a span's attributes give."""
    given = json_object_attribute(attributes, "langfuse.observation.cost_details")
    if given is not None:
        # Measured: a number written as text is lost, and counts as given.
        return {key: 0 if isinstance(value, str) else value for key, value in given.items()}
    for key in ("gen_ai.usage.cost", "llm.cost.total"):
        value = attributes.get(key)
        if value is not None and value != "":
            return {"total": value}
    return {}


def with_total(usage: dict[str, int | float]) -> dict[str, int | float]:
    """Add the total, the sum of all counts, where none was given."""
    if not usage or "total" in usage:
        return usage
    return {**usage, "total": sum(usage.values())}


def costs(given: dict[str, Any], usage: dict[str, int | float], tier: Tier | None) -> dict[str, int | float]:
    """Return costs in US dollars: only the given ones, or those computed from a tier's prices."""
    given = {key: value for key, value in given.items() if value is not None}
    if given:
        result = {key: _stored(value) for key, value in given.items()}
        if "total" not in result and result.keys() <= {"input", "output"}:
            result["total"] = _stored(sum(result.values()))
        return result
    if tier is None:
        return {}
    computed = {
        key: float(tier.prices[key] * Decimal(count)) for key, count in usage.items() if key in tier.prices
    }
    if computed and "total" not in computed:
        computed["total"] = sum(computed.values())
    return {key: _stored(value) for key, value in computed.items()}


def _stored(value: Any) -> int | float:
    """Round a cost to the twelve digits after the point that Langfuse's database keeps."""
    as_number = to_number(value)
    if not math.isfinite(as_number):
        return 0
    try:
        return number(float(Decimal(number_text(as_number)).quantize(_COST_DIGITS, ROUND_HALF_UP)))
    except InvalidOperation:
        return 0


def reduced(details: dict[str, int | float], side: str) -> int | float | None:
    """Sum every entry whose name contains ``side``; ``None`` when there is none."""
    found = [value for key, value in details.items() if side in key]
    return number(sum(found)) if found else None
