"""Find the fenced code of a Markdown page.

The scanner reads lines, not HTML, so that it knows where each fence is in the file. It
understands what the site's renderer understands: fences of backticks or tildes, of any length,
indented in lists, tabs and admonitions. Whatever it misses is found by the count in ``rendered``.
"""

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from uuid import UUID, uuid4

from pytest_examples import CodeExample

ROOT = Path(__file__).parents[3]
SNIPPETS = ROOT / "examples"

_OPENING = re.compile(r"^(?P<indent>[ ]*)(?P<ticks>`{3,}|~{3,})[ ]*(?P<info>[^`\n]*)$")
_INFO = re.compile(r"^(?P<language>[\w+#.-]*)[ ]*(?:\{(?P<settings>.*)\})?[ ]*$")
_SETTING = re.compile(r"""(?P<name>[\w-]+)=(?P<quote>["'])(?P<value>.*?)(?P=quote)[ ]*""")
_SNIPPET = re.compile(r'^--8<-- "(?P<path>[^"]+)"$')

#: A part of a Chinese page without a counterpart on the English one.
ONLY_CHINESE = re.compile(r"^<!-- only: zh -->\n.*?^<!-- end only -->$", re.M | re.S)


class FenceError(Exception):
    """A fence that cannot be understood; the message begins with page and line."""


@dataclass(frozen=True)
class Fence:
    """One fenced block: where it is, what it holds, and what its braces say about it.

    ``source`` is what a reader copies: without the indentation, with included files in it.
    ``start`` and ``end`` are character offsets of the written lines in the page's file; ``own`` says that the
    other language's page does not have it.
    """

    page: Path
    line: int
    language: str
    settings: dict[str, str]
    written: str
    source: str
    indent: int
    start: int
    end: int
    group: UUID
    own: bool

    @property
    def place(self) -> str:
        """``docs/quickstart.md:12``: what a failure and a test's id are named by."""
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"

    def example(self, source: str | None = None) -> CodeExample:
        """The fence as pytest-examples knows one, to be run or written back with ``source``."""
        return CodeExample(
            source=self.written if source is None else source,
            path=self.page,
            start_line=self.line,
            end_line=self.line + self.written.count("\n") + 1,
            start_index=self.start,
            end_index=self.end,
            prefix=self.language,
            indent=self.indent,
            group=self.group,
        )


@cache
def scan(page: Path) -> tuple[Fence, ...]:
    """Return the fences of ``page`` in their order. A page is read once.

    Raises:
        FenceError: a fence is not closed, its settings are not ``name="value"`` in braces, or a
            file that it includes does not exist; a part for Chinese readers is not closed.
    """
    text = page.read_text(encoding="utf-8")
    group = uuid4()
    own = [match.span() for match in ONLY_CHINESE.finditer(text)]
    if len(own) != len(re.findall(r"^<!-- only: zh -->$", text, re.M)):
        raise FenceError(f"{page}: a part for Chinese readers ends with a line <!-- end only -->")
    fences: list[Fence] = []
    opening: re.Match[str] | None = None
    opened_at = first_line_at = offset = 0
    body: list[str] = []
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        offset += len(line)
        bare = line.rstrip("\n")
        if opening is None:
            opening = _OPENING.match(bare)
            if opening:
                opened_at, first_line_at, body = number, offset, []
        elif _closes(bare, opening):
            fence = _fence(page, opened_at, opening, body, first_line_at, offset - len(line), group)
            fences.append(replace(fence, own=any(start < offset < end for start, end in own)))
            opening = None
        else:
            body.append(line)
    if opening is not None:
        raise FenceError(f"{page}:{opened_at}: this fence is never closed")
    return tuple(fences)


def _closes(line: str, opening: re.Match[str]) -> bool:
    return line.rstrip() == opening["indent"] + opening["ticks"]


def _fence(
    page: Path, line: int, opening: re.Match[str], body: list[str], start: int, end: int, group: UUID
) -> Fence:
    info = _INFO.match(opening["info"])
    if info is None:
        raise FenceError(f"{page}:{line}: settings go in braces after the language: {opening['info']!r}")
    indent = len(opening["indent"])
    written = "".join(entry.removeprefix(" " * indent) for entry in body)
    return Fence(
        page=page,
        line=line,
        language=info["language"],
        settings=_settings(page, line, info["settings"] or ""),
        written=written,
        source=_with_included_files(page, line, written),
        indent=indent,
        start=start,
        end=end,
        group=group,
        own=False,
    )


def _settings(page: Path, line: int, text: str) -> dict[str, str]:
    settings: dict[str, str] = {}
    rest = text.strip()
    while rest:
        setting = _SETTING.match(rest)
        if setting is None:
            raise FenceError(f'{page}:{line}: a setting is written name="value": {rest!r}')
        settings[setting["name"]] = setting["value"]
        rest = rest[setting.end() :]
    return settings


def _with_included_files(page: Path, line: int, written: str) -> str:
    lines = []
    for entry in written.splitlines(keepends=True):
        snippet = _SNIPPET.match(entry.strip())
        if snippet is None:
            lines.append(entry)
            continue
        file = SNIPPETS / snippet["path"]
        if not file.is_file():
            raise FenceError(f"{page}:{line}: includes {snippet['path']}, which is not in examples/")
        lines.append(file.read_text(encoding="utf-8"))
    return "".join(lines)
