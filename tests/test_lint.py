"""Code, prose and shell read as one hand wrote them; each failure names the command that mends it."""

import subprocess

import pytest

from harness.fences.scanner import ROOT

MARKDOWN = ["docs", "README.md", "README.zh.md", "CONTRIBUTING.md", "CHANGELOG.md"]

CHECKS = {
    "ruff check": ["ruff", "check", "src", "scripts", "tests"],
    "ruff format": ["ruff", "format", "--check", "src", "scripts", "tests"],
    "typos": ["typos"],
    "rumdl check": ["rumdl", "check", *MARKDOWN],
    "check-jsonschema": [
        "check-jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
        ".github/workflows/test.yml",
        ".github/workflows/pages.yml",
        ".github/workflows/drift.yml",
    ],
}


@pytest.mark.parametrize("command", CHECKS.values(), ids=CHECKS)
def test_lint(command: list[str]) -> None:
    program = ROOT / ".venv/bin" / command[0]
    result = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    said = result.stdout + result.stderr
    assert result.returncode == 0, f"{said}\nRun: .venv/bin/{' '.join(command).replace(' --check', '')}"
