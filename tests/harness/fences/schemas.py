"""Hold YAML to the schema that a fence names.

``kubernetes``
    The schema of each object's own kind and API version, no unknown field allowed.
``langfuse-helm-values``
    Values for Langfuse's chart: every path must be one that the chart's own values have.
``otelcol``
    What the real Collector validates without a warning; a part of a configuration beside ``shape.yaml``.
``prometheus-rules``
    Groups of Prometheus' alerts, each with an expression that Prometheus reads, and a summary.
``otelcol-builder``
    What the Collector's builder is given: every component of the one release that the list names.
anything else
    One of check-jsonschema's own schemas, such as ``vendor.compose-spec``.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import promql_parser
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema.validators import validator_for

from harness.stand_ins import upstream
from harness.the_collector import complaint
from running_collector import CONFIGURATIONS


class Replacing(list[Any]):
    """A list that replaces the one below it, where Compose would add to it."""


class ComposeLoader(yaml.SafeLoader):
    """YAML with the two tags of the Compose specification: ``!override`` and ``!reset``."""


def _replacing(loader: yaml.SafeLoader, node: yaml.Node) -> Replacing:
    assert isinstance(node, yaml.SequenceNode)
    return Replacing(loader.construct_sequence(node))


ComposeLoader.add_constructor("!override", _replacing)
ComposeLoader.add_constructor("!reset", _replacing)


def read_documents(schema: str, text: str) -> list[Any]:
    """Return the documents of ``text``; raises ``yaml.YAMLError`` when it is not YAML."""
    loader = ComposeLoader if schema == "vendor.compose-spec" else yaml.SafeLoader
    return list(yaml.load_all(text, loader))


def problems(schema: str, documents: Sequence[Any]) -> list[str]:
    """Return what is wrong with ``documents`` by ``schema``, a line each; nothing when all is well."""
    if schema == "kubernetes":
        return [problem for document in documents for problem in _of_kubernetes(document)]
    if schema == "langfuse-helm-values":
        return [problem for document in documents for problem in _of_values(document)]
    if schema == "otelcol":
        return [problem for document in documents for problem in _of_collector(document)]
    if schema == "prometheus-rules":
        return [problem for document in documents for problem in _of_alerts(document)]
    if schema == "otelcol-builder":
        return [problem for document in documents for problem in _of_builder(document)]
    known = get_builtin_schema(schema)
    validator = validator_for(known)(known)
    return [error.message for document in documents for error in validator.iter_errors(document)]


def _of_kubernetes(document: dict[str, Any]) -> Iterator[str]:
    try:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    except (
        kubernetes_validate.ValidationError,
        kubernetes_validate.SchemaNotFoundError,
        kubernetes_validate.InvalidSchemaError,
    ) as error:
        yield f"{document.get('kind')}: {error}"


def _of_collector(document: dict[str, Any]) -> Iterator[str]:
    overlays = "pipelines" not in document["service"]
    base = "carry.yaml" if "exporters" in document else "shape.yaml"
    beside = [CONFIGURATIONS / base] if overlays else []
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(document, file, width=10_000)
        said = complaint(*beside, Path(file.name))
    if said:
        yield said


def _of_alerts(document: dict[str, Any]) -> Iterator[str]:
    for rule in (rule for group in document["groups"] for rule in group["rules"]):
        if not {"alert", "expr", "annotations"} <= rule.keys():
            yield str(rule)
            continue
        try:
            promql_parser.parse(rule["expr"])
        except ValueError as error:
            yield f"{rule['alert']}: {error}"


def _of_builder(document: dict[str, Any]) -> Iterator[str]:
    release = document["dist"]["version"]
    for kind, modules in document.items():
        # Core's interfaces that are stable have a version of their own; 1.67.0 is of release 0.161.0.
        version = "1.67.0" if kind == "providers" else release
        for module in modules if kind != "dist" else []:
            if not module["gomod"].endswith(f" v{version}"):
                yield f"{module['gomod']} is not of release {release}"


def _of_values(values: dict[str, Any], above: str = "") -> Iterator[str]:
    chart = upstream("chart")
    for key, value in values.items():
        path = f"{above}{key}"
        if path in chart["paths"] or f"{path}.*" in chart["paths"]:
            continue
        if isinstance(value, dict) and any(known.startswith(f"{path}.") for known in chart["paths"]):
            yield from _of_values(value, f"{path}.")
        else:
            yield f"{chart['chart']} {chart['version']} has no value {path}"
