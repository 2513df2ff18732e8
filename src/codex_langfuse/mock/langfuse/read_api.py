"""What Langfuse answers to those who ask what arrived.

Seen in ``web/src/pages/api/public/{health,ready,projects/index,v2/observations/index}.ts`` and
``packages/shared/src/server/repositories/events.ts``.
"""

import base64
import binascii
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer, message
from codex_langfuse.mock.langfuse.auth import ApiKey, Refused, verify
from codex_langfuse.mock.langfuse.filters import Condition, Observation, compile_filter, parse_filter
from codex_langfuse.mock.langfuse.javascript import iso_time, number_text, parse_json, stringify
from codex_langfuse.mock.langfuse.observation_type import TYPES
from codex_langfuse.mock.langfuse.observations import read_date, shown_metadata
from codex_langfuse.mock.langfuse.query_parameters import (
    Checks,
    InvalidQueryError,
    kind_of,
    literal_issue,
    parse_query,
)

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


def answer_health(query: str, observations: Iterable[Observation], langfuse: int) -> Answer:
    """Answer ``GET /api/public/health``: the database is there; whether something came lately, if asked."""
    status = "OK"
    if parse_query(query).get("failIfNoRecentEvents") == "true":
        now = time.time() * 1000
        recent = any(now - 180_000 <= (read_date(each["startTime"]) or 0) <= now for each in observations)
        if not recent:
            status = f"No {'events' if langfuse == 4 else 'traces'} within the last 3 minutes"
    return Answer.json(200 if status == "OK" else 503, {"status": status, "version": VERSION[langfuse]})


def answer_ready(langfuse: int) -> Answer:
    """Answer ``GET /api/public/ready``."""
    return Answer.json(200, {"status": "OK", "version": VERSION[langfuse]})


def answer_projects(headers: Mapping[str, str], keys: tuple[ApiKey, ...]) -> Answer:
    """Answer ``GET /api/public/projects``: the project that a pair of keys belongs to."""
    outcome = verify(headers.get("authorization"), keys)
    if isinstance(outcome, Refused):
        return message(401, outcome.message)
    if outcome.access_level != "project":
        return message(403, "Invalid API key. Are you using an organization key?")
    organization = {"id": outcome.key.organization_id, "name": "Org"}
    project = {"id": outcome.key.project_id, "name": "Codex", "organization": organization, "metadata": {}}
    return Answer.json(200, {"data": [project]})


def answer_observations(query: str, observations: list[Observation]) -> Answer:
    """Answer ``GET /api/public/v2/observations`` from all observations of the project."""
    try:
        return _observations_page(parse_query(query), observations)
    except InvalidQueryError as refused:
        return refused.answer


def _observations_page(query: dict[str, Any], observations: list[Observation]) -> Answer:
    checks = Checks()
    groups = _groups(checks, query.get("fields"))
    expanded = checks.text(["expandMetadata"], query.get("expandMetadata"))
    limit = checks.number(["limit"], query.get("limit"), 50, most=1000)
    cursor = _cursor(checks, query["cursor"]) if "cursor" in query else None
    _check_parse_io(checks, query.get("parseIoAsJson"))
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
        found = [each for each in found if position(each) < cursor]
    found.sort(key=position, reverse=True)
    page = found[:limit]
    meta = {"cursor": encode_cursor(page[-1])} if page and len(found) > limit else {}
    full_metadata = "io" in groups or ("metadata" in groups and bool(_names(expanded)))
    return Answer.json(200, {"data": [_shown(each, groups, full_metadata) for each in page], "meta": meta})


def _equal(wanted: dict[str, Any]) -> list[Condition]:
    def equals(name: str, value: str) -> Condition:
        return lambda each: (each[name] or "") == value

    return [equals(name, value) for name, value in wanted.items() if value is not None]


def _names(text: str | None) -> list[str]:
    return [name for name in (part.strip() for part in (text or "").split(",")) if name]


def _groups(checks: Checks, fields: Any) -> list[str]:
    if fields is None or fields == "":
        return ["core", "basic"]
    if isinstance(fields, str):
        return [name for name in _names(fields) if name in FIELD_GROUPS]
    for place, name in enumerate(fields):
        checks.one_of(["fields", place], name, tuple(FIELD_GROUPS), required=True)
    return list(fields)


