"""The page contributing/code.md leads to what is there, and its commands run."""

import re
import subprocess
from pathlib import Path

import pytest

from harness.fences.scanner import ROOT

PAGE = (ROOT / "docs/contributing/code.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "src/codex_langfuse"
#: Not of the project: files of readers, an address on the site.
OPEN = {"docs/…/page.md", "config.toml", "/guide/preview/", "NAME"}


def sections() -> list[str]:
    return re.split(r"^#{2,3} |^Through ", PAGE, flags=re.M)


def file_of(name: str, folders: list[Path]) -> Path | None:
    return next((folder / name for folder in folders if (folder / name).exists()), None)


@pytest.mark.parametrize("section", sections(), ids=lambda text: text.split("\n")[0][:40])
def test_files_and_names_are_there(section: str) -> None:
    """Every file is there, and every name of the code is in a file of its section."""
    folders = [ROOT]
    texts = []
    names = []
    for code in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", section, flags=re.M | re.S)):
        if code in OPEN:
            continue
        if re.fullmatch(r"[\w./-]+(?:\.(?:py|toml|md|yml)|/)", code):
            file = file_of(code, folders)
            assert file is not None, f"{code} is not there"
            folders.append(file if file.is_dir() else file.parent)
            texts += [
                each.read_text(encoding="utf-8") for each in (file.glob("*.py") if file.is_dir() else [file])
            ]
        elif re.fullmatch(r"_\w+|[A-Z]\w+", code):
            names.append(code)
    missing = [name for name in names if not any(name in text for text in texts)]
    assert not missing


def test_every_room_is_in_the_tree() -> None:
    rooms = [file.parent.relative_to(ROOT).as_posix() for file in PACKAGE.glob("*/__init__.py")]
    assert rooms and [room for room in rooms if f"| `{room}/` |" not in PAGE] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ".venv/bin/python -m pytest tests/test_masking.py",
        ".venv/bin/python -m pytest tests/test_examples.py -k docs/contributing/translating.md",
    ],
)
def test_only_what_is_needed_runs(command: str) -> None:
    run = subprocess.run(command.split(), cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"\d+ passed", run.stdout)
