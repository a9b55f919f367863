"""What the commands about the gallery do: list, show, export, discard, restore, purge."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from vibe import reach
from vibe.app import App
from vibe.archive import Archive
from vibe.errors import NoSuchApp, UserError
from vibe.expiry import expires
from vibe.finding import Wanted
from vibe.settings import Settings
from vibe.standalone import Choices
from vibe.ui.words import age, clean, short


def list_(settings: Settings, arguments: argparse.Namespace) -> int:
    archive = opened(settings)
    if arguments.trash:
        apps = archive.trash()
        words = (arguments.search or "").lower().split()
        apps = [a for a in apps if all(w in f"{a.id} {a.title} {a.idea}".lower() for w in words)]
    else:
        wanted = Wanted(
            words=arguments.search or "",
            kinds=tuple(arguments.kind),
            states=tuple(arguments.verdict),
            kept=arguments.kept,
        )
        apps = list(archive.find(wanted).apps)
    if arguments.json:
        print(as_json([dataclasses.asdict(app) for app in apps]))
        return 0
    if not apps:
        narrowed = arguments.search or arguments.kind or arguments.verdict or arguments.kept
        say("Nothing found." if narrowed else "Nothing here yet.")
    wide = max((len(app.id) for app in apps), default=0)
    for app in apps:
        line = f"{app.id:<{wide}}  {app.kind:<9}  {_state(app):<11}  {age(app.used):<14}"
        room = max(20, shutil.get_terminal_size((100, 24)).columns - len(line) - 2)
        print(f"{line}  {short(clean(app.title), room)}")
    return 0


def show(settings: Settings, arguments: argparse.Namespace) -> int:
    archive = opened(settings)
    app = find(archive, arguments.id)
    if arguments.transcript:
        from vibe.transcript import transcript_markdown

        print(_for_terminal(transcript_markdown(archive, app.id)))
        return 0
    files = archive.files(app.id, app.revisions[-1].commit) if app.revisions else {}
    if arguments.json:
        sizes = {name: len(content) for name, content in files.items()}
        print(as_json({**dataclasses.asdict(app), "files": sizes}))
    elif arguments.code:
        for name, content in files.items():
            text = _for_terminal(content.decode("utf-8", "replace"))
            print(f"── {name} ──\n{text.rstrip()}\n")
    else:
        _show(app, files)
    return 0


def _show(app: App, files: dict[str, bytes]) -> None:
    print(f"{app.id}\n{clean(app.title)}\n")
    if app.idea != app.title:
        print(f"Idea      {' '.join(clean(app.idea).split())}")
    print(f"Kind      {app.kind}\nStatus    {_state(app)}, made {age(app.created)} by {app.model}")
    if app.verdict:
        print(f"Verdict   {app.verdict.state}: {clean(app.verdict.sentence)}")
        for phrase in app.verdict.verified:
            print(f"          ✓ {clean(phrase)}")
        for phrase in app.verdict.unverified:
            print(f"          ? {clean(phrase)}")
    if app.hosts:
        print(f"Reaches   {', '.join(map(str, reach.recorded(app.hosts)))}")
    if app.secrets:
        print(f"Secrets   {', '.join(reach.variables(app.secrets))} (asked for when it is run)")
    for revision in app.revisions:
        print(f"r{revision.number:<9}{short(clean(revision.request), 80)}")
    spent = app.spent
    print(f"Spent     {spent.calls} calls, {spent.prompt_tokens + spent.completion_tokens} tokens")
    for name, content in files.items():
        print(f"File      {name} ({len(content)} bytes)")


def export(settings: Settings, arguments: argparse.Namespace) -> int:
    from vibe import export as exporting
    from vibe.single import export_file

    archive = opened(settings)
    app = find(archive, arguments.id)
    choices = exporting.Choices(arguments.licence, not arguments.no_transcript)
    if arguments.bundle is not None:
        from vibe.bundle import ENDING, export_bundle

        path = arguments.bundle if arguments.bundle.name else Path(app.id + ENDING)
        packages = _packages(settings, archive, app) if arguments.with_packages else {}
        data = not arguments.without_data
        print(export_bundle(archive, app.id, path, data=data, packages=packages))
    elif arguments.zip is not None:
        print(exporting.export_zip(archive, app.id, arguments.zip, choices))
    elif arguments.file is not None:
        print(export_file(archive, app.id, arguments.file))
    elif arguments.push is not None or arguments.github is not None:
        _push(settings, archive, app, choices, arguments)
    else:
        print(exporting.export_git(archive, app.id, arguments.git, choices))
    return 0


def _packages(settings: Settings, archive: Archive, app: App) -> dict[str, bytes]:
    """The wheels of the app's packages, by the engine that there is."""
    from vibe.opening import open_studio

    async def fetched() -> dict[str, bytes]:
        async with open_studio(settings) as studio:
            return await studio.wheels(app.id)

    found = asyncio.run(fetched())
    size = sum(map(len, found.values())) / 1e6
    say(f"With {len(found)} packages, {size:,.1f} MB." if found else "It needs no packages.")
    return found


