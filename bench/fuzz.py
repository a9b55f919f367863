"""What hostile bytes do to the readers of bytes: nothing may crash, hang or grow.

Each target is tried for a while in a process of its own: the two decoders of the pipe by atheris
(libFuzzer, which looks for inputs that reach new code) where that is installed, the others by blind
changes to good inputs. An input may end in the target's own documented error; anything else, more
than 5 s, or 400 MB more memory fails. Run:
`python bench/fuzz.py [--quick] [--json] [--seconds S] [--blind] [TARGET …]`.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import io
import json
import os
import random
import re
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from websockets.utils import accept_key

from vibe import hosts
from vibe.app import Rung
from vibe.archive import Archive
from vibe.bundle import bundled, import_bundle
from vibe.cdn import to_vendor
from vibe.diagnosis import REPORT_BYTES, report, signature
from vibe.dialling import Line
from vibe.errors import BoxLost, ModelFault, UserError
from vibe.headers import Foreign, redirect, request_headers, response_headers
from vibe.kinds import kind
from vibe.paths import safe_path
from vibe.plan import plan_to_yaml, read_plan
from vibe.proxy import _connection
from vibe.reach import Host
from vibe.redaction import redact
from vibe.relay import Refused, Relay
from vibe.reply import open_files, read_files
from vibe.sandbox import runner
from vibe.sandbox.frames import HEADER, PAYLOAD, Decoder, Demultiplexer, Kind, encode
from vibe.settings import Settings
from vibe.single import Page
from vibe.text_faults import page_faults
from vibe.ui.words import clean, plain
from vibe.upstream import HEAD_BYTES, BadAnswer, Exchange

SECONDS, QUICK_SECONDS = 60.0, 5.0
SLOWEST_S = 5.0
GROWTH_KB = 400_000
LONGEST = 20_000
GUIDED = ("host end of the pipe", "box end of the pipe")
"""What atheris is used for: the others are too slow under it to be worth its while."""
GREETING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: "
)
SECRET = "planted-0123456789"
OWN = "http://0123456789abcdef.vibe.localhost:8501"


def host_end(data: bytes) -> None:
    """The host's reader of frames, and of Docker's multiplexing around them."""
    decoder, apart = Decoder(), Demultiplexer()
    with suppress(BoxLost):
        for start in range(0, len(data), 997):
            for _, _, payload in decoder.feed(data[start : start + 997]):
                assert len(payload) <= PAYLOAD
            assert len(decoder._buffer) <= HEADER.size + PAYLOAD
    with suppress(BoxLost):
        assert sum(len(text) for _, text in apart.feed(data)) <= len(data)


def box_end(data: bytes) -> None:
    """The box's reader of frames, with a channel open. Its host is trusted; what is no frame may
    end it, by an ordinary error."""
    read = os.memfd_create("fuzz")  # a pipe may take less than all at once
    end = object.__new__(runner.Runner)
    end.inward, end.outward = read, -1
    end.received, end.sending, end.channels, end.runs = bytearray(), bytearray(), {}, {}
    end.channels[1] = runner.Ping(end, 1)
    whole = {"run", "tcp", "put", "export", "ports"}  # these would act on this machine
    channels = {name: made for name, made in runner.CHANNELS.items() if name not in whole}
    every, runner.CHANNELS = runner.CHANNELS, channels
    try:
        os.write(read, data)
        os.lseek(read, 0, os.SEEK_SET)
        with suppress(ValueError, KeyError, TypeError, AttributeError, struct.error):
            end.take()
        assert len(end.received) <= len(data)
    finally:
        runner.CHANNELS = every
        os.close(read)


def reply(data: bytes) -> None:
    """A model's reply."""
    text = data.decode("utf-8", "replace")
    open_files(text)
    try:
        found = read_files(text, kind=kind("web"), current={"index.html": "<p>\n", "a.js": "x\n"})
    except ModelFault:
        return
    for path in found.files:
        assert str(safe_path(path)) == path


def page(data: bytes) -> None:
    """A page that a model wrote: its faults, its libraries, and all of it as one file."""
    text = data.decode("utf-8", "replace")
    page_faults(text)
    to_vendor({"index.html": text}, [])
    files = {"index.html": text.encode(), "a.css": b"p { color: red }", "a.js": b"export let a = 1"}
    with suppress(UserError):
        assert len(Page(files, "index.html").whole()) < 100 * (len(text) + 1000)


