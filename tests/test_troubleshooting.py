"""Each symptom of docs/guide/troubleshooting.md has a check, a cause and a fix, and something makes it.

Most are made by the page's own fences. Here are those that need a model, an editor or a proxy of their own.
"""

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from codex_langfuse.codex.isolated import IsolatedCodex
from codex_langfuse.codex.scripted_model import SCENARIOS, Scenario, running_scripted_model
from codex_langfuse.mock.server import running_mock
from codex_langfuse.relay.assembly import Assembly
from codex_langfuse.relay.policy import Content, Policy
from codex_langfuse.relay.server import running_relay
from harness.combinations import PROVIDERS
from harness.interfaces import by_app_server
from harness.nginx import running_nginx
from harness.running_relay import settings_for
from translations import DOCS

PAGE = (DOCS / "guide/troubleshooting.md").read_text(encoding="utf-8")
#: Takes a turn with a Codex, until what it is told says so.
RunTurn = Callable[[IsolatedCodex, Callable[[], bool]], None]

CONFIG = """\
[otel]
metrics_exporter = "none"
log_user_prompt = true
exporter = {{ otlp-http = {{ endpoint = "{url}/v1/logs", protocol = "binary" }} }}
trace_exporter = {{ otlp-http = {{ endpoint = "{url}/v1/traces", protocol = "binary" }} }}
"""


SYMPTOMS = """
nothing-relay nothing-direct refused-keys slow-exit
relay-not-running after-reboot port-in-use cost tokens-missing proxy
editor vscode-agent-host wsl container set-aside
"""


@pytest.mark.parametrize("section", SYMPTOMS.split())
def test_a_symptom_has_a_check_a_cause_and_a_fix(section: str) -> None:
    text = re.search(rf"^#+ [^\n]*\{{ #{section} \}}\n(.*?)(?=^#|\Z)", PAGE, re.M | re.S)[1]
    assert {"**Check**", "**Cause**", "**Fix**"} <= set(re.findall(r"\*\*\w+\*\*", text))


def relayed(
    tmp_path: Path,
    scenario: Scenario,
    turn: RunTurn | None = None,
    content: Content = Content.NONE,
    provider: str = "websocket",
    **files: str,
) -> list[Mapping]:
    """Return what a turn of the real Codex becomes through a relay; ``files`` are in its project."""
    with running_mock() as langfuse, running_scripted_model(scenario) as model:
        codex = IsolatedCodex(tmp_path / "codex", model_url=model.base_url)
        settings = settings_for(langfuse, tmp_path / "state")
        for name, text in files.items():
            (codex.workspace / f"{name}.md").write_text(text)
        with running_relay(settings, Assembly(Policy(content=content))) as url:
            codex.write_config(PROVIDERS[provider].format(url=model.base_url) + CONFIG.format(url=url))
            if turn is None:
                assert codex.run_exec().returncode == 0
            else:
                turn(codex, lambda: True)
        return langfuse.store.rows()


@pytest.mark.codex
def test_a_provider_without_usage(tmp_path: Path) -> None:
    """The model call says so; no token is made up, and the turn ended well."""
    rows = relayed(tmp_path, replace(SCENARIOS["plain turn"], without_usage=True), provider="http")
    calls = [row for row in rows if row["type"] == "GENERATION"]
    assert [call["statusMessage"] for call in calls] == ["usage not reported"]
    assert [row["level"] for row in rows if row["type"] == "AGENT"] == ["DEFAULT"]
    assert not any(call["usageDetails"].get("total") for call in calls)


@pytest.mark.codex
def test_the_input_is_what_was_typed(tmp_path: Path) -> None:
    """Not the AGENTS.md that Codex puts before it, whatever the prompt looks like."""
    prompts = {
        "Say hello.",
        "<user_instructions>Say & do</user_instructions>",
        "/review this",
        "$skill, 你好",
    }

    def turns(codex: IsolatedCodex, _: object) -> None:
        assert {codex.run_exec(prompt).returncode for prompt in prompts} == {0}

    rows = relayed(tmp_path, SCENARIOS["plain turn"], turns, content=Content.PROMPTS, AGENTS="Be brief.\n")
    assert {row["input"] for row in rows if row["type"] == "AGENT"} == prompts


@pytest.mark.codex
def test_an_editor_is_found_by_its_tag(tmp_path: Path) -> None:
    """The client's name, as an editor gives it to `codex app-server`."""
    rows = relayed(tmp_path, SCENARIOS["plain turn"], by_app_server)
    assert rows and all("codex_vscode" in row["tags"] for row in rows)


@pytest.mark.codex
def test_an_editors_codex_starts_without_a_configuration_that_it_refuses(
    shared_codex: IsolatedCodex,
) -> None:
    shared_codex.write_config('[otel]\ntrace_exporter = "otlp-http"\n')
    run = subprocess.run(
        [*shared_codex.command, "app-server"], cwd=shared_codex.workspace, env=shared_codex.environment,
        stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip
    assert (run.returncode, "Invalid configuration; using defaults" in run.stderr) == (0, True)


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "status"), [("", 413), ("client_max_body_size 20m;", 401)])
def test_nginx_takes_one_megabyte_unless_told_otherwise(tmp_path: Path, setting: str, status: int) -> None:
    with running_mock() as langfuse:
        server = f"server {{ listen {{listen}}; location / {{ proxy_pass {langfuse.url}; }} }}"
        with running_nginx(tmp_path, server, setting) as port:
            below, above = (
                httpx.post(
                    f"http://127.0.0.1:{port}/api/public/otel/v1/traces", content=bytes(size)
                ).status_code
                for size in (1024 * 1024, 1024 * 1024 + 1)
            )
    assert (below, above) == (401, status)
