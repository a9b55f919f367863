"""Packages for apps: from names to a lock, from a lock to a store that boxes can only read."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import platformdirs

from vibe.durable import write_whole
from vibe.errors import Busy, EngineFault, NoPackages, UserError
from vibe.sandbox import downloading, images, lock
from vibe.sandbox.engine import Box, Progress
from vibe.sandbox.fetching import Fetcher, told_by
from vibe.sandbox.index_environment import IndexEnvironment, from_folder, index_environment
from vibe.sandbox.lock import Lock
from vibe.sandbox.package_faults import DISK, fault, is_network
from vibe.sandbox.store import Store
from vibe.settings import PackageRules

RESOLVE_S, INSTALL_S = 90.0, 600.0
"""How long uv may take; a company's index can be slow."""
FRESH_S = 24 * 3600.0
"""How long the same names give the same lock without asking the index again."""
UNPACKED = 4
"""How many times their wheels' weight packages may have on disk."""
REMOVAL_S = 60.0
"""How long a volume's box may take to be gone, on a machine that is busy."""
RESERVE = 500_000_000
"""Bytes that an installation leaves free on the disk."""


@dataclass(frozen=True, slots=True)
class PackageSource:
    """Where packages come from and what may be installed."""

    rules: PackageRules = field(default_factory=PackageRules)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    cache: Path = field(default_factory=lambda: platformdirs.user_cache_path("vibe") / "packages")
    """Remembers which lock a set of names gave, and when each volume was last used."""


