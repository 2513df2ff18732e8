"""What Langfuse adds, leaves out and counts twice, as measured on 4.16.0, and the laws made of it."""

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.mock.visibility import DELAYED, Visibility
from harness import otlp_json, web
from harness.langfuse_laws import (
    costs_without_total,
    observed,
    text_without_usage,
    traces_without_root,
    usage_on_roots,
)
from harness.mock_client import TRACES, client
from harness.web import JSON

TEXT = {"langfuse.observation.input": "Why does it fail?", "langfuse.observation.output": "A typo."}
LENGTHS = {
    "langfuse.observation.input": '{"prompt_length": 23}',
    "langfuse.observation.output": '{"answer_length": 40}',
}
SOL = {"langfuse.observation.model.name": "gpt-5.6-sol"}
KIND = "langfuse.observation.type"
USAGE = "langfuse.observation.usage_details"
COST = "langfuse.observation.cost_details"
LEVEL = "langfuse.observation.level"


def export(*spans: dict[str, Any]) -> bytes:
    """An export of spans, each given by its attributes; ``id`` and ``parent`` among them are its own."""
    return otlp_json.export(
        *(
            otlp_json.span(
                {key: each for key, each in span.items() if key not in ("id", "parent")},
                name="codex turn",
                spanId=span.get("id", "cd" * 8),
                parentSpanId=span.get("parent", ""),
            )
            for span in spans
        )
    )


#: Every row of the table: what is sent, whether Langfuse invents tokens, and what it shows otherwise.
MEASURED: dict[str, tuple[dict[str, Any], bool, dict[str, int], dict[str, float]]] = {
    "text": ({**SOL, **TEXT}, True, {}, {}),
    "only input": ({**SOL, "langfuse.observation.input": "Why?"}, True, {}, {}),
    "lengths": ({**SOL, **LENGTHS}, True, {}, {}),
    "warning": ({**SOL, **TEXT, LEVEL: "WARNING"}, True, {}, {}),
    "error": ({**SOL, **TEXT, LEVEL: "ERROR"}, True, {}, {}),
    "empty usage": ({**SOL, **TEXT, USAGE: "{}"}, True, {}, {}),
    "model by another name": ({"gen_ai.request.model": "gpt-5.6-sol", **TEXT}, True, {}, {}),
    "an agent": ({**SOL, **TEXT, KIND: "agent"}, True, {}, {}),
    "a tool": ({**SOL, **TEXT, KIND: "tool"}, True, {}, {}),
    "gpt-5.5": ({"model": "gpt-5.5", **TEXT}, True, {}, {}),
    "gpt-5.4-mini": ({"model": "gpt-5.4-mini", **TEXT}, True, {}, {}),
    "claude": ({"model": "claude-sonnet-4-5-20250929", **TEXT}, True, {}, {}),
    "usage of zeros": (
        {**SOL, **TEXT, USAGE: '{"input":0,"output":0}'},
        False,
        {"input": 0, "output": 0, "total": 0},
        {"input": 0, "output": 0, "total": 0},
    ),
    "total of zero": ({**SOL, **TEXT, USAGE: '{"total":0}'}, False, {"total": 0}, {}),
    "usage not reported": (
        {**SOL, **TEXT, USAGE: '{"not_reported":0}'},
        False,
        {"not_reported": 0, "total": 0},
        {},
    ),
    "cost of zero": ({**SOL, **TEXT, COST: '{"total":0}'}, False, {}, {"total": 0}),
    "model as a parameter": (
        {"langfuse.observation.model.parameters": '{"model":"gpt-5.6-sol"}', **TEXT},
        False,
        {},
        {},
    ),
    "only a model": (SOL, False, {}, {}),
    "gpt-5-codex": ({"model": "gpt-5-codex", **TEXT}, False, {}, {}),
    "o4-mini": ({"model": "o4-mini", **TEXT}, False, {}, {}),
    "gpt-6.2-sol": ({"model": "gpt-6.2-sol", **TEXT}, False, {}, {}),
}


