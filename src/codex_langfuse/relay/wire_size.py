"""How much a body becomes when it is decoded, before it is.

A message without anything in it takes two bytes in protobuf and three in JSON, and a hundred or more once
decoded. So bodies are bounded by what they hold, not only by their bytes.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

#: Messages in an export. Codex sends up to 512 spans at once, with some 30,000 messages in them.
MOST_MESSAGES = 500_000
#: Fields in an export, of those that are looked at one by one; Codex sends some 100,000.
MOST_FIELDS = 2_000_000
#: Resources and scopes in an export. Codex sends one or two.
MOST_GROUPS = 10_000
#: Objects and lists in an export as JSON, of which decoding takes longer; a turn of Codex has 30,000.
MOST_OBJECTS = 100_000
#: Bytes up to which a body cannot hold enough messages to matter.
_SMALL = 512 * 1024


class TooMuchError(Exception):
    """The body holds more than is decoded."""


def check_protobuf(kind: type[Message], body: bytes) -> None:
    """Raise ``TooMuchError`` if ``body``, a serialized ``kind`` of export, holds too many messages.

    What is no protobuf passes; decoding it raises the error.
    """
    if len(body) <= _SMALL:
        return
    count = groups = fields = 0
    export = _children(kind.DESCRIPTOR)
    resource, scope = export[1], export[1][2]
    todo = [(0, len(body), export)]
    try:
        while todo:
            at, end, children = todo.pop()
            while at < end:
                fields += 1
                if fields > MOST_FIELDS:
                    raise TooMuchError
                tag, at = _varint(body, at) if body[at] >= 0x80 else (body[at], at + 1)
                form = tag & 7
                if form == 2:
                    length, at = _varint(body, at) if body[at] >= 0x80 else (body[at], at + 1)
                    inner = children.get(tag >> 3)
                    if inner is not None:
                        count += 1
                        groups += inner is resource or inner is scope
                        if count > MOST_MESSAGES or groups > MOST_GROUPS:
                            raise TooMuchError
                        if inner:
                            todo.append((at, at + length, inner))
                    at += length
                elif form == 0:
                    _, at = _varint(body, at)
                elif form in (1, 5):
                    at += 8 if form == 1 else 4
                else:
                    return
    except IndexError:
        return


def check_json(body: bytes) -> None:
    """Raise ``TooMuchError`` if ``body`` holds more objects, lists or values than are decoded."""
    if body.count(b"{") + body.count(b"[") > MOST_OBJECTS or body.count(b",") > 2 * MOST_MESSAGES:
        raise TooMuchError


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while (byte := body[at]) >= 0x80:
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if shift > 63:
            raise IndexError
    return value | byte << shift, at + 1


def _children(descriptor: Any) -> dict[int, Any]:
    """Return the fields that are messages, by number, each with its own such fields.

    Repeated fields that are none are there, too, with nothing.
    """
    known = _CHILDREN.get(descriptor.full_name)
    if known is not None:
        return known
    # Values hold values: the table must be there before it is asked for again.
    found: dict[int, Any] = {}
    _CHILDREN[descriptor.full_name] = found
    for field in descriptor.fields:
        if field.message_type is not None:
            found[field.number] = _children(field.message_type)
        elif field.is_repeated:
            found[field.number] = {}
    return found


_CHILDREN: dict[str, dict[int, Any]] = {}
