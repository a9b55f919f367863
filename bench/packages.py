"""How long packages take: the first time, from uv's cache, installed before, and offline from the
cache alone.

Run: `python bench/packages.py [--quick] [--json] [--engine bubblewrap]`. Needs the engine and a
package index. `cold` begins with an empty uv cache and no lock remembered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from vibe.errors import NoPackages
from vibe.sandbox import docker_client, fetching_policy, folders
from vibe.sandbox.bubblewrap import BubblewrapEngine
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.packages import PackageSource
from vibe.settings import PackageRules

SETS = {"one small": ["humanize"], "a few": ["folium", "beautifulsoup4", "pyfiglet", "qrcode"]}
ENGINES = {"docker": DockerEngine.open, "bubblewrap": BubblewrapEngine.open}
UNREACHABLE = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}


AnEngine = DockerEngine | BubblewrapEngine


async def measure(
    open_: Callable[..., Awaitable[AnEngine]], names: list[str], rounds: int
) -> dict[str, list[float]]:
    """Seconds to a mounted volume, by circumstance. Removes and makes the set's own volume and uv's
    cache; both are caches."""

    @contextlib.asynccontextmanager
    async def opened(gallery: Path, source: PackageSource) -> AsyncIterator[AnEngine]:
        engine = await open_(gallery=gallery, source=source)
        try:
            yield engine
        finally:
            await engine.close()

    found: dict[str, list[float]] = {"cold": [], "cache": [], "installed": [], "offline": []}
    with tempfile.TemporaryDirectory() as folder:
        gallery = Path(folder)
        for turn in range(rounds):
            cold = PackageSource(PackageRules(), cache=gallery / f"cold-{turn}")
            async with opened(gallery, cold) as engine:
                key = (await engine.packages.resolve(names)).key
                await engine.packages._store.remove(key)
                await forget(engine)
            fresh = PackageSource(PackageRules(), cache=gallery / f"fresh-{turn}")
            async with opened(gallery, fresh) as engine:
                found["cold"].append(await timed(engine, names))
                found["installed"].append(await timed(engine, names))
                await engine.packages._store.remove(key)
                found["cache"].append(await timed(engine, names))
            away = {**os.environ, **UNREACHABLE}
            forgetful = PackageSource(PackageRules(), away, gallery / f"away-{turn}")
            async with opened(gallery, forgetful) as engine:
                await engine.packages._store.remove(key)
                try:
                    found["offline"].append(await timed(engine, names))
                except NoPackages as error:
                    print(f"offline: {error.message}")
    return found


async def timed(engine: AnEngine, names: list[str]) -> float:
    since = time.monotonic()
    packages = engine.packages
    wanted = await packages.resolve(names)
    await packages.install(wanted, lambda *said: None)
    return time.monotonic() - since


async def forget(engine: AnEngine) -> None:
    """Empties uv's cache."""
    if isinstance(engine, DockerEngine):
        remove = engine._client.api.remove_volume
        with contextlib.suppress(docker_client.Gone):
            await engine._client.call(remove, fetching_policy.CACHE_VOLUME)
    else:
        with contextlib.suppress(folders.Gone):
            folders.take_away(engine._store.place / folders.CACHE)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--engine", choices=ENGINES, default="docker")
    arguments = parser.parse_args()
    table = {}
    for title, names in list(SETS.items())[: 1 if arguments.quick else None]:
        found = await measure(ENGINES[arguments.engine], names, 1 if arguments.quick else 3)
        table[title] = {
            circumstance: round(statistics.median(seconds), 2) if seconds else None
            for circumstance, seconds in found.items()
        }
        shown = ", ".join(f"{circumstance} {s} s" for circumstance, s in table[title].items())
        print(f"{title} ({', '.join(names)}): {shown}")
    if arguments.json:
        print(json.dumps({"bench": "packages", "engine": arguments.engine, "seconds": table}))


if __name__ == "__main__":
    asyncio.run(main())
