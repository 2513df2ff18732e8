#!/usr/bin/env python3
"""Look for the words of words.toml in English pages, messages, comments and names.

    .venv/bin/python scripts/site/words.py

Prints a line for each, with what to say instead. Exit status 1: there is one.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORDS = tomllib.loads((Path(__file__).parent / "words.toml").read_text(encoding="utf-8"))

#: What git lists, without another language, lists of others' names, and the list itself.
_FILES = ("*.md", "*.py", "*.yml", ".github", "src", "scripts", "examples", "overrides")
_LEFT_OUT = ("*.zh.md", "docs/zh", "tests/upstream", "scripts/site/words.toml")

# In comments a phrase may go on behind the next line's sign.
_PATTERNS = {name: word.get("pattern", name).replace(" ", r"[\s#]+") for name, word in WORDS.items()}
_ANY = re.compile(rf"\b({'|'.join(_PATTERNS.values())})\b", re.I)


def found() -> Iterator[str]:
    """Return a line for each occurrence: where it is, and what to say instead."""
    names = [*_FILES, *(f":(exclude){path}" for path in _LEFT_OUT)]
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *names]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for path in sorted(set(filter(None, listed.split("\0")))):
        if not (ROOT / path).is_file():
            continue
        text = (ROOT / path).read_text(encoding="utf-8")
        for match in _ANY.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            name = next(name for name, pattern in _PATTERNS.items() if re.fullmatch(pattern, match[0], re.I))
            yield f'{path}:{line}: "{name}" → {WORDS[name]["say"]}'


if __name__ == "__main__":
    sys.exit("\n".join(found()) or None)
