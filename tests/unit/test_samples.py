"""What is told of attached text files, and what is made of what a box says of the others."""

from __future__ import annotations

import json

import pytest

from vibe.samples import CELL, HEAD, Sample, Table, read_samples, read_text, told


def test_a_csv_file_is_told_by_header_types_ten_rows_and_size() -> None:
    rows = [f"{n},name {n},{n / 4},2025-03-{n % 28 + 1:02}" for n in range(1000)]
    content = "\n".join(["id,who,share,day", *rows, ""]).encode()
    [table] = read_text("people.csv", content).tables
    assert table.columns == ("id", "who", "share", "day")
    assert table.types == ("whole number", "text", "number", "date")
    assert len(table.rows) == 10
    assert table.count == 1000
    text = told([read_text("people.csv", content)])
    assert f"data/people.csv`: CSV table, {len(content):,} bytes" in text
    assert "9 | name 9 | 2.25 | 2025-03-10" in text
    assert "name 10" not in text


def test_the_delimiter_is_the_one_the_first_line_has_most_of() -> None:
    [table] = read_text("prices.csv", b"city;price\nAarhus;1,5\nRibe;2,5\n").tables
    assert table.columns == ("city", "price")
    assert table.types == ("text", "number")


def test_lines_of_a_log_are_told_and_long_ones_cut() -> None:
    sample = read_text("app.log", b"start\n" + b"x" * 5000 + b"\nend\n")
    assert sample.what == "text, 3 lines"
    assert sample.lines[0] == "start"
    assert max(map(len, sample.lines)) <= 200


def test_a_list_of_objects_is_a_table_and_other_json_its_beginning() -> None:
    people = [{"name": "Ann", "tags": ["a"]}, {"name": "Bo", "age": 3}]
    [table] = read_text("people.json", json.dumps(people).encode()).tables
    assert table.columns == ("name", "tags", "age")
    assert table.rows[0] == ("Ann", '["a"]', "")
    assert table.count == 2
    assert "name" in read_text("one.json", b'{"name": "Ann"}').lines[1]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b'a,b\n"' + b"x" * 300_000,
        b"a" * (HEAD * 3),
        b"[" * 100_000,
        b",\n,\n",
        "ä".encode() * HEAD,
    ],
    ids=["empty", "binary", "open quote", "one line", "deep", "nothing", "half a character"],
)
@pytest.mark.parametrize("name", ["x.csv", "x.json", "x.txt"])
def test_no_content_makes_it_fail_or_tell_much(name: str, content: bytes) -> None:
    sample = read_text(name, content)
    assert sample.size == len(content)
    assert len(told([sample])) < 20_000


def test_wide_tables_and_long_cells_are_cut() -> None:
    wide = ",".join(f"c{n}" for n in range(500)) + "\n" + ",".join("v" * 120 for _ in range(500))
    [table] = read_text("wide.csv", wide.encode()).tables
    assert len(table.columns) == len(table.rows[0]) == 30
    assert len(table.rows[0][0]) == CELL


async def test_without_an_engine_a_workbook_is_told_by_its_size_alone() -> None:
    [csv, book] = await read_samples({"b.xlsx": b"PK\x03\x04" + b"x" * 9, "a.csv": b"a,b\n1,2\n"},
                                     None, "app")  # fmt: skip
    assert csv.tables
    assert (book.what, book.size, book.tables) == ("Excel workbook", 13, ())
    assert "No box could be started" in book.fault


def test_only_so_many_files_are_told() -> None:
    samples = [
        Sample(f"{n}.csv", 1, "CSV table", (Table(("a",), ("text",), ()),)) for n in range(50)
    ]
    assert told(samples).endswith("- and 30 more files")
