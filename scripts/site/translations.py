#!/usr/bin/env python3
"""Keep the Chinese pages abreast of the English ones.

Each page under docs/zh/ says in its front matter which text it translates: ``translates:`` and the
first twelve digits of the English file's SHA-256. When the English page changes, the two no longer
agree, and the translation is stale. What generate_pages.py writes into both does not count.

    scripts/translations status             what is stale or missing; exit status 1 if anything is
    scripts/translations diff PAGE          what changed in the English page since it was translated
    scripts/translations done PAGE [PAGE …] the Chinese page says what the English one says now

PAGE is a path below docs/, such as quickstart.md, or README.md.
"""

import argparse
import difflib
import hashlib
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
CHINESE = DOCS / "zh"

# Made from data in both languages by generate_pages.py, and so never translated.
_GENERATED = re.compile(r"(<!-- generated: [\w-]+ -->\n).*?(<!-- end -->)", re.S)

_PIN = re.compile(r"^(?:translates: |<!-- translates: )(?P<pin>[0-9a-f]{12})", re.M)


def english_pages() -> list[str]:
    """Return every page that has a Chinese twin or needs one, by the name this command takes."""
    in_site = (path for path in DOCS.rglob("*.md") if CHINESE not in path.parents)
    return [*sorted(path.relative_to(DOCS).as_posix() for path in in_site), "README.md"]


def english(page: str) -> Path:
    """Return the English file of ``page``."""
    return ROOT / page if page == "README.md" else DOCS / page


def chinese(page: str) -> Path:
    """Return the Chinese file of ``page``, whether it exists or not."""
    return ROOT / "README.zh.md" if page == "README.md" else CHINESE / page


def fingerprint(text: str) -> str:
    """Return the pin of an English text, which is the same whatever its generated tables hold."""
    return hashlib.sha256(_GENERATED.sub(r"\1\2", text).encode()).hexdigest()[:12]


def pinned(page: str) -> str | None:
    """Return the pin that the Chinese file of ``page`` carries, or None."""
    found = _PIN.search(chinese(page).read_text(encoding="utf-8"))
    return found["pin"] if found else None


def state(page: str) -> str:
    """Return ``current``, ``stale``, ``unpinned`` or ``missing``."""
    if not chinese(page).is_file():
        return "missing"
    pin = pinned(page)
    if pin is None:
        return "unpinned"
    return "current" if pin == fingerprint(english(page).read_text(encoding="utf-8")) else "stale"


def text_at_pin(page: str) -> str | None:
    """Return the English text that was translated, from the history, or None if it is not there."""
    file, pin = english(page).relative_to(ROOT).as_posix(), pinned(page)
    for commit in _git("log", "--format=%H", "--follow", "--", file).split():
        text = _git("show", f"{commit}:{file}")
        if fingerprint(text) == pin:
            return text
    return None


def mark_done(page: str) -> None:
    """Pin the Chinese file of ``page`` to the English text as it is now."""
    file = chinese(page)
    text = file.read_text(encoding="utf-8")
    pin = fingerprint(english(page).read_text(encoding="utf-8"))
    if _PIN.search(text):
        text = _PIN.sub(lambda match: match[0].replace(match["pin"], pin), text, count=1)
    elif text.startswith("---\n"):
        text = text.replace("---\n", f"---\ntranslates: {pin}\n", 1)
    else:
        text = f"<!-- translates: {pin} -->\n{text}"
    file.write_text(text, encoding="utf-8")


def _git(*arguments: str) -> str:
    run = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    return run.stdout.decode() if run.returncode == 0 else ""


def _status() -> int:
    stale = 0
    for page in english_pages():
        word = state(page)
        if word != "current":
            stale += 1
            print(f"{word:9} {page}")
    if stale:
        print(f"\n{stale} of {len(english_pages())} pages. See what changed: scripts/translations diff PAGE")
    return 1 if stale else 0


def _diff(page: str) -> int:
    now = english(page).read_text(encoding="utf-8")
    if state(page) in {"missing", "unpinned"}:
        print(now, end="")
        return 0
    before = text_at_pin(page)
    if before is None:
        print(f"{page}: the text with pin {pinned(page)} is not in this history. Read the whole page.")
        return 1
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        now.splitlines(keepends=True),
        f"{page} as translated",
        f"{page} now",
    )
    sys.stdout.writelines(lines)
    return 0


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("status")
    commands.add_parser("diff").add_argument("page")
    commands.add_parser("done").add_argument("pages", nargs="+", metavar="page")
    arguments = parser.parse_args()
    named = arguments.pages if arguments.command == "done" else [getattr(arguments, "page", "README.md")]
    for page in named:
        if page not in english_pages():
            parser.error(f"{page} is no English page. There are: {', '.join(english_pages())}")
    if arguments.command == "status":
        return _status()
    if arguments.command == "diff":
        return _diff(arguments.page)
    for page in arguments.pages:
        if not chinese(page).is_file():
            parser.error(f"{page} has no Chinese page yet: write {chinese(page).relative_to(ROOT)} first")
        mark_done(page)
    return 0


if __name__ == "__main__":
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `… diff PAGE | head` ends quietly
    sys.exit(main())
