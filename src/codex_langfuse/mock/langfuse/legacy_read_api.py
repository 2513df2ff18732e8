"""The read endpoints of Langfuse 3: traces and observations, page by page.

Seen in ``web/src/pages/api/public/{traces,observations}`` (Langfuse 4.16 has them too, but refuses
to answer unless it is told to keep its old tables). Unlike in Langfuse 4, which matters for Codex, a span
or an event has no usage and no model, and what was sent again replaces what was there.
"""

from collections.abc import Callable
from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer, message
from codex_langfuse.mock.langfuse.checks import Checks, parse_query
from codex_langfuse.mock.langfuse.filters import Observation
from codex_langfuse.mock.langfuse.javascript import iso_time, number
from codex_langfuse.mock.langfuse.observation_type import TYPES
from codex_langfuse.mock.langfuse.observations import read_date, shown_text
from codex_langfuse.mock.langfuse.paging import page_and_limit, page_of
from codex_langfuse.mock.langfuse.read_api import LEVELS

#: Types that the old tables keep without anything of a generation.
_WITHOUT_USAGE = ("SPAN", "EVENT")


def answer_traces(query: str, rows: list[Observation]) -> Answer:
    """Answer ``GET /api/public/traces``: traces, newest first; raises ``RefusedError``."""
    return _page(query, _TRACE_PARAMETERS, traces_of(rows), "timestamp", ("fromTimestamp", "toTimestamp"))


def answer_trace(trace_id: str, rows: list[Observation]) -> Answer:
    """Answer ``GET /api/public/traces/{traceId}``: one trace with its observations."""
    own = [row for row in rows if row["traceId"] == trace_id]
    if not own:
        return message(404, f"Trace {trace_id} not found within authorized project", "LangfuseNotFoundError")
    return Answer.json(200, {**traces_of(own)[0], "observations": observations_of_rows(own)})


def answer_observations(query: str, rows: list[Observation]) -> Answer:
    """Answer ``GET /api/public/observations``: observations, newest first; raises ``RefusedError``."""
    found = observations_of_rows(rows)
    return _page(query, _OBSERVATION_PARAMETERS, found, "startTime", ("fromStartTime", "toStartTime"))


def traces_of(rows: list[Observation]) -> list[Observation]:
    """Make traces of observations, newest first; a trace no span of which says anything has only an id."""
    by_trace: dict[str, list[Observation]] = {}
    for row in rows:
        by_trace.setdefault(row["traceId"], []).append(row)
    traces = [_trace(trace_id, own) for trace_id, own in by_trace.items()]
    return sorted(traces, key=lambda trace: trace["timestamp"], reverse=True)


def _trace(trace_id: str, rows: list[Observation]) -> Observation:
    told: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    for row in rows:
        if row["trace"] is not None:
            metadata.update(row["trace"]["metadata"])
            told.update({key: value for key, value in row["trace"].items() if value not in ("", [], False)})
    observations = observations_of_rows(rows)
    times = [read_date(row[key]) or 0 for row in rows for key in ("startTime", "endTime")]
    return {
        "id": trace_id,
        "projectId": rows[0]["projectId"],
        "name": told.get("name"),
        "timestamp": told.get("timestamp", min(row["startTime"] for row in rows)),
        "environment": told.get("environment", rows[0]["environment"]),
        "tags": told.get("tags", []),
        "bookmarked": False,
        "release": told.get("release"),
        "version": told.get("version"),
        "userId": told.get("userId"),
        "sessionId": told.get("sessionId"),
        "public": told.get("public", False),
        "input": _content(told.get("input")),
        "output": _content(told.get("output")),
        "metadata": metadata,
        "createdAt": min(row["createdAt"] for row in rows),
        "updatedAt": max(row["updatedAt"] for row in rows),
        "observations": [observation["id"] for observation in observations],
        "scores": [],
        "totalCost": number(sum(observation["calculatedTotalCost"] or 0 for observation in observations)),
        "latency": number((max(times) - min(times)) / 1000),
        "htmlPath": f"/project/{rows[0]['projectId']}/traces/{trace_id}",
        "externalId": None,
    }


def _content(text: str | None) -> Any:
    return shown_text(text) if text else None


def observations_of_rows(rows: list[Observation]) -> list[Observation]:
    """Return observations as these endpoints show them, the newest version of each, newest first."""
    newest = {(row["traceId"], row["id"]): row for row in rows}
    shown = [_observation(row) for row in newest.values()]
    return sorted(shown, key=lambda observation: observation["startTime"], reverse=True)


