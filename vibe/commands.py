"""What the commands that build, run and serve do; each returns its exit code."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import getpass
import os
import signal
import sys
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any

from vibe import kinds, reach
from vibe.app import App
from vibe.errors import UserError
from vibe.events import Asked, Finished, to_json
from vibe.gallery_commands import as_json, find, opened, say
from vibe.settings import Settings
from vibe.telling import Passing, Teller
from vibe.ui.words import clean

OK, FAILED, BAD_INPUT, NO_ENGINE, INTERRUPTED = 0, 1, 2, 3, 130
TIMEOUT = 124
"""What `timeout` of coreutils exits with."""
DATA_BYTES = 64 << 20


def serve(settings: Settings, arguments: argparse.Namespace) -> int:
    from vibe import server

    server.serve(settings, say)
    return OK


def setup(settings: Settings, arguments: argparse.Namespace) -> int:
    from vibe import setup as setting_up
    from vibe.sandbox.images import IMAGES, ON_DEMAND

    apps = [*opened(settings).list(), *opened(settings).trash()]
    pinned = {str(app.pins.get(key, "")) for app in apps for key in ("image", "recipe")}
    wanted = (*IMAGES, *ON_DEMAND) if arguments.all else IMAGES
    report = setting_up.console(verbose=arguments.verbose)
    setting_up.setup(report, pinned, settings.engine, wanted=wanted)
    return OK


def new(settings: Settings, arguments: argparse.Namespace) -> int:
    data = read_data(arguments.data)
    someone_must_answer(arguments.autonomy or settings.autonomy, arguments)

    async def build() -> int:
        from vibe.opening import open_studio

        async with open_studio(settings) as studio:
            app = await studio.create(
                arguments.idea,
                kind=arguments.kind,
                model=arguments.model,
                autonomy=arguments.autonomy,
                data=data,
                hosts=arguments.allow,
            )
            return await follow(studio, app, 0, arguments)

    return finish(build())


def change(settings: Settings, arguments: argparse.Namespace) -> int:
    app_id = find(opened(settings), arguments.id).id
    someone_must_answer(settings.autonomy, arguments)

    async def build() -> int:
        from vibe.opening import open_studio

        async with open_studio(settings) as studio:
            seen = len(studio.archive.events(app_id))
            app = await studio.change(app_id, arguments.request, model=arguments.model)
            return await follow(studio, app, seen, arguments)

    return finish(build())


def resume(settings: Settings, arguments: argparse.Namespace) -> int:
    app_id = find(opened(settings), arguments.id).id
    someone_must_answer(settings.autonomy, arguments)

    async def build() -> int:
        from vibe.opening import open_studio

        async with open_studio(settings) as studio:
            seen = len(studio.archive.events(app_id))
            app = await studio.resume(app_id, model=arguments.model)
            return await follow(studio, app, seen, arguments)

    return finish(build())


async def follow(studio: Any, app: App, seen: int, arguments: argparse.Namespace) -> int:
    """Tells a build to its end; its exit code. With --json its record is first and last."""
    teller = Teller(sys.stdout, verbose=arguments.verbose)
    end: Finished | None = None
    _tell_app(app, arguments)
    async with contextlib.aclosing(studio.follow(app.id, seen)) as events:
        async for event in events:
            if isinstance(event, Finished):
                end = event
            if arguments.json:
                print(to_json(event), flush=True)
            else:
                teller.tell(event)
            if isinstance(event, Asked):
                await studio.answer(app.id, await asyncio.to_thread(_yes, event, arguments.json))
    _tell_app(studio.archive.load(app.id), arguments, last=True)
    return OK if end is not None and end.status == "ready" else FAILED


def someone_must_answer(autonomy: str, arguments: argparse.Namespace) -> None:
    """Raises UserError when the build would ask and nobody is there to say yes."""
    if autonomy == "ask" and (arguments.json or not sys.stdin.isatty()):
        raise UserError(
            "With autonomy `ask` someone must answer, and this is no terminal.",
            "Set VIBE_AUTONOMY=fix, or use the screens.",
        )


def _yes(question: Asked, as_json: bool) -> bool:
    """What the person at the terminal says to a plan or a repair; just Enter is a yes. To a package
    that Vibe doesn't know it is a no, and so is nobody's answer."""
    if as_json or not sys.stdin.isatty():
        return False
    print(clean(question.text))
    try:
        if question.what == "package":
            return input("Install it? [y/N] ").strip().lower() in ("y", "yes")
        asked = "Build this plan?" if question.what == "plan" else "Let the model repair it?"
        return input(f"{asked} [Y/n] ").strip().lower() in ("", "y", "yes")
    except EOFError:
        return False


def _tell_app(app: App, arguments: argparse.Namespace, *, last: bool = False) -> None:
    if arguments.json:
        print(as_json({"v": 1, "type": "App", "app": dataclasses.asdict(app)}), flush=True)
    elif not last:
        print(app.id, flush=True)
    elif app.status == "ready":
        print(f"Run it with: vibe run {app.id}")


def doctor(settings: Settings, arguments: argparse.Namespace) -> int:
    from vibe.choice import chosen_model
    from vibe.doctor import examine
    from vibe.opening import open_engine

    async def look() -> list[Any]:
        engine, _ = await open_engine(settings)
        try:
            return await examine(settings, engine, find_model=chosen_model)
        finally:
            if engine is not None:
                await engine.close()

    findings = asyncio.run(look())
    if arguments.json:
        print(as_json([dataclasses.asdict(finding) for finding in findings]))
    else:
        marks = {"ok": "✓", "warning": "!", "problem": "✗"}
        for finding in findings:
            print(f"{marks[finding.state]} {finding.name:<14} {clean(finding.sentence)}")
            if finding.fix:
                print(f"  {'':<14} {clean(finding.fix)}")
    return FAILED if any(finding.state == "problem" for finding in findings) else OK


def check(settings: Settings, arguments: argparse.Namespace) -> int:
    """Exit code 0 when every app that was checked works, at least in part."""
    archive = opened(settings)
    if bool(arguments.id) == arguments.all:
        raise UserError("Say which app to check, or --all.", "`vibe list` shows the gallery.")
    apps = archive.list() if arguments.all else [find(archive, arguments.id)]

    async def checked() -> int:
        from vibe.opening import open_studio
        from vibe.rechecking import works

        bad = 0
        async with open_studio(settings) as studio:
            for app in apps:
                if arguments.all and (not app.revisions or app.status == "building"):
                    continue
                try:
                    verdict = (await studio.check(app.id)).verdict
                except UserError as error:
                    if not arguments.all:
                        raise
                    print(f"✗ {app.id}  {clean(error.message)}", flush=True)
                    bad += 1
                    continue
                assert verdict is not None
                mark = "✓" if works(verdict) else "✗"
                bad += not works(verdict)
                print(f"{mark} {app.id}  {verdict.state}: {clean(verdict.sentence)}", flush=True)
        return FAILED if bad else OK

    return finish(checked())


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    app = find(opened(settings), arguments.id)
    if kinds.kind(app.kind).serves:
        if arguments.args:
            raise UserError("This app has a page; it takes no arguments.", f"vibe run {app.id}")
        return finish(_run_served(settings, app, secrets_for(app, arguments.secret)))
    secrets = secrets_for(app, arguments.secret)
    return finish(_run_script(settings, app, arguments.args, secrets))


def secrets_for(
    app: App, named: Iterable[str], environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The values of the secrets that the app is run with: for those `named`, the environment's
    variable of that name; for the rest that it wants, and where there is none, what the person
    types. Raises UserError for a named one that nobody gives."""
    found: dict[str, str] = {}
    named = [reach.variable(name) for name in named]
    if named and not reach.recorded(app.hosts):
        raise UserError(
            "This app may reach no host, so it gets no secrets.",
            f"Allow it one first: vibe allow {app.id} HOST",
        )
    wanted = reach.variables(app.secrets) if reach.recorded(app.hosts) else ()
    for name in dict.fromkeys([*named, *wanted]):
        value = environ.get(name, "") if name in named else ""
        if not value and sys.stdin.isatty():
            value = getpass.getpass(f"{name} (not shown, kept in memory only): ")
        if value.strip():
            found[name] = reach.secret(value)
        elif name in named:
            raise UserError(f"There is no value for {name}.", "Set that variable, or type it.")
        else:
            say(f"It runs without {name}.")
    return found


