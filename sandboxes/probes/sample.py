"""Runs in a box: what an attached workbook, database or picture holds, as JSON on stdout.

    python - <the file's name>      the file itself is /work/attached

Prints {"what", "tables": [{"name", "columns", "rows", "count"}]}, or {"fault"}. A picture is also
written, made small, to /work/small/picture.jpg.
"""

import json
import resource
import zipfile
from contextlib import suppress
from pathlib import Path

ROWS, COLUMNS, TABLES, CELL = 10, 30, 8, 80
SIDE = 1024
"""Pixels of the longer side of a picture that a model is shown."""
MEMORY = 500 << 20
UNPACKED = 200 << 20
"""Bytes of a workbook's parts together; real ones of that size take minutes to open."""
SQL_STEPS = 20_000_000
"""What SQLite may do for one question: a second or so."""

FILE = Path("attached")


def cell(value):
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"<{len(value):,} bytes>"
    return " ".join(str(value)[: CELL * 4].split())[:CELL]


def table(name, columns, rows, count):
    return {
        "name": cell(name),
        "columns": [cell(column) for column in columns[:COLUMNS]],
        "rows": [[cell(value) for value in row[:COLUMNS]] for row in rows[:ROWS]],
        "count": count,
    }


def workbook():
    import openpyxl

    with zipfile.ZipFile(FILE) as bundle:
        # What is read of a member never goes past the size that is declared for it.
        unpacked = sum(member.file_size for member in bundle.infolist())
    if unpacked > UNPACKED:
        raise MemoryError
    # An open file: openpyxl judges a path by its ending, which is not the person's here.
    file = FILE.open("rb")
    book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
    tables = []
    for sheet in book.worksheets[:TABLES]:
        rows = [
            list(row)
            for row in sheet.iter_rows(max_row=ROWS + 1, max_col=COLUMNS, values_only=True)
        ]
        rows = [row for row in rows if any(value is not None for value in row)]
        while rows and all(row and row[-1] is None for row in rows):
            rows = [row[:-1] for row in rows]
        # What the sheet says of its own size is a hint, never a promise.
        count = max(0, sheet.max_row - 1) if isinstance(sheet.max_row, int) else None
        tables.append(table(sheet.title, rows[0] if rows else [], rows[1:], count))
    names = len(book.sheetnames)
    return {"what": f"Excel workbook, {names} sheet{'' if names == 1 else 's'}", "tables": tables}


def database():
    import sqlite3

    base = sqlite3.connect(f"file:{FILE}?mode=ro&immutable=1", uri=True)
    base.text_factory = lambda raw: raw.decode("utf-8", "replace")
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0"):
        base.execute(f"PRAGMA {pragma}")
    steps = 0

    def count_steps():
        nonlocal steps
        steps += 1000
        return steps > SQL_STEPS

    base.set_progress_handler(count_steps, 1000)

    def ask(sql):
        nonlocal steps
        steps = 0
        return base.execute(sql)

    listed = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    names = [name for (name,) in ask(f"{listed} ORDER BY name LIMIT 200")]
    tables = []
    for name in names[:TABLES]:
        quoted = '"' + name.replace('"', '""') + '"'
        found = ask(f"SELECT * FROM {quoted} LIMIT {ROWS}")  # noqa: S608 quoted above
        columns = [column[0] for column in found.description]
        declared = {row[1]: row[2] for row in ask(f"PRAGMA table_info({quoted})")}
        rows = found.fetchall()
        count = None
        with suppress(sqlite3.Error):
            (count,) = ask(f"SELECT count(*) FROM {quoted}").fetchone()  # noqa: S608
        shown = table(name, columns, rows, count)
        shown["types"] = [cell(declared.get(column) or "") for column in columns[:COLUMNS]]
        tables.append(shown)
    what = f"SQLite database, {len(names)} table{'' if len(names) == 1 else 's'}"
    return {"what": what, "tables": tables}


def picture():
    from PIL import Image

    with Image.open(FILE) as image:
        what = f"{image.format} picture, {image.width} by {image.height} pixels"
        image.draft("RGB", (SIDE, SIDE))
        small = image.convert("RGB")
        small.thumbnail((SIDE, SIDE))
        Path("small").mkdir()
        small.save("small/picture.jpg", quality=80)
    return {"what": what, "tables": []}


def main():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with FILE.open("rb") as file:
        head = file.read(16)
    try:
        if head.startswith(b"SQLite format 3\0"):
            found = database()
        elif head.startswith(b"PK"):
            found = workbook()
        else:
            found = picture()
    except MemoryError:
        found = {"fault": "it unpacks to more than may be read"}
    except Exception as error:
        found = {"fault": " ".join(str(error).split())[:200] or type(error).__name__}
    print(json.dumps(found))


main()
