"""What is replaced in a Codex that a test or an example runs: this list, and nothing else.

Everything else is as a user's Codex has it: its model, its tools, its provider ``openai``, WebSocket, its
sandbox. ``docs/contributing/examples.md`` shows the list; ``tests/test_defaults.py`` compares a Codex with
these replacements with one without.
"""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Replacement:
    """One thing replaced, in English and Chinese.

    ``how``: ``setting`` is given by ``-c`` on the command line, so that a page's configuration file stays as
    it is; ``variable`` is in the environment.
    """

    name: str
    value: str
    how: Literal["setting", "variable"]
    reason: dict[str, str]
    only: dict[str, str] | None = None


#: Shown in place of the scripted model's address, which is another in each run.
_ADDRESS = "http://127.0.0.1:PORT/v1"

#: A proxy that is not there (port 9, "discard"): whatever is not on loopback fails at once, without DNS.
NOWHERE = "http://127.0.0.1:9"

MODEL_ADDRESS = Replacement(
    "openai_base_url",
    _ADDRESS,
    "setting",
    {"en": "The model is the scripted one.", "zh": "由脚本模型回答。"},
)
PLUGINS = Replacement(
    "features.plugins",
    "false",
    "setting",
    {
        "en": "Codex would fetch its list of plugins from github.com and chatgpt.com; a test sends nothing "
        "to other machines.",
        "zh": "否则 Codex 会从 github.com 和 chatgpt.com 取插件列表，而测试不向其他机器发送任何内容。",
    },
)
SANDBOX = Replacement(
    "sandbox_mode",
    "danger-full-access",
    "setting",
    {
        "en": "Codex's sandbox needs what some containers forbid.",
        "zh": "Codex 的沙箱需要一些容器所禁止的权限。",
    },
    only={
        "en": "only where `codex sandbox` fails",
        "zh": "只在 `codex sandbox` 失败的地方",
    },
)
API_KEY = Replacement(
    "OPENAI_API_KEY",
    "invented",
    "variable",
    {
        "en": "Codex asks no model without a login or a key. The scripted model does not check it.",
        "zh": "没有登录，也没有密钥，Codex 就不向模型提问。脚本模型不检查它。",
    },
)
PROXY = Replacement(
    "HTTPS_PROXY, HTTP_PROXY",
    NOWHERE,
    "variable",
    {
        "en": "Nothing leaves the machine. A test of what would leave has a proxy that records it.",
        "zh": "任何内容都不离开本机。测试要看会发出什么时，这里是一个记录请求的代理。",
    },
)

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
