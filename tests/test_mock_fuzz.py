"""Whatever is sent, the mock answers, and never with an error of its own."""

import gzip
import json
import socket
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import recordings
from codex_langfuse.mock.server import RunningMock, running_mock
from harness.mock_client import TRACES, client
from harness.web import JSON, PROTOBUF

pytestmark = pytest.mark.slow

FUZZ = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
EVERYTHING = "limit=1000&fields=core,basic,time,io,metadata,model,usage,prompt,metrics,trace_context"
SLOW = "filter=" + quote('[{"column":"latency","type":"number","operator":">","value":0}]')


@cache
def bodies() -> list[bytes]:
    """Return the smaller requests of the recordings."""
    read = (sent.body for name in recordings.names("*") for sent in recordings.read(name))
    return [body for body in read if len(body) < 20_000]


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningMock]:
    with running_mock() as mock:
        yield mock


@pytest.fixture(scope="module")
def http(shared: RunningMock) -> Iterator[httpx.Client]:
    with client(shared) as http:
        yield http


def post(mock: RunningMock, http: httpx.Client, headers: dict[str, str], body: bytes) -> None:
    """Send, and look at what came of it, which is when spans are converted."""
    answer = http.post(TRACES, headers=headers, content=body)
    assert answer.status_code in (200, 400), answer.text
    json.loads(answer.content)
    if answer.content != b"{}" and answer.status_code == 200:
        for query in (EVERYTHING, SLOW):
            assert http.get(f"/api/public/v2/observations?{query}").status_code == 200
    mock.store.clear()


@FUZZ
@given(
    st.deferred(lambda: st.sampled_from(bodies())),
    st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from(["set", "cut", "add", "end"]), st.binary(max_size=4)),
        max_size=4,
    ),
    st.booleans(),
)
def test_mutated_recordings(
    shared: RunningMock,
    http: httpx.Client,
    body: bytes,
    changes: list[tuple[float, str, bytes]],
    is_compressed: bool,
) -> None:
    data = bytearray(body)
    for place, change, content in changes:
        at = int(place * len(data))
        if change == "set":
            data[at : at + len(content)] = content
        elif change == "cut":
            del data[at : at + len(content)]
        elif change == "add":
            data[at:at] = content
        else:
            del data[at:]
    if is_compressed:
        post(shared, http, {**PROTOBUF, "content-encoding": "gzip"}, gzip.compress(bytes(data), 1))
    else:
        post(shared, http, PROTOBUF, bytes(data))


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.sampled_from(["{}", "[1]", "null", "1e3", "0x1", "Infinity", "\ud800", "-1", "true", "9" * 30]),
)
ATTRIBUTES = [
    "model",
    "langfuse.observation.type",
    "langfuse.observation.usage_details",
    "langfuse.observation.cost_details",
    "langfuse.observation.model.parameters",
    "langfuse.observation.completion_start_time",
    "langfuse.observation.level",
    "langfuse.observation.metadata",
    "langfuse.trace.metadata.k",
    "langfuse.trace.tags",
    "langfuse.environment",
    "session.id",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.cost",
    "gen_ai.operation.name",
    "gen_ai.tool.name",
    "gen_ai.prompt.0.content",
    "gen_ai.prompt.99999999999.content",
    "gen_ai.input.messages",
    "gen_ai.system_instructions",
    "ai.response.msToFirstChunk",
    "ai.operationId",
    "operation.name",
    "events",
    "genkit:name",
    "langfuse.observation.prompt.version",
]

VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
ANY_VALUE = st.one_of(
    SCALARS.map(lambda plain: {"stringValue": plain}),
    SCALARS.map(lambda plain: {"intValue": plain}),
    SCALARS.map(lambda plain: {"doubleValue": plain}),
    VALUES.map(lambda plain: {"arrayValue": {"values": plain}}),
    VALUES,
)
LIST = (
    st.lists(st.fixed_dictionaries({"key": st.sampled_from(ATTRIBUTES), "value": ANY_VALUE}), max_size=4)
    | VALUES
)
SPAN = st.fixed_dictionaries(
    {
        "traceId": st.text(max_size=3),
        "spanId": st.text(max_size=3) | st.lists(st.integers(-5, 300), max_size=3),
    },
    optional={
        "parentSpanId": SCALARS,
        "name": SCALARS,
        "startTimeUnixNano": SCALARS,
        "endTimeUnixNano": SCALARS | st.just({"high": 1, "low": -1}),
        "attributes": LIST,
        "events": st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["gen_ai.choice", "gen_ai.content.prompt"]), "attributes": LIST}
            ),
            max_size=2,
        )
        | VALUES,
        "status": VALUES | st.just({"code": 2}),
    },
)
EXPORT = st.fixed_dictionaries(
    {
        "resourceSpans": st.lists(
            st.fixed_dictionaries(
                {
                    "scopeSpans": st.lists(
                        st.fixed_dictionaries(
                            {"spans": st.lists(SPAN, max_size=2)}, optional={"scope": VALUES}
                        ),
                        max_size=2,
                    )
                },
                optional={"resource": st.fixed_dictionaries({"attributes": LIST})},
            ),
            max_size=2,
        )
        | VALUES
    }
)


