"""The Docker engine: boxes are containers with no network, reached by their attached pipe only."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import re
import socket
import time
import uuid
from pathlib import Path
from typing import Any

from vibe.errors import EngineFault
from vibe.sandbox import owners, policy
from vibe.sandbox.box import PipeBox
from vibe.sandbox.docker_client import Busy, DockerClient, Gone
from vibe.sandbox.engine import Box, BoxSpec, Posture
from vibe.sandbox.frames import Demultiplexer
from vibe.sandbox.link import Link
from vibe.settings import SANDBOXES

REMOVAL_S = 5.0
STARTS = 4
"""Boxes that are started at once; more wait their turn."""
SELF_TEST = """\
import json
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
found = {key: status[key].strip() for key in ("Uid", "CapBnd", "NoNewPrivs", "Seccomp")}
found["net"] = [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]
try:
    open("/probe", "w")
    found["root"] = "writable"
except OSError:
    found["root"] = "read-only"
print(json.dumps(found))
"""
EXPECTED = {
    "Uid": "10001\t10001\t10001\t10001",
    "CapBnd": "0000000000000000",
    "NoNewPrivs": "1",
    "Seccomp": "2",
    "net": ["lo"],
    "root": "read-only",
}


class DockerEngine:
    """`engine.Engine` over a Docker daemon. Made by `await DockerEngine.open(...)`."""

    name = "docker"

    def __init__(self, client: DockerClient, gallery: Path, owner: owners.Owner) -> None:
        self._client, self._gallery, self._owner = client, gallery, owner
        self._policy = policy.load(SANDBOXES / "policy.yaml")
        self._label = owners.gallery_label(gallery)
        self._starts = asyncio.Semaphore(STARTS)
        self._boxes: dict[str, PipeBox] = {}
        self._pending: set[asyncio.Task[PipeBox]] = set()
        self._closed = False

    @classmethod
    async def open(cls, *, gallery: Path, owner: str | None = None) -> DockerEngine:
        """Raises EngineFault, with a fix, when no usable Docker daemon answers."""
        client = await DockerClient.open()
        try:
            return cls(client, gallery, owners.Owner(gallery, owner))
        except BaseException:
            client.close()
            raise

    async def probe(self) -> Posture:
        details = _details(self._client)
        try:
            box = await self.start(BoxSpec(app="self-test", lifetime_s=60))
            try:
                outcome = await box.run(["python", "-I", "-c", SELF_TEST], wall_s=10)
            finally:
                await box.stop()
            found = json.loads(outcome.stdout) if outcome.ok else {}
        except (EngineFault, ValueError) as error:
            fault = error if isinstance(error, EngineFault) else EngineFault(str(error))
            return Posture(
                self.name, False, "container (shared kernel)", fault.message, fault.fix, details
            )
        gaps = [key for key, value in EXPECTED.items() if found.get(key) != value]
        details |= {f"box {key}": str(value) for key, value in found.items()}
        return Posture(
            self.name,
            usable=not gaps,
            isolation="container (shared kernel)",
            sentence=f"Docker's boxes are not as they should be: {', '.join(gaps)}."
            if gaps
            else "Docker's boxes have no network, no rights and a read-only system.",
            fix="Report this with `vibe doctor --json`." if gaps else "",
            details=details,
        )

    async def start(self, spec: BoxSpec) -> Box:
        # a start under way can't be taken back from Docker: cancelled, it is finished and removed
        task = asyncio.create_task(self._start(spec))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._unwanted)
            raise

    async def sweep(self) -> list[str]:
        mine = [f"{policy.LABEL}=1", f"vibe.gallery={self._label}"]
        found = await self._client.call(
            self._client.api.containers, all=True, filters={"label": mine}
        )
        removed = []
        for container in found:
            labels = container["Labels"]
            owner, deadline = labels.get("vibe.owner", ""), labels.get("vibe.deadline", "0")
            late = not deadline.isdigit() or int(deadline) < time.time()
            if late or (owner != self._owner.name and not owners.alive(self._gallery, owner)):
                await self._remove(container["Id"])
                removed.append(container["Id"])
        owners.forget_dead(self._gallery)
        return removed

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        pending = await asyncio.gather(*self._pending, return_exceptions=True)
        boxes = {*self._boxes.values(), *(box for box in pending if isinstance(box, PipeBox))}
        await asyncio.gather(*(box.stop() for box in boxes), return_exceptions=True)
        self._owner.release()
        self._client.close()

    def _unwanted(self, task: asyncio.Task[PipeBox]) -> None:
        if not task.cancelled() and task.exception() is None:
            task.get_loop().create_task(task.result().stop())

    async def _start(self, spec: BoxSpec) -> PipeBox:
        if self._closed:
            raise EngineFault("The engine is closed.")
        async with self._starts:
            image = await self._image(spec.image)
            deadline = int(time.time() + spec.lifetime_s + 5)
            app = re.sub(r"[^A-Za-z0-9._-]", "-", spec.app)[:100]
            labels = policy.Labels(self._label, self._owner.name, app, deadline)
            wanted = policy.settings(
                self._policy,
                spec.image,
                image,
                labels,
                cpus=float(self._client.info.get("NCPU", 1)),
            )
            policy.refuse(wanted)
            name = f"vibe-{uuid.uuid4().hex}"
            began = int(time.time()) - 1
            try:
                created = await self._client.call(
                    self._client.api.create_container_from_config, wanted, name
                )
                pipe = await DockerPipe.open(await self._client.call(self._attach, created["Id"]))
                await self._client.call(self._client.api.start, created["Id"])
                link = await Link.start(pipe, lifetime_s=spec.lifetime_s)
            except BaseException:
                with contextlib.suppress(EngineFault):
                    await self._remove(name)
                raise
            identity = created["Id"]
            box = PipeBox(
                link,
                id=identity,
                engine=self.name,
                image=image,
                lifetime_s=spec.lifetime_s,
                memory=MemoryEvidence(self, identity, began),
                remove=functools.partial(self._forget, identity),
            )
            self._boxes[identity] = box
            return box

    async def _image(self, name: str) -> str:
        found = await self._client.call(
            self._client.api.images, filters={"label": f"vibe.image={name}"}
        )
        tagged = [
            image
            for image in found
            if any(tag.startswith(f"vibe-{name}:") for tag in image.get("RepoTags") or [])
        ]
        if not tagged:
            raise EngineFault(f"The {name} image for boxes isn't there yet.", "Run `vibe setup`.")
        return str(max(tagged, key=lambda image: image["Created"])["Id"])

    def _attach(self, identity: str) -> socket.socket:
        """A socket of our own on the container's three streams."""
        streams = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        attached = self._client.api.attach_socket(identity, params=streams)
        raw = attached._sock if hasattr(attached, "_sock") else attached
        try:
            return socket.socket(fileno=os.dup(raw.fileno()))
        finally:
            attached._response.close()

    async def _forget(self, identity: str) -> None:
        try:
            await self._remove(identity)
        finally:
            self._boxes.pop(identity, None)

    async def _remove(self, identity: str) -> None:
        """Kills and removes; gone already is fine. Raises EngineFault when it won't go."""
        until = time.monotonic() + REMOVAL_S
        while True:
            try:
                await self._client.call(
                    self._client.api.remove_container, identity, force=True, v=True
                )
            except Gone:
                return
            except Busy:
                # Docker's own removal (the box had ended) is under way
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.02)

    async def oom_kills(self, identity: str, since: int) -> int:
        """How often the kernel killed something in that container for memory, as Docker saw it."""

        def past() -> list[dict[str, Any]]:
            # a whole second for `until` would miss what just happened, or wait for the next
            now: Any = f"{time.time():.9f}"
            wanted = {"container": identity, "event": "oom"}
            return list(self._client.api.events(since, now, filters=wanted, decode=True))

        return len(await self._client.call(past))


