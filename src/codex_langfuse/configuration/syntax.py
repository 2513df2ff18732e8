"""A TOML text as a tree in which every key and value knows its place in the text.

Codex reads TOML 1.1 (seen in 0.163.0: line breaks and a trailing comma in an inline table), which
``tomllib`` does not. tomlkit does, and reads the single values here, but it knows no places, and it names no
place at all for a table that contradicts another one. A reader of an error needs the place above all, so the
structure is read here, and errors stand where Codex 0.163.0 puts them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import tomlkit
import tomlkit.exceptions

#: The names, from the root, of a table or value. An element of an array of tables counts with its index.
Path = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_KEY_ATOM = re.compile(r"[^\s=,.#\"'\[\]{}]+")
_SCALAR_ATOM = re.compile(r"[^\s,\]}#=\"']+(?: \d\d:\d\d[^\s,\]}#=]*)?")
_BLANK = re.compile(r"[ \t]*")
_DEEPEST = 100


class TomlError(ValueError):
    """A text that is not TOML: ``message``, and ``line`` and ``column`` (from 1) of the trouble."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"{line}:{column}: {message}")
        self.message, self.line, self.column = message, line, column


@dataclass
class Value:
    """A value: ``text[start:end]``; ``items`` of an array, ``assignments`` of an inline table."""

    kind: Literal["scalar", "array", "inline table"]
    start: int
    end: int
    plain: Any = None
    items: list["Value"] = field(default_factory=list)
    assignments: list["Assignment"] = field(default_factory=list)


@dataclass
class Assignment:
    """``key = value``.

    ``names`` is the key as written, ``path`` the same from the root; ``starts`` are the offsets of the names.
    """

    path: Path
    names: tuple[str, ...]
    starts: tuple[int, ...]
    value: Value

    @property
    def start(self) -> int:
        """Where the key begins."""
        return self.starts[0]


@dataclass
class Section:
    """A ``[header]`` and the assignments below it. The first section of a document is the root, without one.

    ``start`` is where the header begins, ``body`` the offset after its line.
    """

    path: Path
    starts: tuple[int, ...]
    start: int
    body: int
    is_array: bool = False
    assignments: list[Assignment] = field(default_factory=list)


@dataclass
class Document:
    """A text and what it says; ``data`` is what ``tomllib`` would return."""

    text: str
    sections: list[Section]
    data: dict[str, Any]

    def assignments(self) -> Iterator[tuple[Section, Assignment]]:
        """Every assignment that is not inside an inline table, with its section."""
        for section in self.sections:
            for assignment in section.assignments:
                yield section, assignment

    def find(self, path: Path) -> Assignment | None:
        """Return the assignment of the value at ``path``, also inside an inline table."""
        return next((found for found in self._everywhere() if found.path == path), None)

    def offset(self, path: Path) -> int | None:
        """Return where the key of ``path`` stands: in an assignment, in a header, or as a part of either."""
        for section in self.sections[1:]:
            offset = _offset_of_part(path, section.path, section.starts)
            if offset is not None:
                return offset
        for assignment in self._everywhere():
            offset = _offset_of_part(path, assignment.path, assignment.starts)
            if offset is not None:
                return offset
        return None

    def place(self, offset: int) -> tuple[int, int]:
        """Return line and column, from 1, of an offset."""
        return place(self.text, offset)

    def _everywhere(self) -> Iterator[Assignment]:
        for _, assignment in self.assignments():
            yield from _with_inner(assignment)


