"""The Codex that tests and examples run is a user's Codex, apart from what ``codex.replaced`` lists."""

import json
import subprocess
from pathlib import Path

import pytest

from codex_langfuse.codex import replaced
from codex_langfuse.codex.isolated import IsolatedCodex, run_in_group
from codex_langfuse.codex.scripted_model import ScriptedModel
from harness.surroundings import Surroundings

pytestmark = pytest.mark.codex


@pytest.fixture(scope="module")
def codex(surroundings: Surroundings, tmp_path_factory: pytest.TempPathFactory) -> IsolatedCodex:
    return surroundings.codex(tmp_path_factory.mktemp("codex"))


def shape(model: ScriptedModel) -> dict[str, object]:
    """What a turn asked of the model, without what differs between any two turns."""
    requests = [*model.warm_ups, *model.requests]
    assert {request.path for request in requests} == {"/v1/responses"}
    metadata = json.loads(requests[-1].body["client_metadata"]["x-codex-turn-metadata"])
    return {
        "model": {request.model for request in requests},
        "transport": [request.transport for request in requests],
        "warm-ups": len(model.warm_ups),
        "code mode": [request.code_mode for request in model.requests],
        "tools": model.requests[0].tools,
        "reasoning": model.requests[0].body["reasoning"],
        "tier": model.requests[0].body.get("service_tier"),
        "sandbox": [metadata["sandbox"], metadata["sandbox_mode"]],
        "fields": [sorted(request.body) for request in requests],
    }


def test_a_turn_asks_what_it_asks_without_replacements(
    surroundings: Surroundings, codex: IsolatedCodex
) -> None:
    """The other Codex has the model's address in its configuration, and a key: nothing else."""
    surroundings.clear()
    surroundings.model.play("tool call")
    codex.write_config("")
    assert codex.run_exec().returncode == 0
    ours = shape(surroundings.model)

    surroundings.model.play("tool call")
    codex.write_config(f'openai_base_url = "{surroundings.model.base_url}"\n')
    run = run_in_group(
        [codex.binary, "exec", "Say hello."], cwd=codex.workspace, environment=codex.environment
    )
    assert run.returncode == 0, run.stderr
    theirs = shape(surroundings.model)
    if not replaced.has_sandbox(codex.binary, codex.environment):
        del ours["sandbox"], theirs["sandbox"]
    assert ours == theirs
    assert ours["transport"] == ["websocket"] * 3


def test_the_model_is_the_first_that_codex_lists_in_its_tool_mode(
    surroundings: Surroundings, codex: IsolatedCodex
) -> None:
    listed = json.loads(codex.run("debug", "models").stdout)["models"]
    first = min((each for each in listed if each["visibility"] == "list"), key=lambda each: each["priority"])
    surroundings.clear()
    codex.write_config("")
    assert codex.run_exec().returncode == 0
    [request] = surroundings.model.requests
    assert request.model == first["slug"]
    assert request.code_mode == (first["tool_mode"] == "code_mode_only")


def test_nothing_is_given_to_codex_that_is_not_listed(
    surroundings: Surroundings, codex: IsolatedCodex
) -> None:
    given = dict(argument.split("=", 1) for argument in codex.command[2::2])
    listed = {each.name: each.value for each in replaced.REPLACEMENTS if each.how == "setting"}
    listed["openai_base_url"] = surroundings.model.base_url
    if replaced.has_sandbox(codex.binary, codex.environment):
        del listed["sandbox_mode"]
    assert given == listed
    assert codex.command[1::2] == ["-c"] * len(given)


def test_where_the_sandbox_fails_it_is_replaced(tmp_path: Path) -> None:
    program = tmp_path / "codex"
    program.write_text('#!/bin/sh\n[ "$1" != sandbox ]\n')
    program.chmod(0o755)
    codex = IsolatedCodex(tmp_path / "codex-home", binary=program)
    assert codex.command[-1] == "sandbox_mode=danger-full-access"


def test_a_command_of_the_model_runs_in_the_sandbox(surroundings: Surroundings, codex: IsolatedCodex) -> None:
    if not replaced.has_sandbox(codex.binary, codex.environment):
        pytest.skip("this machine does not let Codex have its sandbox")
    surroundings.clear()
    surroundings.model.play("tool call")
    codex.write_config("")
    run = codex.run_exec()
    assert "sandbox: read-only" in run.stderr
    assert "provider: openai" in run.stderr


def test_the_sandbox_is_asked_for_once(monkeypatch: pytest.MonkeyPatch, codex: IsolatedCodex) -> None:
    known = replaced.has_sandbox(codex.binary, codex.environment)
    monkeypatch.setattr(subprocess, "run", None)
    assert replaced.has_sandbox(codex.binary, codex.environment) is known
