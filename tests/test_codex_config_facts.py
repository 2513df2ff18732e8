"""What the real Codex says of an `[otel]` table: every form that a reader may meet or mistype."""

import pytest

from codex_langfuse.exports import spans_in

pytestmark = pytest.mark.codex

URL = "https://cloud.langfuse.com/api/public/otel/v1/traces"


def in_otel(exporter: str, body: str) -> str:
    return f"[otel]\n{exporter} = {{ otlp-http = {{ {body} }} }}\n"


def copied(key: str) -> str:
    """The form that many pages show."""
    return f'''[otel]
{key} = "otlp-http"

[otel.{key}."otlp-http"]
endpoint = "{URL}"
protocol = "binary"
'''


TABLE = f'''[otel.trace_exporter.otlp-http]
endpoint = "{URL}"
protocol = "binary"
'''
INLINE = in_otel("trace_exporter", f'endpoint = "{URL}", protocol = "binary"')

WORKING = {
    "inline table": INLINE,
    "inline table, quoted key": INLINE.replace("otlp-http", '"otlp-http"'),
    "only a table": TABLE,
    "only a table, quoted key": TABLE.replace("otlp-http", '"otlp-http"'),
    "table with a table of headers": f"{TABLE}[otel.trace_exporter.otlp-http.headers]\nx-a = '4'\n",
    "JSON": TABLE.replace("binary", "json"),
    "nothing": '[otel]\nexporter = "none"\ntrace_exporter = "none"\nmetrics_exporter = "none"\n',
    "span attributes": '[otel.span_attributes]\n"langfuse.user.id" = "ada"\n',
}

# Configuration, what Codex says, and the line and column it says it of.
BROKEN = {
    "exporter twice": (
        copied("exporter"),
        "cannot extend value of type string with a dotted key",
        (4, 7),
    ),
    "trace_exporter twice": (
        copied("trace_exporter"),
        "cannot extend value of type string with a dotted key",
        (4, 7),
    ),
    "exporter as a bare string": (
        '[otel]\nexporter = "otlp-http"\n',
        "invalid type: unit variant, expected struct variant",
        (1, 1),
    ),
    "trace_exporter as a bare string, endpoint beside it": (
        f'[otel]\ntrace_exporter = "otlp-http"\nendpoint = "{URL}"\n',
        "invalid type: unit variant, expected struct variant",
        (1, 1),
    ),
    "otlp_http": (
        "[otel]\ntrace_exporter = { otlp_http = {} }\n",
        "unknown variant `otlp_http`, expected one of `none`, `statsig`, `otlp-http`, `otlp-grpc`",
        (2, 18),
    ),
    "protocol http/protobuf": (
        f'[otel.trace_exporter.otlp-http]\nendpoint = "{URL}"\nprotocol = "http/protobuf"\n',
        "unknown variant `http/protobuf`, expected `binary` or `json`",
        (3, 12),
    ),
    "no protocol": (
        f'[otel.trace_exporter.otlp-http]\nendpoint = "{URL}"\n',
        "missing field `protocol`",
        (1, 1),
    ),
    "no endpoint": (
        '[otel.trace_exporter.otlp-http]\nprotocol = "binary"\n',
        "missing field `endpoint`",
        (1, 1),
    ),
    "headers as a string": (
        in_otel("trace_exporter", f'endpoint = "{URL}", protocol = "binary", headers = "a=b"'),
        'invalid type: string "a=b", expected a map',
        (2, 132),
    ),
    "a header that is a number": (
        in_otel("trace_exporter", f'endpoint = "{URL}", protocol = "binary", headers = {{ v = 4 }}'),
        "invalid type: integer `4`, expected a string",
        (2, 138),
    ),
    "a span attribute that is a number": (
        "[otel.span_attributes]\nteam = 4\n",
        "invalid type: integer `4`, expected a string",
        (2, 8),
    ),
    "[otel] twice": ("[otel]\n[otel]\n", "duplicate key", (2, 2)),
}


@pytest.mark.parametrize("form", WORKING)
def test_this_form_loads(shared_codex, form) -> None:
    check = shared_codex.check_config(WORKING[form])
    assert check.valid, check


@pytest.mark.parametrize("form", BROKEN)
def test_this_form_does_not_load(shared_codex, form) -> None:
    config, message, place = BROKEN[form]
    check = shared_codex.check_config(config)
    assert not check.valid
    assert (check.message, (check.line, check.column)) == (message, place)


