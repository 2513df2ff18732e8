"""What docs/guide/integration.md says of profiles, with the real Codex."""

import tomllib

import pytest

from codex_langfuse.codex.isolated import IsolatedCodex
from codex_langfuse.configuration.amend import amend
from codex_langfuse.configuration.route import Route
from codex_langfuse.configuration.routes import OtelSettings
from codex_langfuse.keys.credentials import BaseUrl, read_base_url
from harness.surroundings import Surroundings

pytestmark = pytest.mark.codex

PROFILE = """\
[otel]
metrics_exporter = "none"
[otel.trace_exporter.otlp-http]
endpoint = "https://cloud.langfuse.com/api/public/otel/v1/traces"
protocol = "binary"
"""
LOGS = """\
[otel]
metrics_exporter = "none"
exporter = {}
"""
ELSEWHERE = '{ otlp-http = { endpoint = "https://logs.example/v1/logs", protocol = "binary" } }'


@pytest.mark.parametrize(("exporter", "goes_to_both"), [(ELSEWHERE, True), ('"none"', False)])
def test_what_a_profile_does_not_say_comes_from_config_toml(
    surroundings: Surroundings, shared_codex: IsolatedCodex, exporter: str, goes_to_both: bool
) -> None:
    profile = shared_codex.codex_home / "work.config.toml"
    profile.write_text(PROFILE, encoding="utf-8")
    try:
        outcome = surroundings.turn(shared_codex, LOGS.format(exporter), "-p", "work")
    finally:
        profile.unlink()
    assert outcome.langfuse, "no traces"
    assert bool(outcome.at("logs.example")) is goes_to_both


@pytest.mark.parametrize("route", [Route.DIRECT, Route.OFF])
def test_a_profile_that_the_command_wrote_sends_nothing_where_config_toml_does(
    surroundings: Surroundings, shared_codex: IsolatedCodex, route: Route
) -> None:
    relay = amend("", OtelSettings(Route.RELAY, BaseUrl("https://relay.example"))).text
    direct = route is Route.DIRECT
    settings = OtelSettings(route, read_base_url("eu") if direct else None)
    profile = shared_codex.codex_home / "work.config.toml"
    profile.write_text(amend("", settings, below=tomllib.loads(relay)).text, encoding="utf-8")
    try:
        outcome = surroundings.turn(shared_codex, relay, "-p", "work")
    finally:
        profile.unlink()
    assert outcome.run.returncode == 0
    assert bool(outcome.langfuse) is direct
    assert outcome.at("relay.example") == []
