"""The OTLP endpoints: one request in, one answer out, in the order of Langfuse's checks.

Seen in ``web/src/pages/api/public/otel/v1/{traces,metrics}/index.ts`` and
``web/src/features/public-api/server/createAuthedProjectAPIRoute.ts``.
"""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan

from codex_langfuse.compression import gunzip
from codex_langfuse.mock.langfuse.answer import Answer, message
from codex_langfuse.mock.langfuse.auth import ApiKey, Refused, verify
from codex_langfuse.mock.langfuse.javascript import iso_time, parse_int
from codex_langfuse.mock.langfuse.otlp import TraceExport, parse_otlp_json, parse_protobuf

#: Bytes a body may have once decompressed. Langfuse has no limit; this is what a proxy in front would do.
LARGEST_BODY = 256 * 1024 * 1024

#: As a proxy in front of Langfuse (here nginx) words it.
TOO_LARGE = Answer(
    413,
    b"<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n"
    b"<center><h1>413 Request Entity Too Large</h1></center>\r\n"
    b"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
    "text/html",
)
_FORBIDDEN = message(403, "Access denied - insufficient permissions for this endpoint")


@dataclass(frozen=True)
class Accepted:
    """A trace export that Langfuse took: the answer, the spans, and the project they are for."""

    answer: Answer
    export: TraceExport
    key: ApiKey


def authorize(
    headers: Mapping[str, str], keys: tuple[ApiKey, ...], *, read_only: bool = False
) -> ApiKey | Answer:
    """Return the project's key that a request carries, or the answer that refuses it.

    ``read_only`` routes are open to an in-app agent's key.
    """
    outcome = verify(headers.get("authorization"), keys, allow_in_app_agent=read_only)
    if isinstance(outcome, Refused):
        return message(401, outcome.message)
    return outcome.key if outcome.access_level == "project" else _FORBIDDEN


def answer_metrics(headers: Mapping[str, str], keys: tuple[ApiKey, ...]) -> Answer:
    """Answer ``POST /api/public/otel/v1/metrics``: any body is taken and thrown away."""
    key = authorize(headers, keys)
    return key if isinstance(key, Answer) else Answer.json(200, {"message": "OK"})


def answer_traces(
    headers: Mapping[str, str], body: bytes, keys: tuple[ApiKey, ...], job_number: int, langfuse: int
) -> Answer | Accepted:
    """Answer ``POST /api/public/otel/v1/traces``.

    ``headers`` have lower-case names; ``job_number`` is the number that the queue gives an accepted export;
    ``langfuse`` is the major version: 3 does not look at the ids of spans before it queues them.
    """
    key = authorize(headers, keys)
    if isinstance(key, Answer):
        return key
    export = decode(headers, body)
    if isinstance(export, Answer):
        return export
    if export.is_empty:
        return Answer.json(200, {})
    if langfuse >= 4 and (refusal := export.refusal()):
        return Answer.json(400, {"error": refusal})
    version = _langfuse_header(headers, "x-langfuse-ingestion-version")
    if version:
        parsed = parse_int(version)
        if isnan(parsed) or parsed > 4:
            text = f'Unsupported x-langfuse-ingestion-version: "{version}". Maximum supported: "4".'
            return Answer.json(400, {"error": text})
    return Accepted(_queued(key, version, job_number), export, key)


def decode(headers: Mapping[str, str], body: bytes) -> TraceExport | Answer:
    """Decompress and decode the body of a request for ``/v1/traces``, or say why not."""
    if "gzip" in headers.get("content-encoding", ""):
        try:
            body = gunzip(body, LARGEST_BODY)
        except OverflowError:
            return TOO_LARGE
        except ValueError:
            return Answer.json(400, {"error": "Failed to decompress request body"})
    content_type = headers.get("content-type", "").lower()
    is_protobuf = "application/x-protobuf" in content_type
    is_json = "application/json" in content_type
    if not is_protobuf and not is_json:
        return Answer.json(400, {"error": "Invalid content type"})
    export = TraceExport()
    if is_protobuf:
        try:
            export = parse_protobuf(body)
        except ValueError:
            return Answer.json(400, {"error": "Failed to parse OTel Protobuf Trace"})
    if is_json:
        try:
            export = parse_otlp_json(body)
        except ValueError:
            return Answer.json(400, {"error": "Failed to parse OTel JSON Trace"})
    return export


def _langfuse_header(headers: Mapping[str, str], name: str) -> str:
    return headers.get(name, headers.get(name.replace("-", "_"), ""))


def _queued(key: ApiKey, version: str, job_number: int) -> Answer:
    """Make the answer to an accepted export: a job of Langfuse's queue, as far as a sender may care."""
    job = {
        "name": "otel-ingestion-job",
        "data": {
            "id": str(uuid.uuid4()),
            "timestamp": iso_time(time.time() * 1000),
            "payload": {
                "authCheck": {"validKey": True, "scope": {"projectId": key.project_id}},
                "ingestionVersion": version,
            },
        },
        "id": str(job_number),
    }
    return Answer.json(200, job)
