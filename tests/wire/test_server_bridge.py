"""The bridge between script threads and the studio in the server's loop."""

import asyncio

import pytest

from vibe.errors import EngineFault, NoSuchApp, UserError
from vibe.settings import Settings
from vibe.studio import Studio
from vibe.ui import bridge


@pytest.fixture
async def bridged(tmp_path):
    fault = EngineFault("There is no engine here.", "Install one.")
    settings = Settings(gallery=tmp_path / "gallery")
    async with Studio(settings, None, engine_fault=fault) as studio:
        yield bridge.Bridge(studio, asyncio.get_running_loop())


async def test_what_the_studio_refuses_is_refused_in_the_thread(bridged):
    with pytest.raises(UserError, match="idea is empty"):
        await asyncio.to_thread(bridged.create, "  ")
    with pytest.raises(NoSuchApp):
        await asyncio.to_thread(bridged.change, "no-such-app-000000", "more")


async def test_a_thread_sees_what_runs_and_why_nothing_can(bridged):
    assert await asyncio.to_thread(bridged.lives) == []
    assert await asyncio.to_thread(bridged.live, "app-000000") is None
    assert bridged.engine is None
    assert bridged.engine_fault.fix == "Install one."
    assert bridged.archive.list() == []


async def test_a_wait_that_takes_too_long_ends_and_cancels(bridged):
    cancelled = asyncio.Event()

    async def forever():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(UserError, match="took longer"):
        await asyncio.to_thread(bridged._wait, forever(), 0.1)
    await asyncio.wait_for(cancelled.wait(), 2)


async def test_without_a_server_the_screens_are_told_how_to_start_one(bridged):
    with pytest.raises(UserError, match="server isn't running"):
        bridge.studio()
    bridge.install(bridged)
    try:
        assert bridge.studio() is bridged
    finally:
        bridge.install(None)
