"""What the references say in words of the recordings, of the versions and of the pinned program.

Their tables are made by ``page_tables``, which shows each row before it prints it.
"""

import mmap
import re

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.trace.v1.trace_pb2 import Status

import recordings
from codex_langfuse.codex.binary import find_codex
from codex_langfuse.codex.versions import FIRST_WITH_OTEL, LEAKS_CONTENT, MUTUAL_TLS, OTEL_KEYS, Version
from codex_langfuse.mock.langfuse.read_api import VERSION
from hooks.tested_with import pinned_codex
from page_tables import langfuse_mapping, tracked_events
from page_tables.versions import recorded_bounds, verified
from recorded_names import event_name, names
from translations import CHINESE, DOCS

BOTH_LANGUAGES = pytest.mark.parametrize("docs", [DOCS, CHINESE], ids=["en", "zh"])
#: Events of which no page says more than the name, and how many recordings have each.
NOT_DESCRIBED = {
    "codex.auth_recovery": 1,
    "codex.guardian_assessment": 1,
    "codex.plugin_install_suggestion": 0,
    "codex.skill_invocation": 0,
}


def change_with(**wanted: object) -> dict:
    (found,) = (
        change
        for change in verified()["codex"]["change"]
        if all(change.get(key) == value for key, value in wanted.items())
    )
    return found


def test_what_is_verified_is_what_is_pinned_recorded_and_answered() -> None:
    codex, langfuse = verified()["codex"], verified()["langfuse"]
    recorded = list(recordings.simple_turns())
    assert pinned_codex() in recorded
    assert (codex["oldest"], codex["newest"]) == (recorded[0], recorded[-1])
    assert {4: langfuse["answers"], 3: langfuse["legacy"]} == VERSION
    assert langfuse["change"][0]["since"] == langfuse["oldest"]


def test_changes_agree_with_what_the_command_knows() -> None:
    changes = verified()["codex"]["change"]
    by_key = {key: Version.parse(each["since"]) for each in changes for key in each.get("keys", ())}
    assert by_key == OTEL_KEYS
    assert Version.parse(verified()["codex"]["oldest"]) == FIRST_WITH_OTEL
    assert Version.parse(change_with(keys=["trace_exporter"])["since"]) == LEAKS_CONTENT[0]
    assert Version.parse(change_with(no_text="hello-from-tool")["since"]) == LEAKS_CONTENT[1]
    (mutual,) = (each for each in changes if "mutual TLS" in each["en"])
    assert Version.parse(mutual["since"]) == MUTUAL_TLS
    for group in (changes, verified()["langfuse"]["change"]):
        assert [Version.parse(each["since"]) for each in group] == sorted(
            Version.parse(each["since"]) for each in group
        )


@pytest.mark.slow
def test_a_change_that_the_recordings_contradict_is_not_printed() -> None:
    change = {"since": "0.150.0", "before": "0.149.0", "sign": ["log", "codex.turn_ttft"], "en": "wrong"}
    with pytest.raises(ValueError, match=r"recorded from 0\.142\.0"):
        recorded_bounds(change)


@pytest.mark.parametrize(
    "table", ["fields", "environments", "levels"], ids=["a key before its better", "environment", "level"]
)
def test_a_row_of_the_mapping_that_does_not_hold_is_not_printed(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {
        "fields": ("_FIELDS", (langfuse_mapping._texts("userId", "user.id", "langfuse.user.id"),)),
        "environments": ("_ENVIRONMENTS", (("env", "resource", "prod", "prod"),)),
        "levels": ("_LEVELS", {"ERROR": ("WARN",)}),
    }
    name, rows = wrong[table]
    monkeypatch.setattr(langfuse_mapping, name, rows)
    with pytest.raises(langfuse_mapping.UnprovenError):
        getattr(langfuse_mapping, table)("en")


def test_what_the_mapping_says_below_its_tables() -> None:
    """langfuse-mapping.md: forms of tags, input and output of one convention, words that are no level."""
    observed = langfuse_mapping.observed
    for tags in ('["a", "b"]', "a,b", "a, b"):
        assert observed({"langfuse.trace.tags": tags})["tags"] == ["a", "b"]
    both = observed({"langfuse.observation.input": "asked", "output": "answered"})
    assert (both["input"], both["output"]) == ("asked", None)
    assert observed({"langfuse.observation.level": "dreadful"})["level"] == "DEFAULT"
    usage = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 10}
    priced = observed({**usage, "gen_ai.request.model": "gpt-5"})
    assert priced["totalCost"] > 0
    for model in ({}, {"gen_ai.request.model": "gpt-5-codex"}):
        assert observed({**usage, **model})["totalCost"] == 0


