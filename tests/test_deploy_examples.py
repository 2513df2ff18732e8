"""The deployment files: they use what exists, leave no published secret, and do what their pages say."""

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import upstream_names
from codex_langfuse.codex.isolated import IsolatedCodex
from codex_langfuse.codex.scripted_model import running_scripted_model
from codex_langfuse.mock.server import running_mock
from harness.fences.scanner import ROOT, scan
from harness.proxy import tls_proxy
from harness.stand_ins import ComplaintError, compose_skeleton, upstream
from harness.stand_ins.chart import secrets_needed
from harness.stand_ins.compose import effective_configuration
from translations import CHINESE, DOCS

EXAMPLES = ROOT / "examples"
OVERRIDE = EXAMPLES / "compose/docker-compose.override.yml"
VALUES = EXAMPLES / "kubernetes/values.yaml"
JOB = EXAMPLES / "kubernetes/relay-job.yaml"
BOTH_LANGUAGES = pytest.mark.parametrize("docs", [DOCS, CHINESE], ids=["en", "zh"])


def fence_with(page: Path, words: str) -> str:
    """The first bash fence of ``page`` that holds ``words``."""
    return next(fence.source for fence in scan(page) if fence.language == "bash" and words in fence.source)


# --- Docker Compose ---


@pytest.fixture(scope="module")
def compose_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader of deploy/docker-compose.md has in the folder before starting Langfuse."""
    folder = tmp_path_factory.mktemp("langfuse")
    (folder / "docker-compose.yml").write_text(compose_skeleton())
    (folder / "docker-compose.override.yml").write_bytes(OVERRIDE.read_bytes())
    script = fence_with(DOCS / "deploy/docker-compose.md", "> .env")
    subprocess.run(["bash", "-euc", script], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder


def test_no_published_secret_is_left(compose_folder: Path) -> None:
    """Nothing that Langfuse's file marks CHANGEME keeps its default, in any service."""
    listed = upstream("compose")
    defaults = {name: listed["variables"][name] for name in listed["changeme"]}
    services = effective_configuration(compose_folder)["services"]
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            assert value != defaults.get(variable), f"{name}: {variable}"
    assert services["langfuse-web"]["environment"]["REDIS_AUTH"] != defaults["REDIS_AUTH"]


@BOTH_LANGUAGES
def test_the_page_counts_the_marked_secrets(docs: Path) -> None:
    assert f"{len(upstream('compose')['changeme'])} " in (docs / "deploy/docker-compose.md").read_text(
        encoding="utf-8"
    )


