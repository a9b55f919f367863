"""How long a rerun from the gallery takes until the app answers, for a starter of each kind.

Every app is made once by its starter, without a model; its preview is then closed and opened again.
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


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    table = {}
    with tempfile.TemporaryDirectory() as folder:
        engine = await DockerEngine.open(gallery=Path(folder))
        async with Starting(Settings(gallery=Path(folder)), engine) as studio:
            for name in [name for name in kinds() if name in IDEAS]:
                made = await studio.create(IDEAS[name], kind=name)
                end = await studio.wait(made.id)
                app = studio.archive.load(made.id)
                if not app.revisions:
                    print(f"{name}: not made: {end.sentence}")
                    continue
                await studio.close_preview(app.id)
                seconds = [await rerun(studio, app) for _ in range(3 if arguments.quick else 10)]
                await studio.close_preview(app.id)
                table[name] = round(statistics.median(seconds), 2)
                least, most = min(seconds), max(seconds)
                print(f"{name}: {table[name]} s ({least:.2f}–{most:.2f}, n = {len(seconds)})")  # noqa: RUF001
    if arguments.json:
        print(json.dumps({"bench": "rerun", "seconds": table}))


if __name__ == "__main__":
    asyncio.run(main())
