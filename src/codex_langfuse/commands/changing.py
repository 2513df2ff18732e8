"""How a command changes a configuration file: the difference first, then the question, then the change."""

import difflib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from codex_langfuse.commands.messages import confirmed, error, note, refuse, tell
from codex_langfuse.configuration.backup import (
    Backup,
    NoBackupError,
    current_content,
    newest_backup,
    real_path,
    undo,
    write_with_backup,
)
from codex_langfuse.configuration.encoding import Encoded, decoded
from codex_langfuse.configuration.secrets import masked
from codex_langfuse.configuration.undoing import ConflictError, taken_back
from codex_langfuse.page_addresses import page_url

#: No TOML file contains it.
_SHOWN = "\0"


@dataclass(frozen=True)
class Change:
    """A file, what was read from it, the text it is to have, and what a person should know.

    ``content`` is None for a file that does not exist.
    """

    path: Path
    content: bytes | None
    old: Encoded
    new_text: str
    notes: tuple[str, ...] = ()


def make_change(
    change: Change, *, dry_run: bool, yes: bool, as_json: bool, details: dict[str, Any] | None = None
) -> None:
    """Show the difference, ask, and write. Ends the command with status 1 when it did not get a yes."""
    content = change.old.with_text(change.new_text)
    changes = change.new_text != change.old.text
    lines = _difference(change.path, change.old.text, change.new_text)
    outcome: dict[str, Any] = {
        "file": str(change.path),
        **(details or {}),
        "changed": False,
        "difference": "\n".join(lines),
        "notes": list(change.notes),
        "backup": None,
    }
    if not as_json:
        show_difference(lines)
        for text in change.notes:
            note(masked(text))
    if not changes:
        _end(outcome, as_json, f"{change.path} is as it should be; nothing to change.")
        return
    if dry_run:
        _end(outcome, as_json, "Nothing was changed (--dry-run).")
        return
    _ask(f"Change {change.path}?", yes, as_json, outcome)
    try:
        backup = write_with_backup(change.path, content, change.content)
    except OSError as trouble:
        fail(
            _why(change.path, trouble), page=page_url("configuration-only", "configuration"), as_json=as_json
        )
    outcome |= {"changed": True, "backup": str(backup)}
    _end(
        outcome,
        as_json,
        f"Changed {change.path}. Undo it with `codex-langfuse config --undo{_hint(change.path)}`.",
    )


def preview_change(change: Change, *, quiet: bool) -> None:
    """Show the difference and the notes, unless ``quiet``."""
    if not quiet:
        show_difference(_difference(change.path, change.old.text, change.new_text))
        for text in change.notes:
            note(masked(text))


def apply_change(change: Change, *, yes: bool, quiet: bool) -> bool:
    """Show the difference, ask, and write; return whether the file was changed. ``quiet`` says nothing."""
    preview_change(change, quiet=quiet)
    if not _agreed(f"Change {change.path}?", yes):
        return False
    try:
        write_with_backup(change.path, change.old.with_text(change.new_text), change.content)
    except OSError as trouble:
        error(_why(change.path, trouble))
        return False
    return True


def make_private(path: Path, *, yes: bool, quiet: bool) -> bool:
    """Ask, and make a file private to its owner; return whether it was done. ``quiet`` says nothing."""
    if not quiet:
        tell(f"chmod 600 {path}")
    if not _agreed(f"Make {path} readable only by you?", yes):
        return False
    try:
        real_path(path).chmod(0o600)
    except OSError as trouble:
        error(_why(path, trouble))
        return False
    return True


def _agreed(question: str, yes: bool) -> bool:
    if not yes and not sys.stdin.isatty():
        error("Nothing was changed, because no terminal can ask. Add --yes to change the file.")
        return False
    if not yes and not confirmed(question):
        tell("Nothing was changed.")
        return False
    return True


class UndoError(Exception):
    """The newest change cannot be taken back: why, and where its backup is, a line each."""

    def __init__(self, *lines: str):
        super().__init__(lines[0])
        self.lines = lines


@dataclass(frozen=True)
class Undo:
    """What taking the newest change of a file back does: its new content (None: no file), and how it differs.

    Made by ``planned_undo``; ``apply`` does it.
    """

    path: Path
    backup: Backup
    now: bytes
    content: bytes | None
    difference: list[str]

    @property
    def question(self) -> str:
        """What to ask first."""
        if self.content is None:
            return f"Remove {self.path}, which did not exist before?"
        return f"Change {self.path} back?"

    def apply(self) -> tuple[str, Path | None]:
        """Do it; return what was done, and the copy of what was there, if it was kept. Raises ``OSError``."""
        copy = undo(self.path, self.backup, self.content, self.now)
        if copy is not None:
            done = f"Undone in {self.path}. What was written to it since is still there. A copy is in {copy}."
        elif self.content is None:
            done = f"Removed {self.path}."
        else:
            done = f"{self.path} is as it was before."
        return done, copy


