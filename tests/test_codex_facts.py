"""What the real Codex sends, where, and what it says when that goes wrong."""

import base64
import socket
from collections import Counter
from itertools import chain

import pytest

from codex_langfuse.codex.scripted_model import Message, Scenario, ToolCall, usage_of
from codex_langfuse.mock.faults import Fault
from harness.surroundings import METRICS_HOST, Outcome

pytestmark = pytest.mark.codex

TRACES = "/api/public/otel/v1/traces"
URL = f"https://cloud.langfuse.com{TRACES}"

REFERENCE = """\
# ~/.codex/config.toml
[otel]
environment = "prod"                 # resource attribute `env`, default "dev"
metrics_exporter = "none"            # else metrics go to ab.chatgpt.com
[otel.trace_exporter.otlp-http]      # do NOT also write trace_exporter = "otlp-http"
endpoint = "https://cloud.langfuse.com/api/public/otel/v1/traces"   # full URL
protocol = "binary"                  # required; "binary" | "json" only
headers = { x-langfuse-ingestion-version = "4" }                    # strings only
[otel.span_attributes]               # ≥ 0.130; static, on every span
"langfuse.environment" = "prod"
[shell_environment_policy]
exclude = ["OTEL_*"]
"""

# Spans that Codex makes for each event of the model's stream.
STREAM_SPANS = ("handle_responses", "receiving")


def exporting(
    endpoint: str = URL,
    *,
    exporter: str = "trace_exporter",
    headers: str = "",
    otel: str = "",
    more: str = "",
) -> str:
    """A configuration that exports one signal; metrics are off unless ``otel`` says otherwise."""
    return f"""\
[otel]
{otel or 'metrics_exporter = "none"'}
[otel.{exporter}.otlp-http]
endpoint = "{endpoint}"
protocol = "binary"
headers = {{ {headers} }}
{more}
"""


@pytest.fixture(scope="session")
def credentials(surroundings) -> str:
    """The value of an Authorization header that the mock accepts."""
    langfuse = surroundings.langfuse
    return "Basic " + base64.b64encode(f"{langfuse.public_key}:{langfuse.secret_key}".encode()).decode()


@pytest.fixture(scope="session")
def in_environment(credentials) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": f"Authorization={credentials.replace(' ', '%20')}"}


@pytest.fixture
def turn(surroundings, shared_codex):
    def turn(config: str, *arguments: str, **options) -> Outcome:
        return surroundings.turn(shared_codex, config, *arguments, **options)

    return turn


@pytest.fixture(scope="session")
def reference(surroundings, shared_codex, in_environment) -> Outcome:
    """One turn with one tool call, under the reference configuration as printed."""
    return surroundings.turn(shared_codex, REFERENCE, scenario="tool call", environment=in_environment)


@pytest.fixture(scope="session")
def delivered(surroundings, shared_codex, in_environment) -> Outcome:
    """One plain turn that Langfuse took, to compare with."""
    outcome = surroundings.turn(shared_codex, exporting(), environment=in_environment)
    assert outcome.answers == {(TRACES, 200)}
    return outcome


def words(outcome: Outcome) -> list[str]:
    """What Codex said on stderr, without what differs between any two turns."""
    return [line for line in outcome.run.stderr.splitlines() if not line.startswith("session id:")]


def named(outcome: Outcome, event: str) -> list[dict]:
    """The attributes of every event of a name that is on a span, in order of time."""
    found = [
        (time, attributes)
        for span in outcome.spans
        for time, attributes in span.events
        if attributes.get("event.name") == event
    ]
    return [attributes for _, attributes in sorted(found, key=lambda each: str(each[0]))]


def conversations(outcome: Outcome, trace_id: str) -> set[str]:
    """The conversations that the events in a trace belong to."""
    return {
        attributes["conversation.id"]
        for span in outcome.spans
        if span.trace_id == trace_id
        for _, attributes in span.events
        if "conversation.id" in attributes
    }


