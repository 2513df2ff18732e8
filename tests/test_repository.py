"""The repository's address is one setting, and all that names the project follows it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from codex_langfuse.page_addresses import REPOSITORY
from harness.fences.scanner import ROOT

OWNER, NAME = REPOSITORY.split("/")
ADDRESS = re.compile(rf"github\.com/([\w.-]+)/{NAME}\b|\b([\w-]+)\.github\.io/{NAME}\b")


def tracked(folder: Path) -> dict[str, str]:
    """The text files of a checkout that name a place on GitHub, by their names."""
    found = subprocess.run(
        ["git", "grep", "-lI", "-e", "github[.]com/", "-e", "github[.]io/"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return {name: (folder / name).read_text(encoding="utf-8") for name in found.stdout.splitlines()}


def owners(folder: Path) -> set[str]:
    texts = tracked(folder).values()
    return {first or second for text in texts for first, second in ADDRESS.findall(text)}


def test_no_file_names_another_owner() -> None:
    assert owners(ROOT) == {OWNER}


@pytest.mark.slow
def test_one_command_writes_it_everywhere(tmp_path: Path) -> None:
    """As the publishing workflow runs it: pages, messages, helper scripts, examples, the site's address."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", ROOT.as_uri(), clone], check=True)
    script = clone / "scripts/repository"
    wrong = subprocess.run([script, "https://github.com/a/b"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, owners(clone)) == (2, {OWNER})
    subprocess.run([script, "acme-1/observed.codex"], check=True)
    assert owners(clone) == set()
    left = [name for name, text in tracked(clone).items() if f"{OWNER}/" in text or f"{OWNER}.github" in text]
    assert left == []
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "from codex_langfuse.page_addresses import page_url; print(page_url('quickstart'))",
        ],
        env={"PYTHONPATH": str(clone / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "https://acme-1.github.io/observed.codex/quickstart/\n"
    changed = subprocess.run(
        ["git", "diff", "--name-only"], cwd=clone, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in ("mkdocs.yml", "scripts/generate-langfuse-auth.sh", "docs/guide/troubleshooting.md"):
        assert name in changed
    assert "acme-1.github.io/observed.codex" in (clone / "mkdocs.yml").read_text()
