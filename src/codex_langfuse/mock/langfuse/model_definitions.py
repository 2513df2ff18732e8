"""Model definitions: prices that a project sets for itself, before those that Langfuse brings.

Seen in ``web/src/features/public-api/types/models.ts``,
``web/src/features/models/server/publicApiModelService.ts`` and
``packages/shared/src/features/model-pricing/validation.ts``.
"""

import re
import secrets
from decimal import Decimal
from typing import Any

from codex_langfuse.mock.langfuse.answer import Answer, message
from codex_langfuse.mock.langfuse.javascript import UNDEFINED, iso_time
from codex_langfuse.mock.langfuse.prices import MODELS, Model, Tier
from codex_langfuse.mock.langfuse.query_parameters import InvalidQueryError, Path
from codex_langfuse.mock.langfuse.request_body import BodyChecks

Definition = dict[str, Any]

_UNITS = ("TOKENS", "CHARACTERS", "MILLISECONDS", "SECONDS", "REQUESTS", "IMAGES")
_FLAT = ("inputPrice", "outputPrice", "totalPrice")
_EITHER = "Must provide either flat prices (inputPrice/outputPrice/totalPrice) OR pricingTiers"
_LONGEST_PATTERN = 200
_LONGEST_NAME = 200
_MOST_REPETITIONS = 2
_MOST_OPTIONS = 8

NO_CONDITIONS = message(501, "The mock plays no conditions of pricing tiers: send one tier, the default one.")
NO_SUCH_PATTERN = message(
    501,
    "The mock plays simple match patterns only, such as (?i)^(openai/)?(gpt-5-codex)$. Langfuse takes more.",
)
NO_START_DATE = message(501, "The mock plays no startDate of model definitions: leave it out.")


def check_definition(body: Any) -> Definition:
    """Check the body of ``POST /api/public/models`` and return it.

    Raises ``InvalidQueryError``, also for what the mock does not play: tiers with conditions.
    """
    checks = BodyChecks()
    given = checks.object([], body)
    if given is None:
        checks.refuse_if_any()
        return {}
    checks.string(["modelName"], given.get("modelName", UNDEFINED))
    checks.string(["matchPattern"], given.get("matchPattern", UNDEFINED))
    if given.get("startDate") is not None:
        raise InvalidQueryError(NO_START_DATE)
    for name in _FLAT:
        checks.real([name], given.get(name, UNDEFINED), optional=True, least=0)
    checks.choice(["unit"], given.get("unit", UNDEFINED), _UNITS)
    checks.choice(["tokenizerId"], given.get("tokenizerId", UNDEFINED), ("openai", "claude"), optional=True)
    tiers = given.get("pricingTiers", UNDEFINED)
    if tiers is not UNDEFINED and tiers is not None:
        if isinstance(tiers, list):
            for place, tier in enumerate(tiers):
                _check_tier(checks, ["pricingTiers", place], tier)
        else:
            checks.mistyped(["pricingTiers"], "array", tiers)
    if checks.is_final:
        _check_prices(checks, given)
    checks.refuse_if_any()
    return given


def _check_tier(checks: BodyChecks, path: Path, tier: Any) -> None:
    given = checks.object(path, tier)
    if given is None:
        return
    name = given.get("name", UNDEFINED)
    checks.string(
        [*path, "name"],
        name.strip() if isinstance(name, str) else name,
        least=1,
        most=100,
        too_short="Name cannot be empty",
        too_long="Name exceeds maximum length of 100 characters",
    )
    is_default = given.get("isDefault", UNDEFINED)
    if is_default is not UNDEFINED and not isinstance(is_default, bool):
        checks.mistyped([*path, "isDefault"], "boolean", is_default)
    _check_priority(checks, [*path, "priority"], given.get("priority", UNDEFINED))
    conditions = given.get("conditions", UNDEFINED)
    if not isinstance(conditions, list):
        checks.mistyped([*path, "conditions"], "array", conditions)
    elif conditions:
        raise InvalidQueryError(NO_CONDITIONS)
    prices = given.get("prices", UNDEFINED)
    if not isinstance(prices, dict):
        checks.mistyped([*path, "prices"], "record", prices)
        return
    for usage, price in prices.items():
        checks.real([*path, "prices", usage], price, least=0, text="Price must be non-negative")


def _check_priority(checks: BodyChecks, path: Path, value: Any) -> None:
    number = checks.real(path, value)
    if number is None:
        return
    if number % 1:
        checks.is_final = False
        checks.issues.append(
            {
                "expected": "int",
                "format": "safeint",
                "code": "invalid_type",
                "path": path,
                "message": "Priority must be an integer",
            }
        )
        return
    for size, bound, limit, is_out, text in (
        ("small", "minimum", 0, number < 0, "Priority must be non-negative"),
        ("big", "maximum", 999, number > 999, "Priority cannot exceed 999"),
    ):
        if is_out:
            checks.issues.append(
                {
                    "origin": "number",
                    "code": f"too_{size}",
                    bound: limit,
                    "inclusive": True,
                    "path": path,
                    "message": text,
                }
            )


def _check_prices(checks: BodyChecks, given: Definition) -> None:
    flat = [given.get(name) for name in _FLAT]
    has_flat = any(price is not None for price in flat)
    tiers = given.get("pricingTiers")
    if has_flat and tiers:
        checks.whole(f"{_EITHER}, not both")
    elif not has_flat and not tiers:
        checks.whole(_EITHER)
    elif has_flat and (flat[0] or flat[1]) and flat[2]:
        checks.custom(["totalPrice"], "If input and/or output price is set, total price must be null")
    elif tiers and (complaint := _complaint_of_tiers(tiers)):
        checks.custom(["pricingTiers"], complaint)


def _complaint_of_tiers(tiers: list[Definition]) -> str | None:
    defaults = [tier for tier in tiers if tier.get("isDefault")]
    if not defaults:
        return "Exactly one pricing tier must have isDefault: true"
    if len(defaults) > 1:
        return f"Only one pricing tier can have isDefault: true, found {len(defaults)}"
    if defaults[0]["priority"] != 0:
        return "Default pricing tier must have priority: 0"
    for tier in tiers:
        if tier is not defaults[0]:
            # Without conditions, as every tier is that comes this far.
            return f'Non-default pricing tier "{tier["name"].strip()}" must have at least one condition'
    if not defaults[0]["prices"]:
        return f'Pricing tier "{defaults[0]["name"].strip()}" must have at least one price defined'
    return None


def refusal_of_pattern(pattern: str) -> Answer | None:
    """Return the answer to a ``matchPattern`` that is no regular expression, or that the mock does not play.

    Postgres matches it in time that grows with the text; Python might need for ever. So the mock takes
    patterns that can go few ways only.
    """
    repetitions = len(re.findall(r"[*+{]", pattern))
    is_repeated_group = re.search(r"\)\s*[*+{]", pattern) is not None
    is_back_reference = re.search(r"\\[0-9]|\(\?P?[=(]", pattern) is not None
    if (
        len(pattern) > _LONGEST_PATTERN
        or repetitions > _MOST_REPETITIONS
        or pattern.count("?") > _MOST_OPTIONS
        or is_repeated_group
        or is_back_reference
    ):
        return NO_SUCH_PATTERN
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return message(400, "matchPattern is not a valid regex pattern (Postgres)", "InvalidRequestError")
    return None


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
