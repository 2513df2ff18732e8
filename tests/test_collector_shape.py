"""examples/collector/shape.yaml in a real Collector: one trace a turn out of the spans that Codex sends."""

import gzip
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import recordings
from codex_langfuse.codex.isolated import IsolatedCodex
from codex_langfuse.codex.scripted_model import running_scripted_model
from codex_langfuse.configuration.amend import amend
from codex_langfuse.configuration.route import Route
from codex_langfuse.configuration.routes import OtelSettings, read_endpoint
from codex_langfuse.mock.server import running_mock
from harness.combinations import charged
from harness.langfuse_laws import broken
from harness.recorded_truth import KINDS, Tokens, truth
from harness.running_relay import CLIENT, PROTOBUF
from page_tables.comparison import MISSED, RUNS
from recordings import each_span
from running_collector import TOKEN, Carrier, langfuse_environment, running_collector

pytestmark = pytest.mark.collector

#: What somebody set in `[otel.span_attributes]`, which Codex puts on every span.
CALLER = {"langfuse.user.id": "ada", "langfuse.trace.tags": "codex,team-a", "ci.job": "build-42"}
#: The attributes of a shaped observation that are not the caller's.
ATTRIBUTES = {
    "langfuse.internal.is_app_root",
    "langfuse.observation.input",
    "langfuse.observation.level",
    "langfuse.observation.metadata.call_id",
    "langfuse.observation.metadata.codex_trace_id",
    "langfuse.observation.metadata.conversation_id",
    "langfuse.observation.metadata.turn_id",
    "langfuse.observation.model.name",
    "langfuse.observation.model.parameters",
    "langfuse.observation.output",
    "langfuse.observation.status_message",
    "langfuse.observation.type",
    "langfuse.observation.usage_details",
    "langfuse.session.id",
    "langfuse.trace.name",
}
USAGE = "codex.turn.token_usage."
Observation = Mapping[str, Any]


@cache
def exports(name: str) -> Sequence[ExportTraceServiceRequest]:
    """The recording's requests with traces, every span with the caller's attributes."""
    found = []
    for body in recordings.bodies(name, "traces"):
        export = ExportTraceServiceRequest.FromString(body)
        for span in each_span(export):
            for key, value in CALLER.items():
                span.attributes.add(key=key).value.string_value = value
        found.append(export)
    return found


def attributes_of(span: Span) -> dict[str, Any]:
    """The attributes of a span; of one that is there twice, the last."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


def post(url: str, export: ExportTraceServiceRequest) -> None:
    answer = CLIENT.post(f"{url}/v1/traces", content=export.SerializeToString(), headers=PROTOBUF)
    assert answer.status_code == 200, answer.text


REAL_USE = [name for name in recordings.names("real-use/*") if "traces" in recordings.signals(name)]
RECORDED = REAL_USE + [
    name
    for name in recordings.names()
    if "traces" in recordings.signals(name) and recordings.version(name) >= (0, 114)
]


class Shaped:
    """What the recordings became: the observations of each trace, and the spans as they were sent."""

    def __init__(self, folder: Path) -> None:
        with running_mock() as langfuse:
            environment = langfuse_environment(langfuse)
            with running_collector(folder, "shape.yaml", environment=environment) as collector:
                for name in RECORDED:
                    for export in exports(name):
                        post(collector.url, export)
            # A Collector that ends in order has delivered what it had.
            self.traces = langfuse.store.traces
            self.sent = [
                span
                for request in langfuse.store.requests
                for span in each_span(ExportTraceServiceRequest.FromString(gzip.decompress(request.body)))
            ]
            self.log = collector.log

    @cache  # noqa: B019 - there is one of these
    def turns(self, name: str) -> dict[str, Sequence[Observation]]:
        """The traces of a recording's turns, by the turns' ids."""
        turns = {
            attributes_of(span)["turn.id"]
            for export in exports(name)
            for span in each_span(export)
            if "turn.id" in attributes_of(span)
        }
        return {turn: self.traces[trace] for turn in turns if (trace := turn.replace("-", "")) in self.traces}


@pytest.fixture(scope="module")
def shaped(tmp_path_factory: pytest.TempPathFactory) -> Shaped:
    return Shaped(tmp_path_factory.mktemp("collector"))


def of_type(observations: Sequence[Observation], kind: str) -> list[Observation]:
    return [each for each in observations if each["type"] == kind]


def closing_spans(name: str) -> dict[str, Mapping[str, Any]]:
    """What Codex said at the end of each turn of a recording, by the turn's id."""
    return {
        attributes["turn.id"]: attributes
        for export in exports(name)
        for span in each_span(export)
        if span.name == "session_task.turn" and (attributes := attributes_of(span))
    }


