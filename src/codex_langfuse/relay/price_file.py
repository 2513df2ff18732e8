"""The file of ``--price-file``: what models cost for which Langfuse has no price.

TOML, a table for each model, in US dollars for a million tokens::

    ["gpt-6.2-sol"]
    input = 2.0
    cached_input = 0.1
    cache_write = 2.5
    output = 10.0
    fast = { input = 4.0, cached_input = 0.2, cache_write = 5.0, output = 20.0 }

    ["gpt-6.2-sol".large_context]
    above = 272_000
    …

The first table that matches a name counts. A key is a name, with any provider before it and any date after
it; ``match`` is a regular expression instead, as in a model definition of Langfuse. ``cached_input`` and
``cache_write`` cost what ``input`` does, and ``reasoning_output`` what ``output`` does, unless they are
given. A service tier is a table like that of the model.
"""

import re
import tomllib
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from codex_langfuse.relay.names import SERVICE_TIERS
from codex_langfuse.relay.policy import Price, PricedModel

#: The kinds of tokens: their names in the file, in Langfuse, and whose price holds when there is none.
_KINDS = {
    "input": ("input", "input"),
    "cached_input": ("input_cached_tokens", "input"),
    "cache_write": ("input_cache_creation", "input"),
    "output": ("output", "output"),
    "reasoning_output": ("output_reasoning_tokens", "output"),
}
_LARGE = "large_context"
_SAME_TIER = {"fast": "priority", "priority": "fast"}
_TIERS = tuple(sorted(SERVICE_TIERS - {"auto", "default", "standard"}))


class PriceFileError(Exception):
    """A file that is no list of prices: where and why."""


def read_price_file(path: Path) -> tuple[PricedModel, ...]:
    """Return the prices of one token, in the order of the file; raises ``PriceFileError``."""
    try:
        models = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PriceFileError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise PriceFileError(f"{path} is not TOML: {error}") from error
    return tuple(_model(f'{path}: ["{name}"]', name, table) for name, table in models.items())


def _model(where: str, name: str, table: object) -> PricedModel:
    if not isinstance(table, dict):
        raise PriceFileError(f"{where} must be a table with input and output")
    own = {key: value for key, value in table.items() if key not in (*_TIERS, "match")}
    tiers = {"": _price(where, own)}
    for tier in _TIERS:
        if tier in table:
            tiers[tier] = _price(f"{where} {tier}", table[tier])
    for tier, other in _SAME_TIER.items():
        if tier in tiers:
            tiers.setdefault(other, tiers[tier])
    return PricedModel(_pattern(where, name, table.get("match")), tiers)


def _pattern(where: str, name: str, match: object) -> re.Pattern[str]:
    if match is None:
        return re.compile(rf"(?i)^(.+/)?{re.escape(name)}(-[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})?$")
    try:
        return re.compile(match if isinstance(match, str) else "(")
    except re.error as error:
        raise PriceFileError(f"{where} match must be a regular expression: {error}") from error


def _price(where: str, table: object) -> Price:
    if not isinstance(table, dict) or not {"input", "output"} <= table.keys():
        raise PriceFileError(f"{where} must be a table with input and output")
    large = table.get(_LARGE)
    kinds = _kinds(where, {key: value for key, value in table.items() if key != _LARGE}, _LARGE)
    if large is None:
        return Price(kinds)
    where = f"{where} {_LARGE}"
    above = large.get("above") if isinstance(large, dict) else None
    if not isinstance(large, dict) or type(above) is not int or above < 0:
        raise PriceFileError(f"{where} must have above, a number of input tokens")
    own = {key: value for key, value in large.items() if key != "above"}
    if not {"input", "output"} <= own.keys():
        raise PriceFileError(f"{where} must be a table with input and output")
    return Price(kinds, _kinds(where, own), above)


def _kinds(where: str, table: Mapping[str, Any], *also: str) -> dict[str, float]:
    for kind, dollars in table.items():
        if kind not in _KINDS:
            known = ", ".join((*_KINDS, *also, *(("match", *_TIERS) if also else ())))
            raise PriceFileError(f"{where} {kind} is unknown; known: {known}")
        number = isinstance(dollars, int | float) and not isinstance(dollars, bool)
        if not number or not isfinite(dollars) or dollars < 0:
            raise PriceFileError(f"{where} {kind} must be dollars for a million tokens")
    return {
        langfuse: table.get(kind, table[instead]) / 1_000_000 for kind, (langfuse, instead) in _KINDS.items()
    }
