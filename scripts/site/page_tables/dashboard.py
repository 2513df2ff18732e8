"""The table of the dashboard's widgets, from the dashboard itself."""

from collections.abc import Callable

from codex_langfuse.dashboard.definition import built_in
from page_tables.markdown import table, words_of

_TEXTS = words_of(__file__)

#: What a widget answers, in Chinese, by its id. English is its own description.
_CHINESE = {
    "turns": "Codex 运行了多少个轮次？",
    "cost": "所有模型调用一共花了多少美元？没有价格的模型按 $0 计。",
    "people": "有多少人运行过轮次？",
    "failed-turns": "有多少个轮次以错误结束？",
    "cost-by-model": "各个模型随时间花了多少钱？",
    "cost-by-person": "谁的轮次花钱最多？",
    "cost-by-environment": "钱花在哪里：笔记本、CI 还是生产环境？",
    "tokens-by-kind": "缓存有没有起作用？比较 input_cached_tokens 和 input；total 是其他几类之和。",
    "models": "用了哪些模型，哪些没有价格？有 token 而成本为 $0，就是缺少价格。",
    "tools": "调用了哪些工具，哪些失败？失败的调用级别是 ERROR。",
    "refused-approvals": "哪些工具调用请求了审批却没有获准？",
    "turn-duration-p50": "一个普通轮次要多久？",
    "turn-duration-p95": "最慢的轮次要多久？",
    "first-token": "哪个模型开始回答得慢？",
    "versions": "谁还在用旧版 Codex？",
}


def widgets(language: str) -> str:
    """Return what each widget answers, and of what it is computed."""
    head = _TEXTS["widgets_head"][language]
    rows = []
    for widget in built_in().widgets:
        answers = widget.fields["description"] if language == "en" else _CHINESE[widget.id]
        asked = ", ".join(f"`{each['agg']}` of `{each['measure']}`" for each in widget.fields["metrics"])
        by = ", ".join(f"`{each['field']}`" for each in widget.fields["dimensions"])
        if language == "zh":
            asked = "、".join(f"`{each['measure']}` 的 `{each['agg']}`" for each in widget.fields["metrics"])
            by = "、".join(f"`{each['field']}`" for each in widget.fields["dimensions"])
        divided = {"en": f", by {by}", "zh": f"，按 {by} 划分"}[language] if by else ""
        rows.append([f"**{widget.fields['name']}**", answers, asked + divided])
    return table(head, rows)


TABLES: dict[str, Callable[[str], str]] = {"dashboard-widgets": widgets}
