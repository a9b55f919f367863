"""An app as an ordinary repository that runs without Vibe: a zip file, or a git folder."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from vibe.app import App
from vibe.archive import Archive
from vibe.durable import part_of, write_whole, writing
from vibe.errors import ModelFault, UserError
from vibe.events import to_json
from vibe.kinds import kinds
from vibe.paths import safe_files
from vibe.repository import MAX_TREE, Repository
from vibe.requirements import requirements
from vibe.settings import TEMPLATES
from vibe.transcript import environment, transcript_html, transcript_markdown

__all__ = ["export_git", "export_zip", "exported_files", "transcript_html", "transcript_markdown"]

ELSEWHERE = "choose another place"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of every file in a zip, the earliest it knows: the same app gives the same bytes."""


def exported_files(archive: Archive, app_id: str) -> dict[str, bytes]:
    """The files of the exported repository: the newest revision's code, the attached data, and
    README, requirements, transcript, events and .gitignore. A name that the code has already
    belongs to the code; the other file is then called `vibe-…`."""
    app = archive.load(app_id)
    code = _newest(archive, app)
    data = {f"data/{name}": content for name, content in archive.data(app_id).items()}
    try:
        files = safe_files(data | code, most=MAX_TREE)
    except ModelFault:  # the code has other files where the attached ones would go
        files, data = code, {}
    pins = app.pins.get("packages")
    needed = requirements(app.kind, code, pins if isinstance(pins, dict) else {})
    names = {
        "readme": _free("README.md", files),
        "transcript": _free("TRANSCRIPT.md", files),
        "events": _free("events.jsonl", files),
        "requirements": "requirements.txt" if needed or "requirements.txt" in code else "",
    }
    made = {
        names["readme"]: _readme(app, code, names, has_data=bool(data)),
        names["transcript"]: transcript_markdown(archive, app_id),
        names["events"]: "".join(f"{to_json(event)}\n" for event in archive.events(app_id)),
    }
    if "requirements.txt" not in code and needed:
        made["requirements.txt"] = needed
    if ".gitignore" not in code:
        made[".gitignore"] = environment().get_template("transcript/gitignore.j2").render()
    return files | {name: text.encode() for name, text in made.items()}


def export_zip(archive: Archive, app_id: str, path: Path, *, overwrite: bool = False) -> Path:
    """Writes the exported repository as a zip file, whole or not at all; the same app gives the
    same bytes. Returns `path`. Raises UserError when it exists, unless told to `overwrite`."""
    if path.is_dir() or ((path.exists() or path.is_symlink()) and not overwrite):
        raise UserError(f"{path} exists already.", "Choose another name, or say to overwrite it.")
    content = zipped(exported_files(archive, app_id))
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


def export_git(archive: Archive, app_id: str, folder: Path) -> Path:
    """Makes `folder` a git repository with a commit and a tag (r1, r2 …) for each revision, its
    message what was asked for, and a last commit that adds the other exported files.

    Whole or not at all. Returns `folder`. Raises UserError unless it is missing or empty.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(f"{folder} is not a folder.", "Choose another one.")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty.", "Choose another one, or empty it.")
    app = archive.load(app_id)
    files = exported_files(archive, app_id)
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
            message = "Add README, transcript and what else it takes to run without Vibe"
            repository.commit(files, message)
            part.rename(folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    return folder


def _newest(archive: Archive, app: App) -> dict[str, bytes]:
    """The code of the newest revision; of the last attempt when no revision was kept."""
    return archive.files(app.id, app.revisions[-1].commit if app.revisions else None)


def _readme(
    app: App, code: Mapping[str, bytes], names: Mapping[str, str], *, has_data: bool
) -> str:
    return (
        environment()
        .get_template("transcript/readme.md.j2")
        .render(
            app=app,
            summary=str(app.plan.get("summary", "")),
            changes=app.revisions[1:],
            run=_how_to_run(app, code, names["requirements"]).rstrip(),
            data=has_data,
            verdict=app.revisions[-1].verdict if app.revisions else app.verdict,
            names=names,
        )
    )


def _how_to_run(app: App, code: Mapping[str, bytes], requirements_name: str) -> str:
    kind = kinds().get(app.kind)
    if not code or kind is None:
        return "There is no program: no build of this idea got as far as that."
    values: dict[str, Any] = {
        "entry": kind.entry,
        "port": kind.port,
        "requirements": requirements_name,
        "writes": any(b"results" in content for content in code.values()),
    }
    name = f"kinds/{kind.name}/export/run.md.j2"
    if not (TEMPLATES / name).is_file():
        return f"Its entry is `{kind.entry}`."
    return environment().get_template(name).render(values)


def _free(name: str, files: Mapping[str, bytes]) -> str:
    """The name, or `vibe-<name>` when the code has a file or folder of that name."""
    taken = {part.casefold() for path in files for part in (path, path.split("/")[0])}
    return f"vibe-{name}" if name.casefold() in taken else name


def _seconds(time: str) -> int | None:
    """Seconds since 1970 of a record's time; None (now) when it can't be read."""
    with suppress(ValueError):
        return int(datetime.fromisoformat(time).timestamp())
    return None
