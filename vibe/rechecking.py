"""Runs an app's checks again, without a model, and notes when it was last seen working."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from vibe import pinning
from vibe.app import App, Verdict
from vibe.archive import Archive
from vibe.browser import Eyes
from vibe.checks import examine
from vibe.errors import UserError
from vibe.events import Acted, Event, now
from vibe.granted import NOTHING, Granted
from vibe.kinds import kind as kind_named
from vibe.plan import plan_from_data
from vibe.sandbox import lock
from vibe.sandbox.engine import Engine
from vibe.settings import Limits
from vibe.supply import Supplied
from vibe.verdict import judge


async def recheck(
    engine: Engine, archive: Archive, app: App, limits: Limits, granted: Granted = NOTHING
) -> App:
    """The app with the verdict of today, archived with the events of the check.

    Raises UserError for an app without a program, EngineFault when it can't be run at all; the
    archived verdict then stays."""
    if not app.revisions:
        raise UserError("There is no program in this app yet.", "Build it again first.")
    kind = kind_named(app.kind)
    plan = plan_from_data(app.plan)
    content = await asyncio.to_thread(archive.files, app.id, app.revisions[-1].commit)
    data = await asyncio.to_thread(archive.data, app.id)
    told: list[Event] = []
    eyes = Eyes(engine, app.id) if kind.serves else None
    try:
        ground = await pinning.ready(engine, archive.root, app, content, told.append)
        content.pop(lock.FILE, None)
        texts = {path: text.decode("utf-8", "replace") for path, text in content.items()}
        examination = await examine(
            kind,
            texts,
            plan,
            engine=engine,
            app_id=app.id,
            data=data,
            limits=limits,
            eyes=eyes,
            emit=told.append,
            supplied=Supplied(ground.lock),
            image_id=ground.image_id,
            kept=await asyncio.to_thread(archive.vendored, app.id),
            granted=granted,
        )
        if examination.running is not None:
            await examination.running.stop()
    finally:
        if eyes is not None:
            await eyes.close()
    verdict = judge(kind, plan, examination, engine)
    seen = now() if works(verdict) else app.seen
    if works(verdict):  # an app of an earlier Vibe has none of its own yet
        await asyncio.to_thread(pinning.keep_libraries, archive, app.id, kind, texts)
    told.append(Acted(action="checked", detail=f"{verdict.state}: {verdict.sentence}"))
    app = replace(await asyncio.to_thread(archive.load, app.id), verdict=verdict, seen=seen)
    await asyncio.to_thread(archive.append, app.id, told, sync=True)
    await asyncio.to_thread(archive.save, app)
    return app


def works(verdict: Verdict) -> bool:
    """Whether an app with this verdict counts as seen working."""
    return verdict.state in ("works", "partly")
