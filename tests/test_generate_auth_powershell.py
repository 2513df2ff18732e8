"""The PowerShell script: read everywhere, run beside ``codex-langfuse auth`` where PowerShell is."""

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest
import tree_sitter_pwsh
from tree_sitter import Language, Parser

from codex_langfuse.keys.key_file import key_file_text
from codex_langfuse.mock.server import running_mock
from codex_langfuse.page_addresses import SITE
from harness.commands import run_auth
from harness.credential_cases import (
    ANSWERS,
    BOTH,
    EXAMPLES,
    HOSTILE,
    PAGES,
    PLACES,
    PUBLIC,
    REFUSED_ADDRESSES,
    REFUSED_KEYS,
    SECRET,
    USAGE_ERRORS,
    answering,
    header,
)
from harness.fences.scanner import ROOT
from harness.no_langfuse import closed_port

pytestmark = pytest.mark.windows

SCRIPT = ROOT / "scripts/generate-langfuse-auth.ps1"
SHELL_SCRIPT = ROOT / "scripts/generate-langfuse-auth.sh"
POWERSHELL = shutil.which("pwsh") or shutil.which("powershell")
COMMAND = [str(POWERSHELL), "-NoProfile", "-ExecutionPolicy", "Bypass"]

needs_powershell = pytest.mark.skipif(POWERSHELL is None, reason="neither pwsh nor powershell is on the PATH")


def test_it_parses() -> None:
    text = SCRIPT.read_bytes()
    assert text.isascii(), "PowerShell 5.1 would read it in the code page of the machine"
    assert not Parser(Language(tree_sitter_pwsh.language())).parse(text).root_node.has_error
    code = re.sub(r"@'\n.*?\n'@", "", text.decode(), flags=re.S)
    assert not re.search(r"^\s*(export |fi$|done$|then$)|<<|\$\{\w+:-|\?\?|&&|\|\||\s\?\s", code, re.M)


def test_it_carries_the_words_of_the_shell_script() -> None:
    shell, powershell = SHELL_SCRIPT.read_text(), SCRIPT.read_text()
    example = (EXAMPLES / "cloud-eu.toml").read_text().splitlines()
    endpoint = next(index for index, line in enumerate(example) if line.startswith("endpoint"))
    for part in (example[1:endpoint], example[endpoint + 1 :]):
        assert "@'\n" + "\n".join(part) + "\n'@" in powershell
    beginnings = "See|the|Check|For|Make|Try|They|Give|give|langfuse"
    sentences = re.findall(rf"'((?:{beginnings})[^'$\"]{{18,}}[^'$\"\s(])'", shell)
    sentences = [sentence for sentence in sentences if "is no option" not in sentence]
    assert len(sentences) > 15
    for sentence in map(with_its_options, sentences):
        assert sentence in powershell
    assert f"$site = '{SITE.rstrip('/')}'" in powershell
    assert set(re.findall(r"\$site \+ '/(\S+)'", powershell)) == {url.removeprefix(SITE) for url in PAGES}


def with_its_options(text: str) -> str:
    """Write ``--any-key-form`` as PowerShell's ``-AnyKeyForm``."""
    return re.sub(r"--([a-z-]+)", lambda option: "-" + option[1].title().replace("-", ""), text)


