"""docs/reference/environment-variables.md: each variable does what the page says, to the real Codex."""

import re
from collections import Counter

import pytest

from codex_langfuse.exports import spans_in
from codex_langfuse.keys.credentials import base_url_in, basic_authorization
from codex_langfuse.mock.faults import Fault
from harness.fences.scanner import ROOT
from harness.surroundings import Outcome
from page_tables.environment import GROUPS, Variable, variables

URL = "https://cloud.langfuse.com/api/public/otel/v1/traces"


def exporter(key: str, url: str) -> str:
    return f'[otel.{key}.otlp-http]\nendpoint = "{url}"\nprotocol = "binary"\n'


NO_METRICS = '[otel]\nmetrics_exporter = "none"\n'
TRACES = NO_METRICS + exporter("trace_exporter", URL)
LOGS = exporter("exporter", "https://logs.example/v1/logs")
METRICS = exporter("metrics_exporter", "https://metrics.example/v1/metrics")


def named(variable: Variable) -> str:
    return variable.names[0]


class TestData:
    def test_groups_are_known(self) -> None:
        assert {variable.group for variable in variables()} == set(GROUPS)

    @pytest.mark.parametrize("variable", variables(), ids=named)
    def test_what_is_said_is_run_somewhere(self, variable: Variable) -> None:
        for proof in variable.proof:
            if proof == "by_hand":
                continue
            file, _, part = proof.replace("::", "#").partition("#")
            text = (ROOT / file).read_text(encoding="utf-8")
            wanted = rf"\{{ #{part} \}}" if file.endswith(".md") else rf"def {part}\b"
            assert not part or re.search(wanted, text), proof

    def test_what_the_page_says_of_the_pinned_codex_is_run_with_it(self) -> None:
        for variable in variables():
            if variable.measured:
                assert set(variable.proof) - {"by_hand"}, variable.names


