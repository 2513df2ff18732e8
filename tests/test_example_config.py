"""The files that reference/example-config shows: a real turn with each, and what the annotated one says."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from codex_langfuse.codex.versions import OTEL_KEYS
from codex_langfuse.exports import spans_in
from codex_langfuse.keys.credentials import TRACES_HEADERS, TRACES_PATH
from harness.fences.placeholders import filled_in
from harness.fences.reader import Reader, a_reader
from harness.fences.scanner import ROOT
from translations import CHINESE, DOCS

FILES = ROOT / "examples/codex"
COMPLETE = (FILES / "config.toml").read_text(encoding="utf-8")
KEYS = {TRACES_HEADERS: filled_in("Authorization=Basic%20cGstbGYt…")}

# The files that send to Langfuse itself, and where.
TO_LANGFUSE = {
    "cloud-eu.toml": "cloud.langfuse.com",
    "cloud-us.toml": "us.cloud.langfuse.com",
    "cloud-jp.toml": "jp.cloud.langfuse.com",
    "cloud-hipaa.toml": "hipaa.cloud.langfuse.com",
    "self-hosted.toml": "localhost",
    "kubernetes.toml": "langfuse.example.com",
    "private-ca-mutual-tls.toml": "langfuse.internal.example.com",
    "config.toml": "cloud.langfuse.com",
}
RELAY = "http://127.0.0.1:4318"

_SWITCHED_OFF = re.compile(r"^#(?=[^#\s])", re.M)
_SINCE = re.compile(r"Since (\d+\.\d+)")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with a_reader(tmp_path_factory.mktemp("reader")) as reader:
        yield reader


def turn(reader: Reader, config: str, environment: dict[str, str]) -> None:
    """Load ``config`` strictly, then take a turn with it, with nothing left of the turn before."""
    check = reader.codex.check_config(config)
    assert check.valid, check.message
    reader.mock.store.clear()
    reader.proxy.exchanges.clear()
    run = reader.codex.run_exec(environment=environment)
    assert run.returncode == 0, run.stderr


@pytest.mark.codex
@pytest.mark.parametrize("name", TO_LANGFUSE)
def test_a_turn_arrives_at_langfuse(reader: Reader, name: str) -> None:
    turn(reader, (FILES / name).read_text(encoding="utf-8"), KEYS)
    assert {request.host for request in reader.proxy.exchanges} == {TO_LANGFUSE[name]}
    for request in reader.proxy.exchanges:
        assert (request.method, request.path, request.status) == ("POST", TRACES_PATH, 200)
        assert request.headers["authorization"] == filled_in("Basic cGstbGYt…")
        assert request.headers["x-langfuse-ingestion-version"] == "4"
        assert request.headers["content-type"] == "application/x-protobuf"
    spans = spans_in(request.body for request in reader.proxy.exchanges)
    assert "turn/start" in {span.name for span in spans}
    observations = reader.mock.store.observations
    assert len(observations) == len(spans)
    assert {observation["environment"] for observation in observations} == {"prod"}


@pytest.mark.codex
@pytest.mark.parametrize("name", ["relay.toml", "relay-no-content.toml"])
def test_logs_and_traces_go_to_the_relay_without_a_key(reader: Reader, name: str) -> None:
    config = (FILES / name).read_text(encoding="utf-8")
    assert config.count(RELAY) == 2
    turn(reader, config.replace(RELAY, reader.mock.url), {})
    assert reader.proxy.exchanges == []
    requests = reader.mock.store.requests
    assert {request.path for request in requests} == {"/v1/logs", "/v1/traces"}
    assert not any(name == "authorization" for request in requests for name, _ in request.headers)
    logs = b"".join(request.body for request in requests if request.path == "/v1/logs")
    assert (b"Say hello." in logs) == (name == "relay.toml")


def test_every_key_of_otel_is_in_the_complete_file() -> None:
    switched_on = tomllib.loads(_SWITCHED_OFF.sub("", COMPLETE))
    assert set(switched_on["otel"]) == set(OTEL_KEYS)


@pytest.mark.parametrize("key", OTEL_KEYS)
def test_the_complete_file_says_since_when(key: str) -> None:
    """On the line of the key, or in the comment above it."""
    said = [
        part
        for part in COMPLETE.split("\n\n")
        if re.search(rf"^(#?\[?(otel\.)?{key}\b|# .*\b{key} =)", part, re.M)
    ]
    line = next(line for line in said[0].splitlines() if key in line)
    assert (_SINCE.findall(line) or _SINCE.findall(said[0]))[-1] == str(OTEL_KEYS[key])[:-2]


@pytest.mark.codex
def test_what_is_switched_off_is_valid_too(reader: Reader) -> None:
    check = reader.codex.check_config(_SWITCHED_OFF.sub("", COMPLETE))
    assert check.valid, check.message


@pytest.mark.parametrize("docs", [DOCS, CHINESE], ids=["en", "zh"])
def test_the_page_shows_each_file_that_it_offers(docs: Path) -> None:
    text = (docs / "reference/example-config.md").read_text(encoding="utf-8")
    offered = set(re.findall(r"^\|.*\[`([\w-]+\.toml)`\]", text, re.M))
    assert offered == set(re.findall(r'--8<-- "codex/([\w-]+\.toml)"', text))
    assert all((FILES / name).is_file() for name in offered)
    assert offered <= {*TO_LANGFUSE, "relay-no-content.toml"}
