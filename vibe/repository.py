"""An app's code as an ordinary git repository, of which only the objects are trusted."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from stat import S_ISREG
from typing import TypeVar

from dulwich import objects
from dulwich.config import StackedConfig
from dulwich.errors import (
    ChecksumMismatch,
    FileFormatException,
    NotGitRepository,
    ObjectMissing,
    RefFormatError,
    WrongObjectException,
)
from dulwich.file import FileLocked
from dulwich.index import build_index_from_tree, commit_tree
from dulwich.object_store import BaseObjectStore, iter_tree_contents
from dulwich.objects import Blob, ObjectID
from dulwich.patch import write_object_diff
from dulwich.refs import Ref
from dulwich.repo import Repo

from vibe.durable import part_of, sync_folder
from vibe.errors import ModelFault, UserError
from vibe.paths import safe_files, safe_path

BRANCH = Ref(b"refs/heads/main")
NOBODY = b"Vibe <vibe@localhost>"
_ID = re.compile(r"[0-9a-f]{40}")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")

MAX_DIFF_BYTES = 512_000
"""A longer file is only named in a diff: comparing lines takes quadratic time at worst."""

MAX_TREE = 1000
"""Files of one commit; an export has the attached files too."""

STALE_LOCK_S = 2.0
"""A `.lock` file of git's that is older belongs to a process that was killed: none of the writes
here takes as long."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of an app's code."""

    id: str
    message: str
    author: str
    time: int
    """Seconds since 1970, UTC."""
    tags: tuple[str, ...]
    """The revisions it is, e.g. r1."""


class Repository:
    """The git repository in one folder; made by the first commit. Safe to use from any thread or
    process at once. Every method raises UserError when the repository can't be read, and OSError
    when the disk refuses a write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def commit(
        self,
        files: Mapping[str, bytes],
        message: str,
        *,
        tag: str | None = None,
        seconds: int | None = None,
        author: str = "",
    ) -> str:
        """Commits exactly these files (nothing of the tree before stays), also when nothing
        changed, and checks them out; `seconds` is its time, by default now, `author` is
        `Name <email>`, by default the person's. Returns its id.

        Raises ModelFault for paths that can't be used.
        """
        files = safe_files(files, most=MAX_TREE)
        with self._writing() as repo:
            store = repo.object_store
            tree = commit_tree(
                store,
                [
                    (path.encode(), _kept(_stored, store, content), 0o100644)
                    for path, content in files.items()
                ],
            )
            old = _get(repo, BRANCH)
            commit = objects.Commit()
            commit.tree = tree
            commit.parents = [old] if old else []
            commit.author = commit.committer = _author(author) if author else identity()
            commit.author_time = commit.commit_time = (
                int(time.time()) if seconds is None else seconds
            )
            commit.author_timezone = commit.commit_timezone = 0
            commit.encoding = b"UTF-8"
            commit.message = message.replace("\0", "").encode("utf-8", "replace") or b"-"
            _kept(store.add_object, commit)
            _kept(_point, repo, BRANCH, commit.id)
            if tag:
                _kept(_point, repo, _tag_ref(tag), commit.id)
            # The work tree is there for people to look at; nothing reads it.
            with suppress(OSError):
                self._check_out(repo, tree)
        return commit.id.decode()

    def tag(self, name: str, commit: str) -> None:
        """Names a commit; a name that is taken moves. Raises UserError for an unknown commit."""
        with self._writing() as repo:
            _kept(_point, repo, _tag_ref(name), self._commit(repo, commit).id)

    def files(self, ref: str | None = None) -> dict[str, bytes]:
        """The files of a commit id or a tag, by default of the newest commit; none before the
        first. Links, and names that Vibe would not write, are left out."""
        with self._reading() as repo:
            if repo is None or (ref is None and _get(repo, BRANCH) is None):
                if ref is None:
                    return {}
                raise _no_commit(ref)
            tree = self._commit(repo, ref).tree
            found: dict[str, bytes] = {}
            for path, mode, sha in iter_tree_contents(repo.object_store, tree):
                with suppress(ModelFault):
                    name = str(safe_path((path or b"").decode("utf-8", "surrogateescape")))
                    if mode and sha and S_ISREG(mode):
                        found[name] = _content(repo, sha)
            return found

    def log(self) -> list[Commit]:
        """The commits, newest first."""
        with self._reading() as repo:
            if repo is None:
                return []
            tags: dict[ObjectID, list[str]] = {}
            for name, target in repo.refs.as_dict(Ref(b"refs/tags")).items():
                tags.setdefault(target, []).append(name.decode("utf-8", "replace"))
            found = []
            place = _get(repo, BRANCH)
            while place:
                commit = self._commit(repo, place.decode())
                found.append(
                    Commit(
                        id=commit.id.decode(),
                        message=commit.message.decode("utf-8", "replace"),
                        author=commit.author.decode("utf-8", "replace"),
                        time=commit.commit_time,
                        tags=tuple(sorted(tags.get(commit.id, ()), key=lambda t: (len(t), t))),
                    )
                )
                place = commit.parents[0] if commit.parents else None
            return found

    def diff(self, old: str | None, new: str | None = None) -> str:
        """A unified diff from one commit or tag (None: from nothing) to another (None: the
        newest). Files over MAX_DIFF_BYTES, and binary ones, are only named."""
        with self._reading() as repo:
            if repo is None:
                raise _no_commit(old or new or "HEAD")
            before = self._commit(repo, old).tree if old else None
            changes = repo.object_store.tree_changes(before, self._commit(repo, new).tree)
            text = BytesIO()
            for (old_path, new_path), (old_mode, new_mode), (old_id, new_id) in changes:
                if max(_size(repo, old_id), _size(repo, new_id)) > MAX_DIFF_BYTES:
                    text.write(b"Large files differ: %s\n" % (new_path or old_path or b""))
                else:
                    write_object_diff(
                        text,
                        repo.object_store,
                        (old_path, old_mode, old_id),
                        (new_path, new_mode, new_id),
                    )
            return text.getvalue().decode("utf-8", "replace")

    @contextmanager
    def _reading(self) -> Iterator[Repo | None]:
        """The opened repository, or None before the first commit."""
        if not (self.folder / ".git").is_dir():
            yield None
            return
        with _told(), Repo(str(self.folder)) as repo:
            yield repo

    @contextmanager
    def _writing(self) -> Iterator[Repo]:
        """The opened repository, made if need be, for one writer at a time."""
        self.folder.mkdir(exist_ok=True)
        if not (self.folder / ".git").is_dir():
            self._make()
        lock = os.open(self.folder / ".git" / "vibe.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with _told(), Repo(str(self.folder)) as repo:
                # Set here, for git calls the setting of this name out of date and complains.
                repo.object_store.fsync_object_files = True
                yield repo
        finally:
            os.close(lock)

    def _make(self) -> None:
        part = part_of(self.folder)  # beside it: a check-out clears the folder
        part.mkdir()
        try:
            Repo.init(str(part), default_branch=b"main").close()
            with suppress(OSError):  # another process may have been as quick
                (part / ".git").rename(self.folder / ".git")
            sync_folder(self.folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _check_out(self, repo: Repo, tree: ObjectID) -> None:
        """Makes the work tree anew, so that no link that someone put there is followed."""
        with os.scandir(self.folder) as entries:
            old = [entry for entry in entries if entry.name != ".git"]
        for entry in old:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                Path(entry.path).unlink()
        # Without dulwich's normalizer: the person's line-ending settings must not change files,
        # and a filter named in .gitattributes would run a program.
        _kept(
            build_index_from_tree,
            str(self.folder),
            repo.index_path(),
            repo.object_store,
            tree,
        )

    def _commit(self, repo: Repo, ref: str | None) -> objects.Commit:
        """The commit of an id, a tag's name, or (None) the newest."""
        if ref is None:
            place = _get(repo, BRANCH)
        elif _ID.fullmatch(ref):
            place = ObjectID(ref.encode())
        else:
            place = _get(repo, _tag_ref(ref))
        found = repo.object_store[place] if place and place in repo.object_store else None
        if isinstance(found, objects.Tag):  # made by a person with git
            found = repo.object_store[found.object[1]]
        if not isinstance(found, objects.Commit):
            raise _no_commit(ref or "main")
        return found


