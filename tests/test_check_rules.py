"""`check` finds each mistake in its example, only that one, and nothing in what is right."""

import os
import sys
import tempfile
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex_langfuse.check import rules_of_exporters, server
from codex_langfuse.check.authorization import mistake_in
from codex_langfuse.check.checking import check
from codex_langfuse.check.daemons import Daemon
from codex_langfuse.check.findings import Finding
from codex_langfuse.check.fixing import fixes
from codex_langfuse.check.refusal import parse
from codex_langfuse.check.report import as_json
from codex_langfuse.check.setup import Setup, header_list
from codex_langfuse.codex.versions import Version
from codex_langfuse.configuration.config_files import read_config_files
from codex_langfuse.configuration.edit import key_literal, literal
from codex_langfuse.keys.credentials import TRACES_HEADERS, basic_authorization
from codex_langfuse.testplan.certificates import PrivateAuthority
from error_catalogue import Entry, catalogue
from harness.fences.placeholders import filled_in

pytestmark = [pytest.mark.macos, pytest.mark.windows]

EXAMPLES = Path(__file__).parent.parent / "examples/codex"
GOOD_KEYS = {TRACES_HEADERS: filled_in("Authorization=Basic%20cGstbGYt…")}
HIDING = '[shell_environment_policy]\nexclude = ["OTEL_*"]\n'
INSTALLED = Version.parse("0.171.0")

# Seen by asking the server or Codex, or in the list of processes.
NOT_IN_FILES = {mistake.id for mistake in catalogue().values() if mistake.group == "server"}
NOT_IN_FILES |= {"daemon", "no-price", "not-loaded"}


def write(folder: Path, config: str | bytes, files: dict[str, str] | None = None, mode: str = "600") -> None:
    """Write a home, a project and an administrator's folder."""
    for name in ("home/.codex", "project", "etc"):
        (folder / name).mkdir(parents=True)
    path = folder / "home/.codex/config.toml"
    path.write_bytes(config.encode() if isinstance(config, str) else config)
    path.chmod(int(mode, 8))
    for name, text in (files or {}).items():
        under_home = folder / "home" / name.removeprefix("~/")
        under_etc = folder / "etc" / name.removeprefix("/etc/codex/")
        place = under_home if name[0] == "~" else under_etc if name[0] == "/" else folder / "project" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(text, encoding="utf-8")


def setup_in(folder: Path, environment=GOOD_KEYS, version=INSTALLED, profile=None, daemons=()) -> Setup:
    environment = {"HOME": str(folder / "home"), "USERPROFILE": str(folder / "home"), **environment}
    files = read_config_files(
        environment, profile=profile, project=folder / "project", system_folder=folder / "etc"
    )
    return Setup(files, environment, version, profile, daemons)


def setup_of(mistake: Entry, folder: Path) -> Setup:
    example = mistake.example
    files = dict(example.files)
    if example.policy:
        files["/etc/codex/config.toml"] = HIDING
    write(folder, filled_in(example.config), files, example.mode)
    environment = {name: filled_in(value) for name, value in example.environment.items()}
    version = Version.parse(example.version) if example.version else INSTALLED
    return setup_in(folder, {**(GOOD_KEYS if example.keys else {}), **environment}, version, example.profile)


def findings(setup: Setup) -> list[Finding]:
    return list(check(setup, offline=True).findings)


def of_config(folder: Path, config: str, **options) -> list[Finding]:
    write(folder, config, {"/etc/codex/config.toml": HIDING})
    return findings(setup_in(folder, **options))


@pytest.mark.parametrize(
    "mistake", [m for m in catalogue().values() if m.id not in NOT_IN_FILES], ids=lambda mistake: mistake.id
)
def test_the_mistake_is_found_and_no_other(mistake, tmp_path) -> None:
    if os.name == "nt" and mistake.id == "readable-file":
        pytest.skip("modes are those of POSIX")
    found = findings(setup_of(mistake, tmp_path))
    assert mistake.id in {finding.id for finding in found}
    grave = {finding.id for finding in found if finding.severity != "info"}
    assert grave - {mistake.id} == set(mistake.example.also)