@pytest.mark.parametrize("name", MEASURED)
def test_the_mock_warns_where_langfuse_invents_tokens(name: str) -> None:
    attributes, is_invented, usage, costs = MEASURED[name]
    (row,) = observed(export(attributes))
    assert ("mockWarning" in row) == is_invented
    assert (row["usageDetails"], row["costDetails"], row["totalCost"]) == (usage, costs, 0)


@pytest.mark.parametrize("name", MEASURED)
def test_the_law_finds_every_such_observation(name: str) -> None:
    attributes, is_invented, _, _ = MEASURED[name]
    found = text_without_usage(observed(export(attributes)))
    # A model that Langfuse 4.16.0 cannot tokenize may be one that the next version can.
    assert bool(found) == (is_invented or name in ("gpt-5-codex", "o4-mini", "gpt-6.2-sol"))


def send(mock: RunningMock, *spans: dict[str, Any]) -> None:
    with client(mock) as http:
        assert http.post(TRACES, headers=JSON, content=export(*spans)).status_code == 200


def read(mock: RunningMock, **query: str) -> list[dict[str, Any]]:
    with client(mock) as http:
        return http.get("/api/public/v2/observations", params=query).json()["data"]


def test_the_warning_is_on_the_page_and_in_the_answer() -> None:
    with running_mock(page=True) as mock:
        send(mock, {**SOL, **TEXT})
        (row,) = read(mock, fields="core,usage")
        assert (row["totalUsage"], row["totalCost"]) == (0, 0)
        assert "Langfuse counts the tokens of this text itself" in row["mockWarning"]
        (kept,) = mock.store.observations
        assert kept["mockWarning"] == row["mockWarning"]
        trace = web.get(f"{mock.url}/-/traces/{'ab' * 16}").text
        assert "tokens not counted" in trace
        assert "Langfuse would invent tokens for 1 observations" in web.get(f"{mock.url}/-/warnings").text


def test_a_model_added_by_hand_has_no_tokenizer() -> None:
    prices = {"modelName": "mine", "matchPattern": "(?i)^(gpt-6.2-sol)$", "unit": "TOKENS", "inputPrice": 1}
    with running_mock() as mock:
        with client(mock) as http:
            assert http.post("/api/public/models", json=prices).status_code == 200
        send(mock, {"model": "gpt-6.2-sol", **TEXT})
        (row,) = read(mock, fields="core,usage")
        assert (row["totalUsage"], "mockWarning" in row) == (0, False)


# --- roots ----------------------------------------------------------------------------------------------


AGENT = {KIND: "agent", "parent": "ee" * 8}


def test_a_turn_below_a_caller_who_sends_nothing_is_a_root_only_by_its_mark() -> None:
    unmarked, marked = export(AGENT), export({**AGENT, "langfuse.internal.is_app_root": True})
    assert traces_without_root(observed(unmarked))
    assert not traces_without_root(observed(marked))
    for spans, roots in ((AGENT, 0), ({**AGENT, "langfuse.internal.is_app_root": True}, 1)):
        with running_mock() as mock:
            send(mock, spans)
            assert len(read(mock, isRootObservation="true")) == roots


def test_usage_on_a_root_is_what_dashboards_leave_out() -> None:
    root = {KIND: "agent", COST: '{"total": 0.5}'}
    assert usage_on_roots(observed(export(root)))
    assert not usage_on_roots(observed(export({KIND: "agent"}, {**root, "id": "ce" * 8, "parent": "cd" * 8})))
    with running_mock(page=True) as mock:
        send(mock, root)
        assert "There is usage on an observation without a parent" in web.get(f"{mock.url}/-/warnings").text


