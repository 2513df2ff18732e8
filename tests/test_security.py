"""What guide/security says of the sandbox and of certificates, beyond what its own fences run."""

import datetime
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

import recordings
from codex_langfuse.codex.isolated import IsolatedCodex, run_in_group
from codex_langfuse.codex.scripted_model import COMMAND_OF_PROMPT, Message, Scenario, ToolCall
from codex_langfuse.keys.credentials import TRACES_HEADERS
from codex_langfuse.listening import Tls
from codex_langfuse.mock.server import running_mock
from codex_langfuse.testplan.certificates import PrivateAuthority
from harness import web
from harness.fences.placeholders import filled_in
from harness.fences.scanner import ROOT
from harness.nginx import running_nginx
from harness.private_authority import certify
from harness.proxy import tls_proxy
from harness.surroundings import Surroundings

KEY = {
    TRACES_HEADERS: filled_in("Authorization=Basic%20cGstbGYt…"),
    "LANGFUSE_SECRET_KEY": filled_in("sk-lf-…"),
}
OBEDIENT = Scenario((ToolCall("exec_command", {"cmd": COMMAND_OF_PROMPT}), Message("Done.")))

# As the page shows them, a line each.
LOOK_AT_PROCESSES = r"""
codex exec --skip-git-repo-check -s workspace-write 'Run `cat /proc/[0-9]*/environ`.' 2>&1 |
  grep -a -c LANGFUSE_SECRET_KEY
"""
LOOK_AT_THE_FILE = "codex sandbox -P observed -- cat ~/.config/codex-langfuse/env"

#: What is only in Codex's logs by default, by the recording that shows it.
ONLY_IN_LOGS = {
    "0.171.0-default": ("hello-from-tool",),
    "0.171.0-sub-agent": ("Count the files",),
    "real-use/0.163.0-openai-chatgpt-default-flags": ("user.email", "user.account_id"),
}

