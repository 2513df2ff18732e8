"""Tables of the observations that the relay sends: each field, and what of Codex it comes from."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial

from codex_langfuse.codex.telemetry import SPANS, WANTED
from page_tables.markdown import table, words_of
from page_tables.relay_fields import EVERY, MADE_BY_HAND, TOOL, Field, attributes_of, relayed_fields, shown_by

_TEXTS = words_of(__file__)

#: Attributes that tie records together, and so are behind everything.
_TYING = frozenset({"turn_id", "call_id", "thread.id", "thread_id", "conversation.id"})


@cache
def _sources() -> dict[Field, dict[str, dict[str, list[str]]]]:
    """Return the attributes that each field of the relay's observations comes from, by signal and record."""
    found: dict[Field, dict[str, dict[str, list[str]]]] = {}

    def add(shown: Iterable[Field], signal: str, record: str, key: str) -> None:
        for field in shown:
            keys = found.setdefault(field, {}).setdefault(signal, {}).setdefault(record, [])
            if key not in keys:
                keys.append(key)

    common = ("conversation.id", "originator", "model", "auth_mode", "user.account_id", "user.email")
    for key in ("service.name", "service.version", "env"):
        add(shown_by("resource", EVERY, key), "log", "", key)
    for key in common:
        add(shown_by("log", EVERY, key), "log", EVERY, key)
    for event in WANTED:
        logged = attributes_of("log", event)
        for key in logged:
            if key not in common:
                add(shown_by("log", event, key), "log", event, key)
        for key in attributes_of("event", event):
            if key not in logged and key not in _TYING:
                add(shown_by("event", event, key), "span", event, key)
    for span in (*SPANS, TOOL):
        for key in attributes_of("span", span):
            if key not in _TYING:
                add(shown_by("span", span, key), "span", span, key)
    return found


_FOR_ALL = frozenset({"sessionId", "userId", "environment", "version", "tags", "traceName"})


def relay_fields(kind: str, language: str) -> str:
    """Return the fields of a type of observation that the relay sends, with what of Codex they come from."""
    head = _TEXTS["relay_fields_head"][language]
    rows = []
    for field, by_signal in sorted(_sources().items()):
        shared = field.path in _FOR_ALL
        if (kind == "all" and shared and field.kind == "AGENT") or (kind == field.kind and not shared):
            path = f"`{field.path}`" if field.path else _TEXTS["relay_fields_that_it_is_there"][language]
            rows.append(
                [path, *(_records(by_signal.get(signal, {}), language) for signal in ("log", "span"))]
            )
    return table(head, rows)


def _records(by_record: Mapping[str, list[str]], language: str) -> str:
    comma, semicolon, colon = _TEXTS["records_words"][language]
    words = {
        EVERY: _TEXTS["records_every_event"],
        "": _TEXTS["records_resource"],
        TOOL: _TEXTS["records_the_span_of_the"],
    }
    by_hand = _TEXTS["records_by_hand"][language]
    parts = []
    for record, keys in by_record.items():
        name = words[record][language] if record in words else f"`{record}`"
        name += by_hand if record in MADE_BY_HAND else ""
        parts.append(name + colon + comma.join(f"`{key}`" for key in keys))
    return semicolon.join(parts) or "–"


def relay_counts(language: str) -> str:
    """Return the metadata that the relay adds itself: it comes from no single attribute of Codex."""
    from_codex = {(field.kind, field.path) for field in _sources()}
    own: dict[str, list[str]] = {}
    for kind, path in sorted(relayed_fields()):
        if path.startswith("metadata.") and (kind, path) not in from_codex:
            own.setdefault(kind, []).append(f"`{path}`")
    comma, semicolon, words = _TEXTS["relay_counts_words"][language]
    listed = semicolon.join(f"{kind} {comma.join(paths)}" for kind, paths in own.items())
    return f"{words.format(listed)}\n"


TABLES: dict[str, Callable[[str], str]] = {
    "mapping-relay-all": partial(relay_fields, "all"),
    "mapping-relay-agent": partial(relay_fields, "AGENT"),
    "mapping-relay-generation": partial(relay_fields, "GENERATION"),
    "mapping-relay-tool": partial(relay_fields, "TOOL"),
    "mapping-relay-event": partial(relay_fields, "EVENT"),
    "mapping-relay-counts": relay_counts,
}
