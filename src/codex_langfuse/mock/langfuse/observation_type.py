"""Which type of observation a span becomes.

Seen in ``packages/shared/src/server/otel/ObservationTypeMapper.ts``: the first rule that names a type wins.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from codex_langfuse.mock.langfuse.javascript import JavaScriptTypeError, to_string

TYPES = (
    "GENERATION",
    "SPAN",
    "EVENT",
    "AGENT",
    "TOOL",
    "CHAIN",
    "RETRIEVER",
    "EVALUATOR",
    "EMBEDDING",
    "GUARDRAIL",
)

_LANGFUSE = {
    name: name.upper()
    for name in (
        "span",
        "generation",
        "event",
        "embedding",
        "agent",
        "tool",
        "chain",
        "retriever",
        "guardrail",
        "evaluator",
    )
}
_OPENINFERENCE = {
    "CHAIN": "CHAIN",
    "RETRIEVER": "RETRIEVER",
    "LLM": "GENERATION",
    "EMBEDDING": "EMBEDDING",
    "AGENT": "AGENT",
    "TOOL": "TOOL",
    "GUARDRAIL": "GUARDRAIL",
    "EVALUATOR": "EVALUATOR",
}
_GEN_AI_OPERATION = {
    "chat": "GENERATION",
    "completion": "GENERATION",
    "text_completion": "GENERATION",
    "generate_content": "GENERATION",
    "generate": "GENERATION",
    "embeddings": "EMBEDDING",
    "invoke_agent": "AGENT",
    "create_agent": "AGENT",
    "execute_tool": "TOOL",
}
_GENKIT = {
    "background-model": "GENERATION",
    "model": "GENERATION",
    "embedder": "EMBEDDING",
    "tool": "TOOL",
    "tool.v2": "TOOL",
    "retriever": "RETRIEVER",
    "evaluator": "EVALUATOR",
}
_AI_SDK_GENERATIONS = (
    "ai.generateText.doGenerate",
    "ai.streamText.doStream",
    "ai.generateObject.doGenerate",
    "ai.streamObject.doStream",
)
_AI_SDK_EMBEDDINGS = ("ai.embedMany.doEmbed", "ai.embed.doEmbed")
_PYTHON_SDK_GENERATION_KEYS = frozenset(
    f"langfuse.observation.{name}"
    for name in (
        "model.name",
        "cost_details",
        "usage_details",
        "completion_start_time",
        "model.parameters",
        "prompt.name",
        "prompt.version",
    )
)


def observation_type(
    attributes: dict[str, Any], resource_attributes: dict[str, Any], scope: dict[str, Any], span_name: Any
) -> str:
    """Return the type, in capitals, of the observation that a span becomes."""
    for rule in _RULES:
        for found in rule(attributes, resource_attributes, scope, span_name):
            return found
    return "SPAN"


def has_meaning(value: Any) -> bool:
    """Return whether a value counts as given: not absent, not an empty string, list or object."""
    return value is not None and value != "" and value != [] and value != {}


_Rule = Callable[[dict[str, Any], dict[str, Any], dict[str, Any], Any], Iterator[str]]


def _python_sdk_before_3_4(
    attributes: dict[str, Any], resource: dict[str, Any], scope: dict[str, Any], _name: Any
) -> Iterator[str]:
    """Langfuse's own Python SDK up to 3.3 called generations spans."""
    if (
        attributes.get("langfuse.observation.type") == "span"
        and scope.get("name") == "langfuse-sdk"
        and resource.get("telemetry.sdk.language") == "python"
        and not _is_later_than_3_3(scope.get("version"))
        and not _PYTHON_SDK_GENERATION_KEYS.isdisjoint(attributes)
    ):
        yield "GENERATION"


def _is_later_than_3_3(version: Any) -> bool:
    found = re.match(r"(\d+)(?:\.(\d+))?", version) if isinstance(version, str) else None
    return found is not None and (int(found[1]), int(found[2] or 0)) > (3, 3)


