"""The gallery's search index: a cache in SQLite, checked against the folders at every use."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import TypeVar

from vibe.app import App
from vibe.finding import Found, Wanted, numbers, state
from vibe.record import BrokenRecord, from_data, from_yaml, to_data

VERSION = 2
"""Of the tables below; an index of another version is thrown away."""

FOLDER = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?-[0-9a-f]{6}")
"""An app's id, which is its folder's name: a slug and six hex digits."""

MAX_TEXT = 200_000
"""Characters of one transcript that can be found; more would only slow the search down."""

MAX_CODE = 100_000
"""Likewise of one app's code."""

MANY = 1000
"""A gallery with more apps is compared with its folders at most once in RESTS_S."""

RESTS_S = 2.0
"""For so long what others write in a large gallery may go unseen; what this process writes, and
folders that come and go, are seen at once."""

BUSY_S = 5.0
"""How long to wait for another process that writes the index."""

UNWRITABLE = ("SQLITE_BUSY", "SQLITE_FULL", "SQLITE_READONLY", "SQLITE_CANTOPEN")
"""Errors that say nothing against the file's content."""

TABLES = """
CREATE TABLE apps (
    number INTEGER PRIMARY KEY, id TEXT UNIQUE, signature TEXT, problem TEXT, kind TEXT,
    state TEXT, model TEXT, keep INTEGER, created TEXT, used TEXT, money REAL, folded_title TEXT,
    folded TEXT);
CREATE INDEX by_used ON apps (used);
CREATE TABLE records (number INTEGER PRIMARY KEY, record TEXT);
CREATE VIRTUAL TABLE texts USING fts5(
    title, idea, transcript, code, tokenize = 'unicode61 remove_diacritics 2');
"""

RECORD = "SELECT id, record FROM apps JOIN records USING (number)"

CANDIDATES = """
SELECT id FROM texts JOIN apps ON number = texts.rowid WHERE texts MATCH ?
ORDER BY bm25(texts, 10, 5, 1) LIMIT ?
"""
"""What may be like an idea, before it is compared word by word."""

