"""The installed Streamlit's front end: what every Streamlit page loads first."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

MOST = 1_000_000
"""Bytes of a file of which most apps have use; Plotly, maps and diagrams take more."""


def folder() -> Path | None:
    """Where its files are; None when Streamlit isn't there."""
    found = find_spec("streamlit")
    return Path(found.origin).with_name("static") if found and found.origin else None


def files() -> dict[str, bytes]:
    """Its front page, scripts and styles by path, some 11 MB, without those that few apps need."""
    there = folder()
    if there is None:
        return {}
    return {
        path.relative_to(there).as_posix(): path.read_bytes()
        for path in there.rglob("*")
        if path.suffix in (".html", ".js", ".css") and path.stat().st_size < MOST
    }