def plan(data: bytes) -> None:
    """A model's plan, as YAML or whatever it took for it."""
    try:
        found, _ = read_plan(data.decode("utf-8", "replace"), forced_kind=None)
    except ModelFault:
        return
    again, _ = read_plan(plan_to_yaml(found), forced_kind=None)
    assert (again.kind, again.packages) == (found.kind, found.packages)


def output(data: bytes) -> None:
    """What a program printed: shown, reported to a model, and masked."""
    text = data.decode("utf-8", "replace")
    assert not {"\x1b", "\r", "\x00", "\u202e"} & set(clean(text))
    plain(text)
    rung = Rung("run", False, "It failed.", text)
    assert len(report(rung, {"app.py": "x = 1\n"}).encode()) <= REPORT_BYTES
    signature(rung)
    assert SECRET not in redact(text, [SECRET])


def bundle(data: bytes) -> None:
    """A stranger's bundle: an app and its whole history."""
    with tempfile.TemporaryDirectory() as folder:
        path, gallery = Path(folder, "x.vibe"), Archive(Path(folder, "gallery"))
        path.write_bytes(data)
        with suppress(UserError):
            gallery.load(import_bundle(gallery, path).id)
        assert not gallery.broken()


def gateway(data: bytes) -> None:
    """Host, Origin and other headers, both ways, and redirects."""
    known = hosts.of(Settings())
    lines = [line.partition(b":")[::2] for line in data.split(b"\n")]
    pairs = [(name.strip().lower(), value.strip()) for name, value in lines]
    host = hosts.header(pairs, b"host") or ""
    if known.is_ui(host):
        assert hosts.split(host)[0] in {*known.ui}
    token = known.token(host)
    assert token is None or re.fullmatch(r"[0-9a-z]{1,63}", token)
    hosts.same_origin(pairs)
    assert [value for name, value in request_headers(pairs, OWN, 80) if name == b"host"] == [
        b"localhost:80"
    ]
    with suppress(Foreign):
        response_headers(pairs, OWN, 80)
    for _, value in pairs:
        with suppress(Foreign):
            there = redirect(value.decode("latin-1"), OWN, 80)
            absolute = re.match(r"(?i)[\0- ]*([a-z][a-z0-9+.-]*:|[/\\]{2})", there)
            assert there.startswith(f"{OWN}/") or not absolute


class Said:
    """A stream of what an app said, in small pieces."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def say(self, before: bytes) -> None:
        self._data = before + self._data

    async def read(self, limit: int = 65536) -> bytes:
        piece = self._data[self._at : self._at + min(limit, 301)]
        self._at += len(piece)
        return piece

    async def write(self, data: bytes) -> None:
        pass

    async def end(self) -> None:
        pass

    async def close(self) -> None:
        pass


def answer(data: bytes) -> None:
    """An app's HTTP answer."""

    async def asked() -> None:
        exchange = Exchange(Said(data), head_s=3, body_s=3)
        await exchange.ask("GET", b"/", [(b"host", b"localhost:80")])
        await exchange.end()
        head = await exchange.head()
        assert sum(len(name) + len(value) for name, value in head.headers) <= 2 * HEAD_BYTES
        more = True
        while more:
            piece, more = await exchange.piece()
            assert len(piece) <= len(data)

    with suppress(BadAnswer):
        asyncio.run(asked())


def socket(data: bytes) -> None:
    """An app's side of a WebSocket, from the first byte after a good handshake or before it."""

    async def opened() -> None:
        stream = Said(data)
        relay = Relay(stream, "/", 80, [], [], message_bytes=100_000)
        if data[:1] == b"H":
            await relay.open()
            return
        agreed = GREETING + accept_key(relay._protocol.key).encode() + b"\r\n\r\n"
        stream.say(agreed)
        await relay.open()

        async def receive() -> dict[str, object]:
            await asyncio.Event().wait()
            return {}

        async def send(message: dict[str, object]) -> None:
            pass

        await relay.run(receive, send)

    with suppress(Refused):
        asyncio.run(opened())


class Met:
    """The far end of a connection that the proxy makes; what it was sent."""

    def __init__(self) -> None:
        self.sent = b""

    def write(self, data: bytes) -> None:
        self.sent += data

    async def drain(self) -> None:
        pass

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        pass


