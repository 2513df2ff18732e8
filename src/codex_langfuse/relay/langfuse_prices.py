"""Which models, and which kinds of tokens, Langfuse has no price for.

Langfuse counts a kind of token without a price as $0 and says nothing. So the relay asks it for its model
definitions (``GET /api/public/models``): at the start, when a model or a kind of token appears, and once a
day. Deliveries do not depend on the answer.

A name matches a definition as in Langfuse (``modelMatch.ts``): Postgres looks for ``matchPattern`` in the
name; a definition of the project comes before one of Langfuse, and a later ``startDate`` before an earlier.
"""

import asyncio
import contextlib
import json
import logging
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from codex_langfuse.proxies import client_options
from codex_langfuse.relay.delivery import Destination, cover, forms_of_secrets
from codex_langfuse.relay.pipeline import Pipeline
from codex_langfuse.relay.price_notes import NOT_KNOWN, PRICES, TRACES_AT, in_words
from codex_langfuse.relay.store import Store, StoreFullError

#: Seconds between questions when nothing new appears, and after one without an answer.
_DAILY = 24 * 3600.0
_AGAIN = 300.0
#: Seconds that a question waits after the one before it, whatever appears.
PAUSE = 1.0
SECONDS_FOR_ANSWER = 20.0
_MOST_PAGES = 50
_LARGEST_PAGE = 4 * 1024 * 1024
_LONGEST_PATTERN = 500
_LONGEST_NAME = 200
_MOST_REPETITIONS = 4

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelDefinition:
    """A model definition: what names it is for, and the kinds of tokens that it has a price for."""

    pattern: re.Pattern[str]
    kinds: frozenset[str]

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "ModelDefinition | None":
        """Read one of the API; ``None`` for a pattern that Python cannot judge as Postgres does, in time."""
        pattern = found.get("matchPattern")
        if not isinstance(pattern, str) or not _is_simple(pattern):
            return None
        try:
            compiled = re.compile(pattern)
        except (re.error, OverflowError, RecursionError):
            return None
        prices = found.get("prices")
        if not isinstance(prices, dict):
            names = {"input": "inputPrice", "output": "outputPrice", "total": "totalPrice"}
            prices = {kind: found[name] for kind, name in names.items() if found.get(name) is not None}
        return cls(compiled, frozenset(prices))

    def has(self, kind: str) -> bool:
        """Say whether it has a price for a kind of token; ``total`` is one for all of them."""
        return kind in self.kinds or "total" in self.kinds


def definitions(found: Iterable[Mapping[str, Any]]) -> list[ModelDefinition]:
    """Return the definitions of the API in the order in which Langfuse looks for one."""
    in_order = sorted(found, key=lambda each: str(each.get("startDate") or ""), reverse=True)
    in_order.sort(key=lambda each: bool(each.get("isLangfuseManaged")))
    return [definition for each in in_order if (definition := ModelDefinition.of(each)) is not None]


