"""The pipe's language: length-prefixed frames, and Docker's multiplexing around them.

A frame is a header (payload length, kind, channel) and at most PAYLOAD bytes. The host opens a
channel for each thing it asks for, and never uses a number twice:

    host → box   HELLO lifetime · OPEN what · DATA · CREDIT n · END · CLOSE
    box → host   HELLO version · OPENED · DATA · ERR (standard error) · CREDIT n · END · DONE how

Each side may have WINDOW bytes of a channel under way; CREDIT allows more as they are consumed, so
a slow reader stalls its own channel only. DONE is a channel's last frame; CLOSE asks for it.
Everything from the box is hostile until checked here and in `link`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum

from vibe.errors import BoxLost

HEADER = struct.Struct("!IBI")
PAYLOAD = 65536
WINDOW = 262144
VERSION = 1

_MUX = struct.Struct("!BxxxI")


class Kind(IntEnum):
    HELLO = 1
    OPEN = 2
    OPENED = 3
    DATA = 4
    ERR = 5
    CREDIT = 6
    END = 7
    CLOSE = 8
    DONE = 9


Frame = tuple[Kind, int, bytes]
"""Kind, channel, payload."""

BOOTSTRAP = """\
import os
def read(size):
    found = b""
    while len(found) < size:
        chunk = os.read(0, size - len(found))
        if not chunk:
            os._exit(1)
        found += chunk
    return found
exec(compile(read(int(read(8), 16)), "runner.py", "exec"))
"""
"""What the box's Python is told to do: read the runner's source from the pipe and be it. It reads
not a byte more, so frames may follow at once."""


def bootstrap(source: bytes) -> bytes:
    """What the host sends first."""
    return b"%08x" % len(source) + source


def encode(kind: Kind, channel: int, payload: bytes = b"") -> bytes:
    """One frame as it goes over the pipe."""
    if len(payload) > PAYLOAD:
        raise ValueError(f"a frame holds {PAYLOAD} bytes, not {len(payload)}")
    return HEADER.pack(len(payload), kind, channel) + payload


class Decoder:
    """Frames from bytes that come in any pieces; holds less than one frame and one piece."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now. Raises BoxLost for bytes that are no frame."""
        self._buffer += data
        at = 0
        try:
            while len(self._buffer) - at >= HEADER.size:
                size, kind, channel = HEADER.unpack_from(self._buffer, at)
                if size > PAYLOAD:
                    raise BoxLost(f"The box sent a frame of {size} bytes.")
                try:
                    known = Kind(kind)
                except ValueError:
                    raise BoxLost(f"The box sent a frame of unknown kind {kind}.") from None
                start = at + HEADER.size
                if len(self._buffer) < start + size:
                    return
                at = start + size
                yield known, channel, bytes(self._buffer[start:at])
        finally:
            del self._buffer[:at]


class Demultiplexer:
    """Docker's attach stream taken apart: eight-byte headers around stdout and stderr."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._stream, self._left = 0, 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(1 stdout or 2 stderr, bytes) for each piece. Raises BoxLost for anything else."""
        at = 0
        while at < len(data):
            if not self._left:
                take = _MUX.size - len(self._header)
                self._header += data[at : at + take]
                at += take
                if len(self._header) == _MUX.size:
                    self._stream, self._left = _MUX.unpack(self._header)
                    self._header.clear()
                    if self._stream not in (1, 2):
                        raise BoxLost(f"Docker sent an unknown stream {self._stream}.")
                continue
            piece = data[at : at + self._left]
            at += len(piece)
            self._left -= len(piece)
            yield self._stream, piece
