"""`codex-langfuse check` as it is typed, with a server that answers as Langfuse does."""

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from codex_langfuse.check.setup import GENERIC_HEADERS
from codex_langfuse.codex.isolated import IsolatedCodex
from codex_langfuse.keys.credentials import TRACES_HEADERS
from codex_langfuse.mock.faults import Fault
from codex_langfuse.testplan.certificates import PrivateAuthority
from error_catalogue import catalogue
from harness.fences.placeholders import filled_in
from harness.no_langfuse import closed_port, web_server
from harness.proxy import LANGFUSE_HOSTS, tls_proxy
from harness.running_relay import relay_for
from harness.surroundings import Surroundings

pytestmark = [pytest.mark.macos, pytest.mark.windows, pytest.mark.slow]

EXAMPLES = Path(__file__).parent.parent / "examples/codex"
DIRECT = (EXAMPLES / "cloud-eu.toml").read_text(encoding="utf-8")
GOOD_KEYS = {TRACES_HEADERS: filled_in("Authorization=Basic%20cGstbGYt…")}
UNKNOWN_KEYS = {TRACES_HEADERS: "Authorization=Basic%20cGstbGYteDpzay1sZi15"}
SECRETS = ("sk-lf-1234567890", filled_in("cGstbGYt…"))


def at(base_url: str) -> str:
    return DIRECT.replace("https://cloud.langfuse.com", base_url)


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "home/.codex/config.toml"
    path.parent.mkdir(parents=True)
    (tmp_path / "project").mkdir()
    return path


@pytest.fixture
def run(tmp_path, surroundings: Surroundings):
    surroundings.clear()

    def run(
        *arguments: str, environment: dict[str, str] = GOOD_KEYS, version: str = "0.163.0"
    ) -> subprocess.CompletedProcess[str]:
        """Check for a Codex ``version``, or with an empty one for the installed Codex."""
        of_version = ["--codex-version", version] if version else []
        kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
        home = str(tmp_path / "home")
        told = subprocess.run(
            [sys.executable, "-m", "codex_langfuse", "check", *of_version, *arguments],
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            cwd=tmp_path / "project",
            stdin=subprocess.DEVNULL,
            env={
                **kept,
                "HOME": home,
                "USERPROFILE": home,
                "PYTHONUTF8": "1",
                **surroundings.proxy.environment,
                **environment,
            },
        )
        assert "Traceback" not in told.stderr
        assert not any(secret in told.stdout + told.stderr for secret in SECRETS)
        return told

    return run


def test_a_right_set_up_is_clean(run, file, surroundings) -> None:
    file.write_text(DIRECT)
    told = run()
    assert told.returncode == 0, told.stdout
    assert "200, address and keys are accepted" in told.stdout
    assert "Nothing is wrong" in told.stdout
    assert [request.status for request in surroundings.langfuse.store.requests] == [200]


def test_asking_sends_no_telemetry(run, file, surroundings) -> None:
    file.write_text(DIRECT)
    run()
    [request] = surroundings.proxy.exchanges
    assert (request.method, request.path, request.body) == ("POST", "/api/public/otel/v1/traces", b"")
    assert request.headers["x-langfuse-ingestion-version"] == "4"
    assert list(surroundings.langfuse.store.observations) == []


def test_offline_asks_nobody(run, file, surroundings) -> None:
    file.write_text(DIRECT)
    assert run("--offline").returncode == 0
    assert surroundings.proxy.connected_hosts == set()


