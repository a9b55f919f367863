"""The gallery's search index: a cache in SQLite, checked against the folders at every use."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TypeVar

from vibe.app import App
from vibe.record import BrokenRecord, from_data, from_yaml, to_data

VERSION = 1
"""Of the tables below; an index of another version is thrown away."""

FOLDER = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?-[0-9a-f]{6}")
"""An app's id, which is its folder's name: a slug and six hex digits."""

MAX_TEXT = 200_000
"""Characters of one transcript that can be found; more would only slow the search down."""

MAX_QUERY = 200

BUSY_S = 5.0
"""How long to wait for another process that writes the index."""

UNWRITABLE = ("SQLITE_BUSY", "SQLITE_FULL", "SQLITE_READONLY", "SQLITE_CANTOPEN")
"""Errors that say nothing against the file's content."""

TABLES = """
CREATE TABLE apps (
    number INTEGER PRIMARY KEY, id TEXT UNIQUE, signature TEXT, record TEXT, problem TEXT,
    used TEXT, folded TEXT);
CREATE VIRTUAL TABLE texts USING fts5(
    title, idea, transcript, tokenize = 'unicode61 remove_diacritics 2');
"""

SEARCH = """
SELECT id, record FROM texts JOIN apps ON number = texts.rowid WHERE texts MATCH ?
ORDER BY bm25(texts, 10, 5, 1), used DESC
"""

SEARCH_PART = "SELECT id, record FROM apps WHERE instr(folded, ?) ORDER BY used DESC"
"""Finds parts of words, and languages that don't put spaces between words."""

FORGET_TEXT = "DELETE FROM texts WHERE rowid = (SELECT number FROM apps WHERE id = ?)"

_TOLD = ("text", "sentence", "evidence", "report", "detail")
"""Fields of events that are worth finding. Prompts are not: they are alike in every app."""

Result = TypeVar("Result")


class Index:
    """The index of one gallery. When its file is damaged it is made anew; when it can't be written
    every call reads the folders instead. Nothing here raises because of the index."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / ".index.sqlite"
        self._lock = Lock()
        self._apps: dict[str, tuple[str, App]] = {}

    def apps(self) -> list[App]:
        """Every app with a readable record, in no particular order."""

        def read(index: sqlite3.Connection) -> list[App]:
            rows = index.execute("SELECT id, record FROM apps WHERE problem IS NULL")
            return [self._app(*row) for row in rows]

        return self._with(read)

    def broken(self) -> dict[str, str]:
        """What is wrong with each app whose record can't be read, by id."""
        query = "SELECT id, problem FROM apps WHERE problem IS NOT NULL ORDER BY id"
        return self._with(lambda index: dict(index.execute(query).fetchall()))

    def search(self, words: str) -> list[App]:
        """Apps with all the words, or beginnings of words, in their title, idea or transcript,
        best first; then those that have the text as it stands in title, idea or id."""
        words = words[:MAX_QUERY].encode("utf-8", "replace").decode().replace("\0", " ").strip()
        quoted = " ".join(f'"{word}"*' for word in re.findall(r"\w+", words))

        def read(index: sqlite3.Connection) -> list[App]:
            rows = dict(index.execute(SEARCH, [quoted]).fetchall()) if quoted else {}
            for app_id, record in index.execute(SEARCH_PART, [words.casefold()]):
                rows.setdefault(app_id, record)
            return [self._app(app_id, record) for app_id, record in rows.items() if record]

        return self._with(read)

    def scrub(self) -> None:
        """Leaves nothing in the index's file of apps that are gone."""
        self._with(lambda index: index.execute("INSERT INTO texts (texts) VALUES ('optimize')"))

    def _with(self, action: Callable[[sqlite3.Connection], Result]) -> Result:
        """The action's result on an index that is in step with the folders."""
        with self._lock:
            for _ in range(2):
                if not self._root.is_dir():
                    break
                try:
                    return self._through(str(self._path), action)
                except (sqlite3.DatabaseError, ValueError) as error:
                    if getattr(error, "sqlite_errorname", "") in UNWRITABLE:
                        break
                    with suppress(OSError):
                        self._path.unlink()
            return self._through(":memory:", action)

    def _through(self, place: str, action: Callable[[sqlite3.Connection], Result]) -> Result:
        with closing(sqlite3.connect(place, timeout=BUSY_S, isolation_level=None)) as index:
            index.execute("PRAGMA secure_delete = ON")
            if index.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                _make_tables(index)
            self._step(index)
            return action(index)

    def _step(self, index: sqlite3.Connection) -> None:
        """Brings the index in step: folders that are new or changed, and those that are gone."""
        known: dict[str, str] = dict(index.execute("SELECT id, signature FROM apps").fetchall())
        now = {app_id: _signature(self._root, app_id) for app_id in _folders(self._root)}
        gone = known.keys() - now.keys()
        changed = [app_id for app_id, signature in now.items() if signature != known.get(app_id)]
        if not gone and not changed:
            return
        index.execute("BEGIN IMMEDIATE")
        for app_id in [*gone, *changed]:
            index.execute(FORGET_TEXT, [app_id])
            index.execute("DELETE FROM apps WHERE id = ?", [app_id])
            self._apps.pop(app_id, None)
        for app_id in changed:
            with suppress(FileNotFoundError):  # discarded this moment
                _put(index, self._root / app_id, now[app_id])
        index.execute("COMMIT")

    def _app(self, app_id: str, record: str) -> App:
        """The app of a row, made once as long as its record stays the same."""
        kept = self._apps.get(app_id)
        if kept is None or kept[0] != record:
            app = replace(from_data(json.loads(record)), discarded=None)
            kept = self._apps[app_id] = (record, app)
        return kept[1]