@pytest.mark.parametrize("mistake", sorted(NOT_IN_FILES))
def test_what_files_do_not_tell_is_not_made_up(mistake, tmp_path) -> None:
    found = findings(setup_of(catalogue()[mistake], tmp_path))
    assert [finding.id for finding in found if finding.severity != "info"] == []


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.name)
def test_nothing_is_found_in_what_is_right(example, tmp_path) -> None:
    PrivateAuthority().hand_out(tmp_path / "home/.config/codex-langfuse")  # which one of them names
    found = of_config(tmp_path, example.read_text(encoding="utf-8"))
    assert [finding for finding in found if finding.severity != "info"] == []


@pytest.mark.parametrize(
    ("mistake", "line", "column"),
    [
        ("string-and-table", 5, 7),
        ("not-toml", 2, 20),
        ("protocol", 6, 1),
        ("endpoint-path", 5, 1),
        ("unexpanded-variable", 7, 13),
        ("unknown-exporter-key", 7, 1),
        ("span-attribute-value", 9, 1),
    ],
)
def test_a_finding_names_line_and_column(mistake, line, column, tmp_path) -> None:
    found = findings(setup_of(catalogue()[mistake], tmp_path))
    [finding] = [finding for finding in found if finding.id == mistake]
    path = tmp_path / "home/.codex/config.toml"
    assert str(finding.place) == f"{path}:{line}:{column}"


FIXABLE = [
    "string-and-table",
    "unknown-exporter",
    "protocol",
    "missing-protocol",
    "header-value",
    "span-attribute-value",
    "endpoint-path",
    "ingestion-version",
    "metrics-to-openai",
    "environment-not-sent",
    "environment-name",
    "key-visible",
]


@pytest.mark.parametrize("mistake", FIXABLE)
def test_the_fixed_file_is_right(mistake, tmp_path) -> None:
    setup = setup_of(catalogue()[mistake], tmp_path)
    for fix in fixes(setup):
        fix.file.path.write_text(fix.text, encoding="utf-8")
    again = setup_in(tmp_path)
    assert [finding.id for finding in findings(again) if finding.severity != "info"] == []


@pytest.mark.codex
@pytest.mark.parametrize("mistake", FIXABLE)
def test_codex_loads_what_was_fixed(mistake, tmp_path, shared_codex) -> None:
    [fix] = fixes(setup_of(catalogue()[mistake], tmp_path))
    verdict = shared_codex.check_config(fix.text)
    assert verdict.valid, verdict


def test_a_misspelt_key_is_renamed(tmp_path) -> None:
    config = catalogue()["json-protocol"].example.config.replace("trace_exporter", "traces_exporter")
    write(tmp_path, config, {"/etc/codex/config.toml": HIDING})
    [fix] = fixes(setup_in(tmp_path))
    assert fix.text == config.replace("traces_exporter", "trace_exporter")


def test_fixing_leaves_an_administrators_file_alone(tmp_path) -> None:
    write(tmp_path, "", {"/etc/codex/config.toml": catalogue()["protocol"].example.config})
    assert "system" not in {fix.file.kind for fix in fixes(setup_in(tmp_path))}


