"""Runs the attack cases in an engine's boxes, and some in a container with Docker's defaults."""

from __future__ import annotations

import asyncio
import contextlib
import io
import ipaddress
import json
import os
import re
import socket
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import yaml
from docker.errors import DockerException

from vibe.sandbox.bubblewrap import BubblewrapEngine
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.engine import Box, BoxSpec, Engine, Outcome
from vibe.sandbox.images import recipe
from vibe.settings import ROOT

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
TABLE: dict[str, Any] = yaml.safe_load((HERE / "cases.yaml").read_text("utf-8"))
CASES: dict[str, dict[str, Any]] = TABLE["cases"]
ENGINES: dict[str, Callable[[Path], Awaitable[Engine]]] = {
    "docker": lambda gallery: DockerEngine.open(gallery=gallery, gvisor=False),
    "docker + gVisor": lambda gallery: DockerEngine.open(gallery=gallery, gvisor=True),
    "bubblewrap": lambda gallery: BubblewrapEngine.open(gallery=gallery),
}
"""How each engine is opened; one line makes an engine part of the suite."""
PLANTED = "sk-planted-0123456789abcdef"
CAP = 1 << 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one attack."""

    held: bool
    saw: str


def tried(how: str) -> list[str]:
    return [name for name, case in CASES.items() if case["how"] == how]


def controls() -> list[str]:
    return [name for name, case in CASES.items() if case.get("control")]


async def attack(engine: Engine) -> dict[str, Verdict]:
    """A verdict for each case of `box` and `host`."""
    with listening() as targets, planted():
        found: dict[str, Verdict] = {}
        # first what leaves its box as it was, then what fills or crowds it
        calm = [name for name in tried("box") if name not in ("R1", "R3")]
        async with fresh(engine) as box:
            found |= await together(box, calm, targets)
            found |= {"F6": await f6_names_of_modules(box)}
        async with fresh(engine) as box:
            found |= await together(box, ["R1", "R3"], targets)
            for name in ("R6", "O1", "O2", "O5", "R2"):
                found[name] = await HOST[name](box)
        async with fresh(engine) as box, fresh(engine) as other:
            found["N4"] = await n4_another_box(box, other)
            for name in ("F1", "F2", "F3", "F4"):
                await box.run(["sh", "-c", "rm -rf /work/*"])
                found[name] = await HOST[name](box)
        found["F5"] = f5_no_archive_is_read()
    return found


@contextlib.asynccontextmanager
async def fresh(engine: Engine) -> AsyncIterator[Box]:
    box = await engine.start(BoxSpec(app="attack", lifetime_s=1800))
    try:
        await box.put({path.name: path.read_bytes() for path in PROGRAMS.glob("*.py")})
        yield box
    finally:
        await box.stop()


async def together(box: Box, names: list[str], targets: list[str]) -> dict[str, Verdict]:
    """What the programs of these cases say, run in a box one after the other."""
    extra = {"N3": targets, "N8": [PLANTED[::-1]]}
    wanted = json.dumps([[name, *extra.get(name, [])] for name in names])
    outcome = await box.run(["python", "together.py", wanted], wall_s=900)
    said = read(outcome.stdout)
    missing = f"no result: {outcome.how}, {outcome.stderr[-300:]!r}"
    return {name: said.get(name, Verdict(False, missing)) for name in names}


def read(output: bytes) -> dict[str, Verdict]:
    """Verdicts from the lines that together.py prints; an attack that says nothing hasn't held."""
    found = {}
    for line in output.decode(errors="replace").splitlines():
        with contextlib.suppress(ValueError, KeyError):
            result = json.loads(line)
            found[result["id"]] = Verdict(result.get("through") is False, result.get("saw", ""))
    return found


@contextlib.contextmanager
def listening() -> Iterator[list[str]]:
    """Addresses of this machine where something listens meanwhile: its loopback, and the gateway
    of Docker's network, which is how a container reaches it."""
    with contextlib.ExitStack() as stack:
        places = ["127.0.0.1"]
        with (
            contextlib.suppress(OSError, LookupError, DockerException),
            contextlib.closing(docker.APIClient(version="auto")) as client,
        ):
            network = client.inspect_network("bridge")["IPAM"]["Config"][0]
            first = next(ipaddress.ip_network(network["Subnet"]).hosts())
            places.append(network.get("Gateway") or str(first))
        targets = []
        for place in places:
            with contextlib.suppress(OSError):
                server = stack.enter_context(socket.create_server((place, 0), backlog=50))
                targets.append(f"{place}:{server.getsockname()[1]}")
        yield targets[::-1]


