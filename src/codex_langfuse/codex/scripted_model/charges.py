"""What the scripted model charges: the truth that telemetry is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codex_langfuse.codex.scripted_model.request import Transport


@dataclass(frozen=True)
class Charge:
    """One request and what it cost.

    Attributes:
        thread, turn: Codex's ids of the conversation and the turn; a warm-up has no turn.
        usage: tokens by kind as the API reports them; None if none were reported: for a warm-up, an answer
            that broke off, a refusal.
        service_tier: as asked for; None for the default.
    """

    thread: str
    turn: str
    model: str
    transport: Transport
    warm_up: bool
    service_tier: str | None
    usage: Mapping[str, Any] | None

    @property
    def tokens(self) -> int:
        """All tokens charged."""
        return self.usage["total_tokens"] if self.usage else 0


def usage_of(number: int) -> dict[str, Any]:
    """Return the usage of the ``number``-th answer (from 1); no two are equal, so a double count shows.

    The first costs 1,250 tokens, the second 1,460: input 1,200 and 1,400, of it cached 1,000 and 1,100;
    output 50 and 60, of it reasoning 20 and 24.
    """
    more = number - 1
    input_tokens, output_tokens = 1200 + 200 * more, 50 + 10 * more
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": 1000 + 100 * more},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": 20 + 4 * more},
        "total_tokens": input_tokens + output_tokens,
    }
