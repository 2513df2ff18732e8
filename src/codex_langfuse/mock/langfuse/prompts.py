"""Prompts: texts with versions and labels.

Seen in ``packages/shared/src/features/prompts/`` (what may be sent) and ``web/src/features/prompts/server/``.
Not played: prompts that refer to other prompts.
"""

import re
import uuid
from collections.abc import Iterable
from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer, message
from codex_langfuse.mock.langfuse.datasets import complaints_of_name
from codex_langfuse.mock.langfuse.javascript import UNDEFINED, iso_time, stringify
from codex_langfuse.mock.langfuse.query_parameters import InvalidQueryError, kind_of
from codex_langfuse.mock.langfuse.request_body import BodyChecks

Prompt = dict[str, Any]

_RESERVED = ("new", "metrics", "prompt-detail")
_LABEL = re.compile(r"^[a-z0-9_\-.]+$")
_LABEL_TEXT = "Label must be lowercase alphanumeric with optional underscores, hyphens, or periods"
_NO_PIPE = (r"^[^|]*$", "Prompt name cannot contain '|' character")
_REFERENCE = "@@@langfusePrompt:"

NO_REFERENCES = message(501, "The mock plays no prompts that refer to other prompts.")


def check_prompt(body: Any) -> Prompt:
    """Check the body of ``POST /api/public/v2/prompts`` and return it.

    Raises ``InvalidQueryError``, also for what the mock does not play: references to other prompts.
    """
    text, chat = (_check_kind(body, kind) for kind in ("text", "chat"))
    if text.issues and chat.issues:
        checks = BodyChecks()
        # zod names the one kind that fits but for its values; else it lists what is wrong with each.
        fitting = [each for each in (text, chat) if each.is_final]
        if len(fitting) == 1:
            checks.issues = fitting[0].issues
        else:
            errors = [text.issues, chat.issues]
            checks.issues.append(
                {"code": "invalid_union", "errors": errors, "path": [], "message": "Invalid input"}
            )
        checks.refuse_if_any()
    if _REFERENCE in (stringify(body["prompt"]) or ""):
        raise InvalidQueryError(NO_REFERENCES)
    return {**body, "name": body["name"].strip(), "type": body.get("type", "text")}


def _check_kind(body: Any, kind: str) -> BodyChecks:
    checks = BodyChecks()
    given = checks.object([], body)
    if given is None:
        return checks
    _check_name(checks, given.get("name", UNDEFINED))
    if (labels := given.get("labels", UNDEFINED)) is not UNDEFINED:
        _check_labels(checks, labels)
    is_named = "type" in given
    if (is_named or kind == "chat") and given.get("type") != kind:
        checks.is_final = False
        checks.issues.append(
            {
                "code": "invalid_value",
                "values": [kind],
                "path": ["type"],
                "message": f'Invalid input: expected "{kind}"',
            }
        )
    prompt = given.get("prompt", UNDEFINED)
    if kind == "text":
        checks.string(["prompt"], prompt)
    elif not isinstance(prompt, list):
        checks.mistyped(["prompt"], "array", prompt)
    else:
        for place, entry in enumerate(prompt):
            _check_message(checks, ["prompt", place], entry)
    checks.texts(["tags"], given.get("tags", UNDEFINED), optional=True)
    checks.string(["commitMessage"], given.get("commitMessage", UNDEFINED), optional=True, most=500)
    return checks


def _check_name(checks: BodyChecks, name: Any) -> None:
    if not isinstance(name, str):
        checks.string(["name"], name, least=1, too_short="Text cannot be empty")
        return
    issues = complaints_of_name(name, more=(_NO_PIPE,))
    checks.issues += [{**issue, "path": ["name"]} for issue in issues]
    if not issues and name.strip() in _RESERVED:
        checks.custom(["name"], f"Prompt name cannot be '{name.strip()}'")


def _check_labels(checks: BodyChecks, labels: Any) -> None:
    if not isinstance(labels, list):
        checks.mistyped(["labels"], "array", labels)
        return
    for place, label in enumerate(labels):
        text = checks.string(["labels", place], label, least=1, most=36)
        if text is not None and not _LABEL.search(text):
            checks.issues.append(
                {
                    "origin": "string",
                    "code": "invalid_format",
                    "format": "regex",
                    "pattern": f"/{_LABEL.pattern}/",
                    "path": ["labels", place],
                    "message": _LABEL_TEXT,
                }
            )


def _check_message(checks: BodyChecks, path: list[str | int], entry: Any) -> None:
    """Check a message of a chat: role and content, or the name of a placeholder."""
    given = entry if isinstance(entry, dict) else {}
    is_message = isinstance(given.get("role"), str) and isinstance(given.get("content"), str)
    is_placeholder = given.get("type") == "placeholder" and isinstance(given.get("name"), str)
    if not is_message and not is_placeholder:
        raise InvalidQueryError(
            message(
                501,
                f"The mock takes messages of a chat only with role and content, or placeholders with a name; "
                f"{'.'.join(map(str, path))} is neither ({kind_of(entry)}).",
            )
        )


def kept_prompt(given: Prompt, earlier: list[Prompt], *, project_id: str, now: int) -> Prompt:
    """Return a new version of a prompt, after the ``earlier`` ones of the same name, oldest first.

    Raises ``InvalidQueryError`` when those are of another type.
    """
    if earlier and earlier[-1]["type"] != given["type"]:
        text = "Previous versions have different prompt type. Create a new prompt with a different name."
        raise InvalidQueryError(message(400, text, "InvalidRequestError"))
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
        "type": given["type"],
        "isActive": None,
        "config": given.get("config") or {},
        "tags": _distinct(tags if tags is not None else earlier[-1]["tags"] if earlier else []),
        "labels": _distinct([*given.get("labels", []), "latest"]),
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

    Raises ``InvalidQueryError``.
    """
    checks = BodyChecks()
    version = checks.number(["version"], query.get("version"), 0, least=-(2**53), most=2**53)
    label = checks.text(["label"], query.get("label"))
    checks.one_of(["resolve"], query.get("resolve"), ("true", "false"))
    checks.refuse_if_any()
    if version and label:
        raise InvalidQueryError(message(400, "Cannot specify both version and label", "InvalidRequestError"))
    wanted = label or "production"
    for prompt in versions:
        if prompt["version"] == version if version else wanted in prompt["labels"]:
            is_active = "production" in prompt["labels"]
            return Answer.json(200, {**prompt, "resolutionGraph": None, "isActive": is_active})
    which = f"version {version}" if version else f"label '{label if label is not None else 'production'}'"
    return message(404, f"Prompt not found: '{name}' with {which}", "LangfuseNotFoundError")


def listed_prompt(versions: list[Prompt]) -> dict[str, Any]:
    """Return a prompt as ``GET /api/public/v2/prompts`` lists it, made of its versions, oldest first."""
    newest = versions[-1]
    return {
        "name": newest["name"],
        "tags": newest["tags"],
        "lastUpdatedAt": max(prompt["updatedAt"] for prompt in versions),
        "versions": [prompt["version"] for prompt in versions],
        "labels": sorted({label for prompt in versions for label in prompt["labels"]}),
        "type": newest["type"],
        "lastConfig": newest["config"],
    }
