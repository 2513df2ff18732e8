"""What may leave the relay, and under which names: the settings of one relay."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

#: What Codex and the API call a request that asked for no other service tier.
_STANDARD = frozenset({None, "auto", "default", "standard"})


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
    """US dollars for one token of each kind, by Langfuse's names; ``large`` holds above ``large_above``.

    large_above: input tokens of one request, cached ones among them.
    """

    kinds: Mapping[str, float]
    large: Mapping[str, float] | None = None
    large_above: int = 0

    def costs(self, details: Mapping[str, int]) -> dict[str, float]:
        """Return what the parts of ``Usage.details`` cost, and their sum.

        Langfuse takes parts without a ``total`` for no cost.
        """
        asked = sum(details[kind] for kind in ("input", "input_cached_tokens", "input_cache_creation"))
        kinds = self.large if self.large is not None and asked > self.large_above else self.kinds
        costs = {kind: details[kind] * dollars for kind, dollars in kinds.items()}
        return {**costs, "total": sum(costs.values())}


@dataclass(frozen=True)
class PricedModel:
    """Prices by service tier, ``""`` for the standard one, of the models whose name ``pattern`` matches."""

    pattern: re.Pattern[str]
    tiers: Mapping[str, Price]


@dataclass(frozen=True)
class Policy:
    """Settings of one relay; the default lets nothing out that could be content."""

    content: Content = Content.NONE
    name_by_prompt: bool = False  # the trace is named after the prompt, if prompts may leave
    user: User = User()
    environment: str | None = None  # None: what `[otel] environment` says
    tags: tuple[str, ...] = ()
    prices: tuple[PricedModel, ...] = ()

    def price(self, model: str, tier: str | None) -> Price | None:
        """Return the price of a model call, if the price file has one for the model and its service tier."""
        found = next((each for each in self.prices if each.pattern.search(model)), None)
        return None if found is None else found.tiers.get("" if tier in _STANDARD else str(tier))
