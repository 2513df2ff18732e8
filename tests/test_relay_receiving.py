"""What the relay takes for an export, and what it answers to everything else."""

import base64
import gzip
import json
import zlib
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

import recordings
from codex_langfuse.relay.receiving import (
    LARGEST_BODY,
    LARGEST_JSON,
    RefusedRequestError,
    decode,
    parse,
)

pytestmark = [pytest.mark.macos, pytest.mark.windows]

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json; charset=utf-8"}


def refusal(signal: str, headers: dict[str, str], body: bytes) -> int:
    with pytest.raises(RefusedRequestError) as refused:
        decode(signal, headers, body)
    return refused.value.status


@pytest.mark.parametrize("signal", ["logs", "traces"])
@pytest.mark.parametrize("version", ["0.73.0", "0.163.0", "0.169.0"])
def test_takes_what_codex_sends(version: str, signal: str) -> None:
    bodies = recordings.bodies(f"{version}-simple", signal)
    for body in bodies:
        export = decode(signal, PROTOBUF, body)
        assert export.body == body
        assert parse(signal, body) == export.message
        zipped = {**PROTOBUF, "content-encoding": "gzip"}
        assert decode(signal, zipped, gzip.compress(body)) == export


def hex_ids(value: object) -> object:
    """Turn protobuf's JSON into OTLP's: ids in hex, enumerations as numbers."""
    if isinstance(value, dict):
        return {
            name: base64.b64decode(each).hex()
            if name in ("traceId", "spanId", "parentSpanId")
            else hex_ids(each)
            for name, each in value.items()
        }
    return [hex_ids(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("signal", ["logs", "traces"])
def test_json_says_the_same_as_protobuf(signal: str) -> None:
    for body in recordings.bodies("0.169.0-simple", signal):
        message = parse(signal, body)
        document = MessageToDict(recordings.MESSAGES[signal].FromString(body), use_integers_for_enums=True)
        for form in (document, hex_ids(document)):
            export = decode(signal, JSON, json.dumps(form).encode())
            assert export.message == message
            assert parse(signal, export.body) == message


def test_nothing_in_it_is_fine() -> None:
    assert decode("logs", PROTOBUF, b"").is_empty
    assert decode("traces", JSON, b"{}").is_empty
    assert decode("traces", JSON, b'{"resourceSpans":[]}').is_empty


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/grpc", "multipart/form-data"])
def test_other_content_types(content_type: str) -> None:
    assert refusal("logs", {"content-type": content_type}, b"") == 415


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip"])
def test_other_compressions(encoding: str) -> None:
    assert refusal("logs", {**PROTOBUF, "content-encoding": encoding}, b"") == 415


@pytest.mark.parametrize("signal", ["logs", "traces"])
def test_a_small_body_does_not_become_gigabytes(signal: str) -> None:
    """Millions of messages with nothing in them are few bytes, compressed or not."""
    own_name = "resourceLogs" if signal == "logs" else "resourceSpans"
    zipped = {**PROTOBUF, "content-encoding": "gzip"}
    assert refusal(signal, zipped, gzip.compress(b"\x0a\x00" * 15_000_000)) == 413
    assert refusal(signal, PROTOBUF, b"\x0a\x00" * 400_000) == 413
    assert refusal(signal, JSON, b'{"%s":[%s{}]}' % (own_name.encode(), b"{}," * 150_000)) == 413
    assert refusal(signal, JSON, b'{"%s":[]}' % own_name.encode() + b" " * LARGEST_JSON) == 413


@pytest.mark.parametrize("signal", ["logs", "traces"])
def test_fields_that_nobody_knows_count_too(signal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """15 million of them, 30 kB compressed, kept the next sender waiting for 20 s."""
    monkeypatch.setattr("codex_langfuse.relay.wire_size._SMALL", 0)
    monkeypatch.setattr("codex_langfuse.relay.wire_size.MOST_FIELDS", 1_000)
    for tag in (b"\x78\x01", b"\x7a\x00", b"\x7d" + bytes(4), b"\x79" + bytes(8)):
        assert refusal(signal, PROTOBUF, b"\x0a" + _varint(1_000 * len(tag)) + tag * 1_000) == 413


@pytest.mark.parametrize("signal", ["logs", "traces"])
def test_messages_count_at_every_level(signal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where values hold values."""
    monkeypatch.setattr("codex_langfuse.relay.wire_size._SMALL", 0)
    monkeypatch.setattr("codex_langfuse.relay.wire_size.MOST_MESSAGES", 1_000)
    for path in _paths(recordings.MESSAGES[signal].DESCRIPTOR):
        for count, status in ((1_100, 413), (900, None)):
            body = bytes([path[-1] << 3 | 2, 0]) * count
            for number in reversed(path[:-1]):
                body = bytes([number << 3 | 2]) + _varint(len(body)) + body
            try:
                decode(signal, PROTOBUF, body)
                answer = None
            except RefusedRequestError as refused:
                # What is small enough may still be no export.
                answer = refused.status if refused.status == 413 else None
            assert (path, count, answer) == (path, count, status)


def _paths(kind: Descriptor, above: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    for field in kind.fields:
        if field.is_repeated and field.message_type is not None:
            yield (*above, field.number)
        if field.message_type is not None and len(above) < 6:
            yield from _paths(field.message_type, (*above, field.number))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


@pytest.mark.parametrize("signal", ["logs", "traces"])
def test_many_records_at_once_are_no_attack(signal: str) -> None:
    """A Collector sends 8,192 at once."""
    kind = recordings.MESSAGES[signal]
    one = kind()
    for body in recordings.bodies("0.169.0-simple", signal):
        one.MergeFromString(body)
    group = next(iter(one.resource_logs if signal == "logs" else one.resource_spans))
    records = group.scope_logs[0].log_records if signal == "logs" else group.scope_spans[0].spans
    template = list(records)
    while len(records) < 8_192:
        records.append(template[len(records) % len(template)])
    assert decode(signal, PROTOBUF, one.SerializeToString()).signal == signal


def test_broken_compression() -> None:
    zipped = {**PROTOBUF, "content-encoding": "gzip"}
    (body,) = recordings.bodies("0.169.0-simple", "logs")
    assert refusal("logs", zipped, gzip.compress(body)[:-20]) == 400
    assert refusal("logs", zipped, body) == 400
    bomb = gzip.compress(bytes(LARGEST_BODY + 1))
    assert len(bomb) < 100_000
    assert refusal("logs", zipped, bomb) == 413


def test_many_members_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows a member was copied for each: 200,000 empty ones in 4 MB took minutes."""
    given = 0
    real = zlib.decompressobj

    def counting(**options: int) -> SimpleNamespace:
        member = real(**options)

        def decompress(piece: bytes, most: int) -> bytes:
            nonlocal given
            given += len(piece)
            result = member.decompress(piece, most)
            shown.__dict__.update(
                eof=member.eof, unconsumed_tail=member.unconsumed_tail, unused_data=member.unused_data
            )
            return result

        shown = SimpleNamespace(eof=False, decompress=decompress)
        return shown

    (body,) = recordings.bodies("0.169.0-simple", "logs")
    members = [gzip.compress(b"")] * 2_000
    zipped = b"".join([*members, gzip.compress(body[:999]), *members, gzip.compress(body[999:])])
    monkeypatch.setattr(zlib, "decompressobj", counting)
    read = decode("logs", {**PROTOBUF, "content-encoding": "gzip"}, zipped)
    assert read.body == body
    assert given <= len(zipped) + 5_000 * 4_002


@pytest.mark.parametrize(("signal", "other"), [("logs", "traces"), ("traces", "logs"), ("logs", "metrics")])
def test_exports_at_the_wrong_path(signal: str, other: str) -> None:
    for body in recordings.bodies("0.169.0-simple", other):
        assert refusal(signal, PROTOBUF, body) == 400
        document = MessageToDict(recordings.MESSAGES[other].FromString(body))
        assert refusal(signal, JSON, json.dumps(document).encode()) == 400


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{",
        '{"resourceLogs":{}}',
        '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":5}]}]}]}',
        '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"later"}]}]}]}',
        '{"resourceLogs":[{"resource":' * 9000 + "{}" + "}]}" * 9000,
        '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":'
        + '{"arrayValue":{"values":[' * 300
        + "{}"
        + "]}}" * 300
        + "}]}]}]}",
    ],
    ids=lambda text: text[:60],
)
def test_json_that_is_no_export(text: str) -> None:
    assert refusal("logs", JSON, text.encode()) == 400


@given(
    st.binary(min_size=1, max_size=200),
    st.sampled_from(["logs", "traces"]),
    st.sampled_from([PROTOBUF, JSON]),
)
def test_any_bytes_get_an_answer(body: bytes, signal: str, headers: dict[str, str]) -> None:
    try:
        export = decode(signal, headers, body)
    except RefusedRequestError as refused:
        assert refused.status == 400
    else:
        assert parse(signal, export.body) == export.message
