"""``POST /api/public/ingestion``: events in a batch, the way older SDKs send scores.

Seen in ``web/src/pages/api/public/ingestion.ts`` and
``packages/shared/src/server/ingestion/processEventBatch.ts``. Langfuse 4 takes scores and log lines there, by
default nothing else. Neither does the mock, as either version.
"""

from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer
from codex_langfuse.mock.langfuse.datasets import indented
from codex_langfuse.mock.langfuse.query_parameters import kind_of
from codex_langfuse.mock.langfuse.scores import score_event_complaint

_REMEDY = (
    "Upgrade the client or integration to a v4-compatible SDK or OTLP ingestion path. As a temporary "
    "migration bridge, set LANGFUSE_MIGRATION_V4_WRITE_MODE=dual on both the web and worker services and "
    "redeploy. Docs: https://langfuse.com/self-hosting/upgrade/upgrade-guides/upgrade-v3-to-v4"
)


def answer_batch(body: Any, *, langfuse: int) -> tuple[Answer, list[dict[str, Any]]]:
    """Return the answer to a batch, and its scores that were accepted, oldest first."""
    batch = body.get("batch") if isinstance(body, dict) else None
    if not isinstance(batch, list):
        if not isinstance(body, dict):
            text = f"Invalid input: expected object, received {kind_of(body)}"
        else:
            received = kind_of(batch) if "batch" in body else "undefined"
            text = f"Invalid input: expected array, received {received}"
        return Answer.json(400, {"message": "Invalid request data", "errors": [text]}), []
    successes: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    accepted: list[dict[str, Any]] = []
    for event in batch:
        given = event if isinstance(event, dict) else {}
        kind = given.get("type") if isinstance(given.get("type"), str) else None
        event_id = given["id"] if isinstance(given.get("id"), str) else "unknown"
        if kind not in ("score-create", "sdk-log"):
            rejected.append(_rejection(event_id, kind, langfuse))
        elif kind == "score-create":
            complaint = score_event_complaint(given)
            if complaint:
                errors.append(
                    {
                        "id": event_id,
                        "status": 400,
                        "message": "Invalid request data",
                        "error": indented(complaint),
                    }
                )
            else:
                accepted.append(given)
    accepted.sort(key=lambda event: event["timestamp"])
    successes = [{"id": event["id"], "status": 201} for event in accepted]
    # An event without an id for its score is answered as a success and thrown away.
    kept = [event for event in accepted if event["body"].get("id")]
    return Answer.json(207, {"successes": successes, "errors": [*errors, *rejected]}), kept


def _rejection(event_id: str, kind: str | None, langfuse: int) -> dict[str, Any]:
    name = kind or "unknown"
    if langfuse == 3:
        text = f'The mock takes no event of type "{name}". Send spans to /api/public/otel/v1/traces.'
        return {"id": event_id, "status": 501, "message": "Not played by the mock", "error": text}
    return {
        "id": event_id,
        "status": 400,
        "message": "Event type not accepted",
        "error": f'Event type "{name}" is not accepted by /api/public/ingestion when '
        "LANGFUSE_MIGRATION_V4_WRITE_MODE is events_only. This endpoint only accepts score and log events. "
        f"{_REMEDY}",
    }
