"""The ``-c`` overrides that make Codex use the scripted model, and where they go on a command line.

Run as ``python -m codex_langfuse.codex.overrides BINARY OVERRIDES ARGUMENT…`` it becomes that Codex;
``OVERRIDES`` is a JSON list. That is how the ``codex`` in ``IsolatedCodex.bin`` works.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence


def model_overrides(base_url: str, model: str = "gpt-5-codex") -> list[str]:
    """Return the ``-c`` arguments that make Codex use the model at ``base_url`` and nothing else.

    The default model is one that Codex 0.163 has no metadata for, so that it offers the tools that the
    scripted model calls; it warns about that on stderr.
    """
    settings = {
        "model": model,
        "model_provider": "scripted",
        "model_providers.scripted.name": "scripted",
        "model_providers.scripted.base_url": base_url,
        "model_providers.scripted.wire_api": "responses",
        # One retry of each kind is enough to show one, and keeps a failing run short.
        "model_providers.scripted.request_max_retries": "1",
        "model_providers.scripted.stream_max_retries": "1",
        "features.plugins": "false",  # else github.com, api.github.com and chatgpt.com are asked
        "features.daemon_auto_start": "false",  # else a process outlives the run
        "check_for_update_on_startup": "false",
        # Commands are the scenario's own; Codex's sandbox is not to be had in every container.
        "sandbox_mode": "danger-full-access",
        "approval_policy": "never",
    }
    return [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]


def with_overrides(arguments: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """Return ``arguments`` with ``overrides`` added so that both they and the caller's own hold.

    A ``-c`` after a subcommand makes Codex 0.163 forget every ``-c`` before it. So the overrides go where
    the caller's are, in front of each group of them, or in front of everything when there is none. For a
    setting given in both, the caller's holds.
    """
    result: list[str] = []
    in_group, given, names_value = False, False, False
    for index, argument in enumerate(arguments):
        if argument == "--":
            result += arguments[index:]
            break
        is_override = argument.startswith(("-c", "--config"))
        if is_override and not in_group:
            result += overrides
            given = True
        in_group = is_override or names_value
        names_value = argument in ("-c", "--config")
        result.append(argument)
    return result if given else [*overrides, *result]


def _become_codex(binary: str, overrides: str, *arguments: str) -> None:
    command = [binary, *with_overrides(arguments, json.loads(overrides))]
    if os.name == "nt":  # where exec does not wait for the new program
        sys.exit(subprocess.run(command).returncode)
    os.execv(binary, command)


if __name__ == "__main__":
    _become_codex(*sys.argv[1:])
