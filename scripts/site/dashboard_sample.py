"""A week of turns for the dashboard: recordings put through the relay, moved to the last seven days.

Used by the picture of the mock's dashboard, and by the test that computes each of its numbers by hand.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import recordings
from codex_langfuse.relay.policy import Policy, User
from relay_documented import relayed

#: What the recordings' model costs here, by the kind of a token, as a model definition of the project.
PRICES = {
    "input": 1.25e-06,
    "input_cached_tokens": 1.25e-07,
    "output": 1e-05,
    "output_reasoning_tokens": 1e-05,
}
MODEL = {
    "modelName": "gpt-5-codex",
    "matchPattern": "(?i)^(openai/)?(gpt-5-codex)$",
    "unit": "TOKENS",
    "pricingTiers": [
        {"name": "Standard", "isDefault": True, "priority": 0, "conditions": [], "prices": PRICES}
    ],
}
_COMPLETION_START = "langfuse.observation.completion_start_time"


@dataclass(frozen=True)
class _Turn:
    recording: str
    user: str
    environment: str
    days_ago: int


_TURNS = (
    _Turn("0.163.0-simple", "ada", "laptop", 6),
    _Turn("0.150.0-simple", "linus", "laptop", 6),
    _Turn("0.169.0-simple", "ada", "laptop", 5),
    _Turn("0.169.0-err-tool_exit3", "ada", "ci", 4),
    _Turn("0.169.0-appserver-decline", "grace", "laptop", 4),
    _Turn("0.169.0-subagent", "grace", "laptop", 3),
    _Turn("relay/0.163.0-500-for-good", "ci-bot", "ci", 3),
    _Turn("relay/0.163.0-cancel", "linus", "laptop", 2),
    _Turn("0.169.0-exec-resume", "ada", "ci", 2),
    _Turn("0.169.0-privacy-lup_true_agentresp", "grace", "laptop", 1),
    _Turn("0.169.0-tui-ok", "ada", "laptop", 1),
    _Turn("0.169.0-err-api_429_then_ok", "ci-bot", "ci", 1),
    _Turn("relay/0.163.0-steer", "linus", "laptop", 0),
    _Turn("0.142.0-simple", "linus", "laptop", 0),
)


def exports(now: datetime) -> Iterator[bytes]:
    """Return what the relay sends for these turns: the last an hour before ``now``, but today."""
    last = max(now - timedelta(hours=1), now.replace(hour=0, minute=0, second=0, microsecond=0))
    for number, turn in enumerate(_TURNS):
        batches = [each.message for each in recordings.read(turn.recording) if each.signal != "metrics"]
        policy = Policy(user=User.parse(turn.user), environment=turn.environment)
        moment = last - timedelta(days=turn.days_ago)
        for export in relayed(batches, policy):
            yield _moved(ExportTraceServiceRequest.FromString(export), moment, number)


def _moved(export: ExportTraceServiceRequest, moment: datetime, number: int) -> bytes:
    """Let an export begin at a moment, with ids that no other turn has."""
    spans = list(recordings.each_span(export))
    first = min(span.start_time_unix_nano for span in spans)
    # Whole milliseconds, so that what lies between two times stays as it was.
    shift = (int(moment.timestamp() * 1000) - first // 1_000_000) * 1_000_000
    for span in spans:
        span.start_time_unix_nano += shift
        span.end_time_unix_nano += shift
        span.trace_id = bytes([span.trace_id[0] ^ number, *span.trace_id[1:]])
        for attribute in span.attributes:
            if attribute.key == _COMPLETION_START:
                there = datetime.fromisoformat(attribute.value.string_value)
                there += timedelta(microseconds=shift / 1000)
                text = there.astimezone(UTC).isoformat(timespec="milliseconds")
                attribute.value.string_value = text.replace("+00:00", "Z")
    return export.SerializeToString()
