"""What Langfuse 4.16.0 takes a token to cost, for the models that Codex uses.

From ``worker/src/constants/default-model-prices.json`` of that version (prices as of 2026-08-20), which knows
many more. It has no price for ``gpt-5-codex``: its costs stay empty until somebody adds a model definition.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

#: More tokens than this in the request, and the price for a large context holds.
_LARGE_CONTEXT = 272_000

#: Names under which a token of each kind may be counted.
_INPUT = ("input",)
_CACHED = ("input_cached_tokens", "input_cache_read", "cache_read_input_tokens")
_OUTPUT = ("output", "output_reasoning_tokens", "output_reasoning", "reasoning_tokens")
_CACHE_CREATION = ("input_cache_creation", "cache_write_tokens")


@dataclass(frozen=True)
class Tier:
    """A list of prices, US dollars a token by the name of the count, and when it holds.

    ``service_tiers`` are the values of the model parameter ``service_tier`` that ask for it.
    """

    id: str
    name: str
    service_tiers: tuple[str, ...]
    is_large_context: bool
    prices: dict[str, Decimal]

    def holds(self, usage: dict[str, int | float], model_parameters: dict[str, Any]) -> bool:
        """Return whether these are the prices for a request with this usage and these parameters."""
        if self.service_tiers and model_parameters.get("service_tier") not in self.service_tiers:
            return False
        return not self.is_large_context or self._context(usage) > _LARGE_CONTEXT

    def _context(self, usage: dict[str, int | float]) -> float:
        counted = ("input", "cache_write") if "cache_write_tokens" in self.prices else ("input",)
        return sum(count for name, count in usage.items() if any(part in name.lower() for part in counted))


@dataclass(frozen=True)
class Model:
    """A model that has prices; the first tier is the one that holds when no other does."""

    id: str
    pattern: re.Pattern[str]
    tiers: tuple[Tier, ...]
    #: Langfuse has a tokenizer for it, as for every model below.
    is_tokenized: bool = True

    @property
    def default_tier(self) -> Tier:
        """The tier whose prices the API shows with the model."""
        return self.tiers[0]

    def matches(self, name: str) -> bool:
        """Return whether these are the prices of a model of that name."""
        return self.pattern.fullmatch(name) is not None

    def tier(self, usage: dict[str, int | float], model_parameters: Any) -> Tier | None:
        """Return the prices for a request; ``None`` when no usage is known."""
        if not usage:
            return None
        parameters = model_parameters if isinstance(model_parameters, dict) else {}
        return next((tier for tier in self.tiers[1:] if tier.holds(usage, parameters)), self.default_tier)


#: What else Langfuse 4.16.0 has a tokenizer for, by its list of prices. That lists single names of Claude;
#: here every name of the family counts.
_TOKENIZED = re.compile(
    r"(?i)(openai/)?(chatgpt-4o-latest"
    r"|gpt-(3\.?5-turbo|4(-32k|-turbo|o|\.1)?|5)(-(mini|nano|pro|16k|instruct|preview|chat-latest|[0-9]+))*"
    r"|gpt-5\.[0-9]-(pro|nano)(-[0-9]+)*)"
    r"|(anthropic/|([a-z]+\.)?anthropic\.)?claude-.+"
)


def find_model(name: str, own: Sequence[Model] = ()) -> Model | None:
    """Return the model whose pattern a name matches, of a project's ``own`` if there is one."""
    return next((model for model in (*own, *MODELS) if model.matches(name)), None)


def is_tokenized(name: str, model: Model | None) -> bool:
    """Return whether Langfuse counts the tokens of a model's text itself when it gets no usage."""
    return model.is_tokenized if model else _TOKENIZED.fullmatch(name) is not None


def _model(
    model_id: str, name: str, tiers: Iterable[tuple[str, str, str]], without: tuple[str, ...] = ()
) -> Model:
    """Make a model of its row: a tier is its name, its id and US dollars a million tokens.

    The prices are those of input, cached input and output and, where it has one, of writing the cache.
    """
    made = []
    for tier_name, tier_id, per_million in tiers:
        kinds = (_INPUT, _CACHED, _OUTPUT, _CACHE_CREATION)
        prices = {
            usage_name: Decimal(price) / 1_000_000
            for price, usage_names in zip(per_million.split(), kinds, strict=False)
            for usage_name in usage_names
            if usage_name not in without
        }
        service_tiers = (
            ("fast", "priority")
            if tier_name.startswith("Fast")
            else ("flex",)
            if tier_name.startswith("Flex")
            else ()
        )
        made.append(
            Tier(
                tier_id or f"{model_id}_tier_default",
                tier_name,
                service_tiers,
                "context" in tier_name.lower(),
                prices,
            )
        )
    return Model(model_id, re.compile(f"(?i)(openai/)?({name})"), tuple(made))


