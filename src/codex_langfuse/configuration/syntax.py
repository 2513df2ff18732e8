"""What a TOML text says, and where everything in it is.

Whether a text is TOML, and its values, come from ``toml_rs``: the parser that Codex uses. It gives no places
and stops at the first error, so ``scan`` finds those: of each table and key, also in a text that is not TOML.
It takes a text as it comes, goes on after an error at the next line, and never decides what is valid.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import toml_rs

#: The names, from the root, of a table or value. An element of an array of tables counts with its index.
KeyPath = tuple[str | int, ...]

_BLANK_LINES = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*(?:#[^\n]*\Z)?")
_REST_OF_LINE = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_BETWEEN = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_KEY_PART = re.compile(
    r"""[ \t]*(?:([A-Za-z0-9_-]+)|"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)'|([^\s=,.#"'\[\]{}]+))[ \t]*"""
)
_STRING = re.compile(
    r'"""(?:[^"\\]|\\[\s\S]|"(?!""))*"{3,5}|'
    + r"'''(?:[^']|'(?!''))*'{3,5}|"
    + r'"(?:[^"\\\n]|\\.)*"|'
    + r"'[^'\n]*'"
)
_ATOM = re.compile(r"""[^\s,\]}#="'\[{]+(?: \d\d:\d\d[^\s,\]}#=]*)?""")
#: What most lines are: a header of bare and literal names, or a bare key with a value in one line.
_PLAIN_HEADER = re.compile(r'\[([A-Za-z0-9_-]+)(?:\.([A-Za-z0-9_-]+|"[^"\\\n]*"))?\][ \t]*\n')
_PLAIN_LINE = re.compile(r'([A-Za-z0-9_-]+)[ \t]*=[ \t]*(?:("[^"\\\n]*"(?!"))|([A-Za-z0-9_.+-]+))[ \t]*\n')
_INTEGER = re.compile(r"[+-]?(?:\d[\d_]*|0x[0-9A-Fa-f_]+|0o[0-7_]+|0b[01_]+)")
_PLACE = re.compile(r"at line (\d+), column (\d+)")
#: Codex 0.171.0 refuses keys of more parts, and more brackets in each other.
_DEEPEST = 80


