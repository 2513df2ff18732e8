"""Repairs of a text that is not TOML, where it is plain what was meant.

Installers and pasted pages leave a few forms behind: an exporter as a string and as a table, a table that is
opened twice, a key that is written twice. Nothing is repaired where two places contradict each other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import toml_rs

from codex_langfuse.configuration.edit import dotted, key_literal, literal
from codex_langfuse.configuration.syntax import Assignment, KeyPath, Section, TomlError, parse, scan

#: The keys of ``[otel]`` that hold an exporter.
EXPORTERS = ("trace_exporter", "exporter", "metrics_exporter")
_MOST = 20


@dataclass(frozen=True)
class Repair:
    """The repaired text, and what to do to get it.

    ``string`` names the exporter whose string was deleted beside its table.
    """

    text: str
    done: str
    string: str = ""


def repair(text: str) -> Repair | None:
    """Return ``text`` with its first error repaired; None when it has none, or what was meant is unclear."""
    try:
        parse(text)
    except TomlError:
        sections = scan(text)
        found = next(_repairs(text, sections), None)
        return found if found is not None and found.text != text else None
    return None


def repaired(text: str) -> Repair | None:
    """Repair error after error; None when the text is TOML already or does not become TOML."""
    done: list[str] = []
    for _ in range(_MOST):
        step = repair(text)
        if step is None:
            break
        text = step.text
        done.append(step.done)
    try:
        parse(text)
    except TomlError:
        return None
    return Repair(text, "; ".join(done)) if done else None


def _repairs(text: str, sections: list[Section]) -> Iterator[Repair]:
    for key in EXPORTERS:
        yield from _string_beside_table(text, sections, ("otel", key))
    yield from _inline_beside_table(text, sections)
    yield from _table_twice(text, sections)
    yield from _key_twice(text, sections)


def _string_beside_table(text: str, sections: list[Section], path: KeyPath) -> Iterator[Repair]:
    strings: list[Assignment] = []
    is_table = any(section.path[: len(path)] == path for section in sections)
    for section in sections:
        for assignment in section.assignments:
            if assignment.path == path and assignment.value.kind == "string":
                strings.append(assignment)
            elif assignment.path[: len(path)] == path:
                is_table = True
    if is_table and len(strings) == 1:
        start, end = _lines_of(text, strings[0])
        line = text[start:end].strip()
        yield Repair(text[:start] + text[end:], f"delete the line `{line}`", str(path[-1]))


def _inline_beside_table(text: str, sections: list[Section]) -> Iterator[Repair]:
    for assignment in _of_lines(sections):
        if assignment.value.kind != "inline table":
            continue
        for section in sections[1:]:
            inside = section.path[: len(assignment.path)] == assignment.path
            if not inside or section.is_array or len(section.path) == len(assignment.path):
                continue
            inline = _value(text, assignment)
            table = {a.names[0]: _value(text, a) for a in section.assignments if len(a.names) == 1}
            rest: Any = inline
            for name in section.path[len(assignment.path) :]:
                if not isinstance(rest, dict) or len(rest) != 1:
                    rest = None
                    break
                rest = rest.get(name)
            if not isinstance(rest, dict) or len(table) != len(section.assignments):
                continue
            if any(name in table and table[name] != value for name, value in rest.items()):
                continue
            missing = {name: value for name, value in rest.items() if name not in table}
            below = [s for s in sections if s.path[:-1] == section.path and s.path[-1] in missing]
            if below:
                continue
            added = "".join(f"{key_literal((name,))} = {literal(value)}\n" for name, value in missing.items())
            at = _end_of_body(text, section)
            joined = _with_lines(text, at, added)
            start, end = _lines_of(text, assignment)
            if end > at:
                continue_at = len(joined) - len(text)
                start, end = start + continue_at, end + continue_at
            yield Repair(
                joined[:start] + joined[end:],
                f"keep {_header(section)}, delete `{dotted(assignment.names)} = {{…}}`",
            )


def _table_twice(text: str, sections: list[Section]) -> Iterator[Repair]:
    first: dict[KeyPath, Section] = {}
    for section in sections[1:]:
        if section.is_array:
            continue
        above = first.setdefault(section.path, section)
        if above is section:
            continue
        merged = _merged(text, above, section)
        if merged is not None:
            yield Repair(merged, f"put what is in both tables {_header(section)} into the first")


def _merged(text: str, above: Section, section: Section) -> str | None:
    have = {assignment.names: _value(text, assignment) for assignment in above.assignments}
    moved = ""
    for assignment in section.assignments:
        if any(_one_contains_other(names, assignment.names) for names in have):
            return None
        if assignment.names not in have:
            start, end = _lines_of(text, assignment)
            moved += text[start:end] if text[start:end].endswith("\n") else text[start:end] + "\n"
        elif have[assignment.names] != _value(text, assignment):
            return None
    start = text.rfind("\n", 0, section.start) + 1
    end = _end_of_body(text, section)
    text = text[:start] + text[end:]
    return _with_lines(text, _end_of_body(text, above), moved)


def _key_twice(text: str, sections: list[Section]) -> Iterator[Repair]:
    first: dict[KeyPath, Assignment] = {}
    for assignment in _of_lines(sections):
        above = first.setdefault(assignment.path, assignment)
        if above is not assignment and _value(text, above) == _value(text, assignment) is not None:
            start, end = _lines_of(text, assignment)
            yield Repair(text[:start] + text[end:], f"delete the second `{dotted(assignment.names)}`")


def _one_contains_other(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    depth = min(len(one), len(other))
    return one != other and one[:depth] == other[:depth]


def _header(section: Section) -> str:
    return f"`[{key_literal(map(str, section.path))}]`"


def _of_lines(sections: list[Section]) -> Iterator[Assignment]:
    for section in sections:
        yield from section.assignments


def _value(text: str, assignment: Assignment) -> Any:
    """Return the value, None when it is none."""
    try:
        return toml_rs.loads(f"v = {text[assignment.value.start : assignment.value.end]}")["v"]
    except toml_rs.TOMLDecodeError:
        return None


def _lines_of(text: str, assignment: Assignment) -> tuple[int, int]:
    end = text.find("\n", assignment.value.end)
    return text.rfind("\n", 0, assignment.start) + 1, len(text) if end < 0 else end + 1


def _end_of_body(text: str, section: Section) -> int:
    return _lines_of(text, section.assignments[-1])[1] if section.assignments else section.body


def _with_lines(text: str, at: int, lines: str) -> str:
    before = text[:at]
    gap = "\n" if lines and before and not before.endswith("\n") else ""
    return f"{before}{gap}{lines}{text[at:]}"
