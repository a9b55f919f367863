"""How long a rerun from the gallery takes until the app answers, for a starter of each kind.

Every app is made once by its starter, without a model; its preview is then closed and opened again,
in a fresh box and in one that stood ready by turns.
Run: `python bench/rerun.py [--quick] [--json]`. Needs Docker.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from vibe.app import App
from vibe.kinds import kind, kinds
from vibe.model import Model
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.warm import WarmEngine
from vibe.settings import Settings
from vibe.starters import StarterModel
from vibe.studio import Studio

IDEAS = {
    "web": "a tip calculator",
    "streamlit": "a loan dashboard",
    "flask": "a poll",
    "script": "find duplicate files",
    "fastapi": "a habit tracker",
    "slides": "slides for a meeting",
    "notebook": "a report on my data",
    "node": "a passphrase generator in Node",
    "rust": "a maze in Rust",
}


class Starting(Studio):
    """A studio that always uses the starters."""

    async def _model(self, app: App, words: str, *more: object) -> Model:  # type: ignore[override]
        return StarterModel.for_idea(app.idea, app.kind, [])


async def rerun(studio: Studio, app: App) -> float:
    since = time.monotonic()
    if kind(app.kind).serves:
        await studio.run(app.id, fresh=True)
    else:
        await studio.run_script(app.id, ["--help"])
    return time.monotonic() - since


async def stood_ready(warm: WarmEngine) -> None:
    """Waits for a box that stands ready."""
    warm.expect("bench")
    while not warm.ready:
        await asyncio.sleep(0.02)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    programs = dict(pair for each in kinds().values() for pair in each.programs().items())
    table: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        engine = await DockerEngine.open(gallery=Path(folder))
        warm = WarmEngine(engine, programs, 1, lambda count: True, rest_s=0.0)
        async with Starting(Settings(gallery=Path(folder)), engine) as studio:
            for name in [name for name in kinds() if name in IDEAS]:
                made = await studio.create(IDEAS[name], kind=name)
                end = await studio.wait(made.id)
                app = studio.archive.load(made.id)
                if not app.revisions:
                    print(f"{name}: not made: {end.sentence}")
                    continue
                seconds: dict[str, list[float]] = {"fresh box": [], "box stood ready": []}
                for _ in range(3 if arguments.quick else 10):
                    await studio.close_preview(app.id)
                    studio.engine = engine
                    seconds["fresh box"].append(await rerun(studio, app))
                    await studio.close_preview(app.id)
                    studio.engine = warm
                    await stood_ready(warm)
                    seconds["box stood ready"].append(await rerun(studio, app))
                await studio.close_preview(app.id)
                table[name] = {}
                for way, all_of in seconds.items():
                    table[name][way] = round(statistics.median(all_of), 2)
                    among = f"{min(all_of):.2f} to {max(all_of):.2f}, n = {len(all_of)}"
                    print(f"{name}, {way}: {table[name][way]} s ({among})", flush=True)
        await warm.close()
    if arguments.json:
        print(json.dumps({"bench": "rerun", "seconds": table}))


if __name__ == "__main__":
    asyncio.run(main())