@FUZZ
@given(EXPORT | VALUES)
@example({"resourceSpans": {"length": 0}})
def test_json_of_every_shape(shared: RunningMock, http: httpx.Client, body: Any) -> None:
    post(shared, http, JSON, json.dumps(body).encode())


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000, b'{"resourceSpans":1e999}']
)
def test_json_that_is_hard_to_read(shared: RunningMock, http: httpx.Client, body: bytes) -> None:
    post(shared, http, JSON, body)


def test_protobuf_that_is_nested_deeply(shared: RunningMock, http: httpx.Client) -> None:
    value = b""
    for _ in range(3000):
        for tag in (b"\x0a", b"\x2a"):
            value = tag + _varint(len(value)) + value
    for tag in (b"\x12", b"\x4a", b"\x12", b"\x12", b"\x0a"):
        value = tag + _varint(len(value)) + value
    post(shared, http, PROTOBUF, value)


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


NAMES = [
    "limit",
    "cursor",
    "fromStartTime",
    "toStartTime",
    "name",
    "type",
    "traceId",
    "userId",
    "level",
    "environment",
    "filter",
    "fields",
]
PATHS = ["v2/observations", "health", "projects"]


@FUZZ
@given(
    st.sampled_from(PATHS),
    st.lists(st.tuples(st.sampled_from(NAMES), st.text(max_size=8) | SCALARS.map(json.dumps)), max_size=3),
)
@example("v2/observations", [("cursor", "eyJsYXN0U3RhcnRUaW1lVG8iOjFlOTl9")])
@example(
    "v2/observations", [("filter", '[{"type":"null","column":"metadata","operator":"is null","value":""}]')]
)
@example(
    "v2/observations",
    [("filter", '[{"type":"stringOptions","column":"tags","operator":"any of","value":["a"]}]')],
)
@example("v2/observations", [("filter", '[{"type":"string","column":"tags","operator":"=","value":"a"}]')])
@example("v2/observations", [("filter", '[{"type":"number","column":"tags","operator":">","value":1}]')])
def test_queries(both: list[httpx.Client], path: str, parameters: list[tuple[str, str]]) -> None:
    query = "&".join(f"{name}={quote(value, errors='surrogatepass')}" for name, value in parameters)
    for reader in both:
        assert reader.get(f"/api/public/{path}?{query}").status_code in (200, 400, 404)


@pytest.fixture(scope="module")
def both() -> Iterator[list[httpx.Client]]:
    with (
        running_mock() as newer,
        running_mock(langfuse=3) as older,
        client(newer) as one,
        client(older) as other,
    ):
        for reader in (one, other):
            reader.post(TRACES, headers=PROTOBUF, content=bodies()[0])
        yield [one, other]


@FUZZ
@given(
    st.sampled_from(["GET", "POST", "OPTIONS", "HEAD", "TRACE", "PROPFIND", "NONSENSE", "get"]),
    st.one_of(
        st.sampled_from([TRACES, "/", "*", "//", "/%", "/%ff", "http://x/y"]),
        st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=8).map("/".__add__),
    ),
    st.lists(
        st.tuples(
            st.sampled_from(["authorization", "content-type", "content-encoding", "x-a"]),
            st.text(
                st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=12
            ),
        ),
        max_size=3,
    ),
    st.binary(max_size=8),
)
def test_raw_requests(
    shared: RunningMock,
    http: httpx.Client,
    method: str,
    target: str,
    headers: list[tuple[str, str]],
    body: bytes,
) -> None:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    with socket.create_connection(
        tuple(shared.url.removeprefix("http://").split(":")), timeout=30
    ) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 ")
    assert answer[9:10] in b"234"
    assert http.get("/api/public/ready").status_code == 200


@FUZZ
@given(st.binary(max_size=60))
def test_what_is_no_http(shared: RunningMock, http: httpx.Client, noise: bytes) -> None:
    with socket.create_connection(
        tuple(shared.url.removeprefix("http://").split(":")), timeout=30
    ) as connection:
        connection.sendall(noise)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b" 500 " not in answer.partition(b"\r\n")[0]
    assert http.get("/api/public/ready").status_code == 200
