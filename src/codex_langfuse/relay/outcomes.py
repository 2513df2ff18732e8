"""How a turn, a tool call or a request to the model ended: its level in Langfuse, and why, quoting nobody."""

from __future__ import annotations

from codex_langfuse.relay.facts import Request
from codex_langfuse.relay.failures import status_phrase
from codex_langfuse.relay.model_calls import CallHistory, Standing
from codex_langfuse.relay.session_info import SessionInfo
from codex_langfuse.relay.turn import Tool, Turn

_WHERE = {
    Standing.STARTED: "before the model answered",
    Standing.SAMPLING: "while the model answered",
    Standing.TOOLS: "while a tool ran or waited for approval",
    Standing.BETWEEN: "after a tool ran",
}


def outcome_of(turn: Turn, history: CallHistory, about: SessionInfo) -> tuple[str, str | None]:
    """Return the level of a turn and, when it is not DEFAULT, why."""
    standing = history.standing
    told_end = turn.closed or turn.next_prompt or turn.ended == "the end of the conversation"
    usage = turn.spans.usage() if turn.spans is not None else None
    cut_off = [tool for tool in turn.tools.values() if tool.aborted and tool.finished is None]
    if standing is Standing.FAILED:
        failure = history.failures[-1]
        if isinstance(failure, Request):
            return "ERROR", f"the model request failed: {request_message(failure)}"
        return "ERROR", failure.phrase or "the model's answer broke off"
    if cut_off:
        return "WARNING", f"interrupted: {cut_off[-1].name} was cut off"
    if turn.cost is not None and turn.cost.interrupted:
        return "WARNING", "interrupted"
    if turn.closed and usage is None and turn.kind == "turn" and not about.older_than(0, 128):
        # From 0.128 on Codex leaves its sum out only when a turn was interrupted.
        return "WARNING", f"interrupted {_WHERE.get(standing, 'after the model answered')}"
    if standing in {Standing.ANSWERED, Standing.PERHAPS}:
        return "DEFAULT", None
    if usage is not None and (usage.output or turn.kind != "turn"):
        # Codex counted what it used, which it does only at the end of a turn: the last records were lost.
        return "DEFAULT", None
    where = _WHERE[standing]
    if turn.ended == "the process ended":
        return "WARNING", f"the process ended {where}"
    return "WARNING", f"interrupted {where}" if told_end else f"no end seen: silence {where}"


def tool_outcome(tool: Tool) -> tuple[str, str | None]:
    """Return the level of a tool call and, when it is not DEFAULT, why.

    Codex says `success = true` of a command that it could run, whatever the command's exit code.
    """
    if tool.exit_code:
        return "ERROR", f"exit code {tool.exit_code}"
    if tool.refused:
        return "WARNING", f"{tool.decision} by {tool.source}"
    if tool.success is False:
        return "ERROR", tool.phrase or "failed"
    if tool.finished is None and tool.aborted:
        return "WARNING", "cut off"
    if tool.pending:
        return "WARNING", "no end seen"
    return "DEFAULT", None


def request_message(failure: Request) -> str:
    """Return what is said of a failed request when messages may not leave."""
    if failure.status is not None:
        status = status_phrase(failure.status)
        return f"{status} ({failure.phrase})" if failure.phrase else status
    return failure.phrase or "no answer"


def end_of(turn: Turn) -> str:
    """Return by what the turn is taken to be over."""
    if turn.closed or (turn.spans is not None and turn.spans.ran is not None):
        return "reported by Codex"
    if turn.ended is not None:
        return turn.ended
    return "the next prompt" if turn.next_prompt else "silence"
