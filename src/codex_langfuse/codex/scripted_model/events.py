"""An answer of the model as the events of OpenAI's Responses API."""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from codex_langfuse.codex.scripted_model.request import ModelRequest
from codex_langfuse.codex.scripted_model.scenario import (
    COMMAND_OF_PROMPT,
    Cut,
    Failure,
    Message,
    Script,
    Step,
    ToolCall,
)

Event = dict[str, Any]
Item = dict[str, Any]

#: What Codex 0.171 needs of an answer.
_LEAN = ("response.created", "response.output_item.done", "response.completed", "response.failed")


def items_of(step: Step, number: int, request: ModelRequest) -> list[Item]:
    """Return the finished items of an answer; ``number`` makes their ids."""
    match step:
        case Message(text, _, reasoning):
            thought = [] if reasoning is None else [_reasoning(reasoning, number)]
            return [*thought, message(text, number)]
        case Cut(text):
            return [message(text, number)]
        case Script(source):
            return [_script(source, number)]
        case ToolCall():
            return [_tool_call(step, number, request)]
        case _:
            return []


def message(text: str, number: int) -> Item:
    """Return a final answer."""
    return {
        "type": "message",
        "id": f"msg_{number}",
        "role": "assistant",
        "phase": "final_answer",  # else the log event codex.agent_response is not written
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }


def compaction(number: int) -> Item:
    """Return a summary of a conversation, which only the model can read."""
    return {"type": "compaction", "id": f"cmp_{number}", "encrypted_content": "scripted"}


def stream(
    items: list[Item],
    response: Mapping[str, Any],
    completed: Mapping[str, Any],
    *,
    step: Step | None = None,
    lean: bool = False,
) -> list[Event]:
    """Return the events of an answer that has ``items``.

    Args:
        items: finished.
        response: what is known of the answer at its beginning.
        completed: what is added at its end, such as the usage.
        step: a message's number of pieces, a cut or a failure.
        lean: leave out what Codex can do without.
    """
    events: list[Event] = [
        {"type": "response.created", "response": {**response, "status": "in_progress"}},
        {"type": "response.in_progress", "response": {**response, "status": "in_progress"}},
    ]
    pieces = step.deltas if isinstance(step, Message) else 3
    for index, item in enumerate(items):
        events += [{**event, "output_index": index} for event in _of_item(item, pieces)]
    if isinstance(step, Cut):
        # It breaks off in the middle of the text.
        last = max(n for n, event in enumerate(events) if event["type"].endswith(".delta"))
        return events[: last + 1]
    if isinstance(step, Failure):
        error = {"code": step.code, "message": step.message}
        failed = {**response, "status": "failed", "error": error}
        events.append({"type": "response.failed", "response": failed})
    else:
        done = {**response, "status": "completed", **completed}
        events.append({"type": "response.completed", "response": done})
    if lean:
        events = [event for event in events if event["type"] in _LEAN]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _of_item(item: Item, pieces: int) -> Iterator[Event]:
    of = {"item_id": item["id"]}
    match item["type"]:
        case "message":
            begun, part = {**item, "content": []}, {**of, "content_index": 0}
            text = item["content"][0]["text"]
            empty = {**item["content"][0], "text": ""}
            middle = [
                {"type": "response.content_part.added", **part, "part": empty},
                *_deltas("response.output_text", text, pieces, part),
                {"type": "response.output_text.done", **part, "text": text},
                {"type": "response.content_part.done", **part, "part": item["content"][0]},
            ]
        case "reasoning" if item["summary"]:
            begun, part = {**item, "summary": []}, {**of, "summary_index": 0}
            text = item["summary"][0]["text"]
            empty = {**item["summary"][0], "text": ""}
            middle = [
                {"type": "response.reasoning_summary_part.added", **part, "part": empty},
                *_deltas("response.reasoning_summary_text", text, pieces, part),
                {"type": "response.reasoning_summary_text.done", **part, "text": text},
                {"type": "response.reasoning_summary_part.done", **part, "part": item["summary"][0]},
            ]
        case "function_call":
            begun, text = {**item, "arguments": ""}, item["arguments"]
            middle = [
                *_deltas("response.function_call_arguments", text, pieces, of),
                {"type": "response.function_call_arguments.done", **of, "arguments": text},
            ]
        case "custom_tool_call":
            begun, text = {**item, "input": ""}, item["input"]
            middle = [
                *_deltas("response.custom_tool_call_input", text, pieces, of),
                {"type": "response.custom_tool_call_input.done", **of, "input": text},
            ]
        case _:
            begun, middle = item, []
    yield {"type": "response.output_item.added", "item": begun}
    yield from middle
    yield {"type": "response.output_item.done", "item": item}


def _deltas(name: str, text: str, count: int, of: Mapping[str, Any]) -> list[Event]:
    """Cut ``text`` into ``count`` pieces, some of them empty when there are more pieces than characters."""
    cuts = [i * len(text) // count for i in range(count + 1)] if count else []
    return [{"type": f"{name}.delta", **of, "delta": text[begin:end]} for begin, end in pairwise(cuts)]


def _reasoning(text: str, number: int) -> Item:
    summary = [{"type": "summary_text", "text": text}] if text else []
    return {"type": "reasoning", "id": f"rs_{number}", "summary": summary, "encrypted_content": "scripted"}


def _script(source: str, number: int) -> Item:
    return {
        "type": "custom_tool_call",
        "id": f"ctc_{number}",
        "call_id": f"call_{number}",
        "name": "exec",
        "input": source,
    }


def _tool_call(step: ToolCall, number: int, request: ModelRequest) -> Item:
    arguments = json.dumps(step.arguments)
    if COMMAND_OF_PROMPT in arguments:
        asked = re.search("`([^`]+)`", request.prompt)
        command = json.dumps(asked[1] if asked else "echo observed")[1:-1]
        arguments = arguments.replace(COMMAND_OF_PROMPT, command)
    if request.code_mode and step.namespace != "collaboration":
        name = f"{step.namespace}__{step.name}" if step.namespace else step.name
        return _script(
            f"const r = await tools.{name}({arguments});\ntext(r?.output ?? JSON.stringify(r));\n", number
        )
    item = {
        "type": "function_call",
        "id": f"fc_{number}",
        "call_id": f"call_{number}",
        "name": step.name,
        "arguments": arguments,
    }
    return item if step.namespace is None else {**item, "namespace": step.namespace}