@pytest.mark.parametrize(
    ("config", "environment", "fault", "mistake", "says"),
    [
        (DIRECT, UNKNOWN_KEYS, None, "refused-keys", "401 Invalid credentials"),
        (
            DIRECT,
            catalogue()["no-permission"].example.environment,
            None,
            "no-permission",
            "403 Access denied",
        ),
        (DIRECT, GOOD_KEYS, "status=500", "server-refuses", "500"),
        (DIRECT, GOOD_KEYS, "status=429,retry-after=17", "server-refuses", "429"),
        (DIRECT, GOOD_KEYS, "hang", "no-answer", "no answer within 1 s"),
        (at("MOCK/elsewhere"), GOOD_KEYS, None, "not-langfuse", "404"),
        (at("http://127.0.0.1:9"), GOOD_KEYS, None, "unreachable", ""),
        (DIRECT, {**GOOD_KEYS, "SSL_CERT_FILE": ""}, None, "untrusted-certificate", "local issuer"),
    ],
    ids=lambda value: value if isinstance(value, str) and value in catalogue() else "",
)
def test_what_the_server_says_is_explained(
    run, file, surroundings, config, environment, fault, mistake, says
) -> None:
    file.write_text(config.replace("MOCK", surroundings.langfuse.url))
    if fault:
        surroundings.langfuse.faults.add(Fault.parse(fault))
    told = run("--json", "--timeout", "1" if fault == "hang" else "60", environment=dict(environment))
    assert told.returncode == 2
    [finding] = json.loads(told.stdout)["findings"]
    assert finding["id"] == mistake
    assert says in finding["detail"]
    assert finding["line"] == 8


@pytest.mark.parametrize("proxy", ["refuses", "is not there"])
def test_a_proxy_in_the_way_is_named(run, file, tmp_path, proxy) -> None:
    file.write_text(DIRECT)
    with web_server(tmp_path) as server:  # it answers CONNECT with 501
        url = server if proxy == "refuses" else closed_port()
        named = url.replace("http://", "http://ada:proxy-password@")
        told = run("--json", environment={**GOOD_KEYS, "HTTPS_PROXY": named, "https_proxy": named})
    [finding] = json.loads(told.stdout)["findings"]
    assert finding["id"] == "proxy-refuses"
    assert url.removeprefix("http://") in finding["detail"]
    assert "proxy-password" not in told.stdout
    assert "relay" not in finding["fix"]


def test_a_relay_that_wants_a_token_is_not_taken_for_langfuse(run, file, surroundings, tmp_path) -> None:
    with relay_for(surroundings.langfuse, tmp_path / "state", token="token-of-the-relay") as url:
        config = catalogue()["refused-token"].example.config
        file.write_text(config.replace("http://127.0.0.1:4318", url))
        told = json.loads(run("--json", environment={}).stdout)
        shown = run(environment={GENERIC_HEADERS: "Authorization=Bearer%20token-of-the-relay"})
    assert {finding["id"] for finding in told["findings"]} == {"refused-token"}
    assert "OTEL_EXPORTER_OTLP_HEADERS" in told["findings"][0]["fix"]
    assert "200, address and keys are accepted" in shown.stdout


def test_a_certificate_authority_of_ones_own_is_used(run, file, surroundings) -> None:
    authority = json.dumps(str(surroundings.proxy.authority))
    config = DIRECT.replace(
        'protocol = "binary"\n', f'protocol = "binary"\ntls = {{ ca-certificate = {authority} }}\n'
    )
    file.write_text(config)
    assert run(environment={**GOOD_KEYS, "SSL_CERT_FILE": ""}).returncode == 0


@pytest.mark.parametrize("shown", ["none", "another authority's", "the right one"])
def test_a_missing_client_certificate_is_named(run, file, surroundings, tmp_path, shown) -> None:
    ours, theirs = PrivateAuthority(), PrivateAuthority()
    (theirs if shown == "another authority's" else ours).hand_out(tmp_path)
    (tmp_path / "ca.pem").unlink()
    ours.hand_out(tmp_path / "ours")
    folder = tmp_path.as_posix()
    tls = [f'ca-certificate = "{folder}/ours/ca.pem"']
    if shown != "none":
        tls += [
            f'client-certificate = "{folder}/client.pem"',
            f'client-private-key = "{folder}/client.key"',
        ]
    file.write_text(DIRECT.replace("[otel.span", f"tls = {{ {', '.join(tls)} }}\n[otel.span"))
    routes = dict.fromkeys(LANGFUSE_HOSTS, surroundings.langfuse.url)
    with tls_proxy(routes, private={"cloud.langfuse.com": ours}) as proxy:
        told = run("--json", environment={**proxy.environment, **GOOD_KEYS})
    found = [finding["id"] for finding in json.loads(told.stdout)["findings"]]
    assert found == ([] if shown == "the right one" else ["client-certificate-refused"])


