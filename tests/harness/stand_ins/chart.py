"""``helm``: Langfuse's chart, known by the paths of its values and by the Secrets that its templates read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from harness.fences.schemas import problems
from harness.stand_ins import ComplaintError, langfuse, upstream
from harness.stand_ins.cluster import Cluster, references, split

CHART = "oci://ghcr.io/langfuse/langfuse-k8s/charts/langfuse"

# What the bundled stores read from the Secret that values name, in addition to the keys that values name:
# comments of the chart's values.yaml, and its templates/validations.yaml.
_STORES = {
    "postgresql.settings.existingSecret": ("POSTGRES_USER", "POSTGRES_PASSWORD"),
    "postgresql.userDatabase.existingSecret": ("USERDB_USER", "USERDB_PASSWORD", "POSTGRES_DB"),
    "redis.auth.usersExistingSecret": ("default",),
    "s3.allInOne.s3.existingConfigSecret": ("seaweedfs_s3_config",),
}
_KEYS = {
    "postgresql.auth.existingSecret": ("postgresql.auth.secretKeys.userPasswordKey",),
    "clickhouse.auth.existingSecret": ("clickhouse.auth.existingSecretKey",),
    "redis.auth.existingSecret": ("redis.auth.existingSecretPasswordKey",),
    "s3.auth.existingSecret": ("s3.auth.rootUserSecretKey", "s3.auth.rootPasswordSecretKey"),
}


def run(arguments: list[str]) -> None:
    """Do what ``helm ARGUMENTS`` does, as far as it can be done without Helm.

    Raises:
        ComplaintError: it would refuse, or is no command that is known here.
    """
    words, options = split(arguments)
    match words:
        case ["upgrade", _, chart]:
            if "--install" not in options or not options.get("--version"):
                raise ComplaintError("give --install and --version, so that it does the same tomorrow")
        case _:
            raise ComplaintError(f"helm {' '.join(arguments)} is not known here")
    if chart != CHART:
        return
    known = upstream("chart")
    if options["--version"] != known["version"]:
        raise ComplaintError(f"known here is {known['version']}, not {options['--version']}")
    values = yaml.safe_load(Path(options["-f"]).read_text(encoding="utf-8"))
    if found := problems("langfuse-helm-values", [values]):
        raise ComplaintError("; ".join(found))
    cluster, namespace = Cluster(), options["--namespace"]
    cluster.need_namespace(namespace)
    for name, key in secrets_needed(values):
        cluster.value(namespace, "Secret", name, key)
    host = values["langfuse"]["ingress"]["hosts"][0]["host"]
    langfuse.start(host, _environment(values, cluster, namespace))


def secrets_needed(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Return each Secret and key that the chart will read with these ``values``."""
    for kind, name, key in references(values):
        assert kind == "Secret" and key is not None
        yield name, key
    for path, keys in _STORES.items():
        if name := _at(values, path):
            yield from ((name, key) for key in keys)
    for path, keys in _KEYS.items():
        if name := _at(values, path):
            yield from ((name, _at(values, key)) for key in keys)


def _environment(values: dict[str, Any], cluster: Cluster, namespace: str) -> dict[str, str]:
    environment = {}
    for entry in _at(values, "langfuse.web.pod.additionalEnv") or []:
        reference = entry.get("valueFrom", {}).get("secretKeyRef")
        environment[entry["name"]] = (
            cluster.value(namespace, "Secret", reference["name"], reference["key"])
            if reference
            else entry["value"]
        )
    return environment


def _at(values: Any, path: str) -> Any:
    for key in path.split("."):
        values = values.get(key) if isinstance(values, dict) else None
    return values
