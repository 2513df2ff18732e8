"""Tables and numbers of the pages equal what the real Codex sends and what was recorded of it."""

import re
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

import recordings
from codex_langfuse.codex.scripted_model import Message, Scenario, ToolCall
from codex_langfuse.exports import spans_in
from codex_langfuse.mock.langfuse.auth import DEMONSTRATION_PUBLIC_KEY, DEMONSTRATION_SECRET_KEY
from harness.fences.scanner import ROOT, scan
from harness.surroundings import Surroundings
from hooks import tested_with
from page_tables.comparison import directly
from translations import CHINESE, DOCS

BOTH_LANGUAGES = pytest.mark.parametrize("docs", [DOCS, CHINESE], ids=["en", "zh"])

# Pages that describe nothing measured would be listed here.
PAGES = sorted(DOCS.rglob("*.md"))


def table(page: Path, section: str) -> list[list[str]]:
    """The rows of the first table below the heading with the id ``section``, without its head."""
    text = page.read_text(encoding="utf-8")
    below = text[text.index(f"{{ #{section} }}") :]
    lines = re.search(r"(?:^\|.*\n)+", below, flags=re.M)[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_page_says_which_versions_it_was_tested_with(page: Path) -> None:
    assert page.read_text(encoding="utf-8").splitlines().count(tested_with.MARK) == 1


@BOTH_LANGUAGES
def test_what_an_example_prints_names_no_version_of_codex(docs: Path) -> None:
    """So that a newer Codex changes no page's source: the version printed is written as an ellipsis."""
    for page in docs.rglob("*.md"):
        fences = "\n".join(fence.source for fence in scan(page) if fence.language == "text")
        assert not re.search(rf"[Cc]odex(?:-cli)? v?{re.escape(tested_with.pinned_codex())}", fences), page


@cache
def recorded_spans(recording: str) -> tuple:
    return tuple(spans_in(recordings.bodies(recording, "traces")))


@BOTH_LANGUAGES
def test_versions(docs: Path) -> None:
    """reference/versions.md#spans: counted again from the recordings."""
    rows = table(docs / "reference/versions.md", "spans")
    assert {row[0] for row in rows} == recordings.simple_turns().keys()
    for codex, count, traces, content, tokens in rows:
        spans = recorded_spans(recordings.simple_turns()[codex])
        assert (int(count), int(traces)) == (len(spans), len({span.trace_id for span in spans})), codex
        text = repr(spans)
        assert (content not in {"no", "否", "–"}) == ("hello-from-tool" in text), codex
        assert (tokens in {"yes", "是"}) == ("gen_ai.usage.input_tokens" in text), codex


@BOTH_LANGUAGES
@pytest.mark.parametrize("page", ["index.md", "configuration-only.md"])
def test_the_size_of_a_turn(docs: Path, page: str) -> None:
    """About 600 observations in about 35 traces: the recorded turn, rounded down to tens and fives."""
    spans = recorded_spans(list(recordings.simple_turns().values())[-1])
    observations, traces = len(spans) // 10 * 10, len({span.trace_id for span in spans}) // 5 * 5
    text = (docs / page).read_text(encoding="utf-8")
    assert re.search(rf"\b{observations}\b", text)
    assert re.search(rf"\b{traces}\b", text)


@BOTH_LANGUAGES
def test_the_six_events_are_log_records(docs: Path) -> None:
    """concepts/signals.md#events: they are in the logs of every recorded version."""
    wanted = {row[0].strip("`") for row in table(docs / "concepts/signals.md", "events")}
    assert len(wanted) == 6
    for codex in recordings.simple_turns():
        names = recordings.turns_with_a_command(codex)
        logs = b"".join(body for name in names for body in recordings.bodies(name, "logs"))
        assert all(event.encode() in logs for event in wanted), codex


CONFIG = """\
[otel]
metrics_exporter = {metrics}
log_user_prompt = {logged}
log_agent_responses = {logged}
[otel.exporter.otlp-http]
endpoint = "https://logs.example/v1/logs"
protocol = "binary"
[otel.trace_exporter.otlp-http]
endpoint = "https://cloud.langfuse.com/api/public/otel/v1/traces"
protocol = "binary"
headers = {{ Authorization = "{authorization}" }}
[otel.span_attributes]
"langfuse.user.id" = "marker-span-attribute"
"""
TO_METRICS = '{ otlp-http = { endpoint = "https://metrics.example/v1/metrics", protocol = "binary" } }'

# What is planted where; a page's rows are matched by their beginning.
MARKERS = {
    ("Prompt", "提示词"): "marker-prompt",
    ("The model's answer", "模型的回答"): "marker-answer",
    ("Tool arguments", "工具参数"): "marker-argument",
    ("Tool output", "工具输出"): "MARKER-OUTPUT",
    ("Working folder", "工作目录"): "marker-folder",
    ("`[otel.span_attributes]`",): "marker-span-attribute",
    ("`OTEL_RESOURCE_ATTRIBUTES`",): "marker-resource",
    ("Text between agents", "智能体之间的文本"): "marker-task",
    ("Host name", "主机名"): "host.name",  # the resource attribute that carries it
}


@pytest.fixture(scope="module")
def what_left(
    surroundings: Surroundings, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[bool, Mapping[str, bytes]]:
    """All bytes that left Codex by signal, with the settings that log content off and on."""
    pair = f"{DEMONSTRATION_PUBLIC_KEY}:{DEMONSTRATION_SECRET_KEY}".encode()
    codex = surroundings.codex(tmp_path_factory.mktemp("marker-folder"))
    scenario = Scenario(
        (
            ToolCall("exec_command", {"cmd": "echo marker-output marker-argument | tr a-z A-Z"}),
            ToolCall(
                "spawn_agent", {"task_name": "ask", "message": "marker-task"}, namespace="collaboration"
            ),
            ToolCall("wait_agent", {"timeout_ms": 10_000}, namespace="collaboration"),
            Message("marker-answer"),
        ),
        sub_agent_task="marker-task",
        sub_agent_steps=(Message("Done."),),
    )
    seen = {}
    for logged in (False, True):
        config = CONFIG.format(
            metrics=TO_METRICS, logged=str(logged).lower(), authorization=f"Basic {b64encode(pair).decode()}"
        )
        surroundings.turn(
            codex,
            config,
            scenario=scenario,
            prompt="marker-prompt",
            environment={"OTEL_RESOURCE_ATTRIBUTES": "team=marker-resource"},
        )
        hosts = {"traces": "cloud.langfuse.com", "logs": "logs.example", "metrics": "metrics.example"}
        seen[logged] = {
            signal: b"".join(request.body for request in surroundings.proxy.to(f"https://{host}"))
            for signal, host in hosts.items()
        }
    return seen


@pytest.mark.codex
@BOTH_LANGUAGES
def test_what_leaves(docs: Path, what_left: Mapping[bool, Mapping[str, bytes]]) -> None:
    """concepts/signals.md#what-leaves: each datum is planted, and searched for in each signal."""
    rows = table(docs / "concepts/signals.md", "what-leaves")
    assert len(rows) == len(MARKERS)
    for datum, *cells in rows:
        (marker,) = (mark.encode() for names, mark in MARKERS.items() if datum.startswith(names))
        for signal, cell in zip(("traces", "logs", "metrics"), cells, strict=True):
            always = "**" in cell
            if_asked = always or "= true" in cell
            assert (marker in what_left[False][signal]) == always, f"{datum}, {signal}"
            assert (marker in what_left[True][signal]) == if_asked, f"{datum}, {signal}, with content logged"


@pytest.mark.codex
@BOTH_LANGUAGES
def test_what_becomes_of_a_turn(
    docs: Path, surroundings: Surroundings, what_left: Mapping[bool, Mapping[str, bytes]]
) -> None:
    """concepts/signals.md#turn: type, model and usage of the observations of a real turn."""
    observations = surroundings.langfuse.store.observations
    for name, kind, model, usage, _ in table(docs / "concepts/signals.md", "turn"):
        named = [one for one in observations if one["name"] == name.strip("`")]
        # The closing span of a turn is lost by Codex in a few runs of a hundred.
        assert named or name == "`session_task.turn`", name
        for one in named:
            assert one["type"] == kind, name
            assert bool(one["model"]) == (model != "–"), name
        if named:
            assert any(one["usageDetails"] for one in named) == (usage != "–"), name


def test_a_turn_shows_more_than_20_generations() -> None:
    """concepts/signals.md#turn: none of them with tokens; two spans with tokens, none with a model."""
    observations = directly(list(recordings.simple_turns().values())[-1]).observations
    generations = [one for one in observations if one["type"] == "GENERATION"]
    assert len(generations) > 20
    assert not any(one["usageDetails"] for one in generations)
    counted = [one for one in observations if one["usageDetails"]]
    assert [one["model"] for one in counted] == ["", ""] or [one["model"] for one in counted] == [None, None]
    assert not any(one["costDetails"] for one in observations)
