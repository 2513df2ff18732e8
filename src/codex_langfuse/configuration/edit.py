"""Change a TOML text at one place and leave every other byte as a person wrote it.

The text is cut and joined at the places that ``syntax`` finds. Each change is read back and compared with
what it was to bring about, so a file is never left with another meaning than the intended one.
"""

import datetime
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from codex_langfuse.configuration.syntax import Assignment, Document, Section, Value, parse

Names = tuple[str, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_TRAILING_COMMA = re.compile(r"(?:[ \t\n]|#[^\n]*)*,")
_NAME = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'""")


class EditError(ValueError):
    """The text is written in a way that this change cannot be made in without harm."""


class Draft:
    """A text under change. ``text`` is always valid TOML, and ``document`` what it says."""

    def __init__(self, text: str) -> None:
        """Take a text; raises ``syntax.TomlError`` when it is not TOML."""
        self.document = parse(text)

    @property
    def text(self) -> str:
        """The text as it is now."""
        return self.document.text

    def get(self, path: Names, default: Any = None) -> Any:
        """Return the value at ``path``."""
        return value_at(self.document.data, path, default)

    def set(self, path: Names, value: Any, comment: str = "") -> None:
        """Give ``path`` a value. ``comment`` goes behind the line if it is a new one.

        Raises:
            EditError: there is no place for it.
        """
        if self.get(path) == value and type(self.get(path)) is type(value):
            return
        assignment = self.document.find(path)
        expected = _with(self.document.data, path, value)
        if assignment is not None:
            span = assignment.value
            self._accept(_replaced(self.text, span.start, span.end, literal(value)), expected)
            return
        if self.get(path) is not None:
            self.remove(path)
        self._accept(self._inserted(path, value, comment), expected)

    def set_table(self, path: Names, values: Mapping[str, Any], comment: str = "") -> None:
        """Make ``path`` a table with exactly ``values``: its own section where possible."""
        expected = _with(self.document.data, path, dict(values))
        assignment = self.document.find(path)
        if assignment is not None and not self._is_plain_line(assignment):
            self.set(path, dict(values))
            return
        if self.get(path) is not None:
            self.remove(path)
        if self._needs_inline(path):
            self._accept(self._inserted(path, dict(values), ""), expected)
            return
        lines = [f"{key_literal((name,))} = {literal(value)}" for name, value in values.items()]
        self._accept(self._with_section(path, lines, comment), expected)

    def add_to_array(self, path: Names, items: Iterable[str]) -> None:
        """Add those ``items`` that the array at ``path`` lacks; make it when it is not there."""
        have = self.get(path)
        missing = [item for item in items if not isinstance(have, list) or item not in have]
        if not missing:
            return
        if not isinstance(have, list) or not have:
            self.set(path, missing)
            return
        assignment = self.document.find(path)
        if assignment is None:
            raise EditError(f"{dotted(path)} is not a list that can be added to")
        end = assignment.value.items[-1].end
        added = "".join(f", {literal(item)}" for item in missing)
        expected = _with(self.document.data, path, have + missing)
        self._accept(_replaced(self.text, end, end, added), expected)

    def remove(self, path: Names) -> None:
        """Take ``path`` and all below it away, with its lines; comments above stay."""
        if self.get(path) is None:
            return
        expected = _without(self.document.data, path)
        spans = list(self._spans_of(path))
        text = self.text
        for start, end in sorted(spans, reverse=True):
            text = text[:start] + text[end:]
        self._accept(text, expected)

    def rename(self, path: Names, name: str) -> None:
        """Give the last part of ``path`` another name, wherever it is written."""
        value = self.get(path)
        new_path = (*path[:-1], name)
        if value is None or self.get(new_path) is not None:
            raise EditError(f"{dotted(path)} cannot become {dotted(new_path)}")
        text = self.text
        for offset in sorted(set(_offsets_of_name(self.document, path)), reverse=True):
            written = _NAME.match(text, offset)
            assert written is not None
            text = _replaced(text, offset, written.end(), key_literal((name,)))
        self._accept(text, _with(_without(self.document.data, path), new_path, value))

    def lift(self, name: str) -> None:
        """Make each table of the table ``name`` one of the root: ``[name.otel]`` becomes ``[otel]``."""
        text = self.text
        for section in reversed(self.document.sections[1:]):
            if section.path[0] == name and len(section.starts) > 1:
                text = _replaced(text, section.starts[0], section.starts[1], "")
        data = self.document.data
        self._accept(text, {**_without(data, (name,)), **data[name]})

    def sink(self, name: str, table: str) -> None:
        """Make the table ``name`` of the root one of ``table``, where its headers are written."""
        text, data = self.text, self.document.data
        starts = [section.starts[0] for section in self.document.sections[1:] if section.path[0] == name]
        starts += [found.start for found in self.document.sections[0].assignments if found.path[0] == name]
        for start in sorted(starts, reverse=True):
            text = _replaced(text, start, start, f"{table}.")
        self._accept(text, _with(_without(data, (name,)), (table, name), data[name]))

    def prefix_section(self, path: Names, lines: str) -> None:
        """Put comment ``lines`` above the first header of ``path`` or below it."""
        section = next(s for s in self.document.sections[1:] if s.path[: len(path)] == path)
        self._accept(_replaced(self.text, section.start, section.start, lines), self.document.data)

    def replace_comment(self, start: int, end: int, comment: str) -> None:
        """Put another comment in the place of the one at ``text[start:end]``."""
        self._accept(_replaced(self.text, start, end, comment), self.document.data)

    def _accept(self, text: str, expected: Mapping[str, Any]) -> None:
        try:
            document = parse(text)
        except ValueError as error:
            raise EditError(f"the change would make the file invalid ({error})") from error
        if not _same(document.data, expected):
            raise EditError("the change would alter more of the file than it should")
        self.document = document

    def _is_plain_line(self, assignment: Assignment) -> bool:
        """Whether it is ``key = value`` on its own line below the header of its table."""
        return any(
            assignment is found and section.starts and len(assignment.names) == 1
            for section, found in self.document.assignments()
        )

    def _needs_inline(self, path: Names) -> bool:
        """Whether some table around ``path`` is written inline or with dotted keys."""
        return any(
            self.document.find(path[:depth]) is not None or self._last_dotted(path[:depth]) is not None
            for depth in range(1, len(path))
        )

    def _last_dotted(self, table: Names) -> tuple[Section, Assignment] | None:
        """Return the last of the dotted keys that make ``table``, if it is made so."""
        made = [
            (section, assignment)
            for section, assignment in self.document.assignments()
            if len(section.path) < len(table) < len(assignment.path)
            and assignment.path[: len(table)] == table
        ]
        return made[-1] if made else None

    def _inserted(self, path: Names, value: Any, comment: str) -> str:
        for depth in range(len(path) - 1, -1, -1):
            table, rest = path[:depth], path[depth:]
            assignment = self.document.find(table) if table else None
            if assignment is not None:
                if assignment.value.kind != "inline table":
                    raise EditError(f"{dotted(table)} is not a table")
                return _inserted_inline(self.text, assignment.value, rest, value)
            if depth == len(path) - 1:
                section = self._section(table)
                if section is not None:
                    line = _line(rest, value, comment)
                    return self._with_line(section, section.assignments[-1:], line)
            found = self._last_dotted(table) if table else None
            if found is not None:
                section, last = found
                return self._with_line(section, [last], _line(path[len(section.path) :], value, comment))
        return self._with_section(path[:-1], [_line(path[-1:], value, comment)], "")

    def _section(self, path: Names) -> Section | None:
        return next((s for s in self.document.sections if s.path == path and not s.is_array), None)

    def _with_line(self, section: Section, after: Sequence[Assignment], line: str) -> str:
        if not after:
            return _with_line_at(self.text, section.body, line)
        start = after[0].start
        indent = self.text[self.text.rfind("\n", 0, start) + 1 : start]
        end = _end_of_line(self.text, after[0].value.end)
        return _with_line_at(self.text, end, (indent if not indent.strip(" \t") else "") + line)

    def _with_section(self, path: Names, lines: Sequence[str], comment: str) -> str:
        header = f"[{key_literal(path)}]"
        block = f"{_commented(header, comment)}\n" + "".join(f"{line}\n" for line in lines)
        sections = self.document.sections[1:]
        below = [s for s in sections if s.path[: len(path)] == path]
        relatives = [index for index, s in enumerate(sections) if s.path[:1] == path[:1]]
        if below:
            at = self._lead(below[0])
            return self.text[:at] + block + "\n" + self.text[at:]
        if relatives and relatives[-1] + 1 < len(sections):
            at = self._lead(sections[relatives[-1] + 1])
            before = self.text[:at].rstrip("\n") + "\n\n"
            return before + block + "\n" + self.text[at:]
        before = self.text if not self.text or self.text.endswith("\n") else self.text + "\n"
        gap = "\n" if before.strip() and not before.endswith("\n\n") else ""
        return before + gap + block

    def _lead(self, section: Section) -> int:
        """Return where the comment directly above a header begins, or else the header itself."""
        at = self.text.rfind("\n", 0, section.start) + 1
        while at > 0:
            above = self.text.rfind("\n", 0, at - 1) + 1
            if not self.text[above:at].lstrip(" \t").startswith("#"):
                break
            at = above
        return at

    def _spans_of(self, path: Names) -> Iterable[tuple[int, int]]:
        for section in self.document.sections:
            if section.starts and section.path[: len(path)] == path:
                yield self._span_of_section(section)
                continue
            for assignment in section.assignments:
                if assignment.path[: len(path)] == path:
                    start = self.text.rfind("\n", 0, assignment.start) + 1
                    yield start, _end_of_line(self.text, assignment.value.end)
                else:
                    yield from _inline_spans(self.text, assignment.value, path)

    def _span_of_section(self, section: Section) -> tuple[int, int]:
        """From the header to the last assignment; what follows may be about something else."""
        start = self.text.rfind("\n", 0, section.start) + 1
        last = section.assignments[-1].value.end if section.assignments else section.body - 1
        end = _end_of_line(self.text, last)
        is_paragraph = not self.text[:start].strip("\n") or self.text[:start].endswith("\n\n")
        return start, end + 1 if is_paragraph and self.text.startswith("\n", end) else end


def dotted(path: Iterable[str | int]) -> str:
    """Return a path as people write it: ``otel.trace_exporter``."""
    return ".".join(str(name) for name in path)


def key_literal(names: Iterable[str]) -> str:
    """Return a key as TOML, in quotes where it must be."""
    return ".".join(name if _BARE.fullmatch(name) else literal(name) for name in names)


def literal(value: Any) -> str:
    """Return a value as TOML; a table inline."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key_literal((name,))} = {literal(item)}" for name, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return repr(value)


def value_at(data: Any, path: Iterable[str], default: Any = None) -> Any:
    """Return the value at ``path`` in nested tables; ``default`` when there is none."""
    for name in path:
        if not isinstance(data, Mapping) or name not in data:
            return default
        data = data[name]
    return data


def _with(data: Mapping[str, Any], path: Names, value: Any) -> dict[str, Any]:
    name, rest = path[0], path[1:]
    if rest:
        inner = data.get(name, {})
        if not isinstance(inner, Mapping):
            raise EditError(f"{name} in {dotted(path)} is not a table")
        value = _with(inner, rest, value)
    return {**data, name: value}


def _without(data: Mapping[str, Any], path: Names) -> dict[str, Any]:
    name, rest = path[0], path[1:]
    if rest:
        return {**data, name: _without(data[name], rest)}
    return {key: value for key, value in data.items() if key != name}


def _same(one: Any, other: Any) -> bool:
    """Compare two documents: tables that hold nothing do not count, `nan` equals itself, 1 is not true."""
    if one is other:
        return True
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        names = one.keys() | other.keys()
        return all(_same(one.get(name, {}), other.get(name, {})) for name in names)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and (one == other or repr(one) == repr(other))


def _replaced(text: str, start: int, end: int, new: str) -> str:
    return text[:start] + new + text[end:]


def _commented(line: str, comment: str) -> str:
    return f"{line:<36} # {comment}" if comment else line


def _line(names: Names, value: Any, comment: str) -> str:
    return _commented(f"{key_literal(names)} = {literal(value)}", comment)


def _with_line_at(text: str, at: int, line: str) -> str:
    before = text[:at]
    gap = "" if not before or before.endswith("\n") else "\n"
    return f"{before}{gap}{line}\n{text[at:]}"


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return end + 1 if end >= 0 else len(text)


def _inserted_inline(text: str, table: Value, rest: Names, value: Any) -> str:
    written = f"{key_literal(rest)} = {literal(value)}"
    if not table.assignments:
        return _replaced(text, table.start, table.end, f"{{ {written} }}")
    end = table.assignments[-1].value.end
    return _replaced(text, end, end, f", {written}")


def _inline_spans(text: str, value: Value, path: Names) -> Iterable[tuple[int, int]]:
    inner = value.assignments
    for index, assignment in enumerate(inner):
        if assignment.path[: len(path)] != path:
            yield from _inline_spans(text, assignment.value, path)
        elif index + 1 < len(inner):
            yield assignment.start, inner[index + 1].start
        elif index > 0:
            yield inner[index - 1].value.end, assignment.value.end
        else:
            comma = _TRAILING_COMMA.match(text, assignment.value.end)
            yield assignment.start, comma.end() if comma else assignment.value.end


def _offsets_of_name(document: Document, path: Names) -> Iterable[int]:
    def of(assignments: Iterable[Assignment]) -> Iterable[int]:
        for assignment in assignments:
            index = len(path) - 1 - (len(assignment.path) - len(assignment.names))
            if assignment.path[: len(path)] == path and 0 <= index < len(assignment.names):
                yield assignment.starts[index]
            yield from of(assignment.value.assignments)

    for section in document.sections:
        if section.starts and section.path[: len(path)] == path:
            yield section.starts[len(path) - 1]
        yield from of(section.assignments)
