"""Opens a studio with the engine there is, ends it in time, and can serve its previews alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from vibe import hosts
from vibe.assets import of_streamlit
from vibe.errors import EngineFault
from vibe.gateway import Gateway
from vibe.hosts import Receive, Scope, Send, header
from vibe.kinds import kinds
from vibe.listening import listen, refuse
from vibe.settings import Settings
from vibe.studio import Studio

if TYPE_CHECKING:
    from vibe.sandbox.engine import Engine

STOP_S = 15.0
"""How long builds and boxes may take to end before the process goes without them."""


@asynccontextmanager
async def open_studio(settings: Settings, *, warm: bool = False) -> AsyncIterator[Studio]:
    """The studio; without an engine it can still write and archive, and says why. `warm`: boxes
    may stand ready for it."""
    engine, fault = await open_engine(settings)
    studio = Studio(settings, engine, engine_fault=fault)
    if warm and engine is not None and settings.warm_boxes:
        studio.engine = _warm(engine, studio)
    async with studio:
        yield studio


def _warm(engine: Engine, studio: Studio) -> Engine:
    from vibe.sandbox.warm import WarmEngine

    programs = dict(pair for kind in kinds().values() for pair in kind.programs().items())
    size = studio.line.size("python")
    return WarmEngine(
        engine,
        programs,
        studio.settings.warm_boxes,
        lambda count: studio.line.spare() >= count * size,
    )


async def open_engine(settings: Settings) -> tuple[Engine | None, EngineFault | None]:
    """The engine there is, or why there is none. Without Docker it is bubblewrap, if `vibe setup`
    has readied it; never instead of a Docker that answers, or that DOCKER_HOST names."""
    from vibe.sandbox import daemon

    without: EngineFault | None = None
    if settings.engine != "bubblewrap":
        found = await _docker(settings)
        if not isinstance(found, EngineFault):
            return found, None
        without = found
        if settings.engine == "docker" or daemon.named():
            return None, without
    found = await _bubblewrap(settings)
    if isinstance(found, EngineFault):
        return None, without or found
    return found, None


async def _docker(settings: Settings) -> Engine | EngineFault:
    from vibe.sandbox.docker import DockerEngine
    from vibe.sandbox.packages import PackageSource

    try:
        source = PackageSource(settings.packages)
        return await DockerEngine.open(gallery=settings.gallery, source=source)
    except EngineFault as fault:
        return fault


async def _bubblewrap(settings: Settings) -> Engine | EngineFault:
    from vibe.sandbox.bubblewrap import BubblewrapEngine
    from vibe.sandbox.packages import PackageSource

    try:
        source = PackageSource(settings.packages)
        return await BubblewrapEngine.open(gallery=settings.gallery, source=source)
    except EngineFault as fault:
        return fault


async def stopped(studio: Studio) -> None:
    """Ends every build and box of the studio, or gives up after STOP_S."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_S):
            await studio.close()


async def serve_previews(studio: Studio, sock: socket.socket, ready: Callable[[], None]) -> None:
    """Serves the studio's previews, and no UI, until SIGINT or SIGTERM; then stops them."""
    known = hosts.of(studio.settings)
    gateway = Gateway(
        studio.previews.by_token,
        studio.settings,
        failed=studio.previews.failed,
        assets=of_streamlit(),
    )

    async def previews_only(scope: Scope, receive: Receive, send: Send) -> None:
        if known.token(header(scope["headers"], b"host") or "") is not None:
            await gateway(scope, receive, send)
        else:
            await refuse(scope, receive, send, 421, "Only previews are served here.")

    await listen(previews_only, sock, ready=ready, stop=lambda: stopped(studio), lifespan=False)
