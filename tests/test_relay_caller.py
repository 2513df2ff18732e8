"""A program with the OpenTelemetry SDK that runs the real Codex: what it says of the turn arrives with it."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import propagate
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import set_span_in_context

from codex_langfuse.codex.isolated import IsolatedCodex
from codex_langfuse.codex.scripted_model import running_scripted_model
from codex_langfuse.codex.telemetry import Process
from codex_langfuse.keys.credentials import TRACES_PATH, basic_authorization
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.relay.assembly import Assembly
from codex_langfuse.relay.policy import Policy, User
from codex_langfuse.relay.server import running_relay
from codex_langfuse.relay.session_info import SessionInfo
from harness.interfaces import app_server
from harness.running_relay import settings_for, wait_until
from relayed_recordings import batches, relay

#: As the page "CI" has it.
LABELS = """
[otel.span_attributes]
"langfuse.user.id" = "ada@example.com"
"langfuse.environment" = "ci"
"langfuse.trace.tags" = "nightly, docs"
"langfuse.release" = "v1.2"
"langfuse.trace.metadata.job" = "https://ci.example.com/jobs/42"
"""
SAMPLER = "export OTEL_TRACES_SAMPLER=parentbased_traceidratio OTEL_TRACES_SAMPLER_ARG=0"
RESOURCE = {"OTEL_RESOURCE_ATTRIBUTES": "team=payments,ci.job=42"}
RELAYED = """
[otel]
metrics_exporter = "none"
exporter = {{ otlp-http = {{ endpoint = "{url}/v1/logs", protocol = "binary" }} }}
trace_exporter = {{ otlp-http = {{ endpoint = "{url}/v1/traces", protocol = "binary" }} }}
"""
DIRECT = """
[otel]
metrics_exporter = "none"
trace_exporter = {{ otlp-http = {{ endpoint = "{url}", protocol = "binary", headers = {{ {header} }} }} }}
"""


@dataclass
class Caller:
    """A program whose spans go to a Langfuse."""

    langfuse: RunningMock
    provider: TracerProvider

    def child_of_a_span(self) -> tuple[Any, dict[str, str]]:
        """Begin a span; return it, and what names it to Codex."""
        span = self.provider.get_tracer("caller").start_span("ci job")
        carrier: dict[str, str] = {}
        propagate.inject(carrier, set_span_in_context(span))
        # The SDK (1.45) writes the flags 03, which Codex ignores: see the page "CI".
        assert carrier["traceparent"].endswith("-03")
        return span, {"traceparent": carrier["traceparent"][:-2] + "01"}


@pytest.fixture
def caller() -> Iterator[Caller]:
    with running_mock() as langfuse:
        authorization = {"authorization": basic_authorization(langfuse.public_key, langfuse.secret_key)}
        exporter = OTLPSpanExporter(langfuse.url + TRACES_PATH, headers=authorization)
        provider = TracerProvider(resource=Resource({"service.name": "ci"}))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        yield Caller(langfuse, provider)
        provider.shutdown()


@pytest.fixture(scope="module")
def codex(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IsolatedCodex]:
    with running_scripted_model() as model:
        yield IsolatedCodex(tmp_path_factory.mktemp("codex"), model_url=model.base_url)


def ids(span: Any) -> tuple[str, str]:
    context = span.get_span_context()
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


@pytest.mark.codex
def test_by_the_relay_the_turn_is_an_agent_in_the_callers_trace(
    codex: IsolatedCodex, caller: Caller, tmp_path: Path
) -> None:
    span, context = caller.child_of_a_span()
    with running_relay(settings_for(caller.langfuse, tmp_path / "state"), Assembly(Policy())) as url:
        codex.write_config(RELAYED.format(url=url) + LABELS)
        run = codex.run_exec(environment={"TRACEPARENT": context["traceparent"], **RESOURCE})
        assert run.returncode == 0, run.stderr
    span.end()
    trace, parent = ids(span)
    observations = caller.langfuse.store.traces[trace]
    assert list(caller.langfuse.store.traces) == [trace]
    (root,) = [each for each in observations if not each["parentObservationId"]]
    assert (root["id"], root["name"]) == (parent, "ci job")
    (agent,) = [each for each in observations if each["type"] == "AGENT"]
    assert agent["parentObservationId"] == parent
    turn = [each for each in observations if each is not root]
    assert {each["userId"] for each in turn} == {"ada@example.com"}
    assert {each["environment"] for each in turn} == {"ci"}
    assert {each["release"] for each in turn} == {"v1.2"}
    assert all({"nightly", "docs", "codex"} <= set(each["tags"]) for each in turn)
    metadata = agent["metadata"]
    assert metadata["job"] == "https://ci.example.com/jobs/42"
    assert (metadata["resource.team"], str(metadata["resource.ci.job"])) == ("payments", "42")


@pytest.mark.codex
def test_on_the_direct_route_the_callers_trace_is_the_only_one(codex: IsolatedCodex, caller: Caller) -> None:
    span, context = caller.child_of_a_span()
    authorization = basic_authorization(caller.langfuse.public_key, caller.langfuse.secret_key)
    header = f'Authorization = "{authorization}"'
    codex.write_config(DIRECT.format(url=caller.langfuse.url + TRACES_PATH, header=header) + LABELS)
    sampler = dict(each.split("=") for each in SAMPLER.split()[1:])
    run = codex.run_exec(environment={"TRACEPARENT": context["traceparent"], **RESOURCE, **sampler})
    assert run.returncode == 0, run.stderr
    span.end()
    trace, parent = ids(span)
    assert list(caller.langfuse.store.traces) == [trace]
    turn = [each for each in caller.langfuse.store.traces[trace] if each["id"] != parent]
    assert {"session_task.turn", "codex.exec"} <= {each["name"] for each in turn}
    assert {each["userId"] for each in turn} == {"ada@example.com"}
    assert {each["environment"] for each in turn} == {"ci"}
    assert all({"nightly", "docs"} == set(each["tags"]) for each in turn)
    assert {each["metadata"]["resourceAttributes.team"] for each in turn} == {"payments"}


@pytest.mark.codex
def test_an_app_server_is_told_the_caller_with_each_turn(
    codex: IsolatedCodex, caller: Caller, tmp_path: Path
) -> None:
    """Two turns of one conversation, each asked for by a span of its own."""
    spans = [caller.child_of_a_span() for _ in range(2)]
    with running_relay(settings_for(caller.langfuse, tmp_path / "state"), Assembly(Policy())) as url:
        codex.write_config(RELAYED.format(url=url))
        with app_server(codex, environment=RESOURCE) as ask:
            ask("initialize", {"clientInfo": {"name": "test", "title": "test", "version": "1"}})
            thread = ask("thread/start", {})["thread"]["id"]
            for _, context in spans:
                prompt = [{"type": "text", "text": "Say hello."}]
                ask(
                    "turn/start",
                    {"threadId": thread, "input": prompt},
                    wait="turn/completed",
                    trace={"traceparent": context["traceparent"]},
                )
    for span, _ in spans:
        span.end()
    wait_until(lambda: len(caller.langfuse.store.traces) == 2)
    for span, _ in spans:
        trace, parent = ids(span)
        (agent,) = [each for each in caller.langfuse.store.traces[trace] if each["type"] == "AGENT"]
        assert (agent["parentObservationId"], agent["sessionId"]) == (parent, thread)
        assert agent["metadata"]["resource.team"] == "payments"


@pytest.mark.parametrize("version", ["0.150.0", "0.171.0"])
def test_labels_are_read_when_the_closing_span_never_comes(version: str) -> None:
    """Which happens; before 0.166 the span around the turn does not say which turn it is."""
    given = []
    for batch in batches(f"{version}-default"):
        given.append(deepcopy(batch))
        for group in given[-1].resource_spans if isinstance(batch, ExportTraceServiceRequest) else ():
            for scope in group.scope_spans:
                kept = [span for span in scope.spans if span.name != "session_task.turn"]
                for span in kept:
                    span.attributes.add(key="langfuse.user.id").value.string_value = "ada"
                del scope.spans[:]
                scope.spans.extend(kept)
    observations = relay(given).observations
    assert observations and {each["userId"] for each in observations} == {"ada"}


def test_the_relays_own_options_win_and_resource_attributes_come_last() -> None:
    about = SessionInfo(Process("codex_exec", "0.171.0", "dev", (("user.id", "bob"), ("langfuse.tags", "x"))))
    assert (about.user(Policy()), about.tags()) == ("bob", ["x"])
    about.labels = {
        "langfuse.user.id": "ada",
        "langfuse.environment": "CI",
        "langfuse.trace.tags": '["a", "b"]',
    }
    assert (about.user(Policy()), about.tags()) == ("ada", ["a", "b"])
    assert about.environment_of(Policy()) == "ci"
    assert about.environment_of(Policy(environment="prod")) == "prod"
    assert about.user(Policy(user=User.parse("eve"))) == "eve"
    again, _, _ = SessionInfo.from_text(about.as_text(None, None, Policy()))
    assert again.labels == about.labels
