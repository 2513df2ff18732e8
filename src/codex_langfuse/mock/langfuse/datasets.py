"""Datasets and their items.

Seen in ``web/src/features/public-api/types/datasets.ts`` and
``web/src/features/datasets/server/publicDatasetService.ts``.
"""

import hashlib
import re
import secrets
import uuid
from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer, message
from codex_langfuse.mock.langfuse.javascript import UNDEFINED, iso_time, stringify
from codex_langfuse.mock.langfuse.observations import read_date
from codex_langfuse.mock.langfuse.query_parameters import InvalidQueryError
from codex_langfuse.mock.langfuse.request_body import BodyChecks

Dataset = dict[str, Any]
Item = dict[str, Any]

NO_SCHEMAS = message(
    501, "The mock plays no schemas of datasets: leave inputSchema and expectedOutputSchema out."
)

_TAG = re.compile(r"<[^<>]*>")
_FOLDER_RULES = (
    (r"^[^/]", "Name cannot start with a slash"),
    (r"^(?!.*\/\/)", "Name cannot contain consecutive slashes"),
    (r"^.*[^/]$", "Name cannot end with a slash"),
)


def check_dataset(body: Any) -> Dataset:
    """Check the body of ``POST /api/public/v2/datasets`` and return it.

    Raises ``InvalidQueryError``, also for what the mock does not play: schemas.
    """
    checks = BodyChecks()
    given = checks.object([], body)
    if given is not None:
        checks.string(["name"], given.get("name", UNDEFINED))
        checks.string(["description"], given.get("description", UNDEFINED), optional=True)
    checks.refuse_if_any()
    given = given or {}
    if given.get("inputSchema") is not None or given.get("expectedOutputSchema") is not None:
        raise InvalidQueryError(NO_SCHEMAS)
    issues = complaints_of_name(given["name"])
    if issues:
        text = f"Dataset name not valid. {indented(issues)}"
        raise InvalidQueryError(message(400, text, "InvalidRequestError"))
    return {**given, "name": given["name"].strip()}


def complaints_of_name(name: str, *, more: tuple[tuple[str, str], ...] = ()) -> list[dict[str, Any]]:
    """Return what zod finds wrong in a name with folders; ``more`` are further patterns it must match."""
    checks = BodyChecks()
    checks.string([], name, least=1, too_short="Text cannot be empty")
    if _TAG.search(name):
        checks.custom([], "Text cannot contain HTML tags")
    for pattern, text in (*more, *_FOLDER_RULES):
        # JavaScript writes a slash escaped, except in a class.
        if not re.search(pattern.replace(r"\/", "/"), name, re.ASCII):
            checks.issues.append(
                {
                    "origin": "string",
                    "code": "invalid_format",
                    "format": "regex",
                    "pattern": f"/{pattern}/",
                    "path": [],
                    "message": text,
                }
            )
    if not checks.issues and not name.strip():
        checks.custom([], "Name cannot be empty")
    return checks.issues


def indented(issues: list[dict[str, Any]]) -> str:
    """Write complaints as zod's own error message does: JSON, indented by two."""
    return _pretty(issues, "")