@pytest.mark.parametrize("name", RECORDED)
def test_each_turn_is_one_trace_with_the_tokens_that_codex_counted(shaped: Shaped, name: str) -> None:
    turns = shaped.turns(name)
    assert turns.keys() >= closing_spans(name).keys()
    for turn, said in closing_spans(name).items():
        (generation,) = of_type(turns[turn], "GENERATION")
        assert generation["model"] == said["model"]
        if not said.get(f"{USAGE}total_tokens"):
            assert generation["usageDetails"] == {}
            continue
        usage, whole = generation["usageDetails"], {key: said.get(f"{USAGE}{key}_tokens", 0) for key in PARTS}
        assert usage["input"] + usage["input_cached_tokens"] + usage["input_cache_creation"] == whole["input"]
        assert usage["input_cached_tokens"] == min(whole["cached_input"], whole["input"])
        assert usage["input_cache_creation"] == whole["cache_write_input"]
        assert usage["output"] + usage["output_reasoning_tokens"] == whole["output"]
        assert usage["output_reasoning_tokens"] == min(whole["reasoning_output"], whole["output"])
        assert usage["total"] == whole["input"] + whole["output"]


PARTS = ("input", "cached_input", "cache_write_input", "output", "reasoning_output")


def tokens_shown(observations: Sequence[Observation]) -> Tokens:
    """The tokens of a trace, in the order of ``KINDS``."""
    return tuple(sum(each["usageDetails"].get(kind, 0) for each in observations) for kind in KINDS)


def tokens_charged(answers: Counter[Tokens]) -> Tokens:
    """The tokens of all answers together."""
    return tuple(map(sum, zip(*answers.elements(), strict=True))) or (0,) * len(KINDS)


def is_as_charged(shaped: Shaped, name: str) -> bool:
    """Whether each turn shows exactly what the scripted model charged; all of them together where the
    recording does not say for which turn."""
    turns, true = shaped.turns(name), truth(name)
    if true.by_turn is None:
        together = [each for observations in turns.values() for each in observations]
        return tokens_shown(together) == tokens_charged(true.answers)
    charged = {turn: tokens_charged(answers) for turn, answers in true.by_turn.items()}
    assert charged.keys() >= {turn for turn in turns if any(tokens_shown(turns[turn]))}
    return all(turn in turns and tokens_shown(turns[turn]) == charged[turn] for turn in charged)


def test_the_tokens_of_real_use_are_as_charged_but_where_the_pages_say_so(shaped: Shaped) -> None:
    assert {name for name in REAL_USE if not is_as_charged(shaped, name)} == MISSED.keys()
    assert len(REAL_USE) == RUNS
    for name, reason in MISSED.items():
        closed = closing_spans(name).values()
        if reason == "interrupted":
            assert any(f"{USAGE}total_tokens" not in said for said in closed), name
        elif reason in ("no_end", "not_sampled"):
            assert len(closed) < (len(truth(name).by_turn or ()) or truth(name).roots), name


@pytest.mark.parametrize("name", [name for name in RECORDED if recordings.version(name) >= (0, 166)])
def test_a_turn_is_an_agent_with_its_usage_and_its_tools_below_it(shaped: Shaped, name: str) -> None:
    began = {
        attributes["turn.id"]
        for export in exports(name)
        for span in each_span(export)
        if span.name == "run_turn" and (attributes := attributes_of(span))
    }
    for turn, observations in shaped.turns(name).items():
        agents = of_type(observations, "AGENT")
        # Codex sends none for a goal's continuation that ends at once, nor for a caller that does not sample.
        assert len(agents) == (turn in began)
        if not agents:
            continue
        (agent,) = agents
        assert agent["parentObservationId"] is None
        assert {each["parentObservationId"] for each in observations if each is not agent} <= {agent["id"]}
        assert [each["isRootObservation"] for each in observations] == [
            each is agent for each in observations
        ]
        assert (agent["input"], agent["output"]) == ("(prompt not sent)", "(answer not sent)")


