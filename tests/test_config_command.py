"""`codex-langfuse config`: what it writes, what it leaves, and the way back."""

import json
import os
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import toml_rs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex_langfuse.codex.versions import Version
from codex_langfuse.configuration.amend import RefusedError, amend
from codex_langfuse.configuration.edit import EditError
from codex_langfuse.configuration.route import Route
from codex_langfuse.configuration.routes import RELAY, OtelSettings, read_endpoint
from codex_langfuse.keys.credentials import BaseUrl, read_base_url

pytestmark = [pytest.mark.macos, pytest.mark.windows, pytest.mark.slow]

EXAMPLES = Path(__file__).parent.parent / "examples/codex"
EU = OtelSettings(Route.DIRECT, read_base_url("eu"))
SETTINGS = {
    "direct": EU,
    "direct, described": OtelSettings(
        Route.DIRECT, read_base_url("us"), "staging", "ada", ("codex", "team a")
    ),
    "self-hosted": OtelSettings(Route.DIRECT, read_base_url("http://localhost:3000")),
    "relay": OtelSettings(Route.RELAY, BaseUrl(RELAY)),
    "collector": OtelSettings(Route.COLLECTOR, BaseUrl("https://collector.example.org:4318"), "staging"),
    "off": OtelSettings(Route.OFF),
}
TRACES = ("otel", "trace_exporter", "otlp-http")

EXISTING = {
    "nothing": "",
    "no [otel]": ('# my Codex\nmodel = "gpt-5-codex" # the one\n\n[features]\nplugins = false\n'),
    "no line end at the end": 'model = "gpt-5-codex"',
    "[otel] with comments": (
        '[otel]\n# who\nenvironment = "dev" # not prod\n\n# about the TUI\n[tui]\nnotifications = true\n'
    ),
    "an inline exporter": (
        '[otel]\ntrace_exporter = { otlp-http = { endpoint = "http://127.0.0.1:1/", protocol = "json" } }\n'
    ),
    "an inline [otel]": (
        'otel = { environment = "dev", exporter = "none" }\n\n[tui]\nnotifications = true\n'
    ),
    "dotted keys": (
        'otel.environment = "dev"\n'
        'otel.trace_exporter.otlp-http.endpoint = "http://127.0.0.1:1/v1/traces"\n'
        'otel.trace_exporter.otlp-http.protocol = "binary"\n'
    ),
    "a dotted key in a table": ('[otel]\nspan_attributes."langfuse.user.id" = "bob"\n'),
    "[otel] in pieces": (
        "[otel.span_attributes]\n"
        'team = "a"\n'
        "\n"
        "[tui]\n"
        "notifications = true\n"
        "\n"
        "[otel]\n"
        "log_user_prompt = false\n"
        "\n"
        "[otel.exporter.otlp-http]\n"
        'endpoint = "http://127.0.0.1:1/v1/logs"\n'
        'protocol = "binary"\n'
    ),
    "exporters by name": (
        '[otel]\nexporter = "none"\ntrace_exporter = "statsig"\nmetrics_exporter = "statsig"\n'
    ),
    "gRPC": ('[otel.trace_exporter.otlp-grpc]\nendpoint = "http://127.0.0.1:4317"\n# the end\n'),
    "a table of headers": (
        "[otel.trace_exporter.otlp-http]\n"
        f'endpoint = "{EU.traces_endpoint}"\n'
        'protocol = "binary"\n'
        "\n"
        "[otel.trace_exporter.otlp-http.headers]\n"
        'x-mine = "1"\n'
    ),
    "a table of many lines": (
        "[otel]\n"
        "trace_exporter = { otlp-http = {\n"
        '  endpoint = "http://127.0.0.1:1/", # one\n'
        '  protocol = "binary",\n'
        "} }\n"
    ),
    "a policy": (
        '[shell_environment_policy]\ninherit = "all"\nexclude = [\n  "AWS_*", # clouds\n  "AZURE_*",\n]\n'
    ),
    "a policy with an empty list": "shell_environment_policy = { exclude = [] }\n",
    "indentation": ('  [otel]\n    environment = "dev"\n'),
    "unicode": (
        "# Einstellungen für 中文\n"
        "[otel]\n"
        'environment = "dev"\n'
        '[projects."/home/ü 中"]\n'
        'trust_level = "trusted"\n'
    ),
    "arrays of tables": (
        '[[skills.config]]\nname = "a"\nenabled = true\n\n[[skills.config]]\nname = "b"\nenabled = true\n'
    ),
}