async def _run_served(settings: Settings, app: App, secrets: Mapping[str, str]) -> int:
    from vibe.listening import bind
    from vibe.opening import open_studio, serve_previews

    # A server of its own on a free port: another Vibe may have the usual one.
    own = dataclasses.replace(settings, host="127.0.0.1", port=0, url="", preview_url="")
    with contextlib.closing(bind(own)) as sock:
        own = dataclasses.replace(own, port=sock.getsockname()[1])
        async with open_studio(own) as studio:
            for name, value in secrets.items():
                await studio.give(app.id, name, value)
            live = await studio.run(app.id)

            def ready() -> None:
                print(live.url, flush=True)
                say("Ctrl-C stops it.")

            await serve_previews(studio, sock, ready)
    return OK


async def _run_script(
    settings: Settings, app: App, args: list[str], secrets: Mapping[str, str]
) -> int:
    from vibe.opening import open_studio

    stdin = b"" if sys.stdin.isatty() else await asyncio.to_thread(sys.stdin.buffer.read)
    async with open_studio(settings) as studio:
        for name, value in secrets.items():
            await studio.give(app.id, name, value)
        outcome = await studio.run_script(
            app.id, args, stdin=stdin, on_output=Passing(sys.stdout, sys.stderr)
        )
        for sentence in studio.refusals(app.id):
            say(f"Refused: {sentence}")
    if outcome.how in ("ok", "error") and outcome.exit_code is not None:
        code = outcome.exit_code
        return code if code >= 0 else 128 - code
    reasons = {
        "timeout": "It ran too long and was stopped.",
        "memory": "It needed more memory than a box has.",
        "output": "It printed more than a box may.",
    }
    say(reasons.get(outcome.how, "It was stopped."))
    return TIMEOUT if outcome.how == "timeout" else FAILED


def read_data(paths: Iterable[Path]) -> dict[str, bytes]:
    """The files to attach, by name; of a folder all files in it. Raises UserError."""
    found: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise UserError(f"There is no file called {path}.", "Check --data.")
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in inside:
            name = file.relative_to(path.parent if path.is_dir() else file.parent).as_posix()
            if name in found:
                raise UserError(f"Two of the files are called {name}.", "Rename one.")
            found[name] = file
    try:
        size = sum(file.stat().st_size for file in found.values())
        if size > DATA_BYTES:
            raise UserError(
                f"The files have {size / 2**20:,.1f} MB together; "
                f"{DATA_BYTES >> 20} MB are the most.",
                "Attach fewer, or a part of them.",
            )
        return {name: file.read_bytes() for name, file in found.items()}
    except OSError as error:
        raise UserError(f"A file can't be read: {error}.", "Check --data.") from error


def finish(doing: Coroutine[Any, Any, int]) -> int:
    """Runs a command that owns builds or boxes; SIGTERM ends it as tidily as Ctrl-C."""

    async def guarded() -> int:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await doing

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM
