"""What Langfuse answers to those who ask what arrived.

Seen in ``web/src/pages/api/public/{health,ready,projects/index,v2/observations/index}.ts`` and
``packages/shared/src/server/repositories/events.ts``.
"""

from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer
from codex_langfuse.mock.langfuse.checks import Checks, parse_query
from codex_langfuse.mock.langfuse.filters import Condition, Observation, compile_filter, parse_filter
from codex_langfuse.mock.langfuse.javascript import iso_time, number_text
from codex_langfuse.mock.langfuse.observation_type import TYPES
from codex_langfuse.mock.langfuse.observations import read_date, shown_metadata
from codex_langfuse.mock.langfuse.paging import read_cursor, write_cursor

VERSION = {4: "4.16.0", 3: "3.225.4"}
LEVELS = ("DEBUG", "DEFAULT", "WARNING", "ERROR")

_CORE = ("id", "traceId", "startTime", "endTime", "projectId", "parentObservationId", "type")
#: The groups of the ``fields`` parameter, and what the API shows of each.
FIELD_GROUPS: dict[str, tuple[str, ...]] = {
    "core": _CORE,
    "basic": (
        "name",
        "level",
        "statusMessage",
        "version",
        "environment",
        "bookmarked",
        "public",
        "userId",
        "sessionId",
        "isRootObservation",
    ),
    "time": ("completionStartTime", "createdAt", "updatedAt"),
    "io": ("input", "output"),
    "metadata": ("metadata",),
    "model": ("model", "internalModelId", "modelParameters"),
    "usage": (
        "usageDetails",
        "inputUsage",
        "outputUsage",
        "totalUsage",
        "costDetails",
        "inputCost",
        "outputCost",
        "totalCost",
        "usagePricingTierId",
        "usagePricingTierName",
    ),
    "prompt": ("promptId", "promptName", "promptVersion"),
    "metrics": ("latency", "timeToFirstToken"),
    "trace_context": ("tags", "release", "traceName"),
}
#: Without ``io`` or ``expandMetadata`` metadata comes from a table that keeps the beginning of a value only.
_LONGEST_METADATA = 200


def answer_version(langfuse: int) -> Answer:
    """Answer ``GET /api/public/health`` and ``GET /api/public/ready``: the mock is always well."""
    return Answer.json(200, {"status": "OK", "version": VERSION[langfuse]})


def answer_observations(query_text: str, observations: list[Observation]) -> Answer:
    """Answer ``GET /api/public/v2/observations`` from all observations of the project.

    Raises ``RefusedError``.
    """
    query = parse_query(query_text)
    checks = Checks()
    groups = _groups(checks, query.get("fields"))
    expanded = checks.text(["expandMetadata"], query.get("expandMetadata"))
    limit = checks.number_in_query("limit", query.get("limit"), 50, least=0, most=1000)
    cursor = read_cursor(checks, query, "lastStartTimeTo", "lastTraceId", "lastId")
    wanted: dict[str, Any] = {"type": checks.one_of(["type"], query.get("type"), TYPES)}
    for name in ("name", "userId", "sessionId"):
        wanted[name] = checks.text([name], query.get(name))
    wanted["level"] = checks.one_of(["level"], query.get("level"), LEVELS)
    for name in ("traceId", "version", "parentObservationId"):
        wanted[name] = checks.text([name], query.get(name))
    root = checks.one_of(["isRootObservation"], query.get("isRootObservation"), ("true", "false"))
    environments = query.get("environment")
    since = checks.moment(["fromStartTime"], query.get("fromStartTime"))
    until = checks.moment(["toStartTime"], query.get("toStartTime"))
    filters = parse_filter(checks, query.get("filter"))
    checks.refuse_if_any()

    advanced = compile_filter(filters)
    wanted = {name: value for name, value in wanted.items() if name not in advanced.replaced}
    conditions = [*advanced.conditions, *_equal(wanted)]
    if root is not None and "isRootObservation" not in advanced.replaced:
        conditions.append(lambda each: each["isRootObservation"] == (root == "true"))
    if environments is not None and "environment" not in advanced.replaced:
        names = environments if isinstance(environments, list) else environments.split(",")
        conditions.append(lambda each: each["environment"] in names)
    if "startTime" not in advanced.replaced:
        if since is not None:
            earliest = iso_time(read_date(since) or 0)
            conditions.append(lambda each: each["startTime"] >= earliest)
        if until is not None:
            end = iso_time(read_date(until) or 0)
            conditions.append(lambda each: each["startTime"] < end)
    found = [each for each in observations if all(condition(each) for condition in conditions)]
    if cursor is not None:
        found = [each for each in found if _position(each) < cursor]
    found.sort(key=_position, reverse=True)
    page = found[:limit]
    meta = {"cursor": _cursor_after(page[-1])} if page and len(found) > limit else {}
    full_metadata = "io" in groups or ("metadata" in groups and bool(_names(expanded)))
    return Answer.json(200, {"data": [_shown(each, groups, full_metadata) for each in page], "meta": meta})


def _equal(wanted: dict[str, Any]) -> list[Condition]:
    def equals(name: str, value: str) -> Condition:
        return lambda each: (each[name] or "") == value

    return [equals(name, value) for name, value in wanted.items() if value is not None]


def _names(text: str | None) -> list[str]:
    return [name for name in (part.strip() for part in (text or "").split(",")) if name]


def _groups(checks: Checks, fields: Any) -> list[str]:
    names = _names(checks.text(["fields"], fields))
    return [name for name in names if name in FIELD_GROUPS] if names else ["core", "basic"]


def _position(observation: Observation) -> tuple[str, ...]:
    return observation["startTime"], observation["traceId"], observation["id"]


def _cursor_after(last: Observation) -> str:
    start, trace_id, last_id = _position(last)
    return write_cursor({"lastStartTimeTo": start, "lastTraceId": trace_id, "lastId": last_id})


def _shown(observation: Observation, groups: list[str], full_metadata: bool) -> Observation:
    names = {*_CORE, *(name for group in groups for name in FIELD_GROUPS[group])}
    shown = {name: value for name, value in observation.items() if name in names}
    if "metadata" in shown:
        longest = None if full_metadata else _LONGEST_METADATA
        shown["metadata"] = shown_metadata(observation["metadata"], longest)
    # Both times are always there, but the one to the first token is known only with the column it needs.
    shown["latency"] = observation["latency"]
    if "metrics" not in groups:
        shown["latency"] = observation["latency"] or 0
    shown["timeToFirstToken"] = (
        observation["timeToFirstToken"] if "metrics" in groups or "time" in groups else None
    )
    has_model = "model" in groups and bool(observation["internalModelId"])
    prices = observation["prices"] if has_model else {}
    return {
        **shown,
        "modelId": observation["internalModelId"] if has_model else None,
        "inputPrice": _price(prices.get("input")),
        "outputPrice": _price(prices.get("output")),
        "totalPrice": _price(prices.get("total")),
        **({"mockWarning": observation["mockWarning"]} if "mockWarning" in observation else {}),
    }


def _price(price: Any) -> str | None:
    return None if price is None else number_text(float(price))
