"""Model definitions: prices that a project sets for itself, before those that Langfuse brings.

Seen in ``web/src/features/public-api/types/models.ts``,
``web/src/features/models/server/publicApiModelService.ts`` and
``packages/shared/src/features/model-pricing/validation.ts``.
"""

import re
import secrets
from decimal import Decimal
from typing import Any

from codex_langfuse.mock.langfuse.checks import Checks, FieldPath, invalid_request, not_played
from codex_langfuse.mock.langfuse.javascript import iso_time
from codex_langfuse.mock.langfuse.prices import MODELS, Model, Tier

Definition = dict[str, Any]

_UNITS = ("TOKENS", "CHARACTERS", "MILLISECONDS", "SECONDS", "REQUESTS", "IMAGES")
_FLAT = ("inputPrice", "outputPrice", "totalPrice")
_EITHER = "Must provide either flat prices (inputPrice/outputPrice/totalPrice) OR pricingTiers"
_LONGEST_PATTERN = 200
_LONGEST_NAME = 200
_MOST_REPETITIONS = 2  # without a fixed count
_MOST_OPTIONS = 8

_ONE_TIER = "The mock plays one pricing tier, the default one with priority 0 and without conditions."
_NO_START_DATE = "The mock plays no startDate of model definitions: leave it out."
_SIMPLE_PATTERNS = (
    "The mock plays simple match patterns only, such as (?i)^(openai/)?(gpt-5-codex)$. Langfuse takes more."
)


def check_definition(body: Any) -> Definition:
    """Check the body of ``POST /api/public/models`` and return it.

    Raises ``RefusedError``, also for what the mock does not play: tiers with conditions.
    """
    checks = Checks()
    given = checks.object([], body)
    if given.get("startDate") is not None:
        raise not_played(_NO_START_DATE)
    for name in ("modelName", "matchPattern"):
        checks.text([name], given.get(name), required=True)
    for name in _FLAT:
        _check_price(checks, [name], given.get(name))
    checks.one_of(["unit"], given.get("unit"), _UNITS, required=True)
    checks.one_of(["tokenizerId"], given.get("tokenizerId"), ("openai", "claude"))
    tiers = [_check_tier(checks, *each) for each in checks.items(["pricingTiers"], given.get("pricingTiers"))]
    has_flat = any(given.get(name) is not None for name in _FLAT)
    if has_flat and tiers:
        checks.complain([], f"{_EITHER}, not both")
    elif not has_flat and not tiers:
        checks.complain([], _EITHER)
    elif given.get("totalPrice") and (given.get("inputPrice") or given.get("outputPrice")):
        checks.complain(["totalPrice"], "If input and/or output price is set, total price must be null")
    checks.refuse_if_any()
    if len(tiers) > 1 or any(
        not each["isDefault"] or each["priority"] or each["conditions"] for each in tiers
    ):
        raise not_played(_ONE_TIER)
    return given


def _check_tier(checks: Checks, path: FieldPath, tier: Any) -> Definition:
    given = checks.object(path, tier)
    checks.text([*path, "name"], given.get("name"), required=True, least=1, most=100)
    checks.boolean([*path, "isDefault"], given.get("isDefault"), required=True)
    checks.whole([*path, "priority"], given.get("priority"), least=0, most=999, required=True)
    list(checks.items([*path, "conditions"], given.get("conditions"), required=True))
    for usage, price in checks.object([*path, "prices"], given.get("prices")).items():
        _check_price(checks, [*path, "prices", usage], price, required=True)
    return given


def _check_price(checks: Checks, path: FieldPath, value: Any, *, required: bool = False) -> None:
    price = checks.real(path, value, required=required)
    if price is not None and price < 0:
        checks.complain(path, "Price must be non-negative")


