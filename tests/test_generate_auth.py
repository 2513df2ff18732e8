"""The shell script that makes the header: run for real, and compared with Python."""

import os
import random
import re
import shutil
import signal
import stat
import string
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import certifi
import pytest

from codex_langfuse.codex.isolated import IsolatedCodex
from codex_langfuse.keys.credentials import REGIONS
from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.server import ORGANIZATION_KEY, RunningMock, running_mock
from codex_langfuse.page_addresses import SITE, page_url
from harness.credential_cases import (
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
    header,
)
from harness.fences.scanner import ROOT
from harness.no_langfuse import closed_port, untrusted_context, web_server
from harness.proxy import LANGFUSE_HOSTS, tls_proxy
from harness.surroundings import Surroundings
from harness.teletype import Teletype, at_a_terminal

pytestmark = [pytest.mark.macos, pytest.mark.slow]

SCRIPT = ROOT / "scripts/generate-langfuse-auth.sh"
Result = subprocess.CompletedProcess[str]


def environment(**variables: str) -> dict[str, str]:
    """An environment in which nothing is set up yet."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "SYSTEMROOT") if name in os.environ}
    return {**kept, "NO_PROXY": "127.0.0.1,localhost", **variables}


def run(*arguments: str, stdin: str = "", **variables: str) -> Result:
    return subprocess.run(
        [SCRIPT, *arguments],
        env=environment(**variables),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def traces_variable(output: str) -> str:
    return re.search(r'^export OTEL_EXPORTER_OTLP_TRACES_HEADERS="(.*)"$', output, re.M)[1]


# --- What comes out ---

_RANDOM = random.Random(20260822)
_SAFE = string.ascii_letters + string.digits + string.punctuation.replace(":", "")


def _key(prefix: str, length: int) -> str:
    return prefix + "".join(_RANDOM.choices(_SAFE, k=length)) + "x"


@pytest.mark.parametrize("secret", HOSTILE)
def test_hostile_keys_come_out_as_python_makes_them(secret: str, tmp_path: Path) -> None:
    for public, private in ((f"p{secret}k", secret), (secret, f"s{secret}k")):
        result = subprocess.run(
            [SCRIPT, "--region", "eu", "--any-key-form", "--quiet"],
            env=environment(LANGFUSE_PUBLIC_KEY=public, LANGFUSE_SECRET_KEY=private),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (result.stdout, result.stderr, result.returncode) == (header(public, private) + "\n", "", 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", [1, 10, 20, 47, 60, 100, 255, 1000])
def test_random_keys_come_out_as_python_makes_them(length: int) -> None:
    public, secret = _key("pk-lf-", length), _key("sk-lf-", length)
    result = run("--region", "us", LANGFUSE_PUBLIC_KEY=public, LANGFUSE_SECRET_KEY=secret)
    assert unquote(traces_variable(result.stdout)) == f"Authorization={header(public, secret)}"
    assert "%20" in traces_variable(result.stdout)


@pytest.mark.parametrize("place", [*PLACES, "http://localhost:3000"])
def test_toml_is_that_of_the_examples(place: str) -> None:
    option = "--region" if place in PLACES else "--base-url"
    result = run(option, place, **BOTH)
    example = (EXAMPLES / f"{PLACES.get(place, 'self-hosted')}.toml").read_text()
    assert (
        f"\n\n# 2. Into ~/.codex/config.toml, in place of any [otel] there:\n{example}\n# 3." in result.stdout
    )


def test_own_host_is_in_the_toml() -> None:
    result = run(LANGFUSE_HOST="https://Langfuse.Example.com:8443/", **BOTH)
    assert 'endpoint = "https://langfuse.example.com:8443/api/public/otel/v1/traces"' in result.stdout
    assert "# Codex to Langfuse, traces only: your own Langfuse." in result.stdout


def test_what_is_printed_can_be_pasted(tmp_path: Path) -> None:
    lines = run("--region", "eu", **BOTH).stdout.splitlines()
    shown = subprocess.run(
        ["bash", "-c", f"{lines[1]}\nexec printenv OTEL_EXPORTER_OTLP_TRACES_HEADERS"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert unquote(shown.stdout.strip()) == f"Authorization={header(PUBLIC, SECRET)}"


@pytest.mark.codex
def test_codex_sends_with_what_is_printed(surroundings: Surroundings, shared_codex: IsolatedCodex) -> None:
    mock = surroundings.langfuse
    keys = {"LANGFUSE_PUBLIC_KEY": mock.public_key, "LANGFUSE_SECRET_KEY": mock.secret_key}
    output = run("--region", "us", **keys).stdout
    config = output[output.index("there:\n") + 7 : output.index("# 3.")]
    variables = {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": traces_variable(output)}
    outcome = surroundings.turn(shared_codex, config, environment=variables)
    assert outcome.answers == {("/api/public/otel/v1/traces", 200)}
    assert outcome.header("authorization") == {header(mock.public_key, mock.secret_key)}
    assert {request.host for request in outcome.proxied} >= {"us.cloud.langfuse.com"}


def test_secret_from_standard_input() -> None:
    """Also with Windows' line ending, and with what a password store prints below it."""
    for text in (SECRET, f"{SECRET}\n", f"{SECRET}\r\n", f"{SECRET}\nurl: example\n"):
        result = run("--region=eu", f"--public-key={PUBLIC}", "--secret-stdin", "--quiet", stdin=text)
        assert result.stdout == header(PUBLIC, SECRET) + "\n", result.stderr


