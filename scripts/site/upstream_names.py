#!/usr/bin/env python3
"""List the names that Langfuse's deployment files use, from clones of its repositories at a tag.

    .venv/bin/python scripts/site/upstream_names.py LANGFUSE_CLONE v4.16.0 CHART_CLONE langfuse-2.0.0

Writes only names and defaults, for the tests and the pages:

- tests/upstream/compose.json: services, images, ports and variables of Langfuse's docker-compose.yml, and
  which variables its comments mark CHANGEME;
- tests/upstream/environment.json: the environment variables that Langfuse's code reads;
- tests/upstream/chart.json: every path of the Helm chart's values.yaml, and what the chart says of itself.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parents[2] / "tests/upstream"

_VARIABLE = re.compile(r"\$\{(?P<name>\w+):-(?P<default>[^}]*)\}")
_NAME = re.compile(r"^\s{2,4}([A-Z][A-Z0-9_]+):", re.M)


def main() -> None:
    """Write all three files."""
    langfuse, version, chart, chart_version = sys.argv[1:]
    _write("compose", compose_names(_show(langfuse, version, "docker-compose.yml"), version))
    _write("environment", environment_names(langfuse, version))
    _write("chart", chart_names(chart, chart_version))


def compose_names(text: str, version: str) -> dict[str, Any]:
    """Return what is named in the text of Langfuse's Compose file."""
    document = yaml.safe_load(text)
    changeme = {
        found["name"]
        for line in text.splitlines()
        if "# CHANGEME" in line
        for found in _VARIABLE.finditer(line)
    }
    return {
        "version": version,
        "services": {
            name: {
                "image": service["image"],
                "ports": service.get("ports", []),
                "environment": sorted(service.get("environment", {})),
                "volumes": service.get("volumes", []),
            }
            for name, service in document["services"].items()
        },
        "variables": {found["name"]: found["default"] for found in _VARIABLE.finditer(text)},
        "changeme": sorted(changeme),
        "volumes": sorted(document["volumes"]),
    }


def environment_names(clone: str, version: str) -> dict[str, Any]:
    """Return the variables in the schemas with which Langfuse's web and worker read their environment."""
    files = ["web/src/env.mjs", "worker/src/env.ts", "packages/shared/src/env.ts"]
    names = {name for file in files for name in _NAME.findall(_show(clone, version, file))}
    return {"version": version, "read from": files, "names": sorted(names)}


def chart_names(clone: str, tag: str) -> dict[str, Any]:
    """Return the paths of the chart's values; ``*`` is any key of a map or list."""
    values = yaml.safe_load(_show(clone, tag, "charts/langfuse/values.yaml"))
    chart = yaml.safe_load(_show(clone, tag, "charts/langfuse/Chart.yaml"))
    return {
        "chart": chart["name"],
        "version": chart["version"],
        "appVersion": chart["appVersion"],
        "paths": sorted(_paths(values, "")),
    }


def _paths(values: dict[str, Any], above: str) -> list[str]:
    found = []
    for key, value in values.items():
        path = f"{above}{key}"
        if isinstance(value, dict) and value:
            found += _paths(value, f"{path}.")
        else:
            found.append(f"{path}.*" if value in ({}, []) else path)
    return found


def _show(clone: str, tag: str, path: str) -> str:
    command = ["git", "-C", clone, "show", f"{tag}:{path}"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _write(name: str, content: dict[str, Any]) -> None:
    file = FOLDER / f"{name}.json"
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
