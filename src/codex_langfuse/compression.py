"""Decompression with a limit, as Node.js does it (Langfuse 4.16.0 runs on Node.js)."""

import zlib

_PIECE = 4096


def gunzip(data: bytes, largest: int) -> bytes:
    """Decompress as Node's ``zlib.gunzip`` does: members in a row, padded with zeros.

    Raises ``ValueError`` for anything else, ``OverflowError`` once the result exceeds ``largest`` bytes.
    """
    parts: list[bytes] = []
    room = largest
    at = 0
    while True:
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        while not member.eof:
            # In pieces: what is left of one is copied, at the end of each of perhaps a million members.
            piece = data[at : at + _PIECE]
            if not piece:
                raise ValueError("unexpected end of file")
            try:
                part = member.decompress(piece, room + 1)
            except zlib.error as error:
                raise ValueError(str(error)) from error
            at += len(piece) - len(member.unconsumed_tail) - len(member.unused_data)
            room -= len(part)
            if room < 0:
                raise OverflowError(f"more than {largest} bytes")
            parts.append(part)
        if at == len(data) or data[at] == 0:
            return b"".join(parts)