def test_the_server_is_not_asked_while_there_are_errors(run, file, surroundings) -> None:
    file.write_text(catalogue()["endpoint-path"].example.config)
    assert "The server was not asked" in run().stdout
    assert surroundings.proxy.connected_hosts == set()


def test_both_signals_of_a_collector_are_asked(run, file) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        base = f"http://127.0.0.1:{closed.getsockname()[1]}"
    table = '[otel.{}.otlp-http]\nendpoint = "{}"\nprotocol = "binary"\n'
    tables = table.format("exporter", f"{base}/v1/logs") + table.format("trace_exporter", f"{base}/v1/traces")
    file.write_text('[otel]\nmetrics_exporter = "none"\n' + tables)
    told = json.loads(run("--json", environment={}).stdout)
    assert [finding["id"] for finding in told["findings"]] == ["unreachable", "unreachable"]
    assert {finding["line"] for finding in told["findings"]} == {4, 7}


@pytest.mark.parametrize(
    ("mistake", "status"), [("string-and-table", 2), ("metrics-to-openai", 1), ("json-protocol", 0)]
)
def test_the_exit_status_is_the_gravity(run, file, mistake, status) -> None:
    policy = '\n[shell_environment_policy]\nexclude = ["OTEL_*"]\n'
    file.write_text(catalogue()[mistake].example.config + policy)
    told = run("--offline")
    assert told.returncode == status
    assert catalogue()[mistake].words["en"].title in told.stdout
    assert f"reference/errors/#{mistake}" in told.stdout


def test_a_finding_begins_with_its_place(run, file) -> None:
    file.write_text(catalogue()["protocol"].example.config)
    first = run("--offline").stdout.splitlines()[0]
    place = Path("~/.codex/config.toml")  # with backslashes on Windows
    assert first == f"{place}:6:1: error*: Another word for the protocol"


@pytest.mark.parametrize("secret", ["secret-in-file", "key-in-endpoint", "base64-twice", "swapped-keys"])
def test_no_secret_is_shown(run, file, secret) -> None:
    """``run`` looks for them."""
    file.write_text(filled_in(catalogue()[secret].example.config))
    for options in ([], ["--json"], ["--offline", "--fix", "--yes"]):
        run(*options, environment={})


class TestFix:
    CONFIG = catalogue()["string-and-table"].example.config.replace(
        "/api/public/otel/v1/traces", "/api/public/otel"
    )

    def test_mends_one_thing_after_the_other(self, run, file) -> None:
        file.write_text(f"# mine\n{self.CONFIG}")
        told = run("--fix", "--yes", "--json")
        assert told.returncode == 0
        outcome = json.loads(told.stdout)
        assert outcome["fixed"] == ["string-and-table", "endpoint-path", "key-visible"]
        assert outcome["findings"] == []
        assert file.read_text().startswith("# mine\n")

    def test_what_it_fixed_can_be_undone(self, run, file) -> None:
        file.write_text(self.CONFIG)
        run("--fix", "--yes", "--offline")
        assert file.read_text() != self.CONFIG
        subprocess.run(
            [sys.executable, "-m", "codex_langfuse", "config", "--undo", "--yes", "--file", str(file)],
            check=True,
            capture_output=True,
            timeout=60,
        )
        assert file.read_text() == self.CONFIG

    def test_without_a_terminal_and_a_yes_nothing_is_changed(self, run, file) -> None:
        file.write_text(self.CONFIG)
        told = run("--fix", "--offline")
        assert told.returncode == 2
        assert "Add --yes" in told.stderr
        assert file.read_text() == self.CONFIG

    @pytest.mark.skipif(os.name == "nt", reason="modes are those of POSIX")
    def test_takes_the_file_with_a_key_away_from_others(self, run, file) -> None:
        file.write_text(filled_in(catalogue()["readable-file"].example.config))
        file.chmod(0o644)
        assert "warning*: Others can read the file" in run("--offline", environment={}).stdout
        assert run("--offline", "--fix", environment={}).returncode == 1
        assert stat.S_IMODE(file.stat().st_mode) == 0o644
        told = run("--offline", "--fix", "--yes", "--json", environment={})
        assert json.loads(told.stdout)["fixed"] == ["readable-file"]
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_keeps_the_logs_of_a_profile_where_its_traces_go(self, run, file) -> None:
        example = catalogue()["profile-mixed"].example
        file.write_text(example.config)
        profile = file.with_name("work.config.toml")
        profile.write_text(example.files["~/.codex/work.config.toml"])
        options = ("--profile", "work", "--offline")
        assert "Logs go to 127.0.0.1:4318" in run(*options).stdout
        told = json.loads(run(*options, "--fix", "--yes", "--json").stdout)
        assert "profile-mixed" in told["fixed"]
        assert 'exporter = "none"' in profile.read_text()
        assert told["findings"] == []