SELF_HOSTED = (ROOT / "examples/codex/self-hosted.toml").read_text(encoding="utf-8")
NGINX = (ROOT / "examples/tls/nginx.conf").read_text(encoding="utf-8")
FOLDER_DENIED = (ROOT / "examples/codex/key-folder-denied.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ONLY_IN_LOGS)
def test_this_leaves_codex_by_its_logs_only(name: str) -> None:
    logs, traces = (b"".join(recordings.bodies(name, signal)) for signal in ("logs", "traces"))
    for text in ONLY_IN_LOGS[name]:
        assert text.encode() in logs and text.encode() not in traces


@pytest.fixture
def codex(surroundings: Surroundings, tmp_path: Path) -> Iterator[IsolatedCodex]:
    """A Codex whose user keeps the key in the environment and in a file, in a place that has the sandbox."""
    codex = surroundings.codex(tmp_path)
    if run_in_group(
        [codex.binary, "sandbox", "--", "true"], cwd=codex.workspace, environment=codex.environment
    ).returncode:
        pytest.skip("this machine does not let Codex make its sandbox")
    codex.environment.update(KEY)
    file = codex.home / ".config/codex-langfuse/env"
    file.parent.mkdir(parents=True)
    file.write_text(f"export {TRACES_HEADERS}='{KEY[TRACES_HEADERS]}'\n", encoding="utf-8")
    file.chmod(0o600)
    surroundings.clear()
    surroundings.model.play(OBEDIENT)
    yield codex
    # A sandbox that was still being made when Codex ended waits forever, in a process group of its own.
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "bwrap" and f"{tmp_path}/" in " ".join(process.info["cmdline"] or ()):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def seen_by_the_command(surroundings: Surroundings) -> str:
    return surroundings.model.requests[-1].outputs[-1]


def shell(codex: IsolatedCodex, text: str) -> subprocess.CompletedProcess[str]:
    environment = {**codex.environment, "PATH": f"{codex.bin}{os.pathsep}{codex.environment['PATH']}"}
    return subprocess.run(
        ["bash", "-c", text],
        cwd=codex.workspace,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.codex
def test_in_the_sandbox_a_command_sees_no_other_process(surroundings, codex) -> None:
    codex.write_config(SELF_HOSTED)
    assert shell(codex, LOOK_AT_PROCESSES).stdout == "0\n"
    for mode, sees in [("read-only", False), ("workspace-write", False), ("danger-full-access", True)]:
        surroundings.model.play(OBEDIENT)
        prompt = "Run `echo looked; cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep -a ^LANGFUSE`."
        assert codex.run_exec(prompt, "-s", mode).returncode == 0
        seen = seen_by_the_command(surroundings)
        assert "looked" in seen
        assert (KEY["LANGFUSE_SECRET_KEY"] in seen) == sees, mode


@pytest.mark.codex
@pytest.mark.parametrize("mode", ["read-only", "workspace-write"])
def test_in_the_sandbox_a_command_reads_the_file_with_the_key(surroundings, codex, mode) -> None:
    codex.write_config(SELF_HOSTED)
    assert codex.run_exec("Run `cat ~/.config/codex-langfuse/env`.", "-s", mode).returncode == 0
    assert KEY[TRACES_HEADERS] in seen_by_the_command(surroundings)


@pytest.mark.codex
def test_a_denied_folder_is_not_read(surroundings, codex) -> None:
    codex.write_config(FOLDER_DENIED)
    refused = shell(codex, LOOK_AT_THE_FILE)
    assert refused.returncode != 0
    assert "Permission denied" in refused.stderr
    allowed = shell(
        codex, "codex sandbox -- cat ~/.config/codex-langfuse/env".replace("-- ", "-P :workspace -- ")
    )
    assert KEY[TRACES_HEADERS] in allowed.stdout


@pytest.mark.codex
@pytest.mark.parametrize(
    ("in_the_file", "typed", "holds"),
    [
        ("", [], True),
        ('sandbox_mode = "workspace-write"\n', [], True),
        ("", ["--sandbox", "workspace-write"], False),
        ("", ["-c", "sandbox_mode=read-only"], False),
    ],
    ids=["default", "sandbox_mode in the file", "--sandbox", "-c sandbox_mode"],
)
def test_the_profile_holds_until_a_sandbox_is_typed(surroundings, codex, in_the_file, typed, holds) -> None:
    codex.write_config(in_the_file + FOLDER_DENIED)
    run = codex.run_exec("Run `cat ~/.config/codex-langfuse/env`.", *typed, "--skip-git-repo-check")
    assert run.returncode == 0, run.stderr
    seen = seen_by_the_command(surroundings)
    assert ("Permission denied" in seen) == holds
    assert (KEY[TRACES_HEADERS] in seen) != holds


class Expired(PrivateAuthority):
    """An authority whose server forgot to renew its certificate."""

    def context(self, host: str, *, clients_only: bool = False) -> ssl.SSLContext:
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(host, not_after=yesterday).configure_cert(context)
        return context


@pytest.mark.codex
def test_an_expired_certificate_is_refused_in_silence(surroundings, tmp_path) -> None:
    authority = Expired()
    host = "expired.example"
    with tls_proxy({host: surroundings.langfuse.url}, private={host: authority}) as proxy:
        codex = IsolatedCodex(
            tmp_path, model_url=surroundings.model.base_url, environment={**proxy.environment, **KEY}
        )
        authority.hand_out(codex.codex_home)
        codex.write_config(
            f'[otel]\nmetrics_exporter = "none"\n[otel.trace_exporter.otlp-http]\n'
            f'endpoint = "https://{host}/api/public/otel/v1/traces"\nprotocol = "binary"\n'
            'tls = { ca-certificate = "ca.pem" }\n'
        )
        run = codex.run_exec()
        assert run.returncode == 0
        assert "otel" not in run.stderr
        talkative = codex.run_exec(environment={"RUST_LOG": "opentelemetry_sdk=debug"})
        assert "certificate has expired" in talkative.stderr
        assert proxy.connected_hosts == {host}
        assert proxy.exchanges == []


@pytest.mark.codex
@pytest.mark.parametrize(("lines", "status"), [(3, 200), (1, 400)], ids=["certificate", "none"])
def test_nginx_lets_codex_in_with_a_certificate(surroundings, tmp_path, lines, status) -> None:
    authority = PrivateAuthority()
    codex = IsolatedCodex(tmp_path / "codex", model_url=surroundings.model.base_url, environment=KEY)
    authority.hand_out(codex.codex_home)
    certify(authority, "127.0.0.1", tmp_path)
    shutil.copy(codex.codex_home / "ca.pem", tmp_path)
    tls = [
        'ca-certificate = "ca.pem"',
        'client-certificate = "client.pem"',
        'client-private-key = "client.key"',
    ]
    surroundings.clear()
    server = NGINX.replace("/etc/nginx/langfuse", str(tmp_path)).replace("listen 443", "listen {listen}")
    with running_nginx(tmp_path, server.replace("http://127.0.0.1:3000", surroundings.langfuse.url)) as port:
        codex.write_config(
            f'[otel]\nmetrics_exporter = "none"\n[otel.trace_exporter.otlp-http]\n'
            f'endpoint = "https://127.0.0.1:{port}/api/public/otel/v1/traces"\nprotocol = "binary"\n'
            f"tls = {{ {', '.join(tls[:lines])} }}\n"
        )
        run = codex.run_exec(environment={"RUST_LOG": "opentelemetry_sdk=debug"})
        checked = shell(codex, f"{sys.executable} -m codex_langfuse check")
    assert ("The server demands a client certificate" in checked.stdout) == (status == 400)
    assert {request.status for request in surroundings.langfuse.store.requests} == (
        {200} if status == 200 else set()
    )
    assert ("Status(400, None)" in run.stderr) == (status == 400)


def test_the_mock_lets_in_only_who_has_a_certificate(tmp_path) -> None:
    authority = PrivateAuthority()
    authority.hand_out(tmp_path)
    certify(authority, "127.0.0.1", tmp_path)
    trust = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    with_certificate = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    with_certificate.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
    files = Tls(tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "ca.pem")
    with running_mock(tls=files) as mock:
        assert mock.url.startswith("https://")
        health = f"{mock.url}/api/public/health"
        assert web.get(health, verify=with_certificate).status_code == 200
        with pytest.raises(httpx.TransportError):
            web.get(health, verify=trust)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tls-cert", "server.pem"], "give --tls-cert and --tls-key together"),
        (["--tls-client-ca", "ca.pem"], "--tls-client-ca needs both"),
        (["--tls-cert", "server.pem", "--tls-key", "open.key"], "others may read it"),
        (["--tls-cert", "server.pem", "--tls-key", "none.key"], "cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_mock_says_what_is_wrong_with_its_certificates(tmp_path, options, said) -> None:
    (tmp_path / "open.key").write_text("")
    (tmp_path / "open.key").chmod(0o644)
    run = subprocess.run(
        ["codex-langfuse", "mock", "--port", "0", *options],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert run.returncode in (1, 2)
    assert said in run.stderr
    assert "Traceback" not in run.stderr
