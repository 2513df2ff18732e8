"""The reference of Codex's configuration keys, made from ``configuration_keys.toml``."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from codex_langfuse.codex import versions
from page_tables.markdown import Translated, in_language, table, words_of

_TEXTS = words_of(__file__)

_FILE = Path(__file__).with_name("configuration_keys.toml")

#: The groups of keys, in the order of the page. Each is a generated part of it, ``configuration-GROUP``.
GROUPS = ("signals", "content", "labels", "exporters", "neighbours")

_HEAD = _TEXTS["head"]
_KEY = _TEXTS["key"]
_DIRECT = _TEXTS["direct"]
_RELAY = _TEXTS["relay"]
_REFUSED = _TEXTS["refused"]
_BY_HAND = _TEXTS["by_hand"]


@dataclass(frozen=True)
class Key:
    """One key: what it may be, what comes of it, and what proves that.

    ``right`` is a configuration that Codex loads, ``wrong`` one that it refuses with ``says``.
    """

    name: str
    group: str
    type: Translated
    default: Translated
    right: str
    wrong: str
    says: str
    does: Translated
    direct: Translated
    relay: Translated
    proof: tuple[str, ...]
    since: Translated

    @property
    def shown(self) -> str:
        """The name as the page writes it: in its table, without the table's name where that is the page's."""
        return self.name.removeprefix("otel.").removeprefix("otlp-http.")

    @property
    def anchor(self) -> str:
        """The id of the key's heading."""
        return self.shown.replace(".", "-").replace("_", "-")


@cache
def keys() -> tuple[Key, ...]:
    """Return all keys, in the order of the file; raises ``TypeError`` for an unknown field."""
    entries: list[dict[str, Any]] = tomllib.loads(_FILE.read_text(encoding="utf-8"))["key"]
    return tuple(_key(entry) for entry in entries)


def _key(entry: dict[str, Any]) -> Key:
    if entry["name"].startswith("otel."):
        since = str(versions.OTEL_KEYS[entry["name"].split(".")[1]])
        return Key(**entry | {"since": since, "proof": tuple(entry["proof"])})
    return Key(**entry | {"proof": tuple(entry["proof"])})


def _code(text: str) -> str:
    """Return ``text`` as code, also where it contains backticks."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def overview(language: str) -> str:
    """Return a table of all keys with type, default and first version."""
    rows = (
        [f"[`{key.shown}`](#{key.anchor})", *(in_language(one, language) for one in _facts(key))]
        for key in keys()
    )
    return table([_KEY[language], *_HEAD[language]], rows)


def _facts(key: Key) -> tuple[Translated, Translated, Translated]:
    return key.type, key.default, key.since


def _details(group: str, language: str) -> str:
    """Return a section for each key of a group."""
    return "\n".join(_detail(key, language) for key in keys() if key.group == group)


def _detail(key: Key, language: str) -> str:
    lines = [
        _DIRECT[language].format(in_language(key.direct, language)),
        _RELAY[language].format(in_language(key.relay, language)),
        _REFUSED[language].format(_code(key.wrong.splitlines()[-1]), _code(key.says)),
    ]
    if "by_hand" in key.proof:
        lines.append(_BY_HAND[language])
    facts = table(_HEAD[language], [[in_language(one, language) for one in _facts(key)]])
    points = "".join(f"- {line}\n" for line in lines)
    return f"### `{key.shown}` {{ #{key.anchor} }}\n\n{facts}\n{in_language(key.does, language)}\n\n{points}"


TABLES: dict[str, Callable[[str], str]] = {
    "configuration-overview": overview,
    **{f"configuration-{group}": partial(_details, group) for group in GROUPS},
}
