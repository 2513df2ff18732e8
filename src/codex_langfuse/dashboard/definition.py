"""What is on the dashboard: a file of widgets, each with its place, its query and the question it answers.

A widget in the file has the fields of Langfuse's API. It also has ``id``, which no other widget has, and
``x``, ``y``, ``width`` and ``height``: its place in a grid of 12 columns.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

#: The version of Langfuse whose API for dashboards this was run with. Langfuse calls that API unstable.
RUN_WITH = "4.16.0"

_PLACE = ("x", "y", "width", "height")
_REQUIRED = ("id", "name", *_PLACE, "view", "metrics", "chartType")
_OPTIONAL = ("description", "dimensions", "filters", "chartConfig")
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,49}")


class DefinitionError(ValueError):
    """A file that describes no dashboard; the message says where and what to do."""


@dataclass(frozen=True)
class Widget:
    """One widget: its id, its place, and the fields that Langfuse's API takes."""

    id: str
    place: dict[str, int]
    fields: dict[str, Any]


@dataclass(frozen=True)
class Definition:
    """A dashboard: its name and description, and its widgets."""

    name: str
    description: str
    widgets: tuple[Widget, ...]

    def narrowed(
        self, *, name: str | None = None, environments: Sequence[str] = (), users: Sequence[str] = ()
    ) -> "Definition":
        """Return the dashboard under another name, its widgets limited to environments and users."""
        added = [
            {"column": column, "type": "stringOptions", "operator": "any of", "value": list(values)}
            for column, values in (("environment", environments), ("userId", users))
            if values
        ]
        widgets = tuple(
            replace(widget, fields={**widget.fields, "filters": [*widget.fields["filters"], *added]})
            for widget in self.widgets
        )
        return replace(self, name=name or self.name, widgets=widgets)

    def as_json(self) -> str:
        """Write the dashboard as a file that ``read`` takes."""
        widgets = [{"id": each.id, **each.place, **each.fields} for each in self.widgets]
        whole = {"name": self.name, "description": self.description, "widgets": widgets}
        return json.dumps(whole, indent=2, ensure_ascii=False)


def built_in() -> Definition:
    """Return the dashboard that comes with this project, ``examples/dashboard/codex.json``."""
    return _parsed(built_in_text())


def built_in_text() -> str:
    """Return the file of ``built_in``."""
    return resources.files(__package__).joinpath("codex.json").read_text(encoding="utf-8")


def read(file: Path) -> Definition:
    """Read a dashboard from a file; raises ``DefinitionError``."""
    try:
        return _parsed(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DefinitionError(f"{file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DefinitionError(f"{file}: not a text in UTF-8") from error
    except DefinitionError as error:
        raise DefinitionError(f"{file}: {error}") from error


def _parsed(text: str) -> Definition:
    try:
        whole = json.loads(text)
    except ValueError as error:
        raise DefinitionError(f"not JSON: {error}") from error
    if not isinstance(whole, dict) or not isinstance(whole.get("widgets"), list) or not whole["widgets"]:
        raise DefinitionError('needs an object with "name" and a list "widgets", as --print shows')
    name, description = whole.get("name"), whole.get("description", "")
    if not isinstance(name, str) or not name.strip() or not isinstance(description, str):
        raise DefinitionError('"name" must be a text, and "description" too')
    widgets = tuple(_widget(each, place) for place, each in enumerate(whole["widgets"], 1))
    ids = [widget.id for widget in widgets]
    twice = sorted({each for each in ids if ids.count(each) > 1})
    if twice:
        raise DefinitionError(f"two widgets have the id {twice[0]!r}; give each its own")
    return Definition(name, description, widgets)


def _widget(given: Any, place: int) -> Widget:
    if not isinstance(given, dict):
        raise DefinitionError(f"widget {place}: must be an object")
    where = f"widget {given['id']!r}" if isinstance(given.get("id"), str) else f"widget {place}"
    missing = [name for name in _REQUIRED if name not in given]
    unknown = [name for name in given if name not in (*_REQUIRED, *_OPTIONAL)]
    if missing or unknown:
        problem = f"has no {missing[0]!r}" if missing else f"has an unknown field {unknown[0]!r}"
        raise DefinitionError(f"{where}: {problem}")
    if not isinstance(given["id"], str) or not _ID.fullmatch(given["id"]):
        raise DefinitionError(f"{where}: the id must be lower-case letters, digits and hyphens, at most 50")
    for name in _PLACE:
        least = 0 if name in ("x", "y") else 1
        if not isinstance(given[name], int) or isinstance(given[name], bool) or given[name] < least:
            raise DefinitionError(f"{where}: {name!r} must be a whole number from {least}")
    for name, kind in (("metrics", list), ("dimensions", list), ("filters", list), ("chartConfig", dict)):
        if name in given and not isinstance(given[name], kind):
            raise DefinitionError(f"{where}: {name!r} must be {'a list' if kind is list else 'an object'}")
    fields = {"description": "", "dimensions": [], "filters": []}
    fields |= {name: value for name, value in given.items() if name not in ("id", *_PLACE)}
    return Widget(given["id"], {name: given[name] for name in _PLACE}, fields)
