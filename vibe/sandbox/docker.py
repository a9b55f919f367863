"""The Docker engine: boxes are containers with no network, reached by their attached pipe only."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import docker

from vibe.errors import Busy, EngineFault
from vibe.sandbox import builder, fetching_policy, fitness, owners, policy
from vibe.sandbox.box import PipeBox
from vibe.sandbox.docker_client import DockerClient, Gone
from vibe.sandbox.engine import Box, BoxSpec, Posture
from vibe.sandbox.frames import Demultiplexer
from vibe.sandbox.images import LABEL_IMAGE, LABEL_RECIPE, ON_DEMAND, Recipe, recipe
from vibe.sandbox.index_environment import IndexEnvironment
from vibe.sandbox.link import Link
from vibe.sandbox.packages import PackageSource, StoredPackages
from vibe.sandbox.volumes import VolumeStore
from vibe.settings import SANDBOXES

REMOVAL_S = 5.0
STARTS = 4
"""Boxes that are started at once; more wait their turn."""
LONGEST_S = 7 * 86400.0
"""The longest life of a box."""
GVISOR = "runsc"
"""The runtime's name, as gVisor's own installation gives it to Docker."""
GVISOR_TEST_S = 20.0
"""How long a first box under gVisor may take; some builds hang for ever on a kernel too new."""
ISOLATION = {"": "container (shared kernel)", GVISOR: "gVisor"}


class DockerEngine:
    """`engine.Engine` over a Docker daemon. Made by `await DockerEngine.open(...)`."""

    name = "docker"

    def __init__(
        self,
        client: DockerClient,
        gallery: Path,
        owner: owners.Owner,
        gvisor: bool | None,
        source: PackageSource,
    ) -> None:
        self._client, self._gallery, self._owner = client, gallery, owner
        self._policy = policy.load(SANDBOXES / "policy.yaml")
        self.packages = StoredPackages(VolumeStore(client), self._fetcher, source)
        self._label = owners.gallery_label(gallery)
        self._starts = asyncio.Semaphore(STARTS)
        self._boxes: dict[str, PipeBox] = {}
        self._pending: set[asyncio.Task[PipeBox]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._names: set[str] = set()
        """Containers that are being started."""
        self._closed = False
        self._wanted = gvisor
        self._choosing = asyncio.Lock()
        self._building = asyncio.Lock()
        self._runtime: str | None = None
        self._gvisor = ""

    @classmethod
    async def open(
        cls,
        *,
        gallery: Path,
        owner: str | None = None,
        gvisor: bool | None = None,
        source: PackageSource | None = None,
    ) -> DockerEngine:
        """Boxes run under gVisor when the daemon has it and it passes its test; `gvisor` True
        insists on it, False never uses it. Packages come from `source`, by default as the
        environment says.

        Raises EngineFault, with a fix, when no usable Docker daemon answers."""
        client = await DockerClient.open()
        try:
            return cls(
                client, gallery, owners.Owner(gallery, owner), gvisor, source or PackageSource()
            )
        except BaseException:
            client.close()
            raise

    async def probe(self) -> Posture:
        details = _details(self._client)
        try:
            runtime = await self._chosen()
            found = await self._examined(runtime)
        except (EngineFault, ValueError) as error:
            fault = error if isinstance(error, EngineFault) else EngineFault(str(error))
            return Posture(self.name, False, ISOLATION[""], fault.message, fault.fix, details)
        gaps = fitness.gaps(found, kernel=self._kernel(runtime))
        details |= {f"box {key}": str(value) for key, value in found.items()}
        details["gvisor"] = self._gvisor
        return Posture(
            self.name,
            usable=not gaps,
            isolation=ISOLATION[runtime],
            sentence=f"Docker's boxes are not as they should be: {', '.join(gaps)}."
            if gaps
            else "Docker's boxes have no network, no rights and a read-only system.",
            fix="Report this with `vibe doctor --json`." if gaps else "",
            details=details,
        )

    async def _chosen(self) -> str:
        """The runtime of every box, found once. Raises EngineFault when it must be gVisor and
        can't."""
        async with self._choosing:
            if self._runtime is None:
                why_not = await self._without_gvisor()
                if why_not and self._wanted:
                    raise EngineFault(
                        f"gVisor can't be used: {why_not}.", "Install it, or do without it."
                    )
                self._gvisor = why_not or "used"
                self._runtime = "" if why_not else GVISOR
        return self._runtime

    async def _without_gvisor(self) -> str:
        """Why boxes can't run under gVisor; "" when they can."""
        if self._wanted is False:
            return "not wanted"
        if GVISOR not in (self._client.info.get("Runtimes") or {}):
            return "not installed"
        try:
            async with asyncio.timeout(GVISOR_TEST_S):
                found = await self._examined(GVISOR)
                gaps = fitness.gaps(found, kernel=self._kernel(GVISOR))
        except TimeoutError:
            return f"its test box gave no answer for {GVISOR_TEST_S:.0f} s"
        except (EngineFault, ValueError) as error:
            return f"its test box failed ({' '.join(str(error).split())[:200]})"
        return f"its test box is not as it should be ({', '.join(gaps)})" if gaps else ""

    async def _examined(self, runtime: str) -> dict[str, Any]:
        """What a box says of itself. Raises EngineFault or ValueError when it says nothing."""
        box = await self._launched(BoxSpec(app="self-test", lifetime_s=60), runtime)
        try:
            return await fitness.found(box)
        finally:
            await box.stop()

    def _kernel(self, runtime: str) -> str:
        """The machine's kernel where boxes must not be on it; "" where they are."""
        return str(self._client.info.get("KernelVersion", "")) if runtime == GVISOR else ""

    async def start(self, spec: BoxSpec) -> Box:
        return await self._launched(spec, await self._chosen())

    async def sweep(self) -> list[str]:
        mine = [f"{policy.LABEL}=1", f"vibe.gallery={self._label}"]
        found = await self._client.call(
            self._client.api.containers, all=True, filters={"label": mine}
        )
        gone = [container["Id"] for container in found if self._nobodys(container)]
        ends = await asyncio.gather(*map(self._remove, gone), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        owners.forget_dead(self._gallery)
        return gone

    def _nobodys(self, container: dict[str, Any]) -> bool:
        """Whether a container's time is over, its owner is dead, or it is this engine's and the
        engine lost it: Docker was restarted, or hung while it should start or remove it."""
        labels = container["Labels"]
        owner, deadline = labels.get("vibe.owner", ""), labels.get("vibe.deadline", "0")
        if not deadline.isdigit() or int(deadline) < time.time():
            return True
        if owner != self._owner.name:
            return not owners.alive(self._gallery, owner)
        known = container["Id"] in self._boxes
        return not known and self._names.isdisjoint(n.lstrip("/") for n in container["Names"])

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        pending = await asyncio.gather(*self._pending, return_exceptions=True)
        boxes = {*self._boxes.values(), *(box for box in pending if isinstance(box, PipeBox))}
        await asyncio.gather(*(box.stop() for box in boxes), return_exceptions=True)
        self._owner.release()
        self._client.close()

    async def _launched(self, spec: BoxSpec, runtime: str) -> PipeBox:
        # a start under way can't be taken back from Docker: cancelled, it is finished and removed
        return await self._sheltered(self._start(spec, runtime))

    async def _sheltered(self, start: Coroutine[Any, Any, PipeBox]) -> PipeBox:
        task = asyncio.create_task(start)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            ending = asyncio.create_task(self._unwanted(task))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            await asyncio.wait([ending], timeout=REMOVAL_S)  # so that nothing is left of a stop
            raise

    async def _unwanted(self, task: asyncio.Task[PipeBox]) -> None:
        with contextlib.suppress(EngineFault):
            await (await task).stop()

    async def _start(self, spec: BoxSpec, runtime: str) -> PipeBox:
        if self._closed:
            raise EngineFault("The engine is closed.")
        if spec.image not in self._policy.images:
            raise EngineFault(f"There is no {ascii(spec.image)[:50]} image for boxes.")
        if not (math.isfinite(spec.lifetime_s) and 0 < spec.lifetime_s <= LONGEST_S):
            raise EngineFault(f"A box can't live for {spec.lifetime_s} s.")
        if spec.image in ON_DEMAND and not spec.image_id:
            await self._built(recipe(spec.image), spec.say)
        image = spec.image_id or await self._image(recipe(spec.image))
        wanted = policy.settings(
            self._policy,
            spec.image,
            image,
            self._labels(spec.app, spec.lifetime_s),
            cpus=float(self._client.info.get("NCPU", 1)),
            runtime=runtime,
            packages=spec.packages,
        )
        policy.refuse(wanted)
        if spec.packages:
            await self.packages.used(spec.packages)
        return await self._launch(wanted, spec.lifetime_s)

    async def _launch(self, wanted: dict[str, Any], lifetime_s: float) -> PipeBox:
        """A started box of settings that nobody refused."""
        async with self._starts:
            name = f"vibe-{uuid.uuid4().hex}"
            began = int(time.time()) - 1
            self._names.add(name)
            pipe: DockerPipe | None = None
            try:
                created = await self._client.call(
                    self._client.api.create_container_from_config, wanted, name
                )
                pipe = await DockerPipe.open(await self._client.call(self._attach, created["Id"]))
                await self._client.call(self._client.api.start, created["Id"])
                link = await Link.start(pipe, lifetime_s=lifetime_s)
            except BaseException:
                if pipe is not None:
                    pipe.close()
                with contextlib.suppress(EngineFault):
                    await self._remove(name)
                self._names.discard(name)
                raise
            identity = created["Id"]
            box = PipeBox(
                link,
                id=identity,
                engine=self.name,
                image=str(wanted["Image"]),
                lifetime_s=lifetime_s,
                memory=MemoryEvidence(self, identity, began),
                remove=functools.partial(self._forget, identity),
                name=functools.partial(self._rename, identity, name),
            )
            self._boxes[identity] = box
            self._names.discard(name)
            return box

    async def _rename(self, identity: str, name: str, app: str) -> None:
        # a container's labels can't be changed
        await self._client.call(self._client.api.rename, identity, f"{name}.{_plain(app)}")

    def _labels(self, app: str, lifetime_s: float) -> policy.Labels:
        deadline = int(time.time() + lifetime_s + 5)
        return policy.Labels(self._label, self._owner.name, _plain(app), deadline)

    async def _fetcher(self, environment: IndexEnvironment, volume: str, lifetime_s: float) -> Box:
        """A box with network that fetches packages, into `volume` or (empty) into the cache."""
        if self._closed:
            raise EngineFault("The engine is closed.")
        wanted = fetching_policy.settings(
            await self._image(recipe("packages")),
            self._labels("packages", lifetime_s),
            cpus=float(self._client.info.get("NCPU", 1)),
            seccomp=self._policy.seccomp,
            volume=volume,
            wheels=environment.folder,
            network=environment.network,
        )
        fetching_policy.refuse(wanted, environment.folder)
        return await self._sheltered(self._launch(wanted, lifetime_s))

    async def image(self, image_id: str, recipe: str) -> str:
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", image_id):
            return ""
        with contextlib.suppress(EngineFault):
            await self._client.call(self._client.api.inspect_image, image_id)
            return image_id
        labels = [f"{LABEL_RECIPE}={recipe}"]
        found = await self._client.call(self._client.api.images, filters={"label": labels})
        return str(found[0]["Id"]) if found and recipe else ""

    async def _built(self, wanted: Recipe, say: Callable[[str], None] | None) -> None:
        """Returns once the image is there; one build at a time. Raises EngineFault."""

        def build() -> None:
            with contextlib.closing(docker.from_env(timeout=builder.QUIET_S)) as client:
                builder.on_demand(client, wanted, say or (lambda line: None))

        async with self._building:
            try:
                await self._image(wanted)
            except EngineFault:
                await asyncio.to_thread(build)

    async def _image(self, wanted: Recipe) -> str:
        """The id of the image of this very recipe; one of an older recipe isn't taken for it."""
        labels = [f"{LABEL_IMAGE}={wanted.image}", f"{LABEL_RECIPE}={wanted.digest}"]
        found = await self._client.call(self._client.api.images, filters={"label": labels})
        tagged = [image for image in found if wanted.tag in (image.get("RepoTags") or [])]
        if not tagged:
            raise EngineFault(
                f"The {wanted.image} image for boxes isn't there yet.", "Run `vibe setup`."
            )
        return str(tagged[0]["Id"])

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


def _plain(app: str) -> str:
    """An app's id as labels and names can have it."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", app)[:100]


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
