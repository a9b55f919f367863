"""A WebP picture from an untrusted place, made sure of by its header and stripped to its pixels."""

from __future__ import annotations

from collections.abc import Iterator


def still(data: bytes, size: tuple[int, int]) -> bytes:
    """The one still picture of at most `size` (width, height in pixels) that a WebP file holds, as
    a file with nothing else in it: no profile, no metadata; b"" for anything else (RFC 9649)."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return b""
    for name, body in _chunks(data[12:]):
        found = _size(name, body)
        if found is None:
            continue
        if not (0 < found[0] <= size[0] and 0 < found[1] <= size[1]):
            return b""
        chunk = name + _four(len(body)) + body + b"\0" * (len(body) % 2)
        return b"RIFF" + _four(4 + len(chunk)) + b"WEBP" + chunk
    return b""


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each whole chunk."""
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + length > len(data):
            return
        yield data[at : at + 4], data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _size(name: bytes, body: bytes) -> tuple[int, int] | None:
    """Width and height of a chunk of pixels; None for any other chunk."""
    if name == b"VP8 " and body[3:6] == b"\x9d\x01\x2a" and len(body) >= 10:
        width, height = (int.from_bytes(body[at : at + 2], "little") for at in (6, 8))
        return width & 0x3FFF, height & 0x3FFF
    if name == b"VP8L" and body[:1] == b"\x2f" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None


def _four(number: int) -> bytes:
    return number.to_bytes(4, "little")
