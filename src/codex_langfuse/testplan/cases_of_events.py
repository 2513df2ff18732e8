"""Cases: each kind of event that Codex logs is sent, and seen in Langfuse."""

from collections.abc import Mapping
from typing import Any

from codex_langfuse.codex.scripted_model import HTTP_ONLY, Message, Refusal, Scenario, ToolCall, usage_of
from codex_langfuse.testplan import configurations, traffic
from codex_langfuse.testplan.proof import Proof, in_words
from codex_langfuse.testplan.reading import Observation
from codex_langfuse.testplan.stage import PlayedTurn, Relayed, Stage

_PROMPT = "Say hello, please, and nothing else."

_COMMAND = "exec_command"

_REFUSED_ONCE = Scenario(
    (Message("Hello after one refusal."),),
    refusal=Refusal(429, "Rate limit reached.", times=1, retry_after=0),
    handshake=HTTP_ONLY,  # over a WebSocket a 429 ends the turn
)
_TWO_TOOLS = Scenario(
    (
        ToolCall(_COMMAND, {"cmd": "echo observed"}),
        ToolCall(_COMMAND, {"cmd": "exit 3"}),
        Message("One worked, one failed."),
    )
)

_USAGE = usage_of(1)
#: What Codex calls the counts of a model call, and what the scripted model counts.
_COUNTS = {
    "input_token_count": _USAGE["input_tokens"],
    "cached_token_count": _USAGE["input_tokens_details"]["cached_tokens"],
    "output_token_count": _USAGE["output_tokens"],
    "reasoning_token_count": _USAGE["output_tokens_details"]["reasoning_tokens"],
}
#: The same in Langfuse, each token once.
_SHOWN_COUNTS = {
    "input": _COUNTS["input_token_count"] - _COUNTS["cached_token_count"],
    "input_cached_tokens": _COUNTS["cached_token_count"],
    "output": _COUNTS["output_token_count"] - _COUNTS["reasoning_token_count"],
    "output_reasoning_tokens": _COUNTS["reasoning_token_count"],
    "total": _USAGE["total_tokens"],
}


def conversation(stage: Stage, proof: Proof) -> None:
    """Look for ``conversation_starts`` and ``user_prompt``."""
    relayed = stage.relayed_turn(stage.langfuse(), prompt=_PROMPT)
    agent = _only(relayed.shown.of("AGENT"))
    starts = _only(_events(relayed.turn, "codex.conversation_starts"))
    wanted = ("model", "approval_policy")
    sent = {name: starts.get(name) for name in wanted}
    proof.check("starts_sent", all(sent.values()), sent)
    metadata = _metadata(agent)
    shown = {name: metadata.get(name) for name in wanted}
    proof.check("starts_shown", all(sent.values()) and shown == sent, shown)

    prompt = _only(_events(relayed.turn, "codex.user_prompt"))
    told = {name: prompt.get(name) for name in ("prompt_length", "prompt")}
    right = told == {"prompt_length": str(len(_PROMPT)), "prompt": "[REDACTED]"}
    proof.check("prompt_sent", right, told)
    length = metadata.get("prompt_length")
    hidden = bool(agent) and traffic.only_numbers(agent.get("input"))
    input_shown = f"length {length}, input {agent.get('input')!r}"
    proof.check("prompt_shown", hidden and str(length) == str(len(_PROMPT)), input_shown)


def model(stage: Stage, proof: Proof) -> None:
    """Look for ``api_request`` and ``sse_event``."""
    relayed = stage.relayed_turn(stage.langfuse(), scenario=_REFUSED_ONCE)
    statuses = [
        record.get("http.response.status_code") for record in _events(relayed.turn, "codex.api_request")
    ]
    proof.check("request_sent", statuses == [429, 200], f"statuses {in_words(statuses)}")
    error = _only([each for each in relayed.shown.of("EVENT") if each["name"] == "api error"])
    call = _only(relayed.shown.of("GENERATION"))
    attempts = _metadata(call).get("attempts")
    told = f"{error.get('level')} {error.get('statusMessage')!r}; attempts {attempts}"
    warned = error.get("level") == "WARNING" and "429" in str(error.get("statusMessage"))
    proof.check("request_shown", warned and str(attempts) == "2", told)

    completed = [
        record
        for record in _events(relayed.turn, "codex.sse_event")
        if record.get("event.kind") == "response.completed" and "input_token_count" in record
    ]
    counts = {name: _number(_only(completed).get(name)) for name in _COUNTS}
    proof.check("stream_sent", counts == _COUNTS, counts)
    usage = call.get("usageDetails") or {}
    shown = {name: usage.get(name) for name in _SHOWN_COUNTS}
    proof.check("stream_shown", shown == _SHOWN_COUNTS, usage)


def tools(stage: Stage, proof: Proof) -> None:
    """Look for ``tool_decision`` and ``tool_result``, of a command that succeeds and one that fails."""
    relayed = stage.relayed_turn(stage.langfuse(), scenario=_TWO_TOOLS)
    decisions = _by_call(relayed, "codex.tool_decision", ("decision", "source"))
    proof.check("decision_sent", len(decisions) == 2 and all(map(all, decisions.values())), decisions)
    # In code mode a command runs from a script, which is a tool call as well: not what is looked for here.
    commands = [tool for tool in relayed.shown.of("TOOL") if tool["name"] == _COMMAND]
    shown = {str(_metadata(tool).get("call_id")): _metadata(tool) for tool in commands}
    told = {id_: (each.get("decision"), each.get("decision_source")) for id_, each in shown.items()}
    alike = {id_: tuple(str(value).lower() for value in values) for id_, values in decisions.items()}
    proof.check("decision_shown", decisions and told == alike, told)

    results = _by_call(relayed, "codex.tool_result", ("duration_ms",))
    proof.check("result_sent", len(results) == 2 and all(map(all, results.values())), results)
    told = {id_: (each.get("duration_ms"), each.get("exit_code")) for id_, each in shown.items()}
    durations = [(_number(duration),) for duration, _ in told.values()]
    sent = [(_number(duration),) for (duration,) in results.values()]
    codes = sorted(str(code) for _, code in told.values())
    proof.check("result_shown", sorted(durations) == sorted(sent) and codes == ["0", "3"], told)
    levels = sorted((str(_metadata(tool).get("exit_code")), tool["level"]) for tool in commands)
    proof.check(
        "failure_shown",
        levels == [("0", "DEFAULT"), ("3", "ERROR")],
        f"exit code and level: {in_words(levels)}",
    )


def _events(turn: PlayedTurn, name: str) -> list[Mapping[str, Any]]:
    """Return the attributes of every log record of an event that Codex sent to the relay."""
    return [record.attributes for record in turn.records(configurations.RELAY) if record.event == name]


def _by_call(relayed: Relayed, event: str, names: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    return {
        str(record.get("call_id")): tuple(record.get(name) for name in names)
        for record in _events(relayed.turn, event)
        if record.get("tool_name") == _COMMAND
    }


def _only(found: list[Any]) -> Any:
    """Return the one that was found; an empty mapping when there is none, or more than one."""
    return found[0] if len(found) == 1 else {}


def _metadata(observation: Observation) -> Mapping[str, Any]:
    return observation.get("metadata") or {}


def _number(value: object) -> int | None:
    """Return a number that may be written as a text."""
    text = str(value)
    return int(text) if text.isdecimal() else None


PLAYERS = {
    "events-conversation": conversation,
    "events-model": model,
    "events-tools": tools,
}
