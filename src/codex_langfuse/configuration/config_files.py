"""Where Codex's configuration comes from.

``$CODEX_HOME`` (``~/.codex``) holds ``config.toml`` and, for ``codex -p NAME``, ``NAME.config.toml``. A
machine's administrator may have put files below them and above them in ``/etc/codex``. Measured with Codex
0.163.0 and 0.169.0 on Linux.
"""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from codex_langfuse.configuration.encoding import Encoded, decoded
from codex_langfuse.configuration.syntax import Document, TomlError, parse

Kind = Literal["system", "user", "profile", "managed", "requirements", "project", "misplaced"]

#: The kinds whose ``[otel]`` counts, the weakest first. ``requirements`` is added by ``precedence``.
_LAYERS: tuple[Kind, ...] = ("system", "user", "profile", "managed")

SYSTEM_FOLDER = Path("/etc/codex")
_SYSTEM_FILES = ("config.toml", "managed_config.toml", "requirements.toml")


@dataclass(frozen=True, eq=False)
class ConfigFile:
    """One file as it is on disk.

    ``document`` is None when the file is not TOML or not UTF-8, and then ``error`` says why.
    """

    kind: Kind
    path: Path
    content: bytes
    encoded: Encoded
    document: Document | None
    error: TomlError | None = None

    @property
    def data(self) -> dict[str, Any]:
        """What the file says; nothing when it cannot be read."""
        return self.document.data if self.document else {}


@dataclass(frozen=True)
class ConfigFiles:
    """All files that Codex would read, and those that it only looks as if it read."""

    user_path: Path
    files: tuple[ConfigFile, ...] = field(default=())

    def of(self, kind: Kind) -> ConfigFile | None:
        """Return the file of a kind, or None when it is not there."""
        return next((file for file in self.files if file.kind == kind), None)

    def precedence(self, *, requirements: bool) -> list[ConfigFile]:
        """Return the files whose ``[otel]`` counts, the weakest first.

        ``requirements`` of an administrator are among them if this Codex enforces them.
        """
        kinds: tuple[Kind, ...] = (*_LAYERS, "requirements") if requirements else _LAYERS
        return [file for kind in kinds if (file := self.of(kind)) is not None]


def codex_home(environment: Mapping[str, str]) -> Path:
    """Return ``$CODEX_HOME``, by default ``.codex`` in the home folder (on Windows ``%USERPROFILE%``)."""
    given = environment.get("CODEX_HOME")
    if given:
        return Path(given)
    home = environment.get("USERPROFILE" if os.name == "nt" else "HOME")
    return (Path(home) if home else Path.home()) / ".codex"


def config_path(environment: Mapping[str, str], profile: str | None = None) -> Path:
    """Return the file of a person's own settings, or of a profile's."""
    name = f"{profile}.config.toml" if profile else "config.toml"
    return codex_home(environment) / name


def is_profile_name(name: str) -> bool:
    """Return whether ``NAME.config.toml`` is a file next to config.toml, and not elsewhere."""
    return bool(name) and not set(name) & set("/\\:\0") and not name.startswith(".")


def read_config_files(
    environment: Mapping[str, str],
    *,
    profile: str | None = None,
    project: Path | None = None,
    file: Path | None = None,
    system_folder: Path = SYSTEM_FOLDER,
) -> ConfigFiles:
    """Read every file that is there. A file that cannot be opened counts as one that is not TOML.

    Args:
        environment: where ``CODEX_HOME`` and ``HOME`` are looked up.
        profile: as in ``codex -p NAME``.
        project: the folder that Codex works in; its ``.codex/config.toml`` is found there or above.
        file: read in place of ``$CODEX_HOME/config.toml``.
        system_folder: ``/etc/codex``.
    """
    home = codex_home(environment)
    user = file or home / "config.toml"
    places: list[tuple[Kind, Path]] = [("system", system_folder / "config.toml"), ("user", user)]
    if profile:
        places.append(("profile", home / f"{profile}.config.toml"))
    places += [
        ("managed", system_folder / "managed_config.toml"),
        ("requirements", system_folder / "requirements.toml"),
    ]
    places += [("misplaced", path) for folder in (home, system_folder) for path in _misplaced(folder, home)]
    if project is not None:
        places += [("project", path) for path in _project_files(project, user)]
    return ConfigFiles(user, tuple(read_config(kind, path) for kind, path in places if _is_there(path)))


def read_config(kind: Kind, path: Path) -> ConfigFile:
    """Read one file, whatever is in it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        problem = TomlError(f"cannot be read: {error.strerror or error}", 1, 1)
        return ConfigFile(kind, path, b"", Encoded("", ()), None, problem)
    return config_of(kind, path, content)


def config_of(kind: Kind, path: Path, content: bytes) -> ConfigFile:
    """Take ``content`` for that of the file at ``path``."""
    try:
        encoded = decoded(content)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = len(
            content[content.rfind(b"\n", 0, error.start) + 1 : error.start].decode("utf-8", "replace")
        )
        problem = TomlError("not UTF-8", line, column + 1)
        return ConfigFile(kind, path, content, Encoded("", ()), None, problem)
    try:
        return ConfigFile(kind, path, content, encoded, parse(encoded.text))
    except TomlError as error:
        return ConfigFile(kind, path, content, encoded, None, error)


def _misplaced(folder: Path, home: Path) -> list[Path]:
    """Files with nearly the name of one that Codex reads, or with that of one which it reads elsewhere."""
    try:
        names = sorted(path.name for path in folder.glob("*.toml"))
    except OSError:
        return []
    read = ("config.toml",) if folder == home else _SYSTEM_FILES
    near = [name for name in names if difflib.get_close_matches(name.lower(), _SYSTEM_FILES, n=1, cutoff=0.9)]
    return [folder / name for name in near if name not in read and not name.endswith(".config.toml")]


def _project_files(project: Path, user: Path) -> list[Path]:
    """The nearest ``.codex/config.toml`` from ``project`` upwards that is not the user's own."""
    for folder in (project, *project.absolute().parents):
        path = folder / ".codex" / "config.toml"
        if _is_there(path) and path.absolute() != user.absolute():
            return [path]
    return []


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False