def test_the_tools_of_a_turn_are_those_that_codex_ran(shaped: Shaped) -> None:
    for name in RECORDED:
        if recordings.version(name) < (0, 166):
            continue
        ran = Counter(
            (attributes["turn.id"], attributes["tool_name"], attributes["call_id"], attributes["aborted"])
            for export in exports(name)
            for span in each_span(export)
            if (attributes := attributes_of(span)).get("codex.tool.phase") == "dispatch"
        )
        shown = Counter(
            (turn, each["name"], each["metadata"]["call_id"], each["statusMessage"] == "cut off")
            for turn, observations in shaped.turns(name).items()
            for each in of_type(observations, "TOOL")
        )
        assert shown == ran, name


@pytest.mark.parametrize("name", [name for name in RECORDED if recordings.version(name) < (0, 166)])
def test_before_0_166_a_turn_is_its_usage_and_counts_as_a_trace(shaped: Shaped, name: str) -> None:
    for observations in shaped.turns(name).values():
        (generation,) = observations
        assert generation["parentObservationId"] is not None
        assert generation["isRootObservation"]
        assert generation["name"] == generation["traceName"]


def test_every_observation_says_whose_it_is(shaped: Shaped) -> None:
    for name in RECORDED:
        sent_from = {
            each.value.string_value
            for export in exports(name)
            for each in export.resource_spans[0].resource.attributes
            if each.key == "env"
        }
        for observations in shaped.turns(name).values():
            for each in observations:
                assert each["sessionId"] == each["metadata"]["conversation_id"]
                assert each["userId"] == "ada"
                assert each["tags"] == ["codex", "team-a"]
                assert each["metadata"]["attributes.ci.job"] == CALLER["ci.job"]
                assert {each["environment"]} == sent_from
                assert each["traceName"] in {"codex turn", "compaction"}
                assert each["version"] == ".".join(map(str, recordings.version(name)))
            assert len({each["sessionId"] for each in observations}) == 1


def test_a_short_turn_is_few_observations(shaped: Shaped) -> None:
    for name in recordings.simple_turns().values():
        for observations in shaped.turns(name).values():
            assert len(observations) <= 10


def test_nothing_leaves_but_names_numbers_and_the_callers_attributes(shaped: Shaped) -> None:
    """So no content, from whatever recording: several were made with prompts and answers let through."""
    assert shaped.sent
    for span in shaped.sent:
        assert attributes_of(span).keys() <= ATTRIBUTES | CALLER.keys()
        assert not span.events and not span.links and not span.status.message


def test_langfuse_shows_each_turn_and_counts_no_tokens_by_itself(shaped: Shaped) -> None:
    """But for the traces of which Codex sends no beginning: ``began`` above."""
    traces = shaped.traces.values()
    whole = [trace for trace in traces if any(each["isRootObservation"] for each in trace)]
    assert len(whole) >= len(shaped.traces) - 3
    assert not broken([each for trace in whole for each in trace])


def test_no_statement_fails(shaped: Shaped) -> None:
    assert "\terror\t" not in shaped.log and "\twarn\t" not in shaped.log


# --- turns that did not end, or whose end is not known ---

SIMPLE = "0.169.0-simple"


def changed(name: str, change: Callable[[Span], bool]) -> Iterator[ExportTraceServiceRequest]:
    """A recording in which ``change`` was made to each span; it returns whether the span was sent."""
    for recorded in exports(name):
        export = ExportTraceServiceRequest()
        export.CopyFrom(recorded)
        for resource in export.resource_spans:
            for scope in resource.scope_spans:
                kept = [span for span in scope.spans if change(span)]
                del scope.spans[:]
                scope.spans.extend(kept)
        yield export


def without_usage(span: Span) -> bool:
    kept = [each for each in span.attributes if not each.key.startswith(USAGE)]
    del span.attributes[:]
    span.attributes.extend(kept)
    return True