@pytest.mark.slow
def test_records_and_spans_are_as_the_page_says() -> None:
    """telemetry.md: severity and body of log records, status of spans, temporality of metrics."""
    for name in recordings.names():
        for request in recordings.read(name):
            if request.signal == "logs":
                scopes = [scope for group in request.message.resource_logs for scope in group.scope_logs]
                for record in (record for scope in scopes for record in scope.log_records):
                    if event_name(record.attributes):
                        assert record.severity_number == SeverityNumber.SEVERITY_NUMBER_INFO
                        communication = event_name(record.attributes) == "codex.agent_communication"
                        assert record.HasField("body") == communication
                        assert record.observed_time_unix_nano
            elif request.signal == "traces":
                scopes = [scope for group in request.message.resource_spans for scope in group.scope_spans]
                for span in (span for scope in scopes for span in scope.spans):
                    assert span.status.code == Status.STATUS_CODE_UNSET
            else:
                scopes = [
                    scope for group in request.message.resource_metrics for scope in group.scope_metrics
                ]
                for metric in (metric for scope in scopes for metric in scope.metrics):
                    data = getattr(metric, metric.WhichOneof("data"))
                    assert (
                        data.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
                    )


def test_how_often_an_event_comes() -> None:
    """tracked-events.md: once a conversation, a prompt, a request; the tokens on a second record."""

    def logged(recording: str, event: str) -> int:
        return sum(
            event_name(record.attributes) == event
            for request in recordings.read(recording)
            if request.signal == "logs"
            for group in request.message.resource_logs
            for scope in group.scope_logs
            for record in scope.log_records
        )

    assert logged("0.169.0-exec-resume", "codex.conversation_starts") == 2
    assert logged("relay/0.163.0-two-turns", "codex.conversation_starts") == 1
    assert logged("relay/0.163.0-two-turns", "codex.user_prompt") == 2
    assert logged("relay/0.163.0-two-turns", "codex.turn_ttft") == 2
    assert logged("0.169.0-simple", "codex.turn_ttft") == 1
    assert logged("0.169.0-simple", "codex.startup_phase") == 2
    assert logged("relay/0.163.0-500-for-good", "codex.api_request") == 4
    # Two answers, each of three stream events and one record with the tokens.
    assert logged("0.169.0-simple", "codex.sse_event") == 8


@pytest.mark.codex
@BOTH_LANGUAGES
def test_events_that_are_not_described_are_in_the_program(docs) -> None:
    """tracked-events.md#unrecorded: the names are in the pinned program, two of them in a recording."""
    text = (docs / "reference/tracked-events.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(codex\.\w+)`", text[text.index("{ #unrecorded }") :]))
    assert told == NOT_DESCRIBED.keys()
    for event, times in NOT_DESCRIBED.items():
        found = [recording for recording in recordings.with_real_use() if ("log", event) in names(recording)]
        assert len(found) == times, event
    with find_codex().open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as program:
        assert all(program.find(name.encode()) >= 0 for name in told)


@pytest.mark.slow
def test_every_recorded_event_is_told_of() -> None:
    recorded = {
        name[1]
        for recording in recordings.with_real_use()
        for name in names(recording)
        if name[0] in {"log", "event"} and len(name) == 2
    }
    told = {*tracked_events.EVENTS, *tracked_events.ON_SPANS_ALONE}
    assert recorded - told == {event for event, times in NOT_DESCRIBED.items() if times}
    assert told - recorded == {"codex.turn_cost"}
