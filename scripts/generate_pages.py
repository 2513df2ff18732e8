#!/usr/bin/env python3
"""Write what is made from data into the pages, in both languages.

    .venv/bin/python scripts/generate_pages.py

- docs/reference/errors.md, whole, from the catalogue of ``codex-langfuse check``.
- Tables between ``<!-- generated: NAME -->`` and ``<!-- end -->``, by doing what they tell of: recordings
  of real Codex versions are put through the relay.
"""

import re
import sys
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import translations
from codex_langfuse.check.pages import render_errors, render_symptoms
from codex_langfuse.relay.documented import versions_table, what_leaves

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from harness.otlp import spans_in
from harness.relay import SIMPLE, batches, recording

ERRORS = "reference/errors.md"
#: A ChatGPT login, an MCP server, prompts and answers logged: all that Codex can tell of a person.
TELLTALE = "0.169.0-privacy-lup_true_agentresp"

_GENERATED = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.S)

_YES = {"en": "yes", "zh": "有"}
_NO = {"en": "–", "zh": "–"}

_SIGNALS = {"logs": {"en": "logs", "zh": "日志"}, "traces": {"en": "traces", "zh": "trace"}}
_SIGNALS["both"] = {"en": "both", "zh": "两者"}

#: Columns of the versions table that differ between versions.
_COLUMNS = {
    "tokens": {"en": "Tokens", "zh": "token"},
    "time to first token": {"en": "Time to first token", "zh": "首 token 时间"},
    "reasoning effort": {"en": "Reasoning effort", "zh": "推理强度"},
    "decision": {"en": "Decision on a tool", "zh": "工具的审批"},
    "exit code": {"en": "Failure of a tool", "zh": "工具的失败"},
    "end told": {"en": "End told by Codex", "zh": "Codex 告知结束"},
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
    names = sorted(SIMPLE, key=lambda name: [int(part) for part in name.split("-")[0].split(".")])
    rows = versions_table({name.split("-")[0]: recording(name) for name in names})
    head = {"en": ["Codex", "Signals sent"], "zh": ["Codex", "发送的信号"]}[language]
    return _table(
        [*head, *(names[language] for names in _COLUMNS.values())],
        (
            [row["version"], _SIGNALS[row["signals"]][language]]
            + [_mark(row[column] == "yes", language) for column in _COLUMNS]
            for row in rows
        ),
    )


def relay_privacy(language: str) -> str:
    """Return what leaves the machine on the direct route and in each mode of the relay."""
    leaving = _what_leaves_the_relay()
    direct = _attributes_of_spans()
    head = {"en": ["Datum", "Direct"], "zh": ["数据", "直连"]}[language]
    modes = ("none", "prompts", "full")
    return _table(
        [*head, *(f"`--content {mode}`" for mode in modes)],
        (
            [names[language], _mark(bool(keys & direct), language)]
            + [_mark(any(row[mode] for row in leaving if row["field"] in keys), language) for mode in modes]
            for names, keys in _DATA
        ),
    )


@cache
def _what_leaves_the_relay() -> list[dict[str, str]]:
    """Plant markers in logs, where Codex puts content today, and in the spans of a version that leaked it."""
    return what_leaves([batches(TELLTALE, ("logs",)), batches("0.98.0-simple")])


def _attributes_of_spans() -> set[str]:
    """Return the names of all attributes in the telltale traces: what the direct route sends."""
    spans = [span for batch in batches(TELLTALE, ("traces",)) for span in spans_in(batch.SerializeToString())]
    return {
        key
        for span in spans
        for attributes in (span.attributes, span.resource, *(event for _, event in span.events))
        for key in attributes
    }


def symptoms(language: str) -> str:
    """Return every mistake of the catalogue by what a reader sees of it."""
    return render_symptoms(language, "../reference/errors.md")


TABLES: dict[str, Callable[[str], str]] = {
    "relay-versions": relay_versions,
    "relay-privacy": relay_privacy,
    "symptoms": symptoms,
}


def generated_files() -> dict[Path, str]:
    """Return every file that holds something generated, with the text that it should have."""
    codex = version("openai-codex-cli-bin")
    errors = render_errors("en", codex)
    pin = f"---\ntranslates: {translations.fingerprint(errors)}\n"
    files = {
        translations.english(ERRORS): errors,
        translations.chinese(ERRORS): render_errors("zh", codex).replace("---\n", pin, 1),
    }
    for page in translations.english_pages():
        for language, file in (("en", translations.english(page)), ("zh", translations.chinese(page))):
            text = file.read_text(encoding="utf-8") if file.is_file() else ""
            if "<!-- generated: " in text:
                files[file] = _GENERATED.sub(lambda found: _filled(found, language), text)  # noqa: B023
    return files


def _filled(found: re.Match[str], language: str) -> str:
    return f"{found[1]}\n{TABLES[found['name']](language)}\n{found[3]}"


def _mark(yes: bool, language: str) -> str:
    return (_YES if yes else _NO)[language]


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main() -> None:
    """Write all of them."""
    for file, text in generated_files().items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
