"""The headers that ``headers_helper`` gives Codex: from the key file where it is ours, else from a run."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from codex_langfuse.check.setup import Setup
from codex_langfuse.configuration.config_files import codex_home
from codex_langfuse.keys.credentials import CredentialsError
from codex_langfuse.keys.key_file import authorization_in_key_file

#: Codex waits so long for it.
_SECONDS = 10
#: A path in which a shell expands nothing.
_PATH = re.compile(r"[\w@%+:,./-]*/[\w@%+:,./-]*")
_NAME = re.compile(r"\w[\w.-]*")


class HelperError(Exception):
    """It gives Codex no headers, so that Codex exports nothing: why."""


def problem_of(setup: Setup, command: str) -> str:
    """Say what is wrong with a command as far as it shows without a run; empty if nothing does.

    Codex gives it to a shell in ``CODEX_HOME``; where the first word is a path, its file must exist, and a
    name must be one that the shell finds.
    """
    if not command.strip():
        return "It is empty"
    program = next(iter(_words(command)), "")
    if os.name == "nt":
        return ""
    if _NAME.fullmatch(program):
        asked = ["/bin/sh", "-c", 'command -v "$0"', program]
        found = subprocess.run(asked, env=setup.environment, capture_output=True, check=False)
        return f"{program} is not on the PATH" if found.returncode else ""
    if not _PATH.fullmatch(program):
        return ""
    file = codex_home(setup.environment) / program
    return "" if file.exists() else f"{file} does not exist"


def headers_of(setup: Setup, command: str, *, run: bool) -> dict[str, str] | None:
    """Return the headers; None for a command of the reader's own, which is not run unless ``run``.

    Raises ``HelperError``.
    """
    words = _words(command)
    ours = any(
        "codex-langfuse" in word or "codex_langfuse" in word or "generate-langfuse" in word for word in words
    )
    if ours and "--headers" in words:
        named = dict(pairwise(words)).get("--key-file")
        try:
            return {"Authorization": authorization_in_key_file(Path(named) if named else None)}
        except CredentialsError as error:
            raise HelperError(str(error)) from error
    return _run(command, codex_home(setup.environment), setup.environment) if run else None


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return []


def _run(command: str, folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    try:
        done = subprocess.run(
            command,
            shell=True,
            cwd=folder,
            env=environment,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        printed = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise HelperError(f"headers_helper: {type(error).__name__}") from error
    if done.returncode:
        raise HelperError(f"headers_helper ended with status {done.returncode}")
    if not isinstance(printed, dict) or not all(isinstance(value, str) for value in printed.values()):
        raise HelperError("headers_helper printed no JSON object of strings")
    return printed
