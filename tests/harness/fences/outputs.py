"""Compare what a page shows with what a program printed.

In a page ``…`` replaces what differs from run to run: within a line any text, on a line of its own
any number of lines.
"""

import difflib
import re

ELLIPSIS = "…"
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def readable(printed: str, home: str) -> str:
    """Return ``printed`` as a page shows it: no colours, ``~`` for the home, no trailing spaces."""
    text = _ANSI.sub("", printed).replace(home, "~")
    return "".join(f"{line.rstrip()}\n" for line in text.strip("\n").splitlines())


def matches(shown: str, printed: str) -> bool:
    """Return whether ``printed`` is what the page shows."""
    pattern = "".join(_line_pattern(line) for line in shown.splitlines())
    return re.fullmatch(pattern, printed) is not None


def difference(shown: str, printed: str) -> str:
    """Return a unified diff from what the page shows to what was printed."""
    return "".join(
        difflib.unified_diff(
            shown.splitlines(keepends=True), printed.splitlines(keepends=True), "the page shows", "printed"
        )
    )


def renewed(shown: str, printed: str) -> str:
    """Return ``printed``, with each line of ``shown`` that still matches left as the page had it."""
    if matches(shown, printed):
        return shown
    old = [line for line in shown.splitlines() if line.strip() != ELLIPSIS]
    lines = []
    for line in printed.splitlines():
        kept = next((entry for entry in old if re.fullmatch(_line_pattern(entry), f"{line}\n")), None)
        if kept is not None:
            del old[: old.index(kept) + 1]
        lines.append(line if kept is None else kept)
    return "".join(f"{line}\n" for line in lines)


def _line_pattern(line: str) -> str:
    if line.strip() == ELLIPSIS:
        return r"(?:.*\n)*?"
    return ".*?".join(re.escape(part) for part in line.rstrip().split(ELLIPSIS)) + r"\n"
