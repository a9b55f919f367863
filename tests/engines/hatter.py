"""An app that needs packages of the tests' index, and what is asked of engines that have them."""

from __future__ import annotations

import contextlib

import docker

from tests.scripted import ScriptedModel, code
from vibe.app import App
from vibe.archive import Archive
from vibe.model import Model
from vibe.sandbox.bubblewrap import BubblewrapEngine
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.engine import BoxSpec
from vibe.sandbox.lock import FILE, Lock, read
from vibe.studio import Studio

Packaged = DockerEngine | BubblewrapEngine

PLAN = """```yaml
title: Hatter
kind: script
summary: A test.
packages: [vibe-test-hat, vibe-test-nowhere, os, pandas]
checks:
  - {name: Says hat, args: [], stdout: ["hat 1.0"]}
```"""
MAIN = "import vibe_test_hat\nprint('hat', vibe_test_hat.VERSION)\n"


class Hatter(Studio):
    """A studio whose every build is of an app that needs vibe-test-hat."""

    async def _model(self, app: App, words: str, name: str | None) -> Model:
        return ScriptedModel(PLAN, code(main_py=MAIN))


def left(engine: Packaged, lock: Lock) -> list[str]:
    """What there is of the lock's volume or folder."""
    if isinstance(engine, DockerEngine):
        with contextlib.closing(docker.from_env()) as client:
            return [str(v.name) for v in client.volumes.list() if lock.key in str(v.name)]
    return [path.name for path in engine._store.place.glob(f"*{lock.key[:60]}*")]


async def imported(engine: Packaged, lock: Lock, program: str) -> str:
    """What a program printed in a box with those packages."""
    box = await engine.start(BoxSpec(app="t", lifetime_s=60, packages=lock.key))
    try:
        outcome = await box.run(["python", "-c", program])
    finally:
        await box.stop()
    return (outcome.stdout + outcome.stderr).decode()


def read_lock(archive: Archive, app_id: str) -> Lock:
    """An app's lock, as it is archived."""
    return read(archive.files(app_id)[FILE].decode())
