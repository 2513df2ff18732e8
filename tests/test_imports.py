"""Who may import whom: the rooms of the package, and the package, the page code and the tests."""

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from conftest import marks_of
from harness.fences.scanner import ROOT

FOLDERS = {"src": ROOT / "src", "scripts/site": ROOT / "scripts/site", "tests": ROOT / "tests"}
#: Programs that a shell starts by their name, so that nothing else can say where their modules are.
STARTED_BY_NAME = ROOT / "tests/harness/stand_ins/bin"


def top_level_names(folder: Path) -> set[str]:
    """What can be imported when ``folder`` is on Python's path."""
    return {file.stem for file in folder.glob("*.py")} | {
        file.parent.name for file in folder.glob("*/__init__.py")
    }


@cache
def imported(file: Path) -> frozenset[str]:
    """The first names of all imports of ``file``, those within functions too."""
    names = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.append(node.module)
    return frozenset(name.partition(".")[0] for name in names)


def test_rooms_of_the_package() -> None:
    """The rules are in pyproject.toml."""
    linter = [ROOT / ".venv/bin/lint-imports", "--no-cache", "--no-logo"]
    run = subprocess.run(linter, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "2 kept, 0 broken" in run.stdout


@pytest.mark.parametrize(
    ("importing", "never"), [("src", "scripts/site"), ("src", "tests"), ("scripts/site", "tests")]
)
def test_folders(importing: str, never: str) -> None:
    forbidden = top_level_names(FOLDERS[never])
    files = sorted(FOLDERS[importing].rglob("*.py"))
    assert forbidden and files
    wrong = {
        file.relative_to(ROOT).as_posix(): names for file in files if (names := forbidden & imported(file))
    }
    assert not wrong, f"{importing} must not import {never}"


def test_no_test_module_is_imported() -> None:
    """What several share is in tests/harness, so that a module of tests can change, move or go away."""
    files = sorted(FOLDERS["tests"].rglob("*.py"))
    modules = {file.stem for file in files if file.stem.startswith("test_")}
    wrong = {file.name: names for file in files if (names := modules & imported(file))}
    assert modules and not wrong


def test_no_file_puts_folders_on_the_path() -> None:
    word = "sys." + "path"
    files = [
        file
        for folder in (*FOLDERS.values(), ROOT / "scripts")
        for file in folder.rglob("*")
        if file.is_file()
    ]
    texts = {file: file.read_bytes() for file in files if "__pycache__" not in file.parts}
    assert [
        file for file, text in texts.items() if word.encode() in text and file.parent != STARTED_BY_NAME
    ] == []


@pytest.mark.slow
def test_modules_for_windows_import_nothing_that_only_unix_has() -> None:
    """With the modules of Unix away, as conftest.py has it there."""
    marked = [file.stem for file in sorted((ROOT / "tests").glob("test_*.py")) if "windows" in marks_of(file)]
    script = (
        "import asyncio, psutil, subprocess, sys\n"
        "sys.modules.update(dict.fromkeys(['fcntl', 'grp', 'pty', 'pwd', 'resource', 'termios', 'tty']))\n"
        f"import {', '.join(['conftest', 'harness.fixtures', 'harness.site', *marked])}"
    )
    path = os.pathsep.join(str(ROOT / folder) for folder in ("tests", "scripts/site"))
    run = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert marked and run.returncode == 0, run.stderr
