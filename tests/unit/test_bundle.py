"""Bundles: what comes out goes in again, and nothing else that a stranger made does."""

import hashlib
import io
import json
import stat
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.test_pictures import webp
from vibe import unpacking
from vibe.app import App, Revision, Spent, Verdict
from vibe.archive import Archive
from vibe.bundle import IMPORTED, bundled, export_bundle, import_bundle, locked
from vibe.errors import UserError
from vibe.events import (
    AttemptEnded,
    FilesWritten,
    Finished,
    Notice,
    Output,
    PlanMade,
    PromptSent,
    ReplyText,
    Requested,
    now,
)
from vibe.record import to_data
from vibe.sandbox.lock import Lock, Pin
from vibe.transcript import transcript_html
from vibe.ui.story import Story
from vibe.ui.words import age
from vibe.webp import still

PICTURE = still(webp(), (48, 30))
LIBRARY = {"vendor/d3/d3.min.js": b"d3", "vendor/manifest.json": b'[{"name": "d3"}]'}
PLAN = {"title": "Tip", "kind": "web", "summary": "s", "packages": [], "checks": []}


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "here")


@pytest.fixture
def other(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "there")


def made(archive: Archive) -> App:
    """An app of two revisions and a failed attempt between, with everything an app can have."""
    app = archive.create("Split a bill", kind="web", model="m", data={"in/a.csv": b"1,2\n"})
    verdict = Verdict("works", "It runs.", ("it starts",), ("its sums",))
    revisions = []
    archive.append(app.id, [Requested(1, app.idea, "web", "m", "fix"), PlanMade(PLAN)], sync=False)
    deep = "/".join("abcdefghi") + "/x.html"
    for number, files in enumerate(
        [{"index.html": b"<p>1"}, {"index.html": b"broken"}, {"index.html": b"<p>2", deep: b"\0"}]
    ):
        commit = archive.commit(app.id, files, f"attempt {number}")
        archive.append(app.id, [FilesWritten({"index.html": 4}, commit)], sync=False)
        if number != 1:
            revisions.append(Revision(len(revisions) + 1, "ask", commit, 1, verdict, now()))
            archive.tag(app.id, len(revisions), commit)
    said = [
        PromptSent("code", "m", [{"role": "user", "content": "x"}]),
        ReplyText("```"),
        Output("stdout", "out"),
        AttemptEnded(2, 1, True, [1, 2], "good"),
        Finished("ready", "It runs."),
    ]
    archive.append(app.id, said, sync=False)
    archive.save_results(app.id, {"out.txt": b"42"})
    archive.save_thumb(app.id, PICTURE, revision=2)
    archive.save_pictures(app.id, 2, 1, [PICTURE])
    archive.keep_vendored(app.id, LIBRARY)
    app = replace(app, status="ready", verdict=verdict, revisions=tuple(revisions), plan=PLAN,
                  spent=Spent(2, 10, 20, 1.5, 0.01), pins={"image": "sha256:" + "0" * 64,
                  "vibe": "0.1", "packages": {"numpy": "2.0"}}, keep=True)  # fmt: skip
    archive.save(app)
    return app


def files_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as bundle:
        return {name: bundle.read(name) for name in bundle.namelist()}


def signed(files: dict[str, bytes], **manifest: object) -> dict[str, bytes]:
    """The files with a manifest that is right for them: what a clever forger makes."""
    about = json.loads(files["manifest.json"]) | manifest
    about["files"] = {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
        if name != "manifest.json"
    }
    return files | {"manifest.json": json.dumps(about).encode()}


