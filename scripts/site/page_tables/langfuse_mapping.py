"""Tables of what Langfuse makes of a span. Each row is shown by sending such a span, or it is not made.

The conversion is ``codex_langfuse.mock.langfuse.observations``, which follows Langfuse 4.16.0.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import recordings
from codex_langfuse.mock.langfuse.legacy_read_api import observations_of_rows, traces_of
from codex_langfuse.mock.langfuse.observations import flat_metadata, observations_of
from codex_langfuse.mock.langfuse.otlp import parse_protobuf
from hooks.tested_with import pinned_codex
from page_tables.markdown import mark, table, words_of

_TEXTS = words_of(__file__)

Attributes = Mapping[str, Any]
_START = 1_795_425_366_000_000_000


def _put(holder: Any, attributes: Attributes) -> None:
    for key, value in attributes.items():
        item = holder.attributes.add(key=key).value
        if isinstance(value, bool):
            item.bool_value = value
        elif isinstance(value, int):
            item.int_value = value
        else:
            item.string_value = value


def observed(
    attributes: Attributes | None = None,
    *,
    resource: Attributes | None = None,
    parent: bool = False,
    change: Callable[[Span], None] | None = None,
) -> dict[str, Any]:
    """Return the observation that Langfuse makes of one span.

    Args:
        attributes: those of the span.
        resource: those of its resource.
        parent: whether it has a parent; a span without one is the root of its trace.
        change: what else is done to the span.
    """
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    _put(group.resource, resource or {})
    span = group.scope_spans.add().spans.add(
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
        name="the span's own name",
        start_time_unix_nano=_START,
        end_time_unix_nano=_START + 1_000_000_000,
    )
    if parent:
        span.parent_span_id = bytes(range(1, 9))
    _put(span, attributes or {})
    if change is not None:
        change(span)
    (observation,) = observations_of(
        parse_protobuf(request.SerializeToString()), project_id="", received=_START // 1_000_000
    )
    return observation


class UnprovenError(Exception):
    """A row does not hold; the message says which."""


def _demand(holds: bool, what: str) -> None:
    if not holds:
        raise UnprovenError(what)


# --- from attribute to field ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """Something a field can come from: an attribute with a value, and what the field is then.

    where: ``span`` or ``resource``; ``event`` for an event on the span, whose attributes are the value;
    ``status`` and ``message`` for the status of the span; ``name`` for its name. shown: how it is
    called on the page.
    """

    key: str
    value: Any
    gives: Any
    where: str = "span"
    shown: str = ""


@dataclass(frozen=True)
class _Row:
    field: str
    sources: Sequence[_Source]
    note: Mapping[str, str] | None = None


def _texts(field: str, *keys: str, note: Mapping[str, str] | None = None) -> _Row:
    return _Row(field, [_Source(key, f"value {n}", f"value {n}") for n, key in enumerate(keys)], note)


def _lists(field: str, *keys: str) -> _Row:
    return _Row(field, [_Source(key, f"a{n},b{n}", [f"a{n}", f"b{n}"]) for n, key in enumerate(keys)])


def _content(field: str, events: Sequence[tuple[str, str, str]], *keys: str) -> _Row:
    """Return input or output: Langfuse's own attribute, then events on the span, then attributes."""
    own = f"langfuse.observation.{field}"
    details = "gen_ai.client.inference.operation.details"
    return _Row(
        field,
        [
            _Source(own, "its own", "its own"),
            _Source(details, {f"gen_ai.{field}.messages": "told"}, "told", "event"),
            *(
                _Source(event, {key: f"event {n}"}, gives.format(f"event {n}"), "event")
                for n, (event, key, gives) in enumerate(events)
            ),
            *(_Source(key, f"value {n}", f"value {n}") for n, key in enumerate(keys)),
        ],
    )