def test_options_win_over_the_environment() -> None:
    result = run(
        "--region", "jp", "--public-key", PUBLIC,
        LANGFUSE_BASE_URL=REGIONS[0].url, LANGFUSE_PUBLIC_KEY="pk-lf-other", LANGFUSE_SECRET_KEY=SECRET,
    )  # fmt: skip
    assert "https://jp.cloud.langfuse.com/" in result.stdout
    assert traces_variable(result.stdout).endswith(header(PUBLIC, SECRET)[6:])


# --- What is refused: the same in all three, see test_auth_command.py ---


@pytest.mark.parametrize("name", REFUSED_KEYS)
def test_keys_that_cannot_be_right(name: str) -> None:
    public, secret, words = REFUSED_KEYS[name]
    result = run("--region", "eu", LANGFUSE_PUBLIC_KEY=public, LANGFUSE_SECRET_KEY=secret)
    assert (result.returncode, result.stdout) == (2, "")
    first, *_, last = result.stderr.splitlines()
    assert first.startswith("error: ") or "left out" in first
    assert words in result.stderr
    assert last == f"  See {page_url('quickstart', 'keys')}"
    for key in (public, secret):
        assert len(key) <= 10 or key not in result.stderr


@pytest.mark.parametrize("address", REFUSED_ADDRESSES)
def test_addresses_that_cannot_be_right(address: str) -> None:
    result = run(LANGFUSE_BASE_URL=address, **BOTH)
    assert (result.returncode, result.stdout) == (2, "")
    assert REFUSED_ADDRESSES[address] in result.stderr
    assert "secret@" not in result.stderr


@pytest.mark.parametrize("unusual", [" {} ", "\t{}\r\n", '"{}"', "'{}'", ' "{}" ', '" {}\n"'])
def test_what_copying_adds_is_left_out_and_said(unusual: str) -> None:
    result = run(
        LANGFUSE_BASE_URL=unusual.format("https://cloud.langfuse.com/"),
        LANGFUSE_PUBLIC_KEY=unusual.format(PUBLIC),
        LANGFUSE_SECRET_KEY=unusual.format(SECRET),
    )
    assert result.returncode == 0
    assert unquote(traces_variable(result.stdout)) == f"Authorization={header(PUBLIC, SECRET)}"
    left_out = "note: left out spaces, line breaks or quotes around the"
    assert result.stderr == f"{left_out} address\n{left_out} public key\n{left_out} secret key\n"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://langfuse.example.com", "http://langfuse.example.com is not encrypted"),
        ("http://[::2]:3000", "http://[::2]:3000 is not encrypted"),
        (
            "https://example.com/langfuse",
            "right only for a Langfuse built with NEXT_PUBLIC_BASE_PATH=/langfuse",
        ),
        ("http://127.0.0.1:3000", ""),
        ("http://[::1]:3000", ""),
        ("https://example.com//", ""),
    ],
)
def test_what_may_be_right_is_noted(address: str, words: str) -> None:
    result = run("--base-url", address, **BOTH)
    assert result.returncode == 0
    assert (words in result.stderr) if words else (result.stderr == "")