def comments(text: str) -> list[str]:
    return sorted(line.partition("#")[2].strip() for line in text.splitlines() if "#" in line)


@pytest.mark.parametrize(
    ("example", "place"),
    [
        ("cloud-eu", "eu"),
        ("cloud-us", "us"),
        ("cloud-jp", "jp"),
        ("cloud-hipaa", "hipaa"),
        ("self-hosted", "http://localhost:3000"),
    ],
)
def test_direct_is_the_reference_configuration(example, place) -> None:
    expected = (EXAMPLES / f"{example}.toml").read_text(encoding="utf-8")
    wanted = OtelSettings(Route.DIRECT, read_base_url(place))
    assert amend("", wanted).text == expected
    assert amend(expected, wanted).text == expected


@pytest.mark.codex
@pytest.mark.parametrize("existing", EXISTING)
def test_codex_loads_every_result(existing, shared_codex) -> None:
    for wanted in (SETTINGS["direct, described"], SETTINGS["relay"], SETTINGS["off"]):
        verdict = shared_codex.check_config(amend(EXISTING[existing], wanted).text)
        assert verdict.valid, (wanted, verdict)


@pytest.mark.parametrize("wanted", SETTINGS)
@pytest.mark.parametrize("existing", EXISTING)
def test_the_route_is_written_and_the_rest_stays(existing, wanted) -> None:
    before, wanted = EXISTING[existing], SETTINGS[wanted]
    after = amend(before, wanted)
    assert amend(after.text, wanted).text == after.text, "a second run changes something"
    data = toml_rs.loads(after.text)
    otel = data["otel"]
    if wanted.route is Route.OFF:
        assert {otel[key] for key in ("exporter", "trace_exporter", "metrics_exporter")} == {"none"}
    else:
        assert otel["metrics_exporter"] == "none"
        assert otel["trace_exporter"]["otlp-http"]["endpoint"] == wanted.traces_endpoint
    if wanted.route is Route.RELAY:
        assert otel["exporter"]["otlp-http"]["endpoint"] == wanted.logs_endpoint
        assert "headers" not in otel["exporter"]["otlp-http"]
    if wanted.route in (Route.RELAY, Route.COLLECTOR):
        assert "headers" not in otel["trace_exporter"]["otlp-http"]
    if wanted.route is Route.DIRECT:
        assert set(data["shell_environment_policy"]["exclude"]) >= {"OTEL_*", "LANGFUSE_*"}
    old = toml_rs.loads(before)
    for name in old.keys() - {"otel", "shell_environment_policy"}:
        assert data[name] == old[name]
    for name in set(old.get("otel", {})) - {"exporter", "trace_exporter", "metrics_exporter", "environment"}:
        if isinstance(old["otel"][name], dict) and not wanted.user:
            assert otel[name].items() >= old["otel"][name].items()
    assert set(old.get("shell_environment_policy", {}).get("exclude", [])) <= set(
        data.get("shell_environment_policy", {}).get("exclude", [])
    )
    if "many lines" not in existing:
        assert set(comments(before)) <= set(comments(after.text))


def test_a_comment_stays_above_the_table_it_is_about() -> None:
    text = amend(EXISTING["[otel] with comments"], EU).text
    assert "# about the TUI\n[tui]" in text
    assert '# who\nenvironment = "dev" # not prod' in text


def test_the_environment_of_the_file_is_kept_and_sent() -> None:
    data = tomllib.loads(amend('[otel]\nenvironment = "dev"\n', EU).text)
    assert data["otel"]["environment"] == data["otel"]["span_attributes"]["langfuse.environment"] == "dev"


def test_environment_user_and_tags_are_on_the_spans() -> None:
    data = tomllib.loads(amend("", SETTINGS["direct, described"]).text)
    assert data["otel"]["span_attributes"] == {
        "langfuse.environment": "staging",
        "langfuse.user.id": "ada",
        "langfuse.trace.tags": "codex,team a",
    }