@pytest.mark.parametrize(
    ("form", "printed"),
    [
        ("exporter twice", "config.toml:4:7: cannot extend value of type string with a dotted key"),
        ("trace_exporter twice", "config.toml:4:7: cannot extend value of type string with a dotted key"),
        (
            "exporter as a bare string",
            "invalid type: unit variant, expected struct variant\nin `otel.exporter`",
        ),
        (
            "protocol http/protobuf",
            "unknown variant `http/protobuf`, expected `binary` or `json`\nin `otel.trace_exporter.protocol`",
        ),
    ],
)
def test_codex_exec_refuses_to_start(surroundings, shared_codex, form, printed) -> None:
    surroundings.clear()
    outcome = surroundings.turn(shared_codex, BROKEN[form][0])
    assert outcome.run.returncode == 1
    assert printed in outcome.run.stderr
    assert surroundings.model.requests == []


def test_a_misspelt_key_is_ignored_with_a_warning(surroundings, shared_codex) -> None:
    config = in_otel("traces_exporter", f'endpoint = "{URL}", protocol = "binary"')
    outcome = surroundings.turn(shared_codex, config)
    assert outcome.run.returncode == 0
    assert "warning: Codex is ignoring 1 unrecognized configuration setting." in outcome.run.stderr
    assert "`otel.traces_exporter` is ignored." in outcome.run.stderr
    assert list(outcome.langfuse) == []
    assert shared_codex.check_config(config).message == "unknown configuration field `otel.traces_exporter`"


def test_a_misspelt_key_inside_the_exporter_is_ignored_without_a_word(surroundings, shared_codex) -> None:
    config = in_otel("trace_exporter", f'endpoint = "{URL}", protocol = "binary", timeout = 3')
    outcome = surroundings.turn(shared_codex, config)
    assert outcome.run.returncode == 0
    assert "ignor" not in outcome.run.stderr
    assert outcome.langfuse
    check = shared_codex.check_config(config)
    assert check.message == "unknown configuration field `otel.trace_exporter.timeout`"


def test_an_endpoint_without_a_scheme_switches_everything_off(surroundings, shared_codex) -> None:
    endpoint = URL.removeprefix("https://")
    config = in_otel("trace_exporter", f'endpoint = "{endpoint}", protocol = "binary"')
    outcome = surroundings.turn(shared_codex, config)
    assert outcome.run.returncode == 0
    assert (
        f"Could not create otel exporter: invalid URI {endpoint}. Reason invalid format" in outcome.run.stderr
    )
    assert list(outcome.proxied) == []


class TestProjectConfiguration:
    """`[otel]` in the `.codex/config.toml` of a project."""

    WARNING = "warning: Ignored unsupported project-local config keys in {}: otel."

    @pytest.fixture
    def outcome(self, surroundings, tmp_path, trust):
        codex = surroundings.codex(tmp_path)
        project = codex.workspace / ".codex" / "config.toml"
        project.parent.mkdir()
        project.write_text(INLINE)
        projects = f"projects={{'{codex.workspace}'={{trust_level='{trust}'}}}}"
        outcome = surroundings.turn(codex, "", "-c", projects, "-c", "sandbox_mode=read-only")
        assert outcome.run.returncode == 0
        assert list(outcome.langfuse) == []
        return outcome

    @pytest.mark.parametrize("trust", ["trusted"])
    def test_is_ignored_with_a_warning_where_trusted(self, outcome, tmp_path) -> None:
        path = tmp_path.resolve() / "workspace" / ".codex" / "config.toml"
        assert self.WARNING.format(path) in outcome.run.stderr

    @pytest.mark.parametrize("trust", ["untrusted"])
    def test_is_ignored_with_all_of_the_file_where_not(self, outcome) -> None:
        assert "Untrusted project-local configuration is disabled" in outcome.run.stderr
        assert "otel." not in outcome.run.stderr


def test_overrides_before_and_after_the_subcommand_hold(surroundings, shared_codex) -> None:
    surroundings.clear()
    shared_codex.write_config(INLINE)
    once = shared_codex.run("-c", "otel.environment=early", "exec", "Say hello.")
    assert once.returncode == 0
    assert environments(surroundings) == {"early"}

    surroundings.clear()
    both = shared_codex.run("-c", "otel.environment=early", "exec", "-c", "model=late", "Say hello.")
    assert both.returncode == 0
    assert environments(surroundings) == {"early"}


def environments(surroundings) -> set[str]:
    return {
        span.resource["env"]
        for span in spans_in(request.body for request in surroundings.langfuse.store.requests)
    }
