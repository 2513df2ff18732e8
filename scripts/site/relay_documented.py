"""What the pages print of the relay: found by doing it, not written down.

`what_leaves` plants a marker in one field of recorded telemetry after the other, renders the turns in every
content mode, and looks for the marker in the bytes. `versions_table` renders the same turn of many versions
of Codex and looks at what came out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from codex_langfuse.mock.langfuse.observations import observations_of
from codex_langfuse.mock.langfuse.otlp import parse_protobuf
from codex_langfuse.relay.assembly import Assembly
from codex_langfuse.relay.policy import Content, Policy

Batch = ExportLogsServiceRequest | ExportTraceServiceRequest

#: In place of what a person would not want to leave: it has the form of a path, and words.
CONTENT_MARKER = "/home/dev/Zq7marker said so"
#: The same in the form of a name, which an allow-list of forms lets pass where a name belongs.
NAME_MARKER = "Zq7marker"
#: The same in the form of a version.
VERSION_MARKER = "7.7.7-Zq7marker"


def holds_marker(sent: bytes) -> bool:
    """Whether any of the markers left, whole or in part, in whatever case."""
    return b"zq7marker" in sent.lower()


@dataclass(frozen=True, order=True)
class Field:
    """One place for data in telemetry. where: `log`, `span`, `event on a span`, …; key: its name."""

    where: str
    key: str


def relayed(batches: Iterable[Batch], policy: Policy) -> list[bytes]:
    """Return the requests that the relay sends for `batches`."""
    assembly = Assembly(policy)
    for number, batch in enumerate(batches):
        assembly.take(number, batch, 0.0)
    return [turn.trace for turn in assembly.close(1.0)]


def _lists(batch: Batch) -> Iterator[tuple[str, RepeatedCompositeFieldContainer[KeyValue]]]:
    if isinstance(batch, ExportLogsServiceRequest):
        for logs in batch.resource_logs:
            yield "resource of logs", logs.resource.attributes
            for log_scope in logs.scope_logs:
                yield "scope", log_scope.scope.attributes
                for record in log_scope.log_records:
                    yield "log", record.attributes
    else:
        for spans in batch.resource_spans:
            yield "resource of spans", spans.resource.attributes
            for span_scope in spans.scope_spans:
                yield "scope", span_scope.scope.attributes
                for span in span_scope.spans:
                    yield "span", span.attributes
                    for event in span.events:
                        yield "event on a span", event.attributes
                    for link in span.links:
                        yield "link", link.attributes


def fields(batches: Iterable[Batch]) -> list[Field]:
    """Return every place in `batches` that holds, or could hold, a text."""
    found = {
        Field(where, item.key)
        for batch in batches
        for where, items in _lists(batch)
        for item in items
        if item.key != "event.name"
    }
    unnamed = {
        *(Field("log", name) for name in ("(body)", "(event name)", "(severity)", "event.name")),
        *(Field("span", name) for name in ("(name)", "(trace state)", "(status)", "(new attribute)")),
        *(Field("event on a span", name) for name in ("(name)", "event.name", "(new attribute)")),
        *(Field("scope", name) for name in ("(name)", "(version)")),
        *(Field("log", "(new attribute)"), Field("resource of spans", "(new attribute)")),
        *(Field("resource of logs", "(new attribute)"), Field("link", "(new attribute)")),
    }
    return sorted(found | unnamed)


def planted(batches: Iterable[Batch], places: Iterable[Field], marker: str) -> list[Batch]:
    """Return a copy of `batches` with `marker` in each of `places`."""
    wanted = set(places)
    new = {place.where for place in wanted if place.key == "(new attribute)"}
    copies: list[Batch] = []
    for batch in batches:
        copy = deepcopy(batch)
        for where, items in _lists(copy):
            for item in items:
                if Field(where, item.key) in wanted:
                    item.value.string_value = marker
            if where in new:
                items.add(key="langfuse.observation.input").value.string_value = marker
                items.add(key=f"x.{marker}").value.string_value = marker
        _plant_outside_attributes(copy, wanted, marker)
        copies.append(copy)
    return copies


def _plant_outside_attributes(batch: Batch, wanted: set[Field], marker: str) -> None:
    def asked(where: str, key: str) -> bool:
        return Field(where, key) in wanted

    groups: Iterable[Any] = (
        batch.resource_logs if isinstance(batch, ExportLogsServiceRequest) else batch.resource_spans
    )
    for group in groups:
        scopes = group.scope_logs if isinstance(batch, ExportLogsServiceRequest) else group.scope_spans
        for scope in scopes:
            if asked("scope", "(name)"):
                scope.scope.name = marker
            if asked("scope", "(version)"):
                scope.scope.version = marker
            if isinstance(batch, ExportLogsServiceRequest):
                for record in scope.log_records:
                    if asked("log", "(body)"):
                        record.body.string_value = marker
                    if asked("log", "(event name)"):
                        record.event_name = marker
                    if asked("log", "(severity)"):
                        record.severity_text = marker
                continue
            for span in scope.spans:
                if asked("span", "(name)"):
                    span.name = marker
                if asked("span", "(trace state)"):
                    span.trace_state = marker
                if asked("span", "(status)"):
                    span.status.message, span.status.code = marker, 2
                if asked("event on a span", "(name)"):
                    for event in span.events:
                        event.name = marker
                if asked("link", "(new attribute)"):
                    span.links.add().attributes.add(key=marker).value.string_value = marker


def leaves(batches: Sequence[Batch], place: Field, marker: str, policy: Policy) -> bool:
    """Whether `marker`, put in `place` of `batches`, is in what the relay sends under `policy`."""
    return any(holds_marker(trace) for trace in relayed(planted(batches, [place], marker), policy))


def what_leaves(recordings: Iterable[Sequence[Batch]]) -> list[dict[str, str]]:
    """Return a row for every field of `recordings` of which anything leaves: in which mode, in which form.

    A row has `where` and `field`, and for each content mode `text` (as it is), `name` (only if it has the
    form of a name or an id), `version` (only if it has the form of one) or nothing. Numbers, and words out of
    a closed list, leave in every mode and are not in the table.
    """
    rows: dict[Field, dict[str, str]] = {}
    for batches in recordings:
        for place in fields(batches):
            row = rows.setdefault(place, dict.fromkeys(Content, ""))
            for content in Content:
                policy = Policy(content=content)
                if leaves(batches, place, CONTENT_MARKER, policy):
                    row[content] = "text"
                elif not row[content] and leaves(batches, place, NAME_MARKER, policy):
                    row[content] = "name"
                elif not row[content] and leaves(batches, place, VERSION_MARKER, policy):
                    row[content] = "version"
    return [
        {"where": place.where, "field": place.key, **{str(mode): form for mode, form in row.items()}}
        for place, row in sorted(rows.items())
        if any(row.values())
    ]


#: What `versions_table` looks for, and the word it is called by.
_COLUMNS = (
    *("turn", "model", "tokens", "time to first token", "reasoning effort", "tool", "decision"),
    *("exit code", "turn id", "Codex's own total", "end told", "settings"),
)


def versions_table(recordings: Mapping[str, Sequence[tuple[str, Batch]]]) -> list[dict[str, str]]:
    """Return what the same turn, with one tool call, gives in each version and by each signal.

    recordings: by the version, the batches of one turn with their signal (`logs` or `traces`). A row has
    `version`, `signals` and the columns with `yes` or nothing.
    """
    rows = []
    for version, recording in recordings.items():
        for label, wanted in (("logs", {"logs"}), ("traces", {"traces"}), ("both", {"logs", "traces"})):
            batches = [batch for signal, batch in recording if signal in wanted]
            told = {signal for signal, _ in recording if signal in wanted}
            if told == wanted:
                given = _given(batches)
                rows.append(
                    {
                        "version": version,
                        "signals": label,
                        **{column: "yes" if given[column] else "" for column in _COLUMNS},
                    }
                )
    return rows


def _given(batches: Sequence[Batch]) -> dict[str, bool]:
    observations = [
        observation
        for trace in relayed(batches, Policy())
        for observation in observations_of(parse_protobuf(trace), project_id="", received=0)
    ]
    generations = [each for each in observations if each["type"] == "GENERATION"]
    tools = [each for each in observations if each["type"] == "TOOL"]
    root: dict[str, Any] = next((each["metadata"] for each in observations if each["type"] == "AGENT"), {})
    usages = [each["usageDetails"] for each in generations]
    facts = (
        "prompt_length" in root,
        bool(generations) and all(each["model"] for each in generations),
        bool(usages) and all(usages),
        any(each["completionStartTime"] for each in generations),
        any(each["modelParameters"] for each in generations),
        bool(tools),
        any("decision" in each["metadata"] for each in tools),
        any("exit_code" in each["metadata"] for each in tools),
        "turn_id" in root,
        root.get("total_from") == "Codex",
        root.get("end") == "reported by Codex",
        "approval_policy" in root,
    )
    return dict(zip(_COLUMNS, facts, strict=True))