class TestHeaders:
    @staticmethod
    def config(endpoint: str) -> str:
        headers = '{ Authorization = "Basic b2xkOmtleQ==", x-team = "secret-of-a-vendor" }'
        table = f'[otel.trace_exporter.otlp-http]\nendpoint = "{endpoint}"\nprotocol = "binary"\n'
        return f"{table}headers = {headers}\n"

    def test_stay_for_the_same_host(self) -> None:
        after = amend(self.config(EU.traces_endpoint), EU)
        headers = tomllib.loads(after.text)["otel"]["trace_exporter"]["otlp-http"]["headers"]
        assert headers["Authorization"] == "Basic b2xkOmtleQ=="
        assert any("contains a key" in note for note in after.notes)

    def test_stay_for_the_same_collector(self) -> None:
        wanted = SETTINGS["collector"]
        after = amend(self.config(wanted.traces_endpoint), wanted)
        headers = tomllib.loads(after.text)["otel"]["trace_exporter"]["otlp-http"]["headers"]
        assert headers["x-team"] == "secret-of-a-vendor"
        assert not any("removed" in note for note in after.notes)

    @pytest.mark.parametrize("wanted", ["direct", "relay", "collector", "off"])
    def test_are_never_taken_to_another_host(self, wanted) -> None:
        after = amend(self.config("https://api.example.org/v1/traces"), SETTINGS[wanted])
        assert "b2xkOmtleQ" not in after.text
        assert "secret-of-a-vendor" not in after.text

    def test_a_variable_that_nobody_fills_in_is_removed(self) -> None:
        text = amend("", EU).text.replace(
            "headers = {", 'headers = { Authorization = "Basic ${LANGFUSE_AUTH}",'
        )
        amended = amend(text, EU)
        assert amended.text == amend("", EU).text
        [note] = amended.notes
        assert "Authorization is removed" in note and "${LANGFUSE_AUTH}" in note
        assert "holds a key" not in note


class TestProfiles:
    """Codex merges a profile over config.toml; test_integration_guide.py shows it doing so."""

    @staticmethod
    def below(wanted: str, more: str = "") -> dict:
        return tomllib.loads(amend(more, SETTINGS[wanted]).text)

    def profile(self, wanted: str, below: dict) -> dict:
        return tomllib.loads(amend("", SETTINGS[wanted], below=below).text)["otel"]

    def test_what_goes_direct_sends_no_logs_to_the_relay_below(self) -> None:
        amended = amend("", EU, below=self.below("relay"))
        assert tomllib.loads(amended.text)["otel"]["exporter"] == "none"
        assert any("logs are off for this profile" in note for note in amended.notes)
        assert amend(amended.text, EU, below=self.below("relay")).text == amended.text

    @pytest.mark.parametrize("below", ["direct", "off"])
    def test_where_nothing_comes_from_below_nothing_more_is_written(self, below) -> None:
        assert "exporter" not in self.profile("direct", self.below(below))

    def test_off_is_off_whatever_is_below(self) -> None:
        off = self.profile("off", self.below("relay"))
        assert {off[key] for key in ("exporter", "trace_exporter", "metrics_exporter")} == {"none"}

    def test_headers_for_another_address_are_refused(self) -> None:
        below = self.below("collector")
        below["otel"]["trace_exporter"]["otlp-http"]["headers"] = {"x-token": "of-the-collector"}
        with pytest.raises(EditError, match=r"collector\.example\.org:4318 \(x-token\)") as refused:
            amend("", EU, below=below)
        assert "of-the-collector" not in str(refused.value)
        assert "cloud.langfuse.com" in str(refused.value)
        amend("", SETTINGS["collector"], below=below)

    def test_a_second_exporter_is_refused(self) -> None:
        below = tomllib.loads(EXISTING["gRPC"])
        with pytest.raises(EditError, match="two exporters for one signal"):
            amend("", EU, below=below)

    def test_the_list_of_what_commands_do_not_see_stays_whole(self) -> None:
        below = tomllib.loads(EXISTING["a policy"])
        text = amend("", EU, below=below).text
        hidden = tomllib.loads(text)["shell_environment_policy"]["exclude"]
        assert hidden == ["AWS_*", "AZURE_*", "OTEL_*", "LANGFUSE_*"]

    def test_metrics_that_go_to_a_place_of_theirs_stay(self) -> None:
        below = {"otel": {"metrics_exporter": {"otlp-http": {"endpoint": "http://127.0.0.1:1"}}}}
        amended = amend("", EU, below=below)
        assert "metrics_exporter" not in tomllib.loads(amended.text)["otel"]
        assert any("metrics_exporter is kept" in note for note in amended.notes)