def packed(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return path


def refused(other: Archive, path: Path, words: str = "") -> None:
    """The import ends in one sentence, and the gallery is as before."""
    with pytest.raises(UserError) as caught:
        import_bundle(other, path)
    said = caught.value.message
    assert words in said
    assert "\n" not in said
    assert len(said) < 500
    assert {path.name for path in other.root.glob("*")} <= {".index.sqlite"}
    assert other.list() == []


def test_a_bundle_brings_everything_to_another_gallery(archive, other, tmp_path):
    app = made(archive)
    path = export_bundle(archive, app.id, tmp_path / "tip.vibe")
    with pytest.raises(UserError, match="exists already"):
        export_bundle(archive, app.id, path)
    came = import_bundle(other, path)
    assert came.id == app.id
    assert came.verdict.unverified == ("its sums", IMPORTED)
    assert came.pins == {"vibe": "0.1", "packages": {"numpy": "2.0"}}, "the image is ours to choose"
    assert not came.keep
    assert replace(
        came, verdict=app.verdict, pins=app.pins, used=app.used, keep=True
    ) == app, "with its revisions, whose commits have the same ids"  # fmt: skip
    assert other.load(came.id) == came
    mine, theirs = archive.whole(app.id), other.whole(app.id)
    assert theirs.history == mine.history
    assert theirs.events[:-1] == mine.events
    assert (theirs.data, theirs.results, theirs.picture) == (mine.data, mine.results, PICTURE)
    assert theirs.pictures == mine.pictures
    assert theirs.vendored == mine.vendored
    assert theirs.vendored["vendor/d3/d3.min.js"] == b"d3"
    assert len(mine.pictures) == 2
    assert other.files(app.id, "r1") == {"index.html": b"<p>1"}
    again = import_bundle(other, path)
    assert again.id != app.id
    assert len(other.list()) == 2
    without = files_of(bundled(archive, app.id, data=False))
    assert not [name for name in without if name.startswith(("data/", "results/"))]


def with_lock(archive: Archive, wheel: bytes) -> App:
    """An app whose newest revision has a lock with that wheel in it."""
    app = made(archive)
    pin = Pin("hat", "1.0", (hashlib.sha256(wheel).hexdigest(),))
    text = Lock("3.11", "x86_64", ("hat",), (pin,)).text.encode()
    commit = archive.commit(app.id, {"index.html": b"<p>3", "requirements.lock": text}, "a hat")
    newest = replace(app.revisions[-1], commit=commit)
    app = replace(app, revisions=(*app.revisions[:-1], newest))
    archive.save(app)
    return app


WHEEL = "hat-1.0-py3-none-any.whl"


def test_packages_come_along_when_the_lock_names_them_by_hash(archive, other, tmp_path):
    app = with_lock(archive, b"PK hat")
    assert locked(archive, app).versions == {"hat": "1.0"}
    path = tmp_path / "hat.vibe"
    came = import_bundle(other, export_bundle(archive, app.id, path, packages={WHEEL: b"PK hat"}))
    kept = other.root / came.id / "wheels"
    assert [file.name for file in kept.iterdir()] == [WHEEL]
    assert stat.S_IMODE((kept / WHEEL).stat().st_mode) == 0o644, "the box that installs reads it"
    assert other.whole(other.duplicate(came.id).id).wheels == {WHEEL: b"PK hat"}


@pytest.mark.parametrize(
    ("name", "content"),
    [(WHEEL, b"PK another"), ("hat-1.0.tar.gz", b"PK hat"), ("deep/" + WHEEL, b"PK hat"),
     ("-x.whl", b"PK hat")],
)  # fmt: skip
def test_a_package_that_no_lock_names_is_refused(archive, other, tmp_path, name, content):
    app = with_lock(archive, b"PK hat")
    forged = files_of(bundled(archive, app.id)) | {f"wheels/{name}": content}
    refused(other, packed(tmp_path / "a.vibe", signed(forged)), "no package that its lock names")


def test_a_bundle_that_nobody_could_import_is_not_made(archive, monkeypatch):
    app = with_lock(archive, b"PK hat")
    monkeypatch.setattr("vibe.bundle.MAX_TOTAL", 50_000)
    with pytest.raises(UserError, match="are the most"):
        bundled(archive, app.id, packages={WHEEL: bytes(60_000)})


def test_a_bundle_can_be_read_without_vibe(archive):
    files = files_of(bundled(archive, made(archive).id))
    assert files["code/index.html"] == b"<p>2"
    assert b"Split a bill" in files["transcript.html"]
    assert files["data/in/a.csv"] == b"1,2\n"


def test_hooks_and_configuration_of_a_repository_stay_behind(archive, other, tmp_path):
    app = made(archive)
    git = archive.root / app.id / "code" / ".git"
    (git / "hooks" / "post-checkout").write_text("#!/bin/sh\ntouch /tmp/owned\n")
    (git / "hooks" / "post-checkout").chmod(0o755)
    with (git / "config").open("a") as config:
        config.write('[core]\n\tfsmonitor = "touch /tmp/owned"\n[filter "x"]\n\tsmudge = boo\n')
    came = import_bundle(other, export_bundle(archive, app.id, tmp_path / "a.vibe"))
    code = other.root / came.id / "code"
    assert not (code / ".git" / "hooks" / "post-checkout").exists()
    assert "fsmonitor" not in (code / ".git" / "config").read_text()
    done = subprocess.run(["git", "-C", code, "fsck", "--strict"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


HOSTILE_NAMES = (
    "../evil", "/etc/evil", "code/../../evil", "code/.git/hooks/post-commit", "data/C:/x",
    "code/a\\b", "results/..", "data//x", "evil.sh", "code/CON", "history/\u202ex", "code/.GIT/x",
    "app.yaml", ".lock", "data/x/../y", "data/" + "d/" * 40 + "x",
)  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_that_leads_out_is_refused(archive, other, tmp_path, name):
    files = files_of(bundled(archive, made(archive).id))
    refused(other, packed(tmp_path / "a.vibe", signed(files | {name: b"boo"})))
    assert not list(tmp_path.rglob("evil*"))


def edited(files: dict[str, bytes], name: str, change) -> dict[str, bytes]:
    """The bundle after a change to the JSON in one of its files, signed again."""
    data = json.loads(files[name])
    change(data)
    return signed(files | {name: json.dumps(data).encode()})


def at(*place: object, to: object):
    """A change: the value at that place becomes another."""

    def change(data):
        for key in place[:-1]:
            data = data[key]
        data[place[-1]] = to

    return change


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("app.json", at("kind", to="spreadsheet"), "kind 'spreadsheet'"),
        ("app.json", at("status", to="haunted"), "`status`"),
        ("app.json", at("created", to="yesterday"), "record"),
        ("app.json", at("created", to="2026-01-01T00:00:00"), "no time"),
        ("app.json", at("version", to=99), "newer Vibe"),
        ("app.json", at("title", to="x" * 100_000), "100,000 characters"),
        ("app.json", at("spent", "seconds", to=1e308 * 10), "can't be read"),
        ("app.json", at("spent", "calls", to=-1), "number"),
        ("app.json", at("spent", "calls", to=10**400), "number"),
        ("app.json", at("revisions", 0, "number", to=7), "one by one"),
        ("app.json", at("revisions", 0, "commit", to="f" * 40), "revision's code"),
        ("app.json", at("plan", to={"zebra": []}), "plan"),
        ("history.json", at(0, "files", "../x", to="0" * 64), "not in it"),
        ("history.json", at(0, "files", to=["a"]), "history can't be read"),
        ("history.json", at(0, "seconds", to=-5), "time that is none"),
        ("manifest.json", at("format", to=2), "newer Vibe"),
        ("manifest.json", at("format", to=True), "names no format"),
    ],
)
def test_a_record_that_vibe_could_not_have_written_is_refused(
    archive, other, tmp_path, name, change, words
):
    files = files_of(bundled(archive, made(archive).id))
    refused(other, packed(tmp_path / "a.vibe", edited(files, name, change)), words)


def test_what_a_record_says_that_its_app_may_reach_is_not_taken_over(archive, other, tmp_path):
    files = files_of(bundled(archive, made(archive).id))
    files = edited(files, "app.json", at("hosts", to=["api.example.com"]))
    files = edited(files, "app.json", at("secrets", to=["WEATHER_KEY"]))
    app = import_bundle(other, packed(tmp_path / "a.vibe", files))
    assert (app.hosts, app.secrets) == ((), ())
    assert (other.load(app.id).hosts, other.load(app.id).secrets) == ((), ())


@pytest.mark.parametrize(
    "line",
    [
        '{"v":1,"type":"Notice","text":"x","at":"never"}',
        '{"v":1,"type":"PromptSent","role":"r","model":"m","messages":["x"],"at":"2026-01-01T00:00:00Z"}',
        '{"v":1,"type":"FilesWritten","files":{"a":"b"},"commit":"c","at":"2026-01-01T00:00:00Z"}',
        '{"v":1,"type":"RungDone","name":"n","passed":true,"sentence":"s","evidence":"","seconds":1e999,"at":"2026-01-01T00:00:00Z"}',
        '{"v":1,"type":"PlanMade","plan":{"zebra":3},"at":"2026-01-01T00:00:00Z"}',
    ],
)  # fmt: skip
def test_an_event_that_would_break_a_page_is_refused(archive, other, tmp_path, line):
    files = files_of(bundled(archive, made(archive).id))
    events = files["events.jsonl"] + line.encode() + b"\n"
    path = packed(tmp_path / "a.vibe", signed(files | {"events.jsonl": events}))
    refused(other, path, "of its transcript")


def test_forged_files_are_refused(archive, other, tmp_path):
    files = files_of(bundled(archive, made(archive).id))
    path = tmp_path / "a.vibe"
    refused(other, packed(path, files | {"code/index.html": b"<p>3"}), "checksum")
    refused(other, packed(path, files | {"code/index.html": b"longer"}), "manifest says")
    refused(other, packed(path, files | {"code/more.html": b"x"}), "manifest does not list")
    less = {name: content for name, content in files.items() if name != "history.json"}
    refused(other, packed(path, less), "manifest does not list")
    refused(other, packed(path, signed(less)), "history.json")
    for picture in (b"<svg onload=x>", b"RIFF\0\0\0\0WEBPVP8 ", webp(1601, 8), webp()[:-20]):
        refused(other, packed(path, signed(files | {"thumb.webp": picture})), "picture")
    refused(other, packed(path, {"app.json": b"{}"}), "no manifest")


def test_links_twins_and_odd_entries_are_refused(archive, other, tmp_path):
    files = files_of(bundled(archive, made(archive).id))
    path = tmp_path / "a.vibe"
    link = zipfile.ZipInfo("data/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as bundle:
        for name, content in signed(files | {"data/link": b"/etc/passwd"}).items():
            bundle.writestr(link if name == "data/link" else name, content)
    refused(other, path, "link")
    packed(path, files)
    with zipfile.ZipFile(path, "a") as bundle, pytest.warns(UserWarning, match="Duplicate"):
        bundle.writestr("code/index.html", b"<p>2")
    refused(other, path, "twice")
    refused(other, packed(path, signed(files | {"code/INDEX.html": b"x"})), "same file")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    refused(other, path, "packed in a way")


def test_bombs_are_refused_before_they_are_unpacked(archive, other, tmp_path, monkeypatch):
    files = files_of(bundled(archive, made(archive).id))
    path = tmp_path / "a.vibe"
    refused(other, packed(path, signed(files | {"data/zeros": bytes(64 << 20)})), "unpacked")
    many = {f"data/{number}": b"" for number in range(unpacking.MAX_ENTRIES)}
    refused(other, packed(path, signed(files | many)), "files")
    # A head that promises less than comes out.
    content = bytearray(packed(path, signed(files | {"data/x": bytes(5000)})).read_bytes())
    place = content.rfind(b"data/x") - 22
    assert int.from_bytes(content[place : place + 4], "little") == 5000
    content[place : place + 4] = (10).to_bytes(4, "little")
    path.write_bytes(content)
    refused(other, path)
    with path.open("wb") as sparse:
        sparse.truncate(unpacking.MAX_ZIP + 1)
    refused(other, path, "larger than")
    monkeypatch.setattr("vibe.bundle.MAX_BYTES_OF_ALL", 10)
    refused(other, packed(path, files), "history is too large")


def test_no_file_no_zip_and_a_huge_list_are_told(other, tmp_path):
    path = tmp_path / "a.vibe"
    refused(other, path, "no file called")
    for content in (b"", b"x" * 1000, b"PK\5\6" + bytes(12) + b"\xff\xff\xff\x7f" + bytes(2)):
        path.write_bytes(content)
        refused(other, path)


def test_a_disk_that_refuses_leaves_nothing_half_imported(archive, other, tmp_path):
    path = export_bundle(archive, made(archive).id, tmp_path / "a.vibe")
    other.root.mkdir()
    (tmp_path / "there" / "x").write_text("")
    blocked = Archive(tmp_path / "there" / "x")
    with pytest.raises(UserError, match="could not be written"):
        import_bundle(blocked, path)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    archive = Archive(tmp_path_factory.mktemp("gallery"))
    return bundled(archive, made(archive).id)


def imported(gallery: Archive, path: Path) -> App | None:
    """The app that was imported; None when it was refused and left nothing."""
    said = ""
    try:
        return import_bundle(gallery, path)
    except UserError as error:
        said = error.message
    assert said
    assert "\n" not in said
    assert gallery.list() == []
    return None


quiet = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)


@quiet
@given(data=st.data())
def test_a_damaged_bundle_is_imported_whole_or_refused(good, tmp_path, data):
    """Whatever bytes a disk or a stranger changes: a sentence, or the very same app."""
    content = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["change", "cut", "insert"])):
            case "change":
                content[place] = data.draw(st.integers(0, 255))
            case "cut":
                del content[place : place + data.draw(st.integers(1, 50))]
            case "insert":
                content[place:place] = data.draw(st.binary(min_size=1, max_size=50))
    path = tmp_path / "damaged.vibe"
    path.write_bytes(content)
    gallery = Archive(tmp_path / "gallery")
    if came := imported(gallery, path):
        assert gallery.files(came.id) == {"index.html": b"<p>2", "a/b/c/d/e/f/g/h/i/x.html": b"\0"}
        gallery.discard(came.id)
        gallery.purge(came.id)
    assert [p.name for p in gallery.root.glob("*") if p.name[0] != "."] == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@quiet
