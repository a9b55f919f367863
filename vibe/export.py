"""An app as an ordinary repository that runs without Vibe: a zip file, or a git folder."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from vibe import vendored
from vibe.app import App
from vibe.archive import Archive
from vibe.durable import part_of, write_whole, writing
from vibe.errors import ModelFault, UserError
from vibe.events import to_json
from vibe.kinds import kinds
from vibe.paths import safe_files
from vibe.repository import MAX_TREE, Repository
from vibe.standalone import TRANSCRIPT, Choices, free, standing_alone
from vibe.transcript import transcript_html, transcript_markdown

__all__ = [
    "Choices",
    "export_git",
    "export_zip",
    "exported_files",
    "transcript_html",
    "transcript_markdown",
]

ELSEWHERE = "choose another place"
LAST_MESSAGE = "Add README, tests and what else it takes to run without Vibe"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of every file in a zip, the earliest it knows: the same app gives the same bytes."""


def exported_files(
    archive: Archive, app_id: str, choices: Choices | None = None
) -> dict[str, bytes]:
    """The files of the exported repository: the newest revision's code, the attached data, and
    what they need to run, to be tested and to be understood without Vibe. A name that the code has
    already belongs to the code; README, tests and transcript are then called `vibe-…`."""
    choices = choices or Choices()
    app = archive.load(app_id)
    code = newest_code(archive, app)
    kind = kinds().get(app.kind)
    if kind is not None and kind.vendor:
        code = {**vendored.needed(code, archive.vendored(app_id)), **code}
    data = {f"data/{name}": content for name, content in archive.data(app_id).items()}
    try:
        files = safe_files(data | code, most=MAX_TREE)
    except ModelFault:  # the code has other files where the attached ones would go
        files, data = code, {}
    files = files | standing_alone(app, code, data, archive.thumb(app_id), choices)
    if choices.transcript:
        told = "".join(f"{to_json(event)}\n" for event in archive.events(app_id))
        pages = zip(TRANSCRIPT, (transcript_markdown(archive, app_id), told), strict=True)
        files |= {free(name, code | data): text.encode() for name, text in pages}
    return files


def export_zip(
    archive: Archive,
    app_id: str,
    path: Path,
    choices: Choices | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Writes the exported repository as a zip file, whole or not at all; the same app gives the
    same bytes. Returns `path`. Raises UserError when it exists, unless told to `overwrite`."""
    check_free(path, overwrite=overwrite)
    return written(path, zipped(exported_files(archive, app_id, choices)))


def check_free(path: Path, *, overwrite: bool = False) -> None:
    """Raises UserError when there is something at the path that must stay."""
    if path.is_dir() or ((path.exists() or path.is_symlink()) and not overwrite):
        raise UserError(f"{path} exists already.", "Choose another name, or say to overwrite it.")


def written(path: Path, content: bytes) -> Path:
    """Writes an exported file, whole or not at all."""
    with writing(str(path), move=ELSEWHERE):
        write_whole(path, content)
    return path


def zipped(files: Mapping[str, bytes]) -> bytes:
    """The files as the bytes of a zip, by name, for unpacking into one folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3  # Unix, so that the mode below counts
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            bundle.writestr(entry, files[name])
    return buffer.getvalue()


def export_git(archive: Archive, app_id: str, folder: Path, choices: Choices | None = None) -> Path:
    """Makes `folder` a git repository with a commit and a tag (r1, r2 …) for each revision, its
    message what was asked for, and a last commit that adds the other exported files.

    Whole or not at all. Returns `folder`. Raises UserError unless it is missing or empty.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(f"{folder} is not a folder.", "Choose another one.")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty.", "Choose another one, or empty it.")
    app = archive.load(app_id)
    files = exported_files(archive, app_id, choices)
    part = part_of(folder)
    with writing(str(folder), move=ELSEWHERE):
        try:
            repository = Repository(part)
            for revision in app.revisions:
                repository.commit(
                    archive.files(app_id, revision.commit),
                    revision.request,
                    tag=f"r{revision.number}",
                    seconds=_seconds(revision.created),
                )
            if not app.revisions and (code := archive.files(app_id)):
                repository.commit(code, app.idea, seconds=_seconds(app.created))
            last = app.revisions[-1].created if app.revisions else app.created
            repository.commit(files, LAST_MESSAGE, seconds=_seconds(last))
            part.rename(folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    return folder


def newest_code(archive: Archive, app: App) -> dict[str, bytes]:
    """The code of the newest revision; of the last attempt when no revision was kept."""
    return archive.files(app.id, app.revisions[-1].commit if app.revisions else None)


def _seconds(time: str) -> int | None:
    """Seconds since 1970 of a record's time; None (now) when it can't be read."""
    with suppress(ValueError):
        return int(datetime.fromisoformat(time).timestamp())
    return None
