"""Decompression with a limit, as Node.js does it (Langfuse 4.16.0 runs on Node.js)."""

import zlib


def gunzip(data: bytes, largest: int) -> bytes:
    """Decompress as Node's ``zlib.gunzip`` does: members in a row, padded with zeros.

    Raises ``ValueError`` for anything else, ``OverflowError`` once the result exceeds ``largest`` bytes.
    """
    parts: list[bytes] = []
    room = largest
    rest = data
    while True:
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        while not member.eof:
            try:
                part = member.decompress(rest, room + 1)
            except zlib.error as error:
                raise ValueError(str(error)) from error
            rest = member.unconsumed_tail
            room -= len(part)
            if room < 0:
                raise OverflowError(f"more than {largest} bytes")
            parts.append(part)
            if not rest and not part and not member.eof:
                raise ValueError("unexpected end of file")
        rest = member.unused_data
        if not rest or rest[0] == 0:
            return b"".join(parts)