def check_pattern(pattern: str) -> None:
    """Raise ``RefusedError`` for a ``matchPattern`` that is no regular expression or is not played.

    Postgres matches it in time that grows with the text; Python might need for ever. So the mock takes
    patterns that can go few ways only.
    """
    repetitions = len(re.findall(r"[*+]|\{[0-9]*,", pattern))
    is_repeated_group = re.search(r"\)\s*[*+{]", pattern) is not None
    is_back_reference = re.search(r"\\[0-9]|\(\?P?[=(]", pattern) is not None
    if (
        len(pattern) > _LONGEST_PATTERN
        or repetitions > _MOST_REPETITIONS
        or pattern.count("?") > _MOST_OPTIONS
        or is_repeated_group
        or is_back_reference
    ):
        raise not_played(_SIMPLE_PATTERNS)
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise invalid_request("matchPattern is not a valid regex pattern (Postgres)") from error


def make_definition(given: Definition, *, now: int) -> Definition:
    """Return the definition as the API shows it. ``now`` is in milliseconds since 1970."""
    model_id = _new_id()
    tiers = given.get("pricingTiers")
    if tiers:
        tier = tiers[0]
        tier_id, tier_name, prices = _new_id(), tier["name"].strip(), dict(tier["prices"])
    else:
        flat = zip(("input", "output", "total"), _FLAT, strict=True)
        prices = {usage: given[name] for usage, name in flat if given.get(name) is not None}
        tier_id, tier_name = f"{model_id}_tier_default", "Standard"
    return {
        "id": model_id,
        "createdAt": iso_time(now),
        "modelName": given["modelName"],
        "matchPattern": given["matchPattern"],
        "startDate": None,
        "tokenizerId": given.get("tokenizerId"),
        "tokenizerConfig": given.get("tokenizerConfig"),
        "unit": given["unit"],
        "inputPrice": prices.get("input"),
        "outputPrice": prices.get("output"),
        "totalPrice": prices.get("total"),
        "prices": {usage: {"price": price} for usage, price in prices.items()},
        "isLangfuseManaged": False,
        "pricingTiers": [
            {
                "id": tier_id,
                "name": tier_name,
                "isDefault": True,
                "priority": 0,
                "conditions": [],
                "prices": prices,
            }
        ],
    }


def _new_id() -> str:
    return "c" + secrets.token_hex(12)


def _managed(model: Model) -> Definition:
    """Return a model that Langfuse brings as the API shows it; of its prices, those of the default tier."""
    prices = {usage: float(price) for usage, price in model.default_tier.prices.items()}
    name = re.sub(r"\(-[0-9-]+\)\?$", "", model.pattern.pattern.removeprefix("(?i)(openai/)?(")[:-1])
    tier = {"name": "Standard", "isDefault": True, "priority": 0, "conditions": [], "prices": prices}
    return {
        "id": model.id,
        "createdAt": "2026-08-20T00:00:00.000Z",
        "modelName": name,
        "matchPattern": f"(?i)^{model.pattern.pattern.removeprefix('(?i)')}$",
        "startDate": None,
        "tokenizerId": "openai",
        "tokenizerConfig": None,
        "unit": "TOKENS",
        "inputPrice": prices.get("input"),
        "outputPrice": prices.get("output"),
        "totalPrice": None,
        "prices": {usage: {"price": price} for usage, price in prices.items()},
        "isLangfuseManaged": True,
        "pricingTiers": [{"id": model.default_tier.id, **tier}],
    }


#: The models that Langfuse brings, as far as the mock knows them.
MANAGED = tuple(_managed(model) for model in MODELS)


class _ProjectModel(Model):
    """A model of a project. Postgres looks for the pattern anywhere in the name."""

    def matches(self, name: str) -> bool:
        return len(name) <= _LONGEST_NAME and self.pattern.search(name) is not None


def priced_model(definition: Definition) -> Model:
    """Return what prices a model call by a definition."""
    tier = definition["pricingTiers"][0]
    prices = {usage: Decimal(str(price)) for usage, price in tier["prices"].items()}
    tiers = (Tier(tier["id"], tier["name"], (), False, prices),)
    is_tokenized = definition["tokenizerId"] is not None
    return _ProjectModel(definition["id"], re.compile(definition["matchPattern"]), tiers, is_tokenized)
