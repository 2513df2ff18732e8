"""Apply the repairs that are safe, to the files they belong to."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from codex_langfuse.check.checking import check
from codex_langfuse.check.findings import Finding
from codex_langfuse.check.setup import Setup
from codex_langfuse.configuration.config_files import ConfigFile, config_of
from codex_langfuse.configuration.edit import EditError
from codex_langfuse.configuration.syntax import TomlError

#: A person's own files. An administrator's are not for this command to write.
_OWN = ("user", "profile")

#: More mistakes than that in one file are somebody's joke.
_MOST = 50


@dataclass(frozen=True)
class Fix:
    """A file, its new text, and what it repairs."""

    file: ConfigFile
    text: str
    findings: tuple[Finding, ...]


def fixes(setup: Setup) -> Iterator[Fix]:
    """Yield what can be repaired in each of a person's own files; nothing is written."""
    repaired: list[Finding] = []
    now = setup
    for _ in range(_MOST):
        step = _one_repair(now)
        if step is None:
            break
        finding, now = step
        repaired.append(finding)
    for file in setup.files.files:
        new = next(other for other in now.files.files if (other.kind, other.path) == (file.kind, file.path))
        if new.content != file.content:
            here = tuple(finding for finding in repaired if finding.place.path == file.path)
            yield Fix(file, new.encoded.text, here)


def _one_repair(setup: Setup) -> tuple[Finding, Setup] | None:
    """Repair the first thing that can be; the file may be readable only then, and show another mistake."""
    files = {file.path: file for file in setup.files.files if file.kind in _OWN}
    for finding in check(setup, offline=True).findings:
        file = files.get(finding.place.path) if finding.place.path else None
        if file is None or finding.repair is None:
            continue
        try:
            text = finding.repair(file.encoded.text)
        except (EditError, TomlError):
            continue  # It is written too oddly, and left to the person.
        content = file.encoded.with_text(text)
        if content != file.content:
            return finding, _with_file(setup, config_of(file.kind, file.path, content))
    return None


def _with_file(setup: Setup, file: ConfigFile) -> Setup:
    others = tuple(
        file if (other.kind, other.path) == (file.kind, file.path) else other for other in setup.files.files
    )
    return replace(setup, files=replace(setup.files, files=others))
