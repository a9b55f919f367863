"""What a model (and the person) is shown of the attached files: their shape and first rows.

Text is read here, never further than a fixed number of bytes. Workbooks, databases and pictures
are formats that can be made to hurt whoever opens them, so a box opens them.
"""

from __future__ import annotations

import asyncio
import csv
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from vibe.errors import BoxLost, EngineFault, UserError
from vibe.ladder import probe
from vibe.sandbox.engine import Box, BoxSpec, Engine

HEAD = 64 << 10
"""Bytes of a text file that are looked at."""
JSON_WHOLE = 2 << 20
"""Bytes of a JSON file that is read whole, so that its shape can be told."""
ROWS, COLUMNS, TABLES, FILES = 10, 30, 8, 20
CELL = 80
TEXT_LINE = 200
BOXED_S = 10.0
"""How long a box may take over one file; all of them together take at most ALL_S."""
ALL_S = 40.0
PICTURE_BYTES = 1 << 20

PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
_BOXED = re.compile(
    rb"SQLite format 3\0|PK\x03\x04|\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Table:
    """The beginning of a table: of a CSV file, a sheet, a database's table, a list of objects."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    name: str = ""
    count: int | None = None
    """Rows in all, where that is known."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What is shown of one attached file."""

    name: str
    size: int
    """Bytes."""
    what: str
    """`CSV table`, `Excel workbook, 2 sheets`, `PNG picture, 640 by 480 pixels` …"""
    tables: tuple[Table, ...] = ()
    lines: tuple[str, ...] = ()
    """The first lines of a text that is no table."""
    fault: str = ""
    """Why its content can't be shown, as a sentence; empty when it can."""
    picture: bytes = field(default=b"", repr=False)
    """A picture made small (JPEG), for models that take pictures."""


async def read_samples(
    data: Mapping[str, bytes], engine: Engine | None, app_id: str
) -> list[Sample]:
    """A sample of each attached file, in the order of their names. Never raises for what is in
    them; without an engine the formats that need a box are told by name and size."""
    found: dict[str, Sample] = {}
    boxed: dict[str, bytes] = {}
    for name, content in sorted(data.items()):
        if _BOXED.match(content[:16]) and len(boxed) < FILES:
            boxed[name] = content
        else:
            found[name] = await asyncio.to_thread(read_text, name, content)
    if boxed:
        found |= await _boxed(boxed, engine, app_id)
    return [found[name] for name in sorted(found)]


def read_text(name: str, content: bytes) -> Sample:
    """The sample of a file that is text; of one that isn't, its name and size."""
    size = len(content)
    head = content[:HEAD]
    if b"\0" in head:
        return Sample(name, size, "binary file")
    text = head.decode("utf-8-sig", "replace")
    if size > HEAD:
        text = text.rpartition("\n")[0] or text
    suffix = name.rpartition(".")[2].lower()
    if suffix == "json" and (sample := _json(name, content)):
        return sample
    if suffix in ("csv", "tsv") and (table := _csv(text, content)):
        return Sample(name, size, f"{suffix.upper()} table", (table,))
    lines = tuple(line[:TEXT_LINE] for line in text.splitlines()[: ROWS + 1])
    count = content.count(b"\n") + (not content.endswith(b"\n") and size > 0)
    return Sample(name, size, f"text, {count:,} line{'' if count == 1 else 's'}", lines=lines)


def _csv(text: str, content: bytes) -> Table | None:
    """The table, read with the delimiter that its first line has most of; None when it is none."""
    first = text.partition("\n")[0]
    delimiter = max(",;\t|", key=first.count)
    try:
        reader = csv.reader(text.splitlines(), delimiter=delimiter)
        rows = [row for row, _ in zip(reader, range(ROWS + 1), strict=False)]
    except csv.Error:
        return None
    if len(rows) < 2 or len(rows[0]) < 2:
        return None
    # Without quotes every line is a row; with them a row may have line ends of its own.
    count = content.count(b"\n") - content.endswith(b"\n") if b'"' not in content else None
    return _table("", rows[0], rows[1:], count)


def _json(name: str, content: bytes) -> Sample | None:
    if len(content) > JSON_WHOLE:
        return None
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and value and all(isinstance(v, dict) for v in value[:ROWS]):
        keys = list(dict.fromkeys(str(key) for item in value[:ROWS] for key in item))
        rows = [[_scalar(item.get(key, "")) for key in keys] for item in value[:ROWS]]
        table = _table("", keys, rows, len(value))
        return Sample(name, len(content), "JSON, a list of objects", (table,))
    what = f"JSON, a list of {len(value):,}" if isinstance(value, list) else "JSON"
    lines = json.dumps(value, indent=1, ensure_ascii=False)[: TEXT_LINE * 40].splitlines()
    return Sample(
        name, len(content), what, lines=tuple(line[:TEXT_LINE] for line in lines[: ROWS * 3])
    )


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)[: CELL * 2]