_FIELDS: Sequence[_Row] = (
    _texts(
        "sessionId",
        *("langfuse.session.id", "session.id", "gen_ai.conversation.id"),
        *("langfuse.observation.metadata.langfuse_session_id", "langfuse.trace.metadata.langfuse_session_id"),
        "ai.telemetry.metadata.sessionId",
    ),
    _texts(
        "userId",
        *("langfuse.user.id", "user.id", "langfuse.observation.metadata.langfuse_user_id"),
        *("langfuse.trace.metadata.langfuse_user_id", "ai.telemetry.metadata.userId"),
    ),
    _Row(
        "environment",
        [
            _Source(key, f"{where}-{n}", f"{where}-{n}", where)
            for n, key in enumerate(
                ("langfuse.environment", "deployment.environment.name", "deployment.environment")
            )
            for where in ("span", "resource")
        ],
    ),
    _Row(
        "version",
        [_Source("langfuse.version", "1", "1"), _Source("service.version", "2", "2", "resource")],
    ),
    _Row(
        "release",
        [_Source("langfuse.release", "1", "1"), _Source("langfuse.release", "2", "2", "resource")],
    ),
    _Row(
        "traceName",
        [_Source("langfuse.trace.name", "given", "given"), _Source("", "", "the span's own name", "name")],
        _TEXTS["the_name_of_the"],
    ),
    _Row(
        "name",
        [
            *(
                _Source(key, f"name {n}", f"name {n}")
                for n, key in enumerate(
                    ("gen_ai.tool.name", "genkit:name", "logfire.msg", "ai.toolCall.name", "ai.operationId")
                )
            ),
            _Source("", "", "the span's own name", "name"),
        ],
        _TEXTS["the_name_of_the_2"],
    ),
    _lists(
        "tags",
        *("langfuse.trace.tags", "langfuse.tags", "langfuse.observation.metadata.langfuse_tags"),
        *("langfuse.trace.metadata.langfuse_tags", "ai.telemetry.metadata.tags", "tag.tags"),
    ),
    _Row(
        "public",
        [_Source("langfuse.trace.public", True, True), _Source("langfuse.public", "true", True)],
    ),
    _texts(
        "model",
        *("langfuse.observation.model.name", "gen_ai.response.model", "ai.model.id", "gen_ai.request.model"),
        *("llm.response.model", "llm.model_name", "model"),
    ),
    _Row(
        "modelParameters",
        [
            *(
                _Source(key, json.dumps({"n": n}), {"n": n})
                for n, key in enumerate(
                    ("langfuse.observation.model.parameters", "llm.invocation_parameters", "model_config")
                )
            ),
            _Source(
                "gen_ai.request.reasoning_effort",
                "high",
                {"reasoning_effort": "high"},
                shown="`gen_ai.request.*`",
            ),
        ],
    ),
    _Row(
        "usageDetails",
        [
            _Source("langfuse.observation.usage_details", '{"input": 3}', {"input": 3, "total": 3}),
            _Source(
                "gen_ai.usage.input_tokens",
                5,
                {"input": 5, "total": 5},
                shown="`gen_ai.usage.*` + `llm.token_count.*`",
            ),
        ],
    ),
    _Row(
        "costDetails",
        [
            _Source("langfuse.observation.cost_details", '{"total": 0.5}', {"total": 0.5}),
            _Source("gen_ai.usage.cost", "0.25", {"total": 0.25}),
            _Source("llm.cost.total", "0.125", {"total": 0.125}),
        ],
    ),
    _Row(
        "completionStartTime",
        [
            _Source(
                "langfuse.observation.completion_start_time",
                "2026-11-23T09:16:06.500Z",
                "2026-11-23T09:16:06.500Z",
            ),
            _Source("ai.response.msToFirstChunk", "100", "2026-11-23T09:16:06.100Z"),
            _Source("ai.stream.msToFirstChunk", "200", "2026-11-23T09:16:06.200Z"),
        ],
    ),
    _Row(
        "level",
        [_Source("langfuse.observation.level", "WARN", "WARNING"), _Source("", 2, "ERROR", "status")],
        _TEXTS["error_when_the_status"],
    ),
    _Row(
        "statusMessage",
        [
            _Source("langfuse.observation.status_message", "given", "given"),
            _Source("", "said", "said", "message"),
        ],
        _TEXTS["the_message_of_the"],
    ),
    _content(
        "input",
        [
            ("gen_ai.user.message", "content", '[{{"role":"user","content":"{}"}}]'),
            ("gen_ai.content.prompt", "gen_ai.prompt", "{}"),
        ],
        *("prompt", "mlflow.spanInputs", "traceloop.entity.input", "input.value", "input", "tool_arguments"),
        *("gen_ai.prompt", "llm.input_messages", "gen_ai.input.messages", "gen_ai.tool.call.arguments"),
    ),
    _content(
        "output",
        [
            ("gen_ai.choice", "content", '{{"content":"{}"}}'),
            ("gen_ai.content.completion", "gen_ai.completion", "{}"),
        ],
        *("all_messages_events", "mlflow.spanOutputs", "traceloop.entity.output", "output.value", "output"),
        *("tool_response", "gen_ai.completion", "llm.output_messages", "gen_ai.output.messages"),
        "gen_ai.tool.call.result",
    ),
)