def _make_tables(index: sqlite3.Connection) -> None:
    index.execute("BEGIN IMMEDIATE")
    if index.execute("PRAGMA user_version").fetchone()[0] != VERSION:  # nobody else was quicker
        index.execute("DROP TABLE IF EXISTS apps")
        index.execute("DROP TABLE IF EXISTS texts")
        for statement in filter(str.strip, TABLES.split(";")):
            index.execute(statement)
        index.execute(f"PRAGMA user_version = {VERSION}")
    index.execute("COMMIT")


def _folders(root: Path) -> list[str]:
    try:
        with os.scandir(root) as entries:
            return [
                entry.name
                for entry in entries
                if FOLDER.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
    except FileNotFoundError:
        return []


def _signature(root: Path, app_id: str) -> str:
    """Changes whenever the app's record or transcript does."""
    # Strings and os.stat: a Path for each of 10,000 apps would double the time of a search.
    try:
        record = os.stat(f"{root}/{app_id}/app.yaml")  # noqa: PTH116
        written = f"{record.st_mtime_ns} {record.st_size} {record.st_ino}"
    except OSError:
        written = "none"
    try:
        transcript = os.stat(f"{root}/{app_id}/events.jsonl")  # noqa: PTH116
        return f"{written} {transcript.st_size}"
    except OSError:
        return written


def _put(index: sqlite3.Connection, folder: Path, signature: str) -> None:
    """Writes an app's rows. Raises FileNotFoundError when its folder is gone."""
    app, problem = read_record(folder)
    if app is None:
        index.execute(
            "INSERT INTO apps (id, signature, problem) VALUES (?, ?, ?)",
            [folder.name, signature, problem],
        )
        return
    row = index.execute(
        "INSERT INTO apps (id, signature, record, used, folded) VALUES (?, ?, ?, ?, ?)",
        [
            app.id,
            signature,
            json.dumps(to_data(app), ensure_ascii=False),
            app.used,
            f"{app.title}\n{app.idea}\n{app.id}".casefold(),
        ],
    )
    index.execute(
        "INSERT INTO texts (rowid, title, idea, transcript) VALUES (?, ?, ?, ?)",
        [row.lastrowid, app.title, app.idea, _transcript(folder / "events.jsonl")],
    )


def read_record(folder: Path) -> tuple[App | None, str]:
    """The app of a folder, or None and what is wrong with its app.yaml, as the end of a sentence.

    The folder's name is the app's id and its place says whether it is discarded, whatever the
    record says. Raises FileNotFoundError when the folder is gone.
    """
    try:
        app = from_yaml((folder / "app.yaml").read_text("utf-8"))
    except FileNotFoundError:
        if not folder.is_dir():
            raise
        return None, "there is none"
    except (OSError, UnicodeDecodeError, BrokenRecord) as error:
        return None, " ".join(str(error).split())[:300]
    if app.id != folder.name:
        return None, f"it is the record of {app.id[:80]!r}"
    return app, ""


def _transcript(path: Path) -> str:
    """What was said in a transcript, as text to search in."""
    said: list[str] = []
    size = 0
    with suppress(OSError), path.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        for line in lines:
            try:
                event = json.loads(line)
                if event["type"] == "PromptSent":
                    continue
                # Pieces of a reply may end within a word.
                end = "" if event["type"] == "ReplyText" else "\n"
                text = "".join(f"{event[n]}{end}" for n in _TOLD if isinstance(event.get(n), str))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue
            said.append(text.encode("utf-8", "replace").decode())
            size += len(text)
            if size > MAX_TEXT:
                break
    return "".join(said)
