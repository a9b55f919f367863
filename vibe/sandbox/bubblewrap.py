"""The bubblewrap engine, for machines without Docker: boxes are processes of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import os
import subprocess
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from vibe.errors import EngineFault, VibeError
from vibe.sandbox import bpf, cgroups, fitness, owners, policy, seccomp, wrapping_policy
from vibe.sandbox.box import PipeBox
from vibe.sandbox.box_environment import (
    Environment,
    chromium,
    environment,
    place,
    recipe,
    store,
)
from vibe.sandbox.engine import Box, BoxSpec, Posture
from vibe.sandbox.images import ON_DEMAND
from vibe.sandbox.index_environment import IndexEnvironment
from vibe.sandbox.link import Link
from vibe.sandbox.packages import PackageSource, StoredPackages
from vibe.sandbox.process_pipe import ProcessPipe
from vibe.sandbox.programs import installed
from vibe.sandbox.wrapping import FETCHING, FETCHING_ENV, PROGRAMS, Fetching, command
from vibe.settings import SANDBOXES

ISOLATION = "reduced isolation"
STARTS = 4
"""Boxes that are started at once; more wait their turn."""
LONGEST_S = 7 * 86400.0
TRIAL_S = 20
"""How long the machine may take to show whether it lets Vibe make a box at all."""


class BubblewrapEngine:
    """`engine.Engine` over bwrap. Made by `await BubblewrapEngine.open(...)`."""

    name = "bubblewrap"

    def __init__(
        self, gallery: Path, owner: owners.Owner, filter_: bytes, source: PackageSource
    ) -> None:
        self._gallery, self._owner, self._filter = gallery, owner, filter_
        self._policy = policy.load(SANDBOXES / "policy.yaml")
        self._places = cgroups.find()
        self._store = store(environment("packages").id)
        self.packages = StoredPackages(self._store, self._fetcher, source)
        self._label = owners.gallery_label(gallery)
        self._starts = asyncio.Semaphore(STARTS)
        self._boxes: dict[str, PipeBox] = {}
        self._closed = False

    @classmethod
    async def open(
        cls, *, gallery: Path, owner: str | None = None, source: PackageSource | None = None
    ) -> BubblewrapEngine:
        """Packages come from `source`, by default as the environment says.

        Raises EngineFault, with a fix, when this machine can't make such boxes, or the
        environment for them isn't built."""
        await asyncio.to_thread(able)
        if not environment("python").built:
            raise EngineFault(
                "What bubblewrap's boxes run on isn't there yet.", "Run `vibe setup`."
            )
        profile = policy.load(SANDBOXES / "policy.yaml").seccomp
        if wrong := seccomp.weakness(profile):
            raise EngineFault(
                f"These box settings are not allowed: {wrong}.", "Restore the folder `sandboxes`."
            )
        filter_ = await asyncio.to_thread(bpf.compiled, profile)
        return cls(gallery, owners.Owner(gallery, owner), filter_, source or PackageSource())

    async def image(self, image_id: str, recipe_digest: str) -> str:
        present = environment("python")
        return present.id if image_id == present.id or recipe_digest == recipe() else ""

    async def probe(self) -> Posture:
        details = {
            "kernel": os.uname().release,
            "control groups": f"version {self._places.version}" if self._places else "none",
            "user": "another than Vibe's" if os.geteuid() == 0 else "Vibe's own",
        }
        try:
            box = await self.start(BoxSpec(app="self-test", lifetime_s=60))
            try:
                found = await fitness.found(box)
            finally:
                await box.stop()
        except (VibeError, ValueError) as error:
            fix = error.fix if isinstance(error, VibeError) else ""
            return Posture(self.name, False, ISOLATION, str(error), fix, details)
        gaps = fitness.gaps(found)
        details |= {f"box {key}": str(value) for key, value in found.items()}
        if gaps:
            sentence = f"bubblewrap's boxes are not as they should be: {', '.join(gaps)}."
            return Posture(
                self.name, False, ISOLATION, sentence, "Report this with `vibe doctor --json`."
            )
        return Posture(self.name, True, ISOLATION, self._sentence(), "", details)

    def _sentence(self) -> str:
        limits = (
            "Memory, processes and processor time are limited for each box."
            if self._places
            else "This machine lets Vibe make no control groups: memory is limited for each "
            "process only, and processor time not at all."
        )
        return (
            "bubblewrap's boxes have no network and no rights, and see the machine's programs "
            f"read-only. {limits}"
        )

    async def start(self, spec: BoxSpec) -> Box:
        if self._closed:
            raise EngineFault("The engine is closed.")
        if spec.image in ON_DEMAND:
            raise EngineFault(
                f"Without Docker there are no {spec.image} boxes.",
                "Choose another kind, or Docker.",
            )
        if spec.image not in ("python", "browser"):
            raise EngineFault(
                f"bubblewrap has no {ascii(spec.image)[:50]} boxes.", "Run it with Docker."
            )
        if not (math.isfinite(spec.lifetime_s) and 0 < spec.lifetime_s <= LONGEST_S):
            raise EngineFault(f"A box can't live for {spec.lifetime_s} s.")
        wanted = environment(spec.image)
        if spec.image_id not in ("", wanted.id):
            raise EngineFault("The environment of that box is gone.", "Run it on the present one.")
        if not wanted.built or (spec.image == "browser" and not chromium()):
            what = "browser" if spec.image == "browser" else "environment"
            raise EngineFault(f"There is no {what} for boxes on this machine.", "Run `vibe setup`.")
        allowance, env = self._policy.images[wanted.name], self._policy.env
        async with self._starts, AsyncExitStack() as things:
            packages: Path | None = None
            if spec.packages:
                await self.packages.used(spec.packages)
                packages = things.enter_context(self._store.held(spec.packages))
            return await self._start(
                wanted, allowance, env, spec.lifetime_s, things, packages=packages
            )

    async def _fetcher(self, environment_: IndexEnvironment, target: str, lifetime_s: float) -> Box:
        """A box with network that fetches packages into the folder `target`, or (empty) looks."""
        if self._closed:
            raise EngineFault("The engine is closed.")
        wanted = environment("packages")
        if not wanted.built:
            raise EngineFault("What fetches packages isn't there yet.", "Run `vibe setup`.")
        async with self._starts, AsyncExitStack() as things:
            has = Fetching(
                cache=await asyncio.to_thread(things.enter_context, self._store.cache()),
                target=Path(target) if target else None,
                wheels=await asyncio.to_thread(
                    things.enter_context, self._store.wheels(environment_.folder)
                ),
                network=environment_.network != "none",
                resolver_fd=_told(things, _resolver()),
            )
            return await self._start(
                wanted, FETCHING, FETCHING_ENV, lifetime_s, things, fetching=has
            )

    async def _start(
        self,
        wanted: Environment,
        allowance: policy.Allowance,
        env: Mapping[str, str],
        lifetime_s: float,
        things: AsyncExitStack,
        *,
        packages: Path | None = None,
        fetching: Fetching | None = None,
    ) -> PipeBox:
        """A started box; what it needs of `things` is let go of when it has ended."""
        name = f"{self._label}.{self._owner.name}.{uuid.uuid4().hex}"
        group = await asyncio.to_thread(self._group, name, allowance)
        pipe: ProcessPipe | None = None
        try:
            with ExitStack() as open_:
                descriptors = [_told(open_, self._filter)]
                if fetching:
                    descriptors.append(fetching.resolver_fd)
                argv = command(
                    environment=wanted.folder,
                    interpreter=wanted.interpreter,
                    allowance=allowance,
                    env=env,
                    name=name.rpartition(".")[2],
                    root=os.geteuid() == 0,
                    filter_fd=descriptors[0],
                    doors=group.doors if group else (),
                    shown=group.shown if group else None,
                    packages=packages,
                    fetching=fetching,
                )
                circumstances = wrapping_policy.Circumstances(
                    boxes=place(),
                    packages=self._store.place,
                    root=os.geteuid() == 0,
                    descriptors=descriptors,
                    fetching=fetching is not None,
                    wheels=str(fetching.wheels or "") if fetching else "",
                )
                wrapping_policy.refuse(argv, circumstances)
                pipe = await ProcessPipe.start(argv, descriptors=descriptors)
            link = await Link.start(pipe, lifetime_s=lifetime_s)
            if self._closed:
                await link.close()
                raise EngineFault("The engine is closed.")
        except BaseException as error:
            said = pipe.diagnostics().strip() if pipe else ""
            await asyncio.shield(_ended(pipe, group))
            if isinstance(error, OSError):
                raise EngineFault(f"A box can't be started: {error}. {said[-300:]}") from error
            raise
        box = PipeBox(
            link,
            id=name,
            engine=self.name,
            image=wanted.id,
            lifetime_s=lifetime_s,
            memory=MemoryEvidence(group),
            remove=functools.partial(self._forget, name, pipe, group, things.pop_all()),
        )
        self._boxes[name] = box
        return box

    def _group(self, name: str, allowance: policy.Allowance) -> cgroups.Group | None:
        if self._places is None:
            return None
        try:
            return cgroups.Group(self._places, name, allowance, float(os.cpu_count() or 1))
        except OSError as error:
            cgroups.remove(self._places, name)
            raise EngineFault(f"A box can't be given its limits: {error}.") from error

    async def _forget(
        self, name: str, pipe: ProcessPipe, group: cgroups.Group | None, things: AsyncExitStack
    ) -> None:
        try:
            await _ended(pipe, group)
        finally:
            self._boxes.pop(name, None)
            await things.aclose()

    async def sweep(self) -> list[str]:
        """Boxes die with their Vibe; what may be left of them is their control groups."""
        removed = []
        for name in await asyncio.to_thread(cgroups.groups, self._places) if self._places else ():
            label, _, rest = name.partition(".")
            owner = rest.rpartition(".")[0]
            mine = label == self._label and owner != self._owner.name
            if mine and self._places and not owners.alive(self._gallery, owner):
                await asyncio.to_thread(cgroups.remove, self._places, name)
                removed.append(name)
        owners.forget_dead(self._gallery)
        return removed

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        boxes = list(self._boxes.values())
        await asyncio.gather(*(box.stop() for box in boxes), return_exceptions=True)
        self._owner.release()


