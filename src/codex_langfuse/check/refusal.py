"""Does the installed Codex load its configuration? It is asked itself, as it judges every setting in it."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from codex_langfuse.check.findings import Place
from codex_langfuse.codex.binary import CodexNotFoundError
from codex_langfuse.codex.versions import installed_codex
from codex_langfuse.configuration.config_files import codex_home
from codex_langfuse.configuration.edit import Names

_SECONDS = 10
_REFUSES = re.compile(r"^Error: (?:failed to load [a-z ]*configuration|.+\.toml:\d+:\d+: )", re.M)
_LOCATED = re.compile(r"(?P<file>[^\n]+?\.toml):(?P<line>\d+):(?P<column>\d+): (?P<message>[^\n]+)")
_CAUSES = re.compile(r"Caused by:\n(?P<causes>.+)", re.S)
_SETTING = re.compile(r"\s*in `(?P<setting>[^`\n]+)`\s*\Z")


@dataclass(frozen=True)
class Refusal:
    """Why Codex does not load its configuration: in its words, and where, as far as it says."""

    message: str
    place: Place | None = None
    setting: Names = ()


def refusal(
    environment: Mapping[str, str], folder: Path, codex: Path | None = None, profile: str | None = None
) -> Refusal | None:
    """Let Codex load the configuration that it has with ``environment`` in ``folder``.

    By ``codex features list``, which loads it, prints, and sends nothing (Codex 0.72.0 to 0.171.0). That
    takes no profile; ``codex mcp get`` does, and sends nothing either (0.149.0 to 0.171.0). Returns None when
    it loads, when there is no Codex or no configuration, or when Codex says nothing of it. ``codex`` is by
    default the installed one.
    """
    if not codex_home(environment).is_dir():
        return None  # Codex would make the folder.
    asked = ["-p", profile, "mcp", "get", "none"] if profile else ["features", "list"]
    try:
        run = subprocess.run(
            [codex or installed_codex(), *asked],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
        )
    except (CodexNotFoundError, OSError, subprocess.SubprocessError):
        return None
    return parse(run.stderr) if run.returncode else None


def parse(told: str) -> Refusal | None:
    """Read what Codex prints when it loads no configuration; None for anything else."""
    if not _REFUSES.search(told):
        return None
    located = _LOCATED.search(told)
    if located:
        path = Path(re.sub(r"^(?:Error: |\s*\d+: )?(?:.*config file )?", "", located["file"]).strip())
        return Refusal(located["message"], Place(path, int(located["line"]), int(located["column"])))
    causes = _CAUSES.search(told)
    text = (causes["causes"] if causes else told).rstrip()
    setting = _SETTING.search(text)
    message = " ".join(line.strip() for line in _SETTING.sub("", text).splitlines())
    return Refusal(message.strip(), setting=tuple(setting["setting"].split(".")) if setting else ())