def _with_sources(sources: Iterable[_Source]) -> dict[str, Any]:
    attributes: dict[str, dict[str, Any]] = {"span": {}, "resource": {}}
    status: dict[str, Any] = {}
    events: list[_Source] = []
    for source in sources:
        if source.where in attributes:
            attributes[source.where][source.key] = source.value
        elif source.where == "event":
            events.append(source)
        elif source.where != "name":
            status[source.where] = source.value

    def change(span: Span) -> None:
        if "status" in status:
            span.status.code = status["status"]
        if "message" in status:
            span.status.message = status["message"]
        for event in events:
            _put(span.events.add(name=event.key), event.value)

    return observed(attributes["span"], resource=attributes["resource"], change=change)


def fields(language: str) -> str:
    """Return the fields of an observation with what they come from, in order of precedence."""
    head = _TEXTS["fields_head"][language]
    places = {
        "resource": _TEXTS["fields_resource"][language],
        "event": _TEXTS["fields_event_on_the_span"][language],
    }
    rows = []
    for row in _FIELDS:
        for first, source in enumerate(row.sources):
            found = _with_sources(row.sources[first:])[row.field]
            _demand(found == source.gives, f"{row.field} from {source.key or source.where}: {found!r}")
        words = [
            (source.shown or f"`{source.key}`") + places.get(source.where, "")
            if source.key
            else (row.note or {})[language]
            for source in row.sources
        ]
        rows.append([f"`{row.field}`", " › ".join(words)])
    return table(head, rows)


# --- type, usage, environment, level --------------------------------------------------------------------

#: Rule by rule: an attribute, and the type that each value of it gives.
_TYPES: Sequence[tuple[str, Mapping[str, str]]] = (
    (
        "langfuse.observation.type",
        {
            name: name.upper()
            for name in (
                *("span", "generation", "event", "embedding", "agent", "tool", "chain", "retriever"),
                *("guardrail", "evaluator"),
            )
        },
    ),
    (
        "openinference.span.kind",
        {
            "LLM": "GENERATION",
            **{
                name: name
                for name in ("CHAIN", "RETRIEVER", "EMBEDDING", "AGENT", "TOOL", "GUARDRAIL", "EVALUATOR")
            },
        },
    ),
    (
        "gen_ai.operation.name",
        {
            **dict.fromkeys(
                ("chat", "completion", "text_completion", "generate_content", "generate"), "GENERATION"
            ),
            "embeddings": "EMBEDDING",
            **dict.fromkeys(("invoke_agent", "create_agent"), "AGENT"),
            "execute_tool": "TOOL",
        },
    ),
    ("gen_ai.tool.name", {"any": "TOOL"}),
    ("gen_ai.tool.call.id", {"any": "TOOL"}),
    *(
        (key, {"any": "GENERATION"})
        for key in (
            *("langfuse.observation.model.name", "gen_ai.request.model", "gen_ai.response.model"),
            *("llm.model_name", "model"),
        )
    ),
)