def place(text: str, offset: int) -> tuple[int, int]:
    """Return line and column, from 1 and in characters, of an offset in ``text``."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def parse(text: str) -> Document:
    """Read a TOML text. It has no byte order mark, and line feeds at the end of lines (see ``encoding``).

    Raises:
        TomlError: it is not TOML.
    """
    sections = list(_Scanner(text).sections())
    return Document(text, sections, _Tree(text).built_from(sections))


def parse_loosely(text: str) -> list[Section]:
    """Read a text whose single lines are TOML, though they may contradict each other.

    Raises:
        TomlError: a line is not TOML.
    """
    return list(_Scanner(text).sections())


def _with_inner(assignment: Assignment) -> Iterator[Assignment]:
    yield assignment
    for inner in assignment.value.assignments:
        yield from _with_inner(inner)


def _offset_of_part(path: Path, whole: Path, starts: tuple[int, ...]) -> int | None:
    # The first names of a path may come from a header above; only the others have a place here.
    names = [part for part in whole if isinstance(part, str)]
    wanted = [part for part in path if isinstance(part, str)]
    index = len(wanted) - 1 - (len(names) - len(starts))
    if whole[: len(path)] == path and 0 <= index < len(starts):
        return starts[index]
    return None


class _Scanner:
    """Reads from left to right; knows nothing of what a key means."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.depth = 0

    def error(self, message: str, at: int | None = None) -> TomlError:
        return TomlError(message, *place(self.text, self.at if at is None else at))

    def sections(self) -> Iterator[Section]:
        section = Section((), (), 0, 0)
        while self._skip_to_statement():
            if self._peek() != "[":
                section.assignments.append(self._assignment(section.path))
                self._end_of_line()
                continue
            yield section
            start = self.at
            is_array = self.text.startswith("[[", self.at)
            self.at += 2 if is_array else 1
            names, starts = self._key("]")
            if len(names) > _DEEPEST:
                raise self.error("nested too deeply", start)
            closing = "]]" if is_array else "]"
            if not self.text.startswith(closing, self.at):
                raise self.error(f"the table's header lacks its closing {closing}")
            self.at += len(closing)
            self._end_of_line()
            section = Section(names, starts, start, self.at, is_array)
        yield section

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _skip_blanks(self) -> None:
        self.at = _BLANK.match(self.text, self.at).end()  # type: ignore[union-attr]

    def _skip_comment(self) -> None:
        if self._peek() == "#":
            end = self.text.find("\n", self.at)
            comment = self.text[self.at : end if end >= 0 else len(self.text)]
            for index, character in enumerate(comment):
                if character != "\t" and (character < " " or character == "\x7f"):
                    raise self.error("a control character in a comment", self.at + index)
            self.at += len(comment)

    def _skip_to_statement(self) -> bool:
        """Skip blank lines and comments; False at the end of the text."""
        while self.at < len(self.text):
            self._skip_blanks()
            self._skip_comment()
            if self._peek() != "\n":
                return self.at < len(self.text)
            self.at += 1
        return False

    def _skip_space_in_value(self) -> None:
        """Skip what may stand between the parts of an array or an inline table, line breaks included."""
        while self._peek() and self._peek() in " \t\n#":
            self._skip_comment()
            self._skip_blanks()
            if self._peek() == "\n":
                self.at += 1

    def _end_of_line(self) -> None:
        self._skip_blanks()
        self._skip_comment()
        if self._peek() == "\r":
            raise self.error("a carriage return without a line feed", self.at + 1)
        if self._peek() not in ("", "\n"):
            raise self.error("something stands after the end of the statement; begin a new line")
        self.at = min(self.at + 1, len(self.text))

    def _key(self, closing: str = "=") -> tuple[tuple[str, ...], tuple[int, ...]]:
        names: list[str] = []
        starts: list[int] = []
        invalid: int | None = None
        while True:
            self._skip_blanks()
            start, mark = self.at, self._peek()
            if mark and mark in "\"'":
                names.append(str(self._string(start)))
            else:
                atom = _KEY_ATOM.match(self.text, start)
                if atom is None:
                    raise self.error("a key is missing here")
                if not _BARE_KEY.fullmatch(atom[0]) and invalid is None:
                    invalid = start
                names.append(atom[0])
                self.at = atom.end()
            starts.append(start)
            self._skip_blanks()
            if self._peek() != ".":
                break
            self.at += 1
        if closing == "=" and self._peek() != "=":
            raise self.error("a key without a value: `=` is missing")
        if invalid is not None:
            raise self.error("a key of other characters than A-Z a-z 0-9 - _ stands in quotes", invalid)
        return tuple(names), tuple(starts)

    def _assignment(self, prefix: Path) -> Assignment:
        names, starts = self._key()
        self.at += 1
        self._skip_blanks()
        path = (*prefix, *names)
        if len(path) > _DEEPEST:
            raise self.error("nested too deeply", starts[0])
        return Assignment(path, names, starts, self._value(path))

    def _value(self, path: Path) -> Value:
        start, mark = self.at, self._peek()
        if mark in ("[", "{"):
            self.depth += 1
            if self.depth > _DEEPEST:
                raise self.error("nested too deeply")
            value = self._array(path) if mark == "[" else self._inline_table(path)
            self.depth -= 1
            return value
        if mark and mark in "\"'":
            plain: Any = self._string(start)
            return Value("scalar", start, self.at, plain)
        atom = _SCALAR_ATOM.match(self.text, start)
        if atom is None:
            raise self.error("a value is missing here")
        self.at = atom.end()
        self._reject_second_assignment()
        return Value("scalar", start, self.at, self._scalar(start))

    def _reject_second_assignment(self) -> None:
        # Codex takes `1 b` of `a = 1 b = 2` for one word, and stumbles over the `=`.
        second = re.compile(r"[ \t]+[A-Za-z0-9_-]+[ \t]*(?==)").match(self.text, self.at)
        if second:
            raise self.error("two assignments without a comma or a line break between them", second.end())

    def _string(self, start: int) -> str:
        mark = self.text[start]
        if self.text.startswith(mark * 3, start):
            end = self._end_of_long_string(start, mark)
        else:
            end = start + 1
            while end < len(self.text) and self.text[end] not in (mark, "\n"):
                end += 2 if mark == '"' and self.text[end] == "\\" else 1
            if end >= len(self.text) or self.text[end] != mark:
                line_end = self.text.find("\n", start)
                raise self.error("the string is not closed", line_end if line_end >= 0 else len(self.text))
            end += 1
        self.at = end
        return str(self._scalar(start))

    def _end_of_long_string(self, start: int, mark: str) -> int:
        end = start + 3
        while not self.text.startswith(mark * 3, end):
            if end >= len(self.text):
                raise self.error("the string is not closed", len(self.text))
            end += 2 if mark == '"' and self.text[end] == "\\" else 1
        end += 3
        # Up to two more quotation marks belong to the string.
        for _ in range(2):
            end += self.text.startswith(mark, end)
        return end

    def _scalar(self, start: int) -> Any:
        raw = self.text[start : self.at]
        try:
            return tomlkit.value(raw).unwrap()
        except (tomlkit.exceptions.TOMLKitError, ValueError, OverflowError, RecursionError) as error:
            if raw[0] in "\"'":
                raise self.error(
                    "an escape or a character that a string cannot have", self._bad_character(start)
                ) from error
            raise self.error(
                "not a value: strings stand in straight quotes, the rest is true, false, a number or a date",
                start,
            ) from error

    def _bad_character(self, start: int) -> int:
        raw = self.text[start : self.at]
        if raw[0] == '"':
            for match in re.finditer(r"\\(.?)", raw, re.S):
                if match[1] not in 'btnefr"\\xuU\n \t':
                    return start + match.start() + 1
        return start

    def _array(self, path: Path) -> Value:
        array = Value("array", self.at, self.at, [])
        self.at += 1
        while True:
            self._skip_space_in_value()
            if self._peek() == "]":
                break
            item = self._value((*path, len(array.items)))
            array.items.append(item)
            self._skip_space_in_value()
            if self._peek() == ",":
                self.at += 1
            elif self._peek() != "]":
                raise self.error("the array lacks a comma or its closing ]")
        self.at += 1
        array.end = self.at
        return array

    def _inline_table(self, path: Path) -> Value:
        table = Value("inline table", self.at, self.at, {})
        self.at += 1
        while True:
            self._skip_space_in_value()
            if self._peek() == "}":
                break
            if not self._peek():
                raise self.error("the inline table is not closed", self._last_end(table))
            table.assignments.append(self._assignment(path))
            self._skip_space_in_value()
            if self._peek() == ",":
                self.at += 1
            elif self._peek() and self._peek() != "}":
                raise self.error("the inline table lacks a comma or its closing }")
        self.at += 1
        table.end = self.at
        return table

    def _last_end(self, table: Value) -> int:
        return table.assignments[-1].value.end if table.assignments else len(self.text)


