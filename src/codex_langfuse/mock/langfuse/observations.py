"""From the spans of an accepted export to observations, as Langfuse's API shows them.

Seen in ``packages/shared/src/server/otel/OtelIngestionProcessor.ts`` (``processToEvent``, what Langfuse 4
does with spans by default), ``worker/src/services/IngestionService/index.ts`` (``createEventRecord``) and
``packages/shared/src/server/repositories/observations_converters.ts`` (how a row is shown).

Not played: counting the tokens of a text that comes with a model and without usage, as Langfuse does with a
tokenizer of its own, and moving tool definitions from the metadata to the input. An observation of the first
kind carries a warning instead of a number.
"""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from codex_langfuse.mock.langfuse.input_output import input_and_output, metadata_attributes
from codex_langfuse.mock.langfuse.javascript import (
    UNDEFINED,
    JavaScriptTypeError,
    is_moment,
    iso_time,
    number,
    parse_int,
    parse_json,
    parse_json_exactly,
    stringify,
    to_number,
    to_string,
    truthy,
)
from codex_langfuse.mock.langfuse.observation_type import observation_type
from codex_langfuse.mock.langfuse.otlp import TraceExport, field, listed
from codex_langfuse.mock.langfuse.prices import Model, find_model, is_tokenized
from codex_langfuse.mock.langfuse.usage import costs, provided_costs, provided_usage, reduced, with_total

_LEVELS = {
    "DEBUG": "DEBUG",
    "TRACE": "DEBUG",
    "VERBOSE": "DEBUG",
    "DEFAULT": "DEFAULT",
    "INFO": "DEFAULT",
    "LOG": "DEFAULT",
    "NOTICE": "DEFAULT",
    "OK": "DEFAULT",
    "SUCCESS": "DEFAULT",
    "WARNING": "WARNING",
    "WARN": "WARNING",
    "ERROR": "ERROR",
    "FATAL": "ERROR",
    "CRITICAL": "ERROR",
}
_ENVIRONMENT_KEYS = ("langfuse.environment", "deployment.environment.name", "deployment.environment")
_USER_KEYS = (
    "langfuse.user.id",
    "user.id",
    "langfuse.observation.metadata.langfuse_user_id",
    "langfuse.trace.metadata.langfuse_user_id",
    "ai.telemetry.metadata.userId",
)
_SESSION_KEYS = (
    "langfuse.session.id",
    "session.id",
    "gen_ai.conversation.id",
    "langfuse.observation.metadata.langfuse_session_id",
    "langfuse.trace.metadata.langfuse_session_id",
    "ai.telemetry.metadata.sessionId",
)
_TAG_KEYS = (
    "langfuse.trace.tags",
    "langfuse.tags",
    "langfuse.observation.metadata.langfuse_tags",
    "langfuse.trace.metadata.langfuse_tags",
    "ai.telemetry.metadata.tags",
    "tag.tags",
)
#: Attributes by which a span that is no root says something of its trace.
_TRACE_KEYS = frozenset(
    {
        "langfuse.trace.name",
        "langfuse.trace.input",
        "langfuse.trace.output",
        "langfuse.trace.metadata",
        "langfuse.trace.public",
        *(
            key
            for key in _USER_KEYS + _SESSION_KEYS + _TAG_KEYS
            if key not in ("gen_ai.conversation.id", "langfuse.tags")
        ),
    }
)
_MODEL_KEYS = (
    "langfuse.observation.model.name",
    "gen_ai.response.model",
    "ai.model.id",
    "gen_ai.request.model",
    "llm.response.model",
    "llm.model_name",
    "model",
)
_NOT_METADATA = frozenset(
    f"ai.telemetry.metadata.{name}" for name in ("userId", "sessionId", "tags", "langfusePrompt")
)
_ENVIRONMENT = re.compile(r"[a-z0-9\-_]+")
#: What an observation says, as ``mockWarning``, where Langfuse would show tokens and a cost that it made up.
COUNTED_BY_LANGFUSE = (
    "Langfuse counts the tokens of this text itself and prices them; the mock does not. "
    "Send usage, or cost_details with a total of 0, to keep invented numbers out."
)