class TestLayers:
    DIRECT = (EXAMPLES / "cloud-eu.toml").read_text(encoding="utf-8")

    def test_a_folder_in_the_place_of_the_file_is_told(self, tmp_path) -> None:
        (tmp_path / "home/.codex/config.toml").mkdir(parents=True)
        [finding] = findings(setup_in(tmp_path))
        assert finding.id == "codex-home"
        assert finding.detail.endswith("config.toml is not a file.")

    def test_two_exporters_of_two_files_are_told(self, tmp_path) -> None:
        below = '[otel]\nmetrics_exporter = "none"\n[otel.trace_exporter.otlp-grpc]\nendpoint = "http://127.0.0.1"\n'
        profile = {"~/.codex/lf.config.toml": catalogue()["json-protocol"].example.config}
        write(tmp_path, below, {**profile, "/etc/codex/config.toml": HIDING})
        found = {finding.id: finding for finding in findings(setup_in(tmp_path, profile="lf"))}
        assert found["two-exporters"].place.path.name == "lf.config.toml"

    def test_a_profile_is_read(self, tmp_path) -> None:
        broken = catalogue()["endpoint-path"].example.config
        write(tmp_path, self.DIRECT, {"~/.codex/lf.config.toml": broken})
        assert findings(setup_in(tmp_path)) == []
        [finding] = findings(setup_in(tmp_path, profile="lf"))
        assert finding.id == "endpoint-path"
        assert finding.place.path and finding.place.path.name == "lf.config.toml"

    def test_the_users_file_wins_over_the_systems(self, tmp_path) -> None:
        write(tmp_path, self.DIRECT, {"/etc/codex/config.toml": '[otel]\nmetrics_exporter = "statsig"\n'})
        assert findings(setup_in(tmp_path)) == []

    @pytest.mark.parametrize(("version", "found"), [("0.165.0", {"too-new"}), ("0.166.0", {"overridden"})])
    def test_requirements_hold_from_0_166_on(self, version, found, tmp_path) -> None:
        write(tmp_path, self.DIRECT, {"/etc/codex/requirements.toml": '[otel]\nenvironment = "managed"\n'})
        setup = setup_in(tmp_path, version=Version.parse(version))
        assert {finding.id for finding in findings(setup)} - {"environment-not-sent"} == found

    def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(self, tmp_path) -> None:
        write(tmp_path, b"\xef\xbb\xbf" + self.DIRECT.replace("\n", "\r\n").encode())
        assert findings(setup_in(tmp_path)) == []

    def test_what_is_not_utf_8_is_told_with_its_place(self, tmp_path) -> None:
        write(tmp_path, b'[otel]\nenvironment = "\xfc"\n')
        [finding] = findings(setup_in(tmp_path))
        assert (finding.id, finding.place.line, finding.place.column) == ("not-toml", 2, 16)


class TestVersions:
    CONFIG = (EXAMPLES / "cloud-eu.toml").read_text(encoding="utf-8")

    @pytest.mark.parametrize(
        ("version", "found"),
        [
            ("0.44.0", {"codex-too-old"}),
            ("0.72.0", {"codex-too-old"}),
            ("0.73.0", {"leaks-content", "too-new"}),
            ("0.111.0", {"leaks-content", "too-new"}),
            ("0.113.0", {"too-new"}),
            ("0.129.0", {"too-new", "snapshot-shows-key"}),
            ("0.130.0", {"snapshot-shows-key"}),
            ("0.156.0", {"snapshot-shows-key"}),
            ("0.158.0", set()),
            ("0.169.0", set()),
        ],
    )
    def test_the_reference_configuration(self, version, found, tmp_path) -> None:
        write(tmp_path, self.CONFIG)
        assert {
            finding.id for finding in findings(setup_in(tmp_path, version=Version.parse(version)))
        } == found


class TestDaemons:
    CONFIG = (EXAMPLES / "cloud-eu.toml").read_text(encoding="utf-8")

    @pytest.fixture
    def seen(self, tmp_path):
        write(tmp_path, self.CONFIG)
        changed = (tmp_path / "home/.codex/config.toml").stat().st_mtime
        environment = {"HOME": str(tmp_path / "home"), "USERPROFILE": str(tmp_path / "home"), **GOOD_KEYS}

        def seen(started: float, version: Version = INSTALLED, **variables: str) -> list[str]:
            daemon = Daemon(4711, changed + started, {**environment, **variables}, version)
            return [finding.id for finding in findings(setup_in(tmp_path, daemons=(daemon,)))]

        return seen

    def test_one_that_started_before_the_change_is_told(self, seen) -> None:
        assert seen(-60) == ["daemon"]
        assert seen(60) == []

    def test_one_with_another_key_is_told(self, seen) -> None:
        assert seen(60, **{TRACES_HEADERS: "Authorization=Basic%20b2xk"}) == ["daemon"]

    def test_one_of_another_version_is_found(self, seen) -> None:
        """A Codex 0.171 keeps using a process of 0.163 that was left from before the upgrade."""
        assert seen(60, Version(0, 163, 0)) == ["daemon"]

    def test_one_of_another_home_is_not(self, seen) -> None:
        assert seen(-60, CODEX_HOME="/somewhere/else") == []


