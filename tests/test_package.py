"""The package: its types, what its wheel holds, and that the command starts where only the wheel is."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from harness.fences.scanner import ROOT


@pytest.mark.slow
def test_types() -> None:
    run = subprocess.run([ROOT / ".venv/bin/mypy"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by way of the sdist, so that this holds what it takes."""
    project = tmp_path_factory.mktemp("checkout")
    shutil.copytree(
        ROOT / "src",
        project / "src",
        ignore=shutil.ignore_patterns("*.egg-info", "__pycache__", ".mypy_cache"),
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    build = [sys.executable, "-m", "build", "--no-isolation", project]
    run = subprocess.run(build, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (wheel,) = project.glob("dist/*.whl")
    return wheel


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = {
        file.relative_to(ROOT / "src").as_posix()
        for file in (ROOT / "src/codex_langfuse").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert held == package
