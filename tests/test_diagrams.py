"""A drawing in plain characters is read as it looks, and a wrong one is told from a right one."""

from collections.abc import Callable
from pathlib import Path

import pytest

import recordings
from codex_langfuse.exports import spans_in
from codex_langfuse.relay.policy import Policy
from harness.fences.diagrams import DiagramError, read_ascii, read_mermaid
from harness.fences.executors import FenceFailedError, run_ascii
from harness.fences.scanner import scan
from relay_documented import relayed
from translations import CHINESE, DOCS

FLOWCHART = """\
flowchart TB
    accTitle: Two
    accDescr: Two ways.
    subgraph machine [your machine]
        codex[Codex]
        relay["the<br/>relay"]
    end
    langfuse[(Langfuse)]
    codex -- "logs" --> relay
    codex -. "keys" .-> langfuse
    relay --> langfuse
"""
DRAWING = """\
+- your machine -+
| +-------+      |             +----------+
| | Codex |-- keys ----------->| Langfuse |
| +-------+      |             |          |
|   | logs       |             |          |
|   v            |             |          |
| +-------+      |             |          |
| | the   |-----------+        |          |
| | relay |      |    |        |          |
| +-------+      |    |        |          |
+----------------+    |        |          |
                      +------->|          |
                               +----------+
"""
SEQUENCE = """\
sequenceDiagram
    participant c as Codex
    participant r as relay
    participant l as Langfuse
    c->>r: logs
    r-->>c: 200
    c->>l: traces
"""
DRAWN_SEQUENCE = """\
+-------+   +-------+   +----------+
| Codex |   | relay |   | Langfuse |
+-------+   +-------+   +----------+
    |           |            |
    |-- logs -->|            |
    |<-- 200 ---|            |
    |------ traces --------->|
    |           |            |
"""


def test_both_forms_say_the_same() -> None:
    graph = read_ascii(DRAWING)
    assert graph.nodes == {"Codex", "the relay", "Langfuse"}
    assert graph.groups == {("Codex", "your machine"), ("the relay", "your machine")}
    assert set(graph.edges) == {
        ("Codex", "logs", "the relay"),
        ("Codex", "keys", "Langfuse"),
        ("the relay", "", "Langfuse"),
    }
    assert not graph.difference(read_mermaid(FLOWCHART))


def test_both_forms_of_a_sequence_say_the_same() -> None:
    drawn = read_ascii(DRAWN_SEQUENCE)
    assert drawn.sequence == [
        ("Codex", "logs", "relay"),
        ("relay", "200", "Codex"),
        ("Codex", "traces", "Langfuse"),
    ]
    assert not drawn.difference(read_mermaid(SEQUENCE))


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (DRAWING.replace("Langfuse", "Langfose"), "nodes, in the first only: Langfose"),
        (DRAWING.replace("keys", "kegs"), "arrow, in the first only"),
        (DRAWING.replace("your machine", "some machine"), "groups"),
        (DRAWING.replace("-- keys ----------->", "                    "), "arrow, in the second only"),
        (DRAWING.replace("-- keys ----------->", "<- keys ------------"), "arrow, in the first only"),
    ],
)
def test_a_difference_is_seen(wrong: str, complaint: str) -> None:
    assert complaint in read_ascii(wrong).difference(read_mermaid(FLOWCHART))


def test_the_order_of_messages_counts() -> None:
    lines = DRAWN_SEQUENCE.splitlines(keepends=True)
    lines[4], lines[5] = lines[5], lines[4]
    assert "order of messages" in read_ascii("".join(lines)).difference(read_mermaid(SEQUENCE))


@pytest.mark.parametrize(
    ("drawing", "complaint"),
    [
        (DRAWING.replace("----------->| L", "----------- | L"), "column"),
        (DRAWING.replace("+------->|", "+--------x|"), "column"),
        (DRAWING.replace("Codex", "中继 "), "two columns"),
        (DRAWING + "\nstray\n", "nothing leads to"),
        (DRAWN_SEQUENCE.replace("|-- logs -->|", "|-- logs ---|"), "row 5"),
    ],
)
def test_what_cannot_be_read_is_said(drawing: str, complaint: str) -> None:
    with pytest.raises(DiagramError, match=complaint):
        read_ascii(drawing)


@pytest.fixture
def page(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        file = tmp_path / "page.md"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def test_a_page_whose_drawings_differ_fails(page: Callable[[str], Path]) -> None:
    right = f"```mermaid\n{FLOWCHART}```\n```ascii\n{DRAWING}```\n"
    run_ascii(scan(page(right))[1], None)
    scan.cache_clear()
    wrong = right.replace('"logs"', '"dogs"')
    with pytest.raises(FenceFailedError, match="dogs"):
        run_ascii(scan(page(wrong))[1], None)
    scan.cache_clear()


@pytest.mark.parametrize("docs", [DOCS, CHINESE], ids=["en", "zh"])
def test_the_main_diagrams_of_the_architecture_have_both_forms(docs: Path) -> None:
    languages = [fence.language for fence in scan(docs / "concepts/architecture.md")]
    assert languages.count("mermaid") == languages.count("ascii") >= 4


# concepts/architecture.md#events
BECOMES = {
    "codex.user_prompt": "AGENT",
    "codex.conversation_starts": "AGENT",
    "codex.api_request": "GENERATION",
    "codex.sse_event": "GENERATION",
    "codex.tool_decision": "TOOL",
    "codex.tool_result": "TOOL",
}


def test_the_diagram_names_these_events() -> None:
    (diagram,) = (
        fence.source
        for fence in scan(DOCS / "concepts/architecture.md")
        if fence.language == "mermaid" and "codex.tool_result" in fence.source
    )
    assert {a: b for a, _, b in read_mermaid(diagram).edges} == BECOMES


@pytest.mark.parametrize(("event", "kind"), BECOMES.items())
def test_an_event_becomes_the_observation_that_the_diagram_says(event: str, kind: str) -> None:
    """Without the event, that observation is another one, or missing."""
    whole, less = observations(), observations(without=event)
    assert whole[kind]
    assert whole[kind] != less.get(kind)


def observations(without: str | None = None) -> dict[str, list[str]]:
    """What the relay makes of the logs of a recorded turn, by type, as if Codex had not sent one event."""
    batches = []
    for request in recordings.read("0.163.0-simple"):
        if request.signal != "logs":
            continue
        batch = type(request.message)()
        batch.CopyFrom(request.message)
        for logs in batch.resource_logs:
            for scope in logs.scope_logs:
                kept = [
                    record
                    for record in scope.log_records
                    if all(item.value.string_value != without for item in record.attributes)
                ]
                del scope.log_records[:]
                scope.log_records.extend(kept)
        batches.append(batch)
    found: dict[str, list[str]] = {}
    for span in spans_in(relayed(batches, Policy())):
        kind = str(span.attributes["langfuse.observation.type"]).upper()
        found.setdefault(kind, []).append(repr(sorted(span.attributes.items())))
    return found
