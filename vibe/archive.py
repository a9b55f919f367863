"""The gallery on disk: one folder an app, and everything that is done to it."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

from vibe import journal, pictures, similar, stored, vendored, wheels
from vibe.app import App
from vibe.durable import PART, part_of, sync_folder, write_files, write_whole, writing
from vibe.errors import ModelFault, NoSuchApp, UserError
from vibe.events import Acted, Event, Finished, now
from vibe.finding import Found, Wanted
from vibe.index import FOLDER, Index, read_record
from vibe.journal import Redactor
from vibe.paths import safe_files
from vibe.record import from_data, to_data, to_yaml
from vibe.redaction import redact, redact_code, redact_data
from vibe.repository import Commit, Repository
from vibe.stored import Stored
from vibe.titles import slug, title
from vibe.whole import Snapshot, Whole, copy_of, renamed, write_code

UNCLAIMED_S = 60.0
"""How long a new app may wait for its builder's claim before it counts as interrupted."""

CANDIDATES = 12
"""Apps that are compared with an idea, word by word."""

RUBBISH_S = 3600.0
"""What is still half written, or half deleted, after this long belongs to nobody."""

# Names for types that the method `list` hides within the class.
Apps = list[App]
Events = list[Event]
Commits = list[Commit]
Files = list[Stored]
Lines = list[str]
list_of = list