def _observation(row: Observation) -> Observation:
    bare = row["type"] in _WITHOUT_USAGE
    usage = {} if bare else row["usageDetails"]
    prices = {} if bare else row["prices"]
    asked, answered, total = (0, 0, 0) if bare else (row["inputUsage"], row["outputUsage"], row["totalUsage"])
    first_token = None if bare else row["completionStartTime"]
    return {
        **{
            key: row[key]
            for key in ("id", "traceId", "startTime", "endTime", "projectId", "parentObservationId")
        },
        **{key: row[key] for key in ("type", "environment")},
        "name": row["name"] or None,
        "level": row["level"],
        "statusMessage": row["statusMessage"] or None,
        "version": row["version"] or None,
        "createdAt": row["createdAt"],
        "updatedAt": row["updatedAt"],
        "input": _content(row["input"]),
        "output": _content(row["output"]),
        "metadata": row["metadata"],
        "model": (not bare and row["model"]) or None,
        "modelParameters": {} if bare else row["modelParameters"],
        "completionStartTime": first_token,
        "promptId": None,
        "promptName": (not bare and row["promptName"]) or None,
        "promptVersion": None if bare else row["promptVersion"],
        "latency": row["latency"] or 0,
        "timeToFirstToken": row["timeToFirstToken"] if first_token else None,
        "usageDetails": usage,
        "costDetails": {} if bare else row["costDetails"],
        "usagePricingTierName": None if bare else row["usagePricingTierName"],
        "usagePricingTierId": None if bare else row["usagePricingTierId"],
        "modelId": (not bare and row["internalModelId"]) or None,
        "inputPrice": _price(prices.get("input")),
        "outputPrice": _price(prices.get("output")),
        "totalPrice": None,
        "calculatedInputCost": None if bare else row["inputCost"],
        "calculatedOutputCost": None if bare else row["outputCost"],
        "calculatedTotalCost": 0 if bare else row["totalCost"],
        "unit": "TOKENS",
        "promptTokens": asked,
        "completionTokens": answered,
        "totalTokens": total,
        "usage": {"unit": "TOKENS", "input": asked, "output": answered, "total": total},
    }


def _price(price: Any) -> int | float | None:
    return None if price is None else number(float(price))


# --- parameters ---------------------------------------------------------------------------------------------

_Parameter = Callable[[Checks, str, Any], Callable[[Observation], bool] | None]


def _text(checks: Checks, name: str, value: Any) -> Callable[[Observation], bool] | None:
    text = checks.text([name], value)
    return None if text is None else lambda each: each.get(name) == text


def _one_of(*options: str) -> _Parameter:
    def parameter(checks: Checks, name: str, value: Any) -> Callable[[Observation], bool] | None:
        text = checks.one_of([name], value, options)
        return None if text is None else lambda each: each[name] == text

    return parameter


def _environment(_checks: Checks, name: str, value: Any) -> Callable[[Observation], bool] | None:
    if value is None:
        return None
    names = value if isinstance(value, list) else value.split(",")
    return lambda each: each[name] in names


def _tags(_checks: Checks, name: str, value: Any) -> Callable[[Observation], bool] | None:
    if value is None:
        return None
    names = set(value if isinstance(value, list) else value.split(","))
    return lambda each: names <= set(each[name])


_TRACE_PARAMETERS: dict[str, _Parameter] = {
    "userId": _text,
    "name": _text,
    "tags": _tags,
    "environment": _environment,
    "sessionId": _text,
    "version": _text,
    "release": _text,
}
_OBSERVATION_PARAMETERS: dict[str, _Parameter] = {
    "type": _one_of(*TYPES),
    "name": _text,
    "level": _one_of(*LEVELS),
    "traceId": _text,
    "version": _text,
    "parentObservationId": _text,
    "environment": _environment,
}


def _page(
    query_text: str,
    parameters: dict[str, _Parameter],
    found: list[Observation],
    time_name: str,
    time_parameters: tuple[str, str],
) -> Answer:
    query = parse_query(query_text)
    checks = Checks()
    page, limit = page_and_limit(checks, query)
    conditions = [parameter(checks, name, query.get(name)) for name, parameter in parameters.items()]
    since, until = (checks.moment([name], query.get(name)) for name in time_parameters)
    checks.refuse_if_any()
    if since is not None:
        earliest = iso_time(read_date(since) or 0)
        conditions.append(lambda each: each[time_name] >= earliest)
    if until is not None:
        end = iso_time(read_date(until) or 0)
        conditions.append(lambda each: each[time_name] < end)
    kept = [each for each in found if all(condition(each) for condition in conditions if condition)]
    return page_of(kept, page, limit)
