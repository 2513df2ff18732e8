"""Which type of observation a span becomes.

Seen in ``packages/shared/src/server/otel/ObservationTypeMapper.ts``: the first rule that names a type wins.
Rules for frameworks that no sender of Codex data uses (Genkit, Vercel AI SDK, Flue, LiveKit) are left out.
"""

from typing import Any

from codex_langfuse.mock.langfuse.javascript import to_string

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

_OPENINFERENCE = {name: name for name in TYPES if name not in ("SPAN", "EVENT", "GENERATION")}
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
#: Rules in their order: an attribute, and the type that each of its values gives.
_BY_VALUE: tuple[tuple[str, dict[str, str]], ...] = (
    ("langfuse.observation.type", {name.lower(): name for name in TYPES}),
    ("openinference.span.kind", {"LLM": "GENERATION", **_OPENINFERENCE}),
    ("gen_ai.operation.name", _GEN_AI_OPERATION),
)
#: Then those that give a type whatever their value. Codex sets the plain ``model``.
_BY_PRESENCE = (
    *((key, "TOOL") for key in ("gen_ai.tool.name", "gen_ai.tool.call.id")),
    *(
        (key, "GENERATION")
        for key in (
            *("langfuse.observation.model.name", "gen_ai.request.model", "gen_ai.response.model"),
            *("llm.model_name", "model"),
        )
    ),
)


def observation_type(attributes: dict[str, Any]) -> str:
    """Return the type, in capitals, of the observation that a span with these attributes becomes."""
    for key, types in _BY_VALUE:
        if found := types.get(to_string(attributes.get(key))):
            return found
    for key, kind in _BY_PRESENCE:
        if attributes.get(key) not in (None, "", [], {}):
            return kind
    return "SPAN"