# --- sums -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "total"),
    [
        ('{"input_cached_tokens": 1, "output": 2, "total": 2.5}', 2.5),
        ('{"input_cached_tokens": 1, "output": 2}', 0),
        ('{"input": "1", "output": "2", "total": "3"}', 0),
        ('{"total": 0.25}', 0.25),
    ],
)
def test_a_given_total_wins_and_text_is_no_cost(given: str, total: float) -> None:
    (row,) = observed(export({COST: given}))
    assert row["totalCost"] == total
    assert bool(costs_without_total([row])) == ("total" not in json.loads(given))


def test_a_given_total_of_usage_wins_too() -> None:
    (row,) = observed(export({USAGE: '{"input": 1, "output": 2, "total": 7}'}))
    assert row["totalUsage"] == 7


def test_what_is_sent_again_is_double_in_numbers_until_it_is_merged() -> None:
    turn = {COST: '{"total": 0.5}', "langfuse.user.id": "ada"}
    query = {
        "view": "observations",
        "metrics": [{"measure": "totalCost", "aggregation": "sum"}],
        "fromTimestamp": "2026-01-01T00:00:00Z",
        "toTimestamp": "2030-01-01T00:00:00Z",
    }
    for duplicates, times in ((False, 1), (True, 2)):
        with running_mock(visibility=Visibility(duplicates=duplicates), page=True) as mock:
            send(mock, turn)
            send(mock, turn)
            assert len(mock.store.sent_again()) == 1
            assert len(read(mock)) == times
            with client(mock) as http:
                answer = http.get("/api/public/v2/metrics", params={"query": json.dumps(query)}).json()
            assert answer["data"] == [{"sum_totalCost": 0.5 * times}]
            # The page of the trace is right throughout.
            assert f"/-/traces/{'ab' * 16}" in web.get(mock.url).text
            assert len(mock.store.traces["ab" * 16]) == 1


@pytest.mark.parametrize(
    "path", ["score-configs", "comments/x", "llm-connections", "v2/prompts/a/versions/1"]
)
def test_what_langfuse_has_and_the_mock_does_not_is_said(path: str) -> None:
    with running_mock() as mock, client(mock) as http:
        answer = http.get(f"/api/public/{path}")
        assert (answer.status_code, "The mock does not play" in answer.json()["message"]) == (501, True)
        assert http.get("/api/public/nothing").status_code == 404


@pytest.mark.parametrize("langfuse", [3, 4])
def test_a_trace_can_be_deleted(langfuse: int) -> None:
    with running_mock(langfuse=langfuse) as mock, client(mock) as http:
        send(mock, SOL)
        wrong = http.request("DELETE", "/api/public/traces", json={"traceIds": []})
        assert (wrong.status_code, wrong.json()["error"][0]["message"]) == (
            400,
            "At least 1 traceId is required.",
        )
        asked = http.request("DELETE", "/api/public/traces", json={"traceIds": ["ab" * 16]})
        assert (asked.status_code, asked.json()) == (200, {"message": "Traces deleted successfully"})
        assert mock.store.rows() == []
        assert http.delete(f"/api/public/traces/{'cd' * 16}").json() == {
            "message": "Trace deleted successfully"
        }
        assert web.delete(f"{mock.url}/api/public/traces/x").status_code == 401


def test_what_arrived_can_be_read_after_the_delay_of_a_real_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_mock(visibility=DELAYED) as mock, client(mock) as http:
        clock = SimpleNamespace(time=time.time)
        monkeypatch.setattr("codex_langfuse.mock.visibility.time", clock)
        before = time.time()
        send(mock, SOL)
        score = {"name": "fine", "value": 1, "traceId": "ab" * 16}
        assert http.post("/api/public/scores", json=score).status_code == 200
        after = time.time()

        def seen(moment: float) -> tuple[int, int]:
            clock.time = lambda: moment
            return len(read(mock)), len(http.get("/api/public/v3/scores").json()["data"])

        assert seen(before + 0.9) == (0, 0)
        assert seen(after + 2)[0] == 1
        assert seen(before + 4.9)[1] == 0
        assert seen(after + 6) == (1, 1)
