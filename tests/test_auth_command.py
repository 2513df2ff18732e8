"""``codex-langfuse auth`` does what the shell script does, with the same words."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

import click.testing
import pytest
import typer.testing

from codex_langfuse.cli import app
from codex_langfuse.keys.base64_text import decode_base64
from codex_langfuse.keys.credentials import authorization_in, basic_authorization, mask
from codex_langfuse.mock.server import ORGANIZATION_KEY, running_mock
from harness.credential_cases import (
    BOTH,
    HOSTILE,
    PLACES,
    PUBLIC,
    REFUSED_ADDRESSES,
    REFUSED_KEYS,
    SECRET,
    USAGE_ERRORS,
    header,
)
from harness.fences.scanner import ROOT
from harness.no_langfuse import closed_port, untrusted_context, web_server

SCRIPT = ROOT / "scripts/generate-langfuse-auth.sh"
CLEARED = ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY", "LANGFUSE_BASE_URL", "LANGFUSE_HOST", "SHELL")


def run_auth(
    monkeypatch: pytest.MonkeyPatch, *arguments: str, stdin: str = "", **variables: str
) -> click.testing.Result:
    for name in CLEARED:
        monkeypatch.delenv(name, raising=False)
    environment = {"NO_PROXY": "127.0.0.1,localhost", **variables}
    return typer.testing.CliRunner().invoke(app, ["auth", *arguments], input=stdin, env=environment)


def run_script(*arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", SCRIPT, *arguments],
        env={"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1,localhost", **variables},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


Case = tuple[list[str], Mapping[str, str]]
CASES: dict[str, Case] = {
    **{region: (["--region", region], BOTH) for region in PLACES},
    "own": (["--base-url", "http://localhost:3000/"], BOTH),
    "quiet": (["--region", "us", "--quiet"], BOTH),
    "not encrypted": (["--base-url", "http://langfuse.example.com/base"], BOTH),
    "LANGFUSE_HOST": ([], {"LANGFUSE_HOST": "jp", **BOTH}),
    "copied": (
        ["--base-url", " 'EU' "],
        {"LANGFUSE_PUBLIC_KEY": f"{PUBLIC}\r\n", "LANGFUSE_SECRET_KEY": f'"{SECRET}"'},
    ),
    **{f"usage {name}": case for name, case in USAGE_ERRORS.items()},
    **{
        f"key {name}": (["--region", "eu"], {"LANGFUSE_PUBLIC_KEY": public, "LANGFUSE_SECRET_KEY": secret})
        for name, (public, secret, _) in REFUSED_KEYS.items()
    },
    **{
        f"any {secret}": (
            ["--region", "eu", "--any-key-form"],
            {"LANGFUSE_PUBLIC_KEY": "x", "LANGFUSE_SECRET_KEY": secret},
        )
        for secret in [*HOSTILE, "a:b", "é", "tab\tinside"]
    },
    **{f"address {text}": ([], {"LANGFUSE_BASE_URL": text, **BOTH}) for text in REFUSED_ADDRESSES},
}


@pytest.mark.skipif(os.name != "posix", reason="the shell script is for Unix")
@pytest.mark.parametrize("name", CASES)
def test_the_shell_script_says_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, variables = CASES[name]
    result, expected = run_auth(monkeypatch, *arguments, **variables), run_script(*arguments, **variables)
    assert result.stderr == expected.stderr
    assert result.stdout == expected.stdout
    assert result.exit_code == expected.returncode


@pytest.mark.skipif(os.name != "posix", reason="the shell script is for Unix")
def test_check_says_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    organization = {
        "LANGFUSE_PUBLIC_KEY": ORGANIZATION_KEY.public_key,
        "LANGFUSE_SECRET_KEY": ORGANIZATION_KEY.secret_key,
    }
    with (
        running_mock() as mock,
        web_server(tmp_path) as other,
        web_server(tmp_path, untrusted_context()) as strange,
    ):
        right = {"LANGFUSE_PUBLIC_KEY": mock.public_key, "LANGFUSE_SECRET_KEY": mock.secret_key}
        places = (mock.url, other, strange, closed_port(), "https://langfuse.invalid")
        for keys in (right, BOTH, organization):
            for place in places:
                arguments = ("--base-url", place, "--check", "--quiet")
                result = run_auth(monkeypatch, *arguments, **keys)
                expected = run_script(*arguments, **keys)
                assert (result.stderr, result.stdout) == (expected.stderr, expected.stdout)
                assert result.exit_code == expected.returncode == int((keys, place) != (right, mock.url))


def test_secret_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("--region", "eu", "--public-key", PUBLIC, "--secret-stdin", "--quiet")
    assert run_auth(monkeypatch, *arguments, stdin=f"{SECRET}\n").stdout == header(PUBLIC, SECRET) + "\n"
    empty = run_auth(monkeypatch, *arguments)
    assert (empty.exit_code, empty.stdout) == (1, "")
    assert "error: the secret key is empty" in empty.stderr


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", 'export {}="{}"'),
        ("zsh", 'export {}="{}"'),
        ("fish", 'set -gx {} "{}"'),
        ("powershell", '$env:{} = "{}"'),
    ],
)
def test_the_line_for_each_shell(
    shell: str, line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    value = "Authorization=Basic%20" + header(PUBLIC, SECRET)[6:]
    wanted = line.format("OTEL_EXPORTER_OTLP_TRACES_HEADERS", value)
    printed = run_auth(monkeypatch, "--region", "eu", "--shell", shell, **BOTH).stdout
    assert printed.splitlines()[1] == wanted
    file = tmp_path / "it's here" / "env.ps1"
    result = run_auth(monkeypatch, "--region", "eu", "--shell", shell, "--write", str(file), **BOTH)
    assert file.read_text().splitlines()[1] == wanted
    assert value not in result.output
    program = shutil.which({"powershell": "pwsh"}.get(shell, shell))
    if program:
        load = result.stdout.splitlines()[1]
        shown = subprocess.run(
            [program, "-c", f"{load}\nprintenv OTEL_EXPORTER_OTLP_TRACES_HEADERS"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert shown.stdout.strip() == value


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SHELL: there it is PowerShell")
@pytest.mark.parametrize(
    ("login_shell", "line"),
    [("/usr/bin/fish", "set -gx "), ("/bin/zsh", "export "), ("/bin/ksh", "export "), ("", "export ")],
)
def test_the_shell_in_use_is_the_one_that_shell_names(
    login_shell: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = run_auth(monkeypatch, "--region", "eu", SHELL=login_shell, **BOTH).stdout
    assert f"\n{line}OTEL_EXPORTER_OTLP_TRACES_HEADERS" in printed


def test_powershell_would_not_load_another_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "env"
    result = run_auth(monkeypatch, "--region", "eu", "--shell", "powershell", "--write", str(file), **BOTH)
    assert (result.exit_code, file.exists()) == (2, False)
    assert "must end in .ps1" in result.stderr


@pytest.mark.skipif(os.name != "posix", reason="modes are Unix's")
def test_written_file_is_private_and_only_its_own_is_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "new/folder/env"
    write = ("--region", "eu", "--shell", "bash", "--write", str(file))
    previous = os.umask(0o002)
    try:
        assert run_auth(monkeypatch, *write, **BOTH).exit_code == 0
    finally:
        os.umask(previous)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for folder in (file.parent, file.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    by_command = file.read_text()
    assert run_script("--region", "eu", "--write", str(file), **BOTH).returncode == 0
    assert file.read_text() == by_command
    assert run_auth(monkeypatch, *write, **BOTH).exit_code == 0

    for foreign in ("export PATH=/somewhere\n", by_command + "alias ll=ls\n"):
        file.write_text(foreign)
        refused = run_auth(monkeypatch, *write, **BOTH)
        expected = run_script("--region", "eu", *write[-2:], **BOTH)
        assert (refused.exit_code, refused.stderr) == (1, expected.stderr)
        assert file.read_text() == foreign
    assert run_auth(monkeypatch, *write, "--force", **BOTH).exit_code == 0
    assert file.read_text() == by_command
    assert [each.name for each in file.parent.iterdir()] == ["env"]


@pytest.mark.skipif(os.name != "posix", reason="there is no pseudo-terminal")
def test_asks_and_shows_no_secret() -> None:
    from harness.teletype import at_a_terminal

    command = [sys.executable, "-m", "codex_langfuse", "auth", "--shell", "bash"]
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm"}
    with at_a_terminal(command, environment) as teletype:
        place = teletype.wait_for("Number, region or address: ")
        teletype.type("nowhere\n")
        teletype.wait_for("\x1b[31m", after=place)
        place = teletype.wait_for("Number, region or address: ", after=place)
        teletype.type("4\n")
        teletype.wait_for("Public key (pk-lf-...): ", after=place)
        teletype.type(f"{PUBLIC}\n")
        teletype.wait_for("Secret key (sk-lf-..., not shown): ")
        assert not teletype.echoes
        teletype.type(f"{SECRET}\n")
        status, output = teletype.finish()
        assert teletype.echoes
    assert (status, output) == (0, run_script("--region", "hipaa", **BOTH).stdout)
    assert SECRET not in teletype.shown


@pytest.mark.skipif(os.name != "posix", reason="there is no pseudo-terminal")
def test_ends_quietly_on_ctrl_c() -> None:
    from harness.teletype import at_a_terminal

    command = [sys.executable, "-m", "codex_langfuse", "auth", "--region", "eu", "--public-key", PUBLIC]
    with at_a_terminal(command, {"PATH": os.environ["PATH"], "NO_COLOR": "1", "TERM": "xterm"}) as teletype:
        teletype.wait_for("Secret key (sk-lf-..., not shown): ")
        assert not teletype.echoes
        teletype.type("\x03")
        status, output = teletype.finish()
        assert teletype.echoes
    assert (status, output) == (130, "")
    assert "Traceback" not in teletype.shown


def test_help_has_examples_and_is_quick_to_import() -> None:
    names = "{'httpx', 'google.protobuf'} & set(sys.modules)"
    loaded = f"import sys, codex_langfuse.cli; print({names} or 'neither')"
    result = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert result.stdout == "neither\n"
    shown = typer.testing.CliRunner().invoke(app, ["auth", "--help"], env={"COLUMNS": "100"}).stdout
    assert "codex-langfuse auth --region eu --check --write ~/.config/codex-langfuse/env" in shown


@pytest.mark.parametrize("secret", [SECRET, *HOSTILE])
def test_langfuse_and_codex_read_the_header_back(secret: str) -> None:
    authorization = basic_authorization(PUBLIC, secret)
    assert decode_base64(authorization.removeprefix("Basic ")) == f"{PUBLIC}:{secret}"
    for text in (
        f"Authorization={authorization.replace(' ', '%20')}",
        f"x=1, authorization = {authorization}",
    ):
        assert authorization_in(text) == unquote(authorization)


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        (SECRET, "sk-lf-…9002"),
        (PUBLIC, "pk-lf-…f001"),
        ("sk-lf-1234567890", "sk-lf-…"),
        ("my-own-long-secret", "…cret"),
        ("", "…"),
    ],
)
def test_masked_keys(key: str, shown: str) -> None:
    assert mask(key) == shown