@pytest.mark.parametrize("words", USAGE_ERRORS)
def test_wrong_usage(words: str) -> None:
    arguments, variables = USAGE_ERRORS[words]
    result = run(*arguments, **variables)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {words}")
    assert result.stderr.endswith("\n  See --help.\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--region", "mars"],
        ["--zone", "eu"],
        ["--region"],
        ["--write="],
        [SECRET],
        ["--secret-key", SECRET],
    ],
    ids=lambda arguments: arguments[0][:8],
)
def test_unknown_options_never_repeat_a_secret(arguments: list[str]) -> None:
    result = run(*arguments, **BOTH)
    assert (result.returncode, result.stdout) == (2, "")
    assert SECRET not in result.stderr


# --- Where the secret goes ---


def test_written_file_is_private_and_works(tmp_path: Path) -> None:
    file = tmp_path / "new/it's here/env"
    result = run("--region", "eu", "--write", str(file), **BOTH)
    assert result.returncode == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (file.parent, file.parent.parent)] == [
        0o700
    ] * 2
    assert [each.name for each in file.parent.iterdir()] == ["env"]
    everything = result.stdout + result.stderr
    assert SECRET not in everything
    assert header(PUBLIC, SECRET)[6:] not in everything
    load = result.stdout.splitlines()[1]
    for shell in ("bash", "sh"):
        command = f"{load}\nexec printenv OTEL_EXPORTER_OTLP_TRACES_HEADERS"
        shown = subprocess.run([shell, "-c", command], capture_output=True, text=True, check=True)
        assert unquote(shown.stdout.strip()) == f"Authorization={header(PUBLIC, SECRET)}"