class MemoryEvidence:
    """Whether Docker saw a kill for memory in a box since it was last asked."""

    def __init__(self, engine: DockerEngine, identity: str, since: int) -> None:
        self._engine, self._identity, self._since = engine, identity, since
        self._known = 0

    async def __call__(self, expected: bool) -> bool:
        until = time.monotonic() + (1.0 if expected else 0.1)
        while True:
            found = await self._engine.oom_kills(self._identity, self._since)
            if found > self._known:
                self._known = found
                return True
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.05)


class DockerPipe:
    """`link.Pipe` over an attached socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._streams = Demultiplexer()
        self._said = b""

    @classmethod
    async def open(cls, attached: socket.socket) -> DockerPipe:
        return cls(*await asyncio.open_connection(sock=attached, limit=1 << 18))

    async def read(self) -> bytes:
        while data := await self._reader.read(1 << 18):
            found = b""
            for stream, piece in self._streams.feed(data):
                if stream == 1:
                    found += piece
                else:
                    self._said = (self._said + piece)[-4096:]
            if found:
                return found
        return b""

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def drain(self) -> None:
        await self._writer.drain()

    def waiting(self) -> int:
        return self._writer.transport.get_write_buffer_size()

    def close(self) -> None:
        self._writer.transport.abort()

    def diagnostics(self) -> str:
        return self._said.decode(errors="replace")


def _details(client: DockerClient) -> dict[str, str]:
    names = {
        "kernel": "KernelVersion",
        "cgroup": "CgroupVersion",
        "runtime": "DefaultRuntime",
        "system": "OperatingSystem",
        "security": "SecurityOptions",
    }
    found = {name: str(client.info.get(key, "?")) for name, key in names.items()}
    return {"docker": str(client.version.get("Version", "?")), **found}