class _Table(dict[str, Any]):
    """A table while it is built.

    ``closed`` (an inline table) takes nothing more; ``declared`` has had its ``[header]``; ``dotted`` was
    made by a key ``a.b = …``.
    """

    closed = declared = dotted = False


class _Tables(list[_Table]):
    """An array of tables, made by ``[[header]]``s."""


class _Tree:
    """Puts the statements together, and finds those that contradict each other."""

    def __init__(self, text: str) -> None:
        self.text = text

    def error(self, message: str, offset: int) -> TomlError:
        return TomlError(message, *place(self.text, offset))

    def built_from(self, sections: list[Section]) -> dict[str, Any]:
        root = _Table()
        for section in sections:
            table = self._declare(root, section) if section.starts else root
            prefix = section.path
            for assignment in section.assignments:
                assignment.path = (*prefix, *assignment.names)
                self._assign(table, assignment)
        return {name: _plain(inner) for name, inner in root.items()}

    def _declare(self, root: _Table, section: Section) -> _Table:
        table = root
        path: list[str | int] = []
        names = [name for name in section.path if isinstance(name, str)]
        for name, start in zip(names[:-1], section.starts[:-1], strict=True):
            path.append(name)
            inner = table.setdefault(name, _Table())
            if isinstance(inner, _Tables):
                path.append(len(inner) - 1)
                inner = inner[-1]
            self._require_open(inner, start)
            table = inner
        last, start = names[-1], section.starts[-1]
        path.append(last)
        if section.is_array:
            tables = table.setdefault(last, _Tables())
            if not isinstance(tables, _Tables):
                raise self.error("duplicate key", start)
            tables.append(_Table())
            path.append(len(tables) - 1)
            declared = tables[-1]
        else:
            declared = table.setdefault(last, _Table())
            if not isinstance(declared, _Table) or declared.closed or declared.declared or declared.dotted:
                raise self.error("duplicate key", start)
        declared.declared = True
        section.path = tuple(path)
        return declared

    def _assign(self, table: _Table, assignment: Assignment) -> None:
        for name, start in zip(assignment.names[:-1], assignment.starts[:-1], strict=True):
            inner = table.get(name)
            if inner is None:
                inner = table[name] = _Table()
                inner.dotted = True
            self._require_open(inner, start)
            if not inner.dotted:
                raise self.error("duplicate key", start)
            table = inner
        if assignment.names[-1] in table:
            raise self.error("duplicate key", assignment.starts[-1])
        table[assignment.names[-1]] = self._value(assignment.value, assignment.path)

    def _value(self, value: Value, path: Path) -> Any:
        if value.kind == "array":
            return [self._value(item, (*path, index)) for index, item in enumerate(value.items)]
        if value.kind == "scalar":
            return value.plain
        table = _Table()
        for assignment in value.assignments:
            assignment.path = (*path, *assignment.names)
            self._assign(table, assignment)
        _close(table)
        return table

    def _require_open(self, found: Any, start: int) -> None:
        if not isinstance(found, _Table) or found.closed:
            raise self.error(f"cannot extend value of type {_kind(found)} with a dotted key", start)


def _close(table: _Table) -> None:
    table.closed = True
    for inner in table.values():
        if isinstance(inner, _Table):
            _close(inner)


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "inline table"
    words = {bool: "boolean", int: "integer", float: "float", str: "string", list: "array", _Tables: "array"}
    return words.get(type(value), "datetime")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value