# How the programs name a variable that they read.
_READ = {
    "src/codex_langfuse/**/*.py": (
        r"(?:environ|environment|env)(?:\.get\(|\[)[\"'](?P<name>[A-Z_]+)[\"']",
        r"\"(?P<name>[A-Z_]+)\" in os\.environ",
        r"\.get\(\"(?P<name>[A-Z]+)\" if os\.name",
    ),
    "scripts/generate-langfuse-auth.sh": (r"\$\{(?P<name>[A-Z_]{4,}):-",),
    "scripts/generate-langfuse-auth.ps1": (r"\$env:(?P<name>[A-Z_]{4,})\b",),
}
# What the shell, the operating system and the HTTP library read for the programs.
_READ_FOR_THEM = {"PATH", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE"}


def read_by_the_programs() -> set[str]:
    return {
        match["name"]
        for pattern, expressions in _READ.items()
        for file in ROOT.glob(pattern)
        for expression in expressions
        for match in re.finditer(expression, file.read_text(encoding="utf-8"))
    }


def test_the_page_has_the_variables_that_the_programs_read_and_no_others() -> None:
    own = {name for variable in variables() if variable.group == "commands" for name in variable.names}
    # `check` reads those of Codex as Codex does.
    of_codex = {name for variable in variables() if variable.group != "commands" for name in variable.names}
    read = read_by_the_programs()
    assert {"LANGFUSE_SECRET_KEY", "CODEX_HOME", "NO_COLOR", "USERNAME", "XDG_STATE_HOME"} <= read
    assert sorted(read - own - of_codex - {"PATH", "BASH_VERSION"}) == []
    assert sorted(own - read - _READ_FOR_THEM - {"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_*"}) == []


def test_the_newer_name_of_the_address_wins() -> None:
    assert base_url_in({"LANGFUSE_BASE_URL": "new", "LANGFUSE_HOST": "old"}) == "new"
    assert base_url_in({"LANGFUSE_HOST": "old"}) == "old"


@pytest.fixture
def turn(surroundings, shared_codex):
    """Run a turn with a valid key in the environment, and more variables."""
    langfuse = surroundings.langfuse
    value = basic_authorization(langfuse.public_key, langfuse.secret_key).replace(" ", "%20")
    key = {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": f"Authorization={value}"}

    def turn(config: str, environment: dict[str, str] | None = None, **options) -> Outcome:
        return surroundings.turn(shared_codex, config, environment={**key, **(environment or {})}, **options)

    return turn


def sizes(outcome: Outcome) -> list[int]:
    """How many spans each request held."""
    return [len(spans_in([request.body])) for request in outcome.langfuse]


@pytest.mark.codex
def test_each_signal_has_its_own_headers_and_then_not_the_generic_ones(turn) -> None:
    outcome = turn(
        exporter("trace_exporter", URL) + LOGS + METRICS,
        {
            "OTEL_EXPORTER_OTLP_HEADERS": "x-all=1",
            "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "x-logs=1",
            "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "x-metrics=1",
        },
    )
    sent = {
        request.host: {"x-all", "x-logs", "x-metrics", "authorization"} & request.headers.keys()
        for request in outcome.proxied
    }
    assert sent == {
        "cloud.langfuse.com": {"authorization"},
        "logs.example": {"x-logs"},
        "metrics.example": {"x-metrics"},
    }


@pytest.mark.codex
@pytest.mark.parametrize(
    ("config", "variables", "asked"),
    [
        (NO_METRICS, {"": "https://all.example", "TRACES_": "https://traces.example/v1/traces"}, set()),
        (TRACES, {"": "https://all.example"}, {("cloud.langfuse.com", "/api/public/otel/v1/traces")}),
        (TRACES.replace(URL, ""), {"": "https://all.example"}, {("all.example", "/v1/traces")}),
        (TRACES.replace(URL, ""), {"TRACES_": "https://traces.example/x"}, {("traces.example", "/x")}),
    ],
    ids=["no exporter", "an endpoint in the file", "an empty one", "an empty one, for traces"],
)
def test_endpoint_variables_count_only_where_the_file_has_an_empty_endpoint(
    turn, config, variables, asked
) -> None:
    given = {f"OTEL_EXPORTER_OTLP_{infix}ENDPOINT": url for infix, url in variables.items()}
    outcome = turn(config, given)
    assert {(request.host, request.path) for request in outcome.proxied} == asked


@pytest.mark.codex
def test_the_time_limit_for_traces_ends_the_wait(turn) -> None:
    outcome = turn(TRACES, {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "500"}, fault=Fault(hang=True))
    assert outcome.langfuse
    assert 0.5 < outcome.run.seconds < 9  # of the 10 that it takes without


@pytest.mark.codex
@pytest.mark.parametrize(
    ("name", "value"), [("COMPRESSION", "none"), ("TRACES_COMPRESSION", "gzip"), ("LOGS_COMPRESSION", "gzip")]
)
def test_any_compression_for_any_signal_ends_all_telemetry(turn, name, value) -> None:
    outcome = turn(TRACES + LOGS, {f"OTEL_EXPORTER_OTLP_{name}": value})
    assert outcome.run.returncode == 0
    assert "Could not create otel exporter: unsupported compression algorithm" in outcome.run.stderr
    assert list(outcome.proxied) == []


@pytest.mark.codex
def test_variables_without_effect(turn) -> None:
    outcome = turn(
        TRACES,
        {
            "OTEL_SDK_DISABLED": "true",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
        },
    )
    assert {status for _, status in outcome.answers} == {200}
    assert outcome.header("content-type") == {"application/x-protobuf"}


@pytest.mark.codex
def test_a_certificate_in_the_variable_of_the_standard_is_not_used(turn, surroundings) -> None:
    authority = surroundings.proxy.environment["SSL_CERT_FILE"]
    outcome = turn(TRACES, {"SSL_CERT_FILE": "", "OTEL_EXPORTER_OTLP_CERTIFICATE": authority})
    assert list(outcome.langfuse) == []


@pytest.mark.codex
def test_a_short_delay_saves_most_spans_of_a_failed_run(turn) -> None:
    outcome = turn(TRACES, {"OTEL_BSP_SCHEDULE_DELAY": "200"}, scenario="400 after a tool")
    assert outcome.run.returncode == 1
    assert outcome.spans_named("turn/start")
    assert len(outcome.spans) > 300
    # Without it only what fills a batch of 512 spans leaves before the end.
    assert len(turn(TRACES, {}, scenario="400 after a tool").spans) in (0, 512)


@pytest.mark.codex
def test_sizes_of_batches_and_of_the_queue(turn) -> None:
    whole = turn(TRACES, {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "100"})
    assert max(sizes(whole)) == 100
    assert len(sizes(whole)) > 3
    short = turn(TRACES, {"OTEL_BSP_MAX_QUEUE_SIZE": "20"})
    assert max(sizes(short)) == 20
    assert sum(sizes(short)) < 0.9 * sum(sizes(whole))


@pytest.mark.codex
def test_exports_at_once_shorten_the_end(turn) -> None:
    seconds = {}
    for at_once in ("1", "8"):
        variables = {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "50", "OTEL_BSP_MAX_CONCURRENT_EXPORTS": at_once}
        outcome = turn(TRACES, variables, fault=Fault(delay=0.3))
        assert len(outcome.langfuse) >= 7
        seconds[at_once] = outcome.run.seconds
    assert seconds["8"] < seconds["1"] / 2


@pytest.mark.codex
def test_batches_of_logs(turn) -> None:
    outcome = turn(NO_METRICS + LOGS, {"OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "2"})
    assert len(outcome.at("logs.example")) > 3


@pytest.mark.codex
@pytest.mark.parametrize(
    ("sampler", "ratio", "kept"),
    [
        ("always_off", "", "none"),
        ("traceidratio", "0", "none"),
        ("parentbased_traceidratio", "0.5", "some"),
        ("parentbased_traceidratio", "1", "all"),
    ],
)
def test_samplers_drop_whole_traces(turn, sampler, ratio, kept) -> None:
    outcome = turn(TRACES, {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": ratio})
    traces = {span.trace_id for span in outcome.spans}
    # The lower half of a trace's id decides, so a trace is there whole or not at all.
    upper = [trace for trace in traces if int(trace[16:], 16) >= 2**63]
    assert (bool(traces), bool(upper)) == (kept != "none", kept == "all")


@pytest.mark.codex
def test_resource_attributes_reach_langfuse_and_service_name_does_not(turn) -> None:
    given = {
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=staging,team=a,service.name=mine,env=mine",
        "OTEL_SERVICE_NAME": "mine",
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "2",
    }
    outcome = turn(TRACES, given)
    for name, value in {"team": "a", "service.name": "codex_exec", "env": "dev"}.items():
        assert {span.resource[name] for span in outcome.spans} == {value}
    assert {each["environment"] for each in outcome.observations} == {"staging"}
    assert max(len(span.attributes) for span in outcome.spans) == 2

    outcome = turn(TRACES, {"CODEX_INTERNAL_ORIGINATOR_OVERRIDE": "nightly"})
    assert {span.resource["service.name"] for span in outcome.spans} == {"nightly"}


@pytest.mark.codex
def test_the_flags_of_traceparent_count(turn) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    outcome = turn(TRACES, {"TRACEPARENT": f"00-{trace}-b7ad6b7169203331-00", "TRACESTATE": "vendor=a"})
    assert trace not in Counter(span.trace_id for span in outcome.spans)
    assert len(outcome.spans) < 50


@pytest.mark.codex
@pytest.mark.parametrize("direct", [False, True])
def test_proxy_variables_are_followed(turn, direct) -> None:
    hosts = "127.0.0.1,cloud.langfuse.com" if direct else "127.0.0.1"
    outcome = turn(TRACES, {"NO_PROXY": hosts, "no_proxy": hosts})
    # Without the proxy there is no way out of the test.
    assert bool(outcome.langfuse) is not direct