def test_nothing_is_open_to_the_network(compose_folder: Path) -> None:
    for name, service in effective_configuration(compose_folder)["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: {port}"


def test_the_stores_and_langfuse_have_the_same_passwords(compose_folder: Path) -> None:
    services = effective_configuration(compose_folder)["services"]
    for langfuse in (services["langfuse-web"], services["langfuse-worker"]):
        environment = langfuse["environment"]
        password = services["postgres"]["environment"]["POSTGRES_PASSWORD"]
        assert f"postgres:{password}@postgres:5432/" in environment["DATABASE_URL"]
        assert (
            environment["CLICKHOUSE_PASSWORD"] == services["clickhouse"]["environment"]["CLICKHOUSE_PASSWORD"]
        )
        for use in ("EVENT_UPLOAD", "MEDIA_UPLOAD", "BATCH_EXPORT"):
            secret = environment[f"LANGFUSE_S3_{use}_SECRET_ACCESS_KEY"]
            assert secret == services["minio"]["environment"]["MINIO_ROOT_PASSWORD"]


def test_langfuse_is_the_version_that_these_pages_are_about(compose_folder: Path) -> None:
    services = effective_configuration(compose_folder)["services"]
    version = upstream("compose")["version"].removeprefix("v")
    for name in ("langfuse-web", "langfuse-worker"):
        assert services[name]["image"].endswith(f":{version}")


def test_the_override_names_what_langfuse_reads() -> None:
    known, listed = set(upstream("environment")["names"]), upstream("compose")
    document = yaml.safe_load(OVERRIDE.read_text(encoding="utf-8").replace("!override", ""))
    assert document["services"].keys() <= listed["services"].keys()
    for name in ("langfuse-web", "langfuse-worker"):
        assert document["services"][name]["environment"].keys() <= known, name


def test_every_variable_of_env_is_used(compose_folder: Path) -> None:
    text = OVERRIDE.read_text(encoding="utf-8") + (compose_folder / "docker-compose.yml").read_text()
    for line in (compose_folder / ".env").read_text().splitlines():
        name = line.partition("=")[0]
        assert re.search(rf"\$\{{{name}:", text), name


@pytest.mark.parametrize("missing", ["SALT", "LANGFUSE_INIT_PROJECT_SECRET_KEY", "MINIO_ROOT_PASSWORD"])
def test_without_a_value_nothing_starts(compose_folder: Path, tmp_path: Path, missing: str) -> None:
    for file in compose_folder.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    env = tmp_path / ".env"
    env.write_text(re.sub(rf"(?m)^{missing}=.*\n", "", env.read_text()))
    with pytest.raises(ComplaintError, match=missing):
        effective_configuration(tmp_path)


def test_the_collector_is_given_what_its_configuration_reads() -> None:
    text = (EXAMPLES / "collector/carry.yaml").read_text(encoding="utf-8")
    file = EXAMPLES / "compose/docker-compose.collector.yml"
    (collector,) = yaml.safe_load(file.read_text(encoding="utf-8"))["services"].values()
    given = collector["environment"].keys()
    assert set(re.findall(r"\$\{env:(\w+)\}", text)) <= given <= set(re.findall(r"env:(\w+)", text))
    inside = {mount.split(":")[1] for mount in collector["volumes"]}
    assert inside == {collector["environment"]["COLLECTOR_SECRETS"], collector["command"][-1]}
    for docs in (DOCS, CHINESE):
        made = fence_with(docs / "deploy/docker-compose.md", "secrets/senders")
        assert set(re.findall(r"secrets/([\w.]+)", made)) == set(
            re.findall(r"COLLECTOR_SECRETS\}/(\S+)", text)
        )


# --- Kubernetes ---


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The Secret that the commands of deploy/kubernetes.md make."""
    folder = tmp_path_factory.mktemp("secret")
    script = fence_with(DOCS / "deploy/kubernetes.md", "> langfuse.env")
    script = script.replace("~/langfuse", str(folder)).split("kubectl create")[0]
    subprocess.run(["bash", "-euc", script], cwd=folder, check=True)
    assert (folder / "langfuse.env").stat().st_mode & 0o777 == 0o600
    lines = (folder / "langfuse.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_the_secret_has_every_key_that_the_chart_reads_and_no_other(secret: dict[str, str]) -> None:
    values = yaml.safe_load(VALUES.read_text(encoding="utf-8"))
    needed = {key for name, key in secrets_needed(values) if name == "langfuse"}
    assert needed == secret.keys()


def test_the_object_store_knows_langfuse(secret: dict[str, str]) -> None:
    (identity,) = json.loads(secret["seaweedfs_s3_config"])["identities"]
    (credentials,) = identity["credentials"]
    assert credentials == {"accessKey": secret["s3-user"], "secretKey": secret["s3-password"]}


def test_the_values_hold_no_secret_and_the_right_versions(secret: dict[str, str]) -> None:
    text = VALUES.read_text(encoding="utf-8")
    values, chart = yaml.safe_load(text), upstream("chart")
    assert not re.search(r"\bpassword: \S", text)
    assert values["langfuse"]["image"]["tag"] == upstream("compose")["version"].removeprefix("v")
    assert f"chart {chart['version']}" in text
    names = {entry["name"] for entry in values["langfuse"]["web"]["pod"]["additionalEnv"]}
    assert names <= set(upstream("environment")["names"])


@pytest.fixture(scope="module")
def job() -> tuple[dict[str, Any], dict[str, Any]]:
    """The ConfigMap and the pod of examples/kubernetes/relay-job.yaml."""
    configuration, job = yaml.safe_load_all(JOB.read_text(encoding="utf-8"))
    return configuration, job["spec"]["template"]["spec"]


def test_codex_has_no_key(job: tuple[dict[str, Any], dict[str, Any]]) -> None:
    configuration, pod = job
    (codex,) = pod["containers"]
    assert "secretKeyRef" not in json.dumps(codex)
    assert "uthorization" not in configuration["data"]["config.toml"]


@pytest.mark.codex
def test_the_pod_delivers_its_turn_when_it_is_stopped(
    job: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path
) -> None:
    """The sidecar's own command and environment, and Codex with the ConfigMap's configuration."""
    configuration, pod = job
    (sidecar,) = pod["initContainers"]
    with (
        running_mock() as mock,
        running_scripted_model() as model,
        tls_proxy({"langfuse.example.com": mock.url}, direct_hosts=["127.0.0.1"]) as proxy,
    ):
        keys = {"public-key": mock.public_key, "secret-key": mock.secret_key}
        environment = {**proxy.environment, "PATH": f"{ROOT}/.venv/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
        for entry in sidecar["env"]:
            reference = entry.get("valueFrom", {}).get("secretKeyRef")
            environment[entry["name"]] = keys[reference["key"]] if reference else entry["value"]

        def in_pod(command: list[str]) -> list[str]:
            return [part.replace("/relay/state", str(tmp_path / "state")) for part in command]

        # Any port, so that a relay of this machine is not in the way.
        command = [*in_pod(sidecar["command"]), "--listen", "127.0.0.1:0"]
        relay = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert relay.stdout is not None
        address = relay.stdout.readline().strip()
        probe = subprocess.run(
            in_pod(sidecar["startupProbe"]["exec"]["command"]), env=environment, check=False
        )
        assert probe.returncode == 0
        codex = IsolatedCodex(tmp_path / "codex", model_url=model.base_url, environment=proxy.environment)
        codex.write_config(configuration["data"]["config.toml"].replace("http://127.0.0.1:4318", address))
        assert codex.run_exec("Review the last change.").returncode == 0
        relay.send_signal(signal.SIGTERM)
        assert relay.wait(timeout=pod["terminationGracePeriodSeconds"]) == 0
        observations = mock.store.observations
        assert [one["type"] for one in observations if one["isRootObservation"]] == ["AGENT"]
        assert {one["environment"] for one in observations} == {"ci"}
        assert all("ci" in one["tags"] for one in observations)


# --- Where the names come from ---


def test_names_are_read_out_of_a_compose_file() -> None:
    listed = upstream_names.compose_names(
        "services:\n  web:\n    image: some/web:4\n    ports: [3000:3000]\n    environment:\n"
        "      SALT: ${SALT:-mysalt} # CHANGEME\n      HOST: ${HOST:-here}\nvolumes:\n  data: {}\n",
        "v4",
    )
    assert listed["services"]["web"]["environment"] == ["HOST", "SALT"]
    assert listed["variables"] == {"SALT": "mysalt", "HOST": "here"}
    assert listed["changeme"] == ["SALT"]
    assert listed["volumes"] == ["data"]
