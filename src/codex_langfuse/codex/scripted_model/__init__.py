"""A model server that speaks as OpenAI's does, so that Codex runs without a model.

Codex is pointed at it by ``openai_base_url`` (see ``isolated``). What it answers is a scenario: data, in
``scenario``. It keeps what it was asked (``ScriptedModel.requests``) and what it charged (``charges``).

``scenario``  what the model does
``request``   what Codex asks
``events``    an answer, as the API's events
``charges``   what it costs
``model``     the answer to a request
``server``    the transports
"""

from codex_langfuse.codex.scripted_model.charges import Charge, usage_of
from codex_langfuse.codex.scripted_model.model import ScriptedModel
from codex_langfuse.codex.scripted_model.request import ModelRequest
from codex_langfuse.codex.scripted_model.scenario import (
    COMMAND_OF_PROMPT,
    HTTP_ONLY,
    SCENARIOS,
    Cut,
    Failure,
    Message,
    Refusal,
    Scenario,
    Script,
    Step,
    ToolCall,
)
from codex_langfuse.codex.scripted_model.server import running_scripted_model

__all__ = [
    "COMMAND_OF_PROMPT",
    "HTTP_ONLY",
    "SCENARIOS",
    "Charge",
    "Cut",
    "Failure",
    "Message",
    "ModelRequest",
    "Refusal",
    "Scenario",
    "Script",
    "ScriptedModel",
    "Step",
    "ToolCall",
    "running_scripted_model",
    "usage_of",
]