_NOT_LOADED = "Error: failed to load bootstrap configuration\n\nCaused by:\n"


@pytest.mark.parametrize(
    ("told", "place", "message"),
    [
        # As 0.142.0 prints it; the others are of 0.171.0.
        ("Error: /a b/c.toml:1:9: bad\n\nCaused by:\n    in `model`", "/a b/c.toml:1:9", "bad"),
        (f"{_NOT_LOADED}    bad\n    in `a.b`\n    ", "a.b", "bad"),
        (f"{_NOT_LOADED}    0: /a.toml:9:1: bad\n    1: x", "/a.toml:9:1", "bad"),
        (f"{_NOT_LOADED}    bad\n    How to fix: do", "", "bad How to fix: do"),
        ("Error: No such file or directory (os error 2)", None, ""),
    ],
)
def test_what_codex_says_when_it_loads_nothing(told, place, message) -> None:
    refused = parse(f"WARNING: proceeding\n{told}")
    if place is None:
        assert refused is None
        return
    assert refused is not None and refused.message == message
    assert (str(refused.place) if refused.place else ".".join(refused.setting)) == place


@pytest.mark.parametrize(
    ("value", "mistake"),
    [
        ("Basic cGstbGYt…", None),
        ("  Basic cGstbGYt…  ", None),
        ("Basic $LANGFUSE_AUTH", "unexpanded-variable"),
        ("Basic %LANGFUSE_AUTH%", "unexpanded-variable"),
        ("Bearer sk-lf-…", "not-basic"),
        ("cGstbGYt…", "not-basic"),
        ("Basic  cGstbGYt…", "not-basic"),
        ("BASIC cGstbGYt…", "not-basic"),
        ("Basic Basic%20cGstbGYt…", "basic-twice"),
        ("Basic !!!", "keys-not-encoded"),
        ("Basic ", "not-basic"),
        ("Basic Og==", "not-a-pair"),
    ],
)
def test_what_is_wrong_with_a_header(value, mistake) -> None:
    assert mistake_in(filled_in(value)) == mistake


@given(
    st.from_regex(r"pk-lf-[A-Za-z0-9-]{4,40}", fullmatch=True),
    st.from_regex(r"sk-lf-[A-Za-z0-9-]{4,40}", fullmatch=True),
)
def test_a_header_of_good_keys_is_right(public_key, secret_key) -> None:
    assert mistake_in(basic_authorization(public_key, secret_key)) is None


def test_headers_are_read_as_codex_reads_them() -> None:
    assert header_list("Authorization=Basic%20a==,x = y , z,=w") == [
        ("Authorization", "Basic a=="),
        ("x", "y"),
    ]


_NAMES = st.sampled_from(
    [
        "otel",
        "exporter",
        "trace_exporter",
        "metrics_exporter",
        "otlp-http",
        "otlp-grpc",
        "endpoint",
        "protocol",
        "headers",
        "tls",
        "ca-certificate",
        "ca_certificate",
        "client-certificate",
        "span_attributes",
        "tracestate",
        "tool_result",
        "max_bytes",
        "environment",
        "log_user_prompt",
        "profiles",
        "shell_environment_policy",
        "exclude",
        "inherit",
        "features",
        "analytics",
        "enabled",
        "Authorization",
        "langfuse.environment",
        "",
    ]
)
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(
        ["otlp-http", "none", "statsig", "http://[", "https://u:p@h:x/", "Basic ${X}", "Basic Og==", "\n"]
    ),
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)


