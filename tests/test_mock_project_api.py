"""Scores, prices, datasets, prompts and metrics of the mock, answered as Langfuse 4.16.0 answers.

The complaints about bodies were produced by zod 4.3.6 from Langfuse's schemas.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from codex_langfuse.mock import records
from codex_langfuse.mock.langfuse.datasets import complaints_of_name
from codex_langfuse.mock.langfuse.model_definitions import refusal_of_pattern
from codex_langfuse.mock.records import Shelf
from codex_langfuse.mock.server import IN_APP_AGENT_KEY, ORGANIZATION_KEY, RunningMock, running_mock
from harness import otlp_json, web
from harness.mock_client import TRACES, client
from harness.web import JSON

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


def invalid(*issues: dict[str, Any]) -> dict[str, Any]:
    return {"message": "Invalid request data", "error": list(issues)}


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
    text = "Invalid input: expected object, received array"
    assert answer.status_code == 400
    assert answer.json() == invalid(
        {"expected": "object", "code": "invalid_type", "path": [], "message": text},
        {"code": "invalid_type", "expected": "object", "path": [], "message": text},
    )


@pytest.mark.parametrize(
    ("body", "issues"),
    [
        (
            {"value": 1, "traceId": "t"},
            [
                {
                    "expected": "string",
                    "code": "invalid_type",
                    "path": ["name"],
                    "message": "Invalid input: expected string, received undefined",
                }
            ],
        ),
        (
            {"name": "", "value": 2, "dataType": "BOOLEAN"},
            [
                {
                    "origin": "string",
                    "code": "too_small",
                    "minimum": 1,
                    "inclusive": True,
                    "path": ["name"],
                    "message": "Too small: expected string to have >=1 characters",
                },
                {
                    "code": "custom",
                    "path": ["value"],
                    "message": "Value must be a number equal to either 0 or 1 for data type BOOLEAN",
                },
                {
                    "code": "custom",
                    "path": ["traceId", "sessionId", "datasetRunId", "observationId"],
                    "message": "Provide exactly one of the following: traceId (with optional observationId), "
                    "sessionId or datasetRunId. ObservationId requires traceId.",
                },
            ],
        ),
        (
            {"name": "n", "value": "x", "dataType": "SMELL", "traceId": "t"},
            [
                {
                    "code": "invalid_union",
                    "errors": [],
                    "note": "No matching discriminator",
                    "discriminator": "dataType",
                    "path": ["dataType"],
                    "message": "Invalid input",
                }
            ],
        ),
        (
            {"name": "n", "value": 1, "traceId": "t", "source": "ANNOTATION"},
            [
                {
                    "code": "custom",
                    "path": ["configId"],
                    "message": "configId is required when source is ANNOTATION "
                    "(except for CORRECTION scores).",
                }
            ],
        ),
    ],
)
def test_complains_of_a_score_as_zod_does(
    http: httpx.Client, body: dict[str, Any], issues: list[dict[str, Any]]
) -> None:
    answer = http.post(f"{API}/scores", json=body)
    assert (answer.status_code, answer.json()) == (400, invalid(*issues))


def test_the_public_key_alone_may_score_and_nothing_else(mock: RunningMock) -> None:
    bearer = {"authorization": f"Bearer {mock.public_key}"}
    body = {"name": "n", "value": 1, "traceId": "t"}
    assert web.post(f"{mock.url}{API}/scores", headers=bearer, json=body).status_code == 200
    assert web.get(f"{mock.url}{API}/v3/scores", headers=bearer).status_code == 403
    prompts = web.get(f"{mock.url}{API}/v2/prompts", headers=bearer)
    assert (prompts.status_code, prompts.json()) == (
        403,
        {
            "message": "Access denied - need to use basic auth with secret key to GET prompts",
            "error": "ForbiddenError",
        },
    )


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
        ("POST", "ingestion"),
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


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("colour=red", 'Unrecognized key: "colour"'),
        (
            "userId=u",
            "userId filter requires a trace JOIN and is not supported in v3 — use v2 or omit this filter",
        ),
        (
            "observationId=o",
            "observationId filter requires traceId — observation IDs are scoped to a trace",
        ),
        ("source=smell", 'Invalid source value: "SMELL". Allowed: API, EVAL, ANNOTATION'),
        ("limit=1.5", "Invalid input: expected int, received number"),
    ],
)
def test_complains_of_a_query_for_scores(http: httpx.Client, query: str, message: str) -> None:
    answer = http.get(f"{API}/v3/scores?{query}")
    assert answer.status_code == 400
    assert [issue["message"] for issue in answer.json()["error"]] == [message]


def test_version_4_has_given_up_the_older_lists(http: httpx.Client) -> None:
    for path in ("scores", "v2/scores", "scores/x", "v2/scores/x", "dataset-run-items"):
        answer = http.get(f"{API}/{path}")
        assert answer.status_code == 404
        assert "events_only" in answer.json()["message"]


def test_version_3_lists_the_scores_of_traces_that_are_there(http3: httpx.Client) -> None:
    send(http3, generation())
    for trace_id in ("a" * 32, "missing"):
        http3.post(f"{API}/scores", json={"name": "n", "value": "good", "traceId": trace_id})
    http3.post(f"{API}/scores", json={"name": "n", "value": 1, "sessionId": "s"})
    for path, count in (("scores", 1), ("v2/scores", 2), ("v2/scores?name=other", 0)):
        page = http3.get(f"{API}/{path}").json()
        assert page["meta"] == {"page": 1, "limit": 50, "totalItems": count, "totalPages": min(count, 1)}
    score = http3.get(f"{API}/scores").json()["data"][0]
    assert (score["stringValue"], score["value"], score["dataType"]) == ("good", 0, "CATEGORICAL")
    assert http3.get(f"{API}/scores?userId=u").status_code == 501


def test_a_batch_takes_scores_and_says_what_it_does_not_take(http: httpx.Client) -> None:
    event = {"id": "e1", "type": "score-create", "timestamp": "2026-09-01T00:00:00Z"}
    batch = [
        {**event, "body": {"id": "s", "name": "n", "value": 1, "traceId": "t"}},
        {**event, "id": "e2", "body": {"id": "s2", "name": "n", "value": 1}},
        {**event, "id": "e3", "type": "trace-create", "body": {"id": "t"}},
    ]
    answer = http.post(f"{API}/ingestion", json={"batch": batch})
    assert answer.status_code == 207
    assert answer.json()["successes"] == [{"id": "e1", "status": 201}]
    invalid_score, refused = answer.json()["errors"]
    assert (invalid_score["id"], invalid_score["message"]) == ("e2", "Invalid request data")
    assert json.loads(invalid_score["error"])[0]["path"][0] == "body"
    assert refused["error"].startswith(
        'Event type "trace-create" is not accepted by /api/public/ingestion when'
    )
    assert [score["id"] for score in http.get(f"{API}/v3/scores").json()["data"]] == ["s"]
    assert http.post(f"{API}/ingestion", json={}).json() == {
        "message": "Invalid request data",
        "errors": ["Invalid input: expected array, received undefined"],
    }


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
        assert answer.json() == invalid({"code": "custom", "message": message, "path": []})


@pytest.mark.parametrize(
    ("pattern", "status"),
    [
        ("(?i)^(openai/)?(gpt-5-codex)$", None),
        ("gpt-5.*", None),
        ("(", 400),
        ("(a+)+$", 501),
        ("a?" * 30, 501),
        ("a*a*a*a*b", 501),
        (r"(a)\1", 501),
    ],
)
def test_patterns_that_could_run_for_ever_are_not_taken(pattern: str, status: int | None) -> None:
    answer = refusal_of_pattern(pattern)
    assert (answer.status if answer else None) == status


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
    assert http.delete(f"{API}/dataset-items/i").json() == {"message": "Dataset item successfully deleted"}
    assert http.get(f"{API}/dataset-items/i").status_code == 404


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


def test_complains_of_a_name_with_folders_as_zod_does() -> None:
    patterns = [(issue.get("pattern"), issue["message"]) for issue in complaints_of_name("//")]
    assert patterns == [
        ("/^[^/]/", "Name cannot start with a slash"),
        (r"/^(?!.*\/\/)/", "Name cannot contain consecutive slashes"),
        ("/^.*[^/]$/", "Name cannot end with a slash"),
    ]
    assert [issue["message"] for issue in complaints_of_name("<b>")] == ["Text cannot contain HTML tags"]


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
    listed = http.get(f"{API}/v2/prompts").json()["data"]
    assert [(each["name"], each["versions"]) for each in listed] == [("agents-md", [1, 2])]
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


def test_scores_have_metrics_too(http: httpx.Client) -> None:
    for value in (0, 1):
        http.post(f"{API}/scores", json={"name": "ok", "value": value, "traceId": "t", "dataType": "BOOLEAN"})
    http.post(f"{API}/scores", json={"name": "verdict", "value": "good", "traceId": "t"})
    measures = {"metrics": [{"measure": "value", "aggregation": "avg"}], "dimensions": [{"field": "name"}]}
    until = {"toTimestamp": "2100-01-01T00:00:00Z"}
    assert ask(http, view="scores-numeric", **measures, **until).json()["data"] == [
        {"name": "ok", "avg_value": 0.5}
    ]
    counts = {
        "metrics": [{"measure": "count", "aggregation": "count"}],
        "dimensions": [{"field": "stringValue"}],
    }
    assert ask(http, view="scores-categorical", **counts, **until).json()["data"] == [
        {"stringValue": "good", "count_count": 1}
    ]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"view": "traces"}, 400),
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
