"""Tables of the events: since when Codex sends them, and where the relay shows each of their attributes."""

from collections.abc import Callable, Iterable
from functools import cache, partial

import recordings
from codex_langfuse.mock.langfuse.observations import observations_of
from codex_langfuse.mock.langfuse.otlp import parse_protobuf
from page_tables.markdown import table, words_of
from page_tables.recorded_since import since_recorded, versions_with
from page_tables.relay_fields import EVERY, MADE_BY_HAND, Field, attributes_of, shown_by, shown_by_presence
from page_tables.versions import verified

_TEXTS = words_of(__file__)

#: The events in the order of the page, with the settings that change them.
EVENTS = {
    "codex.conversation_starts": "",
    "codex.user_prompt": "`log_user_prompt`",
    "codex.websocket_connect": "",
    "codex.websocket_request": "",
    "codex.websocket_event": "",
    "codex.api_request": "",
    "codex.sse_event": "`log_sse_deltas`",
    "codex.turn_ttft": "",
    "codex.tool_decision": "",
    "codex.tool_result": "`tool_result.max_bytes`",
    "codex.agent_response": "`log_agent_responses`",
    "codex.agent_communication": "",
    "codex.startup_phase": "",
    "codex.sandbox_outcome": "",
    "codex.turn_cost": "",
}
#: Events that are only on spans.
ON_SPANS_ALONE = (
    "codex.tool_call_received",
    "codex.tool_result_ready",
    "codex.code_mode.nested_tool_dispatched",
    "codex.turn_profile",
    "codex.retry",
    "mcp.binding_catalog",
)

#: What nearly every event has; it is told once.
_COMMON = ("conversation.id", "originator", "model", "auth_mode", "user.account_id", "user.email")
_RESOURCE = ("service.name", "service.version", "env")
#: On every event, and not read.
_UNREAD_EVERYWHERE = frozenset(
    {"app.version", "event.timestamp", "slug", "terminal.type", "level", "target"}
    | {"code.file.path", "code.module.name", "code.line.number"}
)

_ALL = frozenset({"AGENT", "GENERATION", "TOOL"})
_WORDS = _TEXTS["words"]


def _word(name: str, language: str) -> str:
    return str(_WORDS[name][language])


def fields_in_words(fields: Iterable[Field], language: str) -> str:
    """Return fields as a page names them: by type of observation."""
    by_path: dict[str, set[str]] = {}
    for field in fields:
        by_path.setdefault(field.path, set()).add(field.kind)
    by_kind: dict[str, list[str]] = {}
    for path, kinds in sorted(by_path.items()):
        everywhere = kinds >= _ALL
        for kind in [_word("every", language)] if everywhere else sorted(kinds):
            by_kind.setdefault(kind, []).append(path)
    semicolon, comma = _TEXTS["fields_in_words_words"][language]
    parts = (
        f"{kind} {comma.join(_path(path, language) for path in _short(paths))}"
        for kind, paths in sorted(by_kind.items())
    )
    return str(semicolon.join(parts))


def _path(path: str, language: str) -> str:
    return f"`{path}`" if path else _word("itself", language)


def _short(paths: list[str]) -> list[str]:
    """Name a group of fields once where nearly all of it is meant."""
    usage = [path for path in paths if path.startswith("usageDetails")]
    tokens = [path for path in paths if path.startswith("metadata.") and path.endswith("_tokens")]
    if len(usage) > 4:
        paths = [path for path in paths if path not in usage] + ["usageDetails"]
    if len(tokens) > 4:
        paths = [path for path in paths if path not in tokens] + ["metadata.…_tokens"]
    return sorted(paths)


@cache
def _direct_shows_no_event() -> None:
    """Make sure that events on spans change nothing of what Langfuse makes of the spans."""
    name = list(recordings.simple_turns().values())[-1]
    for request in recordings.read(name):
        if request.signal == "traces":
            bare = type(request.message)()
            bare.CopyFrom(request.message)
            for scope in (scope for group in bare.resource_spans for scope in group.scope_spans):
                for span in scope.spans:
                    span.ClearField("events")
            with_events, without = (
                observations_of(parse_protobuf(each.SerializeToString()), project_id="", received=0)
                for each in (request.message, bare)
            )
            if with_events != without:
                raise ValueError(f"Langfuse shows something of the events on spans of {name}")


def tracked_events(language: str) -> str:
    """Return each event with the versions that send it, its setting, and the observations it is seen in."""
    _direct_shows_no_event()
    measured = {
        event: change["since"]
        for change in verified()["codex"]["change"]
        for event in change.get("events", [])
    }
    head = _TEXTS["tracked_events_head"][language]
    rows = []
    for event, setting in EVENTS.items():
        recorded = next(iter(versions_with(("log", event))), None)
        since = measured.get(event, "")
        if not since:
            since = f"{_word('recorded only', language)}{recorded}{_word('recorded end', language)}"
        elif recorded is None:
            since += {"en": f"; {_word('no recording', 'en')}", "zh": f"；{_word('no recording', 'zh')}"}[
                language
            ]
        elif recorded != since:
            since += f"{_word('recorded', language)}{recorded}{_word('recorded end', language)}"
        kinds = sorted({field.kind for field in _everything(event)})
        anchor = event.removeprefix("codex.").replace("_", "-")
        rows.append(
            [
                f"[`{event.removeprefix('codex.')}`](#{anchor})",
                since,
                since_recorded(("event", event), language),
                setting or "–",
                _TEXTS["comma"][language].join(kinds) or _word("nowhere", language),
            ]
        )
    return table(head, rows)


def _everything(event: str) -> frozenset[Field]:
    found: frozenset[Field] = frozenset()
    for where in ("log", "event"):
        found |= shown_by_presence(where, event)
        for key in attributes_of(where, event):
            if key not in _COMMON:
                found |= shown_by(where, event, key)
    return found


def common_attributes(language: str) -> str:
    """Return where the relay shows what every event and the resource say."""
    head = _TEXTS["common_attributes_head"][language]
    return table(
        head,
        [
            *([f"`{key}`", fields_in_words(shown_by("log", EVERY, key), language)] for key in _COMMON),
            *(
                [
                    f"`{key}`{_word('resource', language)}",
                    fields_in_words(shown_by("resource", EVERY, key), language),
                ]
                for key in _RESOURCE
            ),
        ],
    )


def event_attributes(event: str, language: str) -> str:
    """Return where the relay shows each attribute of an event, and which it does not read."""
    rows: list[list[str]] = []
    unread: list[str] = []
    covered: frozenset[Field] = frozenset()
    logged = [key for key in attributes_of("log", event) if key not in _UNREAD_EVERYWHERE | set(_COMMON)]
    spanned = [key for key in attributes_of("event", event) if key not in _UNREAD_EVERYWHERE | set(_COMMON)]
    for where, keys in (("log", logged), ("event", [key for key in spanned if key not in logged])):
        for key in keys:
            fields = shown_by(where, event, key)
            mark = _word("on span", language) if where == "event" else ""
            if fields:
                rows.append([f"`{key}`{mark}", fields_in_words(fields, language)])
                covered |= fields
            else:
                unread.append(f"`{key}`{mark}")
    by_presence = (shown_by_presence("log", event) | shown_by_presence("event", event)) - covered
    if by_presence and event not in MADE_BY_HAND:
        rows.insert(0, [_word("event", language), fields_in_words(by_presence, language)])
    elif event in MADE_BY_HAND:
        rows.insert(0, [_word("event", language), fields_in_words(shown_by_presence("log", event), language)])
    head = _TEXTS["event_attributes_head"][language]
    parts = [table(head, rows)] if rows else []
    if unread:
        comma, words, alone_words = _TEXTS["event_attributes_words"][language]
        parts.append((words if rows else alone_words).format(comma.join(unread)) + "\n")
    return "\n".join(parts)


TABLES: dict[str, Callable[[str], str]] = {
    "tracked-events": tracked_events,
    "common-attributes": common_attributes,
    **{
        f"event-{event.removeprefix('codex.').replace('_', '-')}": partial(event_attributes, event)
        for event in EVENTS
    },
}
