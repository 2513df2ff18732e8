"""What ``scripts/matrix`` does: run released versions of Codex in combinations, and keep what came of it."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from google.protobuf.message import DecodeError

import relayed_recordings as relayed
from codex_langfuse.codex.isolated import run_in_group
from codex_langfuse.codex.scripted_model import Scenario
from codex_langfuse.codex.versions import OTEL_KEYS, Version
from codex_langfuse.exports import spans_in
from codex_langfuse.testplan.wire import Exchange
from harness.combinations import PROVIDERS, SIGNALS, STEPS, batches, charged, configuration, generations
from harness.surroundings import Surroundings, running_surroundings
from page_tables.versions import MATRIX, verified

MODELS = ("default", "unknown")

#: What must not be in the telemetry: the prompt, a command's output, the answer.
_PROMPT, _CONTENT = "Secret greeting.", (b"Secret greeting.", b"secret-output", b"Done.")
#: The parts of a result, each true if it held in every run in which it could.
PARTS = ("loads", "arrives", "tokens", "no_content", "relay", "caller", "labels")

#: One of the combinations has a caller, who says whose turn it is.
_CALLED = ("unknown", "websocket", "both")
_TRACE, _PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
_CALLER = {
    "TRACEPARENT": f"00-{_TRACE}-{_PARENT}-01",
    "OTEL_RESOURCE_ATTRIBUTES": "team=payments",
}
_LABELS = """\
[otel.span_attributes]
"langfuse.user.id" = "ada"
"langfuse.environment" = "ci"
"langfuse.trace.tags" = "nightly"
"langfuse.trace.metadata.job" = "42"
"""


def change_points() -> list[str]:
    """Return the versions in which Codex changed since spans hold no content, oldest first."""
    since = dict.fromkeys(change["since"] for change in verified()["codex"]["change"])
    return [version for version in since if Version.parse(version) >= Version.parse("0.113.0")]


def installed(version: str, cache: Path) -> Path:
    """Install a version from npm into ``cache``, unless it is there; return its binary.

    Raises:
        subprocess.CalledProcessError: npm has no such version for this machine.
    """
    folder = cache / version
    pattern = "node_modules/@openai/codex*/vendor/*/*/codex"
    if not any(folder.glob(pattern)):
        folder.mkdir(parents=True, exist_ok=True)
        package = f"@openai/codex@{version}"
        subprocess.run(["npm", "install", "--no-save", "--prefix", folder, package], check=True)
    machine = os.uname().machine.replace("arm64", "aarch64")
    (binary,) = (file for file in folder.glob(pattern) if _is_for(file.parents[1].name, machine))
    return binary


def _is_for(triple: str, machine: str) -> bool:
    return triple.startswith(machine) and ("apple" in triple) == (sys.platform == "darwin")


def result_of(surroundings: Surroundings, binary: Path, codex: Version) -> dict[str, object]:
    """Run every combination that a version has, and return which parts held in all of them."""
    held: dict[str, set[bool]] = {part: set() for part in PARTS}
    runs = 0
    for model, provider, signals in product(MODELS, PROVIDERS, SIGNALS):
        if "traces" in SIGNALS[signals] and codex < OTEL_KEYS["trace_exporter"]:
            continue
        runs += 1
        for part, value in _run(surroundings, binary, model, provider, signals):
            held[part].add(value)
    return {"runs": runs, **{part: False not in values for part, values in held.items() if values}}


def _run(
    surroundings: Surroundings, binary: Path, model: str, provider: str, signals: str
) -> Iterator[tuple[str, bool]]:
    surroundings.clear()
    scripted = surroundings.model
    scripted.play(Scenario(STEPS))
    with tempfile.TemporaryDirectory(prefix="codex-matrix-") as folder:
        codex = surroundings.codex(Path(folder), binary)
        is_called = (model, provider, signals) == _CALLED
        labels = _LABELS if is_called else ""
        codex.write_config(configuration(codex, scripted.base_url, model, provider, signals) + labels)
        # The versions without `openai_base_url` read the variable.
        environment = {**codex.environment, "OPENAI_BASE_URL": scripted.base_url}
        environment |= _CALLER if is_called else {}
        command: list[str | Path] = [binary, "exec", "-c", "sandbox_mode=danger-full-access", _PROMPT]
        run = run_in_group(command, cwd=codex.workspace, environment=environment, timeout=120)
    yield "loads", run.returncode == 0 and bool(scripted.requests)
    asked = {f"{signal}.example" for signal in SIGNALS[signals]}
    yield "arrives", asked <= {request.host for request in surroundings.proxy.exchanges}
    bodies = [request.body for request in surroundings.proxy.exchanges if request.host in asked]
    yield "no_content", not any(text in body for body in bodies for text in _CONTENT)
    truth = charged(scripted)
    traces = (each for each in surroundings.proxy.exchanges if each.host == "traces.example")
    spans = spans_in(request.body for request in traces)
    if spans:
        counted = [int(span.attributes.get("gen_ai.usage.input_tokens", 0)) for span in spans]
        wanted = [parts[0] + parts[1] for turn in truth for parts in turn]
        yield "tokens", sorted(filter(None, counted)) == sorted(wanted)
    # Without trace_exporter, 0.128 and older send spans to the endpoint for logs; the relay refuses those.
    exports = (each for each in surroundings.proxy.exchanges if not _is_misplaced(each))
    result = relayed.relay(batches(exports))
    yield "relay", generations(result) == truth
    if is_called:
        yield from _heard(result)


def _is_misplaced(request: Exchange) -> bool:
    try:
        list(batches([request]))
    except DecodeError:
        return True
    return False


def _heard(result: relayed.Relayed) -> Iterator[tuple[str, bool]]:
    """Yield whether the turn is where its caller said, and whose the caller said it is."""
    agents = result.of("AGENT")
    places = [(each["traceId"], each["parentObservationId"]) for each in agents]
    yield "caller", places == [(_TRACE, _PARENT)]
    said = [
        (each["userId"], each["environment"], "nightly" in each["tags"], each["metadata"].get("job"))
        for each in agents
    ]
    resources = [each["metadata"].get("resource.team") for each in agents]
    yield "labels", (said, resources) == ([("ada", "ci", True, "42")], ["payments"])


def results() -> dict[str, dict[str, object]]:
    """Return what is kept, by version, oldest first."""
    kept = tomllib.loads(MATRIX.read_text(encoding="utf-8")) if MATRIX.is_file() else {}
    return dict(sorted(kept.items(), key=lambda each: Version.parse(each[0])))


def keep(version: str, result: dict[str, object]) -> None:
    """Put the result of a version in place of the one that is kept."""
    ordered = sorted({**results(), version: result}.items(), key=lambda each: Version.parse(each[0]))
    tables = (
        f'["{name}"]\n' + "".join(f"{key} = {json.dumps(value)}\n" for key, value in found.items())
        for name, found in ordered
    )
    MATRIX.write_text("# Written by: scripts/matrix\n" + "\n".join(tables), encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Do as the command line says; return the exit status: 1 when npm lacks a version, or it does not run."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "codex-langfuse"
    parser = argparse.ArgumentParser(
        prog="scripts/matrix", description="Run versions of Codex, keep results."
    )
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="default: those where Codex changed")
    parser.add_argument("--cache", type=Path, default=cache, help=f"where they are installed; {cache}")
    parser.add_argument("--anew", action="store_true", help="run what is kept already too")
    options = parser.parse_args(arguments)
    failed = 0
    with running_surroundings() as surroundings:
        for version in options.versions or change_points():
            if version in results() and not options.anew:
                continue
            try:
                result = result_of(surroundings, installed(version, options.cache), Version.parse(version))
            except (subprocess.SubprocessError, OSError, ValueError) as error:
                print(f"{version}: {error}", file=sys.stderr)
                failed = 1
                continue
            keep(version, result)
            print(version, *(f"{part}={value}" for part, value in result.items()), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
