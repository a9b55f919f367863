"""Apps of every kind as they are exported, for trying them where there is no Vibe."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from vibe import settings
from vibe.export import Choices, export_git, export_zip
from vibe.starters import all_starters
from vibe.studio import Studio

MADE_FROM = {
    "web": "tip-calculator",
    "script": "log-inspector",
    "flask": "poll",
    "streamlit": "loan-dashboard",
    "fastapi": "habit-tracker",
    "slides": "meeting-slides",
    "notebook": "data-report",
    "node": "passphrases",
    "rust": "maze",
}
SAYS = {"script": "error", "node": "-", "rust": "Maze"}
"""What the kinds that don't serve pages print when they run without arguments."""


@dataclass(frozen=True)
class Exported:
    """One app as a folder from its zip and as a clone of its git folder."""

    id: str
    zip: Path
    git: Path


def exports(place: Path) -> dict[str, Exported]:
    """An app of each kind, written by a starter and exported both ways."""
    starters = {starter.name: starter for starter in all_starters()}

    async def made() -> dict[str, Exported]:
        found = {}
        chosen = settings.load({"VIBE_SETTINGS": "/none"}, gallery=place / "gallery")
        async with Studio(chosen, None) as studio:
            for kind, name in MADE_FROM.items():
                app = await studio.create(starters[name].example)
                await studio.wait(app.id)
                assert studio.archive.load(app.id).kind == kind
                bundle = export_zip(studio.archive, app.id, place / f"{kind}.zip", Choices("MIT"))
                with zipfile.ZipFile(bundle) as archive:
                    archive.extractall(place / f"{kind}-zip")
                folder = export_git(studio.archive, app.id, place / f"{kind}-git", Choices("MIT"))
                clone = place / f"{kind}-clone"
                run(place, "git", "clone", "-q", str(folder), str(clone))
                found[kind] = Exported(app.id, place / f"{kind}-zip", clone)
        return found

    return asyncio.run(made())


def run(folder: Path, *command: str, **more: str) -> str:
    """Its output. The environment has nothing of Vibe's, and no other environment's name."""
    environ = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(
        command, cwd=folder, env={**environ, **more}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def readme(folder: Path) -> str:
    return (folder / "README.md").read_text("utf-8")


def answer(url: str, process: subprocess.Popen[bytes] | None = None) -> bytes:
    """What a server says once it is there."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + 90
    while True:
        try:
            with direct.open(url, timeout=10) as page:
                return bytes(page.read())
        except (URLError, ConnectionError, TimeoutError):
            assert process is None or process.poll() is None, "it has ended"
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.1)
