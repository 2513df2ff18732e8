"""Every mistake of the catalogue, made with the real Codex: what the reader is told to see is seen."""

import json
import os
import re
import ssl
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

import recordings
from codex_langfuse.check.setup import GENERIC_HEADERS
from codex_langfuse.codex.isolated import IsolatedCodex, run_in_group
from codex_langfuse.codex.scripted_model import Message, Scenario, ToolCall
from codex_langfuse.exports import spans_in
from codex_langfuse.keys.credentials import REGIONS, TRACES_HEADERS, TRACES_PATH
from codex_langfuse.mock.faults import Fault
from codex_langfuse.testplan.certificates import PrivateAuthority
from error_catalogue import Entry, catalogue
from harness.fences.placeholders import filled_in
from harness.interfaces import app_server
from harness.no_langfuse import web_server
from harness.private_etc import private_etc
from harness.proxy import LANGFUSE_HOSTS, tls_proxy
from harness.running_relay import relay_for
from harness.surroundings import METRICS_HOST, Outcome, Surroundings
from relayed_recordings import batches, relay
from running_collector import langfuse_environment, running_collector
from translations import DOCS

GOOD_KEYS = {TRACES_HEADERS: filled_in("Authorization=Basic%20cGstbGYt…")}

_DECLARED = {mistake.id: mistake for mistake in catalogue().values() if "test" not in mistake.proof}
_OWN_TESTS: dict[str, Callable] = {}


def proves(mistake: str) -> Callable[[Callable], Callable]:
    """The decorated test makes this mistake and sees what comes of it."""

    def remember(test: Callable) -> Callable:
        _OWN_TESTS[mistake] = test
        return test

    return remember


def environment_of(mistake: Entry) -> dict[str, str]:
    example = mistake.example
    given = {name: filled_in(value) for name, value in example.environment.items()}
    return {**(GOOD_KEYS if example.keys else {}), **given}


def set_up_of(surroundings: Surroundings, mistake: Entry) -> tuple[str, Fault | None]:
    """The configuration of the example, and what the server does."""
    config = filled_in(mistake.example.config).replace("http://localhost:3000", surroundings.langfuse.url)
    return config, Fault.parse(mistake.example.fault) if mistake.example.fault else None


def make(surroundings: Surroundings, codex: IsolatedCodex, mistake: Entry, **options) -> Outcome:
    """Make the mistake of the example, and take one turn."""
    config, fault = set_up_of(surroundings, mistake)
    environment = {**environment_of(mistake), **options.pop("environment", {})}
    return surroundings.turn(codex, config, environment=environment, fault=fault, **options)


def codex_with_files(surroundings: Surroundings, folder: Path, mistake: Entry) -> IsolatedCodex:
    codex = surroundings.codex(folder)
    assert not any(map(os.path.isabs, mistake.example.files)), "would change this machine"
    for name, text in mistake.example.files.items():
        path = codex.home / name[2:] if name.startswith("~/") else codex.workspace / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return codex


def test_every_mistake_is_proven() -> None:
    declared = {"fails", "strict", "answers", "arrives", "drops", "leaks", "prints", "environment", "session"}
    for mistake in _DECLARED.values():
        assert declared & set(mistake.proof), f"nothing proves {mistake.id}"
        assert set(mistake.proof) <= declared | {"says"}, mistake.id
    assert set(_OWN_TESTS) | set(_DECLARED) == set(catalogue())
    assert not set(_OWN_TESTS) & set(_DECLARED)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_mistake_is_told_in_full(language) -> None:
    for mistake in catalogue().values():
        words = mistake.words[language]
        assert all((words.title, words.symptom, words.cause, words.fix, mistake.check)), mistake.id