def without_price(
    known: Sequence[ModelDefinition], kinds: Iterable[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Return the models and kinds of tokens for which no definition has a price."""
    of: dict[str, ModelDefinition | None] = {}
    missing = []
    for model, kind in kinds:
        if model not in of:
            short = len(model) <= _LONGEST_NAME
            of[model] = next((each for each in known if short and each.pattern.search(model)), None)
        definition = of[model]
        if definition is None or not definition.has(kind):
            missing.append((model, kind))
    return missing


def _is_simple(pattern: str) -> bool:
    """Say whether Python needs little time for a pattern, whatever the name."""
    repeated_group = re.search(r"\)\s*[*+{]", pattern)
    reference = re.search(r"\\[0-9]|\(\?P?[=(]", pattern)
    repetitions = len(re.findall(r"[*+{]", pattern))
    short = len(pattern) <= _LONGEST_PATTERN
    return short and not repeated_group and not reference and repetitions <= _MOST_REPETITIONS


class PriceWatch:
    """Asks the Langfuse of a relay, and keeps in its store what has no price."""

    def __init__(self, destination: Destination, pipeline: Pipeline, store: Store):
        self._destination = destination
        self._pipeline = pipeline
        self._store = store
        self._secrets = forms_of_secrets(destination.headers.values())
        self._asked_about: set[tuple[str, str]] = set()
        self._told: set[tuple[str, str]] = set()
        self._fault = ""

    async def run(self) -> None:
        """Ask until cancelled; whatever goes wrong with that is noted, and nothing else happens."""
        while True:
            wait = _AGAIN
            try:
                async with asyncio.timeout(SECONDS_FOR_ANSWER):
                    wait = await self._ask()
            except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, _NoListError) as error:
                timeout = isinstance(error, TimeoutError | httpx.TimeoutException)
                reason = "no answer in time" if timeout else str(error) or type(error).__name__
                await self._not_known(reason)
            except StoreFullError:
                pass
            except Exception:
                logger.exception("prices are not known; this is a bug in the relay, please report it")
            await self._until_something_new(wait)

    async def _until_something_new(self, seconds: float) -> None:
        await asyncio.sleep(PAUSE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    self._pipeline.turns_to_price.clear()
                    if (await self._pipeline.use_store(self._store.unpriced)).keys() - self._asked_about:
                        return
                    await self._pipeline.turns_to_price.wait()

    async def _ask(self) -> float:
        kinds = await self._pipeline.use_store(self._store.unpriced)
        self._asked_about |= kinds.keys()
        headers = {"authorization": self._destination.headers.get("authorization", "")}
        base = self._destination.base_url
        async with httpx.AsyncClient(headers=headers, timeout=10, **client_options(base)) as client:
            found = [each async for each in _models(client, base)]
            project = await _project(client, base)
        known = await asyncio.to_thread(definitions, found)
        missing = without_price(known, sorted(kinds))
        await self._note(PRICES, json.dumps({"asked": sorted(self._asked_about), "missing": missing}))
        await self._note(NOT_KNOWN, None)
        if project:
            await self._note(TRACES_AT, f"{base}/project/{project}/traces/")
        self._fault = ""
        if new := [each for each in missing if each not in self._told]:
            self._told |= set(new)
            logger.warning("%s has no price for %s", self._destination.label, in_words(new, kinds))
        return _DAILY

    async def _not_known(self, reason: str) -> None:
        reason = cover(reason, self._secrets)
        if reason != self._fault:
            self._fault = reason
            logger.warning("prices are not known: %s", reason)
            with contextlib.suppress(StoreFullError):
                await self._note(NOT_KNOWN, reason)

    async def _note(self, name: str, text: str | None) -> None:
        await self._pipeline.use_store(self._store.note, name, text, time.time())


class _NoListError(Exception):
    """Langfuse did not answer with its model definitions: why."""


async def _models(client: httpx.AsyncClient, base: str) -> Any:
    for page in range(1, _MOST_PAGES + 1):
        found = await _json(client, f"{base}/api/public/models?limit=100&page={page}")
        match found:
            case {"data": list(data), "meta": {"totalPages": int(pages)}}:
                for each in data:
                    if isinstance(each, dict):
                        yield each
            case _:
                raise _NoListError("the answer is not a list of models")
        if page >= pages:
            return


async def _project(client: httpx.AsyncClient, base: str) -> str:
    try:
        found = await _json(client, f"{base}/api/public/projects")
    except _NoListError:
        return ""
    match found:
        case {"data": [{"id": str(project)}, *_]} if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", project):
            return project
    return ""


async def _json(client: httpx.AsyncClient, url: str) -> Any:
    async with client.stream("GET", url) as response:
        if response.status_code != 200:
            raise _NoListError(f"status {response.status_code}")
        parts, size = [], 0
        async for part in response.aiter_bytes():
            parts.append(part)
            size += len(part)
            if size > _LARGEST_PAGE:
                raise _NoListError("the answer is too large")
    return json.loads(b"".join(parts))
