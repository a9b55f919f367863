"""The gallery's folders: apps, transcripts, files, trash, claims."""

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe.app import App, Verdict
from vibe.archive import Archive
from vibe.durable import writing
from vibe.errors import NoSuchApp, UserError
from vibe.events import Acted, Event, Finished, Notice, Output, ReplyText, Requested, Unknown
from vibe.index import FOLDER
from vibe.titles import slug, title


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "gallery")


def new(archive: Archive, idea: str = "A tip calculator", **data: bytes) -> App:
    return archive.create(idea, kind="web", model="m", data=data)


# Apps


def test_a_gallery_that_does_not_exist_yet_is_empty(archive: Archive) -> None:
    assert archive.list() == archive.search("x") == archive.trash() == archive.recover() == []
    assert not archive.root.exists()


def test_a_new_app_is_a_folder_named_after_its_idea(archive: Archive) -> None:
    app = new(archive, "Please make me a tip calculator for groups")
    assert app.id[:-7] == "tip-calculator-groups"
    assert (app.status, app.title) == ("building", "Please make me a tip calculator for groups")
    assert (archive.root / app.id / "app.yaml").is_file()
    assert archive.load(app.id) == app
    assert archive.list() == [app]


@pytest.mark.parametrize(
    ("idea", "name"),
    [
        ("A Pomodoro-Timer, 25 min!", "pomodoro-timer-25"),
        ("Größenrechner für Schuhe", "grossenrechner-fur-schuhe"),
        ("単位変換", "app"),
        ("Конвертер", "app"),
        ("🍕", "app"),
        ("make me an app", "make-me-an"),
        ("../../etc/passwd", "etc-passwd"),
        ("x" * 100, "x" * 40),
        ("", "app"),
    ],
)
def test_any_idea_gives_a_plain_name(idea: str, name: str) -> None:
    assert slug(idea) == name


@given(st.text(max_size=200))
def test_every_name_can_be_a_folder_and_every_title_is_one_line(idea: str) -> None:
    assert FOLDER.fullmatch(f"{slug(idea)}-012abc")
    assert len(title(idea)) <= 62
    assert "\n" not in title(idea)


def test_an_idea_of_16_kilobytes_of_any_script_comes_back_whole(archive: Archive) -> None:
    idea = "Zähle Wörter 数える 🧮 'quotes' \"too\": - # |\n\ttabs \n" * 250
    app = new(archive, idea)
    assert archive.load(app.id).idea == idea
    assert archive.list()[0].idea == idea


def test_attached_files_come_back(archive: Archive) -> None:
    app = archive.create(
        "x", kind="web", model="m", data={"a.csv": b"1,2", "más/ü.bin": b"\x00\xff", "empty": b""}
    )
    assert archive.data(app.id) == {"a.csv": b"1,2", "más/ü.bin": b"\x00\xff", "empty": b""}


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a\\b", ".git/config", "a\nb", "/".join("abcdefghij")]
)
def test_an_attached_file_with_an_unsafe_name_makes_no_app(archive: Archive, name: str) -> None:
    with pytest.raises(UserError, match="Rename or leave out"):
        archive.create("x", kind="web", model="m", data={"ok": b"", name: b""})
    assert not archive.root.exists()


def test_more_than_64_megabytes_make_no_app(archive: Archive) -> None:
    half = bytes(33 << 20)
    with pytest.raises(UserError, match="66 MB together; 64 MB are the most"):
        new(archive, a=half, b=half)
    assert not archive.root.exists()


def test_saving_replaces_the_record(archive: Archive) -> None:
    app = replace(new(archive), status="ready", verdict=Verdict("works", "It starts."), keep=True)
    archive.save(app)
    assert archive.load(app.id) == app
    assert archive.list() == [app]
    assert sorted(path.name for path in (archive.root / app.id).iterdir()) == ["app.yaml"]


def test_the_list_is_sorted_as_asked(archive: Archive) -> None:
    for name, used, created in (("b", "3", "1"), ("A", "1", "3"), ("c", "2", "2")):
        archive.save(replace(new(archive), title=name, used=used, created=created))
    assert [app.title for app in archive.list()] == ["b", "c", "A"]
    assert [app.title for app in archive.list(sort="created")] == ["A", "c", "b"]
    assert [app.title for app in archive.list(sort="title")] == ["A", "b", "c"]
    with pytest.raises(UserError, match="used, created, title or money"):
        archive.list(sort="colour")