def observations_of(
    export: TraceExport, *, project_id: str, received: int, models: Sequence[Model] = ()
) -> list[dict[str, Any]]:
    """Return the observations of an export, in the order sent, with the field names of the v2 API.

    Beyond those, ``metadata`` is nested, ``trace`` is what the span says of its trace to Langfuse 3,
    ``prices`` are those of its model, and ``mockWarning`` is there where Langfuse would invent tokens.
    ``received`` is in milliseconds since 1970; ``models`` are those that the project has prices of its own
    for. Langfuse converts a request as a whole: one span that its code
    stumbles over, such as one with an attribute without a value, and the whole export is lost, though it was
    answered with 200. So here the result is then empty.
    """
    resource_spans = export.resource_spans()
    if not isinstance(resource_spans, list):
        return []
    try:
        return [
            observation
            for resource_span in resource_spans
            if truthy(resource_span)
            for observation in _of_resource(resource_span, project_id, received, models)
        ]
    except (JavaScriptTypeError, RecursionError):
        return []


def _of_resource(
    resource_span: Any, project_id: str, received: int, models: Sequence[Model]
) -> list[dict[str, Any]]:
    resource = attributes_of(field(resource_span, "resource"))
    found = []
    for scope_span in listed(field(resource_span, "scopeSpans")):
        scope = field(scope_span, "scope")
        scope = scope if isinstance(scope, dict) else {}
        scope_attributes = attributes_of(scope)
        if not isinstance(scope.get("name", ""), str | None):
            raise JavaScriptTypeError("the name of a scope is no string")
        for span in listed(field(scope_span, "spans")):
            found.append(_observation(span, resource, scope, scope_attributes, project_id, received, models))
    return found


def attributes_of(holder: Any) -> dict[str, Any]:
    """Read the attributes of a resource, scope, span or span event into plain values."""
    plain: dict[str, Any] = {}
    for attribute in listed(field(holder, "attributes")):
        if attribute is None or attribute is UNDEFINED:
            raise JavaScriptTypeError
        plain[to_string(field(attribute, "key"))] = _plain_value(field(attribute, "value"))
    return plain


def _plain_value(value: Any) -> Any:
    if value is None or value is UNDEFINED:
        raise JavaScriptTypeError
    if not isinstance(value, dict):
        return stringify(value)
    if "stringValue" in value:
        return value["stringValue"]
    if "doubleValue" in value:
        double = value["doubleValue"]
        if isinstance(double, str):
            as_number = to_number(double)
            return as_number if math.isfinite(as_number) else double
        return double
    if "boolValue" in value:
        return value["boolValue"]
    array = value.get("arrayValue")
    # A list has something called "values" too.
    if isinstance(array, list) or (truthy(array) and field(array, "values") is not UNDEFINED):
        values = field(array, "values")
        if not isinstance(values, list):
            raise JavaScriptTypeError
        return [_plain_value(item) for item in values]
    if "intValue" in value:
        integer = _plain_integer(value["intValue"])
        if integer is not None:
            return integer
    return stringify(value)


def _plain_integer(value: Any) -> Any:
    if isinstance(value, str):
        as_number = to_number(value)
        return None if math.isnan(as_number) else as_number
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return None


