"""Follow the Quickstart in a terminal, and draw what it shows, in both languages.

The steps are those of docs/quickstart.md, from the set-up to the turn in Langfuse, with the first tab
where there are several. They run as those of any page (``harness.fences``): a real shell, the real Codex, and
the mock for a Langfuse. ``./scripts/test draw`` runs them and draws ``quickstart.en.svg`` and
``quickstart.zh.svg`` in docs/assets/images/, if each step prints what the page shows.
"""

import re
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

from harness.fences.executors import EXECUTORS, expect
from harness.fences.pages import twin_of
from harness.fences.placeholders import filled_in
from harness.fences.reader import Reader
from harness.fences.scanner import Fence, scan
from hooks import tested_with
from terminal_drawing import Caption, Command, DrawnTexts, File, Scene, drawing
from translations import DOCS

PAGE = DOCS / "quickstart.md"
FIRST, AFTER = "set-up", "upgrade"

# What the page does not say in words of its own.
WORDS = tomllib.loads(Path(__file__).with_suffix(".words.toml").read_text(encoding="utf-8"))
TITLE, END = WORDS["title"], WORDS["end"]

_TAB = re.compile(r'^=== "')
_HEADING = re.compile(r"^## (?P<text>.+) \{ #(?P<id>[\w-]+) \}$")
_MARKUP = re.compile(r"\*\*|`|\[(?P<words>[^\]]*)\]\([^)]*\)")


@dataclass(frozen=True)
class Step:
    """One thing the reader does, and what the page shows that it prints (None: nothing)."""

    does: Fence
    prints: Fence | None


def steps() -> list[Step]:
    """Return the steps of the page in their order, of the first tab where there are several."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start, end = (
        next(number for number, line in enumerate(lines, 1) if line.endswith(f"{{ #{id_} }}"))
        for id_ in (FIRST, AFTER)
    )
    found: list[Step] = []
    for fence in scan(PAGE):
        if not start < fence.line < end or _in_a_later_tab(lines, fence) or "ran_by" in fence.settings:
            continue
        if fence.language in {"bash", "toml"}:
            found.append(Step(fence, None))
        else:
            found[-1] = Step(found[-1].does, fence)
    return found


def _in_a_later_tab(lines: list[str], fence: Fence) -> bool:
    """Return whether ``fence`` is in a tab that has another one before it."""
    if fence.indent == 0:
        return False
    above = [line for line in lines[: fence.line - 1] if line and not line.startswith(" ")]
    return _TAB.match(above[-1]) is not None and _TAB.match(above[-2]) is not None


def record(reader: Reader) -> None:
    """Do every step as ``reader``.

    Raises:
        FenceFailedError: a step fails, or prints anything but what the page shows.
    """
    for step in steps():
        if step.does.language == "bash":
            _type(step, reader)
        else:
            EXECUTORS[step.does.language](step.does, reader)
        if step.prints is not None:
            EXECUTORS[step.prints.language](step.prints, reader)


def _type(step: Step, reader: Reader) -> None:
    """Type the commands of a step one by one; only the last may print anything, if the page shows that."""
    reader.pause()
    answers = filled_in(step.does.settings["input"]).split("|") if "input" in step.does.settings else ()
    commands = _commands(step.does.source)
    for number, command in enumerate(commands, 1):
        reader.last = reader.terminal.run(filled_in(command), answers)
        expect(reader.last.status == 0, f"{command}exited with {reader.last.status}", reader.last.text)
        shown = number == len(commands) and step.prints is not None
        expect(
            shown or not reader.last.text, f"{command}prints what the page does not show", reader.last.text
        )


def _commands(source: str) -> list[str]:
    """Divide what is typed into commands: a line continues the one before while bash waits for more."""
    commands = [""]
    for line in source.splitlines(keepends=True):
        if commands[-1] and _is_whole(commands[-1]):
            commands.append("")
        commands[-1] += line
    return commands


def _is_whole(command: str) -> bool:
    parsed = subprocess.run(["bash", "-n"], input=command.encode(), capture_output=True, check=False)
    return parsed.returncode == 0


def drawn(language: str) -> str:
    """Return the SVG for ``language``: what ``record`` proves, as the pages show it."""
    versions = tested_with.line_of(language).strip("*")
    return drawing(list(map(_scene, steps())), DrawnTexts(language, TITLE[language], END[language], versions))


def _scene(step: Step) -> Scene:
    chinese = twin_of(step.does)
    assert chinese is not None
    fences = {"en": step.does, "zh": chinese}
    captions = {language: _caption(fence) for language, fence in fences.items()}
    if step.does.language == "toml":
        return Scene(captions, File(step.does.settings["title"], step.does.source))
    printed = step.prints.source if step.prints else ""
    commands = _commands(step.does.source)
    outputs = [*[""] * (len(commands) - 1), printed]
    asks = "input" in step.does.settings
    return Scene(captions, tuple(Command(*pair, asks) for pair in zip(commands, outputs, strict=True)))


def _caption(fence: Fence) -> Caption:
    """Return the heading above ``fence``, and the paragraph that leads to it, in plain text."""
    lines = fence.page.read_text(encoding="utf-8").splitlines()[: fence.line - 1]
    heading = next(filter(None, map(_HEADING.match, reversed(lines))))["text"]
    while not lines[-1] or lines[-1].startswith(" ") or _TAB.match(lines[-1]):
        del lines[-1]
    start = max(number for number, line in enumerate(lines) if not line) + 1
    paragraph = _MARKUP.sub(lambda found: found["words"] or "", " ".join(lines[start:]))
    return Caption(heading, paragraph)
