"""Secrets that are read from files, so that no command line holds them."""

import os
import re
from pathlib import Path

#: How a shell writes that a variable is exported.
_PREFIX = re.compile(r"(?:export|declare -x|set -gx)\s+")


class SecretFileError(Exception):
    """A file that cannot be taken for a secret: why, and what to do."""


def read_secret_file(path: Path) -> str:
    """Return the text of ``path``; raises ``SecretFileError`` if it cannot be read, or others may read it."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            text = file.read()
    except OSError as error:
        raise SecretFileError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SecretFileError(f"{path} is not text") from error
    if os.name != "nt" and mode & 0o077:
        raise SecretFileError(f"{path} has mode {mode:04o}: others may read it. Run: chmod 600 '{path}'")
    return text


def read_secret(path: Path) -> str:
    """Return the one secret in ``path``, without the line break at its end."""
    secret = read_secret_file(path).strip()
    if not secret or not secret.isprintable() or not secret.isascii():
        raise SecretFileError(f"{path} must hold one line of printable ASCII")
    return secret


def read_variables(path: Path) -> dict[str, str]:
    """Return the variables in ``path``, a line each: ``NAME=value``, as systemd and Docker read them too."""
    variables = {}
    for number, line in enumerate(read_secret_file(path).splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, separator, value = _PREFIX.sub("", text).partition("=")
        if not separator:
            raise SecretFileError(f"{path}, line {number}: not NAME=value")
        variables[name.strip()] = _unquoted(value.strip())
    return variables


def _unquoted(value: str) -> str:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1].replace("'\\''", "'") if quoted else value