def test_a_profile_that_is_not_there_is_told(run, file) -> None:
    file.write_text(DIRECT)
    told = run("--offline", "--profile", "nosuch")
    assert told.returncode == 1
    assert f"{Path('~/.codex/nosuch.config.toml')} is not there." in told.stdout


def test_a_codex_home_that_is_not_there_is_told(run, file, tmp_path) -> None:
    told = run("--offline", environment={"CODEX_HOME": str(tmp_path / "nope")})
    assert told.returncode == 2
    assert "CODEX_HOME: error" in told.stdout
    assert "that path does not exist" in told.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--profile", "../../x"],
        ["--yes"],
        ["--fix", "--json"],
        ["--file", "not-there.toml"],
        ["--codex-version", "new"],
        ["--timeout", "0"],
    ],
)
def test_wrong_usage_is_told(run, file, arguments) -> None:
    assert run(*arguments).returncode == 2


def test_without_any_file_it_says_what_to_do(run, file) -> None:
    told = run("--offline", environment={})
    assert told.returncode == 1
    assert "codex-langfuse config direct" in told.stdout


@pytest.mark.codex
def test_a_setting_outside_otel_that_codex_refuses_is_found(run, file) -> None:
    file.write_text(f'model = "gpt-5"\napproval_policy = "auto"\n{DIRECT}')
    told = run("--offline", "--json", version="")
    [finding] = json.loads(told.stdout)["findings"]
    assert (finding["id"], finding["line"], told.returncode) == ("not-loaded", 2, 2)
    assert "unknown variant `auto`" in finding["detail"]
    # The installed Codex says nothing of another one.
    assert run("--offline").returncode == 0
    # A profile is loaded for the commands that take one.
    file.write_text(DIRECT)
    file.with_name("ci.config.toml").write_text('approval_policy = "auto"\n')
    told = run("--offline", "--json", "--profile", "ci", version="")
    [finding] = json.loads(told.stdout)["findings"]
    assert finding["id"] == "not-loaded"
    assert finding["where"].endswith("/ci.config.toml:1:19")


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="reads /proc")
def test_a_background_process_is_found(run, file, tmp_path) -> None:
    file.write_text(DIRECT)
    waiting = "import sys; print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", waiting, "app-server", "--managed-daemon"]
    environment = {**os.environ, "HOME": str(tmp_path / "home"), TRACES_HEADERS: "Authorization=Basic%20b2xk"}
    environment.pop("CODEX_HOME", None)
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline()
        told = run("--offline", "--json")
        process.communicate()
    [finding] = json.loads(told.stdout)["findings"]
    assert (finding["id"], finding["where"]) == ("daemon", f"process {process.pid}")
    assert told.returncode == 1


@pytest.mark.codex
def test_from_wrong_to_arrived_by_what_it_says_alone(run, file, surroundings, tmp_path) -> None:
    """A copied configuration, `check --fix`, and the turn is in Langfuse."""
    file.write_text(TestFix.CONFIG)
    assert run("--fix", "--yes").returncode == 0
    codex: IsolatedCodex = surroundings.codex(tmp_path / "codex")
    outcome = surroundings.turn(codex, file.read_text(), environment=GOOD_KEYS)
    assert outcome.answers == {("/api/public/otel/v1/traces", 200)}
    assert outcome.observations
