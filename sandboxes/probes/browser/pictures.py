"""Takes pictures of a page, and tells from one whether there is anything on it."""

import base64
import zlib

DESKTOP, PHONE = (1280, 800), (390, 844)
CHECK_WIDTH, CHECK_BYTES = 480, 40_000
"""What the picture at a check's end may take; vibe/browser.py refuses larger ones."""


class Camera:
    """A page's picture taker; Chromium makes the pictures itself."""

    def __init__(self, page):
        self.page = page
        self.session = None

    async def __aenter__(self):
        self.session = await self.page.context.new_cdp_session(self.page)
        return self

    async def __aexit__(self, *_):
        await self.session.detach()

    async def taken(self, size, *, scale=0.5, kind="webp"):
        """The picture in Base64."""
        return await self._clip((0, 0, *size), scale=scale, kind=kind)

    async def small(self):
        """The desktop page at CHECK_WIDTH, in Base64; None when it can't be had in CHECK_BYTES."""
        scale = CHECK_WIDTH / DESKTOP[0]
        for quality in (60, 25):
            place = (0, 0, *DESKTOP)
            taken = await self._clip(place, scale=scale, kind="webp", quality=quality)
            if len(taken) * 3 // 4 <= CHECK_BYTES:
                return taken
        return None

    async def _clip(self, place, *, scale=1.0, kind="png", quality=70):
        options = {"format": kind, "optimizeForSpeed": kind == "png"}
        if kind == "webp":
            options["quality"] = quality
        clip = dict(zip(("x", "y", "width", "height"), place, strict=True)) | {"scale": scale}
        answer = await self.session.send("Page.captureScreenshot", {**options, "clip": clip})
        return answer["data"]

    async def blank(self, words):
        """Whether nearly every pixel of the page has the same colour, also where words stand:
        `words` gives their places (x, y, width, height), and is asked only when it matters."""
        small = rows(base64.b64decode(await self.taken(DESKTOP, scale=0.125, kind="png")))
        if not all_alike(small):
            return False
        for place in await words():
            if not all_alike(rows(base64.b64decode(await self._clip(place)))):
                return False
        return True


def rows(png):
    """(Bytes of a pixel, rows of bytes) of an 8-bit PNG without interlace; see RFC 2083."""
    at, data, width, depth = 8, b"", 0, 4
    while at < len(png):
        size, name = int.from_bytes(png[at : at + 4]), png[at + 4 : at + 8]
        body = png[at + 8 : at + 8 + size]
        if name == b"IHDR":
            width, depth = int.from_bytes(body[:4]), {0: 1, 2: 3, 4: 2, 6: 4}[body[9]]
        elif name == b"IDAT":
            data += body
        at += size + 12
    raw, length = zlib.decompress(data), width * depth
    out, above = [], bytearray(length)
    for start in range(0, len(raw), length + 1):
        above = unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + length]), above, depth)
        out.append(above)
    return depth, out


def unfiltered(kind, line, above, depth):
    """One row with PNG's filter undone."""
    if kind == 0 or (kind == 2 and not any(above)):
        return line
    if kind == 2:
        return bytearray((a + b) & 255 for a, b in zip(line, above, strict=True))
    for i in range(len(line)):
        left = line[i - depth] if i >= depth else 0
        if kind == 1:
            line[i] = (line[i] + left) & 255
            continue
        up, corner = above[i], above[i - depth] if i >= depth else 0
        if kind == 3:
            line[i] = (line[i] + (left + up) // 2) & 255
            continue
        guess = left + up - corner
        from_left, from_up, from_corner = abs(guess - left), abs(guess - up), abs(guess - corner)
        if from_left <= from_up and from_left <= from_corner:
            line[i] = (line[i] + left) & 255
        else:
            line[i] = (line[i] + (up if from_up <= from_corner else corner)) & 255
    return line


def all_alike(pixels, most=3, apart=12):
    """Whether at most `most` pixels differ from the first by more than `apart` in a channel."""
    depth, lines = pixels
    if not lines:
        return True
    first = bytes(lines[0][:depth])
    plain = first * (len(lines[0]) // depth)
    different = 0
    for line in lines:
        if bytes(line) == plain:
            continue
        for i in range(0, len(line), depth):
            if any(abs(line[i + c] - first[c]) > apart for c in range(depth)):
                different += 1
                if different > most:
                    return False
    return True
