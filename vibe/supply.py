"""Gets the packages that a build's attempts want: sorted out, asked about, locked and installed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from vibe import modules
from vibe.app import Rung
from vibe.errors import EngineFault, NoPackages
from vibe.events import Answered, Asked, Notice, PackageReady, RungDone, Stage
from vibe.narration import Emit
from vibe.sandbox import images, package_names
from vibe.sandbox.engine import Engine, Packages
from vibe.sandbox.lock import Lock
from vibe.settings import PackageRules

Ask = Callable[[Asked], Awaitable[Answered]]


@dataclass(frozen=True, slots=True)
class Supplied:
    """What came of one attempt's packages."""

    lock: Lock | None = None
    """What its box gets; None for nothing beside the image's own packages."""
    rung: Rung | None = None
    """Failed when a wanted package can't be had; None when none was wanted."""


class Supply:
    """The packages of one build. What was refused once stays refused, what was had is had at once.

    Names that a person should look at are asked about with `ask`, and refused without it."""

    def __init__(
        self,
        engine: Engine | None,
        rules: PackageRules,
        ask: Ask | None,
        patience: Callable[[], float] = lambda: 60.0,
    ) -> None:
        """`patience` is how many seconds a person has to answer, when they are asked."""
        self._engine, self._rules, self._ask, self._patience = engine, rules, ask, patience
        self._refused: dict[str, str] = {}
        self._approved = {*map(modules.canonical, rules.allowed)}
        self._approved |= {*map(modules.canonical, modules.known().values())}
        self._evidence = ""
        self._turn = asyncio.Lock()

    async def get(self, wanted: Sequence[str], emit: Emit) -> Supplied:
        """Returns once everything of `wanted` that can be had is installed, and tells it.

        Never raises for what can't be had: the rung says so."""
        if self._engine is None:
            return Supplied()
        async with self._turn:
            since = time.monotonic()
            present = images.packages()
            names, odd = package_names.sort_out(wanted, present, self._rules.asked)
            if not names and not odd:
                return Supplied()
            self._refused |= odd
            for name in {*map(modules.canonical, self._rules.denied)} & set(names):
                self._refused[name] = f"{name} is not allowed here."
            wanted = [name for name in names if name not in self._refused]
            lock = await self._had(self._engine.packages, wanted, emit)
            trouble = [self._refused[name] for name in (*odd, *names) if name in self._refused]
            sentence = " ".join(dict.fromkeys(trouble)) or _had_in_words(lock)
            seconds = round(time.monotonic() - since, 3)
            evidence = self._evidence if trouble else ""
            rung = Rung("packages", not trouble, sentence, evidence[-4000:], seconds)
            emit(
                RungDone(
                    name=rung.name,
                    passed=rung.passed,
                    sentence=rung.sentence,
                    evidence=rung.evidence,
                    seconds=rung.seconds,
                )
            )
            return Supplied(lock, rung)

    async def _had(self, packages: Packages, names: list[str], emit: Emit) -> Lock | None:
        """The installed lock of as many of the names as can be had."""
        while names:
            emit(Stage(name="packages", sentence=f"Looking for {', '.join(names)}."))
            try:
                lock = await packages.resolve(names)
                if doubtful := await self._doubtful(names, emit):
                    names = [name for name in names if name not in doubtful]
                    continue
                if not lock.pins:
                    return None
                count = len(lock.pins)
                said = f"Installing {count} package{'s' if count > 1 else ''}."
                emit(Stage(name="packages", sentence=said))

                def told(name: str, version: str, done: int, of: int) -> None:
                    emit(PackageReady(name=name, version=version, done=done, of=of))

                return await packages.install(lock, told)
            except EngineFault as error:
                blamed = [name for name in names if name in getattr(error, "blamed", ())] or names
                self._evidence = error.evidence if isinstance(error, NoPackages) else ""
                self._refuse(blamed, str(error))
                names = [name for name in names if name not in blamed]
        return None

    async def _doubtful(self, names: Sequence[str], emit: Emit) -> list[str]:
        """The names that a person has to agree to and does not; they are then refused."""
        doubtful = []
        for name in names:
            doubt = package_names.doubt(name, self._approved)
            if not doubt:
                continue
            if self._ask is None:
                self._refuse([name], f"{doubt} Without a person's yes it is not installed.")
                doubtful.append(name)
                continue
            question = Asked(what="package", text=f"{doubt} Shall {name} be installed?")
            emit(question)
            try:
                async with asyncio.timeout(self._patience()):
                    answer = await self._ask(question)
            except TimeoutError:  # nobody is there, and the build has to end some time
                answer = Answered(what="package", yes=False)
            emit(answer)
            if answer.yes:
                self._approved.add(name)
            else:
                emit(Notice(text=f"{name} is not installed."))
                self._refuse([name], f"You did not want {name}.")
                doubtful.append(name)
        return doubtful

    def _refuse(self, names: Sequence[str], sentence: str) -> None:
        self._refused |= dict.fromkeys(names, sentence)


def _had_in_words(lock: Lock | None) -> str:
    if lock is None:
        return "The packages are part of the box already."
    versions = lock.versions
    asked = ", ".join(f"{name} {versions[name]}" for name in lock.asked if name in versions)
    more = len(lock.pins) - sum(name in versions for name in lock.asked)
    others = f", and {more} that they need" if more else ""
    return f"It has {asked}{others}."
