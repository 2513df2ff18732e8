"""Scores: what may be sent, what is kept of it, and how it is shown.

Seen in ``packages/shared/src/features/scores/interfaces/api/`` (bodies and queries) and
``packages/shared/src/server/repositories/scores.ts`` (the third version of the list). Not played: score
configurations, corrections and texts.
"""

import uuid
from collections.abc import Iterable
from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer
from codex_langfuse.mock.langfuse.checks import Checks, not_played, parse_query
from codex_langfuse.mock.langfuse.javascript import iso_time
from codex_langfuse.mock.langfuse.observations import environment_name
from codex_langfuse.mock.langfuse.paging import read_cursor, write_cursor

Score = dict[str, Any]

_SUBJECTS = ("traceId", "sessionId", "datasetRunId", "observationId")
_ONE_SUBJECT = (
    "Provide exactly one of the following: traceId (with optional observationId), sessionId or datasetRunId. "
    "ObservationId requires traceId."
)
_TYPES = ("NUMERIC", "CATEGORICAL", "BOOLEAN")


def check_score(body: Any) -> Score:
    """Check the body of ``POST /api/public/scores`` and return it.

    Raises ``RefusedError``. A list is refused: Langfuse 4.16.0 takes one score.
    """
    checks = Checks()
    given = checks.object([], body)
    checks.refuse_if_any()
    if given.get("configId") is not None or given.get("dataType") in ("CORRECTION", "TEXT"):
        raise not_played("The mock plays scores of a number, a category or a yes, without a configuration.")
    checks.text(["name"], given.get("name"), required=True, least=1)
    for name in ("id", "traceId", "sessionId", "datasetRunId", "observationId", "comment", "environment"):
        checks.text([name], given.get(name))
    kind = checks.one_of(["dataType"], given.get("dataType"), _TYPES)
    value = given.get("value")
    if kind == "CATEGORICAL" or (kind is None and isinstance(value, str)):
        checks.text(["value"], value, required=True)
    else:
        checks.real(["value"], value, required=True)
        if kind == "BOOLEAN" and value not in (0, 1):
            checks.complain(["value"], "Value must be a number equal to either 0 or 1 for data type BOOLEAN")
    trace, session, run, observation = (bool(given.get(name)) for name in _SUBJECTS)
    if [trace, session, run].count(True) != 1 or (observation and not trace):
        checks.complain([*_SUBJECTS], _ONE_SUBJECT)
    checks.refuse_if_any()
    return given


def kept_score(body: Score, *, project_id: str, now: int) -> Score:
    """Return the score that the worker makes of a checked body. ``now`` is in milliseconds since 1970."""
    value, metadata, moment = body["value"], body.get("metadata"), iso_time(now)
    return {
        "id": body.get("id") or str(uuid.uuid4()),
        "timestamp": moment,
        "projectId": project_id,
        "environment": environment_name(body.get("environment")),
        **{name: body.get(name) or None for name in _SUBJECTS},
        "name": body["name"],
        "value": value,
        "source": "API",
        "comment": body.get("comment"),
        "authorUserId": None,
        "configId": None,
        "dataType": body.get("dataType") or ("CATEGORICAL" if isinstance(value, str) else "NUMERIC"),
        "queueId": None,
        "createdAt": moment,
        "updatedAt": moment,
        "metadata": metadata
        if isinstance(metadata, dict)
        else {}
        if metadata is None
        else {"metadata": metadata},
    }


# --- the third version of the list --------------------------------------------------------------------------

_FIELD_GROUPS = ("core", "details", "subject", "annotation")
#: Parameters that name what a score must have: one value, or several with commas.
_WANTED = ("id", "name", "environment", "source", "dataType", "traceId", "sessionId", "observationId")


def answer_scores(query_text: str, scores: Iterable[Score]) -> Answer:
    """Answer ``GET /api/public/v3/scores``: scores, newest first, page after page by cursor.

    Raises ``RefusedError``.
    """
    query = parse_query(query_text)
    unplayed = sorted(set(query) - {*_WANTED, "limit", "cursor", "fields"})
    if unplayed:
        raise not_played(f"The mock plays no {', '.join(unplayed)} for the list of scores.")
    checks = Checks()
    limit = checks.number_in_query("limit", query.get("limit"), 50, least=1, most=100)
    groups = _names(checks, "fields", query)
    for group in groups:
        checks.one_of(["fields"], group, _FIELD_GROUPS)
    wanted = {name: names for name in _WANTED if (names := _names(checks, name, query))}
    cursor = read_cursor(checks, query, "lastTimestamp", "lastId")
    if "observationId" in wanted and "traceId" not in wanted:
        checks.complain([], "observationId filter requires traceId — observation IDs are scoped to a trace")
    checks.refuse_if_any()

    found = [
        score
        for score in scores
        if all(score[name] in names for name, names in wanted.items())
        and (cursor is None or _place(score) < cursor)
    ]
    found.sort(key=_place, reverse=True)
    page = found[:limit]
    meta: dict[str, Any] = {"limit": limit}
    if len(found) > limit:
        timestamp, last_id = _place(page[-1])
        meta["cursor"] = write_cursor({"v": 1, "lastTimestamp": timestamp, "lastId": last_id})
    return Answer.json(200, {"data": [_shown(score, groups) for score in page], "meta": meta})


def _names(checks: Checks, name: str, query: dict[str, Any]) -> list[str]:
    text = checks.text([name], query.get(name)) or ""
    return [part for part in (piece.strip() for piece in text.split(",")) if part]


def _place(score: Score) -> tuple[str, str]:
    return score["timestamp"], score["id"]


def _shown(score: Score, groups: Iterable[str]) -> dict[str, Any]:
    names = ["id", "projectId", "name", "dataType", "value", "source", "timestamp", "environment"]
    names += ["createdAt", "updatedAt"]
    names += ["comment", "configId", "metadata"] if "details" in groups else []
    names += ["authorUserId", "queueId"] if "annotation" in groups else []
    shown = {name: score[name] for name in names}
    if score["dataType"] == "BOOLEAN":
        shown["value"] = score["value"] == 1
    return {**shown, "subject": _subject(score)} if "subject" in groups else shown


def _subject(score: Score) -> dict[str, Any]:
    if score["datasetRunId"]:
        return {"kind": "experiment", "id": score["datasetRunId"]}
    if score["observationId"]:
        return {"kind": "observation", "id": score["observationId"], "traceId": score["traceId"]}
    if score["sessionId"]:
        return {"kind": "session", "id": score["sessionId"]}
    return {"kind": "trace", "id": score["traceId"]}
