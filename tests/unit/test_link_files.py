"""Files on the pipe: what may cross it, and what an export may say."""

from __future__ import annotations

import struct
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe.errors import BoxLost, UserError
from vibe.sandbox import files
from vibe.sandbox.frames import PAYLOAD


def entry(
    path: str | bytes, *chunks: bytes, last: int = 0, kind: int = 0, why: bytes = b""
) -> bytes:
    raw = path.encode() if isinstance(path, str) else path
    head = struct.pack("!BHB", kind, len(raw), len(why)) + raw + why
    if kind:
        return head
    return (
        head
        + b"".join(struct.pack("!I", len(chunk)) + chunk for chunk in chunks)
        + struct.pack("!I", last)
    )


def read(data: bytes, step: int = 1 << 20, max_bytes: int = 1000) -> files.Export:
    reader = files.ExportReader(max_bytes)
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
    return reader.end()


@given(st.text(max_size=80) | st.lists(st.sampled_from(["a", ".", "..", "", "é"])).map("/".join))
def test_a_path_that_may_cross_is_relative_plain_and_printable(path: str) -> None:
    if not files.odd(path):
        pure = PurePosixPath(path)
        assert not pure.is_absolute()
        assert ".." not in pure.parts
        assert str(pure) == path
        assert path.encode()
        assert "\0" not in path
        assert "\n" not in path


@pytest.mark.parametrize("path", ["a", "a/b.c", "-x", "with space", "é/漢字", "..a", "a..", "con"])
def test_ordinary_and_merely_ugly_paths_may_cross(path: str) -> None:
    assert files.odd(path) == ""


@pytest.mark.parametrize("path", ["../x", "/x", "a/../b", "a\nb", "a\x1b[0m", "a\u202eb", ""])
def test_a_path_that_may_not_cross_stops_a_put_before_anything_is_sent(path: str) -> None:
    with pytest.raises(UserError):
        next(files.encode({"fine": b"", path: b""}))


@given(st.integers(1, 50))
def test_an_export_reads_the_same_however_it_is_split(step: int) -> None:
    data = (
        entry("a", b"1", b"23")
        + entry("link", kind=1, why=b"link")
        + entry("b/c")
        + entry("torn", b"half", last=0xFFFFFFFF)
    )
    export = read(data, step)
    assert export.files == {"a": b"123", "b/c": b""}
    assert export.dropped == (("link", "link"), ("torn", "changed while it was read"))


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "x\ny", "x\0y", b"\xff\xfe", "n" * 300, "a//b"]
)
def test_a_name_that_could_do_harm_is_dropped_by_the_host(path: str | bytes) -> None:
    export = read(entry(path, b"1") + entry("fine", b"2"))
    assert export.files == {"fine": b"2"}
    assert len(export.dropped) == 1
    assert export.dropped[0][0].isprintable()


def test_a_file_sent_twice_is_kept_once() -> None:
    export = read(entry("a", b"1") + entry("a", b"2"))
    assert export.files == {"a": b"1"}
    assert export.dropped == (("a", "sent twice"),)


@pytest.mark.parametrize(
    "data",
    [
        entry("a", bytes(600), bytes(600)),
        entry("a", bytes(600)) + entry("b", bytes(600)),
        struct.pack("!BHB", 0, 1, 0) + b"a" + struct.pack("!I", PAYLOAD + 1),
        struct.pack("!BHB", 9, 1, 0) + b"a",
        b"".join(entry(f"f{number}") for number in range(files.MAX_FILES + 1)),
        b"".join(entry("x", kind=1) for _ in range(50_001)),
        entry("a", b"1")[:-2],
        entry("a", b"1")[:3],
    ],
)
def test_an_export_that_was_not_agreed_loses_the_box(data: bytes) -> None:
    with pytest.raises(BoxLost):
        read(data)


def test_what_was_dropped_is_listed_up_to_a_limit() -> None:
    export = read(b"".join(entry(f"x{number}", kind=1) for number in range(5000)))
    assert len(export.dropped) == files.MAX_DROPPED


@given(st.lists(st.binary(max_size=400), max_size=20))
def test_garbage_is_an_export_or_a_lost_box_and_never_piles_up(pieces: list[bytes]) -> None:
    reader = files.ExportReader(1000)
    try:
        for piece in pieces:
            reader.feed(piece)
            assert len(reader._buffer) + len(reader._content) < 2 * PAYLOAD + 2000
        reader.end()
    except BoxLost:
        pass