@pytest.mark.codex
@pytest.mark.parametrize("mistake", _DECLARED.values(), ids=lambda mistake: mistake.id)
def test_the_mistake_shows_as_it_is_told(surroundings, shared_codex, tmp_path, mistake) -> None:
    codex = codex_with_files(surroundings, tmp_path, mistake) if mistake.example.files else shared_codex
    proof = mistake.proof
    if "strict" in proof:
        check = codex.check_config(filled_in(mistake.example.config))
        assert proof["strict"] in check.message
        assert proof["strict"].startswith(mistake.shows)
    outcome = make(surroundings, codex, mistake)
    if "fails" in proof:
        assert outcome.run.returncode == 1
        assert proof["fails"] in outcome.run.stderr
        assert surroundings.model.requests == []
        return
    assert outcome.run.returncode == 0
    assert proof.get("prints", "") in outcome.run.stderr
    if mistake.group == "off":
        assert mistake.shows in outcome.run.stderr
    if "answers" in proof:
        assert {status for _, status in outcome.answers} == {proof["answers"]}
    if "says" in proof:
        answers = [request.answer.decode() for request in outcome.proxied]
        assert answers and all(proof["says"] in answer for answer in answers)
        if mistake.group == "keys":
            assert all(mistake.shows in answer for answer in answers)
    if "arrives" in proof:
        assert list(outcome.langfuse) == []
    if "drops" in proof:
        assert outcome.header("authorization") == {None}
        assert proof["drops"].startswith("Authorization")
    if "leaks" in proof:
        assert all(request.headers.get("authorization") for request in outcome.at(proof["leaks"]))
        assert outcome.at(proof["leaks"])
    for field, name in (("environment", "environment"), ("session", "sessionId")):
        if field in proof:
            assert {observation[name] for observation in outcome.observations} == {proof[field]}


@pytest.mark.codex
@pytest.mark.skipif(os.name == "nt", reason="the commands are for a POSIX shell")
@pytest.mark.parametrize(
    "mistake",
    [*_DECLARED.values(), catalogue()["metrics-to-langfuse"], catalogue()["no-answer"]],
    ids=lambda mistake: mistake.id,
)
def test_the_check_on_the_page_shows_the_mistake(surroundings, shared_codex, tmp_path, mistake) -> None:
    codex = codex_with_files(surroundings, tmp_path, mistake) if mistake.example.files else shared_codex
    config, fault = set_up_of(surroundings, mistake)
    surroundings.prepare(codex, config, fault=fault)
    environment = {**codex.environment, **environment_of(mistake)}
    if mistake.example.fault == "hang":
        environment["OTEL_EXPORTER_OTLP_TIMEOUT"] = "1000"
    environment["PATH"] = os.pathsep.join((environment["PATH"], str(Path(sys.executable).parent)))
    run = run_in_group(["sh", "-c", mistake.check], cwd=codex.workspace, environment=environment)
    printed = run.stdout + run.stderr
    assert printed
    if "answers" in mistake.proof and "Operation failed" in mistake.check:
        assert f"Status({mistake.proof['answers']}, None)" in printed
    elif "strict-config" in mistake.check or "Operation failed" in mistake.check:
        for part in re.split("…|LINE:COLUMN", mistake.shows.removeprefix("Could not create otel exporter: ")):
            assert part in printed
    elif mistake.check == "codex-langfuse check":
        assert mistake.title in printed


@pytest.mark.codex
@proves("legacy-profile")
def test_a_legacy_profile_is_refused_when_it_is_asked_for(surroundings, shared_codex) -> None:
    mistake = catalogue()["legacy-profile"]
    (shared_codex.codex_home / "langfuse.config.toml").write_text("")
    without = make(surroundings, shared_codex, mistake)
    assert without.run.returncode == 0
    assert list(without.langfuse) == []
    asked = shared_codex.run("exec", "-p", "langfuse", "Say hello.")
    assert asked.returncode == 1
    for part in mistake.shows.split("…"):
        assert part.strip() in asked.stderr


@pytest.mark.codex
@proves("metrics-to-langfuse")
def test_metrics_are_taken_and_thrown_away(surroundings, shared_codex) -> None:
    outcome = make(surroundings, shared_codex, catalogue()["metrics-to-langfuse"])
    assert ("/api/public/otel/v1/metrics", 200) in outcome.answers
    traces = [request for request in outcome.langfuse if request.path == TRACES_PATH]
    assert len(outcome.langfuse) > len(traces)
    assert len(outcome.observations) == sum(len(_spans(request)) for request in traces)