class StoredPackages:
    """`engine.Packages` over a store, which all galleries on a machine share."""

    def __init__(self, store: Store, fetcher: Fetcher, source: PackageSource) -> None:
        self._store, self._fetcher, self._source = store, fetcher, source

    @property
    def rules(self) -> PackageRules:
        return self._source.rules

    async def resolve(self, names: Sequence[str]) -> Lock:
        """The exact packages that canonical `names` need beside the image's own. Raises NoPackages
        when there is no such set, it is too large, or the index can't be asked."""
        environment = index_environment(self._source.environ)
        memory = self._memory(names, environment)
        remembered = _remembered(memory)
        if remembered is not None and time.time() - memory.stat().st_mtime < FRESH_S:
            return remembered
        try:
            found = await self._resolved(names, environment)
        except NoPackages as error:
            if remembered is None or not is_network(error):
                raise
            return remembered
        self._within_rules(found)
        await asyncio.to_thread(_remember, memory, found)
        return found

    async def install(self, lock: Lock, told: Progress, wheels: Path | None = None) -> Lock:
        """Returns once the lock's volume is whole; the lock with its modules. `wheels` is a folder
        that is tried first, without network. What fails or is cancelled leaves no volume behind.
        Raises NoPackages, also for a lock that the rules of this machine don't allow."""
        whole = await self._store.find(lock.key)
        if whole is None:
            async with self._alone(lock.key):
                whole = await self._store.find(lock.key)
                if whole is None:
                    self._within_rules(lock)  # it may have come with an imported app
                    modules = await self._had(lock, told, wheels)
                    await self._trim()
                    return replace(lock, modules=modules)
        return replace(lock, modules=whole.modules)

    async def used(self, key: str) -> None:
        """Notes that a box is about to have this volume. Raises EngineFault when it isn't whole:
        Docker would make an empty one in its place."""
        if await self._store.find(key) is None:
            raise EngineFault("The app's packages are not installed.", "Run the app again.")
        with contextlib.suppress(OSError):
            mark = self._source.cache / "used" / key
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()

    async def _resolved(self, names: Sequence[str], environment: IndexEnvironment) -> Lock:
        present = images.packages()
        task: dict[str, Any] = {
            "task": "resolve",
            "names": list(names),
            "present": images.constraints(),
            "until": _until(self.rules),
            "undated": environment.own,
        }
        box = await self._fetcher(environment, "", RESOLVE_S + 60)
        try:
            answer = await told_by(box, environment, task, RESOLVE_S)
            if answer["code"] and is_network(fault(str(answer["said"]), names)):
                first = answer
                answer = await told_by(box, environment, task | {"offline": True}, RESOLVE_S)
                answer = first if answer["code"] else answer
        finally:
            await box.stop()
        if answer["code"]:
            raise fault(str(answer["said"]), names)
        return lock.from_pylock(
            str(answer["pylock"]),
            asked=names,
            python=str(answer["python"]),
            machine=str(answer["machine"]),
            present=present,
        )

    def _within_rules(self, found: Lock) -> None:
        """Raises NoPackages for a set that is too large, or has a denied package in it."""
        rules = self.rules
        if denied := sorted({pin.name for pin in found.pins} & set(rules.denied)):
            raise NoPackages(
                f"{denied[0]} is not allowed here, and these packages need it.", blamed=found.asked
            )
        if len(found.pins) > rules.count:
            raise NoPackages(
                f"These are {len(found.pins)} packages with all that they need; {rules.count} are "
                "the most.",
                blamed=found.asked,
            )
        if found.bytes > rules.bytes:
            heavy = sorted(found.pins, key=lambda pin: -pin.size)[:3]
            shown = ", ".join(f"{pin.name} {pin.size / 1e6:,.0f} MB" for pin in heavy)
            raise NoPackages(
                f"These packages weigh {found.bytes / 1e6:,.0f} MB, and {rules.bytes / 1e6:,.0f} "
                f"MB are the most ({shown}).",
                blamed=found.asked,
            )

    async def wheels(self, lock: Lock) -> dict[str, bytes]:
        """The wheels of the lock by their file names, each with a hash that is in it. Raises
        NoPackages, also when they are too large for a bundle."""
        environment = index_environment(self._source.environ)
        return await downloading.wheels(self._fetcher, environment, lock)

    async def _had(self, wanted: Lock, told: Progress, wheels: Path | None) -> tuple[str, ...]:
        """The modules of the lock, from a folder of wheels if that has all of it."""
        if wheels is not None:
            with contextlib.suppress(EngineFault):  # then from where packages come from here
                return await self._filled(from_folder(wheels), wanted, told, apart=True)
        return await self._filled(index_environment(self._source.environ), wanted, told)

    async def _filled(
        self, environment: IndexEnvironment, wanted: Lock, told: Progress, *, apart: bool = False
    ) -> tuple[str, ...]:
        """Makes, fills and seals the volume; returns its modules. `apart`: what a stranger's wheels
        say is not remembered in the cache that all fetching shares."""
        try:
            name = await self._store.make(wanted.key)
            task = {
                "task": "install",
                "lock": wanted.text,
                "most": UNPACKED * max(self.rules.bytes, wanted.bytes) * (2 if apart else 1),
                "apart": apart,
                "reserve": RESERVE,
            }
            box = await self._fetcher(environment, name, INSTALL_S + 60)
            try:
                answer = await self._installed(box, environment, wanted, task, told)
            finally:
                await box.stop()
            modules = tuple(str(module) for module in answer["modules"])[:500]
            await self._store.seal(wanted.key, int(answer["bytes"]), modules)
        except BaseException:
            await asyncio.shield(self._dropped(wanted.key))
            raise
        return modules

    async def _installed(
        self,
        box: Box,
        environment: IndexEnvironment,
        wanted: Lock,
        task: Mapping[str, Any],
        told: Progress,
    ) -> dict[str, Any]:
        versions = wanted.versions
        seen: set[str] = set()

        def heard(said: Mapping[str, Any]) -> None:
            got = said.get("got")
            if isinstance(got, list) and got:
                name = str(got[0]).lower().replace("_", "-").replace(".", "-")
                if name in versions and name not in seen:
                    seen.add(name)
                    told(name, versions[name], len(seen), len(versions))

        answer = await told_by(box, environment, task, INSTALL_S, heard)
        if answer["code"] and not answer.get("stopped"):
            wrong = fault(str(answer["said"]), wanted.asked)
            if is_network(wrong):
                again = await told_by(box, environment, {**task, "offline": True}, INSTALL_S, heard)
                answer = again if not again["code"] else answer
        match answer.get("stopped"):
            case "size":
                raise NoPackages(
                    "Unpacked, these packages are far larger than they said; they were stopped.",
                    blamed=wanted.asked,
                )
            case "disk":
                raise NoPackages("The disk is nearly full, so nothing was installed.", DISK)
        if answer["code"]:
            raise fault(str(answer["said"]), wanted.asked)
        return answer

    async def _dropped(self, key: str) -> None:
        """Removes a half-filled volume; Docker may need a moment to let go of its box."""
        until = time.monotonic() + REMOVAL_S
        while time.monotonic() < until:
            try:
                await self._store.remove(key)
                return
            except Busy:
                await asyncio.sleep(0.2)
            except EngineFault:
                return

    async def _trim(self) -> None:
        """Keeps the store, and uv's own cache, within the bytes they may have."""
        used = {path.name: path.stat().st_mtime for path in (self._source.cache / "used").glob("*")}
        with contextlib.suppress(EngineFault):
            await self._store.trim(self.rules.store_bytes, used)

    def _memory(self, names: Sequence[str], environment: IndexEnvironment) -> Path:
        """The file that remembers what these names gave under these circumstances."""
        told: list[Any] = [sorted(names), images.constraints(), environment.mark]
        told += [self.rules.minimum_age_days, self.rules.latest, self._store.mark]
        name = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        return self._source.cache / "locks" / name

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        """Two processes would fill one volume twice: the second waits, then finds it done."""
        path = self._source.cache / "installing" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(0.1)
            yield


def _until(rules: PackageRules) -> str:
    """The moment after which releases are too new, in uv's words."""
    day = datetime.now(UTC).date() - timedelta(days=rules.minimum_age_days)
    if rules.latest:
        day = min(day, date.fromisoformat(rules.latest))
    return f"{day.isoformat()}T23:59:59Z"


def _remembered(path: Path) -> Lock | None:
    with contextlib.suppress(OSError, UserError, UnicodeDecodeError):
        return lock.read(path.read_text("utf-8"))
    return None


def _remember(path: Path, found: Lock) -> None:
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, found.text.encode())
