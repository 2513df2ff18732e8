"""The commands of the README do what it says, run for real from the checkout.

A fresh clone is tried where the whole suite runs: there ``./scripts/test`` itself is what runs this.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from harness.fences.scanner import ROOT
from running_collector import free_port


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.site
def test_serve_serves_the_site() -> None:
    """`./scripts/serve`, on another port than a maintainer may be using."""
    port = free_port()
    serving = subprocess.Popen(
        ["./scripts/serve", "--dev-addr", f"127.0.0.1:{port}"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for path, word in (("/", "Codex"), ("/zh/quickstart/", "快速")):
            assert word in _get(f"http://127.0.0.1:{port}{path}", serving)
    finally:
        os.killpg(serving.pid, signal.SIGINT)
        serving.wait(timeout=60)


@pytest.mark.site
def test_serve_shows_a_page_with_a_broken_link(tmp_path: Path) -> None:
    """A writer looks at a page before what it links to is there, though the build is strict."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# Broken\n\n[Where?](not-there.md)\n", encoding="utf-8")
    (tmp_path / "mkdocs.yml").write_text("site_name: Test\nstrict: true\n", encoding="utf-8")
    port = free_port()
    serving = subprocess.Popen(
        ["./scripts/serve", "--dev-addr", f"127.0.0.1:{port}", "--config-file", tmp_path / "mkdocs.yml"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert "Where?" in _get(f"http://127.0.0.1:{port}/", serving)
    finally:
        os.killpg(serving.pid, signal.SIGINT)
        serving.wait(timeout=60)


def _get(address: str, serving: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and serving.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=60) as response:
                return response.read().decode()
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{address} is not served")


def test_ci_runs_the_readmes_test_command() -> None:
    assert (ROOT / ".ci/run").read_text().splitlines()[-1] == "exec ./scripts/test"


def test_help_of_the_test_command() -> None:
    """`./scripts/test` says its three forms."""
    result = run("./scripts/test", "--help")
    assert result.returncode == 0
    for form in ("scripts/test ", "scripts/test quick", "scripts/test update"):
        assert form in result.stdout


def test_setup_is_not_done_twice() -> None:
    run("scripts/setup", "quick")
    result = run("scripts/setup", "quick")
    assert (result.returncode, result.stderr) == (0, "")


def test_setup_says_what_is_missing(tmp_path: Path) -> None:
    """On a machine with neither Python nor Node: the commands that install them."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "cat", "id"):
        tools.joinpath(name).symlink_to(shutil.which(name))
    result = run("scripts/setup", "site", PATH=str(tools))
    assert result.returncode == 1
    assert "Python 3.11 or newer is needed" in result.stderr
    assert "sudo apt-get install -y python3 python3-venv" in result.stderr


def a_copy(folder: Path) -> Path:
    """What `scripts/setup` reads, in a folder where nothing is installed."""
    for name in ("scripts/setup", "requirements/site.lock", "requirements/all.lock", "pyproject.toml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder / "scripts/setup"


def test_setup_says_at_once_that_node_is_missing(tmp_path: Path) -> None:
    setup, tools = a_copy(tmp_path / "copy"), tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "cat"):
        tools.joinpath(name).symlink_to(shutil.which(name))
    result = run(str(setup), "site", PATH=str(tools), PYTHON=sys.executable)
    assert result.returncode == 1
    assert result.stderr.startswith("setup: Node.js 20 or newer, with npm, is needed")
    assert not (tmp_path / "copy/.venv").exists()


@pytest.mark.slow
def test_setup_in_a_moved_folder_without_a_network(tmp_path: Path) -> None:
    setup = a_copy(tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/.installed-site").write_text(f"{'0' * 64} Python 3.11.7 /a folder/before\n")
    nowhere = "http://127.0.0.1:9/simple"
    result = run(str(setup), "site", PIP_INDEX_URL=nowhere, PIP_CONFIG_FILE=os.devnull)
    assert result.returncode == 1
    moved, index, _ = result.stderr.splitlines()
    assert moved == "setup: this folder was at /a folder/before: making .venv again"
    assert index.startswith("setup: the Python package index does not answer.")


def test_serve_says_at_once_that_the_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        for arguments in (["--dev-addr", address], [f"--dev-addr={address}"], ["-a", address]):
            result = run("scripts/serve", *arguments)
            assert result.returncode == 1
            assert result.stderr.startswith(f"serve: another program listens on {address}. ")
            assert result.stderr.count("\n") == 1


def test_mkdocs_builds_without_the_npm_packages(tmp_path: Path) -> None:
    """Strictly, with one warning; the diagram is there as text, and no script asks for a library."""
    hooks = [f"  - {ROOT}/scripts/site/hooks/{name}.py" for name in ("fences", "mermaid_library")]
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# A\n\n```mermaid\nflowchart LR\n    a --> b\n```\n")
    (tmp_path / "mkdocs.yml").write_text(
        "site_name: Test\ntheme: {name: material, font: false}\nhooks:\n"
        + "\n".join(hooks)
        + "\nplugins:\n  - mermaid2:\n      javascript: assets/vendor/mermaid.min.js\n"
        "  - i18n:\n      languages: [{locale: en, name: English, default: true}]\n"
        "markdown_extensions: [pymdownx.superfences]\n"
    )
    config = str(tmp_path / "mkdocs.yml")
    built = run(str(ROOT / ".venv/bin/mkdocs"), "build", "--strict", "--quiet", "--config-file", config)
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "site/index.html").read_text()
    assert "a --&gt; b" in page
    assert 'class="mermaid"' not in page and "mermaid.min.js" not in page
    assert built.stderr.count("WARNING -") == 1


def test_setup_refuses_an_unknown_part() -> None:
    result = run("scripts/setup", "everything")
    assert result.returncode == 2
    assert "say site, quick, codex or all" in result.stderr


@pytest.mark.parametrize("lock", ["requirements/all.lock", "requirements/site.lock", "package-lock.json"])
def test_locks_hold_hashes_and_no_addresses(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert text.count("sha256:" if lock.endswith(".lock") else "sha512-") >= 2


def _pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / lock).read_text(), re.M))


def test_both_python_locks_agree() -> None:
    assert _pins("requirements/site.lock").items() <= _pins("requirements/all.lock").items()


@pytest.mark.parametrize("script", ["setup", "serve", "test", "lock", "repository"])
def test_shell_scripts_are_clean(script: str) -> None:
    result = run(str(ROOT / ".venv/bin/shellcheck"), f"scripts/{script}")
    assert result.returncode == 0, result.stdout