class MemoryEvidence:
    """Whether the kernel has killed for memory in a box's group since it was last asked."""

    def __init__(self, group: cgroups.Group | None) -> None:
        self._group, self._known = group, 0

    async def __call__(self, expected: bool) -> bool:
        found = self._group.kills() if self._group else 0
        more, self._known = found > self._known, found
        return more


def _told(things: ExitStack | AsyncExitStack, content: bytes) -> int:
    """A descriptor that a box is told that on, open as long as `things`."""
    descriptor = os.memfd_create("told")
    things.callback(os.close, descriptor)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _resolver() -> bytes:
    """How the machine looks names up; without its file, as C libraries do of themselves."""
    try:
        return Path("/etc/resolv.conf").read_bytes()
    except OSError:
        return b""


async def _ended(pipe: ProcessPipe | None, group: cgroups.Group | None) -> None:
    if pipe:
        await pipe.end()
    if group and not await asyncio.to_thread(group.remove):
        raise EngineFault("What is left of a box won't go.", "Restart this machine.")


def absent() -> list[str]:
    """The programs it takes that this machine doesn't have."""
    return [name for name in PROGRAMS if installed(name) is None]


def able() -> None:
    """Returns when this machine lets Vibe make a box. Raises EngineFault with what is missing."""
    if missing := absent():
        raise EngineFault(
            f"There is no {' and no '.join(missing)} on this machine.",
            "Install bubblewrap and util-linux (Debian: "
            "`sudo apt-get install bubblewrap util-linux libseccomp2`).",
        )
    user = ["setpriv", "--reuid=10001", "--regid=10001", "--clear-groups"]
    inside = ["bwrap", "--unshare-all", "--unshare-user", "--disable-userns"]
    inside += ["--ro-bind", "/", "/", "true"]
    outside = ["unshare", "--user", "--map-root-user", "--mount"]
    argv = [*(user if os.geteuid() == 0 else ()), *outside, *inside]
    try:
        tried = subprocess.run(  # noqa: S603 (fixed programs)
            argv, capture_output=True, timeout=TRIAL_S, check=False, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineFault(f"bubblewrap can't be tried: {error}.") from error
    if tried.returncode:
        said = tried.stderr.decode(errors="replace").strip()[-300:]
        raise EngineFault(f"bubblewrap can't make a box here ({said}).", _why(said))


def _why(said: str) -> str:
    """What to do about a machine that lets nobody make user namespaces."""
    if "nknown option" in said:
        return "Install bubblewrap 0.8 or newer."
    switches = {
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1",
        "/proc/sys/kernel/unprivileged_userns_clone": "0",
        "/proc/sys/user/max_user_namespaces": "0",
    }
    for path, closed in switches.items():
        with contextlib.suppress(OSError):
            if Path(path).read_text().strip() == closed:
                name = path.removeprefix("/proc/sys/").replace("/", ".")
                return (
                    f"This system forbids user namespaces ({name} is {closed}); Docker needs none."
                )
    return "This system may forbid user namespaces; Docker needs none."
