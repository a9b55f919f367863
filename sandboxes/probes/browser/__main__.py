"""Runs in the browser box: Chromium, driven by jobs that come over a port, one JSON object a line.

Two ports of 127.0.0.1 in this box are met from outside through the box's pipe:
  9001  one connection: jobs in, results out, a line of JSON each
  9002  offers: idle connections; each becomes one connection to the app, when Chromium asks for one
Started as `python -I <this folder> [port]`, which finds the other files beside this one; with a
port, pages that are made ready for that port rehearse (see rehearsal.py).

Chromium's own sandbox is off (--no-sandbox): it needs privileges that a box does not have, and the
box, with no network and nothing of the user's in it, is the sandbox.
"""

import asyncio
import json
import os
import sys

from look import Looks
from playwright.async_api import async_playwright
from ports import Ports
from rehearsal import answer

JOBS, OFFERS = 9001, 9002
# The image has the first; a machine without Docker may have but the second.
BROWSERS = ["/usr/bin/chromium-headless-shell", "/usr/bin/chromium"]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--js-flags=--max-old-space-size=512",
]


def begin(looks, ports):
    """What is done while nobody waits: getting pages ready, then the rehearsal."""
    ready = asyncio.ensure_future(looks.prepare())

    async def rehearsed(port):
        await asyncio.shield(ready)
        await ports.listen(port, answer)
        await looks.rehearse(port)

    port = int(sys.argv[1]) if len(sys.argv) > 1 else None
    return ready, asyncio.ensure_future(rehearsed(port) if port else asyncio.sleep(0))


async def serve(looks, ports, reader, writer):
    """Answers jobs until the connection ends, and with it this program."""
    ready, rehearsing = begin(looks, ports)
    while line := await reader.readline():
        rehearsing.cancel()
        await asyncio.gather(ready, rehearsing, return_exceptions=True)
        job = json.loads(line)
        await ports.listen(job["port"])
        result = await looks.look(job)
        writer.write(json.dumps(result).encode() + b"\n")
        await writer.drain()
        ready, rehearsing = begin(looks, ports)
    os._exit(0)


async def main():
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=next(filter(os.path.exists, BROWSERS)), args=ARGUMENTS
        )
        looks, ports = Looks(browser), Ports()
        await asyncio.start_server(ports.offered, "127.0.0.1", OFFERS)
        jobs = await asyncio.start_server(
            lambda reader, writer: serve(looks, ports, reader, writer),
            "127.0.0.1",
            JOBS,
            limit=64 << 20,
        )
        await jobs.serve_forever()


asyncio.run(main())
