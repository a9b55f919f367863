"""Streamlit's own files for the browser, out of Vibe's installation instead of an app's box.

Their names hold a hash of their content, so what an app's page asks for by such a name is the same
in its box; a name that isn't here (an app of another version) is the app's to answer. Nothing in a
box can put or change anything here. A Streamlit page asks for some eighty of them, and in its box
each is compressed anew by the process that also runs the app.
"""

from __future__ import annotations

import asyncio
import gzip
import re
from pathlib import Path

from vibe import front_end
from vibe.hosts import Headers

_HASHED = re.compile(r"\.[A-Za-z0-9_-]{8}\.(js|css|woff2)")
_TYPES = {
    "js": b"text/javascript; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "woff2": b"font/woff2",
}


class Assets:
    """The files below `folder` whose names end in a hash, by their address."""

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, tuple[Path, str]] = {}
        self._packed: dict[str, bytes] = {}
        """Compressed at the first wish, then kept: some 7 MB if a person sees every element."""
        for path in folder.rglob("*"):
            if hashed := _HASHED.search(path.name):
                self._files[f"/{path.relative_to(folder).as_posix()}"] = path, hashed[1]

    async def get(self, address: str, *, packed: bool) -> tuple[Headers, bytes] | None:
        """Headers and content of the file at that address, if it is one; compressed by gzip where
        that helps and `packed` says that it may be."""
        if address not in self._files:
            return None
        path, kind = self._files[address]
        headers = [
            (b"content-type", _TYPES[kind]),
            (b"cache-control", b"public, immutable, max-age=31536000"),
            (b"vary", b"accept-encoding"),
        ]
        if packed and kind != "woff2":
            headers.append((b"content-encoding", b"gzip"))
            if address not in self._packed:
                self._packed[address] = await asyncio.to_thread(_pack, path)
            content = self._packed[address]
        else:
            content = await asyncio.to_thread(path.read_bytes)
        return [*headers, (b"content-length", b"%d" % len(content))], content


def of_streamlit() -> Assets | None:
    """Those of the installed Streamlit; None when it isn't there."""
    found = front_end.folder()
    return Assets(found) if found else None


def _pack(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), 6, mtime=0)
