"""docs/reference/configuration.md: every key is what the page says, for the real Codex and on the wire."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

import relayed_recordings as relay
from codex_langfuse.check import rules_of_files
from codex_langfuse.codex import telemetry, versions
from codex_langfuse.codex.isolated import IsolatedCodex
from codex_langfuse.codex.scripted_model import Message, Scenario, ToolCall
from codex_langfuse.keys.credentials import basic_authorization
from codex_langfuse.relay.policy import Content, Policy, User
from harness.fences.scanner import ROOT
from harness.running_relay import relay_for
from harness.surroundings import METRICS_HOST, Outcome, Surroundings
from page_tables.configuration import GROUPS, keys
from recordings import each_span

KEYS = {key.shown: key for key in keys()}

URL = "https://cloud.langfuse.com/api/public/otel/v1/traces"


def exporter(key: str, url: str, protocol: str = "binary", more: str = "") -> str:
    return f'[otel.{key}.otlp-http]\nendpoint = "{url}"\nprotocol = "{protocol}"\n{more}\n'


NO_METRICS = '[otel]\nmetrics_exporter = "none"\n'
TO_LANGFUSE = exporter("trace_exporter", URL)


class TestData:
    def test_every_key_of_otel_is_there(self) -> None:
        documented = {key.name.split(".")[1] for key in keys() if key.name.startswith("otel.")}
        assert documented == versions.OTEL_KEYS.keys()

    def test_what_check_knows_of_exporters_is_there(self) -> None:
        names = {key.name for key in keys()}
        for part in rules_of_files._EXPORTER_KEYS["otlp-http"]:
            assert any(name.startswith(f"otlp-http.{part}") for name in names), part
        assert {f"otlp-http.tls.{part}" for part in rules_of_files._TLS_KEYS} <= names
        shown = str(KEYS["trace_exporter"].type)
        assert all(f"`{variant}`" in shown for variant in rules_of_files._VARIANTS)

    def test_keys_that_change_logs_alone_say_so(self) -> None:
        content = {key.name.split(".")[1]: key for key in keys() if key.group == "content"}
        assert content.keys() == set(versions.LOG_KEYS)
        assert all(key.direct["en"].startswith("changes nothing") for key in content.values())

    def test_anchors_are_unique_and_groups_known(self) -> None:
        assert Counter(key.anchor for key in keys()).most_common(1)[0][1] == 1
        assert {key.group for key in keys()} == set(GROUPS)

    @pytest.mark.parametrize("name", KEYS)
    def test_what_is_said_is_run_somewhere(self, name: str) -> None:
        for proof in KEYS[name].proof:
            if proof == "by_hand":
                continue
            file, _, part = proof.replace("::", "#").partition("#")
            wanted = rf"\{{ #{part} \}}" if file.endswith(".md") else rf"def {part}\b"
            assert re.search(wanted, (ROOT / file).read_text(encoding="utf-8")), proof


@pytest.fixture(scope="module")
def codex_with_certificates(
    surroundings: Surroundings, tmp_path_factory: pytest.TempPathFactory
) -> IsolatedCodex:
    """A Codex beside whose config.toml are the certificate files that the data name."""
    codex = surroundings.codex(tmp_path_factory.mktemp("codex"))
    authority = trustme.CA()
    client = authority.issue_cert("reader@example.org")
    authority.cert_pem.write_to_path(codex.codex_home / "ca.pem")
    client.cert_chain_pems[0].write_to_path(codex.codex_home / "client.pem")
    client.private_key_pem.write_to_path(codex.codex_home / "client-key.pem")
    return codex


@pytest.mark.codex
@pytest.mark.parametrize("name", KEYS)
def test_the_real_codex_takes_the_key_and_its_type(codex_with_certificates: IsolatedCodex, name: str) -> None:
    key = KEYS[name]
    refused = codex_with_certificates.check_config(key.wrong)
    assert not refused.valid
    assert refused.message.splitlines()[0] == key.says
    taken = codex_with_certificates.check_config(key.right)
    assert taken.valid, taken


@pytest.fixture
def authorized(surroundings: Surroundings) -> dict[str, str]:
    langfuse = surroundings.langfuse
    value = basic_authorization(langfuse.public_key, langfuse.secret_key).replace(" ", "%20")
    return {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": f"Authorization={value}"}


@pytest.mark.codex
def test_tracing_adds_traceparent_to_the_requests_to_the_model(
    surroundings: Surroundings, shared_codex: IsolatedCodex
) -> None:
    for config, expected in ((NO_METRICS, False), (NO_METRICS + TO_LANGFUSE, True)):
        surroundings.turn(shared_codex, config)
        (request,) = surroundings.model.requests
        assert ("traceparent" in request.headers) is expected


@pytest.mark.codex
@pytest.mark.parametrize(
    ("config", "hosts"),
    [
        ("", {METRICS_HOST}),
        (NO_METRICS, set()),
        ("[analytics]\nenabled = false\n", set()),
        (
            "[analytics]\nenabled = false\n"
            + exporter("metrics_exporter", "https://metrics.example/v1/metrics"),
            {"metrics.example"},
        ),
        (NO_METRICS + 'trace_exporter = "statsig"\n', {METRICS_HOST}),
    ],
)
def test_metrics_go_to_openai_unless_switched_off(
    surroundings: Surroundings, shared_codex: IsolatedCodex, config: str, hosts: set[str]
) -> None:
    outcome = surroundings.turn(shared_codex, config)
    assert {request.host for request in outcome.proxied} == hosts


CONTENT_OFF = "[otel.span_attributes]\n"
CONTENT_ON = """\
log_user_prompt = true
log_agent_responses = true
[otel.tool_result]
max_bytes = 0
[otel.span_attributes]
"langfuse.environment" = "from-the-spans"
"langfuse.user.id" = "ada"
"langfuse.trace.tags" = "from-the-spans"
[otel.tracestate.vendor]
team = "a"
"""
TO_RELAY = exporter("exporter", "https://logs.example/v1/logs") + exporter(
    "trace_exporter", "https://traces.example/v1/traces"
)


@pytest.fixture(scope="module")
def sent_to_the_relay(
    surroundings: Surroundings, tmp_path_factory: pytest.TempPathFactory
) -> dict[bool, Mapping[str, Any]]:
    """What a relay gets of the same turn, with the keys for content off and on."""
    codex = surroundings.codex(tmp_path_factory.mktemp("codex"))
    scenario = Scenario(
        (ToolCall("exec_command", {"cmd": "echo tool-output | tr a-z A-Z"}), Message("the-answer"))
    )
    sent = {}
    for on in (False, True):
        config = f'{NO_METRICS}environment = "Staging"\n{CONTENT_ON if on else CONTENT_OFF}{TO_RELAY}'
        outcome = surroundings.turn(codex, config, scenario=scenario, prompt="the-prompt")
        sent[on] = {
            "batches": list(_batches(outcome)),
            "model": [request.headers for request in surroundings.model.requests],
        }
    return sent


def _batches(outcome: Outcome) -> Iterator[relay.Batch]:
    kinds = {"logs.example": ExportLogsServiceRequest, "traces.example": ExportTraceServiceRequest}
    for request in outcome.proxied:
        if request.host in kinds:
            yield kinds[request.host].FromString(request.body)


@pytest.mark.codex
@pytest.mark.parametrize(
    ("on", "content", "prompt", "answer", "output"),
    [
        (False, Content.FULL, False, False, "TOOL-OUTPUT"),
        (True, Content.NONE, False, False, ""),
        (True, Content.PROMPTS, True, True, ""),
        (True, Content.FULL, True, True, "[... telemetry preview truncated ...]"),
    ],
)
def test_content_reaches_langfuse_by_the_relay_as_the_keys_say(
    sent_to_the_relay, on: bool, content: Content, prompt: bool, answer: bool, output: str
) -> None:
    relayed = relay.relay(sent_to_the_relay[on]["batches"], Policy(content=content))
    # Code mode runs the command from a script.
    tools = {each["name"]: each for each in relayed.of("TOOL")}
    assert tools.keys() == {"exec", "exec_command"}
    tool = tools["exec_command"]
    assert (relayed.root["input"] == "the-prompt") is prompt
    assert (relayed.root["output"] == "the-answer") is answer
    assert output in (tool["output"] or "")
    if content is Content.FULL:
        assert "echo tool-output" in tool["input"]


@pytest.mark.codex
def test_the_relay_labels_by_span_attributes(sent_to_the_relay) -> None:
    def labels(on: bool, policy: Policy) -> set[tuple[str, str, str]]:
        shown = relay.relay(sent_to_the_relay[on]["batches"], policy).observations
        return {(each["environment"], each["userId"], ",".join(each["tags"])) for each in shown}

    assert labels(False, Policy()) == {("staging", "", "codex,codex_exec")}
    assert labels(True, Policy()) == {("from-the-spans", "ada", "codex,codex_exec,from-the-spans")}
    own = Policy(environment="prod", user=User.parse("bob"))
    assert labels(True, own) == {("prod", "bob", "codex,codex_exec,from-the-spans")}


@pytest.mark.codex
def test_tracestate_is_on_spans_and_on_requests_to_the_model(sent_to_the_relay) -> None:
    spans = [
        span
        for batch in sent_to_the_relay[True]["batches"]
        if isinstance(batch, ExportTraceServiceRequest)
        for span in each_span(batch)
    ]
    (turn,) = (span.trace_id for span in spans if span.name == "turn/start")
    states = Counter(span.trace_state for span in spans if span.trace_id == turn)
    assert states["vendor=team:a"] > 0.9 * states.total()
    assert {headers["tracestate"] for headers in sent_to_the_relay[True]["model"]} == {"vendor=team:a"}


@pytest.mark.codex
def test_json_arrives_like_binary_and_is_larger(
    surroundings: Surroundings, shared_codex: IsolatedCodex, authorized: dict[str, str]
) -> None:
    sizes = {}
    for protocol in ("binary", "json"):
        config = NO_METRICS + exporter("trace_exporter", URL, protocol)
        outcome = surroundings.turn(shared_codex, config, environment=authorized)
        assert {status for _, status in outcome.answers} == {200}
        assert {observation["name"] for observation in outcome.observations} >= {"turn/start", "run_turn"}
        sizes[protocol] = sum(len(request.body) for request in outcome.langfuse)
    assert 5 < sizes["json"] / sizes["binary"] < 7


def helping(codex: IsolatedCodex, script: str) -> str:
    """Return the line of ``[otel]`` that has ``script`` give the headers."""
    helper = codex.codex_home / "headers.sh"
    helper.write_text(script, encoding="utf-8")
    return f'headers_helper = "sh {helper.name}"\n'


@pytest.mark.codex
def test_a_helper_gives_the_headers(
    surroundings: Surroundings, shared_codex: IsolatedCodex, authorized: dict[str, str]
) -> None:
    """In the place of another key in the file and in the environment, but not to OpenAI."""
    (authorization,) = (value.removeprefix("Authorization=") for value in authorized.values())
    helper = helping(shared_codex, f"""printf '{{"authorization": "{authorization.replace("%20", " ")}"}}'""")
    config = f"[otel]\n{helper}" + exporter(
        "trace_exporter",
        URL,
        more='headers = { authorization = "wrong", x-langfuse-ingestion-version = "4" }',
    )
    environment = dict.fromkeys(authorized, "Authorization=wrong,x-more=1")
    outcome = surroundings.turn(shared_codex, config, environment=environment)
    assert outcome.answers == {("/api/public/otel/v1/traces", 200)}
    assert outcome.header("x-langfuse-ingestion-version") == {"4"}
    assert outcome.at(METRICS_HOST)
    assert not any(authorization in str(request.headers) for request in outcome.at(METRICS_HOST))


@pytest.mark.codex
@pytest.mark.parametrize("script", ["exit 1", "echo no JSON", """printf '{"authorization": 1}'"""])
def test_without_its_helper_nothing_is_exported(
    surroundings: Surroundings, shared_codex: IsolatedCodex, authorized: dict[str, str], script: str
) -> None:
    config = NO_METRICS + helping(shared_codex, script) + TO_LANGFUSE
    outcome = surroundings.turn(shared_codex, config, environment=authorized)
    assert (outcome.run.returncode, list(outcome.langfuse)) == (0, [])
    assert sum("headers" in line and "WARN" in line.upper() for line in outcome.run.stderr.splitlines()) == 1


@pytest.mark.codex
def test_a_helper_runs_again_at_its_interval(surroundings: Surroundings, shared_codex: IsolatedCodex) -> None:
    helper = helping(shared_codex, """echo run >>runs; printf '{"authorization": "Basic none"}'""")
    config = f"{NO_METRICS}{helper}headers_helper_refresh_interval_ms = 50\n{TO_LANGFUSE}"
    surroundings.turn(
        shared_codex,
        config,
        scenario=Scenario((ToolCall("exec_command", {"cmd": "sleep 1"}), Message("Done."))),
    )
    assert (shared_codex.codex_home / "runs").read_text().count("run") > 2


@pytest.mark.codex
@pytest.mark.parametrize("way", ["tls", "CODEX_CA_CERTIFICATE", "SSL_CERT_FILE", "nothing"])
def test_a_private_authority_is_trusted_by_each_of_three_ways(
    surroundings: Surroundings, shared_codex: IsolatedCodex, authorized: dict[str, str], way: str
) -> None:
    authority = surroundings.proxy.environment["SSL_CERT_FILE"]
    tls = f'tls = {{ ca-certificate = "{authority}" }}' if way == "tls" else ""
    environment = {"SSL_CERT_FILE": "", **({way: authority} if way.isupper() else {})}
    config = NO_METRICS + exporter("trace_exporter", URL, more=tls)
    outcome = surroundings.turn(shared_codex, config, environment=authorized | environment)
    assert bool(outcome.langfuse) is (way != "nothing")


@pytest.mark.codex
def test_grpc_reaches_neither_langfuse_nor_the_relay(
    surroundings: Surroundings, shared_codex: IsolatedCodex, tmp_path: Path
) -> None:
    with relay_for(surroundings.langfuse, tmp_path) as relay_url:
        for url in (surroundings.langfuse.url, relay_url):
            config = f'{NO_METRICS}[otel.trace_exporter.otlp-grpc]\nendpoint = "{url}"\n'
            outcome = surroundings.turn(
                shared_codex, config, environment={"RUST_LOG": "opentelemetry_sdk=debug"}
            )
            assert outcome.run.returncode == 0
            assert "Error" in outcome.run.stderr
            assert list(outcome.observations) == []


VARIABLES = {"LANGFUSE_SECRET_KEY": "1", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "a=b", "HARMLESS": "1"}


@pytest.mark.codex
@pytest.mark.parametrize(
    ("policy", "seen"),
    [
        ("", VARIABLES.keys()),
        ('exclude = ["OTEL_*", "LANGFUSE_*"]', {"HARMLESS"}),
        ("ignore_default_excludes = false", {"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "HARMLESS"}),
        ('inherit = "core"', set()),
    ],
)
def test_what_commands_see_of_the_environment(
    surroundings: Surroundings, shared_codex: IsolatedCodex, policy: str, seen: set[str]
) -> None:
    surroundings.turn(
        shared_codex,
        f"{NO_METRICS}[shell_environment_policy]\n{policy}\n",
        scenario=Scenario((ToolCall("exec_command", {"cmd": "env"}), Message("Done."))),
        environment=VARIABLES,
    )
    printed = surroundings.model.requests[-1].outputs[-1]
    assert "HOME=" in printed
    assert {name for name in VARIABLES if f"{name}=" in printed} == set(seen)


def test_the_relay_reads_of_a_guardian_assessment_only_which_call_it_is_about() -> None:
    read = telemetry.WANTED["codex.guardian_assessment"]
    assert read == {"conversation.id", "event.timestamp", "turn.id", "item.id"}


def test_deltas_change_nothing_in_what_the_relay_sends() -> None:
    whole = relay.batches("relay/0.163.0-long-stream-logs")
    thinned = [_without_deltas(batch) for batch in whole]
    assert sum(batch.ByteSize() for batch in thinned) < sum(batch.ByteSize() for batch in whole)
    assert relay.relay(thinned).observations == relay.relay(whole).observations


def _without_deltas(batch: relay.Batch) -> relay.Batch:
    copy = type(batch)()
    copy.CopyFrom(batch)
    if isinstance(copy, ExportLogsServiceRequest):
        for resource in copy.resource_logs:
            for scope in resource.scope_logs:
                kept = [record for record in scope.log_records if not _is_delta(record)]
                del scope.log_records[:]
                scope.log_records.extend(kept)
    return copy


def _is_delta(record: LogRecord) -> bool:
    return any(
        item.key == "event.kind" and item.value.string_value.endswith(".delta") for item in record.attributes
    )
