"""The documentation's pictures, small enough for a repository."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from playwright.async_api import Page

FOLDER = Path(__file__).parent.parent.parent / "docs" / "pictures"
MOST_BYTES = 150_000


async def save_picture(page: Page, name: str) -> None:
    """What the page shows now, in light as docs/pictures/<name>.png, in dark as <name>-dark.png."""
    was = await page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    for scheme, suffix in (("light", ""), ("dark", "-dark")):
        await page.emulate_media(color_scheme=scheme)
        await page.wait_for_timeout(1500)
        await _save(page, name + suffix)
    await page.emulate_media(color_scheme="dark" if was else "light")


async def _save(page: Page, name: str) -> None:
    """With as many colours as fit into MOST_BYTES."""
    taken = Image.open(io.BytesIO(await page.screenshot())).convert("RGB")
    for colours in (256, 128, 64):
        content = io.BytesIO()
        taken.quantize(colours, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
        if content.tell() <= MOST_BYTES:
            break
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.png").write_bytes(content.getvalue())