def run(
    *arguments: str, stdin: str = "", strict: bool = False, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the script; ``strict`` starts it from a session in strict mode."""
    words = " ".join("'" + word.replace("'", "''") + "'" if word[:1] != "-" else word for word in arguments)
    from_session = ["-Command", f"Set-StrictMode -Version Latest; & '{SCRIPT}' {words}; exit $LASTEXITCODE"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LANGFUSE_", "OTEL_"))}
    return subprocess.run(
        [*COMMAND, *(from_session if strict else ("-File", str(SCRIPT), *arguments))],
        env={**kept, "NO_PROXY": "127.0.0.1,localhost", **variables},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@needs_powershell
def test_it_does_what_the_command_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(*arguments: str, stdin: str = "", **variables: str) -> None:
        shell = () if "--headers" in arguments else ("--shell", "powershell")
        expected = run_auth(monkeypatch, *shell, *arguments, stdin=stdin, **variables)
        for strict in (False,) if stdin else (False, True):
            result = run(*map(with_its_options, arguments), stdin=stdin, strict=strict, **variables)
            assert result.stderr == with_its_options(expected.stderr), strict
            assert result.stdout == expected.stdout, strict
            assert result.returncode == expected.exit_code, strict

    for region in PLACES:
        both("--region", region, **BOTH)
    both("--base-url", "http://localhost:3000", "--quiet", **BOTH)
    both("--region", "eu", "--public-key", PUBLIC, "--secret-stdin", stdin=f"{SECRET}\n")
    for secret in HOSTILE:
        both("--region", "eu", "--any-key-form", LANGFUSE_PUBLIC_KEY="x", LANGFUSE_SECRET_KEY=secret)
    for public, secret, _ in REFUSED_KEYS.values():
        both("--region", "eu", LANGFUSE_PUBLIC_KEY=public, LANGFUSE_SECRET_KEY=secret)
    for address in REFUSED_ADDRESSES:
        both(LANGFUSE_BASE_URL=address, **BOTH)
    for arguments, variables in USAGE_ERRORS.values():
        both(*arguments, **variables)
    with running_mock() as mock:
        known = {"LANGFUSE_PUBLIC_KEY": mock.public_key, "LANGFUSE_SECRET_KEY": mock.secret_key}
        both("--base-url", mock.url, "--check", **known)
        both("--base-url", mock.url, "--check", **BOTH)
    for status, body, _ in ANSWERS.values():
        with answering(status, body) as url:
            both("--base-url", url, "--check", **BOTH)
    both("--base-url", "HTTP://localhost:3000", **BOTH)
    both("--base-url", closed_port(), "--check", **BOTH)
    both("--base-url", "https://langfuse.invalid", "--check", **BOTH)


@needs_powershell
def test_it_writes_a_private_file(tmp_path: Path) -> None:
    file = tmp_path / "new/it's here/[x] env.ps1"
    for _ in range(2):
        result = run("-Region", "eu", "-Write", str(file), **BOTH)
        assert result.returncode == 0, result.stderr
    assert header(PUBLIC, SECRET)[6:] not in result.stdout + result.stderr
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    load = f"{result.stdout.splitlines()[1]}; $env:OTEL_EXPORTER_OTLP_TRACES_HEADERS"
    shown = subprocess.run([*COMMAND, "-Command", load], capture_output=True, text=True, check=True)
    assert unquote(shown.stdout.strip()) == f"Authorization={header(PUBLIC, SECRET)}"
    file.write_text("$env:PATH = 'x'\n")
    refused = run("-Region", "eu", "-Write", str(file), **BOTH)
    assert refused.returncode == 1
    assert "contains something else; nothing was written" in refused.stderr


@needs_powershell
def test_its_key_file_is_the_commands(tmp_path: Path) -> None:
    file = tmp_path / ".config/codex-langfuse/env"
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    for secret in (SECRET, *HOSTILE):
        keys = {"LANGFUSE_PUBLIC_KEY": PUBLIC, "LANGFUSE_SECRET_KEY": secret}
        written = run("-Region", "us", "-AnyKeyForm", "-Write", str(file), **keys)
        assert written.returncode == 0, written.stderr
        assert file.read_text() == key_file_text(PUBLIC, secret, "https://us.cloud.langfuse.com")
        assert json.loads(run("-Headers", **home).stdout) == {"Authorization": header(PUBLIC, secret)}
    load = f"{written.stdout.splitlines()[1]}; $env:OTEL_EXPORTER_OTLP_TRACES_HEADERS"
    shown = subprocess.run([*COMMAND, "-Command", load], capture_output=True, text=True, check=True)
    assert unquote(shown.stdout.strip()) == f"Authorization={header(PUBLIC, secret)}"
