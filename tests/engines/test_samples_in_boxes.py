"""Workbooks, databases and pictures are opened in a box, those that mean harm too."""

from __future__ import annotations

import io
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from vibe.running import app_box, open_box
from vibe.samples import Sample, read_samples, told
from vibe.sandbox.docker import DockerEngine

pytestmark = pytest.mark.docker

TYPES = '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
ROWS = [("day", "kWh"), *((f"2025-01-{n:02}", n * 1.5) for n in range(1, 29))]


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[DockerEngine]:
    engine = await DockerEngine.open(gallery=tmp_path)
    yield engine
    await engine.close()


def workbook(sheet: str, doctype: str = "") -> bytes:
    """An Excel file with one sheet, written by hand so that it can be a wrong one."""
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f"{TYPES}"
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/>'
        "</Types>",
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}"><Relationship Id="rId1" '
        f'Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{SHEET}" xmlns:r="{OFFICE}"><sheets>'
        '<sheet name="Power" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}"><Relationship Id="rId1" '
        f'Type="{OFFICE}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'{doctype}<worksheet xmlns="{SHEET}"><sheetData>{sheet}'
        "</sheetData></worksheet>",
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in parts.items():
            bundle.writestr(name, text)
    return file.getvalue()


def cells(*values: object) -> str:
    written = (
        f"<c><v>{value}</v></c>"
        if isinstance(value, float)
        else f'<c t="inlineStr"><is><t>{value}</t></is></c>'
        for value in values
    )
    return f"<row>{''.join(written)}</row>"


def database(path: Path) -> bytes:
    with sqlite3.connect(path) as base:
        base.execute('CREATE TABLE "odd ""name" (id INTEGER, note TEXT)')
        base.executemany(
            'INSERT INTO "odd ""name" VALUES (?, ?)', [(n, f"n{n}") for n in range(99)]
        )
    base.close()
    return path.read_bytes()


def picture(width: int, height: int, lines: int | None = None) -> bytes:
    """A white PNG, of which no more than `lines` lines are there."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    drawn = [packer.compress(b"\0" + b"\xff" * width) for _ in range(lines or height)]
    content = b"".join([*drawn, packer.flush()])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    )


async def test_sheets_tables_and_pictures_are_told_and_what_means_harm_ends_in_a_sentence(
    engine: DockerEngine, tmp_path: Path
) -> None:
    good = database(tmp_path / "good.sqlite")
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    files = {
        "power.xlsx": workbook("".join(cells(*row) for row in ROWS)),
        "notes.sqlite": good,
        "photo.png": picture(1600, 900),
        # 240 MB of cells in one row, in a file of some hundred kB
        "bomb.xlsx": workbook(f"<row>{'<c/>' * 60_000_000}</row>"),
        "laughs.xlsx": workbook(cells("&l9;"), f'<!DOCTYPE worksheet [<!ENTITY l0 "ha">{laughs}]>'),
        "torn.sqlite": good[: len(good) // 2] + b"\xff" * 5000,
        "huge.png": picture(30_000, 30_000, lines=1),
        "no.xlsx": b"PK\x03\x04 and nothing more",
    }
    found: dict[str, Sample] = {
        sample.name: sample for sample in await read_samples(files, engine, "samples")
    }
    assert list(found) == sorted(files)

    power = found["power.xlsx"]
    assert not power.fault
    assert power.what == "Excel workbook, 1 sheet"
    assert power.tables[0].name == "Power"
    assert power.tables[0].columns == ("day", "kWh")
    assert power.tables[0].types == ("date", "number")
    assert len(power.tables[0].rows) == 10

    notes = found["notes.sqlite"]
    assert notes.what == "SQLite database, 1 table"
    assert (notes.tables[0].name, notes.tables[0].count) == ('odd "name', 99)
    assert notes.tables[0].types == ("INTEGER", "TEXT")
    assert notes.tables[0].rows[9] == ("9", "n9")

    assert found["photo.png"].what == "PNG picture, 1600 by 900 pixels"
    assert found["photo.png"].picture.startswith(b"\xff\xd8")

    for name in ("bomb.xlsx", "laughs.xlsx", "torn.sqlite", "huge.png", "no.xlsx"):
        assert found[name].fault.startswith("Its content can't be read:"), found[name]
        assert not found[name].picture
    assert len(told(list(found.values()))) < 10_000


async def test_a_program_reads_what_was_attached_and_can_not_change_it(
    engine: DockerEngine,
) -> None:
    program = (
        "from pathlib import Path\n"
        "print(Path('data/in/a.csv').read_text())\n"
        "for path in ('data/in/a.csv', 'data/new', 'data/in/new'):\n"
        "    try:\n        Path(path).write_text('mine')\n"
        "    except PermissionError:\n        print('refused', path)\n"
    )
    spec = app_box(None, "samples", lambda event: None)
    box = await open_box(engine.start, spec, {"main.py": program.encode()},
                         {"in/a.csv": b"one,two"}, lambda event: None)  # fmt: skip
    outcome = await box.run(["python", "main.py"])
    await box.stop()
    assert outcome.stdout.decode().splitlines() == [
        "one,two", "refused data/in/a.csv", "refused data/new", "refused data/in/new",
    ]  # fmt: skip
