"""The key file: the one place from which every tool takes the keys and the address, in every terminal.

``~/.config/codex-langfuse/env`` has a line ``NAME=value`` for each of the three variables, and one that a
shell can load for a Codex that takes the header from its environment. The helper scripts write the same.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from codex_langfuse.keys.credentials import (
    TRACES_HEADERS,
    Access,
    CredentialsError,
    access_in,
    base_url_in,
    basic_authorization,
    traces_headers,
)
from codex_langfuse.keys.secret_file import SecretFileError, read_variables

MARKER = "# Written by codex-langfuse. It holds a secret key: keep it readable by you only."
#: What a person types to make it.
COMMAND = "codex-langfuse auth --write ~/.config/codex-langfuse/env"
_KEYS = ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY", TRACES_HEADERS)
_ADDRESSES = ("LANGFUSE_BASE_URL", "LANGFUSE_HOST")
VARIABLES = (*_KEYS, *_ADDRESSES)


def key_file() -> Path:
    """Return where the key file is; it need not exist."""
    return Path.home() / ".config" / "codex-langfuse" / "env"


def key_file_text(public_key: str, secret_key: str, base_url: str) -> str:
    """Return the text of a key file."""
    keys = {
        "LANGFUSE_PUBLIC_KEY": public_key,
        "LANGFUSE_SECRET_KEY": secret_key,
        "LANGFUSE_BASE_URL": base_url,
    }
    header = traces_headers(basic_authorization(public_key, secret_key))
    return f'{MARKER}\n{variables_text(keys)}export {TRACES_HEADERS}="{header}"\n'


def variables_text(variables: Mapping[str, str]) -> str:
    """Write variables as a shell reads them; the usual values need no quotes, so that Docker does, too."""
    lines = []
    for name, value in variables.items():
        usual = re.fullmatch(r"[\w./:@%+=,-]+", value, re.ASCII)
        quoted = value if usual else "'" + value.replace("'", "'\\''") + "'"
        lines.append(f"{name}={quoted}\n")
    return "".join(lines)


def is_key_file(text: str) -> bool:
    """Return whether a text holds nothing but what a key file, or one of an older version, holds."""
    names = "|".join(VARIABLES)
    line = re.compile(
        rf"# Written by codex-langfuse\.|(export |declare -x |set -gx |\$env:)?({names})[ =]|\s*$"
    )
    return all(line.match(each) for each in text.splitlines())


def read_key_file(path: Path | None = None) -> dict[str, str]:
    """Return the variables in a key file, none if there is none; raises ``CredentialsError``."""
    path = path or key_file()
    if not path.exists():
        return {}
    try:
        return read_variables(path)
    except SecretFileError as error:
        raise CredentialsError(str(error)) from error


def with_key_file(environment: Mapping[str, str]) -> dict[str, str]:
    """Return ``environment`` with what it lacks of keys and address from the key file.

    Keys are taken together: those of the environment are never mixed with those of the file. Raises
    ``CredentialsError`` when the file is there and cannot be used.
    """
    found = dict(environment)
    read = read_key_file()
    for names in (_KEYS, _ADDRESSES):
        if not any(found.get(name) for name in names):
            found |= {name: read[name] for name in names if read.get(name)}
    return found


def find_access(environment: Mapping[str, str], base_url: str | None = None) -> Access:
    """Find keys and address in the environment, else in the key file; ``base_url`` wins.

    Raises ``CredentialsError`` when one is missing or cannot be right.
    """
    found = with_key_file(environment)
    access = access_in(found, base_url)
    if any(environment.get(name) for name in _KEYS):
        return access
    return replace(access, source=str(key_file()))


def authorization_in_key_file(path: Path | None = None) -> str:
    """Return the ``Authorization`` that a key file makes; raises ``CredentialsError``."""
    read = read_key_file(path)
    path = path or key_file()
    if not any(read.get(name) for name in _KEYS):
        why = "has no keys" if path.exists() else "is not there"
        raise CredentialsError(f"{path} {why}. Make it: codex-langfuse auth --write {path}")
    # The address does not matter here.
    return access_in(read, base_url_in(read) or "eu").authorization