def _without_none(value):
    if isinstance(value, dict):
        return {name: _without_none(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_none(inner) for inner in value if inner is not None]
    return value


class TestHostileFiles:
    """Whatever is in a file, `check` reports it and does not crash."""

    SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

    def look(self, content: bytes, environment: dict[str, str]) -> str:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), content, {".codex/config.toml": "[otel]\n"})
            setup = setup_in(Path(folder), environment)
            list(fixes(setup))
            return as_json(setup, check(setup, offline=True), [])

    @SETTINGS
    @given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
    def test_any_bytes(self, content) -> None:
        assert '"status"' in self.look(content, GOOD_KEYS)

    @SETTINGS
    @given(st.dictionaries(_NAMES, _VALUES, max_size=5), st.dictionaries(_NAMES, _VALUES, max_size=3))
    def test_any_settings(self, otel, others) -> None:
        document = {**others, "otel": {**otel}}
        lines = [
            f"{key_literal((name,))} = {literal(value)}" for name, value in _without_none(document).items()
        ]
        self.look("\n".join(lines).encode(), {})

    @SETTINGS
    @given(
        st.sampled_from(
            [TRACES_HEADERS, "OTEL_EXPORTER_OTLP_HEADERS", "LANGFUSE_BASE_URL", "OTEL_TRACES_SAMPLER_ARG"]
        ),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60),
    )
    def test_any_variable(self, name, value) -> None:
        config = (EXAMPLES / "cloud-eu.toml").read_bytes()
        self.look(config, {name: value, "OTEL_TRACES_SAMPLER": "traceidratio"})

    @pytest.mark.parametrize("text", ["a = [" * 5000, "a = {b=" * 5000, "[a" * 5000, "a." * 5000 + "b = 1"])
    def test_deep_nesting(self, text) -> None:
        self.look(text.encode(), {})


_CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"
_DIRECT = (EXAMPLES / "cloud-eu.toml").read_text(encoding="utf-8")
_RELAY = (EXAMPLES / "relay.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"TRACEPARENT": f"{_CALLER}01"}, set()),
        ({"TRACEPARENT": f"{_CALLER}00"}, {"caller-not-sampled"}),
        ({"TRACEPARENT": f"{_CALLER}02"}, {"caller-not-sampled"}),
        ({"TRACEPARENT": f"{_CALLER}00", "OTEL_TRACES_SAMPLER": "always_on"}, set()),
        (
            {"TRACEPARENT": f"{_CALLER}00", "OTEL_TRACES_SAMPLER": "parentbased_always_on"},
            {"caller-not-sampled"},
        ),
        ({"TRACEPARENT": f"{_CALLER}03"}, {"caller-ignored"}),
        ({"TRACEPARENT": f"{_CALLER}01-x"}, {"caller-ignored"}),
        ({"TRACEPARENT": _CALLER.upper() + "01"}, {"caller-ignored"}),
        ({"TRACEPARENT": _CALLER.replace("00f067aa0ba902b7", "0" * 16) + "01"}, {"caller-ignored"}),
        (
            {
                "TRACEPARENT": f"{_CALLER}01",
                "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
                "OTEL_TRACES_SAMPLER_ARG": "0",
            },
            set(),
        ),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, {"sampler"}),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, {"sampler-ratio"}),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1"}, set()),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, {"sampler"}),
        ({"OTEL_TRACES_EXPORTER": "none"}, {"env-without-effect"}),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, {"env-without-effect"}),
        ({"LANGFUSE_SECRET_KEY": "sk-lf-1"}, set()),
    ],
)
def test_what_variables_do(environment, found, tmp_path) -> None:
    write(tmp_path, _DIRECT)
    setup = setup_in(tmp_path, {**GOOD_KEYS, **environment})
    assert {finding.id for finding in findings(setup)} == found


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"http_proxy": "http://p:1"}, {"proxy-takes-local"}),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "example.org"}, {"proxy-takes-local"}),
        ({"ALL_PROXY": "socks5://p:1"}, {"proxy-takes-local"}),
        ({"http_proxy": "http://p:1", "NO_PROXY": "example.org, 127.0.0.1"}, set()),
        ({"http_proxy": "http://p:1", "no_proxy": "127.0.0.0/8"}, set()),
        ({"http_proxy": "http://p:1", "no_proxy": "*"}, set()),
        ({"https_proxy": "http://p:1"}, set()),
    ],
)
def test_what_a_relay_on_this_machine_needs(environment, found, tmp_path) -> None:
    write(tmp_path, _RELAY)
    assert {finding.id for finding in findings(setup_in(tmp_path, environment))} - {"profile-mixed"} == found


