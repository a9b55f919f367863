"""How fast boxes are: from nothing to a result, to a healthy app, of streams, many at once, ends.

Vibe's fresh boxes, boxes that stood ready, and `docker run` of the same program from the same image
take turns in one run. With llm-sandbox installed (`pip install llm-sandbox[docker]` in another
environment whose Python is given as `--llm-sandbox PYTHON`) it takes its turn too, by its defaults
(a virtual environment and a newer pip in each box) and without that set-up. Run:
`python bench/box.py [--quick] [--json] [--llm-sandbox PYTHON]`. Needs Docker and `vibe setup`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.rerun import stood_ready
from vibe.boxes import running_boxes
from vibe.kinds import kind, kinds
from vibe.running import app_box, open_box, serve
from vibe.sandbox.builder import ca_bundle
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.engine import Box, BoxSpec, Engine
from vibe.sandbox.warm import WarmEngine

SCRIPT = ["python", "-c", "print(sum(range(1000)))"]
ANSWER = b"499500"
APPS = {
    "web": {"index.html": b"<title>here</title>"},
    "flask": {"app.py": b"from flask import Flask\napp = Flask(__name__)\n"
                        b"@app.get('/')\ndef page():\n    return 'here'\n"},
    "streamlit": {"app.py": b"import pandas as pd\nimport streamlit as st\nst.title('here')\n"},
}  # fmt: skip
SERVER = b"""
import socket, threading
listener = socket.create_server(("127.0.0.1", 9000), backlog=50)
def serve(connection):
    while piece := connection.recv(1 << 18):
        if piece[:1] == b"?":
            for _ in range(int(piece[1:])):
                connection.sendall(bytes(1 << 20))
            connection.close()
            return
        if len(piece) < 100:
            connection.sendall(piece)
while True:
    threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()