@given(data=st.data())
def test_a_forger_with_right_checksums_gets_a_sentence_or_a_sound_app(good, tmp_path, data):
    """Any value anywhere in the record, the history or an event; what is taken can be shown."""
    files = files_of(good)
    name = data.draw(st.sampled_from(["app.json", "history.json", "events.jsonl"]))
    lines = files[name].decode().splitlines() if name == "events.jsonl" else [files[name].decode()]
    number = data.draw(st.integers(0, len(lines) - 1))
    whole = place = json.loads(lines[number])
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not (isinstance(place[key], dict | list) and place[key]) or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(VALUES)
    lines[number] = json.dumps(whole)
    files = signed(files | {name: ("\n".join(lines) + "\n").encode()})
    gallery = Archive(tmp_path / "gallery")
    came = imported(gallery, packed(tmp_path / "forged.vibe", files))
    if came is None:
        return
    assert gallery.broken() == {}
    assert gallery.load(came.id) == came
    assert to_data(came)
    age(came.created)
    Story().take(gallery.events(came.id))
    transcript_html(gallery, came.id)
    gallery.duplicate(came.id) if came.revisions else None
    for app in gallery.list():
        gallery.discard(app.id)
        gallery.purge(app.id)


def test_an_app_can_be_duplicated_and_goes_its_own_way(archive):
    app = made(archive)
    copy = archive.duplicate(app.id)
    assert copy.id != app.id
    assert copy.title == f"{app.title} (copy)"
    assert [r.number for r in copy.revisions] == [1]
    assert archive.files(copy.id, "r1") == archive.files(app.id)
    assert archive.load(copy.id) == copy
    assert len(archive.log(copy.id)) == 1
    assert archive.data(copy.id) == archive.data(app.id)
    assert archive.results(copy.id) == []
    assert copy.spent == Spent()
    assert not copy.keep
    assert any(isinstance(e, Notice) and app.id in e.text for e in archive.events(copy.id))
    archive.commit(copy.id, {"index.html": b"mine"}, "r2")
    assert archive.files(app.id)["index.html"] == b"<p>2"
    with pytest.raises(UserError, match="no version of this app to copy"):
        archive.duplicate(archive.create("x", kind="web", model="m").id)