def test_a_secret_key_that_commands_see_is_told(tmp_path) -> None:
    write(
        tmp_path,
        '[otel]\nmetrics_exporter = "none"\n'
        + _exporter("trace_exporter", "http://127.0.0.1:4318/v1/traces"),
    )
    environment = {"LANGFUSE_SECRET_KEY": "sk-lf-1"}
    assert [finding.id for finding in findings(setup_in(tmp_path, environment))] == [
        "key-visible",
        "traces-only",
    ]


def _exporter(key: str, endpoint: str, more: str = "", kind: str = "otlp-http") -> str:
    protocol = 'protocol = "binary"\n' if kind == "otlp-http" else ""
    return f'[otel.{key}.{kind}]\nendpoint = "{endpoint}"\n{protocol}{more}'


@pytest.mark.parametrize(
    ("config", "found", "instead"),
    [
        (_exporter("trace_exporter", "http://localhost:3000"), "endpoint-path", "/api/public/otel/v1/traces"),
        (_exporter("trace_exporter", "http://127.0.0.1:4318"), "endpoint-path", "4318/v1/traces"),
        (_exporter("exporter", "http://127.0.0.1:4318/"), "endpoint-path", "4318/v1/logs"),
        (_exporter("trace_exporter", "http://c:4318/v1/logs"), "endpoint-path", '"http://c:4318/v1/traces"'),
        (_exporter("exporter", "https://c/o/v1/traces"), "endpoint-path", '"https://c/o/v1/logs"'),
        (_exporter("trace_exporter", "http://c/v1/traces/"), "endpoint-path", '"http://c/v1/traces"'),
        (_exporter("metrics_exporter", "http://c/v1/logs"), "endpoint-path", '"http://c/v1/metrics"'),
        (
            _exporter("trace_exporter", "http://c/v1/traces/v1/traces"),
            "endpoint-path",
            '"http://c/v1/traces"',
        ),
        (
            _exporter("trace_exporter", "http://l/lf/api/public/otel/api/public/otel/v1/traces"),
            "endpoint-path",
            '"http://l/lf/api/public/otel/v1/traces"',
        ),
        (
            _exporter("trace_exporter", "https://l/lf/api/public/otel"),
            "endpoint-path",
            '"https://l/lf/api/public/otel/v1/traces"',
        ),
        (_exporter("trace_exporter", "localhost:4318/v1/traces"), "endpoint-scheme", '"http://localhost'),
        (_exporter("trace_exporter", "c.example.org/v1/traces"), "endpoint-scheme", '"https://c.example'),
        (_exporter("trace_exporter", "127.0.0.1:4317", kind="otlp-grpc"), "endpoint-scheme", "http://127"),
        (_exporter("trace_exporter", "http://127.0.0.1:4317/v1/traces"), "protocol-port", ""),
        (
            _exporter("trace_exporter", "http://c:1/v1/traces", 'headers = ["a=b"]\n'),
            "headers-string",
            "{ a =",
        ),
        (
            _exporter("trace_exporter", "http://c:1/v1/traces").replace("endpoint", "url"),
            "unknown-exporter-key",
            "endpoint",
        ),
        ('[otel]\nexporter = "otlp-http"\nendpoint = "http://c:1/v1/logs"\n', "bare-string", "otlp-http"),
        ('[otel.resource_attributes]\nteam = "a"\n', "unknown-key", "OTEL_RESOURCE_ATTRIBUTES=team=a"),
        ('[otel.span_attributes]\nlangfuse.user.id = "a"\n', "span-attribute-value", '"langfuse.user.id"'),
        ('[otel.span_attributes]\nmodel = "a"\n', "swallowed-setting", "above"),
        ('[mcp_servers.l.env]\nLANGFUSE_SECRET_KEY = "sk-lf-1"\n', "secret-in-file", "env_vars"),
        (
            _exporter(
                "exporter", "https://logs.example.com/v1/logs", 'headers = { X-Token = "a-token-of-logs" }\n'
            ),
            "secret-in-file",
            "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
        ),
        (
            _exporter(
                "metrics_exporter",
                "https://m.example.org/v1/metrics",
                'headers = { Authorization = "Bearer dx_12345" }\n',
            ),
            "secret-in-file",
            "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
        ),
    ],
)
def test_forms_in_circulation_get_the_right_advice(config, found, instead, tmp_path) -> None:
    of_it = [finding for finding in of_config(tmp_path, config) if finding.id == found]
    assert of_it and instead in of_it[0].instead


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://c:4318/v1/traces",
        "https://c/otlp",
        "https://l/lf/api/public/otel/v1/traces",
    ],
)
def test_a_whole_endpoint_is_right(endpoint, tmp_path) -> None:
    config = _exporter("trace_exporter", endpoint)
    assert "endpoint-path" not in [finding.id for finding in of_config(tmp_path, config)]


