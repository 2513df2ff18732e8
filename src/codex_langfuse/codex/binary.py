"""Find the real Codex binary and its version."""

import re
import shutil
import subprocess
from pathlib import Path

INSTALL_COMMAND = "pip install openai-codex-cli-bin"


class CodexNotFoundError(FileNotFoundError):
    """No Codex binary on this machine; the message says how to get one."""


def find_codex() -> Path:
    """Return the path of the Codex binary.

    The one packaged as ``openai-codex-cli-bin`` is preferred, because its version is pinned; else the
    first ``codex`` on ``PATH``.

    Raises:
        CodexNotFoundError: there is neither.
    """
    try:
        from codex_cli_bin import bundled_codex_path
    except ImportError:
        on_path = shutil.which("codex")
        if on_path is None:
            raise CodexNotFoundError(
                f"No Codex binary found. Install one with `{INSTALL_COMMAND}`, or put `codex` on PATH."
            ) from None
        return Path(on_path)
    return bundled_codex_path()


def codex_version(binary: Path) -> str:
    """Return what ``codex --version`` says, without the program's name: for example ``0.163.0``.

    Raises:
        ValueError: the program does not answer like Codex.
    """
    answer = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=30).stdout
    match = re.fullmatch(r"codex-cli (\S+)", answer.strip())
    if match is None:
        raise ValueError(f"{binary} is not Codex: `--version` printed {answer!r}")
    return match[1]