class TestVersions:
    @pytest.mark.parametrize(
        ("version", "message"),
        [("0.42.0", "no telemetry"), ("0.72.0", "no traces"), ("0.111.0", "prompts, commands")],
    )
    def test_what_cannot_be_or_should_not_be_is_refused(self, version, message) -> None:
        with pytest.raises(RefusedError, match=message):
            amend("", EU, Version.parse(version))

    def test_content_in_traces_can_be_accepted(self) -> None:
        assert "trace_exporter" in amend("", EU, Version.parse("0.98.0"), force=True).text

    def test_before_traces_there_were_logs(self) -> None:
        data = tomllib.loads(amend("", SETTINGS["relay"], Version.parse("0.72.0")).text)
        assert set(data["otel"]) == {"environment", "exporter"}

    @pytest.mark.parametrize(
        ("version", "has", "lacks"),
        [
            ("0.98.0", [], ["metrics_exporter", "span_attributes", "shell_snapshot"]),
            ("0.113.0", ["metrics_exporter"], ["span_attributes", "shell_snapshot"]),
            ("0.129.0", ["metrics_exporter", "shell_snapshot = false"], ["span_attributes"]),
            ("0.156.0", ["span_attributes", "shell_snapshot = false"], []),
            ("0.163.0", ["metrics_exporter", "span_attributes"], ["shell_snapshot"]),
        ],
    )
    def test_only_what_this_codex_understands_is_written(self, version, has, lacks) -> None:
        amended = amend("", EU, Version.parse(version), force=True)
        assert all(word in amended.text for word in has)
        assert not any(word in amended.text for word in lacks)
        assert bool(amended.notes) == (version != "0.163.0")


@pytest.mark.parametrize(
    "text",
    ["otel = 4\n", "[[otel]]\nenvironment = 'x'\n", "shell_environment_policy = 1\n"],
)
def test_what_cannot_be_amended_is_refused(text) -> None:
    with pytest.raises(EditError):
        amend(text, EU)


@pytest.mark.parametrize(
    "options",
    [
        {"environment": "Prod"},
        {"environment": "langfuse-prod"},
        {"environment": "x" * 41},
        {"user": ""},
        {"tags": ("a,b",)},
        {"tags": (" ",)},
        {"user": "sk-lf-0123456789"},
    ],
)
def test_what_langfuse_would_not_take_is_refused(options) -> None:
    with pytest.raises(ValueError):
        OtelSettings(Route.DIRECT, read_base_url("eu"), **options)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (None, RELAY),
        ("http://127.0.0.1:4318/", RELAY),
        ("http://127.0.0.1:4318/v1/traces", RELAY),
        ("https://c.example.org/otlp/v1/logs", "https://c.example.org/otlp"),
        ("https://c.example.org:4318/v1/traces/v1/traces/", "https://c.example.org:4318"),
        ("https://c.example.org//v1/logs/v1/traces", "https://c.example.org"),
    ],
)
def test_an_address_of_a_collector(text, url) -> None:
    assert read_endpoint(text).url == url


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:4318",
        "grpc://c:4317",
        "http://u:p@c/",
        "http://",
        "http://c/?a=b",
        "https://cloud.langfuse.com",
        "http://localhost:3000/api/public/otel/v1/traces",
    ],
)
def test_what_is_no_address_of_a_collector(text) -> None:
    with pytest.raises(ValueError):
        read_endpoint(text)


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        ("https://c.example.org:4318", []),
        ("http://localhost:4317", ["gRPC"]),
        ("http://c.example.org:4317/v1/traces", ["gRPC", "not encrypted"]),
    ],
)
def test_what_is_odd_about_an_address_is_noted(text, noted) -> None:
    notes = read_endpoint(text).notes
    assert [word in note for word, note in zip(noted, notes, strict=True)] == [True] * len(noted)


