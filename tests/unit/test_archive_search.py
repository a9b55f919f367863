"""Search, and the index behind it: in step with the folders, and never in the way."""

import shutil
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vibe.app import App, Spent
from vibe.archive import Archive
from vibe.errors import UserError
from vibe.events import Notice, PromptSent, ReplyText, RungDone
from vibe.finding import Wanted
from vibe.index import MAX_TEXT


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def new(archive: Archive, idea: str) -> App:
    return archive.create(idea, kind="web", model="m")


def found(archive: Archive, query: str) -> list[str]:
    return [app.idea for app in archive.search(query)]


def test_an_app_is_found_by_title_idea_id_and_transcript(archive: Archive) -> None:
    app = new(archive, "Split a restaurant bill")
    new(archive, "A quiz")
    archive.save(replace(app, title="Tip calculator"))
    archive.append(
        app.id, [ReplyText(text="here is some java"), ReplyText(text="script")], sync=True
    )
    failed = RungDone(
        name="run", passed=False, sentence="no", evidence="ZeroDivisionError", seconds=1
    )
    archive.append(app.id, [failed], sync=True)
    for query in ("tip", "TIP calc", "restaurant", "bill split", "javascript", "zerodiv", app.id,
                  app.id[-6:], "aurant"):  # fmt: skip
        assert found(archive, query) == ["Split a restaurant bill"], query
    for query in ("tip quiz", "java script bill zebra", "nothing of the kind"):
        assert found(archive, query) == []


def test_prompts_are_not_searched_for_they_are_alike_in_every_app(archive: Archive) -> None:
    app = new(archive, "A quiz")
    asked = PromptSent(role="plan", model="m", messages=[{"role": "user", "content": "streamlit"}])
    archive.append(app.id, [asked], sync=True)
    assert found(archive, "streamlit") == []


@pytest.mark.parametrize(
    ("idea", "query"),
    [
        ("Größenrechner für Schuhe", "grossen" "rechner"), ("Café finder", "cafe"),
        ("単位変換ツール", "変換"), ("Конвертер валют", "валют"), ("แปลงหน่วย", "หน่วย"),
        ("snake_case renamer", "case"), ("C++ quiz", "c++"), ("100% of x", "100%"),
    ],
)  # fmt: skip
def test_words_are_found_in_any_script(archive: Archive, idea: str, query: str) -> None:
    new(archive, "something else")
    new(archive, idea)
    assert found(archive, query) == [idea]


def test_a_hit_in_the_title_comes_before_one_in_the_transcript(archive: Archive) -> None:
    said, named = new(archive, "one"), new(archive, "two")
    archive.append(said.id, [Notice(text="clock " * 5)], sync=True)
    archive.save(replace(named, title="Clock"))
    assert found(archive, "clock") == ["two", "one"]


def test_code_that_was_written_without_a_model_is_found(archive: Archive) -> None:
    app = new(archive, "one")
    archive.commit(app.id, {"deep/app.py": b"hedgehog = 1", "x.bin": b"\xff\xfe"}, "r1")
    (archive.root / app.id / "code" / "link").symlink_to("/etc/passwd")
    archive.append(app.id, [Notice(text="edited")], sync=True)
    assert found(archive, "hedgeh") == found(archive, "deep") == ["one"]
    assert found(archive, "nologin") == []


def test_one_letter_looks_in_titles_and_ideas_only(archive: Archive) -> None:
    new(archive, "quick quiz")
    archive.append(new(archive, "other").id, [Notice(text="quinces")], sync=True)
    assert found(archive, "q") == ["quick quiz"]
    assert set(found(archive, "qu")) == {"quick quiz", "other"}


def test_apps_are_found_by_what_they_are_in_pages_and_in_order(archive: Archive) -> None:
    for number, (kind, model, keep) in enumerate(
        [("web", "large", True), ("script", "small", False), ("web", "small", False)]
    ):
        app = archive.create(f"counter {number}", kind=kind, model=model)
        spent = Spent(money=0.1 * number)
        status = "building" if number else "failed"
        archive.save(replace(app, status=status, keep=keep, spent=spent, used=str(number)))

    def ideas(wanted: Wanted, **page: int) -> tuple[list[str], int]:
        found = archive.find(wanted, **page)
        return [app.idea[-1] for app in found.apps], found.total

    assert ideas(Wanted()) == (["2", "1", "0"], 3)
    assert ideas(Wanted(sort="money"), first=0, most=1) == (["2"], 3)
    assert ideas(Wanted(), first=1, most=1) == (["1"], 3)
    assert ideas(Wanted(kinds=("web",), models=("small",))) == (["2"], 1)
    assert ideas(Wanted(kept=True)) == (["0"], 1)
    assert ideas(Wanted(words="counter", states=("failed",))) == (["0"], 1)
    assert ideas(Wanted(words="counter", kinds=("flask",))) == ([], 0)
    assert archive.models() == ["small", "large"]
    with pytest.raises(UserError, match="sorted by"):
        archive.find(Wanted(sort="colour"))