def _spans(request) -> list:
    return spans_in([request.body])


@pytest.mark.codex
@proves("empty-endpoint")
def test_with_an_empty_endpoint_the_variable_decides(surroundings, shared_codex) -> None:
    mistake = catalogue()["empty-endpoint"]
    assert list(make(surroundings, shared_codex, mistake).langfuse) == []
    elsewhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": surroundings.langfuse.url}
    outcome = make(surroundings, shared_codex, mistake, environment=elsewhere)
    assert outcome.answers == {("/v1/traces", 404)}


@pytest.mark.codex
@proves("overridden")
def test_an_administrators_file_wins(surroundings, tmp_path) -> None:
    mistake = catalogue()["overridden"]
    etc = tmp_path / "etc"
    (etc / "codex").mkdir(parents=True)
    private = private_etc(etc)
    surroundings.clear()
    codex = surroundings.codex(tmp_path / "codex")
    codex.write_config(mistake.example.config)
    codex.environment.update(GOOD_KEYS)
    command = [*private, str(codex.bin / "codex"), "exec", "Say hello."]

    def statuses() -> set[int | None]:
        run = run_in_group(command, cwd=codex.workspace, environment=codex.environment)
        assert run.returncode == 0, run.stderr
        return {request.status for request in surroundings.langfuse.store.requests}

    assert statuses() == {200}
    surroundings.clear()
    for name, text in mistake.example.files.items():
        (etc / Path(name).relative_to("/etc")).write_text(text)
    assert statuses() == set()


@pytest.mark.codex
@proves("client-certificate-version")
def test_this_codex_does_send_its_certificate(surroundings, shared_codex, tmp_path) -> None:
    """The opposite of the mistake; that 0.74 to 0.150 cannot was measured with those binaries."""
    authority = trustme.CA()
    issued = authority.issue_cert("client@example.org")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "client.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "client.key"))
    config = catalogue()["client-certificate-version"].example.config
    for name in ("client.pem", "client.key"):
        config = config.replace(f'"{name}"', json.dumps(str(tmp_path / name)))
    outcome = surroundings.turn(shared_codex, config, environment=GOOD_KEYS)
    assert "Could not create otel exporter" not in outcome.run.stderr


@pytest.mark.codex
@proves("too-new")
def test_this_codex_knows_the_key(shared_codex) -> None:
    """The opposite of the mistake; that 0.169 ignores it was measured with that binary."""
    assert shared_codex.check_config(catalogue()["too-new"].example.config).valid


@pytest.mark.codex
@pytest.mark.skipif(os.name == "nt", reason="speaks to Codex through pipes")
@proves("daemon")
def test_a_process_keeps_the_configuration_of_its_start(surroundings, tmp_path) -> None:
    surroundings.clear()
    codex = surroundings.codex(tmp_path)
    example = catalogue()["daemon"].example.config
    codex.write_config(example)
    with app_server(codex, environment=GOOD_KEYS) as ask:
        ask("initialize", {"clientInfo": {"name": "test", "title": "test", "version": "1"}})
        codex.write_config(example.replace("https://cloud", "https://us.cloud"))
        thread = ask("thread/start", {})["thread"]["id"]
        ask(
            "turn/start",
            {"threadId": thread, "input": [{"type": "text", "text": "Say hello."}]},
            wait="turn/completed",
        )
    assert {request.host for request in surroundings.proxy.exchanges} == {"cloud.langfuse.com"}


@pytest.mark.codex
def test_stopping_a_background_process_is_safe_where_there_is_none(shared_codex) -> None:
    """So the pages say `stop`: `restart` would install a process of 425 MB, and start it."""
    told = shared_codex.run("app-server", "daemon", "stop")
    assert (told.returncode, json.loads(told.stdout)["status"]) == (0, "notRunning")
    assert not (shared_codex.codex_home / "packages").exists()
    advised = re.compile(r"(?<!never calls `)(?<!从不调用 `)codex app-server daemon restart")
    assert not [page for page in DOCS.rglob("*.md") if advised.search(page.read_text(encoding="utf-8"))]


