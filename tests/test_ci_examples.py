"""`examples/ci/`: the files fit their schemas, and their steps do what the page "CI" says.

The steps run in their order, each as the service runs it. What is replaced: the programs that install, the
address of Langfuse, and the port of the relay, as another may be in use on this machine.
"""

import hashlib
import json
import os
import re
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from codex_langfuse.codex.isolated import IsolatedCodex
from codex_langfuse.codex.scripted_model import SCENARIOS, Message, Scenario, ToolCall, running_scripted_model
from codex_langfuse.mock.server import RunningMock, running_mock
from harness.fences.scanner import ROOT
from harness.fences.schemas import problems

EXAMPLES = ROOT / "examples/ci"
SCHEMA = json.loads((ROOT / "examples/relay/status.schema.json").read_text(encoding="utf-8"))
VALUES = {"github.run_id": "1001", "github.run_attempt": "1", "github.job": "codex"}
JOB = "1001-1-codex"


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "schema"), [("github-actions.yml", "github-workflows"), ("gitlab-ci.yml", "gitlab-ci")]
)
def test_the_file_fits_its_schema(name: str, schema: str) -> None:
    assert problems(f"vendor.{schema}", [read(name)]) == []


def steps_of(name: str) -> list[tuple[str, Mapping[str, str]]]:
    """Return the shell of each step and its variables."""
    document = read(name)
    if name == "gitlab-ci.yml":
        job = document["codex"]
        return [("\n".join([*job["before_script"], *job["script"]]), job["variables"])]
    steps = document["jobs"]["codex"]["steps"]
    return [(step["run"], step.get("env", {})) for step in steps if "run" in step]


@dataclass
class Job:
    """How a job ended, and what it left."""

    status: int
    printed: str
    installed: str
    langfuse: RunningMock
    record: dict[str, Any]


def run_job(
    name: str, folder: Path, langfuse: RunningMock, scenario: Scenario | str, prompt: str = ""
) -> tuple[Job, list[str]]:
    """Run the steps of a file; return the job, and what its commands printed to the model."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        relay = f"127.0.0.1:{free.getsockname()[1]}"
    playing = SCENARIOS[scenario] if isinstance(scenario, str) else scenario
    with running_scripted_model(playing) as model:
        codex = IsolatedCodex(folder, model_url=model.base_url)
        for program in ("npm", "pipx", "apt-get"):
            (codex.bin / program).write_text(f'#!/bin/sh\necho {program} "$@" >> "$HOME/installed"\n')
            (codex.bin / program).chmod(0o755)
        script = (EXAMPLES / "codex-in-langfuse.sh").read_text(encoding="utf-8")
        for old, new in (
            ("relay --state", f"relay --listen {relay} --state"),
            ("127.0.0.1:4318", relay),
            ("config relay", f"config relay --endpoint http://{relay}"),
        ):
            assert old in script
            script = script.replace(old, new, 1)
        (codex.workspace / "ci").mkdir()
        (codex.workspace / "ci/codex-in-langfuse.sh").write_text(script, encoding="utf-8")
        (codex.workspace / "ci/codex-in-langfuse.sh").chmod(0o755)
        keys = {"LANGFUSE_PUBLIC_KEY": langfuse.public_key, "LANGFUSE_SECRET_KEY": langfuse.secret_key}
        status, printed = 0, ""
        for text, variables in steps_of(name):
            given = {key: _filled(str(value), keys) for key, value in variables.items()}
            path = os.pathsep.join([str(codex.bin), str(ROOT / ".venv/bin"), os.environ["PATH"]])
            done = subprocess.run(
                ["bash", "-e", "-c", text.replace("Say hello in one word.", prompt or "Say hello.")],
                cwd=codex.workspace,
                env={
                    **codex.environment,
                    **(keys if name == "gitlab-ci.yml" else {}),
                    **given,
                    "LANGFUSE_BASE_URL": langfuse.url,
                    "PATH": path,
                    "OPENAI_API_KEY": "invented",
                },
                capture_output=True,
                text=True,
                timeout=90,
                check=False,
            )
            status, printed = status or done.returncode, printed + done.stdout + done.stderr
        record = json.loads((codex.workspace / "turns.json").read_text(encoding="utf-8"))
        jsonschema.validate(record, SCHEMA)
        installed = (codex.home / "installed").read_text()
        outputs = [output for request in model.requests for output in request.outputs]
        return Job(status, printed, installed, langfuse, record), outputs


def _filled(text: str, keys: Mapping[str, str]) -> str:
    values = {**VALUES, **{f"secrets.{key}": value for key, value in keys.items()}, "CI_JOB_ID": "77"}
    text = re.sub(r"\$\{\{ *([a-zA-Z_.]+) *\}\}", lambda found: values.get(found[1], "invented"), text)
    return text.replace("$CI_JOB_ID", values["CI_JOB_ID"])


@pytest.mark.codex
@pytest.mark.skipif(os.name == "nt", reason="the script is for bash")
def test_a_job_is_one_trace_that_is_known_beforehand(tmp_path: Path) -> None:
    scenario = Scenario((ToolCall("exec_command", {"cmd": "env"}), Message("Hello.")))
    with running_mock() as langfuse:
        job, outputs = run_job("github-actions.yml", tmp_path, langfuse, scenario)
        assert job.status == 0, job.printed
        trace = hashlib.sha256(JOB.encode()).hexdigest()[:32]
        assert f"trace {trace}" in job.printed
        (turn,) = job.record["last_turns"]
        assert (turn["trace"], turn["outcome"], turn["state"]) == (trace, "ok", "accepted")
        assert list(langfuse.store.traces) == [trace]
        (agent,) = [each for each in langfuse.store.traces[trace] if each["type"] == "AGENT"]
    assert agent["parentObservationId"] and agent["isRootObservation"]
    assert (agent["environment"], str(agent["metadata"]["resource.ci.job"])) == ("ci", JOB)
    assert "@openai/codex@" in job.installed and "codex-langfuse" in job.installed
    assert outputs and not any(langfuse.secret_key in output for output in outputs)


@pytest.mark.codex
@pytest.mark.skipif(os.name == "nt", reason="the script is for bash")
@pytest.mark.parametrize(
    ("scenario", "prompt", "outcomes"),
    [("400", "", ["failed"]), ("plain turn", '" --no-such-option "', [])],
    ids=["the model refuses", "Codex does not start"],
)
def test_a_codex_that_fails_at_once_fails_the_job(
    tmp_path: Path, scenario: str, prompt: str, outcomes: list[str]
) -> None:
    with running_mock() as langfuse:
        job, _ = run_job("gitlab-ci.yml", tmp_path, langfuse, scenario, prompt)
        assert job.status not in (0, None)
        assert [turn["outcome"] for turn in job.record["last_turns"]] == outcomes
        for turn in job.record["last_turns"]:
            assert "400" in turn["message"]
            assert turn["state"] == "accepted"
            (agent,) = [each for each in langfuse.store.traces[turn["trace"]] if each["type"] == "AGENT"]
            assert agent["level"] == "ERROR"