@pytest.mark.parametrize(
    "app_id", ["", "nope-123456", "..", "../x-123456", "/etc", ".trash", "x\0-123456", "x" * 5000]
)
def test_an_id_that_is_none_is_told_whatever_is_asked(archive: Archive, app_id: str) -> None:
    new(archive)
    asked: list[Callable[[], object]] = [
        lambda: archive.load(app_id),
        lambda: archive.append(app_id, [Notice(text="x")], sync=False),
        lambda: archive.events(app_id),
        lambda: archive.events_on(app_id, 0),
        lambda: archive.commit(app_id, {"a": b""}, "x"),
        lambda: archive.files(app_id),
        lambda: archive.data(app_id),
        lambda: archive.results(app_id),
        lambda: archive.discard(app_id),
        lambda: archive.restore(app_id),
        lambda: archive.purge(app_id),
        lambda: archive.claim(app_id).__enter__(),
    ]
    for ask in asked:
        with pytest.raises(NoSuchApp):
            ask()


@pytest.mark.parametrize("text", ["", "id: [torn", "version: 99", "just words", "\x00\xff"])
def test_a_broken_record_is_told_and_the_other_apps_stay(archive: Archive, text: str) -> None:
    good, bad = new(archive, "good"), new(archive, "bad")
    (archive.root / bad.id / "app.yaml").write_text(text, "latin-1")
    assert archive.list() == [good]
    assert archive.search("good") == [good]
    assert archive.search("bad") == []
    assert list(archive.broken()) == [bad.id]
    with pytest.raises(UserError, match="can't be read"):
        archive.load(bad.id)
    assert archive.recover() == []
    assert archive.discard(bad.id).title == bad.id
    assert [app.id for app in archive.trash()] == [bad.id]
    assert archive.broken() == {}
    assert archive.purge(bad.id)


def test_a_missing_record_or_a_stranger_s_folder_breaks_nothing(archive: Archive) -> None:
    app = new(archive)
    (archive.root / "examples").mkdir()
    (archive.root / "empty-123456").mkdir()
    (archive.root / "linked-123456").symlink_to(archive.root / app.id)
    (archive.root / "copied-123456").mkdir()
    record = (archive.root / app.id / "app.yaml").read_bytes()
    (archive.root / "copied-123456" / "app.yaml").write_bytes(record)
    assert archive.list() == [app]
    assert sorted(archive.broken()) == ["copied-123456", "empty-123456"]


# The disk


def test_a_folder_that_cannot_be_made_is_told_with_a_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="VIBE_GALLERY"):
        new(Archive(tmp_path / "file" / "gallery"))


def limited(code: str, gallery: Path) -> str:
    """Runs code in a process that can write no file over 20 kB, as on a disk that is full."""
    preamble = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from vibe.archive import Archive\nfrom vibe.errors import UserError\n"
        "from vibe.events import Notice\n"
        "archive = Archive(Path(sys.argv[1]))\n"
        "app = archive.create('small', kind='web', model='m')\n"
        "archive.append(app.id, [Notice(text='x' * 19000)], sync=True)\n"
        "archive.list()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", preamble + code, str(gallery)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_a_full_disk_is_told_and_leaves_no_half_app(tmp_path: Path) -> None:
    said = limited(
        "try: archive.create('big', kind='web', model='m', data={'a': b'', 'b': bytes(30_000)})\n"
        "except UserError as error: print(error)",
        tmp_path,
    )
    assert "disk is full" in said
    assert "Free some space" in said
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


def test_a_full_disk_takes_no_half_event(tmp_path: Path) -> None:
    said = limited(
        "try: archive.append(app.id, [Notice(text='a'), Notice(text='b' * 9000)], sync=True)\n"
        "except UserError as error: print(error)\n"
        "archive.append(app.id, [Notice(text='after')], sync=True)\n"
        "print([event.text[:5] for event in archive.events(app.id)])",
        tmp_path,
    )
    assert "The transcript could not be written: the disk is full." in said
    assert "['xxxxx', 'after']" in said


def test_a_full_disk_does_not_keep_one_from_listing_and_discarding(tmp_path: Path) -> None:
    said = limited(
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 20_000))\n"
        "archive.discard(app.id)\n"
        "print(archive.list(), [a.id == app.id for a in archive.trash()], archive.search('small'))",
        tmp_path,
    )
    assert said == "[] [True] []\n"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "disk is full"), (errno.EROFS, "Make the folder writable"),
        (errno.EACCES, "Permission denied"), (errno.EIO, "Input/output error"),
    ],
)  # fmt: skip
def test_each_refusal_of_a_disk_has_its_sentence(code: int, words: str) -> None:
    with pytest.raises(UserError, match=words), writing("It"):
        raise OSError(code, os.strerror(code))