def _check_parse_io(checks: Checks, value: Any) -> None:
    if value == "true":
        text = (
            "parseIoAsJson=true is no longer supported on the v2 observations endpoint. "
            "Input/output fields are always returned as raw strings. "
            "Remove the parseIoAsJson parameter or set it to false."
        )
        checks.issues.append({"code": "custom", "path": ["parseIoAsJson"], "message": text})
    elif value not in (None, "false"):
        errors = [[literal_issue((option,))] for option in ("true", "false")]
        checks.issues.append(
            {"code": "invalid_union", "errors": errors, "path": ["parseIoAsJson"], "message": "Invalid input"}
        )


Position = tuple[str, int, bytes]


def position(observation: Observation) -> Position:
    """Return an observation's place in the order of the API: by time, then hash of the trace, then id."""
    return (
        observation["startTime"],
        trace_hash(observation["traceId"]),
        observation["id"].encode("utf-8", "surrogatepass"),
    )


def encode_cursor(last: Observation) -> str:
    """Write the cursor that continues after an observation."""
    place = {"lastStartTimeTo": last["startTime"], "lastTraceId": last["traceId"], "lastId": last["id"]}
    return base64.b64encode((stringify(place) or "").encode()).decode()


def _cursor(checks: Checks, text: Any) -> Position | None:
    text = checks.text(["cursor"], text)
    if text is None:
        return None
    try:
        compact = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
        place = parse_json(base64.b64decode(compact + "=" * (-len(compact) % 4)).decode("utf-8", "replace"))
    except (ValueError, binascii.Error) as error:
        raise InvalidQueryError(message(400, "Invalid cursor format", "InvalidRequestError")) from error
    if not isinstance(place, dict):
        checks.wrong_type(["cursor"], "object", kind_of(place))
        return None
    start = read_date(place.get("lastStartTimeTo"))
    if start is None:
        checks.issues.append(
            {
                "expected": "date",
                "code": "invalid_type",
                "received": "Invalid Date",
                "path": ["cursor", "lastStartTimeTo"],
                "message": "Invalid input: expected date, received Date",
            }
        )
    trace_id = checks.text(["cursor", "lastTraceId"], place.get("lastTraceId"), required=True)
    last_id = checks.text(["cursor", "lastId"], place.get("lastId"), required=True)
    if start is None or trace_id is None or last_id is None:
        return None
    return iso_time(start), trace_hash(trace_id), last_id.encode("utf-8", "surrogatepass")


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


@lru_cache(maxsize=65536)
def trace_hash(trace_id: str) -> int:
    """Return the xxHash32 of a trace id, by which Langfuse orders what started in the same millisecond."""
    primes = (2654435761, 2246822519, 3266489917, 668265263, 374761393)
    mask = 0xFFFFFFFF
    data = trace_id.encode("utf-8", "surrogatepass")
    length = len(data)

    def rotate(value: int, bits: int) -> int:
        return ((value << bits) | (value >> (32 - bits))) & mask

    at = 0
    if length >= 16:
        lanes = [(primes[0] + primes[1]) & mask, primes[1], 0, -primes[0] & mask]
        while at <= length - 16:
            for lane in range(4):
                word = int.from_bytes(data[at : at + 4], "little")
                lanes[lane] = rotate((lanes[lane] + word * primes[1]) & mask, 13) * primes[0] & mask
                at += 4
        value = sum(rotate(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True)) & mask
    else:
        value = primes[4]
    value = (value + length) & mask
    while at <= length - 4:
        word = int.from_bytes(data[at : at + 4], "little")
        value = rotate((value + word * primes[2]) & mask, 17) * primes[3] & mask
        at += 4
    for byte in data[at:]:
        value = rotate((value + byte * primes[4]) & mask, 11) * primes[0] & mask
    value ^= value >> 15
    value = value * primes[1] & mask
    value ^= value >> 13
    value = value * primes[2] & mask
    return value ^ value >> 16