@contextlib.contextmanager
def planted() -> Iterator[None]:
    """A key and a proxy in Vibe's own environment, which no box may see."""
    before = dict(os.environ)
    os.environ |= {"OPENAI_API_KEY": PLANTED, "VIBE_ATTACK_PROXY": f"http://u:{PLANTED}@127.0.0.1"}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


# --- cases in which the host has a part


async def python(box: Box, source: str, **named: Any) -> Outcome:
    return await box.run(["python", "-c", source], **named)


async def n4_another_box(box: Box, other: Box) -> Verdict:
    ready = asyncio.Event()
    server = (
        "import socket, time\n"
        "tcp = socket.create_server(('0.0.0.0', 9000))\n"
        "unix = socket.socket(socket.AF_UNIX); unix.bind('\\0vibe-attack'); unix.listen()\n"
        "print('ready', flush=True); time.sleep(900)"
    )
    task = asyncio.create_task(
        other.run(["python", "-c", server], wall_s=900, on_output=lambda *_: ready.set())
    )
    async with asyncio.timeout(300):
        await ready.wait()
    own = read((await other.run(["python", "together.py", '[["N4"]]'])).stdout)
    found = await together(box, ["N4"], [])
    task.cancel()
    await asyncio.wait([task])
    if own["N4"].held:
        return Verdict(False, "the server wasn't reachable in its own box, so this proves nothing")
    return found["N4"]


async def r2_memory(box: Box) -> Verdict:
    outcome = await box.run(["python", "R2.py"], wall_s=600)
    return Verdict(outcome.how == "memory", f"reported as {outcome.how}")


STUBBORN = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if os.fork():
    time.sleep(1000)
os.setsid()
if not os.fork():
    os.setsid()
    time.sleep(1000)
time.sleep(1000)
"""
LEFT = """
import os
found = 0
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        found += b"stubborn.py" in open(f"/proc/{pid}/cmdline", "rb").read().split(b"\\0")
    except OSError:
        pass
print(found)
"""


async def r6_stubborn(box: Box) -> Verdict:
    await box.put({"stubborn.py": STUBBORN.encode()})
    outcome = await box.run(["python", "stubborn.py"], wall_s=1)
    left = (await box.run(["python", "-c", LEFT])).stdout.strip()
    held = outcome.how == "timeout" and left == b"0"
    return Verdict(held, f"reported as {outcome.how}, {left.decode()} left")


async def o1_endless(box: Box) -> Verdict:
    both = await box.run(["sh", "-c", "yes & yes >&2"], wall_s=300)
    size = max(len(both.stdout), len(both.stderr))
    return Verdict(both.how == "output" and size <= CAP, f"{both.how}, {size} bytes kept")


async def o2_odd_bytes(box: Box) -> Verdict:
    odd = "import sys\nwhile 1: sys.stdout.buffer.write(b'\\0\\xff\\xc3(' * 10000)"
    outcome = await python(box, odd, wall_s=300)
    size = len(outcome.stdout)
    return Verdict(outcome.how == "output" and size <= CAP, f"{outcome.how}, {size} bytes kept")


async def o5_forged(box: Box) -> Verdict:
    frames = (
        "import struct, sys\n"
        "for kind in range(12):\n"
        "  for channel in range(4):\n"
        "    sys.stdout.buffer.write(struct.pack('!IBI', 4, kind, channel) + b'\\0\\0\\0\\0')\n"
        "sys.stdout.buffer.write(b'\\nall tests passed\\n'); sys.stdout.flush(); sys.exit(3)"
    )
    outcome = await python(box, frames)
    whole = len(outcome.stdout) == 12 * 4 * 13 + 18
    answers = (await box.run(["true"])).ok
    held = (outcome.how, outcome.exit_code) == ("error", 3) and whole and answers
    return Verdict(held, f"{outcome.how}, exit {outcome.exit_code}, output whole: {whole}")


async def f1_links(box: Box) -> Verdict:
    await python(
        box,
        "import os\nos.symlink('/etc/passwd', 'passwd'); os.symlink('/etc', 'etc')\n"
        "open('plain', 'w').write('x'); os.symlink('plain', 'near')\n"
        "try: os.link('/etc/passwd', 'hard')\nexcept OSError: pass",
    )
    export = await box.export()
    dropped = dict(export.dropped)
    held = set(export.files) == {"plain"} and {"passwd", "etc", "near"} <= set(dropped)
    return Verdict(held, f"left behind: {dropped}")


async def f2_names(box: Box) -> Verdict:
    await python(
        box,
        "import os\n"
        "for name in (b'a\\nb', 'x\\u202ey'.encode(), b'\\xff\\xfe', b'tab\\t', b'\\x1b[2J'):\n"
        "  open(name, 'w').write('x')\n"
        "open('l' * 255, 'w').write('x'); open('fine', 'w').write('x')\n"
        "os.makedirs('/'.join('d' * 40)); open('/'.join('d' * 40) + '/deep', 'w').write('x')",
    )
    export = await box.export()
    kept = {name if len(name) < 50 else f"{len(name)} letters" for name in export.files}
    return Verdict(kept == {"fine", "255 letters"}, f"kept {sorted(kept)}")


async def f3_special(box: Box) -> Verdict:
    await python(
        box,
        "import os, socket\nos.mkfifo('fifo'); socket.socket(socket.AF_UNIX).bind('socket')\n"
        "open('plain', 'w').write('x')",
    )
    async with asyncio.timeout(300):
        export = await box.export()
    held = set(export.files) == {"plain"} and len(export.dropped) == 2
    return Verdict(held, f"left behind: {sorted(export.dropped)}")


async def f4_sizes(box: Box) -> Verdict:
    sparse = await python(box, "open('sparse', 'wb').truncate(1 << 40)")
    await python(
        box,
        "open('half', 'wb').truncate(200 << 20)\n"
        "for number in range(3000): open(f'f{number}', 'w').write('x')",
    )
    export = await box.export()
    size = sum(map(len, export.files.values()))
    held = not sparse.ok and len(export.files) <= 2000 and size < 64 << 20
    return Verdict(held, f"1 TB: {sparse.how}; {len(export.files)} files, {size} bytes came out")


def f5_no_archive_is_read() -> Verdict:
    """No module of Vibe unpacks an archive: what makes the attack possible isn't there."""
    unpacks = re.compile(r"extractall|\.extract\(|unpack_archive|tarfile\.open\([^)]*mode=.r")
    guilty = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "vibe").rglob("*.py")
        if unpacks.search(path.read_text("utf-8"))
    ]
    return Verdict(not guilty, f"modules that unpack: {guilty}")


