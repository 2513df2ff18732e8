"""The direct route without a key in Codex's environment: Codex asks ``codex-langfuse auth --headers``."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from codex_langfuse.codex.binary import codex_version, find_codex
from codex_langfuse.codex.isolated import IsolatedCodex
from codex_langfuse.codex.scripted_model import COMMAND_OF_PROMPT, Message, Scenario, ToolCall
from codex_langfuse.codex.versions import HEADERS_HELPER, Version
from codex_langfuse.keys.credentials import basic_authorization
from codex_langfuse.keys.key_file import key_file_text
from codex_langfuse.private_file import write_private
from harness.fences.scanner import ROOT
from harness.surroundings import METRICS_HOST, Surroundings

pytestmark = [pytest.mark.codex, pytest.mark.skipif(os.name == "nt", reason="written for a Unix shell")]

SECRET = "sk-lf-4b0e7d92-66f3-4f6a-8a53-0f5e1a7c9002"


def configured(codex: IsolatedCodex, *arguments: str) -> str:
    """Run ``codex-langfuse config`` as the user of ``codex``; returns the file."""
    subprocess.run(
        [sys.executable, "-m", "codex_langfuse", "config", *arguments, "--yes"],
        env={**codex.environment, "PATH": f"{codex.bin}{os.pathsep}{codex.environment['PATH']}"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return (codex.codex_home / "config.toml").read_text()


def keep_key(codex: IsolatedCodex, public: str, secret: str, url: str) -> Path:
    file = codex.home / ".config/codex-langfuse/env"
    write_private(file, key_file_text(public, secret, url))
    return file


def test_the_key_is_in_the_key_file_only(surroundings: Surroundings, tmp_path: Path) -> None:
    codex = surroundings.codex(tmp_path)
    langfuse = surroundings.langfuse
    has_helper = Version.parse(codex_version(find_codex())) >= HEADERS_HELPER
    keep_key(codex, langfuse.public_key, langfuse.secret_key, langfuse.url)
    config = configured(codex, "direct")
    assert f'endpoint = "{langfuse.url}/' in config
    assert ("headers_helper" in config) is has_helper
    # Metrics stay at their default here, to see what goes to OpenAI.
    shown = config.replace('metrics_exporter = "none"', 'metrics_exporter = "statsig"')
    look = Scenario((ToolCall("exec_command", {"cmd": COMMAND_OF_PROMPT}), Message("Done.")))
    outcome = surroundings.turn(codex, shown, scenario=look, prompt="Run `env`.")
    assert outcome.run.returncode == 0
    key = basic_authorization(langfuse.public_key, langfuse.secret_key)
    # An older Codex needs the variable.
    assert outcome.header("authorization") == ({key} if has_helper else {None})
    assert outcome.at(METRICS_HOST)
    assert not [request for request in outcome.at(METRICS_HOST) if key in str(request.headers)]
    seen = str(surroundings.model.requests[-1].body)
    assert langfuse.secret_key not in seen
    assert key[6:] not in seen


@pytest.mark.parametrize("script", ["scripts/generate-langfuse-auth.sh --headers"])
def test_the_helper_script_will_do(script: str, surroundings: Surroundings, tmp_path: Path) -> None:
    codex = surroundings.codex(tmp_path)
    langfuse = surroundings.langfuse
    config = (
        (ROOT / "examples/codex/self-hosted.toml").read_text().replace("http://localhost:3000", langfuse.url)
    )
    config = config.replace("[otel]\n", f'[otel]\nheaders_helper = "{ROOT}/{script}"\n')
    for secret in (
        langfuse.secret_key,
        SECRET,
    ):  # Another key takes effect with the next start at the latest.
        keep_key(codex, langfuse.public_key, secret, langfuse.url)
        outcome = surroundings.turn(codex, config)
        assert outcome.header("authorization") == {basic_authorization(langfuse.public_key, secret)}


def test_another_route_takes_the_helper_away(surroundings: Surroundings, tmp_path: Path) -> None:
    codex = surroundings.codex(tmp_path)
    keep_key(codex, "pk-lf-1", SECRET, "http://127.0.0.1:9")
    assert "headers_helper prints it" in configured(codex, "direct", "--codex-version", "0.171.0")
    for route in (["relay"], ["off"], ["direct", "--codex-version", "0.163.0"]):
        again = configured(codex, "direct", "--codex-version", "0.171.0")
        assert "auth --headers" in again
        assert "headers_helper" not in configured(codex, *route)


def checked(codex: IsolatedCodex, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "codex_langfuse", "check", "--codex-version", "0.171.0", *arguments],
        env=codex.environment, cwd=codex.workspace, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_check_judges_it_and_runs_another_only_when_asked(surroundings: Surroundings, tmp_path: Path) -> None:
    codex = surroundings.codex(tmp_path)
    langfuse = surroundings.langfuse
    file = keep_key(codex, langfuse.public_key, langfuse.secret_key, langfuse.url)
    config = configured(codex, "direct", "--codex-version", "0.171.0")
    right = checked(codex)
    assert "address and keys are accepted" in right.stdout, right.stdout
    assert right.returncode == 0
    keep_key(codex, langfuse.public_key, SECRET, langfuse.url)
    assert "refused" in checked(codex).stdout
    file.unlink()
    assert "codex-langfuse/env is not there" in checked(codex).stdout

    ran = tmp_path / "ran"
    key = basic_authorization(langfuse.public_key, langfuse.secret_key)
    (tmp_path / "mine").write_text(f"touch '{ran}'; echo '{{\"Authorization\": \"{key}\"}}'\n")
    mine = re.sub("headers_helper = .*", f'headers_helper = "sh {tmp_path}/mine"', config)
    codex.write_config(mine)
    assert "add --run-helper" in checked(codex).stdout
    assert not ran.exists()
    assert "address and keys are accepted" in checked(codex, "--run-helper").stdout
    assert ran.exists()
