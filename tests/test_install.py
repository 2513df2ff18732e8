"""The command installs, upgrades and uninstalls as the pages say, with all that it needs at run time.

pipx, uv, Git and the packages are real; pipx works with uv, as it does where it finds it. The project's
address leads to a clone of this checkout.
"""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from codex_langfuse.mock.server import running_mock
from harness.fences.checkout import ADDRESS, GIT
from harness.fences.scanner import ROOT
from translations import DOCS

pytestmark = pytest.mark.slow

#: What the pages have a reader type: by pipx (once with a test turn), and by uv.
WITH_PIPX = """
pipx install git+https://github.com/YOUR_ORG/codex-langfuse
codex-langfuse setup
pipx upgrade codex-langfuse
codex-langfuse relay --stop && codex-langfuse setup --yes
codex-langfuse uninstall --yes
pipx uninstall codex-langfuse
"""
WITH_UV = """
uv tool install git+https://github.com/YOUR_ORG/codex-langfuse
uv tool upgrade codex-langfuse
uv tool uninstall codex-langfuse
"""

Type = Callable[[str], str]


def test_every_python_that_the_project_names_is_in_the_workflow() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    assert workflow["jobs"]["linux"]["strategy"]["matrix"]["python"] == named
    assert project["requires-python"] == f">={named[0]}"


def test_the_pages_name_no_other_way() -> None:
    for page in ("index", "quickstart", "reference/command-line"):
        text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
        named = re.findall(r"(?m)(?:^|`)((?:pipx|uv tool) \w+ (?:git|codex|\.)[^`\n,]*)", text)
        assert set(named) <= {*WITH_PIPX.splitlines(), *WITH_UV.splitlines()}, page


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare clone of this checkout, as it was last committed."""
    bare = tmp_path_factory.mktemp("server") / "codex-langfuse.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", ROOT.as_uri(), bare], check=True)
    return bare


@pytest.fixture(scope="module")
def wheel(repository: Path) -> Path:
    """Built by way of the sdist, so that this holds what it takes."""
    checkout = repository.parent / "checkout"
    subprocess.run(["git", "clone", "--quiet", repository, checkout], check=True)
    build = [sys.executable, "-m", "build", "--no-isolation", checkout]
    run = subprocess.run(build, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (wheel,) = checkout.glob("dist/*.whl")
    return wheel


@pytest.fixture
def environment(tmp_path: Path, repository: Path) -> dict[str, str]:
    """An empty home, without a service manager; what uv fetched before is at hand."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LANGFUSE_", "OTEL_", "XDG_", "CODEX_", "PIPX_", "UV_TOOL_"))
    }
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "systemctl").write_text("#!/bin/sh\nexit 1\n")
    (programs / "systemctl").chmod(0o755)
    path = [tmp_path / ".local/bin", programs, ROOT / ".venv/bin", os.environ["PATH"]]
    return kept | {
        **GIT,
        "GIT_CONFIG_KEY_0": f"url.{repository.as_uri()}.insteadOf",
        "HOME": str(tmp_path),
        "PATH": ":".join(map(str, path)),
        "UV_CACHE_DIR": str(Path.home() / ".cache/uv"),
        "UV_NO_GITHUB_FAST_PATH": "1",
    }


@pytest.fixture
def typed(tmp_path: Path, environment: dict[str, str]) -> Type:
    def typed(line: str) -> str:
        run = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, line + run.stdout + run.stderr
        return run.stdout

    return typed


def publish(repository: Path, version: str) -> None:
    """Commit this version to the repository that the reader installs from."""
    checkout = repository.parent / f"version-{version}"
    subprocess.run(["git", "clone", "--quiet", repository, checkout], check=True)
    project = checkout / "pyproject.toml"
    project.write_text(re.sub(r'(?m)^version = ".*"', f'version = "{version}"', project.read_text()))
    for arguments in (["commit", "--quiet", "-am", version], ["push", "--quiet", "origin", "HEAD"]):
        subprocess.run(["git", *arguments], cwd=checkout, env=os.environ | GIT, check=True)


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(
        ["git", "ls-files", "src/codex_langfuse"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert held == {name.removeprefix("src/") for name in tracked.stdout.splitlines()}


@pytest.mark.network
def test_the_wheel_has_the_command_and_what_it_needs(wheel: Path, typed: Type) -> None:
    typed(f"uv tool install {wheel}")
    assert typed("~/.local/bin/codex-langfuse --version") == "codex-langfuse 0.1.0\n"


@pytest.mark.network
def test_with_pipx_from_the_address_to_a_turn_and_back(
    repository: Path, environment: dict[str, str], typed: Type, tmp_path: Path
) -> None:
    """The relay that setup starts is the installed one, and after the upgrade the new one."""
    install, set_up, upgrade, restart, take_back, uninstall = WITH_PIPX.strip().splitlines()
    assert ADDRESS in install
    typed(install)
    publish(repository, "7.0.0")
    with running_mock() as mock:
        environment |= {
            "LANGFUSE_BASE_URL": mock.url,
            "LANGFUSE_PUBLIC_KEY": mock.public_key,
            "LANGFUSE_SECRET_KEY": mock.secret_key,
        }
        try:
            typed(f"{set_up} --yes --listen 127.0.0.1:0")
            typed(upgrade)
            assert typed("codex-langfuse --version") == "codex-langfuse 7.0.0\n"
            typed(restart.replace("setup", "setup --listen 127.0.0.1:0"))
            assert len([row for row in mock.store.rows() if row["type"] == "AGENT"]) == 2
        finally:
            typed(take_back)
    typed(uninstall)
    assert not list((tmp_path / ".local/bin").iterdir())


@pytest.mark.network
def test_with_uv(repository: Path, typed: Type, tmp_path: Path) -> None:
    install, upgrade, uninstall = WITH_UV.strip().splitlines()
    typed(install)
    publish(repository, "7.0.1")
    typed(upgrade)
    assert typed("~/.local/bin/codex-langfuse --version") == "codex-langfuse 7.0.1\n"
    typed(uninstall)
    assert not list((tmp_path / ".local/bin").iterdir())
