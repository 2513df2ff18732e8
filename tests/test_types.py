"""mypy, strict, has nothing to say about the package; installed, the package says that it has types."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from harness.fences.scanner import ROOT

COMMAND = ".venv/bin/mypy"
#: The files that mypy still complains about, one a line. The list may only get shorter.
TO_FIX = ROOT / "tests/types_to_fix.txt"


def test_types() -> None:
    listed = set(TO_FIX.read_text(encoding="utf-8").split())
    run = subprocess.run([ROOT / COMMAND], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    complaints = {line: line.partition(":")[0] for line in run.stdout.splitlines() if ": error: " in line}
    new = [line for line, file in complaints.items() if file not in listed]
    assert not new, "\n".join([*new, f"Run: {COMMAND}"])
    fixed = listed - set(complaints.values())
    assert not fixed, f"mypy has nothing to say about these any more. Remove them from {TO_FIX}: {fixed}"


def test_the_wheel_says_that_it_has_types(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(ROOT / "src", project / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=project, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert "codex_langfuse/py.typed" in zipfile.ZipFile(wheel).namelist()