"""
LLM_SANDBOX = """
import time, json
since = time.monotonic()
from llm_sandbox import SandboxSession
since = time.monotonic()
session = SandboxSession(
    lang="python", image=IMAGE, skip_environment_setup=SKIP,
    runtime_configs={
        "command": ["sleep", "600"],
        "environment": {"PIP_CERT": "/ca.pem"},
        "volumes": {CERTIFICATES: {"bind": "/ca.pem", "mode": "ro"}},
    },
)
session.open()
found = session.run("print(sum(range(1000)))")
took = time.monotonic() - since
assert "499500" in found.stdout, found
session.close()
print(json.dumps([took, time.monotonic() - since - took]))
"""

Figures = dict[str, list[float]]
"""What was measured, with its values in order."""


async def docker_run(image: str) -> float:
    since = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *["docker", "run", "--rm", "--network", "none", image, *SCRIPT],
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    assert ANSWER in await process.stdout.readline()
    took = time.monotonic() - since
    await process.wait()
    return took


async def result(engine: Engine) -> tuple[float, float]:
    """Seconds until the result, and seconds that the end took."""
    since = time.monotonic()
    box = await engine.start(BoxSpec(app="bench"))
    assert ANSWER in (await box.run(SCRIPT)).stdout
    took = time.monotonic() - since
    await box.stop()
    return took, time.monotonic() - since - took


async def healthy(engine: Engine, name: str) -> float:
    since = time.monotonic()
    app = kind(name)
    box = await open_box(
        engine.start,
        app_box(app, "bench", lambda event: None),
        APPS[name],
        {},
        lambda event: None,
        kind=app,
    )
    running = await serve(box, app, start_s=60, emit=lambda event: None)
    took = time.monotonic() - since
    await running.stop()
    return took


async def streams(box: Box, rounds: int) -> Figures:
    await box.put({"server.py": SERVER})
    server = asyncio.create_task(box.run(["python", "server.py"], wall_s=None))
    while 9000 not in await box.ports():
        await asyncio.sleep(0.05)
    opened, answered, out, into = [], [], [], []
    for _ in range(rounds * 10):
        since = time.monotonic()
        stream = await box.open_stream(9000)
        await stream.write(b"x")
        await stream.read()
        opened.append((time.monotonic() - since) * 1000)
        since = time.monotonic()
        await stream.write(b"x")
        await stream.read()
        answered.append((time.monotonic() - since) * 1000)
        await stream.close()
    for _ in range(3):
        since = time.monotonic()
        stream = await box.open_stream(9000)
        await stream.write(b"?50")
        size = 0
        while piece := await stream.read(1 << 18):
            size += len(piece)
        assert size == 50 << 20
        out.append(50 / (time.monotonic() - since))
        stream = await box.open_stream(9000)
        since = time.monotonic()
        await stream.write(bytes(50 << 20))
        await stream.end()
        await stream.read()
        into.append(50 / (time.monotonic() - since))
    server.cancel()
    await asyncio.gather(server, return_exceptions=True)
    return {"new stream, byte there and back, ms": opened, "byte there and back, ms": answered,
            "50 MiB out, MiB/s": out, "50 MiB in, MiB/s": into}  # fmt: skip


async def many(engine: Engine, gallery: Path, count: int) -> Figures:
    since = time.monotonic()
    boxes = await asyncio.gather(*(engine.start(BoxSpec(app="many")) for _ in range(count)))
    await asyncio.gather(*(box.run(SCRIPT) for box in boxes))
    took = time.monotonic() - since
    found = await asyncio.to_thread(running_boxes, gallery)
    memory = [(each.memory or 0) / (1 << 20) for each in found if each.app == "many"]
    since = time.monotonic()
    await asyncio.gather(*(box.stop() for box in boxes))
    return {
        f"{count} at once, until all have a result, s": [took],
        f"{count} at once, memory of each, MiB": memory,
        f"{count} at once, until all are gone, s": [time.monotonic() - since],
    }


async def peer(python: str, image: str, folder: Path, skip: bool) -> list[float]:
    bundle = folder / "ca.pem"
    bundle.write_bytes(ca_bundle(os.environ))
    values = {"IMAGE": image, "SKIP": skip, "CERTIFICATES": str(bundle)}
    source = "".join(f"{name} = {value!r}\n" for name, value in values.items()) + LLM_SANDBOX
    process = await asyncio.create_subprocess_exec(
        python, "-c", source, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return [float(seconds) for seconds in json.loads(said.splitlines()[-1])]


async def measure(gallery: Path, quick: bool, python: str) -> Figures:
    rounds = 5 if quick else 20
    engine = await DockerEngine.open(gallery=gallery)
    programs = dict(pair for each in kinds().values() for pair in each.programs().items())
    found: Figures = {}

    async def add(name: str, value: Awaitable[float]) -> None:
        found.setdefault(name, []).append(await value)

    warm = WarmEngine(engine, programs, 1, lambda count: True, rest_s=0.0)
    box = await engine.start(BoxSpec(app="bench"))
    image = box.image
    found |= await streams(box, rounds)
    await box.stop()
    for _ in range(rounds):
        took, end = await result(engine)
        found.setdefault("script to its result, fresh box, s", []).append(took)
        found.setdefault("end of a box, s", []).append(end)
        await stood_ready(warm)
        found.setdefault("script to its result, box stood ready, s", []).append(
            (await result(warm))[0]
        )
        await add("script to its result, docker run, s", docker_run(image))
        if python and len(found["end of a box, s"]) <= 3:  # each takes it ten seconds to end
            for name, skip in (("by its defaults", False), ("no set-up", True)):
                took, end = await peer(python, image, gallery, skip)
                found.setdefault(f"script to its result, llm-sandbox, {name}, s", []).append(took)
                found.setdefault("end of llm-sandbox, s", []).append(end)
    for name in APPS:
        for _ in range(2 if quick else 10):
            await add(f"{name} healthy, fresh box, s", healthy(engine, name))
            await stood_ready(warm)
            await add(f"{name} healthy, box stood ready, s", healthy(warm, name))
    await stood_ready(warm)
    found["memory of a box that stands ready, MiB"] = [
        (each.memory or 0) / (1 << 20)
        for each in await asyncio.to_thread(running_boxes, gallery)
        if not each.app
    ]
    for count in (1, 5) if quick else (1, 5, 20):
        found |= await many(engine, gallery, count)
    await warm.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, in under a minute")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--llm-sandbox", default="", metavar="PYTHON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(Path(folder), arguments.quick, arguments.llm_sandbox))
    table = {}
    for name, values in found.items():
        if not values:
            continue
        table[name] = round(statistics.median(values), 4)
        print(
            f"{name}: {table[name]:.3g} ({min(values):.3g} to {max(values):.3g}, n = {len(values)})"
        )
    print("load average:", *Path("/proc/loadavg").read_text().split()[:3])
    if arguments.json:
        print(json.dumps({"bench": "box", "medians": table}))


if __name__ == "__main__":
    main()
