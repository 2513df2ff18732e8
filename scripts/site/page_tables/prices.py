"""The table of models that Langfuse has a price for, from the price list that the mock prices with."""

from collections.abc import Callable

from codex_langfuse.mock.langfuse.prices import find_model
from page_tables.markdown import mark, table, words_of

_TEXTS = words_of(__file__)

#: The models of Codex, the newest first, and the versions whose default they are (measured 2026-11-28).
_MODELS = {
    "gpt-6.2-sol": "0.171",
    "gpt-6.2-astra": "",
    "gpt-6.1-sol": "0.163 – 0.169",
    "gpt-6.1-terra": "",
    "gpt-6-astra": "0.156",
    "gpt-6-sol": "",
    "gpt-6-luna": "",
    "gpt-5.6-sol": "0.150",
    "gpt-5.6-terra": "",
    "gpt-5.6-luna": "",
    "gpt-5.5": "0.130 – 0.142",
    "gpt-5.4-mini": "",
    "gpt-5.3-codex": "",
    "gpt-5-codex": "",
    "codex-auto-review": "",
}
_KINDS = ("input", "input_cached_tokens", "input_cache_creation", "output", "output_reasoning_tokens")
_TIERS = _TEXTS["tiers"]


def models(language: str) -> str:
    """Return for each model of Codex which kinds of tokens Langfuse has a price for, and which tiers."""
    model_head, default_head, also_head = _TEXTS["head"][language]
    head = [model_head, default_head, *(f"`{kind}`" for kind in _KINDS), also_head]
    rows = []
    for name, versions in _MODELS.items():
        model = find_model(name)
        prices = model.default_tier.prices if model else {}
        names = [tier.name for tier in model.tiers] if model else []
        also = [
            word if isinstance(word, str) else word[language]
            for start, word in _TIERS.items()
            if any(tier.startswith(start) for tier in names)
        ]
        rows.append(
            [f"`{name}`", versions or "–"]
            + [mark(kind in prices, language) for kind in _KINDS]
            + [_TEXTS["comma"][language].join(also) or "–"]
        )
    return table(head, rows)


TABLES: dict[str, Callable[[str], str]] = {"models": models}