class Archive:
    """The gallery in one folder. Every method is synchronous and safe to call from any thread;
    several processes may use one gallery at once.

    Methods that take an id raise NoSuchApp when no app of that id is in the gallery, and
    UserError, with a fix, when the disk refuses. No method needs `claim` to be held; a build holds
    it so that there is only one, and so that its death shows."""

    def __init__(self, root: Path, *, secrets: Sequence[str] = ()) -> None:
        """A gallery in `root`, made by the first app. `secrets` are masked wherever they would be
        written to app.yaml, the transcript or the code."""
        self.root = root
        self._trash = root / ".trash"
        self._secrets = tuple(secret for secret in secrets if secret)
        self._redactor = Redactor(self._secrets)
        self._index = Index(root)

    def mask(self, secrets: Sequence[str]) -> None:
        """Masks these from now on instead of those of before."""
        self._secrets = tuple(secret for secret in secrets if secret)
        self._redactor.mask(self._secrets)

    # Apps

    def create(
        self, idea: str, *, kind: str, model: str, data: Mapping[str, bytes] | None = None
    ) -> App:
        """A new app with status `building`, and the files attached to it.

        Raises UserError for attached files over 64 MB or with unsafe names.
        """
        idea = redact(idea, self._secrets)
        files = stored.attachable(data or {})
        time_ = now()
        app = App(
            id=self._free_id(idea),
            title=title(idea),
            idea=idea,
            kind=kind,
            status="building",
            model=model,
            created=time_,
            used=time_,
        )
        folder = self.root / app.id
        part = part_of(folder)
        with writing("The new app"):
            try:
                part.mkdir(parents=True)
                write_files(part / "data", files)
                write_whole(part / "app.yaml", self._yaml(app))
                part.rename(folder)
                self._index.touch(app.id)
                sync_folder(self.root)
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise
        return app

    def whole(self, app_id: str) -> Whole:
        """Everything there is of an app, its code commit by commit."""
        folder = self._folder(app_id)
        app, repository = self.load(app_id), self._repository(app_id)
        pool: dict[bytes, bytes] = {}
        history = []
        for commit in reversed(repository.log()):
            files = repository.files(commit.id).items()
            same = {name: pool.setdefault(content, content) for name, content in files}
            history.append(
                Snapshot(commit.id, same, commit.message, commit.author, commit.time, commit.tags)
            )
        results = {name: path.read_bytes() for name, path in stored.kept(folder / "results")}
        return Whole(
            app,
            tuple(history),
            tuple(self.events(app_id)),
            self.data(app_id),
            results,
            self.thumb(app_id),
            pictures.all_of(folder),
            vendored.read(folder),
            wheels.read(folder),
        )

    def adopt(self, whole: Whole) -> App:
        """Adds a whole app, all or nothing; it gets another id when its own is taken.

        Raises UserError for files that can't be kept."""
        # whoever made it elsewhere, or here, has allowed this one nothing
        app = replace(whole.app, hosts=(), secrets=())
        if not FOLDER.fullmatch(app.id) or self._taken(app.id):
            app = replace(app, id=self._free_id(app.title or app.idea))
        folder = self.root / app.id
        part = part_of(folder)
        with writing("The app"):
            try:
                part.mkdir(parents=True)
                ids = write_code(part / "code", whole.history) if whole.history else {}
                whole = renamed(replace(whole, app=app), ids)
                write_files(part / "data", stored.attachable(whole.data))
                write_files(part / "results", stored.attachable(whole.results))
                write_files(part, whole.pictures)
                if whole.picture:
                    write_whole(part / "thumb.webp", whole.picture)
                if whole.vendored:
                    vendored.write(part, whole.vendored)
                if whole.wheels:
                    wheels.write(part, whole.wheels)
                events = self._redactor.redacted(app.id, whole.events)
                journal.append(part / "events.jsonl", events, sync=True)
                write_whole(part / "app.yaml", self._yaml(whole.app))
                part.rename(folder)
                self._index.touch(app.id)
                sync_folder(self.root)
            except ModelFault as fault:
                raise UserError(fault.message, "Its files can't be kept here.") from fault
            finally:
                shutil.rmtree(part, ignore_errors=True)
        return whole.app

    def duplicate(self, app_id: str) -> App:
        """A new app made from the present revision: with its code, data and picture, an id of its
        own, and a history that begins there. Raises UserError when there is no revision yet."""
        return self.adopt(copy_of(self.load(app_id), self.whole(app_id)))

    def keep(self, app_id: str, yes: bool = True) -> App:
        """Keeps the app for good, or (`yes` False) lets it expire from now on as others do."""
        app = self.load(app_id)
        app = replace(app, keep=yes, used=app.used if yes else now())
        self.save(app)
        self.append(app_id, [Acted("kept" if yes else "no longer kept")], sync=False)
        return app

    def load(self, app_id: str) -> App:
        """The app. Raises UserError when its app.yaml can't be read."""
        folder = self._folder(app_id)
        app, problem = _found(app_id, folder)
        if app is None:
            raise UserError(
                f"The record of {app_id} can't be read: {problem}.",
                f"Mend {folder / 'app.yaml'}, or discard the app.",
            )
        return replace(app, discarded=None)

    def save(self, app: App) -> None:
        """Replaces the app's record, all or nothing."""
        self._save(self._folder(app.id), app)

    def list(self, *, sort: str = "used") -> Apps:
        """Every app that can be read (see `broken`), by `used` or `created`, newest first, or by
        `title`."""
        return list_of(self.find(Wanted(sort=sort)).apps)

    def find(self, wanted: Wanted, *, first: int = 0, most: int | None = None) -> Found:
        """The apps that fit, in order: `most` of them from number `first` (from 0) on. Never
        raises for odd words; UserError for an unknown order."""
        return self._index.find(wanted, first, most)

    def models(self) -> Lines:
        """The names of the models that made the apps, the most frequent first."""
        return self._index.models()

    def broken(self) -> dict[str, str]:
        """Apps whose app.yaml can't be read: id → what is wrong with it."""
        return self._index.broken()

    def search(self, query: str) -> Apps:
        """Apps with every word of the query (its beginning is enough) in their title, idea, code
        or transcript, best first; all apps for an empty query. Never raises for odd queries."""
        return list_of(self.find(Wanted(words=query)).apps)

    def similar(self, idea: str, *, most: int = 3) -> Apps:
        """Apps that can be run and are much like the idea, the likest first (see vibe.similar)."""
        found: Apps = []
        for app_id in self._index.candidates(similar.words(idea), CANDIDATES):
            with suppress(UserError):  # discarded this moment
                found.append(self.load(app_id))
        alike = [(similar.likeness(idea, app), app) for app in found if app.revisions]
        alike = [pair for pair in alike if pair[0] >= similar.ENOUGH]
        return [app for _, app in sorted(alike, key=lambda pair: -pair[0])[:most]]

    # Transcript

    def append(self, app_id: str, events: Iterable[Event], *, sync: bool) -> None:
        """Adds events to the app's transcript, secrets masked, in one write."""
        folder = self._folder(app_id)
        self._append(folder, self._redactor.redacted(app_id, events), sync=sync)

    def events(self, app_id: str, after: int = 0) -> Events:
        """The app's events from number `after` (from 0) on."""
        return journal.read(self._folder(app_id) / "events.jsonl", after)

    def events_on(self, app_id: str, place: int) -> tuple[Events, int]:
        """The app's events since an earlier look, which is a place in the transcript (from 0),
        and the place of the next look; costs what is new, however long the transcript is."""
        return journal.read_on(self._folder(app_id) / "events.jsonl", place)

    # Code

    def commit(
        self, app_id: str, files: Mapping[str, bytes], message: str, *, tag: str | None = None
    ) -> str:
        """Commits the app's whole code, known secrets masked; returns the commit's id. Raises
        ModelFault for paths that can't be used."""
        files = {
            path: redact_code(content, self._secrets) for path, content in safe_files(files).items()
        }
        with writing("The code"):
            return self._repository(app_id).commit(files, redact(message, self._secrets), tag=tag)

    def tag(self, app_id: str, revision: int, commit: str) -> None:
        """Names a commit r1, r2 …, after the revision it is."""
        with writing("The code"):
            self._repository(app_id).tag(f"r{revision}", commit)

    def files(self, app_id: str, ref: str | None = None) -> dict[str, bytes]:
        """The code at a commit id or `r1`, by default the newest; none before the first commit.
        Raises UserError for an unknown one."""
        return self._repository(app_id).files(ref)

    def log(self, app_id: str) -> Commits:
        """The commits of the app's code, newest first."""
        return self._repository(app_id).log()

    def diff(self, app_id: str, old: str | None, new: str | None = None) -> str:
        """A unified diff between two commits or tags; `old` None is nothing, `new` the newest."""
        return self._repository(app_id).diff(old, new)

    # Files

    def vendored(self, app_id: str) -> dict[str, bytes]:
        """The libraries kept for the app's pages, by their place beside them (`vendor/…`)."""
        return vendored.read(self._folder(app_id))

    def keep_vendored(self, app_id: str, files: Mapping[str, bytes]) -> None:
        """Keeps these libraries with the app, beside those it has already."""
        folder = self._folder(app_id)
        before = vendored.read(folder)
        if files.keys() - before.keys():
            with writing("The libraries"):
                vendored.write(folder, vendored.joined(before, files))

    def data(self, app_id: str) -> dict[str, bytes]:
        """The files attached to the app."""
        folder = self._folder(app_id) / "data"
        return {name: path.read_bytes() for name, path in stored.kept(folder)}

    def attached(self, app_id: str) -> Files:
        """Names and sizes of the files attached to the app."""
        folder = self._folder(app_id) / "data"
        return [Stored(name, path.stat().st_size) for name, path in stored.kept(folder)]

    def save_results(self, app_id: str, files: Mapping[str, bytes]) -> Lines:
        """Keeps files the program wrote, named relative to results/; older ones of the same names
        are replaced. Returns the names that were left out: unsafe ones, and too many."""
        with writing("The results"):
            return stored.keep(self._folder(app_id) / "results", files)

    def save_thumb(self, app_id: str, picture: bytes, revision: int = 0) -> None:
        """Keeps the app's picture (WebP) as thumb.webp, and as that of a revision."""
        folder = self._folder(app_id)
        with writing("The picture"):
            write_whole(folder / "thumb.webp", picture)
            if revision:
                (folder / "thumbs").mkdir(exist_ok=True)
                write_whole(folder / "thumbs" / f"r{revision}.webp", picture)

    def thumb(self, app_id: str, revision: int = 0) -> bytes:
        """The app's picture, or that of a revision; empty when there is none."""
        folder = self._folder(app_id)
        path = folder / "thumbs" / f"r{revision}.webp" if revision else folder / "thumb.webp"
        if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
            return b""
        return path.read_bytes()

    def save_pictures(
        self, app_id: str, revision: int, attempt: int, content: Sequence[bytes]
    ) -> Lines:
        """Keeps what the browser saw of an attempt (WebP); returns a name for each picture, empty
        for an empty one. Of an app's pictures the oldest go when there are too many."""
        with writing("The pictures"):
            return pictures.save(self._folder(app_id) / "pictures", revision, attempt, content)

    def picture(self, app_id: str, name: str) -> bytes | None:
        """One of the app's pictures by its name; None when it is not kept (any more)."""
        return pictures.read(self._folder(app_id) / "pictures", name)

    def keep_pictures(self, app_id: str, revision: int, attempts: Collection[int]) -> None:
        """Removes the pictures of a revision's other attempts."""
        with writing("The pictures"):
            pictures.keep_only(self._folder(app_id) / "pictures", revision, attempts)

    def results(self, app_id: str) -> Files:
        """The files the program wrote, by name."""
        folder = self._folder(app_id) / "results"
        return [Stored(name, path.stat().st_size) for name, path in stored.kept(folder)]

    def read_result(self, app_id: str, name: str) -> bytes:
        """The content of one result. Raises UserError when there is none of that name."""
        for found, path in stored.kept(self._folder(app_id) / "results"):
            if found == name:
                return path.read_bytes()
        raise UserError(f"The app has no result called {name[:80]!r}.", "Look at its results.")

    # Trash

    def discard(self, app_id: str, *, expired: str = "", at: str = "") -> App:
        """Moves the app to the trash; `expired` says why, when it goes by itself, `at` when (by
        default now). Raises UserError while it is being built."""
        folder = self._folder(app_id)
        with self._claimed(folder):
            self._interrupt(folder)
            with writing("The trash"):
                self._trash.mkdir(exist_ok=True)
                gone = folder.rename(self._trash / app_id)
                self._index.touch(app_id)
                sync_folder(self._trash)
                sync_folder(self.root)
            time_ = at or now()
            app = replace(
                _found(app_id, gone)[0] or _nameless(app_id),
                discarded=time_,
                expires=time_ if expired else None,
            )
            with suppress(UserError):  # its place says enough when the disk is full
                self._append(gone, [Acted("discarded", expired)], sync=False)
                if (gone / "app.yaml").is_file() and read_record(gone)[0]:
                    self._save(gone, app)
        return app

    def restore(self, app_id: str) -> App:
        """Brings the app back from the trash. Raises UserError when its place is taken."""
        gone = self._discarded(app_id)
        folder = self.root / app_id
        if folder.exists():
            raise UserError(f"There is an app called {app_id} again.", "Discard that one first.")
        with self._claimed(gone):
            with writing("The gallery"):
                gone.rename(folder)
                self._index.touch(app_id)
                sync_folder(self.root)
                sync_folder(self._trash)
            self._interrupt(folder)
            app = replace(self.load(app_id), discarded=None, expires=None, used=now())
            with suppress(UserError):
                self._append(folder, [Acted("restored")], sync=False)
                self._save(folder, app)
        return app

    def purge(self, app_id: str) -> Lines:
        """Deletes a discarded app for good; returns a line for each thing that is gone."""
        if FOLDER.fullmatch(app_id) and (self.root / app_id).is_dir():
            raise UserError(f"{app_id} is in the gallery.", "Discard it first.")
        gone = self._discarded(app_id)
        with self._claimed(gone), writing("The trash"):
            receipt = stored.receipt(gone)
            part = gone.rename(part_of(gone))
            sync_folder(self._trash)
            shutil.rmtree(part)
            sync_folder(self._trash)
        self._index.scrub()
        return receipt

    def trash(self) -> Apps:
        """The discarded apps, the last one first."""
        found: Apps = []
        for folder in _subfolders(self._trash):
            with suppress(FileNotFoundError):
                app = read_record(folder)[0] or _nameless(folder.name)
                moved = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(folder.stat().st_ctime))
                found.append(replace(app, discarded=app.discarded or moved))
        return sorted(found, key=lambda app: app.discarded or "", reverse=True)

    # Builds

    @contextmanager
    def claim(self, app_id: str) -> Iterator[None]:
        """Held while the app is built, by one build of all processes; the system lets go of it
        when the process dies. Raises UserError while another build holds it."""
        with self._claimed(self._folder(app_id)):
            yield

    def recover(self) -> Lines:
        """Marks builds whose process is gone as `interrupted` and clears half-written rubbish
        away; returns the ids of those apps. For every start of Vibe."""
        interrupted: Lines = []
        for app in self.find(Wanted(states=("building",))).apps:
            folder = self.root / app.id
            if not _abandoned(folder):
                continue
            with suppress(UserError), self._claimed(folder):
                if self._interrupt(folder):
                    interrupted.append(app.id)
        for folder in (self.root, self._trash, *(self.root / app_id for app_id in interrupted)):
            _clear(folder)
        return interrupted

    # Inside

    def _folder(self, app_id: str) -> Path:
        folder = self.root / app_id
        if not FOLDER.fullmatch(app_id) or not folder.is_dir() or folder.is_symlink():
            raise NoSuchApp(app_id)
        return folder

    def _discarded(self, app_id: str) -> Path:
        folder = self._trash / app_id
        if not FOLDER.fullmatch(app_id) or not folder.is_dir() or folder.is_symlink():
            raise NoSuchApp(app_id)
        return folder

    def _repository(self, app_id: str) -> Repository:
        return Repository(self._folder(app_id) / "code")

    def _free_id(self, idea: str) -> str:
        while True:
            app_id = f"{slug(idea)}-{token_hex(3)}"
            if not self._taken(app_id):
                return app_id

    def _taken(self, app_id: str) -> bool:
        return any((place / app_id).exists() for place in (self.root, self._trash))

    def _yaml(self, app: App) -> bytes:
        return to_yaml(from_data(redact_data(to_data(app), self._secrets))).encode()

    def _save(self, folder: Path, app: App) -> None:
        with writing("The app's record"):
            try:
                write_whole(folder / "app.yaml", self._yaml(app))
                self._index.touch(app.id)
            except FileNotFoundError:
                raise NoSuchApp(app.id) from None

    def _append(self, folder: Path, events: Sequence[Event], *, sync: bool) -> None:
        with writing("The transcript"):
            try:
                journal.append(folder / "events.jsonl", events, sync=sync)
                self._index.touch(folder.name)
            except FileNotFoundError:
                raise NoSuchApp(folder.name) from None

    @contextmanager
    def _claimed(self, folder: Path) -> Iterator[None]:
        with writing("The app's lock"):
            try:
                lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            except FileNotFoundError:
                raise NoSuchApp(folder.name) from None
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"{folder.name} is being built by another Vibe.",
                    "Wait for it, or stop it there.",
                ) from None
            yield
        finally:
            os.close(lock)

    def _interrupt(self, folder: Path) -> bool:
        """Marks a build that nobody owns any more; the caller holds the claim. False when there
        is none."""
        app = read_record(folder)[0]
        if app is None or app.status != "building":
            return False
        end = Finished(
            status="interrupted",
            sentence="Vibe ended in the middle of this build.",
            fix="Resume it to build the same request again.",
        )
        with suppress(UserError):  # a full disk: tried again at the next start
            last = journal.read(folder / "events.jsonl")[-1:]
            if not (last and isinstance(last[0], Finished)):
                self._append(folder, [end], sync=True)
            self._save(folder, replace(app, status="interrupted"))
            return True
        return False


def _found(app_id: str, folder: Path) -> tuple[App | None, str]:
    try:
        return read_record(folder)
    except FileNotFoundError:
        raise NoSuchApp(app_id) from None


def _nameless(app_id: str) -> App:
    """What is known of an app whose record can't be read."""
    return App(id=app_id, title=app_id, idea="", kind="auto", status="failed", model="",
               created="", used="")  # fmt: skip


def _abandoned(folder: Path) -> bool:
    """False for an app that was made a moment ago and not yet claimed by its builder."""
    with suppress(OSError):
        return (folder / ".lock").exists() or time.time() - folder.stat().st_mtime > UNCLAIMED_S
    return False


def _subfolders(folder: Path) -> list[Path]:
    """The apps' folders in the gallery or the trash."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if FOLDER.fullmatch(path.name))


def _clear(folder: Path) -> None:
    """Removes what was being written or deleted in a folder when its process was killed."""
    for path in folder.glob(f".*{PART}"):
        with suppress(OSError):
            if time.time() - path.lstat().st_ctime > RUBBISH_S:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
