"""The file of ``--price-file``: what models cost for which Langfuse has no price.

TOML, a table for each model, in US dollars for a million tokens::

    ["gpt-5-codex"]
    input = 1.25
    cached_input = 0.125
    output = 10.0

``cache_write`` and ``reasoning_output`` are known too; the latter costs what output does unless it is given.
"""

import tomllib
from dataclasses import fields
from math import isfinite
from pathlib import Path

from codex_langfuse.relay.policy import Price

_KINDS = tuple(each.name for each in fields(Price))


class PriceFileError(Exception):
    """A file that is no list of prices: where and why."""


def read_price_file(path: Path) -> dict[str, Price]:
    """Return the price of one token by model; raises ``PriceFileError``."""
    try:
        models = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PriceFileError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise PriceFileError(f"{path} is not TOML: {error}") from error
    return {model: _price(path, model, prices) for model, prices in models.items()}


def _price(path: Path, model: str, prices: object) -> Price:
    if not isinstance(prices, dict) or not {"input", "output"} <= prices.keys():
        raise PriceFileError(f'{path}: ["{model}"] must be a table with input and output')
    for kind, dollars in prices.items():
        if kind not in _KINDS:
            raise PriceFileError(f'{path}: ["{model}"] {kind} is unknown; known: {", ".join(_KINDS)}')
        number = isinstance(dollars, int | float) and not isinstance(dollars, bool)
        if not number or not isfinite(dollars) or dollars < 0:
            raise PriceFileError(f'{path}: ["{model}"] {kind} must be dollars for a million tokens')
    return Price(**{kind: dollars / 1_000_000 for kind, dollars in prices.items()})
