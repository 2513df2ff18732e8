"""What is replaced in a Codex that a test or an example runs: this list, and nothing else.

Everything else is as a user's Codex has it: its model, its tools, its provider ``openai``, WebSocket, its
sandbox. ``docs/contributing/examples.md`` shows the list and the reasons; ``tests/test_defaults.py``
compares a Codex with these replacements with one without.
"""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Replacement:
    """One thing replaced.

    ``how``: ``setting`` is given by ``-c`` on the command line, so that a page's configuration file stays as
    it is; ``variable`` is in the environment.
    """

    name: str
    value: str
    how: Literal["setting", "variable"]


#: Shown in place of the scripted model's address, which is another in each run.
_ADDRESS = "http://127.0.0.1:PORT/v1"

#: A proxy that is not there (port 9, "discard"): whatever is not on loopback fails at once, without DNS.
NOWHERE = "http://127.0.0.1:9"

MODEL_ADDRESS = Replacement("openai_base_url", _ADDRESS, "setting")
PLUGINS = Replacement("features.plugins", "false", "setting")
#: Only where Codex's own sandbox does not work.
SANDBOX = Replacement("sandbox_mode", "danger-full-access", "setting")
API_KEY = Replacement("OPENAI_API_KEY", "invented", "variable")
PROXY = Replacement("HTTPS_PROXY, HTTP_PROXY", NOWHERE, "variable")

REPLACEMENTS: Sequence[Replacement] = (MODEL_ADDRESS, API_KEY, PLUGINS, PROXY, SANDBOX)


def settings(model_url: str, *, sandbox: bool) -> list[str]:
    """Return the ``-c`` arguments that make Codex ask the model at ``model_url``.

    ``sandbox``: whether this machine lets Codex have its sandbox.
    """
    given = {MODEL_ADDRESS.name: model_url, PLUGINS.name: PLUGINS.value}
    if not sandbox:
        given[SANDBOX.name] = SANDBOX.value
    return [argument for name, value in given.items() for argument in ("-c", f"{name}={value}")]


_HAS_SANDBOX: dict[Path, bool] = {}


def has_sandbox(binary: Path, environment: Mapping[str, str]) -> bool:
    """Return whether ``binary`` can run a command in its sandbox here; each program is asked once."""
    if binary not in _HAS_SANDBOX:
        try:
            run = subprocess.run(
                [binary, "sandbox", "true"],
                env=environment,
                cwd=environment["HOME"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=30,
            )
            _HAS_SANDBOX[binary] = run.returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            _HAS_SANDBOX[binary] = False
    return _HAS_SANDBOX[binary]
