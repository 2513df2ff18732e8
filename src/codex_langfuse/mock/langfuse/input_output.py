"""What of a span becomes an observation's input and output, and which attributes that uses up.

Seen in ``OtelIngestionProcessor.extractInputAndOutput``. Conventions that no sender of Codex data
uses (Genkit, Vercel AI SDK, Flue, LiveKit, Pydantic AI, Google ADK) are known here only by the attributes
that they use up.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from codex_langfuse.mock.langfuse.javascript import (
    UNDEFINED,
    JavaScriptTypeError,
    parse_json,
    stringify,
    to_string,
    truthy,
)
from codex_langfuse.mock.langfuse.otlp import field

#: Attributes that never reach the metadata.
_USED_UP = frozenset(
    {
        "langfuse.trace.input",
        "langfuse.trace.output",
        "langfuse.observation.input",
        "langfuse.observation.output",
        "ai.prompt.messages",
        "ai.prompt",
        "ai.toolCall.args",
        "ai.response.text",
        "ai.result.text",
        "ai.toolCall.result",
        "ai.response.object",
        "ai.result.object",
        "ai.response.toolCalls",
        "ai.result.toolCalls",
        "gcp.vertex.agent.llm_request",
        "gcp.vertex.agent.llm_response",
        "gcp.vertex.agent.tool_call_args",
        "gcp.vertex.agent.tool_response",
        "prompt",
        "all_messages_events",
        "events",
        "lk.input_text",
        "lk.user_transcript",
        "lk.chat_ctx",
        "lk.user_input",
        "lk.function_tool.output",
        "lk.response.text",
        "mlflow.spanInputs",
        "mlflow.spanOutputs",
        "traceloop.entity.input",
        "traceloop.entity.output",
        "input.value",
        "output.value",
        "final_result",
        "pydantic_ai.all_messages",
        "gen_ai.system_instructions",
        "input",
        "output",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "genkit:input",
        "genkit:output",
        "flue.turn.input",
        "flue.turn.output",
        "flue.tool.arguments",
        "flue.tool.result",
        "flue.task.prompt",
        "flue.task.result",
        "flue.operation.result",
        "flue.workflow.payload",
        "flue.workflow.result",
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
_MOST_ARRAY_SLOTS = 10_001
_NEVER_A_KEY = frozenset({"__proto__", "constructor", "prototype"})


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


_PAIRS_BEFORE_EVENTS = (("prompt", "all_messages_events"),)
_PAIRS = (
    ("mlflow.spanInputs", "mlflow.spanOutputs"),
    ("traceloop.entity.input", "traceloop.entity.output"),
    ("input.value", "output.value"),
    ("input", "output"),
    ("tool_arguments", "tool_response"),
)


def _from_attributes(attributes: dict[str, Any]) -> tuple[Any, Any] | None:
    found = (
        _pair(attributes, _PAIRS_BEFORE_EVENTS) or _logfire_events(attributes) or _pair(attributes, _PAIRS)
    )
    if found is not None:
        return found
    for input_prefix, output_prefix in (
        ("gen_ai.prompt", "gen_ai.completion"),
        ("llm.input_messages", "llm.output_messages"),
    ):
        inputs = {key: value for key, value in attributes.items() if key.startswith(input_prefix)}
        outputs = {key: value for key, value in attributes.items() if key.startswith(output_prefix)}
        if inputs or outputs:
            return _nested(inputs, input_prefix), _nested(outputs, output_prefix)
    return _gen_ai_messages(attributes)


def _pair(attributes: dict[str, Any], pairs: tuple[tuple[str, str], ...]) -> tuple[Any, Any] | None:
    for input_key, output_key in pairs:
        found = attributes.get(input_key, UNDEFINED), attributes.get(output_key, UNDEFINED)
        if any(map(truthy, found)):
            return found
    return None


def _logfire_events(attributes: dict[str, Any]) -> tuple[Any, Any] | None:
    events = attributes.get("events")
    if isinstance(events, str):
        try:
            events = parse_json(events)
        except ValueError:
            return None
        if not isinstance(events, list):
            raise JavaScriptTypeError("events is no list")
    if not isinstance(events, list):
        return None
    if None in events:
        raise JavaScriptTypeError("an event is null")
    choice = next((event for event in events if field(event, "event.name") == "gen_ai.choice"), None)
    others = [event for event in events if field(event, "event.name") != "gen_ai.choice"]
    return (others or None, choice) if choice is not None or others else None


def _gen_ai_messages(attributes: dict[str, Any]) -> tuple[Any, Any] | None:
    asked = attributes.get("gen_ai.input.messages", UNDEFINED)
    answered = attributes.get("gen_ai.output.messages", UNDEFINED)
    instructions = attributes.get("gen_ai.system_instructions")
    if truthy(asked) and truthy(instructions):
        asked = _with_system_message(asked, instructions)
    if truthy(asked) or truthy(answered):
        return asked, answered
    arguments = attributes.get("gen_ai.tool.call.arguments", UNDEFINED)
    result = attributes.get("gen_ai.tool.call.result", UNDEFINED)
    return (arguments, result) if truthy(arguments) or truthy(result) else None


def _with_system_message(messages: Any, instructions: Any) -> Any:
    """Put the instructions before the messages, as a message of the system, unless there is one."""
    try:
        parsed = parse_json(messages) if isinstance(messages, str) else messages
    except ValueError:
        return messages
    if not isinstance(parsed, list) or any(field(message, "role") == "system" for message in parsed):
        return messages
    try:
        parts = parse_json(instructions) if isinstance(instructions, str) else instructions
    except ValueError:
        parts = instructions
    if isinstance(parts, list):
        contents = [field(part, "content") for part in parts]
        content = "\n".join(
            to_string(content if truthy(content) else part)
            for part, content in zip(parts, contents, strict=True)
        )
    else:
        content = to_string(parts)
    merged = [{"role": "system", "content": content}, *parsed]
    return stringify(merged) if isinstance(messages, str) else merged


def _nested(flat: dict[str, Any], prefix: str) -> Any:
    """Rebuild a value from keys such as ``gen_ai.prompt.0.content``; numbers are places in a list."""
    if truthy(flat.get(prefix)):
        return flat[prefix]
    paths: list[tuple[list[str], Any]] = []
    lengths: dict[tuple[str, ...], int] = {}
    for key in flat:
        path = key.replace(f"{prefix}.", "", 1).split(".")
        wanted = dict(lengths)
        for place, part in enumerate(path):
            if _is_place(part):
                array = tuple(path[:place])
                wanted[array] = max(wanted.get(array, 0), int(part[:6]) + 1)
        if sum(wanted.values()) <= _MOST_ARRAY_SLOTS:
            lengths = wanted
            # An attribute whose key is the prefix itself is kept under that key.
            paths.append((path, flat.get(f"{prefix}.{'.'.join(path)}", UNDEFINED)))
    if any(len(path) > 1 and _is_place(path[0]) for path, _ in paths):
        places: list[Any] = []
        for path, value in paths:
            if len(path) > 1 and _is_place(path[0]):
                _put(_at(places, path[0], {}), path[1:], value)
        return places
    root: dict[str, Any] = {}
    for path, value in paths:
        _put(root, path, value)
    return root


def _is_place(part: str) -> bool:
    return part.isascii() and part.isdigit()


def _put(container: Any, path: list[str], value: Any) -> None:
    for part, following in pairwise(path):
        container = _at(container, part, [] if _is_place(following) else {})
    if isinstance(container, list):
        if _is_place(path[-1]):
            place = int(path[-1])
            container.extend([None] * (place + 1 - len(container)))
            container[place] = value
    elif isinstance(container, dict) and path[-1] not in _NEVER_A_KEY:
        container[path[-1]] = value


def _at(container: Any, part: str, fresh: Any) -> Any:
    """Return what is at ``part``, ``fresh`` put there if nothing was; ``None`` if nothing can be."""
    if isinstance(container, list) and _is_place(part):
        place = int(part)
        container.extend([None] * (place + 1 - len(container)))
        if container[place] is None:
            container[place] = fresh
        return container[place]
    if isinstance(container, dict) and part not in _NEVER_A_KEY:
        return container.setdefault(part, fresh)
    return None
