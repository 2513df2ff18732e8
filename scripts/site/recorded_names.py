"""What recorded telemetry is made of: the names in it, without the values.

A name is a tuple of words that begins with what is named: ``("log", event)``, ``("span", name)``,
``("event", event)`` for an event on a span, ``("metric", name)``, ``("resource", signal)``; with an attribute
of it as one word more. Two recordings of one version have the same names, though not the same values.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import recordings
from recordings import RecordedRequest

Name = tuple[str, ...]

#: What Codex says of where in its source a record was written, and for how long; on every span and event.
ON_EVERY_SPAN = frozenset(
    {
        *("code.file.path", "code.filepath", "code.line.number", "code.lineno"),
        *("code.module.name", "code.namespace", "thread.name", "target", "level", "busy_ns", "idle_ns"),
    }
)


def event_name(attributes: Iterable[Any]) -> str:
    """Return the name by which Codex calls an event, or nothing for a line of its own log."""
    return next((item.value.string_value for item in attributes if item.key == "event.name"), "")


def records(request: RecordedRequest) -> Iterator[tuple[Name, Any]]:
    """Return every named thing in a request, each with the message that has its attributes.

    Lines of Codex's own log that got among log records or onto spans have no name and are left out.
    """
    if request.signal == "logs":
        for group in request.message.resource_logs:
            yield ("resource", "logs"), group.resource
            for scope in group.scope_logs:
                for record in scope.log_records:
                    if name := event_name(record.attributes):
                        yield ("log", name), record
    elif request.signal == "traces":
        for group in request.message.resource_spans:
            yield ("resource", "traces"), group.resource
            for scope in group.scope_spans:
                for span in scope.spans:
                    yield ("span", span.name), span
                    for event in span.events:
                        if name := event_name(event.attributes):
                            yield ("event", name), event
    else:
        for group in request.message.resource_metrics:
            yield ("resource", "metrics"), group.resource
            for scope in group.scope_metrics:
                for metric in scope.metrics:
                    for point in getattr(metric, metric.WhichOneof("data")).data_points:
                        yield ("metric", metric.name), point


def names_in(requests: Iterable[RecordedRequest]) -> frozenset[Name]:
    """Return every name in a recording, those of attributes included."""
    found: set[Name] = set()
    for request in requests:
        for name, holder in records(request):
            found.add(name)
            found.update((*name, item.key) for item in holder.attributes)
    return frozenset(found)


@cache
def names(recording: str) -> frozenset[Name]:
    """Return every name in a stored recording, such as ``0.163.0-simple``."""
    return names_in(recordings.read(recording))