def _by_value(key: str, types: dict[str, str]) -> _Rule:
    def rule(attributes: dict[str, Any], *_others: Any) -> Iterator[str]:
        value = to_string(attributes.get(key))
        if value in types:
            yield types[value]

    return rule


def _is_ai_sdk_operation(attributes: dict[str, Any], names: tuple[str, ...]) -> bool:
    name = attributes.get("operation.name")
    return (isinstance(name, str) and name.startswith(names)) or attributes.get("ai.operationId") in names


def _ai_sdk_model_call(attributes: dict[str, Any], *_others: Any) -> Iterator[str]:
    name = attributes.get("operation.name")
    if has_meaning(name) and not isinstance(name, str):
        raise JavaScriptTypeError("operation.name is no string")
    model_keys = (
        "langfuse.observation.model.name",
        "ai.model.id",
        "gen_ai.request.model",
        "gen_ai.response.model",
    )
    if any(has_meaning(attributes.get(key)) for key in model_keys):
        if _is_ai_sdk_operation(attributes, _AI_SDK_GENERATIONS):
            yield "GENERATION"
        if _is_ai_sdk_operation(attributes, _AI_SDK_EMBEDDINGS):
            yield "EMBEDDING"


def _ai_sdk_tool(attributes: dict[str, Any], *_others: Any) -> Iterator[str]:
    name, operation_id = attributes.get("operation.name"), attributes.get("ai.operationId")
    if not (isinstance(name, str) and name.startswith("ai.")):
        if has_meaning(operation_id) and not isinstance(operation_id, str):
            raise JavaScriptTypeError("ai.operationId is no string")
        if not (operation_id and operation_id.startswith("ai.")):
            return
    model_calls = _AI_SDK_GENERATIONS + _AI_SDK_EMBEDDINGS
    if _is_ai_sdk_operation(attributes, ("ai.toolCall",)) and not _is_ai_sdk_operation(
        attributes, model_calls
    ):
        yield "TOOL"


def _gen_ai_tool(attributes: dict[str, Any], *_others: Any) -> Iterator[str]:
    if has_meaning(attributes.get("gen_ai.tool.name")) or has_meaning(attributes.get("gen_ai.tool.call.id")):
        yield "TOOL"


def _flue(attributes: dict[str, Any], *_others: Any) -> Iterator[str]:
    if has_meaning(attributes.get("flue.tool.name")) or has_meaning(attributes.get("flue.tool.call_id")):
        yield "TOOL"
    if has_meaning(attributes.get("flue.task.id")) or has_meaning(attributes.get("flue.task.agent")):
        yield "AGENT"


def _livekit(
    _attributes: dict[str, Any], _resource: dict[str, Any], scope: dict[str, Any], span_name: Any
) -> Iterator[str]:
    if scope.get("name") == "livekit-agents":
        if span_name in ("agent_turn", "start_agent_activity"):
            yield "AGENT"
        elif span_name == "function_tool":
            yield "TOOL"


def _has_model(attributes: dict[str, Any], *_others: Any) -> Iterator[str]:
    """A span that names a model, be it by the plain ``model`` that Codex sets, is taken for a generation."""
    keys = (
        "langfuse.observation.model.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "llm.model_name",
        "model",
    )
    if any(has_meaning(attributes.get(key)) for key in keys):
        yield "GENERATION"


_RULES: tuple[_Rule, ...] = (
    _python_sdk_before_3_4,
    _by_value("langfuse.observation.type", _LANGFUSE),
    _by_value("openinference.span.kind", _OPENINFERENCE),
    _by_value("gen_ai.operation.name", _GEN_AI_OPERATION),
    _by_value("genkit:metadata:subtype", _GENKIT),
    _ai_sdk_model_call,
    _ai_sdk_tool,
    _gen_ai_tool,
    _flue,
    _livekit,
    _has_model,
)
