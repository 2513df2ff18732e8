"""The table of the dashboard's widgets, from the dashboard itself."""

from collections.abc import Callable

from codex_langfuse.dashboard.definition import built_in
from page_tables.markdown import table, words_of

_TEXTS = words_of(__file__)


def widgets(language: str) -> str:
    """Return what each widget answers, and of what it is computed."""
    head = _TEXTS["widgets_head"][language]
    rows = []
    for widget in built_in().widgets:
        comma = _TEXTS["comma"][language]
        answers = widget.fields["description"] if language == "en" else _TEXTS["answers"][widget.id]
        asked = comma.join(_TEXTS["metric"][language].format(**each) for each in widget.fields["metrics"])
        by = comma.join(f"`{each['field']}`" for each in widget.fields["dimensions"])
        divided = _TEXTS["by"][language].format(by) if by else ""
        rows.append([f"**{widget.fields['name']}**", answers, asked + divided])
    return table(head, rows)


TABLES: dict[str, Callable[[str], str]] = {"dashboard-widgets": widgets}