class TestReferenceConfiguration:
    def test_arrives_in_full(self, reference) -> None:
        assert reference.run.returncode == 0
        assert reference.answers == {(TRACES, 200)}
        assert reference.header("host") == {"cloud.langfuse.com"}
        assert reference.header("content-type") == {"application/x-protobuf"}
        assert len(reference.observations) == len(reference.spans)

    def test_headers_of_the_file_and_of_the_environment_both_arrive(self, reference, credentials) -> None:
        assert reference.header("authorization") == {credentials}
        assert reference.header("x-langfuse-ingestion-version") == {"4"}

    def test_one_turn_is_hundreds_of_spans_in_many_traces(self, reference) -> None:
        assert len(reference.spans) > 300
        assert len({span.trace_id for span in reference.spans}) > 10

    def test_nothing_goes_anywhere_else(self, reference) -> None:
        assert {request.host for request in reference.proxied} == {"cloud.langfuse.com"}

    def test_the_environment_is_a_resource_attribute_that_langfuse_does_not_use(
        self, reference, turn, in_environment
    ) -> None:
        assert {span.resource["env"] for span in reference.spans} == {"prod"}
        assert not any("deployment.environment" in span.resource for span in reference.spans)
        assert {observation["environment"] for observation in reference.observations} == {"prod"}

        without = turn(REFERENCE.replace('"langfuse.environment" = "prod"', ""), environment=in_environment)
        assert {span.resource["env"] for span in without.spans} == {"prod"}
        assert {observation["environment"] for observation in without.observations} == {"default"}

    def test_span_attributes_are_on_every_span(self, reference) -> None:
        assert {span.attributes.get("langfuse.environment") for span in reference.spans} == {"prod"}

    def test_an_option_adds_to_the_span_attributes_of_the_file(self, turn, in_environment) -> None:
        file = '[otel.span_attributes]\n"langfuse.user.id" = "alice"\n"langfuse.environment" = "prod"\n'
        option = 'otel.span_attributes={"langfuse.environment"="nightly"}'
        outcome = turn(exporting(more=file), "-c", option, environment=in_environment)
        attributes = [span.attributes for span in outcome.spans]
        assert {(each["langfuse.user.id"], each["langfuse.environment"]) for each in attributes} == {
            ("alice", "nightly")
        }

    def test_the_tokens_of_a_model_call_are_on_handle_responses_without_its_model(self, reference) -> None:
        calls = [span for span in reference.spans if "gen_ai.usage.input_tokens" in span.attributes]
        assert [span.name for span in calls] == ["handle_responses"] * 2
        calls.sort(key=lambda span: span.attributes["codex.usage.total_tokens"])
        for number, span in enumerate(calls, 1):
            usage = usage_of(number)
            assert {name: value for name, value in span.attributes.items() if "usage" in name} == {
                "gen_ai.usage.input_tokens": usage["input_tokens"],
                "gen_ai.usage.cache_read.input_tokens": usage["input_tokens_details"]["cached_tokens"],
                "gen_ai.usage.cache_write.input_tokens": 0,
                "gen_ai.usage.output_tokens": usage["output_tokens"],
                "codex.usage.reasoning_output_tokens": usage["output_tokens_details"]["reasoning_tokens"],
                "codex.usage.total_tokens": usage["total_tokens"],
            }
            assert not any("model" in name for name in span.attributes)

    def test_the_tokens_of_the_turn_are_on_session_task_turn(self, reference, turn, in_environment) -> None:
        # Codex now and then leaves before it has sent this span, which is the last to end.
        more = (turn(REFERENCE, scenario="tool call", environment=in_environment) for _ in range(10))
        outcomes = chain([reference], more)
        span = next(span for outcome in outcomes for span in outcome.spans_named("session_task.turn"))
        assert span.attributes["model"].startswith("gpt-")
        assert {
            name.rpartition(".")[2]: value for name, value in span.attributes.items() if "token_usage" in name
        } == {
            "input_tokens": 2600,
            "cached_input_tokens": 2100,
            "cache_write_input_tokens": 0,
            "non_cached_input_tokens": 500,
            "output_tokens": 110,
            "reasoning_output_tokens": 44,
            "total_tokens": 2710,
        }

    def test_there_is_no_user_and_no_session_of_the_conversation(self, reference) -> None:
        for name in ("user.id", "langfuse.session.id", "langfuse.user.id"):
            assert not any(name in span.attributes for span in reference.spans)
        # Code mode counts its own sessions, which Langfuse takes for sessions of Langfuse.
        sessions = [span for span in reference.spans if "session.id" in span.attributes]
        assert {span.name for span in sessions} == {
            "code_mode.grpc.subscribe_to_tool_calls",
            "code_mode.grpc.callback",
        }
        [session] = {span.attributes["session.id"] for span in sessions}
        assert session not in reference.run.stderr
        shown = [each for each in reference.observations if each["sessionId"]]
        assert {(each["name"], each["sessionId"]) for each in shown} == {
            (span.name, session) for span in sessions
        }

    @pytest.mark.parametrize("hidden", [True, False])
    def test_the_policy_keeps_the_key_from_the_commands_of_the_model(
        self, surroundings, turn, in_environment, hidden
    ) -> None:
        config = REFERENCE if hidden else REFERENCE.partition("[shell_environment_policy]")[0]
        turn(
            config,
            scenario=Scenario((ToolCall("exec_command", {"cmd": "env"}), Message("Done."))),
            environment=in_environment,
        )
        printed = surroundings.model.requests[-1].outputs[-1]
        assert "HOME=" in printed
        assert ("OTEL_EXPORTER_OTLP_TRACES_HEADERS" in printed) is not hidden


