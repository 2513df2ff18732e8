"""``codex-langfuse auth`` does what the shell script does, with the same words."""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer.testing

from codex_langfuse.cli import app
from codex_langfuse.keys.base64_text import decode_base64
from codex_langfuse.keys.credentials import authorization_in, basic_authorization, mask
from codex_langfuse.keys.key_file import key_file, key_file_text
from codex_langfuse.mock.server import ORGANIZATION_KEY, running_mock
from codex_langfuse.private_file import write_private
from harness.commands import run_auth
from harness.credential_cases import (
    ANSWERS,
    BOTH,
    HOSTILE,
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
from harness.no_langfuse import closed_port, untrusted_context, web_server

pytestmark = [pytest.mark.macos, pytest.mark.slow]

SCRIPT = ROOT / "scripts/generate-langfuse-auth.sh"


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
    assert (empty.exit_code, empty.stdout) == (2, "")
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
    in_file = wanted if shell == "powershell" else f'export OTEL_EXPORTER_OTLP_TRACES_HEADERS="{value}"'
    assert file.read_text().splitlines()[-1] == in_file
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


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("[x] it's.ps1", ". ([scriptblock]::Create((Get-Content -Raw -LiteralPath '{}')))"),
        ("env.PS1", ". '{}'"),
        ("env", "Get-Content -LiteralPath '{}' | Where-Object"),
    ],
)
def test_how_powershell_loads_a_file(
    name: str, load: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / name
    result = run_auth(monkeypatch, "--region", "eu", "--shell", "powershell", "--write", str(file), **BOTH)
    assert result.stdout.splitlines()[1].startswith(load.format(str(file).replace("'", "''")))
    assert (
        file.read_text().splitlines()[1].startswith("LANGFUSE_PUBLIC_KEY=" if name == "env" else "$env:OTEL_")
    )


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


@pytest.mark.skipif(os.name != "posix", reason="the shell script is for Unix")
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_read_as_json(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    status, body, said = ANSWERS[name]
    with answering(status, body) as url:
        arguments = ("--base-url", url, "--check", "--quiet")
        result, expected = run_auth(monkeypatch, *arguments, **BOTH), run_script(*arguments, **BOTH)
    assert said in result.stderr
    assert (result.stderr, result.stdout) == (expected.stderr, expected.stdout)
    assert result.exit_code == expected.returncode == int("accepts" not in said)


@pytest.mark.skipif(os.name != "posix", reason="the shell script is for Unix")
def test_a_scheme_has_no_case(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("--base-url", "HttP://Localhost:3000")
    result = run_auth(monkeypatch, *arguments, **BOTH)
    assert 'endpoint = "http://localhost:3000/api/public/otel/v1/traces"' in result.stdout
    assert result.stdout == run_script(*arguments, **BOTH).stdout


# --- The key file ---


@pytest.mark.skipif(os.name != "posix", reason="the shell script is for Unix")
@pytest.mark.parametrize("secret", [SECRET, *HOSTILE])
def test_headers_come_from_the_key_file(secret: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / ".config/codex-langfuse/env"
    keys = {"LANGFUSE_PUBLIC_KEY": PUBLIC, "LANGFUSE_SECRET_KEY": secret}
    write = ("--region", "us", "--any-key-form", "--write", str(file), "--quiet")
    assert run_auth(monkeypatch, *write, **keys).exit_code == 0
    text = file.read_text()
    assert run_script(*write, **keys).returncode == 0
    assert file.read_text() == text
    # What the environment says is another matter.
    result = run_auth(
        monkeypatch, "--headers", LANGFUSE_PUBLIC_KEY="pk-lf-other", LANGFUSE_SECRET_KEY="sk-lf-x"
    )
    assert json.loads(result.stdout) == {"Authorization": header(PUBLIC, secret)}
    assert run_script("--headers", HOME=str(tmp_path)).stdout == result.stdout
    # A shell that loads it exports the variable for Codex, and nothing else.
    loaded = subprocess.run(
        ["sh", "-c", f". '{file}'; env; printf '%s' \"$LANGFUSE_SECRET_KEY\" >secret"],
        env={"PATH": os.environ["PATH"]}, cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "LANGFUSE_" not in loaded.stdout
    assert f"TRACES_HEADERS=Authorization=Basic%20{header(PUBLIC, secret)[6:]}\n" in loaded.stdout
    assert (tmp_path / "secret").read_text() == secret


@pytest.mark.skipif(os.name != "posix", reason="the shell script is for Unix")
def test_a_file_that_the_quickstart_made_before_has_headers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / ".config/codex-langfuse/env"
    file.parent.mkdir(parents=True)
    value = "Authorization=Basic%20" + header(PUBLIC, SECRET)[6:]
    for line in ('declare -x {}="{}"', "export {}={}", "declare -x {}='{}'"):
        file.write_text(line.format("OTEL_EXPORTER_OTLP_TRACES_HEADERS", value) + "\n")
        file.chmod(0o600)
        result = run_auth(monkeypatch, "--headers")
        assert json.loads(result.stdout) == {"Authorization": header(PUBLIC, SECRET)}
        assert run_script("--headers", HOME=str(tmp_path)).stdout == result.stdout


@pytest.mark.skipif(os.name != "posix", reason="modes are Unix's")
def test_headers_of_no_key_file_or_one_that_others_may_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / ".config/codex-langfuse/env"

    def refused(words: str) -> None:
        result, script = run_auth(monkeypatch, "--headers"), run_script("--headers", HOME=str(tmp_path))
        assert (result.exit_code, result.stdout) == (script.returncode, script.stdout) == (1, "")
        assert words in result.stderr
        assert words in script.stderr

    refused(f"{file} is not there. Make it: ")
    file.parent.mkdir(parents=True)
    file.write_text("PATH=/x\n")
    file.chmod(0o644)
    refused(f"Run: chmod 600 '{file}'")
    file.chmod(0o600)
    refused(f"{file} has no keys")


def test_the_key_file_is_found_when_nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write_private(key_file(), key_file_text(PUBLIC, SECRET, "https://us.cloud.langfuse.com"))
    assert run_auth(monkeypatch, "--quiet").stdout == header(PUBLIC, SECRET) + "\n"
    assert "us.cloud.langfuse.com" in run_auth(monkeypatch).stdout
    # Keys are a pair: one of the environment is never put beside one of the file.
    assert "no secret key" in run_auth(monkeypatch, LANGFUSE_PUBLIC_KEY=PUBLIC).stderr
    # Who writes a new file means new keys.
    assert "no address" in run_auth(monkeypatch, "--write", str(tmp_path / "other")).stderr


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
    assert PUBLIC in teletype.shown
    assert SECRET not in teletype.shown


@pytest.mark.skipif(os.name != "posix", reason="there is no pseudo-terminal")
@pytest.mark.parametrize(
    ("command", "asks_again"),
    [([sys.executable, "-m", "codex_langfuse", "auth", "--shell", "bash"], True), ([str(SCRIPT)], False)],
    ids=["command", "script"],
)
def test_both_keys_pasted_at_the_first_prompt_are_not_shown(command: list[str], asks_again: bool) -> None:
    """The script takes the second line of the paste for the secret key; the command drops it and asks."""
    from harness.teletype import at_a_terminal

    environment = {"PATH": os.environ["PATH"], "TERM": "xterm", "NO_COLOR": "1"}
    with at_a_terminal([*command, "--region", "eu"], environment) as teletype:
        teletype.wait_for("Public key (pk-lf-...): ")
        teletype.type(f"{PUBLIC}\n{SECRET}\n")
        teletype.wait_for("Secret key (sk-lf-..., not shown): ")
        if asks_again:
            teletype.type(f"{SECRET}\n")
        status, output = teletype.finish()
    assert (status, output) == (0, run_script("--region", "eu", **BOTH).stdout)
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
