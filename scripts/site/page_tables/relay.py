"""Tables about the relay, made by putting recordings of real Codex versions through it."""

from functools import cache

import recordings
from codex_langfuse.exports import spans_in
from page_tables.markdown import mark, table
from relay_documented import versions_table, what_leaves

#: A ChatGPT login, an MCP server, prompts and answers logged: all that Codex can tell of a person.
TELLTALE = "0.169.0-privacy-lup_true_agentresp"


_SIGNALS = {"logs": {"en": "logs", "zh": "日志"}, "traces": {"en": "traces", "zh": "trace"}}
_SIGNALS["both"] = {"en": "both", "zh": "两者"}

#: Columns of the versions table that differ between versions.
_COLUMNS = {
    "tokens": {"en": "Tokens", "zh": "token"},
    "time to first token": {"en": "Time to first token", "zh": "首 token 延迟"},
    "reasoning effort": {"en": "Reasoning effort", "zh": "推理强度"},
    "decision": {"en": "Decision on a tool", "zh": "工具的审批"},
    "exit code": {"en": "Failure of a tool", "zh": "工具的失败"},
    "end told": {"en": "End reported by Codex", "zh": "Codex 报告轮次结束"},
}

#: What a person would want to know of: its names in telemetry.
_DATA = [
    ({"en": "Prompt", "zh": "提示词"}, {"prompt"}),
    ({"en": "Answer", "zh": "回答"}, {"response"}),
    ({"en": "Tool arguments: commands, patches", "zh": "工具参数：命令、补丁"}, {"arguments"}),
    ({"en": "Tool output", "zh": "工具输出"}, {"output"}),
    ({"en": "Working folder", "zh": "工作目录"}, {"cwd"}),
    ({"en": "Host name", "zh": "主机名"}, {"host.name"}),
    ({"en": "E-mail address of the account", "zh": "账号的邮箱"}, {"user.email"}),
    ({"en": "Account id", "zh": "账号 ID"}, {"user.account_id"}),
    (
        {"en": "Names of MCP servers", "zh": "MCP 服务器的名称"},
        {"mcp_server", "mcp_servers", "mcp.server.name"},
    ),
    ({"en": "Names of tools", "zh": "工具的名称"}, {"tool_name"}),
    ({"en": "Model", "zh": "模型"}, {"model"}),
    ({"en": "Conversation id", "zh": "对话 ID"}, {"conversation.id"}),
]


def relay_versions(language: str) -> str:
    """Return what the relay can tell of a turn, by version of Codex and by signal."""
    rows = versions_table({codex: _batches(name) for codex, name in recordings.simple_turns().items()})
    head = {"en": ["Codex", "Signals sent"], "zh": ["Codex", "发送的信号"]}[language]
    return table(
        [*head, *(names[language] for names in _COLUMNS.values())],
        (
            [row["version"], _SIGNALS[row["signals"]][language]]
            + [mark(row[column] == "yes", language) for column in _COLUMNS]
            for row in rows
        ),
    )


def relay_privacy(language: str) -> str:
    """Return what leaves the machine on the direct route and in each mode of the relay."""
    leaving = _what_leaves_the_relay()
    direct = _attributes_of_spans()
    head = {"en": ["Datum", "Direct"], "zh": ["数据", "直连"]}[language]
    modes = ("none", "prompts", "full")
    return table(
        [*head, *(f"`--content {mode}`" for mode in modes)],
        (
            [names[language], mark(bool(keys & direct), language)]
            + [mark(any(row[mode] for row in leaving if row["field"] in keys), language) for mode in modes]
            for names, keys in _DATA
        ),
    )


def _batches(name: str) -> list[tuple[str, recordings.Message]]:
    """Return the requests of a recording that the relay takes, each with its signal."""
    return [(each.signal, each.message) for each in recordings.read(name) if each.signal != "metrics"]


@cache
def _what_leaves_the_relay() -> list[dict[str, str]]:
    """Plant markers in logs, where Codex puts content today, and in the spans of a version that leaked it."""
    logged = [batch for signal, batch in _batches(TELLTALE) if signal == "logs"]
    return what_leaves([logged, [batch for _, batch in _batches("0.98.0-simple")]])


def _attributes_of_spans() -> set[str]:
    """Return the names of all attributes in the telltale traces: what the direct route sends."""
    spans = spans_in(recordings.bodies(TELLTALE, "traces"))
    return {
        key
        for span in spans
        for attributes in (span.attributes, span.resource, *(event for _, event in span.events))
        for key in attributes
    }


TABLES = {"relay-versions": relay_versions, "relay-privacy": relay_privacy}