@pytest.mark.codex
@proves("log-keys")
def test_the_prompt_is_in_no_request(surroundings, shared_codex) -> None:
    outcome = make(surroundings, shared_codex, catalogue()["log-keys"], prompt="marker-prompt")
    assert outcome.answers == {(TRACES_PATH, 200)}
    assert not any(b"marker-prompt" in request.body for request in outcome.proxied)


@pytest.mark.codex
@proves("json-protocol")
def test_json_is_several_times_as_large(surroundings, shared_codex) -> None:
    def size(config: str) -> int:
        outcome = surroundings.turn(shared_codex, config, environment=GOOD_KEYS)
        assert outcome.answers == {(TRACES_PATH, 200)}
        return sum(len(request.body) for request in outcome.proxied)

    config = catalogue()["json-protocol"].example.config
    assert size(config) > 4 * size(config.replace('"json"', '"binary"'))


@pytest.mark.codex
@pytest.mark.parametrize("limit", ["1000", "2500"])
def test_the_end_of_a_run_waits_as_long_as_the_limit_says(surroundings, shared_codex, limit) -> None:
    mistake = catalogue()["timeout-long"]
    outcome = surroundings.turn(
        shared_codex,
        mistake.example.config,
        environment={**GOOD_KEYS, "OTEL_EXPORTER_OTLP_TIMEOUT": limit},
        fault=Fault(hang=True),
    )
    assert outcome.run.returncode == 0
    assert outcome.run.seconds > int(limit) / 1000


_OWN_TESTS["timeout-long"] = _OWN_TESTS["no-answer"] = test_the_end_of_a_run_waits_as_long_as_the_limit_says


@pytest.mark.codex
@proves("metrics-to-openai")
def test_metrics_go_to_openai(surroundings, shared_codex) -> None:
    outcome = make(surroundings, shared_codex, catalogue()["metrics-to-openai"])
    metrics = outcome.at(METRICS_HOST)
    assert metrics and not any(request.headers.get("authorization") for request in metrics)


@pytest.mark.codex
@proves("signal-to-openai")
def test_traces_go_to_openai(surroundings, shared_codex) -> None:
    outcome = make(surroundings, shared_codex, catalogue()["signal-to-openai"])
    assert surroundings.proxy.connected_hosts == {METRICS_HOST}
    assert list(outcome.langfuse) == []


@pytest.mark.codex
@proves("plain-http")
def test_the_key_goes_readable(surroundings, shared_codex) -> None:
    outcome = make(surroundings, shared_codex, catalogue()["plain-http"])
    assert all(request.origin.startswith("http:") for request in outcome.proxied)
    assert all(request.headers.get("authorization") for request in outcome.proxied)


@pytest.mark.codex
@pytest.mark.parametrize("mistake", ["secret-in-file", "key-visible"])
def test_a_command_of_the_model_sees_the_key(surroundings, shared_codex, mistake) -> None:
    see = {"secret-in-file": 'cat "$CODEX_HOME/config.toml"', "key-visible": "env"}[mistake]
    scenario = Scenario((ToolCall("exec_command", {"cmd": see}), Message("Done.")))
    make(surroundings, shared_codex, catalogue()[mistake], scenario=scenario)
    seen = surroundings.model.requests[-1].outputs[-1]
    assert filled_in("cGstbGYt…") in seen


_OWN_TESTS["secret-in-file"] = _OWN_TESTS["key-visible"] = test_a_command_of_the_model_sees_the_key


@pytest.mark.codex
@proves("snapshot-shows-key")
def test_this_codex_hides_the_key_without_more(surroundings, shared_codex) -> None:
    """The opposite of the mistake; that 0.114 to 0.156 do not was measured with those binaries."""
    config = catalogue()["snapshot-shows-key"].example.config
    config += '\n[shell_environment_policy]\nexclude = ["OTEL_*", "LANGFUSE_*"]\n'
    scenario = Scenario((ToolCall("exec_command", {"cmd": "env"}), Message("Done.")))
    surroundings.turn(shared_codex, config, scenario=scenario, environment=GOOD_KEYS)
    assert TRACES_HEADERS not in surroundings.model.requests[-1].outputs[-1]