def named_and_without_usage(span: Span) -> bool:
    span.attributes.add(key="langfuse.trace.name").value.string_value = "nightly review"
    return without_usage(span)


def shape(folder: Path, sent: Iterator[ExportTraceServiceRequest], collectors: int = 1) -> list[Observation]:
    """Send exports to Collectors in turns, and return what Langfuse shows."""
    with running_mock() as langfuse:
        environment = langfuse_environment(langfuse)
        with ExitStack() as running:
            urls = [
                running.enter_context(
                    running_collector(folder / str(number), "shape.yaml", environment=environment)
                ).url
                for number in range(collectors)
            ]
            for number, export in enumerate(sent):
                post(urls[number % collectors], export)
        return list(langfuse.store.observations)


def test_an_interrupted_turn_is_marked_and_has_no_tokens(tmp_path: Path) -> None:
    """And the turn has the name that the caller gives its trace."""
    observations = shape(tmp_path, changed(SIMPLE, named_and_without_usage))
    (generation,) = of_type(observations, "GENERATION")
    assert (generation["level"], generation["statusMessage"]) == ("WARNING", "interrupted")
    assert generation["usageDetails"] == generation["costDetails"] == {}
    assert not broken(observations)
    assert [each["name"] for each in of_type(observations, "AGENT")] == ["nightly review"]


def test_a_turn_without_its_closing_span_is_there_without_tokens(tmp_path: Path) -> None:
    observations = shape(tmp_path, changed(SIMPLE, lambda span: span.name != "session_task.turn"))
    assert sorted(each["type"] for each in observations) == ["AGENT", "TOOL"]
    assert all(each["usageDetails"] == {} for each in observations)


def one_by_one(name: str) -> Iterator[ExportTraceServiceRequest]:
    """A recording, each span that is kept in a request of its own."""
    for export in changed(name, lambda span: "turn.id" in attributes_of(span)):
        for resource in export.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    single = ExportTraceServiceRequest()
                    single.resource_spans.add().resource.CopyFrom(resource.resource)
                    single.resource_spans[0].scope_spans.add().spans.append(span)
                    yield single


def test_two_collectors_make_the_same_trace_as_one(tmp_path: Path) -> None:
    """Behind a load balancer each request of a turn may reach another: the ids are of the turn."""

    def placed(observations: Sequence[Observation]) -> set[tuple[str, ...]]:
        return {
            tuple(str(each[key]) for key in ("traceId", "id", "parentObservationId", "type", "usageDetails"))
            for each in observations
        }

    one = shape(tmp_path / "one", iter(exports(SIMPLE)))
    two = shape(tmp_path / "two", one_by_one(SIMPLE), collectors=2)
    assert placed(one) == placed(two) and len(one) == len(two) == 3


@pytest.mark.codex
def test_codex_as_people_run_it_sends_one_trace_over_tls_with_a_token(tmp_path: Path) -> None:
    """Default model, code mode, WebSocket; ``shape.yaml`` with ``senders.yaml``."""
    with running_mock() as langfuse, running_scripted_model("tool call") as model:
        carrier = Carrier(tmp_path, langfuse)
        with carrier.running("shape.yaml", "senders.yaml") as collector:
            header = {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": f"authorization=Bearer%20{TOKEN}"}
            codex = IsolatedCodex(tmp_path / "codex", model_url=model.base_url, environment=header)
            settings = OtelSettings(
                Route.COLLECTOR, read_endpoint(collector.url), "staging", "ada", ("team-a",)
            )
            tls = f'[otel.trace_exporter.otlp-http.tls]\nca-certificate = "{carrier.authority}"\n'
            codex.write_config(amend("", settings, None, force=False, below={}).text + tls)
            assert codex.run_exec().returncode == 0
        observations = list(langfuse.store.observations)
    assert len({each["traceId"] for each in observations}) == 1 and len(observations) <= 10
    assert {each["type"] for each in observations} >= {"AGENT", "TOOL"}
    for each in observations:
        assert (each["environment"], each["userId"], each["tags"]) == ("staging", "ada", ["team-a"])
    for generation in of_type(observations, "GENERATION"):  # not there when Codex did not send the end
        (answers,) = charged(model)
        assert generation["usageDetails"]["total"] == sum(map(sum, answers))
