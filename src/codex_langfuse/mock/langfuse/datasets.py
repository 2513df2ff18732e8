"""Datasets and their items.

Seen in ``web/src/features/public-api/types/datasets.ts`` and
``web/src/features/datasets/server/publicDatasetService.ts``. Not played: schemas.
"""

import hashlib
import secrets
import uuid
from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer, message
from codex_langfuse.mock.langfuse.checks import Checks, invalid_request, not_played
from codex_langfuse.mock.langfuse.javascript import iso_time, stringify

Dataset = dict[str, Any]
Item = dict[str, Any]


def check_dataset(body: Any) -> Dataset:
    """Check the body of ``POST /api/public/v2/datasets`` and return it; raises ``RefusedError``."""
    checks = Checks()
    given = checks.object([], body)
    name = checks.text(["name"], given.get("name"), required=True, least=1) or ""
    checks.text(["description"], given.get("description"))
    checks.refuse_if_any()
    if given.get("inputSchema") is not None or given.get("expectedOutputSchema") is not None:
        raise not_played(
            "The mock plays no schemas of datasets: leave inputSchema and expectedOutputSchema out."
        )
    if name.startswith("/") or name.endswith("/") or "//" in name:
        raise invalid_request(
            "Dataset name not valid. Slashes make folders: none at the start, at the end, or side by side."
        )
    return given


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
    """Check the body of ``POST /api/public/dataset-items`` and return it; raises ``RefusedError``."""
    checks = Checks()
    given = checks.object([], body)
    checks.text(["datasetName"], given.get("datasetName"), required=True)
    checks.text(["id"], given.get("id"), least=1, most=255)
    for name in ("sourceTraceId", "sourceObservationId"):
        checks.text([name], given.get(name))
    checks.one_of(["status"], given.get("status"), ("ACTIVE", "ARCHIVED"))
    checks.refuse_if_any()
    return given


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
    """Check the body of ``POST /api/public/dataset-run-items`` and return it; raises ``RefusedError``."""
    checks = Checks()
    given = checks.object([], body)
    for name in ("runName", "datasetItemId"):
        checks.text([name], given.get(name), required=True)
    for name in ("runDescription", "observationId", "traceId"):
        checks.text([name], given.get(name))
    if not given.get("observationId") and not given.get("traceId"):
        checks.complain(["observationId", "traceId"], "observationId or traceId must be provided")
    checks.refuse_if_any()
    return given


def run_item(given: dict[str, Any], item: Item, *, project_id: str, now: int) -> dict[str, Any]:
    """Return what Langfuse 4 answers for an item of a run, of which by default it keeps nothing.

    The id of the run is the same for every item of it. That the trace belongs to the experiment is said by
    attributes of its spans instead.
    """
    run = stringify(["langfuse-experiment-v1", project_id, item["datasetId"], given["runName"]]) or ""
    moment = iso_time(now)
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