def test_a_file_in_this_folder_is_loaded_from_this_folder(tmp_path: Path) -> None:
    result = subprocess.run(
        [SCRIPT, "--region", "eu", "--write", "env"],
        cwd=tmp_path, env=environment(**BOTH), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout.splitlines()[1] == ". './env'"
    assert (tmp_path / "env").is_file()


def test_only_its_own_file_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "env"
    for ours in ("", 'declare -x OTEL_EXPORTER_OTLP_TRACES_HEADERS="Authorization=Basic%20b2xk"\n'):
        file.write_text(ours)
        file.chmod(0o644)
        assert run("--region", "eu", "--write", str(file), "--quiet", **BOTH).stdout == ""
        assert header(PUBLIC, SECRET)[6:] in file.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run("--region", "us", "--write", str(file), **BOTH).returncode == 0

    file.write_text("export PATH=/somewhere\n" + file.read_text())
    before = file.read_text()
    refused = run("--region", "eu", "--write", str(file), **BOTH)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"{file} contains something else; nothing was written" in refused.stderr
    assert file.read_text() == before
    assert run("--region", "eu", "--write", str(file), "--force", **BOTH).returncode == 0
    assert "PATH" not in file.read_text()


def test_links_and_folders_are_left_alone(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("")
    link.symlink_to(target)
    for path in (tmp_path, link):
        result = run("--region", "eu", "--write", str(path), **BOTH)
        assert result.returncode == 1
        assert f"{path} is not a regular file; nothing was written" in result.stderr
    assert target.read_text() == ""
    assert {each.name for each in tmp_path.iterdir()} == {"target", "link"}


def test_no_command_line_ever_holds_the_secret(tmp_path: Path, langfuse: RunningMock) -> None:
    """Every program on the script's PATH is one that writes down how it was called."""
    log, tools = tmp_path / "log", tmp_path / "tools"
    tools.mkdir()
    names = (
        "awk",
        "bash",
        "base64",
        "tr",
        "curl",
        "sed",
        "cat",
        "mkdir",
        "mktemp",
        "chmod",
        "mv",
        "rm",
        "grep",
        "stty",
    )
    for name in names:
        shim = tools / name
        shim.write_text(f'#!/bin/sh\necho "$0 $*" >>"{log}"\nexec {shutil.which(name)} "$@"\n')
        shim.chmod(0o755)
    (tools / "env").symlink_to(shutil.which("env"))
    arguments = ["--base-url", langfuse.url, "--check", "--write", str(tmp_path / "file")]
    keys = {"LANGFUSE_PUBLIC_KEY": langfuse.public_key, "LANGFUSE_SECRET_KEY": langfuse.secret_key}
    result = run(*arguments, PATH=str(tools), **keys)
    assert result.returncode == 0, result.stderr
    called = log.read_text(errors="replace")
    assert "curl --disable" in called
    assert f"{tools}/mv" in called
    assert langfuse.secret_key not in called
    assert header(langfuse.public_key, langfuse.secret_key)[6:] not in called


def test_a_trace_of_the_script_shows_no_secret() -> None:
    result = subprocess.run(
        ["bash", "-xv", SCRIPT, "--region", "eu", "--quiet"],
        env=environment(**BOTH), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert SECRET not in result.stderr
    assert header(PUBLIC, SECRET)[6:] not in result.stderr


# --- At a terminal ---


@contextmanager
def typing(*arguments: str, **variables: str) -> Iterator[Teletype]:
    with at_a_terminal([str(SCRIPT), *arguments], environment(TERM="xterm", **variables)) as teletype:
        yield teletype


def test_asks_and_shows_no_secret() -> None:
    with typing() as teletype:
        teletype.wait_for("Number, region or address: ")
        teletype.type("2\n")
        teletype.wait_for("Public key (pk-lf-...): ")
        teletype.type(f"{PUBLIC}\n")
        teletype.wait_for("Secret key (sk-lf-..., not shown): ")
        assert not teletype.echoes
        teletype.type(f"{SECRET}\n")
        status, output = teletype.finish()
        assert teletype.echoes
    assert status == 0
    assert output == run("--region", "us", **BOTH).stdout
    assert PUBLIC in teletype.shown
    assert SECRET not in teletype.shown


def test_asks_again_after_a_mistake() -> None:
    with typing() as teletype:
        place = teletype.wait_for("Number, region or address: ")
        teletype.type("5\n")
        place = teletype.wait_for("Address of your Langfuse: ", after=place)
        teletype.type("localhost:3000\n")
        place = teletype.wait_for("\x1b[1;31merror:\x1b[0m ", after=place)
        place = teletype.wait_for("Number, region or address: ", after=place)
        teletype.type("http://localhost:3000\n")
        place = teletype.wait_for("Public key (pk-lf-...): ", after=place)
        teletype.type(f"{SECRET}\n")
        place = teletype.wait_for("that is a secret key", after=place)
        place = teletype.wait_for("Public key (pk-lf-...): ", after=place)
        teletype.type(f" {PUBLIC}\n")
        place = teletype.wait_for("Secret key (sk-lf-..., not shown): ", after=place)
        teletype.type("\n")
        place = teletype.wait_for("the secret key is empty", after=place)
        place = teletype.wait_for("Secret key (sk-lf-..., not shown): ", after=place)
        teletype.type(f"{SECRET}\n")
        status, output = teletype.finish()
    assert (status, output) == (0, run("--base-url", "http://localhost:3000", **BOTH).stdout)


def test_gives_up_after_three_mistakes() -> None:
    with typing("--region", "eu", NO_COLOR="1") as teletype:
        place = 0
        for _ in range(3):
            place = teletype.wait_for("Public key (pk-lf-...): ", after=place)
            teletype.type("nonsense\n")
        assert teletype.finish() == (1, "")
    assert teletype.shown.count("error: the public key does not begin with pk-lf-") == 3
    assert "\x1b" not in teletype.shown


def test_the_terminal_shows_again_after_ctrl_c() -> None:
    with typing("--region", "eu", "--public-key", PUBLIC) as teletype:
        teletype.wait_for("Secret key (sk-lf-..., not shown): ")
        assert not teletype.echoes
        teletype.type("\x03")
        status, output = teletype.finish()
        assert teletype.echoes
    assert (status, output) == (-signal.SIGINT, "")


def test_standard_input_is_no_terminal() -> None:
    with typing("--region", "eu", "--public-key", PUBLIC, "--secret-stdin", NO_COLOR="1") as teletype:
        assert teletype.finish() == (2, "")
    assert "error: --secret-stdin is for a pipe or a file" in teletype.shown


def test_end_of_input_ends_it() -> None:
    with typing("--region", "eu") as teletype:
        teletype.wait_for("Public key (pk-lf-...): ")
        teletype.type("\x04")
        assert teletype.finish() == (1, "")
    assert "no answer" in teletype.shown


# --- Asking Langfuse ---


@pytest.fixture(scope="module")
def langfuse() -> Iterator[RunningMock]:
    with running_mock() as mock:
        yield mock


def checked(url: str, public: str = PUBLIC, secret: str = SECRET, **variables: str) -> Result:
    keys = {"LANGFUSE_PUBLIC_KEY": public, "LANGFUSE_SECRET_KEY": secret}
    return run("--base-url", url, "--check", "--quiet", **keys, **variables)


def test_check_says_that_the_keys_are_accepted(langfuse: RunningMock) -> None:
    result = checked(langfuse.url, langfuse.public_key, langfuse.secret_key)
    assert result.stdout == header(langfuse.public_key, langfuse.secret_key) + "\n"
    assert result.stderr == f"Langfuse at {langfuse.url} accepts the keys (project proj1).\n"


def test_check_of_keys_that_langfuse_does_not_know(langfuse: RunningMock, tmp_path: Path) -> None:
    file = tmp_path / "env"
    result = run("--base-url", langfuse.url, "--check", "--write", str(file), **BOTH)
    assert (result.returncode, result.stdout, file.exists()) == (1, "", False)
    assert result.stderr.splitlines() == [
        f"error: Langfuse at {langfuse.url} refuses the keys (401)",
        "  They belong to another region or project, or were not copied completely.",
        "  Langfuse says: Invalid credentials. Confirm that you've configured the correct host.",
        f"  See {page_url('guide/troubleshooting', 'refused-keys')}",
    ]


def test_check_of_an_organizations_keys(langfuse: RunningMock) -> None:
    result = checked(langfuse.url, ORGANIZATION_KEY.public_key, ORGANIZATION_KEY.secret_key)
    assert result.returncode == 1
    assert "error: the keys do not belong to a project (403)" in result.stderr


def test_check_of_a_langfuse_in_trouble() -> None:
    with running_mock(faults=[Fault(status=503, path="/api/public/projects")]) as mock:
        result = checked(mock.url, mock.public_key, mock.secret_key)
    assert (result.returncode, f"error: {mock.url} answers with status 503" in result.stderr) == (1, True)


def test_check_of_another_server(tmp_path: Path) -> None:
    (tmp_path / "api/public/projects").mkdir(parents=True)
    (tmp_path / "api/public/projects/index.html").write_text("<h1>Welcome</h1>")
    (tmp_path / "empty").mkdir()
    with web_server(tmp_path) as url:
        redirected = checked(url)
    with web_server(tmp_path / "empty") as other:
        missing = checked(other)
    assert f"error: {url} answers, but not as Langfuse does (status 301)" in redirected.stderr
    assert f"error: {other} answers, but not as Langfuse does (status 404)" in missing.stderr
    for result in (redirected, missing):
        assert (result.returncode, result.stdout) == (1, "")
        assert page_url("guide/troubleshooting", "endpoint-path") in result.stderr


def test_check_of_what_cannot_be_reached() -> None:
    url = closed_port()
    result = checked(url)
    assert f"error: {url} cannot be reached\n" in result.stderr
    unknown = checked("https://langfuse.invalid")
    assert "error: the name in https://langfuse.invalid cannot be resolved\n" in unknown.stderr
    for each in (result, unknown):
        assert each.returncode == 1
        assert page_url("guide/troubleshooting", "unreachable") in each.stderr


def test_check_of_an_unknown_authority(tmp_path: Path) -> None:
    with web_server(tmp_path, untrusted_context()) as url:
        result = checked(url)
    assert result.returncode == 1
    assert f"error: no trusted TLS connection to {url}" in result.stderr
    assert "set SSL_CERT_FILE to its file." in result.stderr


def test_ssl_cert_file_wins_over_curls_own_variable(langfuse: RunningMock) -> None:
    """A company's machine sets CURL_CA_BUNDLE, which curl prefers."""
    keys = {"LANGFUSE_PUBLIC_KEY": langfuse.public_key, "LANGFUSE_SECRET_KEY": langfuse.secret_key}
    with tls_proxy(dict.fromkeys(LANGFUSE_HOSTS, langfuse.url)) as proxy:
        variables = {**proxy.environment, "CURL_CA_BUNDLE": certifi.where()}
        result = run("--region", "eu", "--check", "--quiet", **keys, **variables)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("url", ["{}", "http://localhost:{}"])
def test_a_request_to_this_machine_takes_no_proxy(url: str, langfuse: RunningMock) -> None:
    keys = {"LANGFUSE_PUBLIC_KEY": langfuse.public_key, "LANGFUSE_SECRET_KEY": langfuse.secret_key}
    address = url.format(langfuse.url if url == "{}" else langfuse.url.rpartition(":")[2])
    proxies = dict.fromkeys(("http_proxy", "HTTPS_PROXY", "ALL_PROXY"), closed_port())
    result = run("--base-url", address, "--check", "--quiet", **keys, **proxies, NO_PROXY="")
    assert result.returncode == 0, result.stderr


def test_another_shell_is_told_to_use_bash() -> None:
    # Linux has dash, macOS has zsh.
    found = [program for name in ("dash", "zsh", "ksh") if (program := shutil.which(name))]
    assert found
    for program in found:
        result = subprocess.run([program, SCRIPT, "--help"], capture_output=True, text=True, check=False)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == f"error: this script needs bash. Run it so: bash {SCRIPT}\n"


def test_bash_started_as_sh_will_do(tmp_path: Path) -> None:
    (tmp_path / "sh").symlink_to(shutil.which("bash"))
    result = subprocess.run(
        [tmp_path / "sh", SCRIPT, "--region", "eu", "--quiet"],
        env=environment(**BOTH), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout == header(PUBLIC, SECRET) + "\n"


def test_check_through_a_proxy(langfuse: RunningMock) -> None:
    keys = {"LANGFUSE_PUBLIC_KEY": langfuse.public_key, "LANGFUSE_SECRET_KEY": langfuse.secret_key}
    with tls_proxy(dict.fromkeys(LANGFUSE_HOSTS, langfuse.url)) as proxy:
        for region in REGIONS:
            result = run("--region", region.name, "--check", "--quiet", **keys, **{
                name: value for name, value in proxy.environment.items() if name != "CURL_CA_BUNDLE"
            })  # fmt: skip
            assert f"Langfuse at {region.url} accepts the keys" in result.stderr, result.stderr
    assert {request.host for request in proxy.exchanges} == set(LANGFUSE_HOSTS)


# --- The files themselves ---


def test_shell_script_is_clean_and_old_bash_can_read_it() -> None:
    result = subprocess.run(
        [ROOT / ".venv/bin/shellcheck", SCRIPT], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout
    code = re.sub(r"^\s*#.*$", "", SCRIPT.read_text(), flags=re.M)
    newer_than_3_2 = (
        r"\$\{\w+(,,|\^\^|@\w)|\bmapfile\b|\breadarray\b|declare -A|local -n|&>>|\|&|\bcoproc\b|%\("
    )
    assert not re.search(newer_than_3_2, code)
    assert "<<<" not in code, "bash 3.2 puts a here-string into a file"
    assert os.access(SCRIPT, os.X_OK)


def test_pages_named_are_the_documentations() -> None:
    text = SCRIPT.read_text().replace(
        '%s/configuration-only/#verify\\n\' "$site"', "$site/configuration-only/#verify "
    )
    assert f"site={SITE.rstrip('/')}\n" in text
    assert set(re.findall(r"\$site/(\S+?)[\n ]", text)) == {url.removeprefix(SITE) for url in PAGES}
