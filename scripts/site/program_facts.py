"""What a Codex says of itself: the keys of ``[otel]``, its models and what is on by default.

One line a fact, as ``tests/recordings/VERSION-program.txt`` keeps them.
"""

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import recordings
from codex_langfuse.codex.isolated import IsolatedCodex, run_in_group
from codex_langfuse.codex.versions import Version

# The program holds the names of its keys, one glued to the next: otel.exporterotel.trace_exporter…
_NAMED = re.compile(rb"otel\.([a-z_]+?)(?=otel\.|[^a-z_])")


def program_facts(binary: Path) -> frozenset[str]:
    """Ask ``binary`` for them.

    Raises:
        ValueError: it does not answer as Codex does.
    """
    with TemporaryDirectory(prefix="codex-program-") as folder:
        codex = IsolatedCodex(Path(folder), binary=binary)
        return frozenset([*_keys(codex), *_models(codex), *_features(codex)])


def stored(codex: Version) -> frozenset[str] | None:
    """Return the facts of this version, else of the newest one before it; None if none is stored."""
    files = {Version.parse(file.name): file for file in recordings.FOLDER.glob("*-program.txt")}
    known = [version for version in files if version <= codex]
    return frozenset(files[max(known)].read_text(encoding="utf-8").splitlines()) if known else None


def store(codex: Version, facts: frozenset[str]) -> None:
    """Keep the facts of a version."""
    file = recordings.FOLDER / f"{codex}-program.txt"
    file.write_text("".join(f"{fact}\n" for fact in sorted(facts)), encoding="utf-8")


def _keys(codex: IsolatedCodex) -> list[str]:
    candidates = {found.decode() for found in _NAMED.findall(codex.binary.read_bytes())}
    unknown = "unknown configuration field"
    return [
        f"key otel.{name}"
        for name in candidates
        if not codex.check_config(f"[otel]\n{name} = [[0]]\n").message.startswith(unknown)
    ]


def _models(codex: IsolatedCodex) -> list[str]:
    models = json.loads(_said(codex, "debug", "models"))["models"]
    listed = [model for model in models if model["visibility"] == "list"]
    default = min(listed, key=lambda model: model["priority"])["slug"]
    return [
        f"default model {default}",
        *(f"model {model['slug']}: {model.get('tool_mode') or 'plain tools'}" for model in models),
    ]


def _features(codex: IsolatedCodex) -> list[str]:
    lines = _said(codex, "features", "list").splitlines()
    return [f"feature {line.split()[0]} on" for line in lines if line.endswith("true")]


def _said(codex: IsolatedCodex, *arguments: str) -> str:
    """Return what the program prints without any setting."""
    codex.write_config("")
    command: list[str | Path] = [codex.binary, *arguments]
    return run_in_group(command, cwd=codex.workspace, environment=codex.environment).stdout