def _observation(
    span: Any,
    resource: dict[str, Any],
    scope: dict[str, Any],
    scope_attributes: dict[str, Any],
    project: str,
    received: int,
    models: Sequence[Model],
) -> dict[str, Any]:
    attributes = attributes_of(span)
    events = listed(field(span, "events"))
    start, end = _times(field(span, "startTimeUnixNano"), field(span, "endTimeUnixNano"), received)
    completion_start = _completion_start(attributes, start)
    asked, answered = input_and_output(attributes, events, attributes_of)
    parent = field(span, "parentSpanId")
    parent_id = _id(parent) if truthy(parent) else None
    is_root = not parent_id or _is_true(attributes.get("langfuse.internal.is_app_root"))
    name = _text(_name(field(span, "name"), attributes))
    # Agent spans repeat the sum of the model calls beneath them.
    is_agent = attributes.get("gen_ai.operation.name") in ("invoke_agent", "agent_step")
    model_name = "" if is_agent else _first_text(attributes, _MODEL_KEYS) or ""
    model = find_model(model_name, models) if model_name else None
    parameters = _model_parameters(attributes)
    usage = {} if is_agent else with_total(provided_usage(attributes))
    given_costs = {} if is_agent else provided_costs(attributes)
    tier = model.tier(usage, parameters) if model else None
    cost_details = costs(given_costs, usage, tier)
    # Measured: also at the levels WARNING and ERROR; a given cost, even of 0, keeps Langfuse from counting.
    is_counted = bool(_text(asked) or _text(answered)) and not usage and not cost_details
    kind = observation_type(attributes)
    prompt_name, prompt_version = _prompt(attributes) if kind == "GENERATION" else (None, None)
    created = iso_time(received)
    observation = {
        "id": _id(field(span, "spanId")),
        "traceId": _id(field(span, "traceId")),
        "startTime": iso_time(start),
        "endTime": iso_time(end),
        "projectId": project,
        "parentObservationId": parent_id or None,
        "type": kind,
        "name": name,
        "level": _level(attributes, field(span, "status")),
        "statusMessage": _text(
            _first_present(
                attributes.get("langfuse.observation.status_message"), field(field(span, "status"), "message")
            )
        ),
        "version": _text(_first_present(attributes.get("langfuse.version"), resource.get("service.version"))),
        "environment": _environment(attributes, resource),
        "completionStartTime": None if completion_start is None else iso_time(completion_start),
        "createdAt": created,
        "updatedAt": created,
        "input": _text(asked) or None,
        "output": _text(answered) or None,
        "metadata": _metadata(attributes, resource, scope, scope_attributes),
        "model": model_name,
        "internalModelId": model.id if model else "",
        "modelParameters": parameters,
        "usageDetails": usage,
        "inputUsage": reduced(usage, "input") or 0,
        "outputUsage": reduced(usage, "output") or 0,
        "totalUsage": usage.get("total", 0),
        "costDetails": cost_details,
        "inputCost": reduced(cost_details, "input"),
        "outputCost": reduced(cost_details, "output"),
        "totalCost": cost_details.get("total", 0),
        "promptId": "",
        "promptName": _text(prompt_name),
        "promptVersion": _prompt_version(prompt_version),
        "usagePricingTierId": tier.id if tier else None,
        "usagePricingTierName": tier.name if tier else None,
        "latency": _seconds(start, end),
        "timeToFirstToken": _seconds(start, completion_start),
        "userId": _first_text(attributes, _USER_KEYS) or "",
        "sessionId": _first_text(attributes, _SESSION_KEYS) or "",
        "isRootObservation": is_root,
        "traceName": _text(attributes.get("langfuse.trace.name")) or (name if is_root else "") or None,
        "release": _text(
            _first_present(attributes.get("langfuse.release"), resource.get("langfuse.release"))
        ),
        "tags": _tags(attributes),
        "bookmarked": False,
        "public": _is_true(
            _first_present(attributes.get("langfuse.trace.public"), attributes.get("langfuse.public"))
        ),
    }
    return {
        **observation,
        "trace": _trace(attributes, events, observation),
        "prices": model.default_tier.prices if model else {},
        **({"mockWarning": COUNTED_BY_LANGFUSE} if is_counted and is_tokenized(model_name, model) else {}),
    }


def _trace(
    attributes: dict[str, Any], events: list[Any], observation: dict[str, Any]
) -> dict[str, Any] | None:
    """Return what a span says of its trace to Langfuse 3, ``None`` when that is nothing.

    A root says everything; another span only what carries an attribute for the trace (``hasTraceUpdates``).
    """
    is_root = (
        not observation["parentObservationId"]
        or to_string(attributes.get("langfuse.internal.as_root")) == "true"
    )
    if not is_root and not any(
        truthy(value) if key in _TRACE_KEYS else key.startswith("langfuse.trace.metadata")
        for key, value in attributes.items()
    ):
        return None
    kept = ("version", "release", "userId", "sessionId", "public", "tags", "environment", "metadata")
    if is_root:
        name = _text(attributes.get("langfuse.trace.name")) or observation["name"]
        asked, answered = input_and_output(attributes, events, attributes_of, as_trace=True)
    else:
        name = _text(attributes.get("langfuse.trace.name"))
        asked, answered = attributes.get("langfuse.trace.input"), attributes.get("langfuse.trace.output")
    return {
        "name": name,
        "timestamp": observation["startTime"],
        "input": _text(asked),
        "output": _text(answered),
        **{key: observation[key] for key in kept},
    }


def _text(value: Any) -> str:
    """Write a value as the database keeps it in a column of text: absent is empty."""
    if isinstance(value, str):
        return value
    return "" if value is None or value is UNDEFINED else stringify(value) or ""


def _is_true(value: Any) -> bool:
    return value is True or value == "true"


def _first_present(*values: Any) -> Any:
    return next((value for value in values if value is not None and value is not UNDEFINED), None)


