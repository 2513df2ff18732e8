"""Scores, prices, datasets, prompts and metrics of the mock, answered as Langfuse 4.16.0 answers."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from codex_langfuse.mock import records
from codex_langfuse.mock.langfuse.checks import RefusedError
from codex_langfuse.mock.langfuse.model_definitions import check_pattern
from codex_langfuse.mock.records import Shelf
from codex_langfuse.mock.server import IN_APP_AGENT_KEY, ORGANIZATION_KEY, RunningMock, running_mock
from harness import otlp_json, web
from harness.mock_client import TRACES, client
from harness.web import JSON
from translations import DOCS

pytestmark = pytest.mark.slow

API = "/api/public"
SPAN = {
    "traceId": "a" * 32,
    "spanId": "b" * 16,
    "name": "model call",
    "startTimeUnixNano": "1790000000000000000",
    "endTimeUnixNano": "1790000002000000000",
}
USAGE = {"input": 200, "input_cached_tokens": 1000, "output": 30, "output_reasoning_tokens": 20}
PRICES = {
    "input": 1.25e-06,
    "input_cached_tokens": 1.25e-07,
    "output": 1e-05,
    "output_reasoning_tokens": 1e-05,
}
GPT_5_CODEX = {
    "modelName": "gpt-5-codex",
    "matchPattern": "(?i)^(openai/)?(gpt-5-codex)$",
    "unit": "TOKENS",
    "pricingTiers": [
        {"name": "Standard", "isDefault": True, "priority": 0, "conditions": [], "prices": PRICES}
    ],
}


@pytest.fixture
def mock() -> Iterator[RunningMock]:
    with running_mock() as mock:
        yield mock


@pytest.fixture
def http(mock: RunningMock) -> Iterator[httpx.Client]:
    with client(mock) as http:
        yield http


@pytest.fixture
def http3() -> Iterator[httpx.Client]:
    with running_mock(langfuse=3) as mock, client(mock) as http:
        yield http


def send(http: httpx.Client, *spans: dict[str, Any]) -> None:
    assert http.post(TRACES, headers=JSON, content=otlp_json.export(*spans)).status_code == 200


def generation(span_id: str = "b" * 16, model: str = "gpt-5-codex", **attributes: str) -> dict[str, Any]:
    told = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": model,
        "langfuse.observation.usage_details": json.dumps(USAGE),
        **attributes,
    }
    return {**SPAN, "spanId": span_id, "attributes": otlp_json.attributes(told)}


def complaints(answer: httpx.Response) -> list[str]:
    assert (answer.status_code, answer.json()["message"]) == (400, "Invalid request data"), answer.text
    return [issue["message"] for issue in answer.json()["error"]]


# --- scores -------------------------------------------------------------------------------------------------


def test_a_score_is_taken_and_shown(http: httpx.Client) -> None:
    body = {"name": "helpful", "value": 1, "dataType": "BOOLEAN", "traceId": "t", "observationId": "o"}
    answer = http.post(f"{API}/scores", json={**body, "id": "s1", "comment": "c", "metadata": {"a": 1}})
    assert (answer.status_code, answer.json()) == (200, {"id": "s1"})
    page = http.get(f"{API}/v3/scores?fields=details,subject,annotation").json()
    (score,) = page["data"]
    assert page["meta"] == {"limit": 50}
    assert {key: score[key] for key in score if key not in ("timestamp", "createdAt", "updatedAt")} == {
        "id": "s1",
        "projectId": "proj1",
        "name": "helpful",
        "dataType": "BOOLEAN",
        "value": True,
        "source": "API",
        "environment": "default",
        "comment": "c",
        "configId": None,
        "metadata": {"a": 1},
        "authorUserId": None,
        "queueId": None,
        "subject": {"kind": "observation", "id": "o", "traceId": "t"},
    }


def test_a_score_with_the_same_id_replaces_the_earlier_one(http: httpx.Client) -> None:
    for value in (1, 2):
        http.post(f"{API}/scores", json={"id": "s", "name": "n", "value": value, "traceId": "t"})
    assert [score["value"] for score in http.get(f"{API}/v3/scores").json()["data"]] == [2]


def test_a_deleted_score_is_gone(http: httpx.Client) -> None:
    http.post(f"{API}/scores", json={"id": "s", "name": "n", "value": "good", "sessionId": "t"})
    answer = http.delete(f"{API}/scores/s")
    assert (answer.status_code, answer.json()) == (202, {"message": "Score deletion queued successfully"})
    assert http.get(f"{API}/v3/scores").json()["data"] == []


def test_a_list_of_scores_is_refused(http: httpx.Client) -> None:
    """What the Python SDK 5.0.4 sends. Langfuse 4.16.0 takes one score a request."""
    answer = http.post(f"{API}/scores", json=[{"name": "n", "value": 1, "traceId": "t"}])
    assert complaints(answer) == ["Invalid input: expected object, received array"]


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({"value": 1, "traceId": "t"}, [["name"]]),
        (
            {"name": "", "value": 2, "dataType": "BOOLEAN"},
            [["name"], ["value"], ["traceId", "sessionId", "datasetRunId", "observationId"]],
        ),
        ({"name": "n", "value": 1, "dataType": "SMELL", "traceId": "t"}, [["dataType"]]),
        ({"name": "n", "value": "x", "dataType": "NUMERIC", "traceId": "t"}, [["value"]]),
    ],
)
def test_says_everything_that_is_wrong_with_a_score(
    http: httpx.Client, body: dict[str, Any], paths: list[list[str]]
) -> None:
    answer = http.post(f"{API}/scores", json=body)
    assert (answer.status_code, [issue["path"] for issue in answer.json()["error"]]) == (400, paths)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "scores"),
        ("GET", "v3/scores"),
        ("GET", "v2/metrics"),
        ("POST", "models"),
        ("POST", "v2/datasets"),
        ("POST", "dataset-items"),
        ("POST", "v2/prompts"),
    ],
)
def test_asks_for_keys(mock: RunningMock, method: str, path: str) -> None:
    assert web.request(method, f"{mock.url}{API}/{path}").status_code == 401
    for key in (ORGANIZATION_KEY, IN_APP_AGENT_KEY):
        pair = (key.public_key, key.secret_key)
        assert web.request(method, f"{mock.url}{API}/{path}", auth=pair).status_code in (401, 403)


def test_scores_come_page_by_page(http: httpx.Client) -> None:
    for place in range(5):
        http.post(f"{API}/scores", json={"id": f"s{place}", "name": "n", "value": place, "traceId": "t"})
    seen, cursor = [], ""
    while True:
        page = http.get(f"{API}/v3/scores?limit=2{cursor}").json()
        seen += [score["id"] for score in page["data"]]
        if "cursor" not in page["meta"]:
            break
        cursor = f"&cursor={page['meta']['cursor']}"
    assert sorted(seen) == [f"s{place}" for place in range(5)]
    assert len(seen) == 5


def test_a_filter_of_scores_that_is_not_played_is_refused(http: httpx.Client) -> None:
    assert http.get(f"{API}/v3/scores?valueMin=1").status_code == 501
    assert len(complaints(http.get(f"{API}/v3/scores?observationId=o&limit=1.5"))) == 2


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ("v2/datasets", "dataset-items/x", "v2/prompts", "models/x")),
        *(("DELETE", path) for path in ("dataset-items/x", "prompts/x")),
        ("POST", "ingestion"),
    ],
)
def test_what_no_page_uses_is_not_played(http: httpx.Client, method: str, path: str) -> None:
    answer = http.request(method, f"{API}/{path}")
    assert (answer.status_code, "The mock does not play" in answer.json()["message"]) == (501, True)


def test_version_4_has_given_up_the_older_lists(http: httpx.Client, http3: httpx.Client) -> None:
    for path in ("scores", "v2/scores", "scores/x", "v2/scores/x", "dataset-run-items", "sessions"):
        answer = http.get(f"{API}/{path}")
        assert answer.status_code == 404
        assert "events_only" in answer.json()["message"]
        assert http3.get(f"{API}/{path}").status_code == 501


# --- prices -------------------------------------------------------------------------------------------------


def test_a_price_holds_for_what_comes_in_after_it(http: httpx.Client) -> None:
    send(http, generation("1" * 16))
    answer = http.post(f"{API}/models", json=GPT_5_CODEX)
    assert answer.status_code == 200
    definition = answer.json()
    assert (definition["isLangfuseManaged"], definition["inputPrice"]) == (False, 1.25e-06)
    send(http, generation("2" * 16))
    assert http.delete(f"{API}/models/{definition['id']}").json() == {"message": "Model successfully deleted"}
    send(http, generation("3" * 16))
    found = http.get(f"{API}/v2/observations?fields=core,usage,model").json()["data"]
    costs = {each["id"][0]: each["totalCost"] for each in found}
    assert costs == {"1": 0, "2": 0.000875, "3": 0}
    priced = next(each for each in found if each["id"] == "2" * 16)
    assert (priced["modelId"], priced["inputPrice"]) == (definition["id"], "0.00000125")


def test_a_model_has_one_definition(http: httpx.Client) -> None:
    http.post(f"{API}/models", json=GPT_5_CODEX)
    answer = http.post(f"{API}/models", json=GPT_5_CODEX)
    assert (answer.status_code, answer.json()) == (
        400,
        {"message": "Model name 'gpt-5-codex' already exists in project", "error": "InvalidRequestError"},
    )


def test_a_definition_has_prices_of_one_kind(http: httpx.Client) -> None:
    both = {**GPT_5_CODEX, "inputPrice": 1}
    neither = {key: value for key, value in GPT_5_CODEX.items() if key != "pricingTiers"}
    text = "Must provide either flat prices (inputPrice/outputPrice/totalPrice) OR pricingTiers"
    for body, message in ((both, f"{text}, not both"), (neither, text)):
        answer = http.post(f"{API}/models", json=body)
        assert complaints(answer) == [message]


def test_patterns_match_what_the_page_of_models_says(http: httpx.Client) -> None:
    page = (DOCS / "guide/models.md").read_text("utf-8")
    named, any_provider = re.findall(r"\(\?i\)\^\S+\$", page)
    name = "gpt-6.2-sol"
    names = [name, f"openai/{name}", f"{name}-2026-11-17", f"azure/{name}", f"{name}a"]
    for pattern, matching in ((named, names[:2]), (any_provider, names[:4])):
        definition = http.post(f"{API}/models", json={**GPT_5_CODEX, "matchPattern": pattern}).json()
        send(http, *(generation(f"{n:016x}", model=each) for n, each in enumerate(names, 1)))
        found = http.get(f"{API}/v2/observations?fields=core,usage").json()["data"]
        assert {names[int(each["id"], 16) - 1] for each in found if each["totalCost"]} == set(matching)
        http.delete(f"{API}/models/{definition['id']}")


@pytest.mark.parametrize(
    ("pattern", "status"),
    [
        ("(?i)^(openai/)?(gpt-5-codex)$", None),
        ("gpt-5.*", None),
        ("(", 400),
        ("(a+)+$", 501),
        ("a?" * 30, 501),
        ("a*a*a*a*b", 501),
        ("a{1,}a{2,}a{3,9}b", 501),
        (r"(a)\1", 501),
    ],
)
def test_patterns_that_could_run_for_ever_are_not_taken(pattern: str, status: int | None) -> None:
    try:
        check_pattern(pattern)
    except RefusedError as refused:
        assert refused.answer.status == status
    else:
        assert status is None


# --- datasets -----------------------------------------------------------------------------------------------


def test_a_turn_becomes_an_item_of_a_dataset(http: httpx.Client) -> None:
    dataset = http.post(f"{API}/v2/datasets", json={"name": "codex/turns"}).json()
    assert http.get(f"{API}/v2/datasets/codex%2Fturns").json() == dataset
    item = {"datasetName": "codex/turns", "id": "i", "input": "p", "sourceTraceId": "t"}
    first = http.post(f"{API}/dataset-items", json=item).json()
    again = http.post(f"{API}/dataset-items", json={**item, "input": None, "expectedOutput": "o"}).json()
    assert (first["status"], first["mediaReferences"]) == ("ACTIVE", [])
    assert (again["input"], again["expectedOutput"]) == ("p", "o")
    page = http.get(f"{API}/dataset-items?datasetName=codex%2Fturns&limit=10").json()
    assert page["meta"] == {"page": 1, "limit": 10, "totalItems": 1, "totalPages": 1}
    run = {"runName": "r", "datasetItemId": "i", "traceId": "t"}
    ids = {http.post(f"{API}/dataset-run-items", json=run).json()["datasetRunId"] for _ in range(2)}
    assert len(ids) == 1


def test_an_item_needs_its_dataset(http: httpx.Client) -> None:
    answer = http.post(f"{API}/dataset-items", json={"datasetName": "none"})
    assert (answer.status_code, answer.json()) == (
        404,
        {"message": "Dataset none not found for project proj1", "error": "LangfuseNotFoundError"},
    )
    for name in ("a", "b"):
        http.post(f"{API}/v2/datasets", json={"name": name})
    http.post(f"{API}/dataset-items", json={"datasetName": "a", "id": "i"})
    assert http.post(f"{API}/dataset-items", json={"datasetName": "b", "id": "i"}).status_code == 409


def test_a_dataset_has_a_name_that_makes_folders(http: httpx.Client) -> None:
    for name in ("/a", "a/", "a//b", ""):
        assert http.post(f"{API}/v2/datasets", json={"name": name}).status_code == 400


# --- prompts ------------------------------------------------------------------------------------------------


def test_prompts_have_versions_and_labels(http: httpx.Client) -> None:
    for text in ("one", "two"):
        answer = http.post(
            f"{API}/v2/prompts", json={"name": "agents-md", "prompt": text, "labels": ["production"]}
        )
        assert answer.status_code == 201
    newest = http.get(f"{API}/v2/prompts/agents-md").json()
    assert (newest["version"], newest["prompt"], newest["isActive"]) == (2, "two", True)
    assert newest["labels"] == ["production", "latest"]
    assert http.get(f"{API}/v2/prompts/agents-md?version=1").json()["labels"] == []
    assert http.post(f"{API}/v2/prompts", json={"name": "c", "type": "chat", "prompt": []}).status_code == 501
    missing = http.get(f"{API}/v2/prompts/agents-md?label=staging")
    assert (missing.status_code, missing.json()["message"]) == (
        404,
        "Prompt not found: 'agents-md' with label 'staging'",
    )


# --- metrics ------------------------------------------------------------------------------------------------

QUERY = {
    "view": "observations",
    "metrics": [
        {"measure": "totalCost", "aggregation": "sum"},
        {"measure": "totalTokens", "aggregation": "sum"},
        {"measure": "latency", "aggregation": "p95"},
        {"measure": "count", "aggregation": "count"},
    ],
    "dimensions": [{"field": "providedModelName"}],
    "fromTimestamp": "2026-01-01T00:00:00Z",
    "toTimestamp": "2027-01-01T00:00:00Z",
}


def ask(http: httpx.Client, **changes: Any) -> httpx.Response:
    return http.get(f"{API}/v2/metrics?query={quote(json.dumps({**QUERY, **changes}))}")


def test_cost_by_model(http: httpx.Client) -> None:
    send(
        http,
        generation("1" * 16, "gpt-5"),
        generation("2" * 16, "gpt-5"),
        generation("3" * 16),
        {**SPAN, "spanId": "4" * 16},
    )
    assert ask(http).json()["data"] == [
        {
            "providedModelName": "gpt-5",
            "sum_totalCost": 0.00175,
            "sum_totalTokens": 2500,
            "p95_latency": 2000,
            "count_count": 2,
        },
        {
            "providedModelName": "gpt-5-codex",
            "sum_totalCost": 0,
            "sum_totalTokens": 1250,
            "p95_latency": 2000,
            "count_count": 1,
        },
        {
            "providedModelName": None,
            "sum_totalCost": 0,
            "sum_totalTokens": 0,
            "p95_latency": 2000,
            "count_count": 1,
        },
    ]
    only = {"column": "providedModelName", "type": "string", "operator": "=", "value": "gpt-5"}
    assert [line["count_count"] for line in ask(http, filters=[only]).json()["data"]] == [2]


def test_cost_by_day(http: httpx.Client) -> None:
    send(http, generation("1" * 16, "gpt-5"))
    day = {"timeDimension": {"granularity": "day"}}
    answer = ask(http, **day, orderBy=[{"field": "time_dimension", "direction": "asc"}])
    assert answer.json()["data"][0]["time_dimension"] == "2026-09-21"
    assert ask(http, **day).status_code == 501


def test_what_everybody_has_of_their_own_is_grouped_by_only_as_a_top_list(http: httpx.Client) -> None:
    send(http, generation("1" * 16, "gpt-5", **{"session.id": "s1"}), generation("2" * 16, "gpt-5"))
    by_session = {"dimensions": [{"field": "sessionId"}]}
    answer = ask(http, **by_session)
    assert answer.json() == {
        "message": "High cardinality dimension(s) 'sessionId' require both 'config.row_limit' and 'orderBy' "
        "with direction 'desc' on a measure field.",
        "error": "InvalidRequestError",
    }
    top = {"config": {"row_limit": 1}, "orderBy": [{"field": "sum_totalCost", "direction": "desc"}]}
    assert len(ask(http, **by_session, **top).json()["data"]) == 1


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"view": "traces"}, 400),
        ({"view": "scores-numeric"}, 501),
        ({"dimensions": [{"field": "colour"}]}, 400),
        ({"metrics": [{"measure": "traceId", "aggregation": "sum"}]}, 400),
        ({"orderBy": [{"field": "sum_weight", "direction": "desc"}]}, 400),
        ({"toTimestamp": "2026-01-01T00:00:00Z"}, 400),
        ({"dimensions": [{"field": "usageType"}, {"field": "costType"}]}, 400),
        ({"filters": [{"column": "metadata", "type": "string", "operator": "=", "value": ""}]}, 400),
        ({"dimensions": [{"field": "toolNames"}]}, 501),
        ({"metrics": [{"measure": "latency", "aggregation": "histogram"}]}, 501),
        (
            {
                "filters": [
                    {
                        "column": "metadata",
                        "type": "stringObject",
                        "key": "k",
                        "operator": "matches",
                        "value": "a",
                    }
                ]
            },
            501,
        ),
    ],
)
def test_refuses_what_cannot_be_asked_and_says_what_it_does_not_play(
    http: httpx.Client, changes: dict[str, Any], status: int
) -> None:
    answer = ask(http, **changes)
    assert answer.status_code == status
    assert answer.json()["message"]


def test_version_3_has_no_such_metrics(http3: httpx.Client) -> None:
    answer = ask(http3)
    assert answer.status_code == 404
    assert "only available in a Langfuse v4 write mode" in answer.json()["message"]


# --- all of them --------------------------------------------------------------------------------------------


def test_a_body_is_read_before_anything_else(mock: RunningMock) -> None:
    answer = web.post(f"{mock.url}{API}/scores", headers=JSON, content=b"{")
    assert (answer.status_code, answer.text) == (400, "Invalid JSON")
    answer = web.post(f"{mock.url}{API}/scores", headers=JSON, content=b" " * (1024 * 1024 + 1))
    assert (answer.status_code, answer.text) == (413, "Body exceeded 1mb limit")
    assert web.patch(f"{mock.url}{API}/scores").status_code == 405


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_RECORDS", 3)
    monkeypatch.setattr(records, "MOST_BYTES", 100)
    shelf = Shelf()
    for number in range(5):
        shelf.put(number, {"n": number}, 10)
    assert [each["n"] for each in shelf] == [2, 3, 4]
    shelf.put(9, {"n": 9}, 95)
    assert [each["n"] for each in shelf] == [9]
    shelf.put(9, {"n": 10}, 101)
    assert list(shelf) == []


def test_clearing_the_store_clears_all_of_it(mock: RunningMock, http: httpx.Client) -> None:
    http.post(f"{API}/scores", json={"name": "n", "value": 1, "traceId": "t"})
    http.post(f"{API}/models", json=GPT_5_CODEX)
    mock.store.clear()
    assert http.get(f"{API}/v3/scores").json()["data"] == []
    send(http, generation())
    assert http.get(f"{API}/v2/observations?fields=usage").json()["data"][0]["totalCost"] == 0
