"""Each symptom of docs/guide/troubleshooting.md has a check, a cause and a fix, and something makes it.

Most are made by the page's own fences. Here are those that need a model, an editor or a proxy of their own.
"""

import getpass
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
from harness.fences.pages import DOCS
from harness.fences.scanner import ROOT
from harness.interfaces import by_app_server
from harness.running_relay import settings_for

PAGE = (DOCS / "guide/troubleshooting.md").read_text(encoding="utf-8")
#: Takes a turn with a Codex, until what it is told says so.
Turn = Callable[[IsolatedCodex, Callable[[], bool]], None]

CONFIG = """\
[otel]
metrics_exporter = "none"
log_user_prompt = true
exporter = {{ otlp-http = {{ endpoint = "{url}/v1/logs", protocol = "binary" }} }}
trace_exporter = {{ otlp-http = {{ endpoint = "{url}/v1/traces", protocol = "binary" }} }}
"""


SYMPTOMS = """
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
    turn: Turn | None = None,
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
    """Not the AGENTS.md that Codex puts before it."""
    rows = relayed(tmp_path, SCENARIOS["plain turn"], content=Content.PROMPTS, AGENTS="Be brief.\n")
    (agent,) = [row for row in rows if row["type"] == "AGENT"]
    assert agent["input"] == "Say hello."


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


@contextmanager
def nginx(folder: Path, langfuse: str, setting: str) -> Iterator[str]:
    """nginx in front of ``langfuse``, with nothing set but ``setting``; yields its address."""
    program = shutil.which("nginx") or ROOT / ".tools/nginx"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    places = " ".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"user {getpass.getuser()}; daemon off; pid {folder}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {places} {setting}\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {langfuse}; }} }} }}\n"
    )
    serving = subprocess.Popen([program, "-p", str(folder), "-c", "nginx.conf"])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        serving.terminate()
        serving.wait()


@pytest.mark.parametrize(("setting", "status"), [("", 413), ("client_max_body_size 20m;", 401)])
def test_nginx_takes_one_megabyte_unless_told_otherwise(tmp_path: Path, setting: str, status: int) -> None:
    transport = httpx.HTTPTransport(retries=5)
    with (
        running_mock() as langfuse,
        nginx(tmp_path, langfuse.url, setting) as url,
        httpx.Client(transport=transport, base_url=url) as client,
    ):
        below, above = (
            client.post("/api/public/otel/v1/traces", content=bytes(size)).status_code
            for size in (1024 * 1024, 1024 * 1024 + 1)
        )
    assert (below, above) == (401, status)
