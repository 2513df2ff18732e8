"""Prompts: texts with versions and labels.

Seen in ``packages/shared/src/features/prompts/`` (what may be sent) and ``web/src/features/prompts/server/``.
Not played: prompts for a chat, and prompts that refer to other prompts.
"""

import re
import uuid
from collections.abc import Iterable
from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer, message
from codex_langfuse.mock.langfuse.checks import Checks, invalid_request, not_played
from codex_langfuse.mock.langfuse.javascript import iso_time, to_number

Prompt = dict[str, Any]

_LABEL = re.compile(r"[a-z0-9_\-.]{1,36}")
_LABEL_TEXT = "Label must be lowercase alphanumeric with optional underscores, hyphens, or periods"
_REFERENCE = "@@@langfusePrompt:"


def check_prompt(body: Any) -> Prompt:
    """Check the body of ``POST /api/public/v2/prompts`` and return it; raises ``RefusedError``."""
    checks = Checks()
    given = checks.object([], body)
    if given.get("type", "text") != "text" or _REFERENCE in str(given.get("prompt")):
        raise not_played("The mock plays prompts of type text, which refer to no other prompts.")
    checks.text(["name"], given.get("name"), required=True, least=1)
    checks.text(["prompt"], given.get("prompt"), required=True)
    for path, label in checks.items(["labels"], given.get("labels")):
        if not isinstance(label, str) or not _LABEL.fullmatch(label):
            checks.complain(path, _LABEL_TEXT)
    for path, tag in checks.items(["tags"], given.get("tags")):
        checks.text(path, tag, required=True)
    checks.text(["commitMessage"], given.get("commitMessage"), most=500)
    checks.refuse_if_any()
    return given


def kept_prompt(given: Prompt, earlier: list[Prompt], *, project_id: str, now: int) -> Prompt:
    """Return a new version of a prompt, after the ``earlier`` ones of the same name, oldest first."""
    moment = iso_time(now)
    tags = given.get("tags")
    return {
        "id": str(uuid.uuid4()),
        "createdAt": moment,
        "updatedAt": moment,
        "projectId": project_id,
        "createdBy": "API",
        "prompt": given["prompt"],
        "name": given["name"],
        "version": earlier[-1]["version"] + 1 if earlier else 1,
        "type": "text",
        "isActive": None,
        "config": given.get("config") or {},
        "tags": _distinct(tags if tags is not None else earlier[-1]["tags"] if earlier else []),
        "labels": _distinct([*(given.get("labels") or []), "latest"]),
        "commitMessage": given.get("commitMessage"),
    }


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def without_labels(earlier: Prompt, labels: Iterable[str], tags: list[str], *, now: int) -> Prompt:
    """Return an earlier version once a newer one has taken some of its labels and set the tags of all."""
    taken = set(labels)
    kept = [label for label in earlier["labels"] if label not in taken]
    if kept == earlier["labels"] and tags == earlier["tags"]:
        return earlier
    return {**earlier, "labels": kept, "tags": tags, "updatedAt": iso_time(now)}


def answer_prompt(name: str, query: dict[str, Any], versions: list[Prompt]) -> Answer:
    """Answer ``GET /api/public/v2/prompts/{name}``: one version, by number, by label, or in production.

    Raises ``RefusedError``.
    """
    checks = Checks()
    label = checks.text(["label"], query.get("label"))
    checks.refuse_if_any()
    version = query.get("version")
    if version and label:
        raise invalid_request("Cannot specify both version and label")
    wanted = label or "production"
    for prompt in versions:
        if prompt["version"] == to_number(version) if version else wanted in prompt["labels"]:
            is_active = "production" in prompt["labels"]
            return Answer.json(200, {**prompt, "resolutionGraph": None, "isActive": is_active})
    which = f"version {version}" if version else f"label '{wanted}'"
    return message(404, f"Prompt not found: '{name}' with {which}", "LangfuseNotFoundError")