@pytest.mark.parametrize(
    ("name", "version", "found"),
    [
        ("~/.codex/managed-config.toml", "0.171.0", "home-managed-file"),
        ("/etc/codex/managed-config.toml", "0.171.0", "home-managed-file"),
        ("/etc/codex/requirements.toml", "0.150.0", "too-new"),
        ("~/.codex/work.config.toml", "0.171.0", None),
        ("~/.codex/old-config.toml", "0.171.0", None),
    ],
)
def test_a_file_that_is_not_read_is_named(name, version, found, tmp_path) -> None:
    traces = _exporter("trace_exporter", "http://127.0.0.1:4318/v1/traces")
    write(tmp_path, '[otel]\nmetrics_exporter = "none"\n' + traces, {name: traces})
    setup = setup_in(tmp_path, version=Version.parse(version))
    own = [each for each in findings(setup) if each.place.path and each.place.path.name == Path(name).name]
    assert [each.id for each in own] == ([found] if found else [])


@pytest.mark.parametrize("exporter", ["trace_exporter", "exporter", "metrics_exporter"])
def test_a_header_in_two_spellings_is_named_with_the_line_of_the_second(exporter, tmp_path) -> None:
    headers = 'x-team = "a"\nx-other = "b"\nX-Team = "c"\n'
    config = _exporter(exporter, "http://c/v1/x") + f"[otel.{exporter}.otlp-http.headers]\n{headers}"
    [found] = [each for each in of_config(tmp_path, config) if each.id == "header-twice"]
    assert "`x-team` and `X-Team`" in found.detail
    assert config.splitlines()[(found.place.line or 0) - 1] == 'X-Team = "c"'


