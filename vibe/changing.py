"""What the commands that change an app do: edit, diff, undo, write afresh, remake."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vibe.app import App
from vibe.commands import OK, finish, follow, someone_must_answer
from vibe.diffs import file_changes
from vibe.errors import UserError
from vibe.gallery_commands import find, opened, say
from vibe.paths import MAX_FILES
from vibe.settings import Settings
from vibe.ui.words import clean
from vibe.versions import before, named, versions

if TYPE_CHECKING:
    from vibe.studio import Studio

NOT_CODE = ("__pycache__", "node_modules")
"""Folders that programs leave behind beside the code; so are those that begin with a dot."""


def edit(settings: Settings, arguments: argparse.Namespace) -> int:
    app = find(opened(settings), arguments.id)
    files = read_code(arguments.folder, settings.limits.reply_bytes)
    return _build(settings, arguments, app, lambda studio: studio.edit(app.id, files))


def afresh(settings: Settings, arguments: argparse.Namespace) -> int:
    app = find(opened(settings), arguments.id)
    someone_must_answer(settings.autonomy, arguments)
    return _build(
        settings, arguments, app, lambda studio: studio.afresh(app.id, model=arguments.model)
    )


def remake(settings: Settings, arguments: argparse.Namespace) -> int:
    app = find(opened(settings), arguments.id)
    someone_must_answer(settings.autonomy, arguments)
    return _build(
        settings, arguments, None, lambda studio: studio.remake(app.id, model=arguments.model)
    )


def undo(settings: Settings, arguments: argparse.Namespace) -> int:
    from vibe.going_back import go_back

    archive = opened(settings)
    app = find(archive, arguments.id)
    target = before(app)
    if target is None:
        raise UserError("There is nothing to undo: this is the first version.")
    app = go_back(archive, app.id, target.number, "undone")
    say(f"r{target.number} is the newest revision again, as r{app.revisions[-1].number}.")
    return OK


def diff(settings: Settings, arguments: argparse.Namespace) -> int:
    archive = opened(settings)
    app = find(archive, arguments.id)
    there = versions(app, archive.events(app.id))
    kept = [version for version in there if version.name == f"r{version.revision}"]
    if not arguments.old and len(kept) < 2:
        names = ", ".join(version.name for version in there) or "none yet"
        raise UserError("There are no two revisions to compare.", f"Name two of: {names}.")
    old = named(arguments.old, there) if arguments.old else kept[-2]
    new = named(arguments.new, there) if arguments.new else there[-1]
    text = archive.diff(app.id, old.commit, new.commit)
    if not sys.stdout.isatty():
        print(text, end="")
        return OK
    print(f"{old.name} to {new.name}")
    for change in file_changes(text):
        print(f"\n{clean(change.words)}")
        for line in change.text.split("\n"):
            print(_coloured(clean(line)))
    return OK


def _coloured(line: str) -> str:
    """A diff's line with its colour, which its sign says too."""
    if os.environ.get("NO_COLOR"):
        return line
    colour = {"+": "32", "-": "31", "@": "36"}.get(line[:1])
    return f"\x1b[{colour}m{line}\x1b[0m" if colour else line


def read_code(folder: Path, most: int) -> dict[str, bytes]:
    """The files of a folder by their paths in it, at most `most` bytes together; hidden ones and
    what programs leave behind are passed over, and no link is followed. Raises UserError."""
    if not folder.is_dir():
        raise UserError(f"There is no folder called {folder}.", "Check --from.")
    found: dict[str, bytes] = {}
    size = 0
    try:
        for path in _code_in(folder):
            size += path.stat().st_size
            if size > most or len(found) >= MAX_FILES:
                raise UserError(
                    f"{folder} has more than {MAX_FILES} files, or more than {most:,} bytes.",
                    "Give it a folder with nothing but the app's code.",
                )
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
    except OSError as error:
        raise UserError(f"A file can't be read: {error}.", "Check --from.") from error
    return found


def _code_in(folder: Path) -> list[Path]:
    files: list[Path] = []
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink() or entry.name.startswith(".") or entry.name in NOT_CODE:
            continue
        if entry.is_dir():
            files += _code_in(entry)
        elif entry.is_file():
            files.append(entry)
        if len(files) > MAX_FILES:
            break
    return files


def _build(
    settings: Settings,
    arguments: argparse.Namespace,
    app: App | None,
    start: Callable[[Studio], Awaitable[App]],
) -> int:
    """Starts a build and tells it to its end; its exit code."""

    async def build() -> int:
        from vibe.opening import open_studio

        async with open_studio(settings) as studio:
            seen = len(studio.archive.events(app.id)) if app else 0
            return await follow(studio, await start(studio), seen, arguments)

    return finish(build())