# The transcript


def test_events_come_back_in_order_and_from_any_number_on(archive: Archive) -> None:
    app = new(archive)
    asked = Requested(revision=1, text="ü\n'\"\ud800", kind="web", model="m", autonomy="fix")
    told: list[Event] = [
        asked,
        ReplyText(text="\r\n\u2028x"),
        Output(stream="stdout", text="\x1b[1m"),
    ]
    archive.append(app.id, told[:1], sync=True)
    archive.append(app.id, told[1:], sync=False)
    archive.append(app.id, [], sync=True)
    assert archive.events(app.id) == told
    assert archive.events(app.id, 2) == told[2:]
    assert archive.events(app.id, 3) == archive.events(app.id, 99) == []


def test_a_second_look_at_a_transcript_gives_what_came_since(archive: Archive) -> None:
    app = new(archive)
    assert archive.events_on(app.id, 0) == ([], 0)
    first, second = Notice(text="ü\nfirst"), Notice(text="second")
    archive.append(app.id, [first], sync=False)
    events, place = archive.events_on(app.id, 0)
    assert events == [first]
    assert archive.events_on(app.id, place) == ([], place)
    archive.append(app.id, [second], sync=False)
    with (archive.root / app.id / "events.jsonl").open("ab") as file:
        file.write(b'{"type": "notice", "te')
    events, place = archive.events_on(app.id, place)
    assert events == [second], "a line that is still being written waits for the next look"
    assert archive.events_on(app.id, place) == ([], place)
    archive.append(app.id, [first], sync=False)
    assert archive.events_on(app.id, place)[0][-1] == first


def test_a_torn_last_line_is_left_out_and_the_next_event_starts_afresh(archive: Archive) -> None:
    app = new(archive)
    first, second = Notice(text="first"), Notice(text="second")
    archive.append(app.id, [first], sync=True)
    with (archive.root / app.id / "events.jsonl").open("ab") as file:
        file.write('{"v":1,"type":"Notice","text":"tör'.encode()[:-1])
    assert archive.events(app.id) == [first]
    archive.append(app.id, [second], sync=True)
    after = archive.events(app.id)
    assert [after[0], after[2]] == [first, second]
    assert isinstance(after[1], Unknown)


def test_many_threads_write_whole_lines(archive: Archive) -> None:
    app = new(archive)

    def write(number: int) -> None:
        for turn in range(20):
            notices = [Notice(text=f"{number} {turn} {part}" + "x" * 500) for part in range(5)]
            archive.append(app.id, notices, sync=False)
            archive.save(replace(app, title=f"{number} {turn}"))
            archive.list()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = [event.text.rstrip("x") for event in archive.events(app.id) if isinstance(event, Notice)]
    assert len(told) == 8 * 20 * 5
    for number in range(8):
        mine = [text for text in told if text.startswith(f"{number} ")]
        assert mine == [f"{number} {turn} {part}" for turn in range(20) for part in range(5)]
    assert archive.load(app.id).title in {f"{number} 19" for number in range(8)}


# Results


def test_results_are_kept_by_name_and_replaced(archive: Archive) -> None:
    app = new(archive)
    assert archive.results(app.id) == []
    assert archive.save_results(app.id, {"out.csv": b"1", "plots/a.png": b"\x89"}) == []
    assert archive.save_results(app.id, {"out.csv": b"12"}) == []
    found = [(result.name, result.size) for result in archive.results(app.id)]
    assert found == [("out.csv", 2), ("plots/a.png", 1)]
    assert archive.read_result(app.id, "out.csv") == b"12"


def test_results_with_odd_names_are_left_out_and_the_rest_is_kept(archive: Archive) -> None:
    app = new(archive)
    files = {"../x": b"", "/etc/x": b"", "a": b"1", "a/b": b"", ".git/x": b"", "ok": b"2"}
    assert archive.save_results(app.id, files) == ["../x", "/etc/x", "a/b", ".git/x"]
    assert [result.name for result in archive.results(app.id)] == ["a", "ok"]
    many = {f"{number}": b"" for number in range(250)}
    assert len(archive.save_results(app.id, many)) == 50