def planned_undo(path: Path) -> Undo:
    """Return what takes the newest change back, and nothing written since; raises ``UndoError``."""
    try:
        backup, now = newest_backup(path), current_content(path)
    except OSError as trouble:
        raise UndoError(_why(path, trouble)) from trouble
    kept = f"The earlier text is in {backup.path}."
    if now is None:
        raise UndoError(f"{path} no longer exists", kept)
    if backup.written is None:
        raise UndoError(
            f"version 0.1.0 changed {path}. It kept no copy of what it wrote, so later changes are unknown",
            kept,
        )
    exact = now == backup.written
    try:
        old = decoded(now)
        before = decoded(backup.before or b"").text
        text = before if exact else taken_back(before, decoded(backup.written).text, old.text)
    except UnicodeDecodeError as error:
        raise UndoError(f"{path} is no longer UTF-8, so it is not changed", kept) from error
    except ConflictError as conflict:
        raise UndoError(
            f"{path} is not changed: what codex-langfuse wrote there was changed since",
            *conflict.lines,
            kept,
        ) from conflict
    content = backup.before if exact else old.with_text(text)
    if backup.before is None and not text.strip():
        content = None
    return Undo(path, backup, now, content, _difference(path, old.text, text))


def undo_change(path: Path, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Show what taking the newest change back does to the file, ask, and do it.

    What was written to the file since stays. Ends the command with status 1 when that cannot be done.
    """
    page = page_url("configuration-only", "undo")
    try:
        planned = planned_undo(path)
    except UndoError as wrong:
        fail(*wrong.lines, page=page, as_json=as_json)
    outcome: dict[str, Any] = {
        "file": str(path),
        "changed": False,
        "difference": "\n".join(planned.difference),
        "backup": str(planned.backup.path),
    }
    if not as_json:
        show_difference(planned.difference)
    if dry_run:
        _end(outcome, as_json, "Nothing was changed (--dry-run).")
        return
    _ask(planned.question, yes, as_json, outcome)
    try:
        done, copy = planned.apply()
    except OSError as trouble:
        fail(_why(path, trouble), page=page, as_json=as_json)
    outcome |= {"changed": True, "copy": str(copy) if copy else None}
    _end(outcome, as_json, done)


def _why(path: Path, trouble: OSError) -> str:
    if isinstance(trouble, NoBackupError) or trouble.errno is None:
        return str(trouble)
    return f"{path} cannot be changed: {trouble.strerror or trouble}"


def fail(message: str, *more: str, page: str, as_json: bool) -> NoReturn:
    """Say what is wrong, what to do, and which page explains it; end with status 1."""
    if as_json:
        text = " ".join((message, *more))
        typer.echo(
            json.dumps({"changed": False, "error": masked(text), "page": page}, indent=2, ensure_ascii=False)
        )
        raise typer.Exit(1)
    refuse(masked(message), *(masked(line) for line in more), f"See {page}")


def console() -> Console:
    """A console for standard output: colour on a terminal only, and never with ``NO_COLOR``."""
    return Console(highlight=False, soft_wrap=True, emoji=False, markup=False)


def show_difference(lines: list[str]) -> None:
    """Print what ``_difference`` returned."""
    styles = {"+": "green", "-": "red", "@": "cyan"}
    out = console()
    for line in lines:
        style = "bold" if line.startswith(("+++", "---")) else styles.get(line[:1], "")
        out.print(Text(line, style=style))


def _difference(path: Path, old: str, new: str) -> list[str]:
    """Return the lines of a unified difference, with the secrets covered: a secret may go over two lines."""
    found = difflib.unified_diff(
        _lines(old), _lines(new), str(path), str(path), fromfiledate="now", tofiledate="then", lineterm=""
    )
    return [line[:1] + line.partition(_SHOWN)[2] if _SHOWN in line else line for line in found]


def _lines(text: str) -> list[str]:
    """Return each line with, behind it, how it is shown."""
    text = text.replace(_SHOWN, "\ufffd")
    pairs = zip(text.removesuffix("\n").split("\n"), masked(text).removesuffix("\n").split("\n"), strict=True)
    return [f"{line}{_SHOWN}{shown}" for line, shown in pairs] if text else []


def _ask(question: str, yes: bool, as_json: bool, outcome: dict[str, Any]) -> None:
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        message = "Nothing was changed, because no terminal can ask. Add --yes to change the file."
        if as_json:
            typer.echo(json.dumps({**outcome, "error": message}, indent=2, ensure_ascii=False))
        else:
            error(message)
        raise typer.Exit(1)
    if not confirmed(question):
        tell("Nothing was changed.")
        raise typer.Exit(1)


def _end(outcome: dict[str, Any], as_json: bool, message: str) -> None:
    typer.echo(json.dumps(outcome, indent=2, ensure_ascii=False) if as_json else message)


def _hint(path: Path) -> str:
    from codex_langfuse.configuration.config_files import config_path

    return "" if path == config_path(os.environ) else f" --file {path}"
