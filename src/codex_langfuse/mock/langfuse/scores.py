"""Scores: what may be sent, what is kept of it, and how it is shown.

Seen in ``packages/shared/src/features/scores/interfaces/api/`` (bodies and queries),
``packages/shared/src/server/ingestion/validateAndInflateScore.ts`` (what the worker makes of a body) and
``packages/shared/src/server/repositories/scores.ts`` (the third version of the list).
"""

import base64
import binascii
import math
import re
import uuid
from collections.abc import Iterable
from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer, message
from codex_langfuse.mock.langfuse.javascript import (
    UNDEFINED,
    iso_time,
    object_keys,
    parse_json,
    stringify,
    to_number,
)
from codex_langfuse.mock.langfuse.observations import read_date, shown_text
from codex_langfuse.mock.langfuse.paging import whole_number
from codex_langfuse.mock.langfuse.query_parameters import (
    Checks,
    InvalidQueryError,
    kind_of,
    no_variant,
    parse_query,
)
from codex_langfuse.mock.langfuse.request_body import DEEPEST, BodyChecks, is_deeper

Score = dict[str, Any]

SOURCES = ("API", "EVAL", "ANNOTATION")
DATA_TYPES = ("NUMERIC", "CATEGORICAL", "BOOLEAN", "CORRECTION", "TEXT")
_LONGEST_TEXT = 500
_LONGEST_ID = 800
_ONE_SUBJECT = (
    "Provide exactly one of the following: traceId (with optional observationId), sessionId or datasetRunId. "
    "ObservationId requires traceId."
)
_SUBJECTS = ["traceId", "sessionId", "datasetRunId", "observationId"]
_NEEDS_CONFIG = "configId is required when source is ANNOTATION (except for CORRECTION scores)."
_ENVIRONMENT = re.compile(r"[a-z0-9\-_]+")


def check_score(body: Any) -> Score:
    """Check the body of ``POST /api/public/scores`` and return it with what is missing filled in.

    Raises ``InvalidQueryError`` with zod's complaints. A list is refused: Langfuse 4.16.0 takes one score.
    """
    checks = BodyChecks()
    given = checks.object([], body)
    if given is None:
        checks.variant([], body)
        checks.refuse_if_any()
        return {}
    _check_common(checks, given, [])
    checks.string(["queueId"], given.get("queueId", UNDEFINED), optional=True)
    source = given.get("source", UNDEFINED)
    if source is not UNDEFINED:
        checks.choice(["source"], source, ("API", "ANNOTATION"))
    _check_value(checks, given, [])
    _check_whole(checks, given, [])
    if (
        checks.is_final
        and given.get("source") == "ANNOTATION"
        and not given.get("configId")
        and given.get("dataType") != "CORRECTION"
    ):
        checks.custom(["configId"], _NEEDS_CONFIG)
    checks.refuse_if_any()
    return {**given, "id": given.get("id") or str(uuid.uuid4()), "source": given.get("source", "API")}


def _check_common(checks: BodyChecks, given: dict[str, Any], path: list[str | int]) -> None:
    checks.string([*path, "id"], given.get("id", UNDEFINED), optional=True)
    checks.string([*path, "name"], given.get("name", UNDEFINED), least=1)
    for name in ("traceId", "sessionId", "datasetRunId", "observationId", "comment"):
        checks.string([*path, name], given.get(name, UNDEFINED), optional=True)
    if (environment := given.get("environment", UNDEFINED)) is not UNDEFINED:
        checks.string([*path, "environment"], environment)


