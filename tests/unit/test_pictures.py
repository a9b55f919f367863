"""Pictures from a browser box: what is taken for one, how they are kept, and how many."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from vibe import pictures
from vibe.archive import Archive
from vibe.browser import CHECK_BYTES, CHECK_SIZE, _picture
from vibe.webp import still


def webp(width: int = 48, height: int = 30, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(out, "WEBP", **options)
    return out.getvalue()


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0secret place"}])
def test_a_still_picture_is_kept_and_nothing_else_of_its_file(options: dict[str, object]) -> None:
    kept = still(webp(**options), (48, 30))
    image = Image.open(io.BytesIO(kept))
    image.load()
    assert image.size == (48, 30)
    assert b"secret place" not in kept


def test_what_is_larger_than_promised_or_no_still_picture_is_refused() -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    moving = io.BytesIO()
    frames[0].save(moving, "WEBP", save_all=True, append_images=frames[1:])
    assert still(webp(), (47, 30)) == still(webp(), (48, 29)) == b""
    assert still(webp(lossless=True), (47, 30)) == b""
    assert still(moving.getvalue(), (99, 99)) == b""
    for bad in (b"", b"<svg/>", webp()[:-20], b"RIFF\0\0\0\0WEBPVP8 \xff\xff\xff\x7f"):
        assert still(bad, (99, 99)) == b""
    assert _picture("A" * (2 * CHECK_BYTES), CHECK_BYTES, CHECK_SIZE) == b""
    assert _picture("no base 64!", CHECK_BYTES, CHECK_SIZE) == b""


def test_pictures_are_named_read_back_trimmed_to_some_attempts_and_gone_with_the_app(
    tmp_path: Path,
) -> None:
    archive = Archive(tmp_path)
    app = archive.create("a page", kind="web", model="m")
    first = archive.save_pictures(app.id, 1, 1, [b"one", b"", b"two"])
    second = archive.save_pictures(app.id, 1, 2, [b"three"])
    later = archive.save_pictures(app.id, 2, 1, [b"four"])
    assert first[1] == ""
    assert [archive.picture(app.id, name) for name in (*first, *second)] == [
        b"one", None, b"two", b"three"
    ]  # fmt: skip
    assert archive.save_pictures(app.id, 1, 1, [b"other"]) != first[:1], "old names stay true"
    archive.keep_pictures(app.id, 1, {2, 3})
    assert archive.picture(app.id, first[0]) is None
    assert archive.picture(app.id, second[0]) == b"three"
    assert archive.picture(app.id, later[0]) == b"four"
    archive.discard(app.id)
    assert "pictures/: 2 files, 9 bytes" in archive.purge(app.id)
    assert not list(tmp_path.rglob("*.webp"))


@pytest.mark.parametrize("name", ["../app.yaml", "app.yaml", "r1-1-1-00000000.webp/..", "", "/etc"])
def test_a_transcript_can_name_no_other_file_as_a_picture(name: str, tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_text("secret")
    (tmp_path / "pictures").mkdir()
    assert pictures.read(tmp_path / "pictures", name) is None
    link = tmp_path / "pictures" / "r1-1-1-00000000.webp"
    link.symlink_to(tmp_path / "app.yaml")
    assert pictures.read(tmp_path / "pictures", link.name) is None


def test_of_too_many_pictures_the_oldest_go(tmp_path: Path) -> None:
    old = pictures.save(tmp_path / "p", 1, 1, [b"first of all"])
    os.utime(tmp_path / "p" / old[0], (1, 1))
    for attempt in range(4):
        many = [f"{attempt} {n}".encode() for n in range(pictures.MOST // 4)]
        pictures.save(tmp_path / "p", 1, 2 + attempt, many)
    assert len(list((tmp_path / "p").iterdir())) == pictures.MOST
    assert pictures.read(tmp_path / "p", old[0]) is None
