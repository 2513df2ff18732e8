"""What of a span becomes an observation's input and output, and which attributes that uses up.

Seen in ``OtelIngestionProcessor.extractInputAndOutput``. Conventions that no sender of Codex data uses
(Genkit, Vercel AI SDK, Flue, LiveKit, Logfire, Google ADK) are left out.
"""

from collections.abc import Callable
from typing import Any

from codex_langfuse.mock.langfuse.javascript import (
    UNDEFINED,
    JavaScriptTypeError,
    stringify,
    truthy,
)
from codex_langfuse.mock.langfuse.otlp import field

#: Plain attributes for input and output; the first pair of which either is there decides both.
_PAIRS = (
    ("prompt", "all_messages_events"),
    ("mlflow.spanInputs", "mlflow.spanOutputs"),
    ("traceloop.entity.input", "traceloop.entity.output"),
    ("input.value", "output.value"),
    ("input", "output"),
    ("tool_arguments", "tool_response"),
)
#: Attributes that never reach the metadata.
_USED_UP = frozenset(
    {
        *(f"langfuse.{holder}.{side}" for holder in ("trace", "observation") for side in ("input", "output")),
        *("prompt", "input", "output", "gen_ai.system_instructions"),
        *(key for pair in _PAIRS[:-1] for key in pair),
        *("gen_ai.input.messages", "gen_ai.output.messages"),
        *("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
    }
)
_USED_UP_PREFIXES = (
    "gen_ai.prompt",
    "gen_ai.completion",
    "llm.input_messages",
    "llm.output_messages",
    "langfuse.trace.metadata",
    "langfuse.observation.metadata",
    "ai.telemetry.metadata",
)
_INPUT_EVENTS = frozenset(f"gen_ai.{role}.message" for role in ("system", "user", "assistant", "tool"))


def metadata_attributes(attributes: dict[str, Any]) -> dict[str, str]:
    """Return the attributes that go into the metadata, each as a string."""
    return {
        key: value if isinstance(value, str) else stringify(value) or ""
        for key, value in attributes.items()
        if key not in _USED_UP and not key.startswith(_USED_UP_PREFIXES)
    }


def input_and_output(
    attributes: dict[str, Any],
    events: list[Any],
    attributes_of: Callable[[Any], dict[str, Any]],
    *,
    as_trace: bool = False,
) -> tuple[Any, Any]:
    """Return input and output, ``None`` or ``UNDEFINED`` for what is not there.

    The first convention that has either side decides both. ``attributes_of`` reads the attributes of a span
    event; ``as_trace`` prefers the attributes for the whole trace, which only Langfuse 3 reads.
    """
    given_input = attributes.get("langfuse.observation.input")
    given_output = attributes.get("langfuse.observation.output")
    if as_trace:
        given_input = attributes.get("langfuse.trace.input") or given_input
        given_output = attributes.get("langfuse.trace.output") or given_output
    if given_input is not None or given_output is not None:
        return given_input, given_output
    found = _from_events(events, attributes_of)
    if found is None:
        found = _from_attributes(attributes)
    return found if found is not None else (None, None)


def _from_events(events: list[Any], attributes_of: Callable[[Any], dict[str, Any]]) -> tuple[Any, Any] | None:
    if None in events:
        raise JavaScriptTypeError("an event is null")
    named = [(event, field(event, "name")) for event in events]
    for event, name in named:
        if name == "gen_ai.client.inference.operation.details":
            found = _gen_ai_messages(attributes_of(event))
            if found is not None:
                return found
    inputs = [(event, name) for event, name in named if isinstance(name, str) and name in _INPUT_EVENTS]
    outputs = [attributes_of(event) for event, name in named if name == "gen_ai.choice"]
    if inputs or outputs:
        messages = [
            {"role": name.replace("gen_ai.", "").replace(".message", ""), **attributes_of(event)}
            for event, name in inputs
        ]
        return messages or None, (outputs[0] if len(outputs) == 1 else outputs or None)
    prompt = next((event for event, name in named if name == "gen_ai.content.prompt"), None)
    completion = next((event for event, name in named if name == "gen_ai.content.completion"), None)
    if any(truthy(field(event, "attributes")) for event in (prompt, completion)):
        asked = attributes_of(prompt) if prompt is not None else {}
        answered = attributes_of(completion) if completion is not None else {}
        inner_input = input_and_output(asked, [], attributes_of)[0]
        inner_output = input_and_output(answered, [], attributes_of)[1]
        return (
            inner_input if truthy(inner_input) else asked,
            inner_output if truthy(inner_output) else answered,
        )
    return None


def _from_attributes(attributes: dict[str, Any]) -> tuple[Any, Any] | None:
    for input_key, output_key in _PAIRS:
        found = attributes.get(input_key, UNDEFINED), attributes.get(output_key, UNDEFINED)
        if any(map(truthy, found)):
            return found
    for input_prefix, output_prefix in (
        ("gen_ai.prompt", "gen_ai.completion"),
        ("llm.input_messages", "llm.output_messages"),
    ):
        inputs = {key: value for key, value in attributes.items() if key.startswith(input_prefix)}
        outputs = {key: value for key, value in attributes.items() if key.startswith(output_prefix)}
        if inputs or outputs:
            return _messages(inputs, input_prefix), _messages(outputs, output_prefix)
    return _gen_ai_messages(attributes)


def _gen_ai_messages(attributes: dict[str, Any]) -> tuple[Any, Any] | None:
    asked = attributes.get("gen_ai.input.messages", UNDEFINED)
    answered = attributes.get("gen_ai.output.messages", UNDEFINED)
    if truthy(asked) or truthy(answered):
        return asked, answered
    arguments = attributes.get("gen_ai.tool.call.arguments", UNDEFINED)
    result = attributes.get("gen_ai.tool.call.result", UNDEFINED)
    return (arguments, result) if truthy(arguments) or truthy(result) else None


def _messages(flat: dict[str, Any], prefix: str) -> Any:
    """Rebuild messages from keys such as ``gen_ai.prompt.0.content``."""
    if truthy(flat.get(prefix)):
        return flat[prefix]
    messages: dict[str, dict[str, Any]] = {}
    for key, value in flat.items():
        place, _, name = key.removeprefix(f"{prefix}.").partition(".")
        messages.setdefault(place, {})[name] = value
    return [messages[place] for place in sorted(messages)] or {}