@pytest.mark.skipif(os.name == "nt", reason="commands are those of a Unix shell")
@pytest.mark.parametrize(
    ("command", "detail"),
    [
        ("", "It is empty."),
        ("  ", "It is empty."),
        ("/nowhere/helper --headers", "/nowhere/helper does not exist."),
        ("./nowhere.sh", "nowhere.sh does not exist."),
        ("./helper.sh --headers", None),  # in CODEX_HOME, where Codex runs it
        ("codex-langfuse auth --headers", None),
        ("no-such-helper --headers", "no-such-helper is not on the PATH."),
        ("printf '{}'", None),
        ("exec ./helper.sh", None),
        ("$HOME/helper", None),
        ("~/helper", None),
    ],
)
def test_what_shows_of_a_helper_without_running_it(command, detail, tmp_path) -> None:
    config = f"[otel]\nheaders_helper = {literal(command)}\n"
    config += _exporter("trace_exporter", "https://cloud.langfuse.com/api/public/otel/v1/traces")
    write(tmp_path, config, {"~/.codex/helper.sh": "exit 1"})
    setup = setup_in(tmp_path, environment={"PATH": f"{Path(sys.executable).parent}:{os.defpath}"})
    found = [each.detail for each in findings(setup) if each.id == "headers-helper"]
    assert len(found) == (detail is not None)
    assert all(each.endswith(detail) for each in found)
    older = replace(setup, version=Version.parse("0.169.0"))
    assert "headers-helper" not in [each.id for each in findings(older)]


def test_a_redirect_to_another_host_gets_no_header(tmp_path) -> None:
    """Nor a question: what a server answers that is not the one in the file says nothing about the set-up."""
    asked: list[str] = []

    class Redirecting(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(f"{self.headers['host']} {self.headers['x-token']}")
            self.send_response(307)
            self.send_header("location", f"http://localhost:{self.server.server_address[1]}/v1/traces")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as serving:
        threading.Thread(target=serving.serve_forever, args=(0.02,), daemon=True).start()
        address = f"127.0.0.1:{serving.server_address[1]}"
        headers = 'headers = { x-token = "secret-of-mine", Authorization = "Basic cGstbGYt" }\n'
        write(tmp_path, "[otel]\n" + _exporter("trace_exporter", f"http://{address}/v1/traces", headers))
        [answer] = server.ask(setup_in(tmp_path, environment={}))
        serving.shutdown()
    assert asked == [f"{address} secret-of-mine"]
    assert "307" in answer.said and "to localhost, which gets no header from here" in answer.said


def test_windows_own_file_is_named_in_wsl(tmp_path, monkeypatch) -> None:
    homes = tmp_path / "Users"
    (homes / "ada/.codex").mkdir(parents=True)
    (homes / "ada/.codex/config.toml").write_text(_exporter("trace_exporter", "http://c/v1/traces"))
    monkeypatch.setattr(rules_of_exporters, "WINDOWS_HOMES", homes)
    [finding] = [each for each in of_config(tmp_path, "") if each.id == "no-exporter"]
    assert str(homes / "ada/.codex/config.toml") in finding.detail


def test_in_a_container_this_machine_is_the_container(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(server, "CONTAINER_MARKS", (tmp_path,))
    assert "is the container" in server._in_container("http://127.0.0.1:4318/v1/traces")
    assert server._in_container("http://relay.example.com:4318/v1/traces") == ""


def test_a_vendor_that_gets_langfuses_key_is_named(tmp_path) -> None:
    metrics = _exporter("metrics_exporter", "https://m.example.org/v1/metrics")
    config = metrics + _exporter("trace_exporter", "https://cloud.langfuse.com/api/public/otel/v1/traces")
    write(tmp_path, config, {"/etc/codex/config.toml": HIDING})
    key = {"OTEL_EXPORTER_OTLP_HEADERS": GOOD_KEYS[TRACES_HEADERS]}
    [finding] = [each for each in findings(setup_in(tmp_path, key)) if each.id == "generic-headers"]
    assert "m.example.org" in finding.detail and "METRICS_HEADERS" in finding.instead


def test_what_the_relay_found_without_a_price_is_no_reason_to_fail(tmp_path) -> None:
    setup = replace(setup_in(tmp_path), without_price="gpt-6.2-sol (5 input). They count as $0.")
    [finding] = [finding for finding in findings(setup) if finding.id == "no-price"]
    assert (finding.severity, str(finding.place)) == ("info", "relay")
    assert "gpt-6.2-sol (5 input)" in finding.detail
