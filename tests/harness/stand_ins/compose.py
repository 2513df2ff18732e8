"""``docker compose``: two files and ``.env`` made into one, by the rules of the Compose specification."""

import os
import re
from pathlib import Path
from typing import Any

import yaml

from harness.fences.schemas import ComposeLoader, Replacing, problems
from harness.stand_ins import ComplaintError, langfuse

# Flags that change nothing of what is checked here.
_FLAGS = {"--detach", "-d", "--wait", "--quiet", "-q", "-T", "--no-color", "--volumes", "-v"}

_REFERENCE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?:(?P<how>:?[-?])(?P<else>[^}]*))?\}")


def run(arguments: list[str]) -> None:
    """Do what ``docker ARGUMENTS`` does, as far as it can be done without Docker.

    Raises:
        ComplaintError: it would refuse, or is no command that is known here.
    """
    if arguments[:1] != ["compose"] or len(arguments) < 2:
        raise ComplaintError(f"only docker compose is known here, not docker {' '.join(arguments)}")
    command, rest = arguments[1], [each for each in arguments[2:] if each not in _FLAGS]
    configuration = effective_configuration(Path.cwd())
    services = configuration["services"]
    if command == "exec":
        if len(rest) < 2 or rest[0] not in services:
            raise ComplaintError(f"exec needs a service, one of {sorted(services)}, and a command: {rest}")
    elif command in {"config", "up", "pull", "stop", "start", "down", "ps"}:
        unknown = set(rest) - services.keys()
        if unknown:
            raise ComplaintError(f"no such service: {sorted(unknown)}")
    else:
        raise ComplaintError(f"docker compose {command} is not known here")
    if command == "up" and (not rest or "langfuse-web" in rest):
        web = services["langfuse-web"]
        published = web["ports"][0].rsplit(":", 2)[-2]
        langfuse.start(f"localhost:{published}", web["environment"])


def effective_configuration(folder: Path) -> dict[str, Any]:
    """Return what Compose makes of the files in ``folder``: those of COMPOSE_FILE, or the two it knows.

    Raises:
        ComplaintError: a file is missing or not valid, or a variable that must be set is not.
    """
    variables = {**_variables(folder / ".env"), **os.environ}
    override = folder / "docker-compose.override.yml"
    both = ["docker-compose.yml", *([override.name] if override.is_file() else [])]
    configuration: dict[str, Any] = {}
    for name in variables["COMPOSE_FILE"].split(":") if variables.get("COMPOSE_FILE") else both:
        file = folder / name
        if not file.is_file():
            raise ComplaintError(f"no configuration file provided: {name} not found")
        document = yaml.load(file.read_text(encoding="utf-8"), ComposeLoader)
        if found := problems("vendor.compose-spec", [document]):
            raise ComplaintError(f"{name}: {found}")
        configuration = merged(configuration, document)
    whole: dict[str, Any] = _interpolated(configuration, variables)
    return whole


def merged(below: Any, above: Any) -> Any:
    """Return ``above`` on ``below``: mappings key by key, lists one after the other, all else replaced."""
    if isinstance(below, dict) and isinstance(above, dict):
        return {
            **below,
            **{key: merged(below[key], value) if key in below else value for key, value in above.items()},
        }
    if isinstance(below, list) and isinstance(above, list) and not isinstance(above, Replacing):
        return below + above
    return above


def _variables(file: Path) -> dict[str, str]:
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name: value.strip("\"'") for name, value in pairs}


def _interpolated(value: Any, variables: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _interpolated(entry, variables) for key, entry in value.items()}
    if isinstance(value, list):
        return [_interpolated(entry, variables) for entry in value]
    return (
        _REFERENCE.sub(lambda found: _looked_up(found, variables), value) if isinstance(value, str) else value
    )


def _looked_up(found: re.Match[str], variables: dict[str, str]) -> str:
    if found[0] == "$$":
        return "$"
    value, how = variables.get(found["name"]), found["how"] or ""
    if value or (value is not None and not how.startswith(":")):
        return value
    if how.endswith("?"):
        raise ComplaintError(f"required variable {found['name']} is missing a value")
    return found["else"] or "" if how else ""