def types(language: str) -> str:
    """Return the rules by which a span gets its type; the first that gives one wins."""
    any_value = _TEXTS["types_any_value"][language]
    comma, semicolon = _TEXTS["types_words"][language]
    rows = []
    for number, (key, gives) in enumerate(_TYPES):
        later = {other: next(iter(values)) for other, values in _TYPES[number + 1 :]}
        by_type: dict[str, list[str]] = {}
        for value, kind in gives.items():
            found = observed({key: value, **later})["type"]
            _demand(found == kind, f"{key} = {value} gives {found}, not {kind}")
            by_type.setdefault(kind, []).append(any_value if value == "any" else f"`{value}`")
        cell = semicolon.join(f"{comma.join(values)} → {kind}" for kind, values in by_type.items())
        if all(kind == value.upper() for value, kind in gives.items()) and len(gives) > 1:
            same = _TEXTS["types_same"][language]
            cell = f"{comma.join(f'`{value}`' for value in gives)} → {same}"
        rows.append([f"`{key}`", cell])
    _demand(observed()["type"] == "SPAN", "a span without any of these is a SPAN")
    rows.append([_TEXTS["types_none_of_these"][language], "SPAN"])
    head = _TEXTS["types_head"][language]
    return table(head, rows)


#: What a count becomes, under which names it is sent, and from what it is subtracted.
_USAGE: Sequence[tuple[str, Sequence[str], str]] = (
    ("input", ("prompt_tokens", "input_tokens", "prompt"), ""),
    ("output", ("completion_tokens", "output_tokens", "completion"), ""),
    ("total", ("total_tokens", "total"), ""),
    (
        "input_cached_tokens",
        (
            *("cache_read.input_tokens", "cache_read_input_tokens", "cache_read_tokens"),
            *("details.cache_read_tokens", "details.cache_read_input_tokens", "prompt_details.cache_read"),
            "input_cached_tokens",
        ),
        "input",
    ),
    (
        "input_cache_creation",
        (
            *("cache_creation.input_tokens", "cache_creation_input_tokens", "cache_write_tokens"),
            *("details.cache_write_tokens", "details.cache_creation_input_tokens"),
            *("prompt_details.cache_write", "input_cache_creation"),
        ),
        "input",
    ),
    ("output_reasoning_tokens", ("reasoning.output_tokens", "completion_details.reasoning"), "output"),
    ("output_audio_tokens", ("completion_details.audio",), "output"),
)
#: Names that Codex uses, or that look right, and are none of those.
_PASSED_THROUGH = ("cache_write.input_tokens", "output_reasoning_tokens", "reasoning_tokens")


def usage(language: str) -> str:
    """Return which names a token count may have, and what becomes of it."""
    head = _TEXTS["usage_head"][language]
    rows = []
    sides = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 90}
    for key, sources, minus in _USAGE:
        for first, source in enumerate(sources):
            given = {f"gen_ai.usage.{name}": 10 + n for n, name in enumerate(sources[first:])}
            found = observed({**(sides if minus else {}), **given})["usageDetails"]
            _demand(found[key] == 10, f"usage {key} from {source}: {found}")
            if minus:
                whole = sides[f"gen_ai.usage.{minus}_tokens"]
                _demand(found[minus] == whole - 10, f"{source} is subtracted from {minus}: {found}")
                _demand(found["total"] == sum(sides.values()), f"{source} counts once: {found}")
        names = " › ".join(f"`{source}`" for source in sources)
        rows.append([f"`{key}`", names, f"`{minus}`" if minus else "–"])
    for name in _PASSED_THROUGH:
        found = observed({**sides, f"gen_ai.usage.{name}": 10})["usageDetails"]
        _demand(found[name] == 10 and found["total"] == 200, f"{name} is counted on top: {found}")
    comma = _TEXTS["comma"][language]
    passed = comma.join(f"`{name}`" for name in _PASSED_THROUGH)
    rows.append([cell.format(passed=passed) for cell in _TEXTS["usage_passed_through"][language]])
    return table(head, rows)