MODELS = (
    _model(
        "38c3822a-09a3-457b-b200-2c6f17f7cf2f",
        r"gpt-5",
        [
            ("Standard", "", "1.25 0.125 10"),
            ("Fast mode", "a67e2dee-d22c-4717-8f90-38a38b8a9e0c", "2.5 0.25 20"),
            ("Flex", "be4042e8-253f-4f20-94a8-2508b0dff73b", "0.625 0.0625 5"),
        ],
    ),
    _model(
        "12543803-2d5f-4189-addc-821ad71c8b55",
        r"gpt-5-2025-08-07",
        [
            ("Standard", "", "1.25 0.125 10"),
            ("Fast mode", "76480c39-b037-42eb-b553-640c7df3a3f1", "2.5 0.25 20"),
            ("Flex", "5988c80e-a2c3-42b9-8167-ba6c903a4a2b", "0.625 0.0625 5"),
        ],
    ),
    _model(
        "3d6a975a-a42d-4ea2-a3ec-4ae567d5a364",
        r"gpt-5-mini",
        [
            ("Standard", "", "0.25 0.025 2"),
            ("Fast mode", "fa4c5173-323e-41e4-8066-071ac910aa80", "0.45 0.045 3.6"),
            ("Flex", "5fe8248d-f3f4-49fd-ad76-d3654eac8593", "0.125 0.0125 1"),
        ],
    ),
    _model(
        "03b83894-7172-4e1e-8e8b-37d792484efd",
        r"gpt-5-mini-2025-08-07",
        [
            ("Standard", "", "0.25 0.025 2"),
            ("Fast mode", "4c70b81b-e828-459f-80da-8218f7d816d8", "0.45 0.045 3.6"),
            ("Flex", "810a215a-d0ea-456d-bc19-64f2e28f2d2f", "0.125 0.0125 1"),
        ],
    ),
    _model(
        "cmhymgpym000d04ih34rndvhr",
        r"gpt-5.1",
        [
            ("Standard", "", "1.25 0.125 10"),
            ("Fast mode", "78484894-8814-4eff-b250-06368c7c1fbb", "2.5 0.25 20"),
            ("Flex", "34bf46b6-995a-4e2e-a839-430c1da110e8", "0.625 0.0625 5"),
        ],
    ),
    _model(
        "cmhymgxiw000e04ihh9pw12ef",
        r"gpt-5.1-2025-11-13",
        [
            ("Standard", "", "1.25 0.125 10"),
            ("Fast mode", "aa398ff9-69fa-4f7a-b18a-6085e82ee20b", "2.5 0.25 20"),
            ("Flex", "b92ba7b5-513c-4f78-8e2b-f98adceee0fd", "0.625 0.0625 5"),
        ],
    ),
    _model(
        "cmj2n4f2a000304kz49g4c43u",
        r"gpt-5.2",
        [
            ("Standard", "", "1.75 0.175 14"),
            ("Fast mode", "b9f9277b-3d3e-4c75-9559-3ae60a8e221a", "3.5 0.35 28"),
            ("Flex", "74ae8425-2dbb-4879-a0da-c76a3a722c14", "0.875 0.0875 7"),
        ],
    ),
    _model(
        "cmj2muxg6000104kzd2tc8953",
        r"gpt-5.2-2025-12-11",
        [
            ("Standard", "", "1.75 0.175 14"),
            ("Fast mode", "7616bc9c-1606-4318-a79b-b0a9e4746477", "3.5 0.35 28"),
            ("Flex", "c6660696-8b14-4a83-8eb5-f1c68840a832", "0.875 0.0875 7"),
        ],
    ),
    _model(
        "f1e2d3c4-b5a6-4789-8abc-0d1e2f3a4b5c",
        r"gpt-5.3-codex",
        [
            ("Standard", "", "1.75 0.175 14"),
        ],
        without=("cache_read_input_tokens", "reasoning_tokens"),
    ),
    _model(
        "bee3c111-fe6f-4641-8775-73ea33b29fca",
        r"gpt-5.4",
        [
            ("Standard", "", "2.5 0.25 15"),
            ("Flex · Large context (>272K)", "1a2e3fd0-8bbd-4b8b-95d3-1d9750c45548", "2.5 0.25 11.25"),
            ("Fast mode", "e99b8dc7-8bb2-4373-9b03-8473958c9574", "5 0.5 30"),
            ("Flex", "4d8bb956-4374-430c-bfb5-66237dcbc636", "1.25 0.13 7.5"),
            ("Large Context (>272K)", "8f7d2163-197d-4bb2-a403-957c1f9f7244", "5 0.5 22.5"),
        ],
    ),
    _model(
        "22dfc7e1-1fe1-4286-b1af-928635e7ecb9",
        r"gpt-5.4-2026-03-05",
        [
            ("Standard", "", "2.5 0.25 15"),
            ("Flex · Large context (>272K)", "e670a6f6-c046-445e-a6f3-d1c71d934051", "2.5 0.25 11.25"),
            ("Fast mode", "fb92ade7-c15c-4b2a-a5aa-b5f5eb6f8c34", "5 0.5 30"),
            ("Flex", "efb0cdd3-3a13-49dc-9b4e-29fbc9fecdcf", "1.25 0.13 7.5"),
            ("Large Context (>272K)", "596cb5e9-ba20-4fcf-aa07-fa8c557b643c", "5 0.5 22.5"),
        ],
    ),
    _model(
        "4bf01a9f-663f-4302-a05c-b2b42c5348e3",
        r"gpt-5.4-mini",
        [
            ("Standard", "", "0.75 0.075 4.5"),
            ("Fast mode", "33d3b03a-fa64-46ce-b077-fd245bc7997d", "1.5 0.15 9"),
            ("Flex", "386cf9dc-77cb-4d09-9cb1-e5eae3e69abd", "0.375 0.0375 2.25"),
        ],
        without=("output_reasoning", "output_reasoning_tokens", "reasoning_tokens"),
    ),
    _model(
        "3d8027df-7491-442e-9770-1363ab2452fc",
        r"gpt-5.4-mini-2026-03-17",
        [
            ("Standard", "", "0.75 0.075 4.5"),
            ("Fast mode", "a4470b39-40df-45a2-a77b-b1e5e4cea7e0", "1.5 0.15 9"),
            ("Flex", "8c294d78-ef7d-469c-9669-e2a515ca028e", "0.375 0.0375 2.25"),
        ],
        without=("output_reasoning", "output_reasoning_tokens", "reasoning_tokens"),
    ),
    _model(
        "0a8ec527-44e0-4ee3-8005-a1865d712ec6",
        r"gpt-5.5(-2026-04-23)?",
        [
            ("Standard", "", "5 0.5 30"),
            ("Flex · Large context (>272K)", "67ba2a0f-c796-4d93-bbb6-cf0338718150", "5 0.5 22.5"),
            ("Fast mode", "af5ffdbd-411b-4215-ae86-bfc0d9c9817e", "12.5 1.25 75"),
            ("Flex", "93bdcf85-5a30-4cfa-8144-25d4f7af82ec", "2.5 0.25 15"),
            ("Large Context (>272K)", "a3ad657c-fff1-44dd-a51b-20d9845a112a", "10 1 45"),
        ],
    ),
    _model(
        "7f3d2e1a-4b5c-4d6e-8f9a-0b1c2d3e4f5a",
        r"gpt-5.6-sol",
        [
            ("Standard", "", "5 0.5 30 6.25"),
            ("Fast mode · Large context (>272K)", "54bb424a-ac97-4316-93b2-1b3a46a79f71", "20 2 90 25"),
            ("Flex · Large context (>272K)", "53c9716e-6693-4ad4-af66-a00091b91d80", "5 0.5 22.5 6.25"),
            ("Fast mode", "26ef382b-df27-4a55-ad8c-dedea29d76ee", "10 1 60 12.5"),
            ("Flex", "4735e32d-5ff7-4fc9-ad62-8c9579dc5f2a", "2.5 0.25 15 3.125"),
            ("Large Context (>272K)", "1a2b3c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d", "10 1 45 12.5"),
        ],
    ),
    _model(
        "8a4e3f2b-5c6d-4e7f-9a0b-1c2d3e4f5a6b",
        r"gpt-5.6-terra",
        [
            ("Standard", "", "2 0.2 12 2.5"),
            ("Fast mode · Large context (>272K)", "9ca35f10-4a56-4cb0-9ca6-0ae9c57deeee", "8 0.8 36 10"),
            ("Flex · Large context (>272K)", "8a5adb80-6e59-4a56-a69f-9eda3d8ebaae", "2 0.2 9 2.5"),
            ("Fast mode", "9ff3bb71-f328-4cee-81b8-6b767871d820", "4 0.4 24 5"),
            ("Flex", "489d530a-bcfd-4667-a4a3-508ff3555cf7", "1 0.1 6 1.25"),
            ("Large Context (>272K)", "2b3c4d5e-6f7a-8b9c-0d1e-2f3a4b5c6d7e", "4 0.4 18 5"),
        ],
    ),
    _model(
        "9b5f4a3c-6d7e-4f8a-ab1c-2d3e4f5a6b7c",
        r"gpt-5.6-luna",
        [
            ("Standard", "", "0.2 0.02 1.2 0.25"),
            ("Fast mode · Large context (>272K)", "5ab18b8b-86aa-4077-9f3c-a4ea6f8a37c8", "0.8 0.08 3.6 1"),
            ("Flex · Large context (>272K)", "dde1aa4b-c9ba-46ad-803a-561411629f77", "0.2 0.02 0.9 0.25"),
            ("Fast mode", "079cdd36-4c31-4df3-9e4b-38074becb0b4", "0.4 0.04 2.4 0.5"),
            ("Flex", "2a50074e-4a63-4a3f-b161-fd8811b3f655", "0.1 0.01 0.6 0.125"),
            ("Large Context (>272K)", "3c4d5e6f-7a8b-9c0d-1e2f-3a4b5c6d7e8f", "0.4 0.04 1.8 0.5"),
        ],
    ),
)
