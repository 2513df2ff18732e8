"""What a fence of a page says, small, below it: that it was run, and with what."""

from collections.abc import Mapping

from tested_with import pinned_codex  # type: ignore[import-not-found]  # MkDocs puts this folder on the path

_WORDS = {
    "en": {
        "ran by": "Run by {ran_by}",
        "refused": "Refused by Codex {codex}, as the page says",
        "loaded": "Loaded by Codex {codex}",
        "used": "Written to this file and used",
        "run": "Run",
        "run with": "Run with Codex {codex}",
        "run, fails": "Run, and fails as the page says",
        "printed": "Compared with what was printed",
        "schema": "Checked by the schema {schema}",
        "parsed": "Parsed; run only where PowerShell is installed",
    },
    "zh": {
        "ran by": "由 {ran_by} 运行",
        "refused": "Codex {codex} 拒绝加载，与本页所述一致",
        "loaded": "已由 Codex {codex} 加载",
        "used": "已写入这个文件并使用",
        "run": "已运行",
        "run with": "已用 Codex {codex} 运行",
        "run, fails": "已运行，按本页所述失败",
        "printed": "已与实际输出比对",
        "schema": "已按 {schema} 校验",
        "parsed": "只检查过语法；装有 PowerShell 时才运行",
    },
}
_TYPED = {"bash", "console", "python"}


def proof(language: str, settings: Mapping[str, str], source: str) -> str:
    """Return which words say what proves a fence; empty for a drawing, which shows itself."""
    if "ran_by" in settings:
        return "ran by"
    if language == "toml" and settings.get("title", "").endswith(".codex/config.toml"):
        return "refused" if settings.keys() & {"fails", "strict"} else "loaded"
    if language in {"toml", "json", "python"} and "title" in settings:
        return "used"
    if language in _TYPED:
        if settings.keys() & {"fails", "exits"}:
            return "run, fails"
        return "run with" if "codex exec" in source or "codex app-server" in source else "run"
    return {"text": "printed", "json": "printed", "yaml": "schema", "powershell": "parsed"}.get(language, "")


def shown(page_language: str, language: str, settings: Mapping[str, str], source: str) -> str:
    """Return what is below a fence, in the language of its page, as text; empty for a drawing."""
    words = _WORDS[page_language].get(proof(language, settings, source), "")
    return words.format_map({"codex": pinned_codex(), "schema": "", **settings})
