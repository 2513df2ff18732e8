"""Tokens of one model call, by kind."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Usage:
    """Tokens as Codex counts them: input holds cached and cache-write ones, output holds reasoning."""

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0

    def details(self) -> dict[str, int]:
        """Return the parts, each token in one of them, under Langfuse's names; `total` is their sum."""
        cached = min(self.cached, self.input)
        written = min(self.cache_write, self.input - cached)
        reasoning = min(self.reasoning, self.output)
        parts = {
            "input": self.input - cached - written,
            "input_cached_tokens": cached,
            "input_cache_creation": written,
            "output": self.output - reasoning,
            "output_reasoning_tokens": reasoning,
        }
        parts["total"] = sum(parts.values())
        return parts

    @property
    def total(self) -> int:
        """All tokens."""
        return self.input + self.output

    def agrees_with(self, other: Usage) -> bool:
        """Whether both are of the same answer: spans of Codex 0.144 and older tell no cache writes."""
        mine = (self.input, self.cached, self.output, self.reasoning)
        return mine == (other.input, other.cached, other.output, other.reasoning)

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.cached + other.cached,
            self.cache_write + other.cache_write,
            self.output + other.output,
            self.reasoning + other.reasoning,
        )

    def __sub__(self, other: Usage) -> Usage:
        """Return what is left, by kind; a kind of which less than nothing would be left is 0."""
        return Usage(
            max(0, self.input - other.input),
            max(0, self.cached - other.cached),
            max(0, self.cache_write - other.cache_write),
            max(0, self.output - other.output),
            max(0, self.reasoning - other.reasoning),
        )