#: What is given as an environment, where, and what Langfuse makes of it.
_ENVIRONMENTS: Sequence[tuple[str, str, str, str]] = (
    ("langfuse.environment", "span", "prod", "prod"),
    ("langfuse.environment", "span", "Prod", "prod"),
    ("langfuse.environment", "span", "langfuse-prod", "prod"),
    ("langfuse.environment", "span", "eu prod", "default"),
    ("langfuse.environment", "span", "x" * 45, "x" * 40),
    ("deployment.environment.name", "resource", "qa", "qa"),
    ("deployment.environment", "resource", "qa", "qa"),
    ("env", "resource", "prod", "default"),
    ("env", "span", "prod", "default"),
)


def environments(language: str) -> str:
    """Return what Langfuse makes of an environment."""
    head = _TEXTS["environments_head"][language]
    places = _TEXTS["environments_places"]
    long = {
        "x" * 45: _TEXTS["environments_45_letters"],
        "x" * 40: _TEXTS["environments_the_first_40"],
    }
    rows = []
    for key, where, value, becomes in _ENVIRONMENTS:
        given = {key: value}
        found = observed(given)["environment"] if where == "span" else observed(resource=given)["environment"]
        _demand(found == becomes, f"environment {key} = {value} on {where}: {found}")
        shown = [long[text][language] if text in long else f"`{text}`" for text in (value, becomes)]
        rows.append([f"`{key}`", places[where][language], *shown])
    return table(head, rows)


_LEVELS = {
    "DEBUG": ("DEBUG", "TRACE", "VERBOSE"),
    "DEFAULT": ("DEFAULT", "INFO", "LOG", "NOTICE", "OK", "SUCCESS"),
    "WARNING": ("WARNING", "WARN"),
    "ERROR": ("ERROR", "FATAL", "CRITICAL"),
}


def levels(language: str) -> str:
    """Return the words that ``langfuse.observation.level`` understands."""
    head = _TEXTS["levels_head"][language]
    comma = _TEXTS["comma"][language]
    for level, words in _LEVELS.items():
        for word in words:
            found = observed({"langfuse.observation.level": word.lower()})["level"]
            _demand(found == level, f"level {word}: {found}")
    return table(
        head, ([f"`{level}`", comma.join(f"`{word}`" for word in words)] for level, words in _LEVELS.items())
    )


# --- what is not mapped ---------------------------------------------------------------------------------


def _event(name: str, **attributes: Any) -> Callable[[Span], None]:
    def change(span: Span) -> None:
        _put(span.events.add(name=name), attributes)

    return change


def _kind(span: Span) -> None:
    span.kind = Span.SPAN_KIND_CLIENT


def _state(span: Span) -> None:
    span.trace_state, span.flags = "vendor=k:v", 257


def _link(span: Span) -> None:
    span.links.add(trace_id=bytes(16), span_id=bytes(8))


_UNMAPPED: Sequence[tuple[Mapping[str, str], str, Attributes, Attributes, Callable[[Span], None] | None]] = (
    *(
        ({}, key, {key: value}, {}, None)
        for key, value in (
            *(("conversation.id", "c1"), ("thread.id", "c1"), ("turn.id", "t1")),
            *(("tool_name", "exec_command"), ("call_id", "call_1"), ("cwd", "/home/dev")),
            ("codex.turn.token_usage.total_tokens", 2500),
            ("codex.usage.reasoning_output_tokens", 20),
            ("codex.request.reasoning_effort", "high"),
            *(("user.email", "dev@example.com"), ("user.account_id", "a1"), ("enduser.id", "u1")),
        )
    ),
    ({}, "env", {}, {"env": "prod"}, None),
    ({}, "host.name", {}, {"host.name": "laptop"}, None),
    (_TEXTS["the_kind_of_the"], "", {}, {}, _kind),
    (_TEXTS["trace_state_and_flags"], "", {}, {}, _state),
    (_TEXTS["links"], "", {}, {}, _link),
    (
        _TEXTS["events_on_the_span"],
        "",
        {},
        {},
        _event("exception", **{"exception.message": "m"}),
    ),
    (
        _TEXTS["codex_events_on_the"],
        "",
        {},
        {},
        _event("event otel/src", **{"event.name": "codex.tool_result", "success": "false"}),
    ),
)


