"""Tells whether two people who use one running app at once could notice each other."""

from __future__ import annotations

import re
from collections.abc import Mapping

from vibe.kinds import Kind

_SHARED = re.compile(
    r"""cache_resource|cache_data|experimental_singleton|experimental_memo
        |\bopen\s*\(|\.write_|\.to_(?:csv|excel|json|parquet|sql|pickle|feather)\s*\(|\.save\w*\s*\(
        |\.touch\(|\.unlink\(|\.rename\(|\bshelve\b|\bsqlite3\b|\bpickle\b|\bshutil\b
        |\bthreading\b|\bsubprocess\b|\bos\.|\bsetattr\b|\bsys\.modules\b
    """,
    re.VERBOSE,
)
"""What a Streamlit program uses to keep something outside a session: caches, files, threads."""


def shares_nothing(kind: Kind, files: Mapping[str, str]) -> bool:
    """Whether each page of the app is on its own.

    Static pages are: what they keep, the browser keeps. A Streamlit program of one file is, unless
    its text names a way to keep something outside its session; doubt counts as sharing. A server
    of its own is taken to share."""
    if kind.name in ("web", "slides", "notebook"):
        return True
    programs = [text for path, text in files.items() if path.endswith(".py")]
    return (
        kind.name == "streamlit" and len(programs) == 1 and not any(map(_SHARED.search, programs))
    )