def test_a_large_gallery_shows_at_once_what_this_process_does(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vibe.index.MANY", 1)
    monkeypatch.setattr("vibe.index.RESTS_S", 3600.0)
    apps = [new(archive, f"app {number}") for number in range(3)]
    assert archive.find(Wanted()).total == 3
    archive.save(replace(apps[0], title="Renamed"))
    archive.append(apps[1].id, [Notice(text="zebra")], sync=False)
    assert [app.id for app in archive.search("renamed")] == [apps[0].id]
    assert [app.id for app in archive.search("zebra")] == [apps[1].id]
    archive.discard(apps[0].id)
    assert archive.find(Wanted()).total == 2
    archive.restore(apps[0].id)
    assert archive.find(Wanted()).total == 3
    # Another process: folders that come and go at once, changed ones after a rest.
    other = Archive(archive.root)
    new(other, "from elsewhere")
    assert archive.find(Wanted()).total == 4
    other.save(replace(apps[2], title="Changed elsewhere"))
    monkeypatch.setattr("vibe.index.RESTS_S", 0.0)
    assert archive.find(Wanted(words="elsewhere")).total == 2


def test_an_empty_query_finds_everything(archive: Archive) -> None:
    new(archive, "one")
    assert found(archive, "") == found(archive, " \n") == ["one"]


@pytest.mark.parametrize(
    "query",
    ['"', '""', "'", "*", "a*", "(", "a AND", "NOT", "OR OR", "NEAR(a b)", "title:x", "^a", "a + b",
     "-a", "{a b}: c", ";--", "%", "\\", "\0", "a\0b", "\ud800", "\u0301",
     "x" * 100_000, "a " * 5000],
    ids=lambda query: ascii(query[:12]),
)  # fmt: skip
def test_odd_queries_never_raise(archive: Archive, query: str) -> None:
    new(archive, "one")
    assert archive.search(query) in ([], archive.list())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(query=st.text(max_size=40))
def test_no_query_raises(archive: Archive, query: str) -> None:
    if not archive.list():
        new(archive, "one")
    archive.search(query)


def test_a_transcript_without_end_is_searched_at_its_beginning(archive: Archive) -> None:
    app = new(archive, "one")
    archive.append(app.id, [Notice(text="early")], sync=False)
    archive.append(app.id, [Notice(text="x" * 1000)] * (MAX_TEXT // 1000 + 1), sync=False)
    archive.append(app.id, [Notice(text="late")], sync=False)
    assert found(archive, "early") == ["one"]
    assert found(archive, "late") == []


def test_what_another_process_does_is_seen_at_once(archive: Archive) -> None:
    app = new(archive, "one")
    other = Archive(archive.root)
    assert found(other, "one") == ["one"]
    archive.save(replace(app, title="Renamed"))
    archive.append(app.id, [Notice(text="zebra")], sync=True)
    assert [a.title for a in other.list()] == ["Renamed"]
    assert found(other, "zebra") == ["one"]
    archive.discard(app.id)
    assert other.list() == other.search("zebra") == []


def test_folders_moved_by_hand_are_seen(archive: Archive, tmp_path: Path) -> None:
    app = new(archive, "one")
    archive.list()
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    shutil.move(archive.root / app.id, elsewhere)
    assert archive.list() == archive.search("one") == []
    shutil.move(elsewhere, archive.root / app.id)
    assert archive.list() == archive.search("one") == [app]


@pytest.mark.parametrize("damage", ["rubbish", "cut", "empty", "other tables", "newer", "gone"])
def test_an_index_that_is_damaged_is_made_anew(archive: Archive, damage: str) -> None:
    app = new(archive, "one")
    archive.append(app.id, [Notice(text="zebra")], sync=True)
    archive.search("zebra")
    path = archive.root / ".index.sqlite"
    match damage:
        case "rubbish":
            path.write_bytes(b"rubbish" * 1000)
        case "cut":
            path.write_bytes(path.read_bytes()[:5000])
        case "empty":
            path.write_bytes(b"")
        case "gone":
            path.unlink()
        case "other tables":
            index = sqlite3.connect(path)
            index.executescript("DROP TABLE texts; DROP TABLE apps; CREATE TABLE apps (x)")
            index.close()
        case "newer":
            index = sqlite3.connect(path)
            index.execute("PRAGMA user_version = 99")
            index.close()
    for gallery in (archive, Archive(archive.root)):
        assert found(gallery, "zebra") == ["one"]
        assert gallery.list() == [app]


def test_a_record_in_the_index_that_makes_no_sense_is_read_again(archive: Archive) -> None:
    app = new(archive, "one")
    archive.list()
    index = sqlite3.connect(archive.root / ".index.sqlite")
    index.execute("UPDATE records SET record = '{}'")
    index.commit()
    index.close()
    assert archive.list() == [app]


def test_an_index_that_cannot_be_written_is_done_without(archive: Archive) -> None:
    app = new(archive, "one")
    (archive.root / ".index.sqlite").mkdir()
    assert archive.list() == archive.search("one") == [app]
    assert Archive(archive.root).search("two") == []


def test_an_index_that_is_locked_for_long_is_done_without(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = new(archive, "one")
    archive.list()
    monkeypatch.setattr("vibe.index.BUSY_S", 0.1)
    holder = sqlite3.connect(archive.root / ".index.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        assert archive.list() == archive.search("one") == [app]
    finally:
        holder.close()


def test_two_galleries_in_step_at_once_do_not_quarrel(archive: Archive) -> None:
    galleries = [Archive(archive.root) for _ in range(4)]
    ideas = {f"idea {number} {turn}" for number in range(4) for turn in range(5)}

    def work(number: int) -> None:
        for turn in range(5):
            new(galleries[number], f"idea {number} {turn}")
            galleries[number].search("idea")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for gallery in galleries:
        assert set(found(gallery, "idea")) == ideas
        assert len(gallery.list()) == 20