class TomlError(ValueError):
    """A text that is not TOML: ``message``, and ``line`` and ``column`` (from 1) of the error."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"{line}:{column}: {message}")
        self.message, self.line, self.column = message, line, column


@dataclass(slots=True)
class Value:
    """A value: ``text[start:end]``; ``items`` of an array, ``assignments`` of an inline table."""

    kind: Literal["string", "scalar", "array", "inline table"]
    start: int
    end: int
    items: "list[Value]" = field(default_factory=list)
    assignments: "list[Assignment]" = field(default_factory=list)


@dataclass(slots=True)
class Assignment:
    """``key = value``.

    ``names`` is the key as written, ``path`` the same from the root; ``starts`` are the offsets of the names.
    """

    path: KeyPath
    names: tuple[str, ...]
    starts: tuple[int, ...]
    value: Value

    @property
    def start(self) -> int:
        """Where the key begins."""
        return self.starts[0]


@dataclass(slots=True)
class Section:
    """A ``[header]`` and the assignments below it. The first section of a text is the root, without one.

    ``start`` is where the header begins, ``body`` the offset after its line.
    """

    path: KeyPath
    starts: tuple[int, ...]
    start: int
    body: int
    is_array: bool = False
    assignments: list[Assignment] = field(default_factory=list)


@dataclass
class Document:
    """A text, its places, and in ``data`` what it says."""

    text: str
    data: dict[str, Any]

    @cached_property
    def sections(self) -> list[Section]:
        """The places of everything."""
        return scan(self.text)

    def assignments(self) -> Iterator[tuple[Section, Assignment]]:
        """Every assignment that is not inside an inline table, with its section."""
        for section in self.sections:
            for assignment in section.assignments:
                yield section, assignment

    def find(self, path: KeyPath) -> Assignment | None:
        """Return the assignment of the value at ``path``, also inside an inline table."""
        return next((found for found in everywhere(self.sections, path) if found.path == path), None)

    def offset(self, path: KeyPath) -> int | None:
        """Return the offset of the key of ``path``: in an assignment, in a header, or as a part of either."""
        for section in self.sections[1:]:
            offset = _offset_of_part(path, section.path, section.starts)
            if offset is not None:
                return offset
        for assignment in everywhere(self.sections, path):
            offset = _offset_of_part(path, assignment.path, assignment.starts)
            if offset is not None:
                return offset
        return None

    def place(self, offset: int) -> tuple[int, int]:
        """Return line and column, from 1, of an offset."""
        return place(self.text, offset)


def place(text: str, offset: int) -> tuple[int, int]:
    """Return line and column, from 1 and in characters, of an offset in ``text``."""
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


def offset_of(text: str, line: int, column: int) -> int:
    """Return the offset of a line and column; the opposite of ``place``."""
    start = 0
    for _ in range(line - 1):
        start = text.find("\n", start) + 1
    return start + column - 1


def parse(text: str) -> Document:
    """Read a TOML text. It has no byte order mark, and line feeds at the end of lines (see ``encoding``).

    Raises:
        TomlError: it is not TOML.
    """
    try:
        data = toml_rs.loads(text)
    except toml_rs.TOMLDecodeError as error:
        raise _located(error) from None
    document = Document(text, data)
    _reject_as_codex(document)
    return document


def scan(text: str) -> list[Section]:
    """Return every table and key of a text that can be made out, whether or not the text is TOML."""
    return _Scanner(text).sections()


def everywhere(sections: list[Section], below: KeyPath = ()) -> Iterator[Assignment]:
    """Yield every assignment, also those inside inline tables and arrays, of sections around ``below``."""
    for section in sections:
        if section.path[: len(below)] == below[: len(section.path)]:
            for assignment in section.assignments:
                yield from _with_inner(assignment)


def earlier_place(text: str, error: TomlError) -> tuple[int, int] | None:
    """Return line and column of the first definition of what is defined again at the place of ``error``."""
    at = offset_of(text, error.line, error.column)
    written: list[tuple[KeyPath, tuple[int, ...]]] = []
    for section in scan(text):
        if section.starts:
            written.append((section.path, section.starts))
        for assignment in section.assignments:
            written += [(inner.path, inner.starts) for inner in _with_inner(assignment)]
    again = next(
        (path[: len(path) - len(starts) + starts.index(at) + 1] for path, starts in written if at in starts),
        None,
    )
    if again is None:
        return None
    before = [(path, starts) for path, starts in written if starts[-1] < at and path[: len(again)] == again]
    exact = [starts[-1] for path, starts in before if path == again]
    if exact:
        return place(text, exact[0])
    parts = [_offset_of_part(again, path, starts) for path, starts in before]
    return next((place(text, offset) for offset in parts if offset is not None), None)


def _located(error: toml_rs.TOMLDecodeError) -> TomlError:
    message = str(error).splitlines()[-1] if str(error) else "not TOML"
    found = _PLACE.search(str(error))
    if found:
        return TomlError(message, int(found[1]), int(found[2]))
    return TomlError(message, 1, 1)


def _reject_as_codex(document: Document) -> None:
    """Codex has limits that ``toml_rs`` does not have: integers of 64 bits, and how deep a text is nested."""
    deepest, has_large = _measured(document.data)
    if deepest >= _DEEPEST:
        scanner = _Scanner(document.text)
        sections = scanner.sections()
        if scanner.too_deep is not None:
            place = document.place(scanner.too_deep)
            raise TomlError("cannot recurse further; max recursion depth met", *place)
        keys = [section.starts for section in sections] + [found.starts for found in everywhere(sections)]
        if any(len(starts) > _DEEPEST for starts in keys):
            raise TomlError("recursion limit", 1, 1)
    if not has_large:
        return
    for assignment in everywhere(document.sections):
        for value in _scalars(assignment.value):
            written = document.text[value.start : value.end]
            if _INTEGER.fullmatch(written) and _is_large(int(written, 0)):
                raise TomlError("u64 value was too large", *document.place(value.start))


def _measured(data: dict[str, Any]) -> tuple[int, bool]:
    """Return how deep a document is nested, and whether it has an integer of more than 64 bits."""
    deepest, has_large, layer = 0, False, [data]
    while layer:
        inner: list[Any] = []
        for container in layer:
            for value in container.values() if isinstance(container, dict) else container:
                if isinstance(value, dict | list):
                    inner.append(value)
                elif type(value) is int and _is_large(value):
                    has_large = True
        deepest, layer = deepest + bool(inner), inner
    return deepest, has_large


def _is_large(number: int) -> bool:
    return not -(2**63) <= number < 2**63


def _scalars(value: Value) -> Iterator[Value]:
    if value.kind == "scalar":
        yield value
    for item in value.items:
        yield from _scalars(item)


def _with_inner(assignment: Assignment) -> Iterator[Assignment]:
    yield assignment
    for inner in _inside(assignment.value):
        yield from _with_inner(inner)


def _inside(value: Value) -> Iterator[Assignment]:
    yield from value.assignments
    for item in value.items:
        yield from _inside(item)


def _offset_of_part(path: KeyPath, whole: KeyPath, starts: tuple[int, ...]) -> int | None:
    # The first names of a path may come from a header above; only the others have a place here.
    if whole[: len(path)] != path:
        return None
    names = sum(isinstance(part, str) for part in whole)
    index = sum(isinstance(part, str) for part in path) - 1 - (names - len(starts))
    return starts[index] if 0 <= index < len(starts) else None


class _BrokenError(Exception):
    """What is here is not TOML."""


class _Scanner:
    """Reads from left to right; knows nothing of what a key means."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text, 0, 0
        self.too_deep: int | None = None
        self.arrays: dict[KeyPath, int] = {}

    def sections(self) -> list[Section]:
        section = Section((), (), 0, 0)
        found = [section]
        text, end = self.text, len(self.text)
        while True:
            start = self.at = _BLANK_LINES.match(text, self.at).end()  # type: ignore[union-attr]  # always matches
            if start >= end:
                return found
            is_header = text[start] == "["
            plain = (_PLAIN_HEADER if is_header else _PLAIN_LINE).match(text, start)
            if plain is not None:
                self.at = plain.end()
                if is_header:
                    section = self._plain_header(plain)
                    found.append(section)
                else:
                    section.assignments.append(_plain_assignment(section.path, plain))
                continue
            whole = start
            self.depth = 0
            try:
                if is_header:
                    section = self._header()
                    found.append(section)
                else:
                    section.assignments.append(self._assignment(section.path))
                whole = self.at
                self._end_of_line()
            except _BrokenError:
                line_end = text.find("\n", whole)
                self.at = end if line_end < 0 else line_end + 1
            if is_header and section.start == start:
                section.body = self.at

    def _plain_header(self, plain: re.Match[str]) -> Section:
        first, second = plain[1], plain[2]
        names: tuple[str, ...] = (first,) if second is None else (first, second.strip('"'))
        starts = (plain.start(1),) if second is None else (plain.start(1), plain.start(2))
        return Section(self._path(names, False), starts, plain.start(), plain.end())

    def _header(self) -> Section:
        start = self.at
        is_array = self.text.startswith("[[", start)
        self.at += 2 if is_array else 1
        names, starts = self._key()
        closing = "]]" if is_array else "]"
        if self.text.startswith(closing, self.at):
            self.at += len(closing)
        return Section(self._path(names, is_array), starts, start, self.at, is_array)

    def _path(self, names: tuple[str, ...], is_array: bool) -> KeyPath:
        if not self.arrays and not is_array:
            return names
        path: KeyPath = ()
        for name in names[:-1]:
            path = (*path, name)
            if path in self.arrays:
                path = (*path, self.arrays[path])
        path = (*path, names[-1])
        if is_array:
            self.arrays[path] = self.arrays.get(path, -1) + 1
            return (*path, self.arrays[path])
        return path

    def _end_of_line(self) -> None:
        found = _REST_OF_LINE.match(self.text, self.at)
        if found is None:
            raise _BrokenError
        self.at = found.end()

    def _key(self) -> tuple[tuple[str, ...], tuple[int, ...]]:
        names: list[str] = []
        starts: list[int] = []
        while True:
            part = _KEY_PART.match(self.text, self.at)
            if part is None:
                raise _BrokenError
            group = part.lastindex or 1
            quoted = group in (2, 3)
            starts.append(part.start(group) - quoted)
            names.append(_unescaped(part[2]) if group == 2 and "\\" in part[2] else part[group])
            self.at = part.end()
            if not self.text.startswith(".", self.at):
                return tuple(names), tuple(starts)
            self.at += 1

    def _assignment(self, prefix: KeyPath) -> Assignment:
        names, starts = self._key()
        if self.depth:
            self._skip()
        if not self.text.startswith("=", self.at):
            raise _BrokenError
        self.at += 1
        if self.depth:
            self._skip()
        else:
            while self.text[self.at : self.at + 1] in (" ", "\t"):
                self.at += 1
        path = (*prefix, *names)
        return Assignment(path, names, starts, self._value(path))

    def _skip(self) -> None:
        self.at = _BETWEEN.match(self.text, self.at).end()  # type: ignore[union-attr]  # always matches

    def _value(self, path: KeyPath) -> Value:
        start, mark = self.at, self.text[self.at : self.at + 1]
        if mark in ("[", "{"):
            self.depth += 1
            if self.depth > _DEEPEST:
                self.too_deep = start if self.too_deep is None else self.too_deep
                raise _BrokenError
            value = self._array(path) if mark == "[" else self._inline_table(path)
            self.depth -= 1
            return value
        pattern = _STRING if mark in ('"', "'") else _ATOM
        found = pattern.match(self.text, start)
        if found is None or not mark:
            raise _BrokenError
        self.at = found.end()
        return Value("string" if pattern is _STRING else "scalar", start, self.at)

    def _array(self, path: KeyPath) -> Value:
        array = Value("array", self.at, self.at)
        self.at += 1
        while self._goes_on("]", bool(array.items)):
            array.items.append(self._value((*path, len(array.items))))
        array.end = self.at
        return array

    def _inline_table(self, path: KeyPath) -> Value:
        table = Value("inline table", self.at, self.at)
        self.at += 1
        while self._goes_on("}", bool(table.assignments)):
            table.assignments.append(self._assignment(path))
        table.end = self.at
        return table

    def _goes_on(self, closing: str, needs_comma: bool) -> bool:
        """Skip to the next item; False behind the closing bracket."""
        self._skip()
        comma = self.text.startswith(",", self.at)
        if comma and needs_comma:
            self.at += 1
            self._skip()
        if self.text.startswith(closing, self.at):
            self.at += 1
            return False
        if needs_comma != comma:
            raise _BrokenError
        return True


def _plain_assignment(prefix: KeyPath, plain: re.Match[str]) -> Assignment:
    group = plain.lastindex or 2
    value = Value("string" if group == 2 else "scalar", plain.start(group), plain.end(group))
    return Assignment((*prefix, plain[1]), (plain[1],), (plain.start(1),), value)


def _unescaped(inner: str) -> str:
    try:
        return str(toml_rs.loads(f'v = "{inner}"')["v"])
    except toml_rs.TOMLDecodeError:
        return inner