@pytest.mark.codex
@proves("header-twice")
def test_one_of_two_spellings_is_sent(surroundings, shared_codex) -> None:
    mistake = catalogue()["header-twice"]
    right, old = filled_in("Basic cGstbGYt…"), "Basic cGstbGYtb2xkOnNrLWxmLW9sZA=="
    config = mistake.example.config.replace('authorization = "Basic cGstbGYt…"', f'authorization = "{old}"')
    outcome = make(
        surroundings, shared_codex, replace(mistake, example=replace(mistake.example, config=config))
    )
    (sent,) = outcome.header("authorization")
    assert (sent, outcome.answers) in [(right, {(TRACES_PATH, 200)}), (old, {(TRACES_PATH, 401)})]


@pytest.mark.codex
@proves("key-in-endpoint")
def test_keys_in_the_address_become_the_header(surroundings, shared_codex) -> None:
    outcome = make(surroundings, shared_codex, catalogue()["key-in-endpoint"])
    assert outcome.header("authorization") == {filled_in("Basic cGstbGYt…")}
    assert outcome.answers == {(TRACES_PATH, 200)}


@pytest.mark.skipif(os.name == "nt", reason="modes are those of POSIX")
@proves("readable-file")
def test_the_mode_lets_others_read(tmp_path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("")
    file.chmod(int(catalogue()["readable-file"].example.mode, 8))
    assert file.stat().st_mode & 0o044


@pytest.mark.codex
@proves("untrusted-certificate")
def test_an_unknown_authority_is_not_trusted(surroundings, shared_codex) -> None:
    mistake = catalogue()["untrusted-certificate"]
    own_roots = {"SSL_CERT_FILE": ssl.get_default_verify_paths().cafile or ""}
    outcome = make(
        surroundings, shared_codex, mistake, environment={**own_roots, "RUST_LOG": "opentelemetry_sdk=debug"}
    )
    assert list(outcome.langfuse) == []
    assert mistake.shows in outcome.run.stderr


@pytest.mark.codex
@proves("client-certificate-refused")
def test_without_a_client_certificate_nothing_arrives(surroundings, tmp_path) -> None:
    mistake = catalogue()["client-certificate-refused"]
    authority = PrivateAuthority()
    routes = dict.fromkeys(LANGFUSE_HOSTS, surroundings.langfuse.url)
    with tls_proxy(routes, private={"cloud.langfuse.com": authority}) as proxy:
        authority.hand_out(tmp_path / "files")
        trusted = {"SSL_CERT_FILE": str(tmp_path / "files/ca.pem"), "RUST_LOG": "opentelemetry_sdk=debug"}
        environment = {**proxy.environment, **GOOD_KEYS, **trusted}
        codex = IsolatedCodex(tmp_path, model_url=surroundings.model.base_url, environment=environment)
        codex.write_config(mistake.example.config)
        run = codex.run_exec()
    assert run.returncode == 0
    assert mistake.shows in run.stderr
    assert proxy.connected_hosts == {"cloud.langfuse.com"}
    assert proxy.exchanges == []


@pytest.mark.codex
@proves("proxy-refuses")
def test_nothing_arrives_through_a_proxy_that_refuses(surroundings, shared_codex, tmp_path) -> None:
    mistake = catalogue()["proxy-refuses"]
    with web_server(tmp_path) as no_proxy:  # it answers CONNECT with 501
        environment = {
            "HTTPS_PROXY": no_proxy,
            "https_proxy": no_proxy,
            "RUST_LOG": "opentelemetry_sdk=debug",
        }
        outcome = make(surroundings, shared_codex, mistake, environment=environment)
    assert list(outcome.langfuse) == []
    assert mistake.shows in outcome.run.stderr


@pytest.mark.codex
@proves("refused-token")
def test_a_relay_with_a_token_refuses_who_shows_none(surroundings, shared_codex, tmp_path) -> None:
    mistake = catalogue()["refused-token"]
    token = "the-token-of-this-relay"
    debug = {"RUST_LOG": "opentelemetry_sdk=debug,opentelemetry_otlp=debug"}
    with relay_for(surroundings.langfuse, tmp_path / "state", token=token) as url:
        config = mistake.example.config.replace("http://127.0.0.1:4318", url)
        without = surroundings.turn(shared_codex, config, environment=debug)
        assert mistake.shows in without.run.stderr
        header = {GENERIC_HEADERS: f"Authorization=Bearer%20{token}"}
        shown = surroundings.turn(shared_codex, config, environment={**debug, **header})
        assert mistake.shows not in shown.run.stderr


@pytest.mark.codex
@pytest.mark.collector
@proves("no-logs-there")
def test_a_collector_takes_no_logs_and_check_says_so(surroundings, shared_codex, tmp_path) -> None:
    mistake = catalogue()["no-logs-there"]
    environment = langfuse_environment(surroundings.langfuse)
    with running_collector(tmp_path, "shape.yaml", environment=environment) as collector:
        config = mistake.example.config.replace("http://127.0.0.1:4318", collector.url)
        debug = {"RUST_LOG": "opentelemetry_sdk=debug"}
        outcome = surroundings.turn(shared_codex, config, environment=debug)
        command = [sys.executable, "-m", "codex_langfuse", "check", "--json"]
        told = run_in_group(command, cwd=tmp_path, environment=shared_codex.environment)
    assert mistake.shows in outcome.run.stderr
    assert [finding["id"] for finding in json.loads(told.stdout)["findings"]] == ["no-logs-there"]
    assert told.returncode == 1
    assert surroundings.langfuse.store.observations


@proves("traces-only")
def test_from_traces_only_the_relay_shows_no_decision() -> None:
    def decisions(*signals: str) -> list[str]:
        shown = relay(batches("0.171.0-default", signals))
        return [each["metadata"]["decision"] for each in shown.of("TOOL") if "decision" in each["metadata"]]

    assert decisions("logs", "traces") and not decisions("traces")


@pytest.mark.codex
@proves("profile-missing")
def test_a_profile_that_is_not_there_goes_unnoticed(surroundings, shared_codex) -> None:
    config = catalogue()["profile-missing"].example.config
    outcome = surroundings.turn(shared_codex, config, "-p", "nosuch", environment=GOOD_KEYS)
    assert outcome.run.returncode == 0
    assert outcome.answers == {(TRACES_PATH, 200)}
    assert "nosuch" not in outcome.run.stderr


@pytest.mark.codex
@proves("profile-mixed")
def test_logs_of_a_profile_go_where_config_toml_says(surroundings, tmp_path) -> None:
    example = catalogue()["profile-mixed"].example
    codex = codex_with_files(surroundings, tmp_path, catalogue()["profile-mixed"])
    config = example.config.replace("http://127.0.0.1:4318", "https://relay.example.com")
    outcome = surroundings.turn(codex, config, "-p", "work", environment=GOOD_KEYS)
    assert outcome.answers == {(TRACES_PATH, 200)}
    assert {request.path for request in outcome.at("relay.example.com")} == {"/v1/logs"}


@pytest.mark.codex
def test_a_folder_in_the_place_of_the_file_is_refused(surroundings, tmp_path) -> None:
    surroundings.clear()
    codex = surroundings.codex(tmp_path)
    (codex.codex_home / "config.toml").mkdir()
    run = codex.run_exec()
    assert run.returncode == 1
    assert "is not a file" in run.stderr


@proves("codex-too-old")
def test_a_recording_of_0_44_has_no_traces() -> None:
    assert {request.signal for request in recordings.read("0.44.0-simple")} == {"logs"}
    assert "traces" in {request.signal for request in recordings.read("0.73.0-simple")}


@proves("leaks-content")
def test_a_recording_of_0_98_has_content_in_its_spans() -> None:
    def spans(version: str) -> bytes:
        return b"".join(recordings.bodies(f"{version}-simple", "traces"))

    # What the recorded command printed.
    assert b"hello-from-tool" in spans("0.98.0")
    assert b"hello-from-tool" not in spans("0.114.0")


def test_the_regions_are_those_of_the_proxy() -> None:
    assert [region.url for region in REGIONS] == [f"https://{host}" for host in LANGFUSE_HOSTS]


_CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"


def _turn_spans(outcome: Outcome) -> list:
    # session_task.turn, around it, does not always come.
    return [span for span in outcome.spans if span.name == "run_turn"]


@pytest.mark.codex
@proves("caller-not-sampled")
def test_a_caller_that_does_not_sample_loses_the_turn(surroundings, shared_codex) -> None:
    mistake = catalogue()["caller-not-sampled"]
    assert mistake.example.environment["TRACEPARENT"].split("-")[1] == _CALLER
    assert _turn_spans(make(surroundings, shared_codex, mistake)) == []
    helped = make(surroundings, shared_codex, mistake, environment={"OTEL_TRACES_SAMPLER": "always_on"})
    assert {span.trace_id for span in _turn_spans(helped)} == {_CALLER}


@pytest.mark.codex
@proves("caller-ignored")
@pytest.mark.parametrize(
    ("traceparent", "is_taken"),
    [
        ("00-{}-00f067aa0ba902b7-03", False),
        ("00-{}-00F067AA0BA902B7-01", False),
        ("00-{}-0000000000000000-01", False),
        ("00-{}-00f067aa0ba902b7-01-x", False),
        ("00-{}-00f067aa0ba902b7-01", True),
        ("01-{}-00f067aa0ba902b7-01", True),
    ],
)
def test_which_callers_codex_takes(surroundings, shared_codex, traceparent, is_taken) -> None:
    mistake = catalogue()["caller-ignored"]
    given = {"TRACEPARENT": traceparent.format(_CALLER)}
    spans = _turn_spans(make(surroundings, shared_codex, mistake, environment=given))
    assert spans and ({span.trace_id for span in spans} == {_CALLER}) is is_taken


@pytest.mark.codex
@proves("analytics-off")
def test_this_codex_sends_metrics_without_analytics(surroundings, shared_codex) -> None:
    """The opposite of the mistake; that 0.121 to 0.161 do not was measured with those binaries."""
    config = catalogue()["analytics-off"].example.config
    assert shared_codex.check_config(config).valid


@pytest.mark.codex
@proves("two-routes")
def test_codex_loads_the_plugin_beside_an_exporter(surroundings, shared_codex) -> None:
    assert shared_codex.check_config(catalogue()["two-routes"].example.config).valid
    assert make(surroundings, shared_codex, catalogue()["two-routes"]).answers == {(TRACES_PATH, 200)}


@pytest.mark.codex
@proves("proxy-takes-local")
def test_what_is_for_this_machine_goes_to_the_proxy(surroundings, shared_codex) -> None:
    mistake = catalogue()["proxy-takes-local"]
    environment = {"http_proxy": surroundings.proxy.environment["http_proxy"]}
    outcome = make(surroundings, shared_codex, mistake, environment=environment)
    assert {request.path for request in outcome.at("localhost")} == {"/v1/traces"}
    excepted = {**environment, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
    assert make(surroundings, shared_codex, mistake, environment=excepted).at("localhost") == []


@pytest.mark.codex
@proves("tls-to-plain")
def test_https_to_a_plain_server_is_told_from_a_wrong_certificate(surroundings, shared_codex) -> None:
    address = surroundings.langfuse.url.replace("http://", "https://")
    config = catalogue()["tls-to-plain"].example.config.replace("https://127.0.0.1:3000", address)
    assert list(surroundings.turn(shared_codex, config, environment=GOOD_KEYS).langfuse) == []
    checked = run_in_group(
        [sys.executable, "-m", "codex_langfuse", "check", "--json"],
        cwd=shared_codex.workspace,
        environment={**shared_codex.environment, **GOOD_KEYS, "PYTHONUTF8": "1"},
    )
    assert "tls-to-plain" in {finding["id"] for finding in json.loads(checked.stdout)["findings"]}