def _check_value(checks: BodyChecks, given: dict[str, Any], path: list[str | int]) -> None:
    kind = given.get("dataType", UNDEFINED)
    value = given.get("value", UNDEFINED)
    place = [*path, "value"]
    if kind is not UNDEFINED and (not isinstance(kind, str) or kind not in DATA_TYPES):
        checks.is_final = False
        checks.issues.append(no_variant(path, "dataType"))
        return
    if kind in ("NUMERIC", "BOOLEAN"):
        number = checks.real(place, value)
        if kind == "BOOLEAN" and number is not None and number not in (0, 1):
            checks.custom(place, "Value must be a number equal to either 0 or 1 for data type BOOLEAN")
    elif kind == "TEXT":
        checks.string(place, value, least=1, most=_LONGEST_TEXT)
    elif kind in ("CATEGORICAL", "CORRECTION"):
        checks.string(place, value)
    elif not isinstance(value, str | int | float) or isinstance(value, bool):
        checks.is_final = False
        received = "undefined" if value is UNDEFINED else kind_of(value)
        errors: list[list[dict[str, Any]]] = [
            [
                {
                    "expected": expected,
                    "code": "invalid_type",
                    "path": [],
                    "message": f"Invalid input: expected {expected}, received {received}",
                }
            ]
            for expected in ("string", "number")
        ]
        checks.issues.append(
            {"code": "invalid_union", "errors": errors, "path": place, "message": "Invalid input"}
        )
    config = given.get("configId", UNDEFINED)
    if kind == "CORRECTION":
        if config is not UNDEFINED and config is not None:
            checks.mistyped([*path, "configId"], "undefined", config)
    else:
        checks.string([*path, "configId"], config, optional=True)


def _check_whole(checks: BodyChecks, given: dict[str, Any], path: list[str | int]) -> None:
    if not checks.is_final:
        return
    trace, session, run, observation = (bool(given.get(name)) for name in _SUBJECTS)
    if [trace, session, run].count(True) != 1 or (observation and not trace):
        checks.custom([*path, *_SUBJECTS], _ONE_SUBJECT)


def score_event_complaint(event: Any) -> list[dict[str, Any]]:
    """Return what ``processEventBatch`` finds wrong in a ``score-create`` event; empty when nothing is."""
    checks = BodyChecks()
    _check_id(checks, ["id"], event.get("id", UNDEFINED))
    timestamp = event.get("timestamp", UNDEFINED)
    if checks.string(["timestamp"], timestamp) is not None:
        checks.moment(["timestamp"], timestamp)
    body = checks.variant(["body"], event.get("body", UNDEFINED))
    if body is not None:
        path: list[str | int] = ["body"]
        before = BodyChecks()
        kind = body.get("dataType", UNDEFINED)
        if kind is UNDEFINED or (isinstance(kind, str) and kind in DATA_TYPES):
            if (own := body.get("id")) is not None:
                _check_id(before, ["body", "id"], own)
            _check_common(before, {**body, "id": None, "environment": "default"}, path)
            if (source := body.get("source", UNDEFINED)) is not UNDEFINED:
                before.choice(["body", "source"], source, SOURCES)
            for name in ("executionTraceId", "queueId"):
                before.string(["body", name], body.get(name, UNDEFINED), optional=True)
        _check_value(before, body, path)
        _check_whole(before, body, path)
        checks.issues += before.issues
    return checks.issues


def _check_id(checks: BodyChecks, path: list[str | int], value: Any) -> None:
    text = checks.string(path, value, least=1, most=_LONGEST_ID)
    if text is not None and "\r" in text:
        checks.custom(path, "ID cannot contain carriage return characters")


def kept_score(body: Score, *, project_id: str, now: int, timestamp: str | None = None) -> Score | None:
    """Return the score that the worker makes of an accepted body, ``None`` where it gives up on it.

    The worker looks at a body again once it is queued. Nobody is told when it refuses: a score for a
    configuration that the project does not have (the mock has none), a value of the wrong kind, a correction
    of a session. ``now`` is in milliseconds since 1970.
    """
    if body.get("configId"):
        return None
    value = body["value"]
    kind = body.get("dataType") or ("CATEGORICAL" if isinstance(value, str) else "NUMERIC")
    if kind == "CORRECTION" and (body.get("sessionId") or body.get("datasetRunId")):
        return None
    if kind == "BOOLEAN":
        number, text, long_text = value, "True" if value == 1 else "False", ""
    elif kind == "NUMERIC":
        number, text, long_text = value, None, ""
    elif kind == "CORRECTION":
        number, text, long_text = 0, None, value
    else:
        number, text, long_text = 0, value, ""
    created = iso_time(now)
    moment = read_date(timestamp) if timestamp is not None else None
    return {
        "id": body["id"],
        "timestamp": iso_time(moment) if moment is not None else created,
        "projectId": project_id,
        "environment": _environment(body.get("environment")),
        "traceId": body.get("traceId") or None,
        "sessionId": body.get("sessionId") or None,
        "observationId": body.get("observationId") or None,
        "datasetRunId": body.get("datasetRunId") or None,
        "name": "output" if kind == "CORRECTION" else body["name"],
        "value": number,
        "longStringValue": long_text,
        "source": body.get("source", "API"),
        "comment": body.get("comment"),
        "authorUserId": None,
        "configId": None,
        "dataType": kind,
        "queueId": body.get("queueId"),
        "executionTraceId": body.get("executionTraceId"),
        "createdAt": created,
        "updatedAt": created,
        "metadata": _metadata(body.get("metadata")),
        "stringValue": text,
    }


