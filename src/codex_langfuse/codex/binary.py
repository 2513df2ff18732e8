"""Find the real Codex binary and its version."""

import os
import re
import shutil
import subprocess
from pathlib import Path

INSTALL_COMMAND = "npm install --global @openai/codex"

#: Names the Codex to run instead of the pinned one, for a run of the tests with another.
CHOSEN = "CODEX_LANGFUSE_CODEX"

#: Where ``scripts/setup`` installs the pinned Codex: the binary itself, without npm's starter in Node.
_PINNED = "node_modules/@openai/codex-*/vendor/*/bin"

_CHECKOUT = Path(__file__).resolve().parents[3]


class CodexNotFoundError(FileNotFoundError):
    """No Codex binary on this machine; the message says how to get one."""


def find_codex() -> Path:
    """Return the path of the Codex binary.

    The one that the variable ``CODEX_LANGFUSE_CODEX`` names; else, in a checkout, the pinned one; else the
    first ``codex`` on ``PATH``.

    Raises:
        CodexNotFoundError: there is none.
    """
    if chosen := os.environ.get(CHOSEN):
        return Path(chosen).resolve()
    for folder in sorted(_CHECKOUT.glob(_PINNED)):
        return folder / ("codex.exe" if os.name == "nt" else "codex")
    if on_path := shutil.which("codex"):
        return Path(on_path)
    raise CodexNotFoundError(
        f"No Codex binary found. Install one with `{INSTALL_COMMAND}`, or put `codex` on PATH."
    )


def codex_version(binary: Path) -> str:
    """Return what ``codex --version`` says, without the program's name: for example ``0.171.0``.

    Raises:
        ValueError: the program does not answer like Codex.
    """
    answer = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=30).stdout
    match = re.fullmatch(r"codex-cli (\S+)", answer.strip())
    if match is None:
        raise ValueError(f"{binary} is not Codex: `--version` printed {answer!r}")
    return match[1]