class TestPrivacy:
    @pytest.mark.parametrize("log_user_prompt", ["false", "true"])
    def test_no_content_leaves_in_any_request(
        self, surroundings, tmp_path, credentials, log_user_prompt
    ) -> None:
        codex = surroundings.codex(tmp_path)
        (codex.workspace / "AGENTS.md").write_text("marker-instructions\n")
        (codex.workspace / "marker-file-name").write_text("marker-tool-output\n")
        # Metrics on: they go to OpenAI, and carry no content either.
        config = exporting(
            headers=f'Authorization = "{credentials}"',
            otel=f"log_user_prompt = {log_user_prompt}\nlog_agent_responses = true",
        )
        outcome = surroundings.turn(
            codex,
            config,
            scenario=Scenario(
                (ToolCall("exec_command", {"cmd": "cat marker-file-*"}), Message("marker-answer"))
            ),
            prompt="marker-prompt",
        )
        seen_by_model = str([request.history for request in surroundings.model.requests])
        for marker in ("instructions", "tool-output", "file-*", "prompt"):
            assert f"marker-{marker}" in seen_by_model
        assert "marker-answer" in outcome.run.stdout

        assert outcome.answers == {(TRACES, 200)}
        assert outcome.at(METRICS_HOST)
        for request in outcome.proxied:
            assert b"marker-" not in request.body, request.host

    def test_the_path_of_the_working_directory_does_leave(self, reference, shared_codex) -> None:
        places = {
            span.name for span in reference.spans if str(shared_codex.workspace) in str(span.attributes)
        }
        assert places == {"run_sampling_request"}


class TestEndpoint:
    """The endpoint is used as it is written, and Langfuse takes traces only."""

    @pytest.mark.parametrize(
        ("exporter", "path", "status", "says"),
        [
            ("exporter", "/api/public/otel/v1/logs", 404, b"404"),
            ("exporter", TRACES, 400, b'{"error":"Failed to parse OTel Protobuf Trace"}'),
            ("trace_exporter", "/api/public/otel", 404, b"404"),
            ("trace_exporter", "/v1/traces", 404, b"404"),
        ],
    )
    def test_is_refused(self, turn, credentials, exporter, path, status, says) -> None:
        header = f'Authorization = "{credentials}"'
        outcome = turn(exporting(f"https://cloud.langfuse.com{path}", exporter=exporter, headers=header))
        assert outcome.run.returncode == 0
        assert outcome.answers == {(path, status)}
        assert all(says in request.answer for request in outcome.proxied)

    def test_log_exporter_switches_no_traces_on(self, turn) -> None:
        outcome = turn(exporting("https://cloud.langfuse.com/api/public/otel/v1/logs", exporter="exporter"))
        assert {path for path, _ in outcome.answers} == {"/api/public/otel/v1/logs"}