def proxied(data: bytes) -> None:
    """What a box's program asks of its proxy."""
    allowed = {Host("api.example.com"), Host("api.example.com", 80)}

    async def may(host: Host) -> bool:
        return host in allowed

    async def dial(host: Host, *, tunnel: bool) -> Line:
        assert host in allowed
        reader = asyncio.StreamReader()
        reader.feed_data(b"HTTP/1.1 200 OK\r\n\r\n")
        reader.feed_eof()
        if not tunnel:
            plain.append(met)
        return Line(reader, met)  # type: ignore[arg-type]

    met, plain = Met(), list[Met]()
    asyncio.run(_connection(Said(data), may, dial, lambda sentence: None))
    for each in plain:
        head = each.sent.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
        assert [line for line in head if line.startswith(b"host")] == [b"host: api.example.com"]


def _bundle() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        gallery = Archive(Path(folder))
        app = gallery.create("Split a bill", kind="web", model="m", data={"a.csv": b"1,2\n"})
        gallery.commit(app.id, {"index.html": b"<p>1"}, "First")
        whole = bundled(gallery, app.id)
    plain = io.BytesIO()  # not deflated, so that changes reach the content
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(plain, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return whole if random.random() < 0.5 else plain.getvalue()


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {
    "host end of the pipe": (host_end, lambda: [
        encode(Kind.HELLO, 0, struct.pack("!I", 1)) + encode(Kind.DATA, 1, b"x" * 90),
        struct.pack("!BxxxI", 1, 5) + b"hello" + struct.pack("!BxxxI", 2, 0),
    ]),
    "box end of the pipe": (box_end, lambda: [
        encode(Kind.HELLO, 0, b'{"lifetime_s": 60}') + encode(Kind.OPEN, 2, b'{"do": "ping"}')
        + encode(Kind.DATA, 1, b"x") + encode(Kind.CREDIT, 1, b"\0\0\0\1") + encode(Kind.CLOSE, 1),
    ]),
    "reply": (reply, lambda: [
        b"Here.\n\n```html path=index.html\n<p>hi\n```\n\n```js path=a.js\n<<<<<<< SEARCH\nx\n"
        b"=======\ny\n>>>>>>> REPLACE\n```\n",
        b"```yaml\ntitle: x\n```\n<think>\n</think>\n```html\n<!doctype html>\n```",
    ]),
    "page": (page, lambda: [
        b"<!doctype html><html><head><style>@import 'a.css'; p { x: url( 'a.js' ) }</style>"
        b"<script src='https://cdn.example/d3@7'></script></head><body><![CDATA[x]]>{{ y }}"
        b"<!-- z -->"
        b"<script type=module>import { a } from './a.js'\nimport('./a.js')</script></body></html>",
        b'<link rel=stylesheet href="a.css"><p style="x: url(a.css)">&amp;{% if x %}</p>{# y #}',
    ]),
    "plan": (plan, lambda: [
        b"```yaml\ntitle: Tip calculator\nkind: web\nsummary: Splits a bill.\npackages: [numpy]\n"
        b"checks:\n  - name: Splits it\n    steps:\n      - fill: {field: Bill, with: \"120\"}\n"
        b"      - click: Calculate\n      - see: 34.50\n```\n",
        b'{"title": "x", "kind": "script", "checks": [{"name": "a", "args": ["--b"], '
        b'"stdout": "c+"}]}',
    ]),
    "output": (output, lambda: [
        b'Traceback (most recent call last):\n  File "/work/app.py", line 1, in <module>\n'
        b"ValueError: \x1b[31mred\x1b[0m \x1b]8;;http://a\x07b\n10 %\r20 %\r\n" + SECRET.encode(),
        b"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nbearer abcdefghijklmnop1\n",
    ]),
    "bundle import": (bundle, lambda: [_bundle() for _ in range(4)]),
    "headers": (gateway, lambda: [
        b"host: 0123456789abcdef.vibe.localhost:8501\norigin: http://vibe.localhost:8501\n"
        b"cookie: a=b; _streamlit_user=c\nlocation: http://localhost:80/x?y#z\nset-cookie: a=b; "
        b"Domain=.vibe.localhost\nconnection: close, x-a\nreferer: " + OWN.encode() + b"/a",
    ]),
    "HTTP answer": (answer, lambda: [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n0\r\n\r\n",
    ]),
    "proxy": (proxied, lambda: [
        b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n\x16\x03\x01",
        b"POST http://api.example.com/a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
        b"GET http://other.example.com/ HTTP/1.1\r\nHost: y\r\n\r\n",
        b"POST http://api.example.com/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Connection: close, x-a\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ]),
    "WebSocket": (socket, lambda: [
        b"\x81\x05hello\x89\x01x\x01\x02ab\x80\x01c\x88\x02\x03\xe8",
        GREETING + b"x\r\n\r\n",
    ]),
}  # fmt: skip


def changed(seeds: list[bytes], chance: random.Random) -> bytes:
    """One of the seeds with a few changes of the kinds that break readers."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del data[at : at + chance.randrange(1, 40)]
            case 2:
                data[at:at] = chance.randbytes(chance.randrange(1, 40))
            case 3:
                other = chance.choice(seeds)
                start = chance.randrange(len(other) + 1)
                data[at:at] = other[start : start + chance.randrange(1, 200)]
            case 4:
                data[at:at] = bytes(data[at : at + 20]) * chance.randrange(1, 60)
    return bytes(data[:LONGEST])


def blindly(name: str, seconds: float, seed: int) -> dict[str, float]:
    """Tries changed seeds; figures. Raises AssertionError, or whatever escaped, with the input."""
    target, seeds = TARGETS[name]
    chance, good = random.Random(seed), seeds()
    tried, slowest, until = 0, 0.0, time.monotonic() + seconds
    for one in good:
        target(one)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while time.monotonic() < until:
        data = changed(good, chance)
        began = time.process_time()
        try:
            target(data)
        except BaseException:
            print(f"the input was {data!r}", file=sys.stderr)
            raise
        slowest = max(slowest, time.process_time() - began)
        assert slowest < SLOWEST_S, f"{slowest:.1f} s for {data!r}"
        tried += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < GROWTH_KB, f"grew by {grown} kB"
    return {"inputs": tried, "slowest_s": round(slowest, 3), "grown_kb": grown}


def guided(name: str, seconds: float, seed: int) -> None:
    """Hands this process to atheris, which ends it."""
    import atheris

    target, seeds = TARGETS[name]
    folder = tempfile.mkdtemp()
    for number, content in enumerate(seeds()):
        Path(folder, str(number)).write_bytes(content)
    end = runner.Runner
    for owner, method in (
        (Decoder, "feed"), (Demultiplexer, "feed"), (end, "take"), (end, "frame"),
    ):  # fmt: skip
        setattr(owner, method, atheris.instrument_func(getattr(owner, method)))
    options = [f"-max_total_time={int(seconds)}", f"-timeout={int(SLOWEST_S)}", f"-seed={seed}"]
    options += ["-print_final_stats=1", f"-max_len={LONGEST}", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *options, folder], target)
    atheris.Fuzz()


def run(name: str, seconds: float, seed: int, *, by_atheris: bool) -> dict[str, object]:
    """One target in a process of its own: how many inputs were tried, or what went wrong."""
    way = ["--guided" if by_atheris else "--blindly", name]
    argv = [sys.executable, __file__, "--seconds", str(seconds), "--seed", str(seed), *way]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds * 2 + 60)
    except subprocess.TimeoutExpired:
        return {"failed": "it hung"}
    found: dict[str, object] = {"failed": done.stderr[-3000:]} if done.returncode else {}
    if not by_atheris:
        return found or dict(json.loads(done.stdout.splitlines()[-1]))
    stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", done.stderr))
    return found | {
        "inputs": int(stats.get("number_of_executed_units", 0)),
        "slowest_s": int(stats.get("slowest_unit_time_sec", 0)),
        "peak_mb": int(stats.get("peak_rss_mb", 0)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--quick", action="store_true", help="a few seconds a target")
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    parser.add_argument("--seconds", type=float, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--blind", action="store_true", help="without atheris")
    parser.add_argument("--guided", help=argparse.SUPPRESS)
    parser.add_argument("--blindly", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    seconds = chosen.seconds or (QUICK_SECONDS if chosen.quick else SECONDS)
    if chosen.guided:
        guided(chosen.guided, seconds, chosen.seed)
    if chosen.blindly:
        print(json.dumps(blindly(chosen.blindly, seconds, chosen.seed)))
        return 0
    by_atheris = not chosen.blind and importlib.util.find_spec("atheris") is not None
    print(f"{seconds:.0f} s a target; atheris is {'there' if by_atheris else 'not used'}")
    results = {}
    for name in chosen.targets or TARGETS:
        results[name] = run(name, seconds, chosen.seed, by_atheris=by_atheris and name in GUIDED)
        print(f"{name:22} {results[name]}", flush=True)
    if chosen.json:
        print(json.dumps({"atheris": by_atheris, "seconds": seconds, "targets": results}))
    return 1 if any("failed" in result for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