def test_results_follow_no_link_in_or_out(archive: Archive, tmp_path: Path) -> None:
    app = new(archive)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    results = archive.root / app.id / "results"
    results.mkdir()
    (results / "folder").symlink_to(outside)
    (results / "file").symlink_to(outside / "secret")
    assert archive.results(app.id) == []
    assert archive.save_results(app.id, {"folder/x": b"1", "file": b"2"}) == ["folder/x"]
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_text() == "secret"
    for name in ("folder/secret", "../app.yaml", "nope"):
        with pytest.raises(UserError, match="no result called"):
            archive.read_result(app.id, name)


# Trash


def test_a_discarded_app_comes_back_as_it_was(archive: Archive) -> None:
    app = replace(new(archive, a=b"1"), status="ready")
    archive.save(app)
    archive.append(app.id, [Notice(text="zebra")], sync=True)
    archive.commit(app.id, {"index.html": b"<p>"}, "first")
    gone = archive.discard(app.id)
    assert gone.discarded
    assert archive.trash() == [gone]
    assert archive.list() == archive.search("zebra") == []
    with pytest.raises(NoSuchApp):
        archive.load(app.id)
    restored = archive.restore(app.id)
    assert restored.used > app.used
    app = replace(app, used=restored.used)
    assert restored == app
    assert archive.load(app.id) == app
    assert archive.list() == archive.search("zebra") == [app]
    assert archive.trash() == []
    assert archive.files(app.id) == {"index.html": b"<p>"}
    assert archive.data(app.id) == {"a": b"1"}
    told = [event.action for event in archive.events(app.id) if isinstance(event, Acted)]
    assert told == ["discarded", "restored"]


def test_an_app_whose_place_is_taken_stays_in_the_trash(archive: Archive) -> None:
    app = new(archive)
    archive.discard(app.id)
    (archive.root / app.id).mkdir()
    with pytest.raises(UserError, match="again"):
        archive.restore(app.id)
    assert [gone.id for gone in archive.trash()] == [app.id]


def test_a_purge_leaves_no_byte_and_lists_what_is_gone(archive: Archive) -> None:
    other = new(archive, "other")
    archive.list()
    app = new(archive, "An aardvark calculator", a=b"12345")
    archive.append(app.id, [Notice(text="aardvark")], sync=True)
    archive.commit(app.id, {"index.html": b"aardvark"}, "first")
    assert archive.search("aardvark")
    with pytest.raises(UserError, match="Discard it first"):
        archive.purge(app.id)
    archive.discard(app.id)
    receipt = archive.purge(app.id)
    assert "data/: 1 files, 5 bytes" in receipt
    assert receipt[-1].startswith(f"{app.id}: ")
    assert archive.trash() == []
    left = {path.relative_to(archive.root).as_posix() for path in archive.root.rglob("*")}
    assert left == {".index.sqlite", ".trash", other.id, f"{other.id}/app.yaml"}
    assert b"aardvark" not in (archive.root / ".index.sqlite").read_bytes()
    with pytest.raises(NoSuchApp):
        archive.purge(app.id)


# Builds


def test_only_one_build_of_an_app_can_run(archive: Archive) -> None:
    app = new(archive)
    other = Archive(archive.root)
    with archive.claim(app.id):
        with pytest.raises(UserError, match="is being built by another Vibe"), other.claim(app.id):
            pass
        with pytest.raises(UserError, match="is being built"):
            archive.discard(app.id)
        assert other.recover() == []
    with other.claim(app.id):
        pass


def test_a_claim_ends_with_an_error_in_the_build(archive: Archive) -> None:
    app = new(archive)
    with pytest.raises(ZeroDivisionError), archive.claim(app.id):
        raise ZeroDivisionError
    with archive.claim(app.id):
        pass


def test_a_build_without_an_owner_becomes_interrupted_once(archive: Archive) -> None:
    app, ready = new(archive), replace(new(archive), status="ready")
    archive.save(ready)
    with archive.claim(app.id):
        archive.append(app.id, [Notice(text="begun")], sync=True)
    assert archive.recover() == [app.id]
    assert archive.load(app.id).status == "interrupted"
    assert archive.load(ready.id).status == "ready"
    last = archive.events(app.id)[-1]
    assert isinstance(last, Finished)
    assert (last.status, bool(last.fix)) == ("interrupted", True)
    assert archive.recover() == []
    assert len(archive.events(app.id)) == 2


def test_an_app_that_is_about_to_be_claimed_is_left_alone(archive: Archive) -> None:
    app = new(archive)
    assert Archive(archive.root).recover() == []
    folder = archive.root / app.id
    os.utime(folder, (folder.stat().st_atime, folder.stat().st_mtime - 61))
    assert Archive(archive.root).recover() == [app.id]
