"""What Codex asks a model, over either transport."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

Transport = Literal["http", "websocket"]

_OUTPUTS = ("function_call_output", "custom_tool_call_output")


@dataclass(frozen=True)
class ModelRequest:
    """One request of Codex.

    Attributes:
        transport: a request over a WebSocket has the path and the headers of the handshake.
        headers: names in lower case.
        body: parsed from JSON.
        history: every item of the conversation, those of ``previous_response_id`` included.
    """

    transport: Transport
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]

    @property
    def warm_up(self) -> bool:
        """Whether Codex only prepares the connection, and wants no answer of the model."""
        return self.body.get("generate") is False

    @property
    def model(self) -> str:
        """The model that is asked."""
        return str(self.body.get("model", ""))

    @property
    def thread(self) -> str:
        """The id of the conversation."""
        return self._metadata.get("thread_id") or self.headers.get("thread-id", "")

    @property
    def turn(self) -> str:
        """Codex's id of the turn; empty for a warm-up."""
        return self._metadata.get("turn_id", "")

    @property
    def kind(self) -> str:
        """What Codex calls the request: ``turn``, ``prewarm``, ``compaction``, …"""
        return self._metadata.get("request_kind", "")

    @property
    def compaction(self) -> bool:
        """Whether a summary of the conversation is wanted."""
        return self.kind == "compaction" or any(
            item.get("type") == "compaction_trigger" for item in self.body.get("input", [])[-1:]
        )

    @cached_property
    def _metadata(self) -> Mapping[str, str]:
        # Over a WebSocket it is in the body, since the headers are those of the whole connection.
        sent = self.body.get("client_metadata", {}).get("x-codex-turn-metadata")
        metadata: Mapping[str, str] = json.loads(sent or self.headers.get("x-codex-turn-metadata", "{}"))
        return metadata

    @property
    def tools(self) -> frozenset[str]:
        """Names of the tools that the model may ask for, those in namespaces as ``namespace.name``."""
        listed = [*self.body.get("tools", [])]
        for item in self.history:
            if item.get("type") == "additional_tools":
                listed += item["tools"]
        return frozenset(_names(listed))

    @property
    def code_mode(self) -> bool:
        """Whether the model runs tools from scripts that it gives to ``exec``."""
        return bool(self.tools & {"exec", "functions.exec"})

    @property
    def prompt(self) -> str:
        """What began the turn: the user's text, or the task of a sub-agent."""
        return self._current_turn[0]

    @property
    def outputs(self) -> Sequence[str]:
        """What the tools of the turn answered, oldest first."""
        return self._current_turn[1]

    @cached_property
    def _current_turn(self) -> tuple[str, list[str]]:
        prompt = ""
        outputs: list[str] = []
        for item in self.history:
            kind = item.get("type")
            if kind == "message" and item.get("role") == "user":
                text = _text(item["content"])
                # What Codex adds in the user's name (environment, notices of sub-agents) is a tagged text.
                if not text.startswith(("<", "# AGENTS.md")):
                    prompt, outputs = text, []
            elif kind == "agent_message" and item.get("recipient") != "/root":
                prompt, outputs = _text(item["content"][-1:]), []
            elif kind in _OUTPUTS:
                outputs.append(_text(item["output"]))
        return prompt, outputs


def _names(tools: Sequence[Mapping[str, Any]], namespace: str = "") -> list[str]:
    found = []
    for tool in tools:
        name = namespace + str(tool.get("name") or tool.get("type"))
        found += _names(tool["tools"], f"{name}.") if tool.get("type") == "namespace" else [name]
    return found


def _text(content: str | Sequence[Mapping[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or part.get("encrypted_content") or "" for part in content)
