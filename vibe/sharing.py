"""Tells whether two who use an app at once could notice each other."""

from __future__ import annotations

import re
from collections.abc import Mapping

from vibe.kinds import Kind

_FILES = re.compile(
    r"""\bopen\s*\(|\.write_|\.save\w*\s*\(
        |\.to_(?:csv|json)\s*\((?!\s*(?:\)|(?:index|orient|sep|indent|header)\s*=))|\bpath_or_buf\b
        |\.to_(?:excel|parquet|sql|pickle|feather|hdf)\s*\(
        |\.touch\(|\.unlink\(|\.rename\(|\.mkdir\(|\bshelve\b|\bsqlite3\b|\bsqlalchemy\b|\bduckdb\b
        |\bconnection\s*\(|\bpickle\b|\bdump\s*\(|\bshutil\b|\bFileHandler\b|\bpersist\b
        |\bsubprocess\b|\bos\b|\bsocket\b
    """,
    re.VERBOSE,
)
"""What a Python program uses to keep something outside its process."""
_MEMORY = re.compile(
    r"""cache_resource|cache_data|experimental_singleton|experimental_memo
        |\bthreading\b|\bsetattr\b|\bsys\.modules\b
    """,
    re.VERBOSE,
)
"""What a Streamlit program uses to keep something outside a session: caches, threads."""


def shares_nothing(kind: Kind, files: Mapping[str, str]) -> bool:
    """Whether each page of the app is on its own.

    Static pages are: what they keep, the browser keeps. A Streamlit program of one file is, unless
    its text names a way to keep something outside its session; doubt counts as sharing. A server
    of its own is taken to share."""
    if kind.name in ("web", "slides", "notebook"):
        return True
    programs = _programs(files)
    return (
        kind.name == "streamlit"
        and len(programs) == 1
        and keeps_no_files(files)
        and not any(map(_MEMORY.search, programs))
    )


def keeps_no_files(files: Mapping[str, str]) -> bool:
    """Whether two processes that run a Python program at once are each on their own: its text names
    no way to keep something on the disk; doubt counts as keeping."""
    return not any(map(_FILES.search, _programs(files)))


def _programs(files: Mapping[str, str]) -> list[str]:
    return [text for path, text in files.items() if path.endswith(".py")]
