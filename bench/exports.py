"""How long it takes from an app in the gallery to its export running without Vibe.

An app of each kind, written by a starter, is exported, unpacked, given its environment by uv from
the lock, and started as its README says, until it answers (a script: until its end).
Run: `python bench/exports.py [--quick] [--json]`; `--quick` takes the kinds without packages only.
The first run fills uv's cache, so each app is done twice and the second time is told beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.error import URLError

from vibe import settings
from vibe.archive import Archive
from vibe.export import export_git, export_zip
from vibe.kinds import kind as kind_named
from vibe.starters import all_starters
from vibe.studio import Studio

UV = str(Path(sysconfig.get_path("scripts")) / "uv")
APPS = {
    "web": "tip-calculator",
    "script": "log-inspector",
    "flask": "poll",
    "streamlit": "loan-dashboard",
}
START_S = 120


@dataclass(frozen=True)
class Times:
    """Seconds of each step of one app's way out."""

    kind: str
    cache: str
    zip: float
    git: float
    environment: float
    start: float

    @property
    def run(self) -> float:
        """From the export to the answer."""
        return self.zip + self.environment + self.start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    kinds = ["web", "script"] if arguments.quick else list(APPS)
    with tempfile.TemporaryDirectory() as place:
        archive, made = asyncio.run(apps(Path(place, "gallery"), kinds))
        found = [
            timed(archive, app_id, kind, cache, Path(place, f"{kind}-{cache}"))
            for kind, app_id in made.items()
            for cache in ("first", "warm")
        ]
    print(f"{'kind':<10} {'cache':<6} {'zip':>7} {'git':>7} {'venv':>7} {'start':>7} {'run':>7}")
    for times in found:
        steps = (times.zip, times.git, times.environment, times.start, times.run)
        print(f"{times.kind:<10} {times.cache:<6} " + " ".join(f"{one:>6.2f}s" for one in steps))
    warm = statistics.median(times.run for times in found if times.cache == "warm")
    print(f"median from the export to the answer, warm: {warm:.2f} s")
    if arguments.json:
        print(json.dumps({"apps": [asdict(times) for times in found], "median_warm_s": warm}))


async def apps(gallery: Path, kinds: list[str]) -> tuple[Archive, dict[str, str]]:
    """An app of each kind; written, but not run, which an export does not need."""
    starters = {starter.name: starter for starter in all_starters()}
    made = {}
    chosen = settings.load({"VIBE_SETTINGS": "/none"}, gallery=gallery)
    async with Studio(chosen, None) as studio:
        for kind in kinds:
            app = await studio.create(starters[APPS[kind]].example)
            await studio.wait(app.id)
            made[kind] = app.id
        return studio.archive, made


def timed(archive: Archive, app_id: str, kind: str, cache: str, place: Path) -> Times:
    place.mkdir()
    began = time.perf_counter()
    with zipfile.ZipFile(export_zip(archive, app_id, place / "app.zip")) as bundle:
        bundle.extractall(place / "app")
    zipped = time.perf_counter()
    export_git(archive, app_id, place / "git")
    committed = time.perf_counter()
    folder = place / "app"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable], cwd=folder, check=True)
    if (folder / "requirements.lock").exists():
        sync = [UV, "pip", "sync", "--quiet", "requirements.lock"]
        subprocess.run(sync, cwd=folder, check=True, env=environment())
    ready = time.perf_counter()
    started(kind, folder)
    answered = time.perf_counter()
    steps = (zipped - began, committed - zipped, ready - committed, answered - ready)
    return Times(kind, cache, *(round(step, 3) for step in steps))


def started(name: str, folder: Path) -> None:
    """Starts the program, and waits for its answer or its end."""
    kind = kind_named(name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [part.format(port=port, entry=kind.entry) for part in kind.command]
    argv = [UV, "run", "--quiet", "--no-project", *argv]
    if not kind.serves:
        subprocess.run(argv, cwd=folder, check=True, env=environment(), capture_output=True)
        return
    process = subprocess.Popen(
        argv, cwd=folder, env=environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + START_S
        while not answers(f"http://127.0.0.1:{port}{kind.ready}"):
            assert process.poll() is None, f"the exported {name} app ended"
            assert time.monotonic() < deadline, f"the exported {name} app does not answer"
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def answers(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        direct.open(url, timeout=5).close()
    except (URLError, ConnectionError, TimeoutError):
        return False
    return True


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}


if __name__ == "__main__":
    main()
