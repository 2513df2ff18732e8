"""What the scripted model does: steps, and scenarios made of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Replaced by the command that the prompt has between backticks, and for `echo observed` when it has none.
COMMAND_OF_PROMPT = "{command of the prompt}"


@dataclass(frozen=True)
class Message:
    """The model's final answer, streamed in ``deltas`` pieces; before it ``reasoning``, if there is any."""

    text: str
    deltas: int = 3
    reasoning: str | None = None


@dataclass(frozen=True)
class ToolCall:
    """The model asks Codex to run a tool.

    Where Codex is in code mode the model asks as it would there: by a script for ``exec``. Tools of the
    namespace ``collaboration`` are always asked for directly.
    """

    name: str
    arguments: Mapping[str, Any]
    namespace: str | None = None


@dataclass(frozen=True)
class Script:
    """The model asks Codex to run JavaScript: code mode's ``exec``."""

    source: str


@dataclass(frozen=True)
class Cut:
    """The connection closes while the model answers ``text``."""

    text: str = "This answer breaks off"


@dataclass(frozen=True)
class Failure:
    """The stream ends with ``response.failed``."""

    code: str
    message: str


@dataclass(frozen=True)
class Refusal:
    """The model answers with an error: ``times`` times, or always when that is None.

    Over HTTP it is the answer's status; over a WebSocket an event ``error`` with this status. Codex 0.171
    retries after a 5xx, and over HTTP after a 429 that has a ``Retry-After`` (``retry_after``, seconds).
    ``code`` is the error's, such as ``usage_limit_reached`` or ``websocket_connection_limit_reached``.
    ``after``: seconds until a request is refused; a handshake is refused at once.
    """

    status: int
    message: str
    times: int | None = None
    retry_after: int | None = None
    code: str = "scripted_refusal"
    after: float = 0.0


Step = Message | ToolCall | Script | Cut | Failure | Refusal


@dataclass(frozen=True)
class Scenario:
    """What the model does in a turn: one step a model call. Each turn starts at the first step.

    Attributes:
        steps: the last one is repeated if Codex asks on.
        refusal: comes before the steps.
        handshake: what a WebSocket's handshake is refused with. Codex 0.171 uses HTTP at once after a 426,
            and after seven attempts for another status.
        sub_agent_task: a sub-agent whose task this is follows ``sub_agent_steps``.
        pause: seconds between two events of an answer.
        lean: leave out every event that Codex can do without.
        without_usage: answer without token counts, as some services do.
        usage: the token counts of every answer, as the API reports them; None for those of ``usage_of``.
    """

    steps: tuple[Step, ...]
    refusal: Refusal | None = None
    handshake: Refusal | None = None
    sub_agent_task: str | None = None
    sub_agent_steps: tuple[Step, ...] = ()
    pause: float = 0.0
    lean: bool = False
    without_usage: bool = False
    usage: Mapping[str, Any] | None = None


HTTP_ONLY = Refusal(426, "Upgrade Required")

SCENARIOS: Mapping[str, Scenario] = {
    "plain turn": Scenario((Message("Hello from the scripted model."),)),
    "tool call": Scenario(
        (
            ToolCall("exec_command", {"cmd": "echo observed"}),
            Message("The command printed: observed"),
        )
    ),
    "failing tool": Scenario(
        (
            ToolCall("exec_command", {"cmd": "echo broken >&2; exit 3"}),
            Message("The command failed with exit code 3."),
        )
    ),
    "429 then OK": Scenario(
        (Message("Hello after one refusal."),),
        refusal=Refusal(429, "Rate limit reached.", times=1, retry_after=0),
        handshake=HTTP_ONLY,
    ),
    "429": Scenario((), refusal=Refusal(429, "You exceeded your current quota.", after=0.2)),
    "400 after a tool": Scenario(
        (ToolCall("exec_command", {"cmd": "sleep 1"}), Refusal(400, "The request is invalid."))
    ),
    "400": Scenario((), refusal=Refusal(400, "The request is invalid.", after=0.2)),
    "500 then OK": Scenario(
        (Message("Hello after one refusal."),), refusal=Refusal(500, "The server had an error.", times=1)
    ),
    "cut then OK": Scenario((Cut(), Message("Hello after one cut."))),
    "HTTP": Scenario((Message("Hello over HTTP."),), handshake=HTTP_ONLY),
    "long stream": Scenario((Message("A long answer, streamed in many pieces.", deltas=100),)),
    "sub-agent": Scenario(
        (
            ToolCall(
                "spawn_agent",
                {"task_name": "count", "message": "Count the files."},
                namespace="collaboration",
            ),
            ToolCall("wait_agent", {"timeout_ms": 10_000}, namespace="collaboration"),
            Message("The sub-agent counted the files."),
        ),
        sub_agent_task="Count the files.",
        sub_agent_steps=(Message("There are no files."),),
    ),
}