_KEYS = st.sampled_from(
    ["otel", "features", "tui", "shell_environment_policy", "a", "b c", "environment", "exclude"]
)
_SCALARS = st.booleans() | st.integers(-9, 9) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_DOCUMENTS = st.recursive(
    st.dictionaries(_KEYS, _SCALARS | st.lists(st.text("ab*_", max_size=4), max_size=3), max_size=3),
    lambda inner: st.dictionaries(_KEYS, inner | _SCALARS, max_size=4),
    max_leaves=10,
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_DOCUMENTS, st.sampled_from(sorted(SETTINGS)))
def test_any_document_is_amended_without_harm_or_refused(document, wanted) -> None:
    before = toml_rs.dumps(document)
    try:
        after = amend(before, SETTINGS[wanted]).text
    except EditError:
        assert any(
            not isinstance(document.get(name, {}), dict) for name in ("otel", "shell_environment_policy")
        )
        return
    data = tomllib.loads(after)
    for name in document.keys() - {"otel", "shell_environment_policy"}:
        assert data[name] == document[name]
    assert amend(after, SETTINGS[wanted]).text == after


class TestCommand:
    """The command as it is typed."""

    @pytest.fixture
    def home(self, tmp_path) -> Path:
        (tmp_path / ".codex").mkdir()
        return tmp_path

    @pytest.fixture
    def file(self, home) -> Path:
        return home / ".codex/config.toml"

    @pytest.fixture
    def run(self, home):
        def run(
            *arguments: str, stdin: str | None = None, **variables: str
        ) -> subprocess.CompletedProcess[str]:
            kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
            return subprocess.run(
                [sys.executable, "-m", "codex_langfuse", "config", *arguments],
                capture_output=True,
                encoding="utf-8",
                timeout=60,
                input=stdin or "",
                env={**kept, "HOME": str(home), "USERPROFILE": str(home), "PYTHONUTF8": "1", **variables},
            )

        return run

    def test_without_a_terminal_and_a_yes_nothing_is_changed(self, run, file) -> None:
        told = run("direct", "--region", "us")
        assert told.returncode == 1
        assert '+endpoint = "https://us.cloud.langfuse.com/api/public/otel/v1/traces"' in told.stdout
        assert "Add --yes" in told.stderr
        assert not file.exists()

    def test_dry_run_shows_and_changes_nothing(self, run, file) -> None:
        told = run("direct", "--dry-run", "--yes")
        assert told.returncode == 0
        assert "+metrics_exporter" in told.stdout
        assert not file.exists()

    def test_undo_removes_a_file_that_was_not_there(self, run, file) -> None:
        assert run("direct", "--yes").returncode == 0
        assert file.read_text() == (EXAMPLES / "cloud-eu.toml").read_text()
        assert run("direct", "--yes").returncode == 0
        assert run("--undo", "--yes").returncode == 0
        assert list(file.parent.iterdir()) == []

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"# mine",
            b"\xef\xbb\xbfmodel = 'x'\r\n[tui]\r\nnotifications = true\r\n",
            b"model = 'x'\r\n# mixed\n\n\n",
            "# für 中文\n".encode(),
        ],
    )
    def test_undo_brings_back_every_byte(self, run, file, content) -> None:
        file.write_bytes(content)
        for route in (["direct"], ["relay"], ["off"]):
            assert run(*route, "--yes").returncode == 0
        for _ in range(3):
            assert run("--undo", "--yes").returncode == 0
        assert file.read_bytes() == content
        assert [path.name for path in file.parent.iterdir()] == ["config.toml"]
        assert "nothing to undo" in run("--undo", "--yes").stderr

    def test_line_ends_of_windows_stay(self, run, file) -> None:
        file.write_bytes(b"model = 'x'\r\n[tui]\r\nnotifications = true\r\n")
        run("direct", "--yes")
        content = file.read_bytes()
        assert content.count(b"\n") == content.count(b"\r\n")

    @pytest.mark.skipif(os.name == "nt", reason="modes and links are those of POSIX")
    def test_the_mode_and_a_link_stay(self, run, file, home) -> None:
        target = home / "dotfiles.toml"
        target.write_text("# mine\n")
        target.chmod(0o640)
        file.symlink_to(target)
        assert run("relay", "--yes").returncode == 0
        assert file.is_symlink()
        assert stat.S_IMODE(target.stat().st_mode) == 0o640
        [backup] = home.glob("*backup-1")
        assert stat.S_IMODE(backup.stat().st_mode) == 0o600
        assert "trace_exporter" in target.read_text()

    @pytest.mark.skipif(os.name == "nt", reason="modes are those of POSIX")
    def test_a_new_file_is_readable_by_its_owner_alone(self, run, file) -> None:
        run("direct", "--yes")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_what_is_not_toml_is_refused_with_its_place(self, run, file) -> None:
        text = '[otel]\nenvironment = "a"\nenvironment = "b"\n'
        file.write_text(text)
        told = run("direct", "--yes")
        assert told.returncode == 1
        assert f"{file}:3:1: duplicate key" in told.stderr
        assert "codex-langfuse check" in told.stderr
        assert file.read_text() == text

    def test_the_form_in_circulation_is_repaired_in_one_step(self, run, file) -> None:
        file.write_text(
            '[otel]\nlog_user_prompt = true\ntrace_exporter = "otlp-http"\n\n'
            '[otel.trace_exporter."otlp-http"]\nendpoint = "https://cloud.langfuse.com/api/public/otel"\n'
            'protocol = "http/protobuf"\nheaders = { Authorization = "Basic ${LANGFUSE_AUTH}" }\n'
        )
        told = run("direct", "--yes")
        assert told.returncode == 0, told.stderr
        assert 'delete the line `trace_exporter = "otlp-http"`' in told.stderr
        data = toml_rs.loads(file.read_text())
        exporter = data["otel"]["trace_exporter"]["otlp-http"]
        assert exporter["endpoint"] == EU.traces_endpoint and exporter["protocol"] == "binary"
        assert "Authorization" not in exporter["headers"]
        assert run("--undo", "--yes").returncode == 0
        assert "http/protobuf" in file.read_text()

    def test_undo_leaves_what_codex_wrote_since(self, run, file) -> None:
        run("direct", "--yes")
        later = '\n[projects."/home/ada"]\ntrust_level = "trusted"\n'
        written = file.read_text() + later
        file.write_text(written)
        told = run("--undo", "--yes")
        assert told.returncode == 0
        assert toml_rs.loads(file.read_text()) == toml_rs.loads(later)
        [copy] = file.parent.glob("*undone-1")
        assert copy.read_text() == written and str(copy) in told.stdout

    def test_undo_changes_nothing_when_its_own_lines_were_changed(self, run, file) -> None:
        file.write_text("# mine\n")
        run("direct", "--yes")
        edited = file.read_text().replace("cloud.langfuse.com", "intra.example.org")
        file.write_text(edited)
        told = run("--undo", "--yes")
        assert told.returncode == 1
        assert 'endpoint = "https://intra.example.org/' in told.stderr
        [backup] = file.parent.glob("*backup-1")
        assert str(backup) in told.stderr
        assert (file.read_text(), backup.read_text()) == (edited, "# mine\n")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
    @pytest.mark.parametrize("arguments", [["--version"], ["config", "direct", "--dry-run"]])
    def test_a_full_disk_is_told_in_one_line(self, home, arguments) -> None:
        with Path("/dev/full").open("w") as full:
            told = subprocess.run(
                [sys.executable, "-m", "codex_langfuse", *arguments],
                stdout=full,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                timeout=60,
                env={"PATH": os.environ["PATH"], "HOME": str(home)},
            )
        assert told.returncode == 1
        assert "cannot write the output: No space left on device" in told.stderr
        assert "Traceback" not in told.stderr

    @pytest.mark.skipif(os.name == "nt", reason="needs a pipe in the file system")
    def test_a_pipe_in_the_place_of_the_file_is_told(self, run, file) -> None:
        os.mkfifo(file)
        assert "is not a file" in run("direct", "--yes").stderr

    def test_a_secret_in_the_file_is_not_shown(self, run, file) -> None:
        file.write_text(
            TestHeaders.config(EU.traces_endpoint) + '[mcp_servers.x.env]\nAPI_TOKEN = "abcdefgh"\n'
        )
        for options in ([], ["--json"]):
            told = run("relay", "--dry-run", *options)
            assert "Basic …" in told.stdout
            assert not any(secret in told.stdout + told.stderr for secret in ("b2xkOmtleQ", "abcdefgh"))

    def test_a_secret_over_two_lines_is_not_shown(self, run, file) -> None:
        file.write_text(
            f'[otel.trace_exporter.otlp-http]\nendpoint = "{EU.traces_endpoint}"\nprotocol = "binary"\n'
            'headers = { Authorization = """Basic cGstbGYtYWFhYWFh\nc2Vjb25kLWxpbmU=""" }\n'
        )
        for options in ([], ["--json"]):
            told = run("relay", "--dry-run", *options)
            assert told.returncode == 0
            assert "c2Vjb25k" not in told.stdout + told.stderr
            assert "YWFhYWFh" not in told.stdout + told.stderr

    def test_json_tells_what_was_done(self, run, file) -> None:
        told = json.loads(run("collector", "--endpoint", RELAY, "--yes", "--json").stdout)
        assert told["changed"] and told["route"] == "collector"
        assert told["file"] == str(file)
        assert Path(told["backup"]).exists()
        assert not json.loads(run("collector", "--endpoint", RELAY, "--yes", "--json").stdout)["changed"]

    def test_a_folder_in_the_place_of_the_file_is_told(self, run, file) -> None:
        file.mkdir(parents=True)
        told = run("direct", "--yes")
        assert told.returncode == 1
        assert "is a folder" in told.stderr

    def test_a_direct_profile_over_a_relay_keeps_its_logs_at_home(self, run, file) -> None:
        run("relay", "--yes")
        told = run("direct", "--profile", "lf", "--yes")
        assert told.returncode == 0
        assert "logs are off for this profile" in told.stderr
        assert 'exporter = "none"' in file.with_name("lf.config.toml").read_text()

    def test_a_profile_has_a_file_of_its_own(self, run, file) -> None:
        assert run("direct", "--profile", "lf", "--yes").returncode == 0
        assert [path.name for path in file.parent.glob("*.toml")] == ["lf.config.toml"]

    def test_the_address_comes_from_the_environment_or_the_file(self, run, file) -> None:
        run("direct", "--yes", LANGFUSE_BASE_URL="http://localhost:3000")
        assert "http://localhost:3000/api" in file.read_text()
        assert "nothing to change" in run("direct", "--yes").stdout

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["sideways"],
            ["collector"],
            ["relay", "--region", "us"],
            ["direct", "--endpoint", RELAY],
            ["direct", "--region", "us", "--base-url", "http://localhost"],
            ["direct", "--base-url", "https://pk:sk@cloud.langfuse.com"],
            ["direct", "--environment", "Prod!"],
            ["direct", "--codex-version", "new"],
            ["direct", "--file", "a", "--profile", "b"],
            ["direct", "--profile", "../x"],
            ["off", "--user", "ada"],
            ["relay", "--undo"],
        ],
    )
    def test_wrong_usage_is_told_without_a_traceback(self, run, file, arguments) -> None:
        told = run(*arguments)
        assert told.returncode == 2
        assert "Traceback" not in told.stderr and told.stderr
        assert not file.exists()

    def test_an_old_codex_is_refused(self, run, file) -> None:
        told = run("direct", "--codex-version", "0.98.0", "--yes")
        assert told.returncode == 1
        assert "--force" in told.stderr
        assert not file.exists()
        assert run("direct", "--codex-version", "0.98.0", "--yes", "--force").returncode == 0

    @pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
    @pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("\x04", 130)])
    def test_on_a_terminal_it_asks(self, home, file, answer, status) -> None:
        import pty

        controller, terminal = pty.openpty()
        environment = {**os.environ, "HOME": str(home), "NO_COLOR": "1", "TERM": "dumb"}
        process = subprocess.Popen(
            [sys.executable, "-m", "codex_langfuse", "config", "direct"],
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        os.close(terminal)
        os.write(controller, answer.encode())
        _, asked = process.communicate(timeout=60)
        os.close(controller)
        assert file.exists() is (status == 0)
        assert process.returncode == status
        assert b"Change " in asked