def _table(
    name: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    count: int | None,
    types: Sequence[str] = (),
) -> Table:
    columns = columns[:COLUMNS]
    rows = [row[: len(columns)] for row in rows[:ROWS]]
    guessed = [_type([row[at] for row in rows if at < len(row)]) for at in range(len(columns))]
    named = [str(kind) or guess for kind, guess in zip(types, guessed, strict=False)]
    return Table(
        tuple(_cell(column) for column in columns),
        tuple(_cell(kind) for kind in named or guessed),
        tuple(tuple(_cell(value) for value in row) for row in rows),
        _cell(name),
        count,
    )


def _cell(value: object) -> str:
    return " ".join(str(value)[: CELL * 4].split())[:CELL]


_TYPES = (
    ("whole number", re.compile(r"[-+]?\d{1,18}")),
    ("number", re.compile(r"[-+]?\d*[.,]?\d+(?:[eE][-+]?\d+)?")),
    ("date", re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d.*)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}")),
    ("yes or no", re.compile(r"(?i:true|false|yes|no)")),
)


def _type(values: Sequence[str]) -> str:
    """What all the values look like; `text` when they are nothing in particular."""
    there = [value.strip() for value in values if value.strip()]
    for name, pattern in _TYPES:
        if there and all(pattern.fullmatch(value) for value in there):
            return name
    return "text" if there else "empty"


async def _boxed(
    files: Mapping[str, bytes], engine: Engine | None, app_id: str
) -> dict[str, Sample]:
    """The samples of files that a box opens."""
    found: dict[str, Sample] = {}
    why = "No box could be started to look into it."
    if engine is not None:
        with suppress(EngineFault, UserError, TimeoutError):
            async with asyncio.timeout(ALL_S):
                box = await engine.start(BoxSpec(app=app_id, lifetime_s=ALL_S * 2))
                try:
                    for name, content in files.items():
                        found[name] = await _look(box, name, content)
                finally:
                    await box.stop()
        why = "Looking into it took too long, or broke the box it was done in."
    return {
        name: found.get(name, Sample(name, len(content), _by_name(name), fault=why))
        for name, content in files.items()
    }


async def _look(box: Box, name: str, content: bytes) -> Sample:
    await box.put({"attached": content})
    said = await probe(box, "sample.py", wall_s=BOXED_S)
    if said is None:
        fault = "Its content can't be read: that took more time or memory than it may."
        return Sample(name, len(content), _by_name(name), fault=fault)
    if "fault" in said:
        fault = f"Its content can't be read: {_cell(said['fault']).rstrip('.')}."
        return Sample(name, len(content), _by_name(name), fault=fault)
    tables = said.get("tables")
    read = [_from_box(table) for table in tables[:TABLES]] if isinstance(tables, list) else []
    picture = b""
    if "picture" in (what := _cell(said.get("what", "")) or _by_name(name)):
        with suppress(BoxLost):
            picture = (await box.export("small")).files.get("small/picture.jpg", b"")
        picture = picture if picture[:2] == b"\xff\xd8" and len(picture) < PICTURE_BYTES else b""
    return Sample(name, len(content), what, tuple(t for t in read if t), picture=picture)


def _from_box(said: Any) -> Table | None:
    """A table as the box told it; None for anything else. A box may be in its file's hands."""
    if not isinstance(said, dict):
        return None
    columns, rows, types = (said.get(key, []) for key in ("columns", "rows", "types"))
    if not all(isinstance(value, list) for value in (columns, rows, types)):
        return None
    count = said.get("count")
    return _table(
        str(said.get("name", "")),
        [str(column) for column in columns[:COLUMNS]],
        [[str(v)[:CELL] for v in row[:COLUMNS]] for row in rows[:ROWS] if isinstance(row, list)],
        count if isinstance(count, int) and 0 <= count < 1 << 62 else None,
        [str(kind)[:CELL] for kind in types[:COLUMNS]],
    )


def _by_name(name: str) -> str:
    suffix = name.rpartition(".")[2].lower()
    if f".{suffix}" in PICTURES:
        return f"{suffix.upper()} picture"
    known = {"xlsx": "Excel workbook", "xlsm": "Excel workbook", "sqlite": "SQLite database",
             "db": "SQLite database", "zip": "zip file"}  # fmt: skip
    return known.get(suffix, "binary file")


def told(samples: Sequence[Sample]) -> str:
    """The samples as the prompts have them: never more than a few rows of each file."""
    parts: list[str] = []
    for sample in samples[:FILES]:
        parts.append(f"- `data/{sample.name}`: {sample.what}, {sample.size:,} bytes")
        if sample.fault:
            parts.append(f"      {sample.fault}")
        for table in sample.tables:
            count = f", {table.count:,} rows" if table.count is not None else ""
            if table.name or count:
                parts.append(f"      {table.name or 'table'}{count}")
            titles = zip(table.columns, table.types, strict=False)
            parts.append("      columns: " + ", ".join(f"{c} ({t})" for c, t in titles))
            parts += [f"      {' | '.join(row)}" for row in table.rows]
        parts += [f"      {line}" for line in sample.lines]
    if len(samples) > FILES:
        parts.append(f"- and {len(samples) - FILES} more files")
    return "\n".join(parts)


def to_data(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """The samples for an event: everything but the pictures."""
    return [
        {key: value for key, value in asdict(sample).items() if key != "picture"}
        for sample in samples[: FILES * 5]
    ]
