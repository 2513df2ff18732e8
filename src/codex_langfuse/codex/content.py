"""What a piece of Codex's telemetry reveals about its user: content, identity, paths, names, secrets.

Known attributes are those seen in ``tests/recordings`` (0.44 to 0.169); whatever is not known is judged by
its look. Codex 0.73 to 0.111 wrote prompts, answers and tool output into the names and attributes of span
events; later versions keep them to log records.
"""

import re
from enum import StrEnum
from functools import lru_cache

from codex_langfuse.masking import has_secret


class Kind(StrEnum):
    """What a text gives away, the most serious first."""

    SECRET = "secret"
    CONTENT = "content"
    IDENTITY = "identity"
    PATH = "path"
    NAME = "name"
    OTHER = "other"


#: Prompts, answers, commands, their output, and what holds them as a whole.
_CONTENT = frozenset(
    {
        "prompt",
        "response",
        "arguments",
        "output",
        "input",
        "message",
        "text",
        "sub",
        "item",
        "call",
        "command",
        "cmd",
        "instructions",
        "user_instructions",
        "developer_instructions",
        "base_instructions",
        "exception.message",
        "exception.stacktrace",
        "headers",
        "gen_ai.prompt",
        "gen_ai.completion",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "input.value",
        "output.value",
        "langfuse.observation.input",
        "langfuse.observation.output",
        "langfuse.trace.input",
        "langfuse.trace.output",
    }
)
_IDENTITY = frozenset(
    {
        "user.email",
        "user.account_id",
        "user.id",
        "user.name",
        "enduser.id",
        "langfuse.user.id",
        "host.name",
        "host.id",
        "host.ip",
        "account_id",
    }
)
_PATHS = frozenset(
    {"cwd", "workdir", "path", "file.path", "codex_home", "rollout_path", "process.executable.path"}
)
_NAMES = frozenset(
    {
        "tool_name",
        "tool.name",
        "tool",
        "tool_namespace",
        "gen_ai.tool.name",
        "mcp_server",
        "mcp_servers",
        "mcp.server.name",
        "mcp.connector.name",
        "server",
        "server_name",
        "server.address",
        "agent_name",
        "originator",
        "provider_name",
        "app_server.client_name",
        "langfuse.session.id",
        "langfuse.trace.name",
        "langfuse.trace.tags",
    }
)
#: Of Codex's own making, whatever they look like: places in its source, routes of its API, its own words.
_CODEX_OWN = frozenset(
    {
        "code.file.path",
        "code.filepath",
        "code.module.name",
        "code.namespace",
        "target",
        "thread.name",
        "api.path",
        "endpoint",
        "rpc.method",
        "http.route",
        "event.name",
        "event.timestamp",
        "key",
        "features",
        "method",
        "(schema URL)",
        "(metric)",
        "(description)",
        "(unit)",
        "(scope)",
    }
)
_WITHHELD = frozenset({"", "[REDACTED]", "None", "none"})
#: Codex's own sentences in the bodies of log records.
_SENTENCES = (
    "flushing OTEL metrics",
    "runtime metrics reset skipped: runtime metrics snapshot reader is not enabled",
)
#: Longer than this and it is read as text, not as a word of Codex's.
_LONGEST_WORD = 120

_E_MAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}"
)
_PATH = re.compile(r"(?:file://|~/|/[^/\s]+/|[A-Za-z]:[\\/]|\\\\[^\\\s]+\\)\S*")
_HOME = re.compile(r"/(?:home|Users)/[^/\s]+|[A-Za-z]:\\Users\\")
_WORDS = re.compile(r"\S+\s+\S+\s+\S+\s+\S+\s+\S")


def classify(key: str, value: str) -> Kind:
    """Judge a text by the attribute that carries it, and by its look where the attribute is not known.

    ``key`` is the attribute's, or a word in parentheses for what has none, such as ``(name)`` of a span.
    """
    return _classify(key, value) if len(value) < 200 else _classify.__wrapped__(key, value)


@lru_cache(maxsize=16384)
def _classify(key: str, value: str) -> Kind:
    if value in _WITHHELD:
        return Kind.OTHER
    if has_secret(value):
        return Kind.SECRET
    if key in _CODEX_OWN:
        return Kind.OTHER
    if key in _CONTENT:
        return Kind.CONTENT
    if key in _IDENTITY:
        return Kind.IDENTITY
    if key in _NAMES:
        return Kind.NAME
    if key in _PATHS:
        return Kind.PATH
    return by_look(value)


def by_look(value: str) -> Kind:
    """Judge a text only by its form."""
    if value.startswith(_SENTENCES):
        return Kind.OTHER
    if len(value) > _LONGEST_WORD or _WORDS.search(value):
        return Kind.CONTENT
    if value.startswith("mcp__"):
        return Kind.NAME
    if "@" in value and _E_MAIL.search(value):
        return Kind.IDENTITY
    if _PATH.match(value) or _HOME.search(value):
        return Kind.PATH
    return Kind.OTHER
