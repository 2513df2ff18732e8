"""What the mock answers when asked what arrived."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from codex_langfuse.mock.server import IN_APP_AGENT_KEY, RunningMock, running_mock
from harness import otlp_json, web
from harness.mock_client import TRACES, client
from harness.web import JSON

pytestmark = [pytest.mark.macos, pytest.mark.windows, pytest.mark.slow]

OBSERVATIONS = "/api/public/v2/observations"
BASE = 1_795_425_366_000_000_000


def spans() -> list[dict[str, Any]]:
    """Two traces: five spans at five times, two of them roots."""
    rows = [
        ("a", "turn/start", None, {"session.id": "s1", "langfuse.observation.type": "agent"}),
        ("a", "model", "a0", {"model": "gpt-5", "gen_ai.usage.input_tokens": 1000, "long": "x" * 300}),
        ("a", "tool", "a0", {"gen_ai.tool.name": "exec_command", "langfuse.observation.level": "ERROR"}),
        ("b", "turn/start", None, {"user.id": "alice", "langfuse.environment": "qa"}),
        ("b", "model", "b3", {"model": "gpt-5-codex", "langfuse.trace.tags": ["x", "y"]}),
    ]
    return [
        otlp_json.span(
            attributes,
            traceId=trace,
            spanId=f"{trace}{number}",
            parentSpanId=parent,
            name=name,
            startTimeUnixNano=str(BASE + number * 1_000_000_000),
            endTimeUnixNano=str(BASE + number * 1_000_000_000 + 250_000_000),
        )
        for number, (trace, name, parent, attributes) in enumerate(rows)
    ]


def send(mock: RunningMock) -> None:
    body = otlp_json.export(*spans(), resource={"service.version": "1"})
    with client(mock) as http:
        assert http.post(TRACES, headers=JSON, content=body).status_code == 200


@pytest.fixture(scope="module")
def full() -> Iterator[RunningMock]:
    with running_mock() as mock:
        send(mock)
        yield mock


@pytest.fixture(scope="module")
def older() -> Iterator[RunningMock]:
    with running_mock(langfuse=3) as mock:
        send(mock)
        yield mock


def get(mock: RunningMock, path: str, **parameters: Any) -> httpx.Response:
    with client(mock) as http:
        return http.get(path, params=parameters)


def ids(mock: RunningMock, **parameters: Any) -> list[str]:
    answer = get(mock, OBSERVATIONS, **parameters)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["data"]]


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({}, "b4 b3 a2 a1 a0"),
        ({"limit": 2}, "b4 b3"),
        ({"limit": 0}, ""),
        ({"name": "model"}, "b4 a1"),
        ({"type": "TOOL"}, "a2"),
        ({"traceId": "a"}, "a2 a1 a0"),
        ({"userId": "alice"}, "b3"),
        ({"sessionId": "s1"}, "a0"),
        ({"level": "ERROR"}, "a2"),
        ({"environment": "qa"}, "b3"),
        ({"environment": "qa,default"}, "b4 b3 a2 a1 a0"),
        ({"environment": ["qa", "prod"]}, "b3"),
        ({"version": "2"}, ""),
        ({"parentObservationId": "a0"}, "a2 a1"),
        ({"isRootObservation": "true"}, "b3 a0"),
        ({"isRootObservation": "false"}, "b4 a2 a1"),
        ({"fromStartTime": "2026-11-23T09:16:09Z"}, "b4 b3"),
        ({"toStartTime": "2026-11-23T11:16:07.000+02:00"}, "a0"),
    ],
)
def test_finds(full: RunningMock, parameters: dict[str, Any], found: str) -> None:
    assert ids(full, **parameters) == found.split()


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (("name", "string", "=", "model"), "b4 a1"),
        (("name", "string", "starts with", "turn"), "b3 a0"),
        (("name", "stringOptions", "none of", ["model"]), "b3 a2 a0"),
        (("startTime", "datetime", ">=", "2026-11-23T09:16:09Z"), "b4 b3"),
        (("inputTokens", "number", ">", 0), "a1"),
        (("totalCost", "number", ">=", 0.00125), "a1"),
        (("traceTags", "arrayOptions", "all of", ["x", "y"]), "b4"),
        (("isRootObservation", "boolean", "=", True), "b3 a0"),
        (("parentObservationId", "null", "is null", ""), "b3 a0"),
        (("latency", "number", "=", 0.25), "b4 b3 a2 a1 a0"),
    ],
)
def test_filters(full: RunningMock, condition: tuple[str, str, str, Any], found: str) -> None:
    column, kind, sign, value = condition
    written = [{"column": column, "type": kind, "operator": sign, "value": value}]
    assert ids(full, filter=json.dumps(written)) == found.split()


def test_filters_metadata_and_replaces_a_parameter(full: RunningMock) -> None:
    metadata = {
        "column": "metadata",
        "type": "stringObject",
        "key": "attributes.model",
        "operator": "contains",
    }
    assert ids(full, filter=json.dumps([{**metadata, "value": "codex"}])) == ["b4"]
    by_name = {"column": "name", "type": "string", "operator": "=", "value": "turn/start"}
    assert ids(full, name="model", filter=json.dumps([by_name])) == ["b3", "a0"]


def test_pages_by_cursor(full: RunningMock) -> None:
    seen: list[str] = []
    parameters: dict[str, Any] = {"limit": 2}
    for _ in range(3):
        page = get(full, OBSERVATIONS, **parameters).json()
        seen += [each["id"] for each in page["data"]]
        parameters["cursor"] = page["meta"].get("cursor")
    assert seen == ["b4", "b3", "a2", "a1", "a0"]
    assert page["meta"] == {}
    first = get(full, OBSERVATIONS, limit=2).json()["meta"]["cursor"]
    place = {"lastStartTimeTo": "2026-11-23T09:16:09.000Z", "lastTraceId": "b", "lastId": "b3"}
    assert json.loads(base64.b64decode(first)) == place


CORE = ["id", "traceId", "startTime", "endTime", "projectId", "parentObservationId", "type"]
BASIC = [
    "name",
    "level",
    "statusMessage",
    "version",
    "environment",
    "userId",
    "sessionId",
    "isRootObservation",
    "bookmarked",
    "public",
]
ALWAYS = ["latency", "timeToFirstToken", "modelId", "inputPrice", "outputPrice", "totalPrice"]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        (None, CORE + BASIC),
        ("core", CORE),
        ("unknown", CORE),
        ("time,io", [*CORE, "completionStartTime", "createdAt", "updatedAt", "input", "output"]),
        ("model", [*CORE, "model", "internalModelId", "modelParameters"]),
        (
            "trace_context,prompt",
            [*CORE, "tags", "release", "traceName", "promptId", "promptName", "promptVersion"],
        ),
    ],
)
def test_shows_the_groups_of_fields_asked_for(
    full: RunningMock, fields: str | None, names: list[str]
) -> None:
    (found,) = get(full, OBSERVATIONS, limit=1, **({"fields": fields} if fields else {})).json()["data"]
    assert sorted(found) == sorted(names + ALWAYS)


def test_metadata_is_cut_unless_asked_for_in_full(full: RunningMock) -> None:
    def long(**parameters: str) -> str:
        (found,) = get(full, OBSERVATIONS, traceId="a", name="model", **parameters).json()["data"]
        return found["metadata"]["attributes.long"]

    assert len(long(fields="metadata")) == 200
    assert (
        len(long(fields="metadata,io"))
        == len(long(fields="metadata", expandMetadata="attributes.long"))
        == 300
    )


def test_prices_come_with_the_model(full: RunningMock) -> None:
    (found,) = get(full, OBSERVATIONS, traceId="a", name="model", fields="model").json()["data"]
    assert (found["modelId"], found["inputPrice"], found["outputPrice"]) == (
        "38c3822a-09a3-457b-b200-2c6f17f7cf2f",
        "0.00000125",
        "0.00001",
    )


@pytest.mark.parametrize(
    ("parameters", "complaints"),
    [
        ({"limit": "abc"}, [(["limit"], "Invalid input: expected number, received NaN")]),
        ({"limit": "1001"}, [(["limit"], "Too big: expected number to be <=1000")]),
        (
            {"limit": "abc", "level": "error"},
            [
                (["limit"], "Invalid input: expected number, received NaN"),
                (["level"], 'Invalid option: expected one of "DEBUG"|"DEFAULT"|"WARNING"|"ERROR"'),
            ],
        ),
        ({"name": ["a", "b"]}, [(["name"], "Invalid input: expected string, received array")]),
        ({"filter": "{}"}, [(["filter"], "Invalid input: expected array, received object")]),
    ],
)
def test_says_everything_that_is_wrong_with_a_query(
    full: RunningMock, parameters: dict[str, Any], complaints: list[tuple[list[str], str]]
) -> None:
    answer = get(full, OBSERVATIONS, **parameters)
    assert (answer.status_code, answer.json()["message"]) == (400, "Invalid request data")
    assert [(issue["path"], issue["message"]) for issue in answer.json()["error"]] == complaints


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"cursor": "%"}, "Invalid cursor format"),
        ({"filter": "{"}, "Invalid JSON in filter parameter"),
        (
            {"filter": '[{"type":"string","column":"colour","operator":"=","value":"x"}]'},
            "Column colour does not match a UI / CH table mapping.",
        ),
        (
            {"filter": '[{"type":"number","column":"name","operator":"=","value":1}]'},
            "Invalid filter type 'number' for column 'name'. Expected filter type 'stringOptions'.",
        ),
    ],
)
def test_refuses_what_cannot_be_asked(full: RunningMock, parameters: dict[str, str], message: str) -> None:
    answer = get(full, OBSERVATIONS, **parameters)
    assert (answer.status_code, answer.json()) == (400, {"message": message, "error": "InvalidRequestError"})


def test_an_in_app_agent_may_read(full: RunningMock) -> None:
    pair = (IN_APP_AGENT_KEY.public_key, IN_APP_AGENT_KEY.secret_key)
    assert web.get(full.url + OBSERVATIONS, auth=pair).status_code == 200
    assert web.get(full.url + OBSERVATIONS).status_code == 401


def test_a_span_sent_again_is_there_once_and_a_changed_one_twice() -> None:
    with running_mock() as mock:
        send(mock)
        send(mock)
        assert len(mock.store.observations) == 5
        changed = {**spans()[0], "name": "other"}
        with client(mock) as http:
            http.post(
                TRACES,
                headers=JSON,
                content=json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [changed]}]}]}),
            )
        assert [each["name"] for each in mock.store.traces["a"] if each["id"] == "a0"] == [
            "turn/start",
            "other",
        ]


@pytest.mark.parametrize(
    "path", ["traces", "traces/a", "observations", "observations/a0", "sessions", "scores", "metrics/daily"]
)
def test_version_4_has_given_up_the_old_reads_before_asking_who_is_there(
    full: RunningMock, path: str
) -> None:
    answer = web.get(f"{full.url}/api/public/{path}")
    assert answer.status_code == 404
    assert answer.json() == {
        "message": "This endpoint is not available on deployments running in Langfuse v4 events_only mode. "
        "Learn more about Langfuse v4 at: https://langfuse.com/docs/v4"
    }


def test_version_3_has_no_new_reads(older: RunningMock) -> None:
    answer = get(older, OBSERVATIONS)
    assert (answer.status_code, answer.json()["error"]) == (404, "LangfuseNotFoundError")
    assert web.get(older.url + OBSERVATIONS).status_code == 401


def test_version_3_lists_traces(older: RunningMock) -> None:
    page = get(older, "/api/public/traces", name="turn/start", limit=1).json()
    assert page["meta"] == {"page": 1, "limit": 1, "totalItems": 2, "totalPages": 2}
    (newest,) = page["data"]
    # The child has tags for the trace, and with them goes its own environment.
    assert (newest["id"], newest["userId"], newest["environment"]) == ("b", "alice", "default")
    assert newest["metadata"]["resourceAttributes"] == {"service.version": "1"}
    trace = get(older, "/api/public/traces/a").json()
    assert (trace["sessionId"], [each["id"] for each in trace["observations"]]) == ("s1", ["a2", "a1", "a0"])
    assert trace["totalCost"] == 0.00125
    missing = get(older, "/api/public/traces/nope")
    assert (missing.status_code, missing.json()) == (
        404,
        {"message": "Trace nope not found within authorized project", "error": "LangfuseNotFoundError"},
    )


def test_version_3_lists_observations(older: RunningMock) -> None:
    (model,) = get(older, "/api/public/observations", traceId="a", type="GENERATION").json()["data"]
    assert (model["id"], model["promptTokens"], model["usage"]["total"]) == ("a1", 1000, 1000)
    assert get(older, "/api/public/traces", page=0).status_code == 400


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:3000", 200),
        ("localhost", 200),
        ("langfuse:3000", 200),
        ("cloud.langfuse.com", 200),
        ("evil.com", 421),
        ("127.0.0.1.evil.com:3000", 421),
        ("cloud.langfuse.com.evil.com", 421),
    ],
)
def test_a_page_elsewhere_cannot_read_what_codex_sent(host: str, status: int) -> None:
    """It could point a name of its own at this machine, and it knows the keys."""
    with running_mock() as mock, client(mock) as http:
        assert http.get(OBSERVATIONS, headers={"host": host}).status_code == status
        assert http.get("/api/public/projects", headers={"host": host}).status_code == status