def identity() -> bytes:
    """`Name <email>` of the person's git configuration, else Vibe's own."""
    try:
        config = StackedConfig.default()
        name, email = config.get((b"user",), b"name"), config.get((b"user",), b"email")
    except (KeyError, ValueError, OSError):
        return NOBODY
    name, email = (re.sub(rb"[<>\0\r\n]", b"", part).strip() for part in (name, email))
    return b"%s <%s>" % (name, email) if name and email else NOBODY


def _author(text: str) -> bytes:
    """The author as git writes one, whatever the text has in it."""
    name, _, email = text.partition("<")
    name, email = (re.sub(r"[<>\x00-\x1f]", "", part).strip()[:200] for part in (name, email))
    return f"{name or 'nobody'} <{email}>".encode("utf-8", "replace")


def _stored(store: BaseObjectStore, content: bytes) -> ObjectID:
    blob = Blob.from_string(content)
    store.add_object(blob)
    return blob.id


def _point(repo: Repo, ref: Ref, commit: ObjectID) -> None:
    repo.refs[ref] = commit


def _get(repo: Repo, ref: Ref) -> ObjectID | None:
    try:
        return repo.refs[ref]
    except KeyError:
        return None


def _content(repo: Repo, sha: ObjectID) -> bytes:
    blob = repo.object_store[sha]
    return blob.as_raw_string() if isinstance(blob, Blob) else b""


def _size(repo: Repo, sha: ObjectID | None) -> int:
    return len(_content(repo, sha)) if sha else 0


def _tag_ref(name: str) -> Ref:
    if not _TAG.fullmatch(name):
        raise _no_commit(name)
    return Ref(b"refs/tags/" + name.encode())


def _no_commit(ref: str) -> UserError:
    return UserError(
        f"There is no version {ref[:60]!r} of this app's code.", "The versions are r1, r2 …"
    )


@contextmanager
def _told() -> Iterator[None]:
    """Turns damage in the repository (by a disk, or by hand) into a UserError."""
    try:
        yield
    except (
        KeyError,
        ValueError,
        zlib.error,
        ChecksumMismatch,
        FileFormatException,
        NotGitRepository,
        ObjectMissing,
        RefFormatError,
        WrongObjectException,
    ) as error:
        raise UserError(
            f"The app's code repository is damaged: {type(error).__name__}: {error}.",
            "`git fsck` in its code folder says more.",
        ) from error


def _kept(action: Callable[..., Result], *arguments: object) -> Result:
    """Does the action, removing the lock files that a killed process left in its way."""
    while True:
        try:
            return action(*arguments)
        except FileLocked as locked:
            path = Path(os.fsdecode(locked.lockfilename))
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > STALE_LOCK_S:
                    path.unlink()
            time.sleep(0.05)
