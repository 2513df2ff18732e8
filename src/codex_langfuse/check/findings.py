"""A mistake that was found, where it is, and how to fix it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codex_langfuse.check.catalogue import Mistake, Severity, catalogue
from codex_langfuse.configuration.edit import Draft, Names


@dataclass(frozen=True)
class Place:
    """Where something is: in a file, perhaps at a line and column (from 1), or in something with a name,
    such as an environment variable.
    """

    path: Path | None = None
    line: int | None = None
    column: int | None = None
    name: str = ""

    def __str__(self) -> str:
        if self.path is None:
            return self.name
        return ":".join(str(part) for part in (self.path, self.line, self.column) if part is not None)


#: From the text of the file at fault to the repaired one; raises ``EditError`` when it cannot be done.
Repairing = Callable[[str], str]


@dataclass(frozen=True)
class Finding:
    """One mistake at one place.

    ``detail`` says what of the catalogue's general words is the case here. ``instead`` is what to write
    instead. ``repair`` does it, where that is safe without asking what was meant; ``private`` says that
    taking the permission to read the file away from others does it.
    """

    id: str
    place: Place
    detail: str = ""
    instead: str = ""
    repair: Repairing | None = None
    private: bool = False

    @property
    def mistake(self) -> Mistake:
        """The entry of the catalogue."""
        return catalogue()[self.id]

    @property
    def is_fixable(self) -> bool:
        """Return whether ``--fix`` can repair it."""
        return self.place.path is not None and (self.repair is not None or self.private)

    @property
    def severity(self) -> Severity:
        """How bad it is: ``error`` when nothing, or what must not, arrives anywhere."""
        return self.mistake.severity


def renaming(path: Names, name: str) -> Repairing:
    """Give the last part of ``path`` another name."""
    return edit(lambda draft: draft.rename(path, name))


def setting(path: Names, value: object) -> Repairing:
    """Give ``path`` a value."""
    return edit(lambda draft: draft.set(path, value))


def edit(change: Callable[[Draft], None]) -> Repairing:
    """Make of a change to a draft one from text to text."""

    def repairing(text: str) -> str:
        draft = Draft(text)
        change(draft)
        return draft.text

    return repairing
