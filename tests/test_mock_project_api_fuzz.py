"""Whatever is sent to the endpoints for scores, prices, datasets, prompts and metrics, the mock answers."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from codex_langfuse.mock.server import running_mock
from harness.mock_client import TRACES, client
from harness.otlp_json import simple_export
from harness.web import JSON

pytestmark = pytest.mark.slow

FUZZ = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
#: Everything but an error of the mock's own; 501 says what it does not play.
ANSWERS = {200, 201, 202, 207, 400, 404, 405, 409, 413, 501}

WORDS = st.sampled_from(
    [
        *(
            "",
            "x",
            "a/b",
            "//",
            "<b>",
            "NUMERIC",
            "BOOLEAN",
            "TEXT",
            "API",
            "TOKENS",
            "text",
            "chat",
            "ACTIVE",
        ),
        *("count", "sum", "p95", "uniq", "name", "sessionId", "value", "day", "desc", "observations"),
        *("2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "\ud800"),
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    WORDS,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
#: Fields of every body, so that a body often comes through the first checks.
FIELDS = {
    "name": WORDS | VALUES,
    "value": SCALARS | VALUES,
    "dataType": WORDS,
    "traceId": st.just("t") | VALUES,
    "sessionId": SCALARS,
    "id": WORDS | SCALARS,
    "metadata": VALUES,
    "source": WORDS,
    "configId": SCALARS,
    "modelName": WORDS | SCALARS,
    "matchPattern": st.sampled_from(["x", "(", "(?i)^x$", "(a+)+", "\\", "[", "a{2"]) | SCALARS,
    "unit": WORDS,
    "inputPrice": SCALARS,
    "pricingTiers": VALUES
    | st.lists(
        st.fixed_dictionaries(
            {"name": WORDS, "isDefault": st.booleans(), "priority": st.integers(-1, 3)},
            optional={
                "conditions": st.just([]) | VALUES,
                "prices": st.dictionaries(WORDS, SCALARS, max_size=2),
            },
        ),
        max_size=2,
    ),
    "datasetName": WORDS | SCALARS,
    "input": VALUES,
    "runName": WORDS,
    "datasetItemId": WORDS,
    "prompt": SCALARS | VALUES,
    "labels": st.lists(WORDS, max_size=2) | VALUES,
    "type": WORDS,
    "tags": VALUES,
    "config": VALUES,
}
BODIES = st.fixed_dictionaries({}, optional=FIELDS) | VALUES
WRITES = ["scores", "models", "v2/datasets", "dataset-items", "dataset-run-items", "v2/prompts"]
READS = [
    *("v3/scores", "v2/datasets/x", "dataset-items", "v2/prompts/x", "models", "v2/metrics", "traces"),
    *("traces/x", "observations", "sessions"),
]
PARAMETERS = [
    *(
        "page",
        "limit",
        "cursor",
        "fields",
        "name",
        "dataType",
        "traceId",
        "fromTimestamp",
        "version",
        "label",
    ),
    *("datasetName", "query", "environment", "tags"),
]


@pytest.fixture(scope="module")
def both() -> Iterator[list[httpx.Client]]:
    with (
        running_mock() as newer,
        running_mock(langfuse=3) as older,
        client(newer) as one,
        client(older) as other,
    ):
        for http in (one, other):
            http.post(TRACES, headers=JSON, content=simple_export(traceId="t", spanId="s", name="n"))
        yield [one, other]


@FUZZ
@given(st.sampled_from(WRITES), BODIES)
@example("scores", {"name": "n", "value": 1e308, "traceId": "t", "id": "\ud800"})
@example("scores", {"name": "n", "value": 2**70, "traceId": "t", "metadata": ["\ud800"]})
@example("models", {"modelName": "x", "matchPattern": "x", "unit": "TOKENS", "inputPrice": 1e308})
def test_bodies_of_every_shape(both: list[httpx.Client], path: str, body: Any) -> None:
    for http in both:
        content = json.dumps(body).encode()
        assert http.post(f"/api/public/{path}", headers=JSON, content=content).status_code in ANSWERS
        for read in ("v3/scores?fields=details,subject", "dataset-items", "models"):
            assert http.get(f"/api/public/{read}").status_code in ANSWERS


@FUZZ
@given(
    st.sampled_from(READS),
    st.lists(
        st.tuples(st.sampled_from(PARAMETERS), st.text(max_size=8) | VALUES.map(json.dumps)), max_size=3
    ),
)
@example("v3/scores", [("cursor", "eyJ2IjoxLCJsYXN0VGltZXN0YW1wIjoxZTk5LCJsYXN0SWQiOiJ4In0")])
@example("dataset-items", [("datasetName", "a"), ("datasetName", "b")])
def test_queries(both: list[httpx.Client], path: str, parameters: list[tuple[str, str]]) -> None:
    query = "&".join(f"{name}={quote(value, errors='surrogatepass')}" for name, value in parameters)
    for http in both:
        assert http.get(f"/api/public/{path}?{query}").status_code in ANSWERS


FIELDS_OF_METRICS = st.sampled_from(
    ["name", "type", "sessionId", "isRootObservation", "tags", "usageType", "metadata", "colour"]
)
METRICS = st.fixed_dictionaries(
    {
        "view": st.just("observations"),
        "metrics": st.lists(
            st.fixed_dictionaries(
                {
                    "measure": st.sampled_from(["count", "totalCost", "latency", "timeToFirstToken"]),
                    "aggregation": st.sampled_from(["sum", "avg", "count", "max", "min", "p50", "uniq"]),
                }
            ),
            max_size=2,
        )
        | VALUES,
        "fromTimestamp": WORDS,
        "toTimestamp": WORDS,
    },
    optional={
        "dimensions": st.lists(st.fixed_dictionaries({"field": FIELDS_OF_METRICS}), max_size=2) | VALUES,
        "filters": st.lists(
            st.fixed_dictionaries(
                {
                    "column": FIELDS_OF_METRICS,
                    "type": st.sampled_from(["string", "stringOptions", "boolean", "null", "number"]),
                    "operator": st.sampled_from(["=", "any of", "is null", "matches", "contains"]),
                    "value": VALUES,
                }
            ),
            max_size=2,
        )
        | VALUES,
        "timeDimension": st.fixed_dictionaries({"granularity": st.sampled_from(["day", "week", "hour"])})
        | VALUES,
        "orderBy": st.lists(
            st.fixed_dictionaries(
                {
                    "field": st.sampled_from(["time_dimension", "name", "sum_totalCost", "count_count"]),
                    "direction": st.sampled_from(["asc", "desc"]),
                }
            ),
            max_size=2,
        )
        | VALUES,
        "config": st.fixed_dictionaries({"row_limit": SCALARS}) | VALUES,
    },
)


@FUZZ
@given(METRICS)
@example(
    {
        "view": "observations",
        "metrics": [],
        "fromTimestamp": "0000-01-01T00:00:00Z",
        "toTimestamp": "9999-12-31T23:59:59Z",
    }
)
def test_metrics_of_every_shape(both: list[httpx.Client], query: Any) -> None:
    text = quote(json.dumps(query))
    for http in both:
        assert http.get(f"/api/public/v2/metrics?query={text}").status_code in ANSWERS


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b'{"a":' * 190 + b"1" + b"}" * 190,
        b"9" * 10_000,
    ],
)
@pytest.mark.parametrize("path", WRITES)
def test_json_that_is_hard_to_read(both: list[httpx.Client], path: str, body: bytes) -> None:
    for http in both:
        assert http.post(f"/api/public/{path}", headers=JSON, content=body).status_code in ANSWERS
    wrapped = b'{"name":"n","datasetName":"n","value":1,"traceId":"t","prompt":"p","metadata":%s}' % body
    for http in both:
        assert http.post(f"/api/public/{path}", headers=JSON, content=wrapped).status_code in ANSWERS
        for read in ("v3/scores?fields=details", "dataset-items"):
            assert http.get(f"/api/public/{read}").status_code == 200
