"""The command installs as the pages say, with all that it needs at run time."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from harness.fences.scanner import ROOT


def test_every_python_that_the_project_names_is_in_the_workflow() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    assert workflow["jobs"]["linux"]["strategy"]["matrix"]["python"] == named
    assert project["requires-python"] == f">={named[0]}"


@pytest.mark.network
def test_pipx_installs_a_working_command(tmp_path: Path) -> None:
    """What a reader types in a checkout: pipx install ."""
    environment = os.environ | {"PIPX_HOME": f"{tmp_path}/home", "PIPX_BIN_DIR": f"{tmp_path}/bin"}
    typed = ["pipx", "install", "."]
    installed = subprocess.run(
        [ROOT / ".venv/bin" / typed[0], *typed[1:]],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert installed.returncode == 0, installed.stdout + installed.stderr
    command = tmp_path / "bin/codex-langfuse"
    version = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout == "codex-langfuse 0.1.0\n"
    mock = subprocess.Popen([command, "mock", "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert mock.stdout.readline().startswith("http://127.0.0.1:")
    finally:
        mock.terminate()
        assert mock.wait(timeout=60) == 0