class TestHeaders:
    def test_a_variable_in_the_file_goes_out_as_it_is_written(self, turn, credentials) -> None:
        outcome = turn(
            exporting(headers='Authorization = "Basic ${LANGFUSE_AUTH}"'),
            environment={"LANGFUSE_AUTH": credentials.removeprefix("Basic ")},
        )
        assert outcome.header("authorization") == {"Basic ${LANGFUSE_AUTH}"}
        assert outcome.answers == {(TRACES, 401)}
        assert {request.answer for request in outcome.proxied} == {
            b'{"message":"Invalid character. Confirm that you\'ve configured the correct host."}'
        }

    @pytest.mark.parametrize("where", ["file", "environment"])
    def test_a_line_break_in_the_value_drops_the_header(self, turn, credentials, where) -> None:
        wrapped = f"{credentials[:40]}\n{credentials[40:]}"
        if where == "file":
            outcome = turn(exporting(headers=f'Authorization = """{wrapped}"""'))
        else:
            variable = {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": f"Authorization={wrapped}"}
            outcome = turn(exporting(), environment=variable)
        assert outcome.header("authorization") == {None}
        assert outcome.answers == {(TRACES, 401)}
        assert {request.answer for request in outcome.proxied} == {b'{"message":"No authorization header"}'}

    @pytest.mark.parametrize("encoded", [True, False])
    def test_the_variable_for_traces_wins_over_the_file(self, turn, credentials, encoded) -> None:
        value = credentials.replace(" ", "%20").replace("=", "%3D") if encoded else credentials
        outcome = turn(
            exporting(headers='Authorization = "Basic old", x-other = "kept"'),
            environment={"OTEL_EXPORTER_OTLP_TRACES_HEADERS": f"Authorization={value},x-third=merged"},
        )
        assert outcome.header("authorization") == {credentials}
        assert (outcome.header("x-other"), outcome.header("x-third")) == ({"kept"}, {"merged"})
        assert outcome.answers == {(TRACES, 200)}

    def test_the_variable_for_all_signals_hands_the_key_to_openai(self, turn, credentials) -> None:
        outcome = turn(
            exporting(otel='environment = "dev"'),
            environment={"OTEL_EXPORTER_OTLP_HEADERS": f"Authorization={credentials}"},
        )
        assert outcome.answers == {(TRACES, 200)}
        metrics = outcome.at(METRICS_HOST)
        assert {request.path for request in metrics} == {"/otlp/v1/metrics"}
        assert [request.headers["authorization"] for request in metrics] == [credentials] * len(metrics)

    def test_without_metrics_it_does_not(self, turn, credentials) -> None:
        outcome = turn(
            exporting(otel='metrics_exporter = "none"'),
            environment={"OTEL_EXPORTER_OTLP_HEADERS": f"Authorization={credentials}"},
        )
        assert outcome.answers == {(TRACES, 200)}
        assert outcome.at(METRICS_HOST) == []

    def test_the_variable_for_traces_is_not_handed_to_openai(self, turn, in_environment, credentials) -> None:
        outcome = turn(exporting(otel='environment = "dev"'), environment=in_environment)
        metrics = outcome.at(METRICS_HOST)
        assert metrics
        for request in metrics:
            assert "authorization" not in request.headers
            assert credentials.encode() not in request.body


class TestDelivery:
    @pytest.mark.parametrize("status", [401, 403, 404, 413, 429, 500, 503])
    def test_a_refused_batch_is_lost_without_a_word(self, turn, in_environment, delivered, status) -> None:
        fault = Fault(status=status, retry_after=0 if status in (429, 503) else None)
        outcome = turn(exporting(), environment=in_environment, fault=fault)
        assert outcome.run.returncode == 0
        assert outcome.answers == {(TRACES, status)}
        assert outcome.spans, "nothing was sent at all"
        # Nothing was sent a second time: no span came twice.
        assert Counter(span.span_id for span in outcome.spans).most_common(1)[0][1] == 1
        assert words(outcome) == words(delivered)

    def test_the_debug_log_of_the_sdk_says_that_it_was_refused(self, turn, in_environment, delivered) -> None:
        log = {"RUST_LOG": "opentelemetry_sdk=debug"}
        refused = turn(exporting(), environment=log)
        assert refused.answers == {(TRACES, 401)}
        # In the name of the shutdown or of a batch: 5 of 25 refused turns logged no ShutdownError.
        assert "Operation failed: Request(" in refused.run.stderr
        assert f'Status(401, None), url: \\"{URL}\\"' in refused.run.stderr

        taken = turn(exporting(), environment={**log, **in_environment})
        assert words(taken) == words(delivered)

    def test_its_error_log_knows_only_of_the_batches_before_the_last(self, turn, delivered) -> None:
        log = {"RUST_LOG": "opentelemetry_sdk=error"}
        # A short turn is more than 512 spans, and so two batches of the default size.
        # Codex now and then leaves before it has sent its last batch.
        large = {**log, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2048"}
        outcomes = (turn(exporting(), environment=large) for _ in range(10))
        one_batch = next(outcome for outcome in outcomes if outcome.langfuse)
        assert [request.status for request in one_batch.langfuse] == [401]
        assert words(one_batch) == words(delivered)

        many = turn(exporting(), environment={**log, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "100"})
        errors = [line for line in words(many) if 'name="BatchSpanProcessor.Export.Error"' in line]
        assert len(errors) in (len(many.langfuse) - 1, len(many.langfuse)) and len(errors) > 1
        assert all("Status(401, None)" in line for line in errors)

    @pytest.mark.parametrize("trouble", ["nobody listens", "unknown authority"])
    def test_an_endpoint_that_cannot_be_reached_is_seen_in_the_debug_log_alone(
        self, turn, delivered, trouble
    ) -> None:
        if trouble == "nobody listens":
            with socket.create_server(("127.0.0.1", 0)) as closed:
                config = exporting(f"http://127.0.0.1:{closed.getsockname()[1]}{TRACES}")
            environment = {}
        else:
            config, environment = exporting(), {"SSL_CERT_FILE": ""}

        silent = turn(config, environment=environment)
        assert silent.run.returncode == 0
        assert list(silent.langfuse) == []
        assert words(silent) == words(delivered)

        telling = turn(config, environment={**environment, "RUST_LOG": "opentelemetry_sdk=debug"})
        assert telling.run.returncode == 0
        assert "reqwest::Error { kind: Request, url: " in telling.run.stderr

    def test_an_endpoint_that_hangs_holds_the_end_up(self, turn, in_environment, delivered) -> None:
        limit = {"OTEL_EXPORTER_OTLP_TIMEOUT": "3000"}
        outcome = turn(exporting(), environment={**in_environment, **limit}, fault=Fault(hang=True))
        assert outcome.run.returncode == 0
        assert words(outcome) == words(delivered)
        assert outcome.run.seconds >= 3
        assert outcome.run.seconds - delivered.run.seconds > 1.5

    @pytest.mark.parametrize("scenario", ["400", "429"])
    def test_a_failed_run_exports_nothing(self, turn, in_environment, scenario) -> None:
        outcome = turn(exporting(), scenario=scenario, environment=in_environment)
        assert outcome.run.returncode == 1
        assert list(outcome.langfuse) == []

    def test_compression_switches_everything_off(self, turn, in_environment) -> None:
        outcome = turn(exporting(), environment={**in_environment, "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"})
        assert outcome.run.returncode == 0
        assert "Could not create otel exporter: unsupported compression algorithm" in outcome.run.stderr
        assert list(outcome.langfuse) == []


class TestShape:
    def test_each_event_of_the_stream_is_two_more_spans(self, turn, in_environment) -> None:
        def counted(deltas: int) -> Counter:
            scenario = Scenario((Message("A long answer.", deltas=deltas),))
            outcome = turn(exporting(), scenario=scenario, environment=in_environment)
            return Counter(span.name for span in outcome.spans if span.name in STREAM_SPANS)

        few, many = counted(deltas=10), counted(deltas=210)
        assert {name: many[name] - few[name] for name in STREAM_SPANS} == dict.fromkeys(STREAM_SPANS, 200)

    def test_a_failing_command_looks_like_a_success(self, turn, in_environment) -> None:
        outcome = turn(exporting(), scenario="failing tool", environment=in_environment)
        results = {
            attributes["tool_name"]: attributes["success"]
            for span in outcome.spans
            for _, attributes in span.events
            if attributes.get("event.name") == "codex.tool_result"
        }
        assert results == {"exec": "true", "exec_command": "true"}
        [ran] = outcome.spans_named("unified_exec.exec_command")
        assert ran.attributes["outcome"] == "exited"
        assert not any("exit" in name for name in ran.attributes)
        assert {span.status for span in outcome.spans} == {"STATUS_CODE_UNSET"}

    def test_a_refusal_by_the_model_is_seen_in_an_event_alone(self, turn, in_environment) -> None:
        outcome = turn(exporting(), scenario="429 then OK", environment=in_environment)
        requests = named(outcome, "codex.api_request")
        assert [int(request["http.response.status_code"]) for request in requests] == [429, 200]
        assert {span.status for span in outcome.spans} == {"STATUS_CODE_UNSET"}

    def test_over_a_websocket_it_is_seen_nowhere(self, turn, in_environment) -> None:
        outcome = turn(exporting(), scenario="500 then OK", environment=in_environment)
        assert outcome.run.returncode == 0
        requests = [*named(outcome, "codex.websocket_connect"), *named(outcome, "codex.websocket_request")]
        # The warm-up, the request refused and its repetition, over two connections.
        assert [request["success"] for request in requests] == ["true"] * 5
        assert not any("error.message" in request for request in requests)
        assert not any("500" in str(span.attributes.values()) for span in outcome.spans_named("run_turn"))
        assert {span.status for span in outcome.spans} == {"STATUS_CODE_UNSET"}

    def test_a_sub_agent_is_in_the_trace_of_its_parent(self, turn, in_environment) -> None:
        outcome = turn(exporting(), scenario="sub-agent", environment=in_environment)
        calls = [span for span in outcome.spans if "gen_ai.usage.input_tokens" in span.attributes]
        assert len(calls) == 4
        [trace_id] = {span.trace_id for span in calls}
        assert len(conversations(outcome, trace_id)) == 2

    def test_a_resumed_conversation_is_a_new_trace(self, turn, in_environment) -> None:
        first = turn(exporting(), environment=in_environment)
        second = turn(exporting(), "resume", "--last", environment=in_environment)
        [started], [resumed] = first.spans_named("turn/start"), second.spans_named("turn/start")
        assert started.trace_id != resumed.trace_id
        [conversation] = conversations(first, started.trace_id)
        assert conversations(second, resumed.trace_id) == {conversation}

    def test_traceparent_makes_it_one_trace_whose_id_is_known(self, turn, in_environment) -> None:
        trace_id = "0af7651916cd43dd8448eb211c80319c"
        given = {"TRACEPARENT": f"00-{trace_id}-b7ad6b7169203331-01"}
        outcome = turn(exporting(), environment={**in_environment, **given})
        joined = [span for span in outcome.spans if span.trace_id == trace_id]
        assert {"codex.exec", "turn/start", "handle_responses"} <= {span.name for span in joined}
        assert len(joined) > 0.9 * len(outcome.spans)
