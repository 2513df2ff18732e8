"""The quick checks report nothing: each hook of .pre-commit-config.yaml, as pre-commit runs it."""

import re
import subprocess

import pytest
import yaml

from harness.fences.scanner import ROOT

(LOCAL,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
HOOKS = {hook["id"]: hook["entry"] for hook in LOCAL["hooks"]}


@pytest.mark.parametrize("hook", HOOKS)
def test_hook(hook: str) -> None:
    command = [".venv/bin/pre-commit", "run", "--all-files", hook]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    fix = HOOKS[hook].replace(" --check", "")
    assert result.returncode == 0, f"{result.stdout}{result.stderr}\nRun: {fix}"


@pytest.mark.parametrize("folder", ["workflows", "ISSUE_TEMPLATE"])
def test_no_file_is_left_out(folder: str) -> None:
    checked = " ".join(HOOKS.values())
    files = [file.relative_to(ROOT).as_posix() for file in ROOT.glob(f".github/{folder}/*.yml")]
    assert files and [file for file in files if f" {file}" not in checked] == []


@pytest.mark.slow
def test_types() -> None:
    run = subprocess.run([ROOT / ".venv/bin/mypy"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_each_exception_has_a_reason() -> None:
    bare = re.compile(r"# (noqa|type: ignore)(: [A-Z0-9, ]+|\[[\w, -]+\])?$", re.M)
    files = [file for folder in ("src", "scripts", "tests") for file in (ROOT / folder).rglob("*.py")]
    assert files and [file for file in files if bare.search(file.read_text(encoding="utf-8"))] == []
