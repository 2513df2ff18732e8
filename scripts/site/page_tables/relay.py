"""Tables about the relay, made by putting recordings of real Codex versions through it."""

from functools import cache

import recordings
from codex_langfuse.exports import spans_in
from hooks.tested_with import pinned_codex
from page_tables.markdown import mark, table, words_of
from relay_documented import Batch, versions_table, what_leaves

_TEXTS = words_of(__file__)

#: A ChatGPT login, an MCP server, prompts and answers logged: all that Codex can say of a person; and agents
#: that talk to each other.
_TELLTALES = ("0.169.0-privacy-lup_true_agentresp", f"{pinned_codex()}-sub-agent")

_SIGNALS = _TEXTS["signals"]
_SIGNALS["both"] = _TEXTS["both"]

#: Columns of the versions table that differ between versions.
_COLUMNS = _TEXTS["columns"]

#: What a person would want to know of: its names in telemetry.
_DATA = [
    (_TEXTS["prompt"], {"prompt"}),
    (_TEXTS["answer"], {"response"}),
    (_TEXTS["tool_arguments_commands_patches"], {"arguments"}),
    (_TEXTS["tool_output"], {"output"}),
    (_TEXTS["text_between_agents"], {"content"}),
    (_TEXTS["working_folder"], {"cwd"}),
    (_TEXTS["host_name"], {"host.name"}),
    (_TEXTS["e_mail_address_of"], {"user.email"}),
    (_TEXTS["account_id"], {"user.account_id"}),
    (
        _TEXTS["names_of_mcp_servers"],
        {"mcp_server", "mcp_servers", "mcp.server.name"},
    ),
    (_TEXTS["names_of_tools"], {"tool_name"}),
    (_TEXTS["model"], {"model"}),
    (_TEXTS["conversation_id"], {"conversation.id"}),
]


def relay_versions(language: str) -> str:
    """Return what the relay can show of a turn, by version of Codex and by signal."""
    rows = versions_table({codex: _batches(name) for codex, name in recordings.simple_turns().items()})
    head = _TEXTS["relay_versions_head"][language]
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
    head = _TEXTS["relay_privacy_head"][language]
    modes = ("none", "prompts", "full")
    return table(
        [*head, *(f"`--content {mode}`" for mode in modes)],
        (
            [names[language], mark(bool(keys & direct), language)]
            + [mark(any(row[mode] for row in leaving if row["field"] in keys), language) for mode in modes]
            for names, keys in _DATA
        ),
    )


def _batches(name: str) -> list[tuple[str, Batch]]:
    """Return the requests of a recording that the relay takes, each with its signal."""
    return [(each.signal, each.message) for each in recordings.read(name) if each.signal != "metrics"]


@cache
def _what_leaves_the_relay() -> list[dict[str, str]]:
    """Plant markers in logs, where Codex puts content today, and in the spans of a version that leaked it."""
    logged = [batch for name in _TELLTALES for signal, batch in _batches(name) if signal == "logs"]
    return what_leaves([logged, [batch for _, batch in _batches("0.98.0-simple")]])


def _attributes_of_spans() -> set[str]:
    """Return the names of all attributes in the telltale traces: what the direct route sends."""
    spans = spans_in(body for name in _TELLTALES for body in recordings.bodies(name, "traces"))
    return {
        key
        for span in spans
        for attributes in (span.attributes, span.resource, *(event for _, event in span.events))
        for key in attributes
    }


TABLES = {"relay-versions": relay_versions, "relay-privacy": relay_privacy}
