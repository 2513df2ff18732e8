"""``kubectl``: a cluster that consists of namespaces, Secrets, ConfigMaps and the manifests applied to it."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from harness.fences.schemas import problems
from harness.stand_ins import PROGRAMS, ComplaintError, state_folder

# Where a manifest names something else that must be there, by the kind of thing.
_REFERENCES = {
    "secretKeyRef": "Secret",
    "secretRef": "Secret",
    "configMapKeyRef": "ConfigMap",
    "configMapRef": "ConfigMap",
}
_VOLUMES = {"secret": ("Secret", "secretName"), "configMap": ("ConfigMap", "name")}


class Cluster:
    """What ``kubectl`` was told so far in this terminal."""

    def __init__(self) -> None:
        self._file = state_folder() / "cluster.json"
        known = json.loads(self._file.read_text()) if self._file.is_file() else {}
        self.namespaces: list[str] = known.get("namespaces", [])
        self.data: dict[str, dict[str, str]] = known.get("data", {})

    def save(self) -> None:
        """Remember it for the next command."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps({"namespaces": self.namespaces, "data": self.data}))

    def need_namespace(self, namespace: str) -> None:
        """Raise ComplaintError unless the namespace was made."""
        if namespace not in self.namespaces:
            raise ComplaintError(f'namespaces "{namespace}" not found')

    def value(self, namespace: str, kind: str, name: str, key: str | None) -> str:
        """Return a value of a Secret or ConfigMap; raise ComplaintError when it is not there."""
        held = self.data.get(f"{namespace}/{kind}/{name}")
        if held is None:
            raise ComplaintError(f'{kind} "{name}" not found in namespace {namespace}')
        if key is not None and key not in held:
            raise ComplaintError(f'{kind} "{name}" has no key {key}; it has {sorted(held)}')
        return held[key] if key is not None else ""


def run(arguments: list[str]) -> None:
    """Do what ``kubectl ARGUMENTS`` does, as far as it can be done without a cluster.

    Raises:
        ComplaintError: it would refuse, or is no command that is known here.
    """
    words, options = split(arguments)
    cluster = Cluster()
    match words:
        case ["create", "namespace", name]:
            cluster.namespaces.append(name)
            _as_the_real_one(arguments)
        case ["create", "secret", "generic", name]:
            namespace = options["--namespace"]
            cluster.need_namespace(namespace)
            cluster.data[f"{namespace}/Secret/{name}"] = _entries(Path(options["--from-env-file"]))
            _as_the_real_one(arguments)
        case ["apply"]:
            _apply(cluster, Path(options["-f"]), options["--namespace"])
        case ["get", "secret", name]:
            key = options["-o"].removeprefix("jsonpath={.data.").removesuffix("}")
            value = cluster.value(options["--namespace"], "Secret", name, key)
            print(base64.b64encode(value.encode()).decode(), end="")
        case _:
            raise ComplaintError(f"kubectl {' '.join(arguments)} is not known here")
    cluster.save()


def split(arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """Return the words of a command line, and its options with their values (empty for a flag)."""
    words, options = [], {}
    rest = iter(arguments)
    flags = {"--wait", "--install", "--create-namespace"}
    for each in rest:
        if each.startswith("-"):
            name, given, value = each.partition("=")
            options[name] = value if given else "" if name in flags else next(rest, "")
        else:
            words.append(each)
    return words, options


def _entries(file: Path) -> dict[str, str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _as_the_real_one(arguments: list[str]) -> None:
    """Have the real ``kubectl`` make the object too, where it is installed: it knows more mistakes."""
    folders = [folder for folder in os.environ["PATH"].split(os.pathsep) if Path(folder) != PROGRAMS]
    program = shutil.which("kubectl", path=os.pathsep.join(folders))
    if program is None:
        return
    made = subprocess.run(
        [program, *arguments, "--dry-run=client", "-o", "json"], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise ComplaintError(made.stderr.strip())
    if found := problems("kubernetes", [_without_nulls(json.loads(made.stdout))]):
        raise ComplaintError(f"kubectl made what is not valid: {found}")


def _without_nulls(document: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in document["metadata"].items() if value is not None}
    return {**{key: value for key, value in document.items() if value != {}}, "metadata": metadata}


def _apply(cluster: Cluster, file: Path, namespace: str) -> None:
    documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    if found := problems("kubernetes", documents):
        raise ComplaintError(f"{file.name}: {found}")
    cluster.need_namespace(namespace)
    for document in documents:
        if document["kind"] in {"ConfigMap", "Secret"}:
            held = {**document.get("data", {}), **document.get("stringData", {})}
            cluster.data[f"{namespace}/{document['kind']}/{document['metadata']['name']}"] = held
    for document in documents:
        for kind, name, key in references(document):
            cluster.value(namespace, kind, name, key)


def references(value: Any) -> Iterator[tuple[str, str, str | None]]:
    """Find in a manifest or in values what it needs of others: kind, name, and the key if it names one."""
    if isinstance(value, list):
        for entry in value:
            yield from references(entry)
    elif isinstance(value, dict):
        for name, entry in value.items():
            if name in _REFERENCES and entry.get("name"):
                yield _REFERENCES[name], entry["name"], entry.get("key")
            elif name in _VOLUMES and isinstance(entry, dict) and _VOLUMES[name][1] in entry:
                yield _VOLUMES[name][0], entry[_VOLUMES[name][1]], None
            else:
                yield from references(entry)