def _push(
    settings: Settings, archive: Archive, app: App, choices: Choices, arguments: argparse.Namespace
) -> None:
    from vibe import github, remotes

    secrets = settings.known_secrets
    if arguments.github is not None:
        token = github.token()
        remotes.examine(archive, app.id, choices, [token, *secrets])
        to = github.create_repository(
            arguments.github, token, api=settings.github_api, private=not arguments.public
        )
        say(f"Made {to.url}.")
    else:
        to = remotes.remote(arguments.push)
        token = remotes.token_for(to)
    done = remotes.push(
        archive, app.id, to, choices, branch=arguments.branch, force=arguments.force,
        token=token, secrets=secrets,
    )  # fmt: skip
    say(done.sentence)
    print(done.url)


def import_(settings: Settings, arguments: argparse.Namespace) -> int:
    from vibe.bundle import import_bundle

    app = import_bundle(opened(settings), arguments.file)
    print(app.id)
    say(f"In the gallery: {clean(app.title)}. Run it with: vibe run {app.id}")
    return 0


def duplicate(settings: Settings, arguments: argparse.Namespace) -> int:
    archive = opened(settings)
    print(archive.duplicate(find(archive, arguments.id).id).id)
    return 0


def keep(settings: Settings, arguments: argparse.Namespace) -> int:
    archive = opened(settings)
    app = archive.keep(find(archive, arguments.id).id, not arguments.off)
    end = expires(app, settings.expiry_days)
    if app.keep:
        say(f"{app.id} is kept until you discard it.")
    else:
        say(f"{app.id} goes to the trash on {end:%d %B %Y} unless it is used." if end else app.id)
    return 0


def allow(settings: Settings, arguments: argparse.Namespace) -> int:
    from vibe.studio import Studio

    if bool(arguments.hosts) == arguments.none:
        raise UserError("Say which hosts the app may reach.", "Name them, or give --none.")
    wanted = find(opened(settings), arguments.id)

    async def allowed() -> App:
        # no engine: another Vibe that runs the app sees for itself what its record allows
        async with Studio(settings, None) as studio:
            return await studio.allow(wanted.id, arguments.hosts)

    app = asyncio.run(allowed())
    say(f"{app.id}: {reach.in_words(reach.recorded(app.hosts))}.")
    return 0


def discard(settings: Settings, arguments: argparse.Namespace) -> int:
    archive = opened(settings)
    for app_id in [find(archive, wanted).id for wanted in arguments.ids]:
        archive.discard(app_id)
        say(f"In the trash: {app_id}. `vibe restore {app_id}` brings it back.")
    return 0


def restore(settings: Settings, arguments: argparse.Namespace) -> int:
    archive = opened(settings)
    if arguments.to:
        from vibe.going_back import go_back
        from vibe.versions import number_of

        app = go_back(archive, find(archive, arguments.id).id, number_of(arguments.to))
        say(f"{arguments.to} is the newest revision again, as r{app.revisions[-1].number}.")
        return 0
    app = archive.restore(find(archive, arguments.id, trash=True).id)
    say(f"Back in the gallery: {app.id}.")
    return 0


def purge(settings: Settings, arguments: argparse.Namespace) -> int:
    from vibe import purging

    if bool(arguments.ids) == arguments.all:
        raise UserError("Say which apps to delete for good.", "Give their ids, or --all.")
    archive = opened(settings)
    everything = [app.id for app in archive.trash()] if arguments.all else []
    wanted = [find(archive, app_id, trash=True).id for app_id in arguments.ids]
    for app_id in [*wanted, *everything]:
        for line in purging.purge(archive, app_id):
            print(clean(line))
    return 0


def opened(settings: Settings) -> Archive:
    """The gallery, with builds whose process died marked as interrupted."""
    archive = Archive(settings.gallery, secrets=settings.known_secrets)
    archive.recover()
    return archive


def find(archive: Archive, wanted: str, *, trash: bool = False) -> App:
    """The app whose id is `wanted` or is the only one that begins with it.

    Raises NoSuchApp, and UserError that names the candidates."""
    apps = archive.trash() if trash else archive.list()
    found = [app for app in apps if app.id == wanted] or [
        app for app in apps if wanted and app.id.startswith(wanted)
    ]
    if not found:
        raise NoSuchApp(wanted)
    if len(found) > 1:
        some = ", ".join(app.id for app in found[:5])
        raise UserError(f"{len(found)} apps begin with {wanted!r}.", f"Say which: {some}.")
    return found[0]


def _state(app: App) -> str:
    if app.discarded:
        return "discarded"
    return app.verdict.state if app.status == "ready" and app.verdict else app.status


def _for_terminal(text: str) -> str:
    return clean(text) if sys.stdout.isatty() else text


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def say(words: str) -> None:
    """For the person, not for a pipe: on stderr."""
    print(clean(words), file=sys.stderr, flush=True)
