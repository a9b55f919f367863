"""A process that serves the whole site with one preview: `site_process.py MAIN APP_PORT TOKEN`."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from preview_support import Running

from vibe.listening import bind, listen
from vibe.server import Site, configure_streamlit
from vibe.settings import Settings


async def main(script, app_port, token):
    sock = bind(Settings(port=0))
    settings = replace(Settings(), port=sock.getsockname()[1])
    configure_streamlit(settings)
    live = Running(int(app_port), token)

    async def stopped():
        print("stopping", flush=True)

    await listen(
        Site(settings, {token: live}.get, Path(script).absolute()),
        sock,
        ready=lambda: print(settings.port, flush=True),
        stop=stopped,
    )
    print("stopped", flush=True)


asyncio.run(main(*sys.argv[1:]))