async def f6_names_of_modules(box: Box) -> Verdict:
    evil = b"raise SystemExit('taken over')\n"
    names = ("sitecustomize", "usercustomize", "json", "struct", "select", "runner", "os", "ctypes")
    await box.put({f"{name}.py": evil for name in names} | {".streamlit/config.toml": b"]["})
    outcome = await box.run(["true"])
    await box.put({"after": b"1"})
    held = outcome.ok and (await box.export()).files.get("after") == b"1"
    return Verdict(held, f"the box's runner: {outcome.how}")


HOST: dict[str, Callable[[Box], Awaitable[Verdict]]] = {
    "R2": r2_memory,
    "R6": r6_stubborn,
    "O1": o1_endless,
    "O2": o2_odd_bytes,
    "O5": o5_forged,
    "F1": f1_links,
    "F2": f2_names,
    "F3": f3_special,
    "F4": f4_sizes,
}


# --- the negative control


def control() -> dict[str, Verdict]:
    """The same programs in a container with Docker's defaults, as root as stock images are; none of
    these may hold. Its own bounds are only what this machine needs to survive it."""
    names = controls()
    with listening() as targets, contextlib.closing(docker.from_env(timeout=900)) as client:
        container = client.containers.create(
            recipe("python").tag,
            ["python", "together.py", json.dumps(
                [[name, *(targets if name == "N3" else [])] for name in names if name != "O1"]
            )],
            user="0",
            working_dir="/work",
            labels={"vibe.attack": "control"},
            pids_limit=2000,
            mem_limit="2g",
        )  # fmt: skip
        try:
            container.put_archive("/work", programs())
            container.start()
            container.wait(timeout=900)
            found = read(container.logs(stdout=True, stderr=False))
        finally:
            container.remove(force=True, v=True)
        found["O1"] = _endless_log(client)
    return {name: found.get(name, Verdict(True, "no result")) for name in names}


def _endless_log(client: docker.DockerClient) -> Verdict:
    """Whether Docker keeps all that a container prints: three times what a box may."""
    container = client.containers.create(
        recipe("python").tag, ["sh", "-c", f"yes | head -c {3 * CAP}"], user="0", mem_limit="256m"
    )
    try:
        container.start()
        container.wait(timeout=600)
        kept = len(container.logs(stderr=False))
    finally:
        container.remove(force=True, v=True)
    return Verdict(kept <= CAP, f"{kept} bytes kept on disk")


def programs() -> bytes:
    """The programs as a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in PROGRAMS.glob("*.py"):
            archive.add(path, path.name)
    return buffer.getvalue()


async def verdicts(name: str, gallery: Path) -> dict[str, Verdict]:
    """The whole suite on one engine. Raises VibeError when the engine can't be opened or used."""
    engine = await ENGINES[name](gallery)
    try:
        return await attack(engine)
    finally:
        await engine.close()