def _environment(value: Any) -> str:
    if not isinstance(value, str):
        return "default"
    name = re.sub(r"^(?:langfuse[-_]?)+", "", value.lower())[:40]
    return name if _ENVIRONMENT.fullmatch(name) else "default"


def _metadata(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    given = value if isinstance(value, dict) else {"metadata": value}
    texts = {
        key: item if isinstance(item := given[key], str) else stringify(item) or ""
        for key in object_keys(given)
    }
    shown = {key: shown_text(text) for key, text in texts.items()}
    return {key: texts[key] if is_deeper(item, DEEPEST) else item for key, item in shown.items()}


# --- the third version of the list --------------------------------------------------------------------------

_FIELD_GROUPS = ("core", "details", "subject", "annotation")
_LISTS = {
    "id": "id",
    "name": "name",
    "environment": "environment",
    "configId": "configId",
    "queueId": "queueId",
    "authorUserId": "authorUserId",
    "traceId": "traceId",
    "sessionId": "sessionId",
    "observationId": "observationId",
    "experimentId": "datasetRunId",
}
_V3_PARAMETERS = frozenset(
    {
        *_LISTS,
        "limit",
        "cursor",
        "fields",
        "source",
        "dataType",
        "value",
        "valueMin",
        "valueMax",
        "fromTimestamp",
        "toTimestamp",
        "userId",
        "traceTags",
    }
)


def answer_scores_v3(query_text: str, scores: Iterable[Score]) -> Answer:
    """Answer ``GET /api/public/v3/scores``: scores, newest first, page after page by cursor.

    Raises ``InvalidQueryError``.
    """
    query: dict[str, Any] = parse_query(query_text)
    checks = Checks()
    limit = whole_number(checks, "limit", query.get("limit"), 50, least=1, most=100)
    groups = _v3_groups(checks, query.get("fields"))
    wanted = {name: _comma_separated(checks, name, query.get(name)) for name in ("id", "name")}
    wanted["source"] = _v3_enum(checks, "source", query.get("source"), SOURCES)
    wanted["dataType"] = _v3_enum(checks, "dataType", query.get("dataType"), DATA_TYPES)
    for name in ("environment", "configId", "queueId", "authorUserId", "value"):
        wanted[name] = _comma_separated(checks, name, query.get(name))
    least, most = (_optional_number(checks, name, query.get(name)) for name in ("valueMin", "valueMax"))
    for name in ("traceId", "sessionId", "observationId", "experimentId"):
        wanted[name] = _comma_separated(checks, name, query.get(name))
    since, until = (
        _optional_date(checks, name, query.get(name)) for name in ("fromTimestamp", "toTimestamp")
    )
    for name in ("userId", "traceTags"):
        checks.text([name], query.get(name))
    cursor = _v3_cursor(checks, query["cursor"]) if "cursor" in query else None
    unknown = [name for name in query if name not in _V3_PARAMETERS]
    if unknown:
        names = ", ".join(f'"{name}"' for name in unknown)
        text = f"Unrecognized key{'s' if len(unknown) > 1 else ''}: {names}"
        checks.issues.append({"code": "unrecognized_keys", "keys": unknown, "path": [], "message": text})
    if all(issue["code"] in ("custom", "too_small", "too_big") for issue in checks.issues):
        # zod looks at the whole unless something has the wrong type.
        _check_v3_whole(checks, query, wanted, (least, most))
    checks.refuse_if_any()

    values = wanted.pop("value")
    found = [
        score
        for score in scores
        if all(not names or score[_LISTS.get(key, key)] in names for key, names in wanted.items())
        and (not values or _has_value(score, values))
        and (least is None or score["value"] >= least)
        and (most is None or score["value"] <= most)
        and (since is None or score["timestamp"] >= since)
        and (until is None or score["timestamp"] < until)
        and (cursor is None or _v3_place(score) < cursor)
    ]
    found.sort(key=_v3_place, reverse=True)
    page = found[:limit]
    meta: dict[str, Any] = {"limit": limit}
    if len(found) > limit and page:
        place = {"v": 1, "lastTimestamp": page[-1]["timestamp"], "lastId": page[-1]["id"]}
        meta["cursor"] = base64.urlsafe_b64encode((stringify(place) or "").encode()).decode().rstrip("=")
    return Answer.json(200, {"data": [shown_v3(score, groups) for score in page], "meta": meta})


def _v3_place(score: Score) -> tuple[str, bytes]:
    return score["timestamp"], score["id"].encode("utf-8", "surrogatepass")


def _has_value(score: Score, values: list[str]) -> bool:
    if score["dataType"] == "CATEGORICAL":
        return score["stringValue"] in values
    if score["dataType"] == "BOOLEAN":
        return score["value"] in [1 if value == "true" else 0 for value in values]
    return score["value"] in [to_number(value) for value in values]


def shown_v3(score: Score, groups: Iterable[str]) -> dict[str, Any]:
    """Return a score as the third version of the list shows it: one ``value``, whatever its type."""
    kind = score["dataType"]
    value: Any = score["value"]
    if kind == "BOOLEAN":
        value = score["value"] == 1
    elif kind in ("CATEGORICAL", "TEXT"):
        value = score["stringValue"]
    elif kind == "CORRECTION":
        value = score["longStringValue"]
    core = {name: score[name] for name in ("id", "projectId", "name", "dataType")}
    rest = {name: score[name] for name in ("source", "timestamp", "environment", "createdAt", "updatedAt")}
    shown = {**core, "value": value, **rest}
    if "details" in groups:
        shown |= {name: score[name] for name in ("comment", "configId", "metadata")}
    if "annotation" in groups:
        shown |= {name: score[name] for name in ("authorUserId", "queueId")}
    if "subject" in groups:
        shown["subject"] = _subject(score)
    return shown


def _subject(score: Score) -> dict[str, Any]:
    if score["datasetRunId"]:
        return {"kind": "experiment", "id": score["datasetRunId"]}
    if score["observationId"]:
        return {"kind": "observation", "id": score["observationId"], "traceId": score["traceId"]}
    if score["sessionId"]:
        return {"kind": "session", "id": score["sessionId"]}
    return {"kind": "trace", "id": score["traceId"]}


def _v3_groups(checks: Checks, value: Any) -> list[str]:
    if value is None or value == "":
        return ["core"]
    names = _split(value) if isinstance(value, str) else value
    for place, name in enumerate(names):
        checks.one_of(["fields", place], name, _FIELD_GROUPS, required=True)
    return names


def _split(text: str) -> list[str]:
    return [part for part in (piece.strip() for piece in text.split(",")) if part]


def _comma_separated(checks: Checks, name: str, value: Any) -> list[str]:
    return _split(checks.text([name], value) or "")


def _v3_enum(checks: Checks, name: str, value: Any, options: tuple[str, ...]) -> list[str]:
    values = [part.upper() for part in _comma_separated(checks, name, value)]
    for each in values:
        if each not in options:
            text = f'Invalid {name} value: "{each}". Allowed: {", ".join(options)}'
            checks.issues.append({"code": "custom", "message": text, "path": [name]})
    return values


def _optional_number(checks: Checks, name: str, value: Any) -> float | None:
    if value is None or value == "":
        return None
    found = to_number(value)
    if math.isfinite(found):
        return found
    received, shown = ("NaN", "NaN") if math.isnan(found) else ("Infinity", "number")
    checks.issues.append(
        {
            "expected": "number",
            "code": "invalid_type",
            "received": received,
            "path": [name],
            "message": f"Invalid input: expected number, received {shown}",
        }
    )
    return None


def _optional_date(checks: Checks, name: str, value: Any) -> str | None:
    return None if value is None or value == "" else _date(checks, [name], value)


def _date(checks: Checks, path: list[str], value: Any) -> str | None:
    moment = read_date(value)
    if moment is not None:
        return iso_time(moment)
    checks.issues.append(
        {
            "expected": "date",
            "code": "invalid_type",
            "received": "Invalid Date",
            "path": path,
            "message": "Invalid input: expected date, received Date",
        }
    )
    return None


def _v3_cursor(checks: Checks, value: Any) -> tuple[str, bytes] | None:
    text = checks.text(["cursor"], value)
    if text is None:
        return None
    try:
        compact = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
        place = parse_json(base64.b64decode(compact + "=" * (-len(compact) % 4)).decode("utf-8", "replace"))
    except (ValueError, binascii.Error) as error:
        raise InvalidQueryError(message(400, "Invalid cursor format", "InvalidRequestError")) from error
    if not isinstance(place, dict):
        checks.issues.append(
            {
                "code": "invalid_type",
                "expected": "object",
                "path": ["cursor"],
                "message": f"Invalid input: expected object, received {kind_of(place)}",
            }
        )
        return None
    if place.get("v") != 1:
        checks.issues.append(no_variant(["cursor"], "v"))
        return None
    moment = _date(checks, ["cursor", "lastTimestamp"], place.get("lastTimestamp"))
    last = checks.text(["cursor", "lastId"], place.get("lastId"), required=True)
    return (
        (moment, last.encode("utf-8", "surrogatepass")) if moment is not None and last is not None else None
    )


def _check_v3_whole(
    checks: Checks, query: dict[str, Any], wanted: dict[str, list[str]], bounds: tuple[Any, Any]
) -> None:
    """Check what belongs together."""

    def complain(text: str) -> None:
        checks.issues.append({"code": "custom", "message": text, "path": []})

    for name in ("userId", "traceTags"):
        if query.get(name):
            complain(
                f"{name} filter requires a trace JOIN and is not supported in v3 — use v2 or omit this filter"
            )
    kinds, values = wanted["dataType"], wanted["value"]
    if values:
        if len(kinds) != 1:
            complain("value filter requires a single dataType from: NUMERIC, BOOLEAN, CATEGORICAL")
        elif kinds[0] not in ("NUMERIC", "BOOLEAN", "CATEGORICAL"):
            complain(
                f'value filter requires dataType to be NUMERIC, BOOLEAN, or CATEGORICAL (got "{kinds[0]}")'
            )
        for value in values:
            if kinds == ["NUMERIC"] and not math.isfinite(to_number(value)):
                complain(
                    "value filter with dataType=NUMERIC requires each value to be a finite number "
                    f'(got "{value}")'
                )
            if kinds == ["BOOLEAN"] and value not in ("true", "false"):
                complain(
                    'value filter with dataType=BOOLEAN requires each value to be "true" or "false" '
                    f'(got "{value}")'
                )
    if bounds != (None, None) and kinds != ["NUMERIC"]:
        complain("valueMin and valueMax require dataType=NUMERIC as a single value")
    if wanted["observationId"] and not wanted["traceId"]:
        complain("observationId filter requires traceId — observation IDs are scoped to a trace")
    if sum(bool(wanted[name]) for name in ("traceId", "sessionId", "experimentId")) > 1:
        complain("At most one of traceId, sessionId, experimentId may be specified")


# --- the lists of Langfuse 3 --------------------------------------------------------------------------------


def shown_legacy(score: Score) -> dict[str, Any]:
    """Return a score as the first two versions of the list show it."""
    left_out = {"longStringValue", "value"} if score["dataType"] == "TEXT" else {"longStringValue"}
    shown = {name: value for name, value in score.items() if name not in left_out}
    if score["dataType"] == "CORRECTION":
        shown["stringValue"] = score["longStringValue"]
    return shown
