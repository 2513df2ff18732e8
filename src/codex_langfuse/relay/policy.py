"""What may leave the relay, and under which names: the settings of one relay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Content(StrEnum):
    """How much of what was said and done may leave."""

    NONE = "none"
    PROMPTS = "prompts"
    FULL = "full"


class TraceName(StrEnum):
    """What traces are named after."""

    TURN = "turn"
    PROMPT = "prompt"


@dataclass(frozen=True)
class User:
    """Who a turn is said to belong to.

    source: "off" (nobody), "name" (the `name` given here), "account-id" or "email" (as Codex sends them when
    it is logged in with ChatGPT).
    """

    source: str = "off"
    name: str | None = None

    @classmethod
    def parse(cls, text: str) -> User:
        """Read the value of the option: `off`, `account-id`, `email`; any other text is a name."""
        if text in {"off", ""}:
            return cls()
        if text in {"account-id", "email"}:
            return cls(text)
        return cls("name", text)


@dataclass(frozen=True)
class Price:
    """US dollars for one token of each kind."""

    input: float = 0.0
    cached_input: float = 0.0
    cache_write: float = 0.0
    output: float = 0.0
    reasoning_output: float | None = None  # None: the price of output


@dataclass(frozen=True)
class Policy:
    """Settings of one relay; the default lets nothing out that could be content."""

    content: Content = Content.NONE
    name_by_prompt: bool = False  # the trace is named after the prompt, if prompts may leave
    user: User = User()
    environment: str | None = None  # None: what `[otel] environment` says
    tags: tuple[str, ...] = ()
    prices: Mapping[str, Price] = field(default_factory=lambda: MappingProxyType({}))
