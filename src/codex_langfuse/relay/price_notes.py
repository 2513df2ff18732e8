"""What the relay's store notes of Langfuse's prices: ``langfuse_prices`` writes it, ``--status`` reads it."""

from collections.abc import Iterable, Mapping

from codex_langfuse.page_addresses import page_url

#: What was asked about and what of it has no price, why that is not known, and where traces are shown.
PRICES = "prices"
NOT_KNOWN = "prices not known"
TRACES_AT = "traces at"


def in_words(missing: Iterable[tuple[str, str]], kinds: Mapping[tuple[str, str], int]) -> str:
    """Return models and kinds with their number of tokens: ``gpt-6.2-sol (200 input, 50 output)``."""
    of: dict[str, list[str]] = {}
    for model, kind in missing:
        of.setdefault(model, []).append(f"{kinds.get((model, kind), 0)} {kind}")
    texts = [f"{model} ({', '.join(counts)})" for model, counts in of.items()]
    return f"{', '.join(texts)}. They count as $0. See {page_url('guide/models')}"
