"""Laws that hold for whatever is sent to Langfuse, by whom and from what it is made.

Each takes an export, or the observations that Langfuse makes of one, and returns what breaks the law: a line
for each observation, empty when all is well.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from codex_langfuse.mock.langfuse.observations import observations_of
from codex_langfuse.mock.langfuse.otlp import parse_otlp_json, parse_protobuf


def observed(export: bytes) -> list[dict[str, Any]]:
    """Return the observations of an OTLP export of traces: protobuf, or JSON that begins with a brace."""
    parsed = parse_otlp_json(export) if export.startswith(b"{") else parse_protobuf(export)
    return observations_of(parsed, project_id="project", received=0)


def text_without_usage(observations: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the observations to which Langfuse would add tokens and a cost: text, a model, nothing else.

    Langfuse 4.16.0 does so for models that it has a tokenizer for. The law holds for every model: the next
    version may have one for it.
    """
    return [
        f"{each['type']} {each['name']!r} has text and model {each['model']}, and neither usage nor cost"
        for each in observations
        if each["model"]
        and (each["input"] or each["output"])
        and not each["usageDetails"]
        and not each["costDetails"]
    ]


def usage_on_roots(observations: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the observations without a parent that have usage or cost: dashboards on traces leave it out."""
    return [
        f"{each['type']} {each['name']!r} has usage and no parent"
        for each in observations
        if not each["parentObservationId"] and (each["usageDetails"] or each["costDetails"])
    ]


def traces_without_root(observations: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the traces that lists of roots, counts and dashboards on traces do not know."""
    rooted: dict[str, bool] = {}
    for each in observations:
        rooted[each["traceId"]] = rooted.get(each["traceId"], False) or each["isRootObservation"]
    return [f"trace {trace_id} has no root" for trace_id, is_rooted in rooted.items() if not is_rooted]


def costs_without_total(observations: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the observations whose parts of the cost come without a total: Langfuse takes that for 0."""
    return [
        f"{each['type']} {each['name']!r} has costs {sorted(each['costDetails'])} without a total"
        for each in observations
        if each["costDetails"] and "total" not in each["costDetails"]
    ]


def turns_not_in_their_session(observations: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the agents that the page of a session does not show: it wants a session, input and output."""
    return [
        f"AGENT {each['name']!r} has input {each['input']!r} and output {each['output']!r}"
        for each in observations
        if each["type"] == "AGENT" and not (each["sessionId"] and each["input"] and each["output"])
    ]


def roots_of_another_name(observations: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the roots whose name, a trace's heading, is not the name that lists have for the trace."""
    return [
        f"{each['type']} {each['name']!r} is the root of trace {each['traceName']!r}"
        for each in observations
        if each["isRootObservation"] and each["name"] != each["traceName"]
    ]


def broken(observations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what breaks any of the laws."""
    laws = (
        *(text_without_usage, usage_on_roots, traces_without_root, costs_without_total),
        *(turns_not_in_their_session, roots_of_another_name),
    )
    return [line for law in laws for line in law(observations)]
