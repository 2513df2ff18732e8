"""What ``scripts/refresh`` does: pin and record a Codex, compare, store, regenerate, show."""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import program_facts
import recordings
from codex_langfuse.codex.binary import CHOSEN, CodexNotFoundError, codex_version, find_codex
from codex_langfuse.codex.versions import Version
from recorded_names import ON_EVERY_SPAN, Name, names, names_in
from recording_codex import RecordingError, record, write

ROOT = Path(__file__).resolve().parents[2]

#: A span that ends as Codex exits is now and then lost (in 0.156 to 0.161 in one run of six).
_ATTEMPTS = 3

#: Attributes of everything, which say nothing of a new span or event.
_OBVIOUS = ON_EVERY_SPAN | {"event.name", "thread.id"}


def compared_with(codex: Version) -> str:
    """Return the stored recording to compare with: of this version, else of the newest one before it.

    Raises:
        RecordingError: this version is older than all of them.
    """
    older = [name for version, name in recordings.simple_turns().items() if Version.parse(version) <= codex]
    if not older:
        raise RecordingError(f"Codex {codex} is older than every version recorded")
    return older[-1]


def recorded(
    binary: Path, codex: Version, stored: frozenset[Name]
) -> tuple[list[dict[str, Any]], frozenset[Name]]:
    """Return what ``binary`` sends, and the names in it: in several runs, if one lacks a stored name."""
    seen: frozenset[Name] = frozenset()
    for _ in range(_ATTEMPTS):
        requests = record(binary, codex)
        found = names_in(recordings.RecordedRequest(each["signal"], each["body"]) for each in requests)
        seen |= found
        if stored <= found:
            break
    return requests, seen


def difference(stored: frozenset[Name], found: frozenset[Name]) -> list[str]:
    """Return a line for each name that came or went; of what is new as a whole, its attributes in one."""
    return [
        *(f"+ {line}" for line in _lines(found - stored, stored)),
        *(f"- {line}" for line in _lines(stored - found, found)),
    ]


def _lines(only: frozenset[Name], elsewhere: frozenset[Name]) -> Iterable[str]:
    for name in sorted(only):
        kind, what, *attribute = name
        if not attribute:
            attributes = sorted({each[2] for each in only if each[:2] == name and len(each) == 3} - _OBVIOUS)
            yield f"{kind} {what}" + (f" ({', '.join(attributes)})" if attributes else "")
        elif (kind, what) in elsewhere:
            yield f"{kind} {what}: {attribute[0]}"


def pin_newest(folder: Path) -> None:
    """Pin npm's newest Codex in the package.json and package-lock.json of ``folder``, without installing it.

    Raises:
        subprocess.CalledProcessError: npm could not; it has said why on stderr.
    """
    wanted = ("--package-lock-only", "--save-dev", "--save-exact", "@openai/codex@latest")
    subprocess.run(["npm", "install", "--no-progress", *wanted], cwd=folder, check=True, stdout=sys.stderr)


def _check(binary: Path, codex: Version, base: str) -> int:
    stored = names(base)
    _, found = recorded(binary, codex, stored)
    lines = difference(stored, found)
    facts = program_facts.program_facts(binary)
    other = _of_the_program(program_facts.stored(codex), facts)
    if lines:
        print(f"Codex {codex} does not send what {base} has ({len(lines)} differences):", *lines, sep="\n")
    else:
        print(
            f"Codex {codex} sends what {base} has: {len(found)} names of events, spans, metrics, attributes."
        )
    if other:
        print(
            f"Its keys, models and defaults are not those stored ({len(other)} differences):",
            *other,
            sep="\n",
        )
    else:
        print(f"Its keys, models and defaults are those stored: {len(facts)}.")
    return 1 if lines or other else 0


def _of_the_program(stored: frozenset[str] | None, facts: frozenset[str]) -> list[str]:
    """Return a line for each fact that came or went; none where nothing is stored to compare with."""
    if stored is None:
        return []
    came, went = sorted(facts - stored), sorted(stored - facts)
    return [*(f"+ {fact}" for fact in came), *(f"- {fact}" for fact in went)]


def _refresh(binary: Path, codex: Version, base: str, anew: bool) -> int:
    stored = names(base)
    requests, found = recorded(binary, codex, stored)
    lines = difference(stored, found)
    file = recordings.FOLDER / f"{codex}-default.jsonl.gz"
    if file.exists() and not lines and not anew:
        print(f"{file.name} has the same names already; kept as it is.")
    else:
        write(requests, file)
        print(f"Wrote {file.relative_to(ROOT)}. Against {base}:", *(lines or ["the same names"]), sep="\n")
    facts = program_facts.program_facts(binary)
    print(*_of_the_program(program_facts.stored(codex), facts), sep="\n")
    program_facts.store(codex, facts)
    # In a process of its own: this one has read the recordings as they were.
    subprocess.run([sys.executable, ROOT / "scripts/site/generate_pages.py"], check=True)
    environment = os.environ | {CHOSEN: str(binary)}
    examples = subprocess.run([ROOT / "scripts/test", "update"], check=False, env=environment)
    drawn = subprocess.run([ROOT / "scripts/test", "draw"], check=False, env=environment)
    print("\nWhat changed:", flush=True)
    subprocess.run(["git", "--no-pager", "diff", "--stat"], cwd=ROOT, check=True)
    subprocess.run(["git", "--no-pager", "diff", "--unified=0", "--", "docs"], cwd=ROOT, check=True)
    print("\nNow: scripts/site/versions.toml, the Chinese pages' pins, ./scripts/test.")
    return examples.returncode or drawn.returncode


def main(arguments: list[str] | None = None) -> int:
    """Do as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts/refresh", description="Record a Codex, compare, regenerate."
    )
    program = parser.add_mutually_exclusive_group()
    program.add_argument("--codex", type=Path, metavar="PATH", help="the program; default: the pinned one")
    program.add_argument("--newest", action="store_true", help="pin npm's newest first")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--check", action="store_true", help="change nothing; exit status 1 if anything differs"
    )
    mode.add_argument("--anew", action="store_true", help="store the recording though its names are the same")
    options = parser.parse_args(arguments)
    try:
        if options.newest:
            pin_newest(ROOT)
            subprocess.run([ROOT / "scripts/setup", "codex"], check=True)
        binary = options.codex or find_codex()
        codex = Version.parse(codex_version(binary))
        base = compared_with(codex)
        if options.check:
            return _check(binary, codex, base)
        return _refresh(binary, codex, base, options.anew)
    except (RecordingError, CodexNotFoundError, ValueError, OSError, subprocess.SubprocessError) as error:
        print(f"scripts/refresh: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