def unmapped(language: str) -> str:
    """Return what fills no field, and where in the metadata it stays, if anywhere."""
    head = _TEXTS["unmapped_head"][language]
    plain = observed()
    rows = []
    for words, key, attributes, resource, change in _UNMAPPED:
        found = observed(attributes, resource=resource, change=change)
        changed = {name for name in plain if plain[name] != found[name]} - {"trace"}
        added = flat_metadata(found["metadata"]).keys() - flat_metadata(plain["metadata"]).keys()
        _demand(
            changed <= {"metadata"} and len(added) <= 1, f"{key or words['en']} changes {changed}, {added}"
        )
        colon, nowhere = _TEXTS["unmapped_words"][language]
        left = f"`metadata`{colon}`{next(iter(added))}`" if added else nowhere
        rows.append([f"`{key}`" if key else words[language], left])
    return table(head, rows)


# --- Codex's own spans ----------------------------------------------------------------------------------


@cache
def _turn(codex: str) -> list[dict[str, Any]]:
    return [
        observation
        for body in recordings.bodies(recordings.simple_turns()[codex], "traces")
        for observation in observations_of(parse_protobuf(body), project_id="", received=0)
    ]


def codex_spans(language: str) -> str:
    """Return the spans of the pinned Codex that become more than a SPAN with a name and times."""
    head = _TEXTS["codex_spans_head"][language]
    turn = _turn(pinned_codex())
    told = [each for each in turn if each["type"] != "SPAN" or each["usageDetails"]]
    rest = ("input", "output", "userId", "costDetails")
    _demand(
        {each["name"] for each in turn if each["sessionId"]}
        == {"code_mode.grpc.subscribe_to_tool_calls", "code_mode.grpc.callback"},
        "the spans with a session are not two of code mode",
    )
    _demand(
        not any(each[key] for each in turn for key in rest), f"some of {rest} is set by Codex's own spans"
    )
    rows = []
    for name in dict.fromkeys(each["name"] for each in told):
        own = [each for each in told if each["name"] == name]
        (kind,) = {each["type"] for each in own}
        rows.append(
            [
                f"`{name}`",
                str(len(own)),
                kind,
                mark(all(each["model"] for each in own), language),
                mark(all(each["usageDetails"] for each in own), language),
            ]
        )
    others = len(turn) - len(told)
    rows.append(
        [_TEXTS["codex_spans_all_others"][language], str(others), "SPAN", "–", "–"],
    )
    return table(head, rows)


def codex_versions(language: str) -> str:
    """Return what the same turn of each recorded Codex becomes."""
    head = _TEXTS["codex_versions_head"][language]
    rows = []
    for codex in recordings.simple_turns():
        turn = _turn(codex)
        kinds = Counter(each["type"] for each in turn)
        used = [each for each in turn if each["usageDetails"]]
        counts = (
            *(len(turn), len({each["traceId"] for each in turn}), kinds["GENERATION"], len(used)),
            sum(1 for each in used if each["model"]),
        )
        rows.append([codex, *(str(count) for count in counts)])
    return table(head, rows)


# --- Langfuse 3 and 4 -----------------------------------------------------------------------------------