FORGET = (
    "DELETE FROM texts WHERE rowid = (SELECT number FROM apps WHERE id = ?)",
    "DELETE FROM records WHERE number = (SELECT number FROM apps WHERE id = ?)",
    "DELETE FROM apps WHERE id = ?",
)

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
        self._marks = Lock()
        self._touched: set[str] = set()
        self._compared = (0.0, 0)
        """When the index was last compared with all folders, and the gallery's own age then."""

    def touch(self, app_id: str) -> None:
        """Tells that this process has changed an app's folder."""
        with self._marks:
            self._touched.add(app_id)

    def apps(self) -> list[App]:
        """Every app with a readable record, in no particular order."""
        return self._with(lambda index: [self._app(*row) for row in index.execute(RECORD)])

    def find(self, wanted: Wanted, first: int = 0, most: int | None = None) -> Found:
        """The apps that fit, in order: `most` of them from number `first` (from 0) on."""

        def read(index: sqlite3.Connection) -> Found:
            index.execute("BEGIN")  # both questions see the same state; closing ends it
            fitting = numbers(index, wanted)
            shown = fitting[first : None if most is None else first + most]
            marks = ", ".join("?" * len(shown)) if len(shown) <= MANY else "SELECT number FROM apps"
            rows = index.execute(
                f"SELECT number, id, record FROM apps JOIN records USING (number) "  # noqa: S608
                f"WHERE number IN ({marks})",
                shown if len(shown) <= MANY else [],
            )
            records = {number: (app_id, record) for number, app_id, record in rows}
            return Found(tuple(self._app(*records[number]) for number in shown), len(fitting))

        return self._with(read)

    def models(self) -> list[str]:
        """The names of the models that made the apps, the most frequent first."""
        query = "SELECT model FROM apps WHERE model != '' GROUP BY model ORDER BY count(*) DESC"
        return self._with(lambda index: [model for (model,) in index.execute(query)])

    def broken(self) -> dict[str, str]:
        """What is wrong with each app whose record can't be read, by id."""
        query = "SELECT id, problem FROM apps WHERE problem IS NOT NULL ORDER BY id"
        return self._with(lambda index: dict(index.execute(query).fetchall()))

    def candidates(self, words: Iterable[str], most: int) -> list[str]:
        """Ids of apps with any word that begins so in title, idea or transcript, best first."""
        quoted = " OR ".join(f'"{word}"*' for word in sorted(words))
        query = f"{{title idea transcript}} : ({quoted})"

        def read(index: sqlite3.Connection) -> list[str]:
            return [app_id for (app_id,) in index.execute(CANDIDATES, [query, most])]

        return self._with(read) if quoted else []

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
            self._step(index, place)
            return action(index)

    def _step(self, index: sqlite3.Connection, place: str) -> None:
        """Brings the index in step: folders that are new or changed, and those that are gone."""
        with self._marks:
            touched, self._touched = self._touched, set()
        known: dict[str, str] = {}
        if place == ":memory:" or self._doubtful(index):
            began, age = monotonic(), _age(self._root)
            known = dict(index.execute("SELECT id, signature FROM apps").fetchall())
            now = {app_id: _signature(self._root, app_id) for app_id in _folders(self._root)}
        else:
            began, age = self._compared
            for app_id in touched:
                for row in index.execute("SELECT id, signature FROM apps WHERE id = ?", [app_id]):
                    known.update([row])
            there = [app_id for app_id in touched if (self._root / app_id).is_dir()]
            now = {app_id: _signature(self._root, app_id) for app_id in there}
        gone = known.keys() - now.keys()
        changed = [app_id for app_id, signature in now.items() if signature != known.get(app_id)]
        if gone or changed:
            try:
                self._write(index, [*gone, *changed], now)
            except BaseException:
                self._compared = (0.0, 0)
                raise
        if place != ":memory:":
            self._compared = (began, age)

    def _doubtful(self, index: sqlite3.Connection) -> bool:
        """Whether every folder must be looked at: always in a small gallery, else now and then."""
        compared, age = self._compared
        if monotonic() - compared > RESTS_S or age != _age(self._root):
            return True
        row: tuple[int] = index.execute("SELECT count(*) FROM apps").fetchone()
        return row[0] <= MANY

    def _write(
        self, index: sqlite3.Connection, app_ids: list[str], signatures: dict[str, str]
    ) -> None:
        index.execute("BEGIN IMMEDIATE")
        for app_id in app_ids:
            for forget in FORGET:
                index.execute(forget, [app_id])
            self._apps.pop(app_id, None)
        for app_id in app_ids:
            if app_id in signatures:
                with suppress(FileNotFoundError):  # discarded this moment
                    _put(index, self._root / app_id, signatures[app_id])
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
        for table in ("apps", "records", "texts"):
            index.execute(f"DROP TABLE IF EXISTS {table}")
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
        "INSERT INTO apps (id, signature, kind, state, model, keep, created, used, money, "
        "folded_title, folded) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            app.id,
            signature,
            app.kind,
            state(app),
            app.model,
            app.keep,
            app.created,
            app.used,
            app.spent.money,
            app.title.casefold(),
            f"{app.title}\n{app.idea}\n{app.id}".casefold(),
        ],
    )
    record = json.dumps(to_data(app), ensure_ascii=False)
    index.execute("INSERT INTO records VALUES (?, ?)", [row.lastrowid, record])
    index.execute(
        "INSERT INTO texts (rowid, title, idea, transcript, code) VALUES (?, ?, ?, ?, ?)",
        [
            row.lastrowid,
            app.title,
            app.idea,
            _transcript(folder / "events.jsonl"),
            _code(folder / "code"),
        ],
    )


def _age(root: Path) -> int:
    """Changes whenever a folder comes or goes."""
    try:
        return root.stat().st_mtime_ns
    except OSError:
        return 0


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


def _code(folder: Path) -> str:
    """The files of the last attempt, as far as they are text; links are not followed."""
    found: list[str] = []
    room = MAX_CODE
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            with suppress(OSError, UnicodeDecodeError):
                file = os.open(f"{place}/{name}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                with os.fdopen(file, "rb") as content:
                    text = content.read(room).decode()
                found += [f"{place}/{name}".removeprefix(str(folder)), text]
                room -= len(text)
            if room <= 0:
                return "\n".join(found)
    return "\n".join(found)
