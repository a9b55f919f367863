"""Files on the pipe: written for `put`, read and checked from `export`."""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterator, Mapping

from vibe.errors import BoxLost, UserError
from vibe.sandbox.engine import Export
from vibe.sandbox.frames import PAYLOAD

PATH_BYTES = 512
NAME_BYTES = 255
DEPTH = 32
MAX_FILE = 20 << 20
MAX_FILES = 2000
MAX_DROPPED = 2000

_PUT = struct.Struct("!HQ")
_ENTRY = struct.Struct("!BHB")
_SIZE = struct.Struct("!I")
_CHANGED = 0xFFFFFFFF


def odd(path: str) -> str:
    """Why a path may not cross the pipe; "" when it may.

    It may be a relative POSIX path of plain names: printable, no `..`, not too long.
    """
    try:
        raw = path.encode()
    except UnicodeEncodeError:
        return "name is no text"
    parts = path.split("/")
    if not path or path.startswith("/"):
        return "not a relative path"
    if any(part in ("", ".", "..") for part in parts):
        return "not a plain path"
    if len(raw) > PATH_BYTES or any(len(part.encode()) > NAME_BYTES for part in parts):
        return "name too long"
    if len(parts) > DEPTH:
        return "too deep"
    if any(unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") for char in path):
        return "control characters in its name"
    return ""


def encode(files: Mapping[str, bytes]) -> Iterator[bytes]:
    """Files as `put` sends them. Raises UserError for a path that may not be sent."""
    for path in files:
        if reason := odd(path):
            raise UserError(
                f"The file {path[:200]!r} can't go into a box: {reason}.", "Give it a plain name."
            )
    for path, content in files.items():
        raw = path.encode()
        yield _PUT.pack(len(raw), len(content)) + raw
        yield content


class ExportReader:
    """What a box exports, from bytes in any pieces: nothing it says is believed unchecked."""

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes
        self._buffer = bytearray()
        self._open: str | None = None
        self._content = bytearray()
        self._files: dict[str, bytes] = {}
        self._dropped: list[tuple[str, str]] = []
        self._entries = 0

    def feed(self, data: bytes) -> None:
        """Takes a piece. Raises BoxLost when the box sends what was not agreed."""
        self._buffer += data
        while self._content_step() if self._open is not None else self._entry_step():
            pass

    def end(self) -> Export:
        """All of it. Raises BoxLost when something is missing."""
        if self._open is not None or self._buffer:
            raise BoxLost("The box stopped in the middle of an export.")
        return Export(files=self._files, dropped=tuple(self._dropped))

    def _entry_step(self) -> bool:
        if len(self._buffer) < _ENTRY.size:
            return False
        kind, length, why = _ENTRY.unpack_from(self._buffer)
        end = _ENTRY.size + length + why
        if len(self._buffer) < end:
            return False
        path = self._buffer[_ENTRY.size : _ENTRY.size + length].decode(errors="surrogateescape")
        reason = self._buffer[_ENTRY.size + length : end].decode("ascii", "replace")
        del self._buffer[:end]
        self._entries += 1
        if kind > 1 or self._entries > 50_000:
            raise BoxLost("The box sent an export that makes no sense.")
        if kind == 1:
            self._drop(path, reason)
        elif len(self._files) >= MAX_FILES:
            raise BoxLost("The box exported more files than it may.")
        else:
            self._open, self._content = path, bytearray()
        return True

    def _content_step(self) -> bool:
        if len(self._buffer) < _SIZE.size:
            return False
        (size,) = _SIZE.unpack_from(self._buffer)
        if size not in (0, _CHANGED):
            if size > min(PAYLOAD, self._left, MAX_FILE - len(self._content)):
                raise BoxLost("The box exported more bytes than it may.")
            if len(self._buffer) < _SIZE.size + size:
                return False
            self._left -= size
            self._content += self._buffer[_SIZE.size : _SIZE.size + size]
            del self._buffer[: _SIZE.size + size]
            return True
        del self._buffer[: _SIZE.size]
        path, self._open = self._open or "", None
        reason = odd(path)
        if size == _CHANGED:
            reason = "changed while it was read"
        elif path in self._files:
            reason = "sent twice"
        if reason:
            self._drop(path, reason)
        else:
            self._files[path] = bytes(self._content)
        self._content = bytearray()
        return True

    def _drop(self, path: str, reason: str) -> None:
        if len(self._dropped) < MAX_DROPPED:
            shown = path if not odd(path) else ascii(path)[1:-1]
            printable = "".join(char if char.isprintable() else "?" for char in reason)
            self._dropped.append((shown[:PATH_BYTES], printable))