def langfuse_3_and_4(language: str) -> str:
    """Return what Langfuse 4 and Langfuse 3 make of the same span, where they differ."""
    yes, no = _TEXTS["langfuse_3_and_4_kept"][language]

    def legacy(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        return traces_of([row])[0], observations_of_rows([row])[0]

    used = observed({"gen_ai.usage.input_tokens": 5}, parent=True)
    modelled = observed({"langfuse.observation.type": "span", "gen_ai.request.model": "gpt-5"}, parent=True)
    talked = observed({"gen_ai.conversation.id": "c1"}, parent=True)
    session = observed({"session.id": "c1"}, parent=True)
    traced = observed({"langfuse.trace.input": "asked"})
    cases = [
        (
            _TEXTS["langfuse_3_and_4_usage_on_a_span"],
            bool(used["usageDetails"]),
            bool(legacy(used)[1].get("usageDetails")),
        ),
        (
            _TEXTS["langfuse_3_and_4_the_model_of_a"],
            bool(modelled["model"]),
            bool(legacy(modelled)[1].get("model")),
        ),
        (
            _TEXTS["langfuse_3_and_4_gen_ai_conversation_id"],
            talked["sessionId"] == "c1",
            legacy(talked)[0]["sessionId"] == "c1",
        ),
        (
            _TEXTS["langfuse_3_and_4_session_id_on_a"],
            session["sessionId"] == "c1",
            legacy(session)[0]["sessionId"] == "c1",
        ),
        (
            _TEXTS["langfuse_3_and_4_langfuse_trace_input_on"],
            traced["input"] == "asked" or "asked" in flat_metadata(traced["metadata"]).values(),
            legacy(traced)[0]["input"] == "asked",
        ),
    ]
    head = _TEXTS["langfuse_3_and_4_head"][language]
    return table(
        head, ([words[language], yes if new else no, yes if old else no] for words, new, old in cases)
    )


# --- tokens that Langfuse invents ------------------------------------------------------------------------

#: What is sent with the model and both texts; whether Langfuse then invents tokens; what else it shows.
_INVENTED: tuple[tuple[dict[str, str], bool, Attributes, bool, str], ...] = (
    (
        _TEXTS["nothing_or_usage_details"],
        True,
        {"langfuse.observation.usage_details": "{}"},
        True,
        "",
    ),
    (
        _TEXTS["level_warning_or_error"],
        True,
        {"langfuse.observation.level": "ERROR"},
        True,
        "",
    ),
    (
        _TEXTS["usage_details_with_zeros"],
        True,
        {"langfuse.observation.usage_details": '{"input":0,"output":0}'},
        False,
        "0, $0",
    ),
    (
        _TEXTS["cost_details_total_0"],
        True,
        {"langfuse.observation.cost_details": '{"total":0}'},
        False,
        "–, $0",
    ),
    (_TEXTS["no_texts"], False, {}, False, "–, –"),
)


def invented_tokens(language: str) -> str:
    """Return when Langfuse counts the tokens of a text itself."""
    head = _TEXTS["invented_tokens_head"][language]
    made_up = _TEXTS["invented_tokens_made_up"][language]
    rows = []
    for words, has_text, sent, is_invented, shown in _INVENTED:
        texts = {f"langfuse.observation.{side}": "some text" for side in ("input", "output") if has_text}
        found = observed({"langfuse.observation.model.name": "gpt-5.6-sol", **texts, **sent}, parent=True)
        _demand(("mockWarning" in found) == is_invented, f"tokens of its own for {sent}: {found}")
        _demand(not found["totalUsage"] and not found["totalCost"], f"no number for {sent}: {found}")
        rows.append([words[language], made_up if is_invented else shown])
    return table(head, rows)


TABLES: dict[str, Callable[[str], str]] = {
    "mapping-fields": fields,
    "mapping-types": types,
    "mapping-usage": usage,
    "mapping-invented": invented_tokens,
    "mapping-environments": environments,
    "mapping-levels": levels,
    "mapping-unmapped": unmapped,
    "mapping-codex-spans": codex_spans,
    "mapping-codex-versions": codex_versions,
    "mapping-langfuse-3-and-4": langfuse_3_and_4,
}