def _first_text(attributes: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    value = next((attributes[key] for key in keys if truthy(attributes.get(key))), None)
    return None if value is None else _text(value)


def _id(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    data = value.get("data") if isinstance(value, dict) else value
    if not isinstance(data, list):
        raise JavaScriptTypeError
    return bytes(_byte(item) for item in data).hex()


def _byte(value: Any) -> int:
    as_number = to_number(value)
    return int(as_number) & 255 if math.isfinite(as_number) else 0


def _seconds(start: int, end: int | None) -> int | float | None:
    """Return the time between two instants; an instant of no length has none."""
    return number((end - start) / 1000) if end is not None and end != start else None


def _times(start: Any, end: Any, received: int) -> tuple[int, int]:
    """Return start and end in milliseconds; a missing one is the other, or now when both are missing."""
    first, last = _milliseconds(start), _milliseconds(end)
    known = first if first is not None else last
    if known is None:
        return received, received
    return known, last if last is not None else known


def _milliseconds(nanoseconds: Any) -> int | None:
    if isinstance(nanoseconds, str):
        digits = nanoseconds.strip()
        if not re.fullmatch(r"[+-]?[0-9]{1,30}", digits):
            return None
        whole = int(digits)
        milliseconds = -(-whole // 1_000_000) if whole < 0 else whole // 1_000_000
    elif (
        isinstance(nanoseconds, int | float)
        and not isinstance(nanoseconds, bool)
        and math.isfinite(nanoseconds)
    ):
        milliseconds = int(nanoseconds / 1e6)
    else:
        return None
    return milliseconds if is_moment(milliseconds) else None


def _completion_start(attributes: dict[str, Any], start: int) -> int | None:
    given = attributes.get("langfuse.observation.completion_start_time")
    for text in (given, _parsed(given)):
        milliseconds = read_date(text)
        if milliseconds is not None:
            return milliseconds
    for key in ("ai.response.msToFirstChunk", "ai.stream.msToFirstChunk"):
        if key in attributes:
            waited = to_number(attributes[key])
            if not truthy(waited) or not math.isfinite(waited):
                return None
            moment = start + math.ceil(waited)
            return moment if is_moment(moment) else None
    return None


def _parsed(text: Any) -> Any:
    try:
        return parse_json(text) if isinstance(text, str) else None
    except ValueError:
        return None


def read_date(text: Any) -> int | None:
    """Read an ISO 8601 time, or milliseconds given as a number."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return int(text) if math.isfinite(text) and is_moment(text) else None
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _name(span_name: Any, attributes: dict[str, Any]) -> Any:
    if truthy(attributes.get("gen_ai.tool.name")):
        return attributes["gen_ai.tool.name"]
    if "genkit:name" in attributes:
        return attributes["genkit:name"]
    if truthy(attributes.get("logfire.msg")):
        return attributes["logfire.msg"]
    if "ai.toolCall.name" in attributes:
        return attributes["ai.toolCall.name"]
    if "ai.operationId" in attributes:
        function_id = attributes.get("ai.telemetry.functionId")
        return f"{to_string(function_id)}:" * truthy(function_id) + to_string(attributes["ai.operationId"])
    return span_name


def _level(attributes: dict[str, Any], status: Any) -> str:
    given = attributes.get("langfuse.observation.level")
    level = _LEVELS.get(given.strip().upper()) if isinstance(given, str) else None
    code = field(status, "code")
    return level or ("ERROR" if code == 2 and not isinstance(code, bool) else "DEFAULT")


def _environment(attributes: dict[str, Any], resource: dict[str, Any]) -> str:
    for key in _ENVIRONMENT_KEYS:
        for holder in (attributes, resource):
            value = holder.get(key)
            if truthy(value):
                return environment_name(value)
    return "default"


def environment_name(value: Any) -> str:
    """Return the environment that Langfuse makes of what was sent as its name."""
    if not isinstance(value, str):
        return "default"
    name = re.sub(r"^(?:langfuse[-_]?)+", "", value.lower())[:40]
    return name if _ENVIRONMENT.fullmatch(name) else "default"


def _tags(attributes: dict[str, Any]) -> list[str]:
    value = next(
        (attributes[key] for key in _TAG_KEYS if truthy(attributes.get(key))), attributes.get(_TAG_KEYS[-1])
    )
    if isinstance(value, str) and value.strip().startswith("["):
        parsed = _parsed(value)
        value = parsed if isinstance(parsed, list) else value
    if isinstance(value, list):
        return [to_string(tag) for tag in value]
    if isinstance(value, str):
        return [tag.strip() for tag in value.split(",")] if "," in value else [value]
    return []


def _model_parameters(attributes: dict[str, Any]) -> Any:
    for key in ("langfuse.observation.model.parameters", "llm.invocation_parameters", "model_config"):
        text = attributes.get(key)
        if truthy(text):
            try:
                parsed = parse_json(text if isinstance(text, str) else to_string(text))
            except ValueError:
                continue
            if truthy(parsed) or key != "langfuse.observation.model.parameters":
                return _flat_parameters(parsed) if truthy(parsed) else {}
    prefixes = ("gen_ai.request.", "llm.invocation_parameters.")
    return _flat_parameters(
        {
            key.removeprefix(prefix): value
            for prefix in prefixes
            for key, value in attributes.items()
            if key.startswith(prefix) and key != f"{prefix}model"
        }
    )


def _flat_parameters(parameters: Any) -> Any:
    if isinstance(parameters, list):
        parameters = {str(place): value for place, value in enumerate(parameters)}
    if not isinstance(parameters, dict):
        return parameters
    return {
        key: value
        if isinstance(value, str | int | float) and not isinstance(value, bool)
        else stringify(value)
        for key, value in parameters.items()
    }


def _prompt(attributes: dict[str, Any]) -> tuple[Any, Any]:
    linked = _parsed(attributes.get("ai.telemetry.metadata.langfusePrompt"))
    return (
        _first_present(
            attributes.get("langfuse.observation.prompt.name"),
            attributes.get("langfuse.prompt.name"),
            field(linked, "name"),
        ),
        _first_present(
            attributes.get("langfuse.observation.prompt.version"),
            attributes.get("langfuse.prompt.version"),
            field(linked, "version"),
        ),
    )


def _prompt_version(value: Any) -> int | None:
    version = math.nan if value is None else parse_int(to_string(value))
    return int(version) if 0 < version <= 65535 else None


def _metadata(
    attributes: dict[str, Any],
    resource: dict[str, Any],
    scope: dict[str, Any],
    scope_attributes: dict[str, Any],
) -> dict[str, Any]:
    scope_name = scope.get("name")
    is_langfuse_sdk = isinstance(scope_name, str) and scope_name.startswith("langfuse-sdk")
    return {
        **({} if is_langfuse_sdk else {"attributes": metadata_attributes(attributes)}),
        "resourceAttributes": resource,
        "scope": {**scope, "attributes": scope_attributes},
        **_own_metadata(attributes, "langfuse.observation.metadata"),
        **_own_metadata(attributes, "langfuse.trace.metadata"),
    }


def _own_metadata(attributes: dict[str, Any], prefix: str) -> dict[str, Any]:
    whole = attributes.get(prefix)
    if not truthy(whole):
        whole = attributes.get("langfuse.metadata")
    parsed = _parsed(whole) if isinstance(whole, str) else whole
    if isinstance(parsed, list):
        parsed = {str(place): value for place, value in enumerate(parsed)}
    found = dict(parsed) if isinstance(parsed, dict) else {}
    for key, value in attributes.items():
        for start in (f"{prefix}.", "langfuse.metadata.", "ai.telemetry.metadata."):
            if key.startswith(start) and key != start and key not in _NOT_METADATA:
                found[key.removeprefix(start)] = value
    return found


def _flatten(nested: dict[str, Any], prefix: str, flat: dict[str, str]) -> None:
    for key, value in nested.items():
        path = f"{prefix}.{key}" if prefix else key
        if isinstance(value, dict):
            _flatten(value, path, flat)
        else:
            # Of two values with one name the first counts.
            flat.setdefault(path, _text(value))


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return an observation with all the fields that the v2 API can show."""
    return {
        **{key: value for key, value in row.items() if key not in ("trace", "prices")},
        "metadata": shown_metadata(row["metadata"]),
    }


def flat_metadata(metadata: dict[str, Any]) -> dict[str, str]:
    """Return metadata as Langfuse 4 keeps it: names with dots, values as text; the last name first."""
    flat: dict[str, str] = {}
    _flatten(metadata, "", flat)
    return dict(reversed(flat.items()))


def shown_metadata(metadata: dict[str, Any], longest: int | None = None) -> dict[str, Any]:
    """Return metadata as the API shows it: flat, cut to ``longest`` characters, then JSON read as that."""
    return {
        key: shown_text(text if longest is None else text[:longest])
        for key, text in flat_metadata(metadata).items()
    }


def shown_text(text: str) -> Any:
    """Return a text, or what it says if it is JSON."""
    try:
        return parse_json_exactly(text)
    except ValueError:
        return text
