"""Lets a page load Streamlit's front end before there is an app to load it from.

The app's first page then has most of its eighty files in the cache, and in a renderer that has
compiled them. They are Vibe's own copy, in `front/`; their names hold a hash of their content.
"""

import asyncio
import contextlib
import mimetypes
from pathlib import Path

FRONT = Path("front")
MOST_S = 15.0
"""How long it may take; on a busy machine the app's page is worth more."""
ELEMENTS = """async () => {
  // What draws an element is imported once a script has that element, by a name in the first file
  const first = document.querySelector("script[type=module]").src;
  const text = await (await fetch(first)).text();
  const found = [...text.matchAll(/import\\(`([^`]*)`\\)/g)].map((one) => one[1]);
  await Promise.allSettled(found.map((name) => import(new URL(name, first))));
}"""


async def rehearse(page, port):
    """Loads the front end in the page, and leaves it blank. Raises Error and TimeoutError."""
    async with asyncio.timeout(MOST_S):
        await page.goto(f"http://localhost:{port}/", wait_until="load")
        await page.evaluate(ELEMENTS)
        await page.goto("about:blank")


async def answer(reader, writer):
    """One request for one of the files; what isn't there is left to the app."""
    with contextlib.suppress(OSError, ValueError, asyncio.LimitOverrunError):
        head = await reader.readuntil(b"\r\n\r\n")
        asked = head.split(b" ", 2)[1].decode().split("?")[0].lstrip("/") or "index.html"
        path = (FRONT / asked).resolve()
        found = path.is_relative_to(FRONT.resolve()) and path.is_file()
        body = path.read_bytes() if found else b""
        kept = found and "static" in path.parts
        lines = [
            "HTTP/1.1 200 OK" if found else "HTTP/1.1 404 Not Found",
            f"Content-Type: {mimetypes.guess_type(path.name)[0] or 'application/octet-stream'}",
            f"Content-Length: {len(body)}",
            f"Cache-Control: {'public, immutable, max-age=31536000' if kept else 'no-store'}",
            "Connection: close",
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()
    writer.close()
