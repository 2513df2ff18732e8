#!/usr/bin/env python3
"""Look for the words of words.toml in English pages, messages, comments and names.

    .venv/bin/python scripts/site/words.py

Those that were there before the list was made are counted in words_left.txt, a line for each file and word.
This command writes the lower counts of now into it. It adds none: a word may move to another file, and there
may be fewer of it. Exit status 1: there is more of a word, and it says where.
"""

import re
import subprocess
import sys
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
WORDS = tomllib.loads((HERE / "words.toml").read_text(encoding="utf-8"))
LEFT = HERE / "words_left.txt"

#: What git lists, without another language, what is made from the rest, and these lists.
_FILES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "src", "scripts", "tests/*.py")
_LEFT_OUT = ("docs/zh", "docs/reference/errors.md", "scripts/site/words.toml", "scripts/site/words_left.txt")

# In comments a phrase may go on behind the next line's sign.
_PATTERNS = {
    name: re.compile(rf"\b({word.get('pattern', name)})\b".replace(" ", r"[\s#]+"), re.I)
    for name, word in WORDS.items()
}

#: A file's path and the name of a word.
Place = tuple[str, str]


@cache
def found() -> list[tuple[Place, int]]:
    """Return every occurrence, with its line."""
    occurrences: list[tuple[Place, int]] = []
    names = [*_FILES, *(f":(exclude){path}" for path in _LEFT_OUT)]
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *names]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for path in sorted(set(filter(None, listed.split("\0")))):
        if not (ROOT / path).is_file():
            continue
        text = (ROOT / path).read_text(encoding="utf-8")
        for name, pattern in _PATTERNS.items():
            for match in pattern.finditer(text):
                occurrences.append(((path, name), text.count("\n", 0, match.start()) + 1))
    return occurrences


def left() -> Counter[Place]:
    """Return how often each word may be in each file: the most, where a merge left two lines for it."""
    counts: Counter[Place] = Counter()
    for line in LEFT.read_text(encoding="utf-8").splitlines():
        path, name, count = line.split("\t")
        counts[path, name] = max(counts[path, name], int(count))
    return counts


def added() -> list[str]:
    """Return a line for each occurrence of a word in a file that has more of it than it may."""
    more = Counter(place for place, _ in found()) - left()
    return [
        f'{path}:{line}: "{name}" → {WORDS[name]["say"]}'
        for (path, name), line in found()
        if (path, name) in more
    ]


def main() -> None:
    """Write the counts of now, if no word has become more."""
    counts = Counter(place for place, _ in found())
    now, before = (Counter(name for _, name in each.elements()) for each in (counts, left()))
    if now - before:
        sys.exit("\n".join(added()))
    lines = (f"{path}\t{name}\t{count}\n" for (path, name), count in sorted(counts.items()))
    LEFT.write_text("".join(lines), encoding="utf-8")
    print(f"{LEFT.relative_to(ROOT)}: {before.total()} → {now.total()}")


if __name__ == "__main__":
    main()
