"""Take one change of a text back, and leave what was written to the text since."""

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any

from codex_langfuse.configuration.edit import Draft, EditError, Names, dotted, value_at
from codex_langfuse.configuration.syntax import TomlError, parse

_ABSENT = object()


class ConflictError(ValueError):
    """What the change wrote was changed again; ``lines`` are those lines as they are now."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("the lines were changed since")
        self.lines = lines


def taken_back(before: str, written: str, now: str) -> str:
    """Return ``now`` without the change from ``before`` to ``written``.

    First by lines; where Codex rewrote the file in its own way, by settings.

    Raises:
        ConflictError: what the change wrote has another value by now.
    """
    if now == written:
        return before
    wanted = _merged_data(before, written, now)
    by_lines = _by_lines(before, written, now)
    if by_lines is not None and _means(by_lines, wanted):
        return by_lines
    return _by_settings(before, written, now)


def _by_lines(before: str, written: str, now: str) -> str | None:
    """Put the old lines in place of the written ones; None where those are not there any more."""
    old, new, current = (text.splitlines(keepends=True) for text in (before, written, now))
    at: dict[int, int] = {}
    for first, second, size in SequenceMatcher(None, new, current).get_matching_blocks():
        at.update(zip(range(first, first + size), range(second, second + size), strict=True))
    at[len(new)] = len(current)
    result = list(current)
    for what, start, end, old_start, old_end in reversed(SequenceMatcher(None, new, old).get_opcodes()):
        if what == "equal":
            continue
        places = [at.get(index) for index in range(start, end)]
        if None in places or places != list(range(places[0] or 0, (places[0] or 0) + len(places))):
            return None
        place = places[0] if places else at.get(start, at[start - 1] + 1 if start - 1 in at else None)
        if place is None:
            return None
        result[place : place + end - start] = old[old_start:old_end]
    return "".join(result)


def _by_settings(before: str, written: str, now: str) -> str:
    try:
        old, new = parse(before).data, parse(written).data
        draft = Draft(now)
    except TomlError as error:
        raise ConflictError([f"{error.line}: {_line(now, error.line)}"]) from error
    try:
        for path in _changed(old, new):
            value = value_at(old, path, _ABSENT)
            if value is _ABSENT:
                draft.remove(path)
                _remove_empty(draft, path[:-1], old)
            else:
                draft.set(path, value)
    except EditError as error:
        raise ConflictError([str(error)]) from error
    return draft.text


def _remove_empty(draft: Draft, path: Names, old: Mapping[str, Any]) -> None:
    while path and draft.get(path) == {} and value_at(old, path) is None:
        draft.remove(path)
        path = path[:-1]


def _merged_data(before: str, written: str, now: str) -> dict[str, Any] | None:
    """Return the settings of ``now``, those changed with their old values; None when a text is not TOML."""
    try:
        old, new, current = (parse(text) for text in (before, written, now))
    except TomlError:
        return None
    lines = []
    for path in _changed(old.data, new.data):
        mine, theirs = value_at(new.data, path, _ABSENT), value_at(current.data, path, _ABSENT)
        if mine != theirs:
            lines.append(_shown(current, path))
    if lines:
        raise ConflictError(sorted(set(lines)))
    wanted = current.data
    for path in _changed(old.data, new.data):
        wanted = _with(wanted, path, value_at(old.data, path, _ABSENT))
    return wanted


def _shown(document: Any, path: Names) -> str:
    for depth in range(len(path), 0, -1):
        offset = document.offset(path[:depth])
        if offset is not None:
            line = document.place(offset)[0]
            return f"{line}: {_line(document.text, line)}"
    return f"{dotted(path)} no longer exists"


def _line(text: str, number: int) -> str:
    lines = text.split("\n")
    return lines[number - 1].strip() if number <= len(lines) else ""


def _changed(old: Any, new: Any, path: Names = ()) -> Iterator[Names]:
    """Yield the paths of the single settings in which two documents differ."""
    for name in [*new, *(name for name in old if name not in new)]:
        one, other = old.get(name, _ABSENT), new.get(name, _ABSENT)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _changed(one, other, (*path, name))
        elif isinstance(other, dict) and one is _ABSENT and other:
            yield from _changed({}, other, (*path, name))
        elif isinstance(one, dict) and other is _ABSENT and one:
            yield from _changed(one, {}, (*path, name))
        elif type(one) is not type(other) or one != other:
            yield (*path, name)


def _with(data: Mapping[str, Any], path: Names, value: Any) -> dict[str, Any]:
    name, rest = path[0], path[1:]
    if rest:
        inner = data.get(name)
        value = _with(inner if isinstance(inner, Mapping) else {}, rest, value)
    elif value is _ABSENT:
        return {key: kept for key, kept in data.items() if key != name}
    return {**data, name: value}


def _means(text: str, wanted: dict[str, Any] | None) -> bool:
    if wanted is None:
        return True
    try:
        return bool(_without_empty(parse(text).data) == _without_empty(wanted))
    except TomlError:
        return False


def _without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _without_empty(item) for name, item in value.items()}
    return {name: item for name, item in inner.items() if item != {}}