def _pretty(value: Any, margin: str) -> str:
    inner = margin + "  "
    if isinstance(value, dict) and value:
        parts = [f"{inner}{stringify(key)}: {_pretty(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(parts) + f"\n{margin}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(inner + _pretty(item, inner) for item in value) + f"\n{margin}]"
    return stringify(value) or ""


def kept_dataset(given: Dataset, earlier: Dataset | None, *, project_id: str, now: int) -> Dataset:
    """Return a dataset as the API shows it, made of a body and of what was there under that name."""
    moment = iso_time(now)
    if earlier is None:
        return {
            "id": "c" + secrets.token_hex(12),
            "projectId": project_id,
            "name": given["name"],
            "description": given.get("description"),
            "metadata": given.get("metadata"),
            "inputSchema": None,
            "expectedOutputSchema": None,
            "createdAt": moment,
            "updatedAt": moment,
        }
    changed = {name: given[name] for name in ("description", "metadata") if given.get(name) is not None}
    return {**earlier, **changed, "updatedAt": moment}


def check_item(body: Any) -> Item:
    """Check the body of ``POST /api/public/dataset-items`` and return it.

    Raises ``InvalidQueryError``.
    """
    checks = BodyChecks()
    given = checks.object([], body)
    if given is not None:
        checks.string(["datasetName"], given.get("datasetName", UNDEFINED))
        checks.string(
            ["id"],
            given.get("id", UNDEFINED),
            optional=True,
            least=1,
            most=255,
            too_short="ID must not be empty",
            too_long="ID must be at most 255 characters",
        )
        for name in ("sourceTraceId", "sourceObservationId"):
            checks.string([name], given.get(name, UNDEFINED), optional=True)
        checks.choice(["status"], given.get("status", UNDEFINED), ("ACTIVE", "ARCHIVED"), optional=True)
    checks.refuse_if_any()
    return given or {}


def kept_item(given: Item, earlier: Item | None, dataset: Dataset, *, now: int) -> Item:
    """Return an item as the API shows it, made of a body and of what was there under that id."""
    was = earlier or {}

    def field(name: str) -> Any:
        return given[name] if given.get(name) is not None else was.get(name)

    moment = iso_time(now)
    return {
        "id": given.get("id") or str(uuid.uuid4()),
        "datasetId": dataset["id"],
        "status": field("status") or "ACTIVE",
        "sourceTraceId": field("sourceTraceId"),
        "sourceObservationId": field("sourceObservationId"),
        "createdAt": moment,
        "updatedAt": moment,
        "input": field("input"),
        "expectedOutput": field("expectedOutput"),
        "metadata": field("metadata"),
        "datasetName": dataset["name"],
        "mediaReferences": [],
    }


def other_dataset(item_id: str, dataset_id: str) -> Answer:
    """Return the answer to an item whose id is taken by an item of another dataset."""
    text = (
        f"Dataset item id {item_id} already exists in another dataset (id {dataset_id}) in this project; "
        "item ids are unique per project across datasets. Use a different id or target dataset "
        f"{dataset_id}."
    )
    return message(409, text, "LangfuseConflictError")


def check_run_item(body: Any) -> dict[str, Any]:
    """Check the body of ``POST /api/public/dataset-run-items`` and return it.

    Raises ``InvalidQueryError``.
    """
    checks = BodyChecks()
    given = checks.object([], body)
    if given is None:
        checks.refuse_if_any()
        return {}
    checks.string(["runName"], given.get("runName", UNDEFINED))
    checks.string(["runDescription"], given.get("runDescription", UNDEFINED), optional=True)
    checks.string(["datasetItemId"], given.get("datasetItemId", UNDEFINED))
    for name in ("observationId", "traceId"):
        checks.string([name], given.get(name, UNDEFINED), optional=True)
    version = given.get("datasetVersion")
    if version is not None and not isinstance(version, bool) and read_date(version) is None:
        checks.is_final = False
        checks.issues.append(
            {
                "expected": "date",
                "code": "invalid_type",
                "received": "Invalid Date",
                "path": ["datasetVersion"],
                "message": "Invalid input: expected date, received Date",
            }
        )
    created = checks.string(["createdAt"], given.get("createdAt", UNDEFINED), optional=True)
    if created is not None:
        checks.moment(["createdAt"], created)
    known = {"runName", "runDescription", "metadata", "datasetItemId", "observationId", "traceId"}
    unknown = [name for name in given if name not in known | {"datasetVersion", "createdAt"}]
    if unknown:
        names = ", ".join(f'"{name}"' for name in unknown)
        text = f"Unrecognized key{'s' if len(unknown) > 1 else ''}: {names}"
        checks.issues.append({"code": "unrecognized_keys", "keys": unknown, "path": [], "message": text})
        checks.is_final = False
    if checks.is_final and not given.get("observationId") and not given.get("traceId"):
        checks.custom(["observationId", "traceId"], "observationId or traceId must be provided")
    checks.refuse_if_any()
    return given


def run_item(given: dict[str, Any], item: Item, *, project_id: str, now: int) -> dict[str, Any]:
    """Return what Langfuse 4 answers for an item of a run, of which by default it keeps nothing.

    The id of the run is the same for every item of it. That the trace belongs to the experiment is said by
    attributes of its spans instead.
    """
    run = stringify(["langfuse-experiment-v1", project_id, item["datasetId"], given["runName"]]) or ""
    created = read_date(given.get("createdAt"))
    moment = iso_time(now if created is None else created)
    return {
        "id": str(uuid.uuid4()),
        "datasetRunId": hashlib.sha256(run.encode()).hexdigest()[:16],
        "datasetRunName": given["runName"],
        "datasetItemId": item["id"],
        "traceId": given.get("traceId") or "",
        "observationId": given.get("observationId"),
        "createdAt": moment,
        "updatedAt": moment,
    }
