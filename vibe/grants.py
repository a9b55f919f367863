"""Keeps what apps were granted while Vibe runs: their secrets, and their boxes' ways out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from vibe import proxy, reach
from vibe.app import App
from vibe.archive import Archive
from vibe.dialling import Dial, Dialler, resolved
from vibe.errors import UserError, VibeError
from vibe.events import Notice
from vibe.granted import NOTHING, Granted
from vibe.reach import Host
from vibe.sandbox.builder import ca_bundle
from vibe.sandbox.engine import Box

BUNDLE = ".vibe-ca.pem"
"""The machine's CA bundle in /work of a box: TLS is between its program and the host."""
_TRUST = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
LOOK_UPS = 4
"""Names that are looked up at once."""
_TOLD = 20
"""Different refusals of one app that are told."""


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """What answers for one box."""

    box: Box
    hosts: tuple[Host, ...]
    task: asyncio.Task[None]


class Grants:
    """One per studio, used from its event loop. Nothing of it is ever written but the sentences on
    what was refused."""

    def __init__(
        self,
        archive: Archive,
        *,
        dial: Dial | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._archive = archive
        # threads of their own: a name server that is slow must not keep Vibe from its disk
        self._threads = ThreadPoolExecutor(LOOK_UPS, "look-up")
        self._dial = dial or Dialler(partial(resolved, threads=self._threads))
        self._seen: dict[str, tuple[tuple[int, int], tuple[Host, ...]]] = {}
        """By app, its hosts, and the time and place of the record that they were read from."""
        self._environ = os.environ if environ is None else environ
        self._secrets: dict[str, dict[str, str]] = {}
        self._ways: dict[str, set[_Way]] = {}
        self._refused: dict[str, list[str]] = {}
        self._telling: set[asyncio.Task[None]] = set()

    def of(self, app: App) -> Granted:
        """What the app may have now; without a host, nothing."""
        hosts = reach.recorded(app.hosts)
        if not hosts:
            return NOTHING
        given = self._secrets.get(app.id, {})
        return Granted(
            hosts=hosts,
            variables=tuple(sorted(given)),
            missing=tuple(n for n in reach.variables(app.secrets) if n not in given),
            equip=partial(self._equip, app.id, hosts),
        )

    def give(self, app_id: str, name: str, value: str) -> None:
        """Keeps a secret in memory, for boxes of that app that are started from now on."""
        self._secrets.setdefault(app_id, {})[name] = value

    def forget(self, app_id: str, name: str | None = None) -> None:
        """Drops one secret of an app, or all."""
        if name is None:
            self._secrets.pop(app_id, None)
        else:
            self._secrets.get(app_id, {}).pop(name, None)

    def values(self) -> tuple[str, ...]:
        """Every secret that is kept now, to be masked."""
        return tuple(v for given in self._secrets.values() for v in given.values())

    def refusals(self, app_id: str) -> list[str]:
        """What the app's programs asked for in vain, in sentences, the last one last."""
        return list(self._refused.get(app_id, []))

    async def cut(self, app_id: str) -> list[Box]:
        """Cuts every connection of the app; the boxes that could reach a host."""
        ways = self._ways.pop(app_id, set())
        for way in ways:
            way.task.cancel()
        await asyncio.gather(*(way.task for way in ways), return_exceptions=True)
        self._refused.pop(app_id, None)
        return [way.box for way in ways]

    async def hosts(self, app_id: str) -> tuple[Host, ...]:
        """What the record allows now, whoever has written it; nothing for an app that is gone. It
        is read only when it has changed: programs may ask as often as they like."""
        try:
            found = (self._archive.root / app_id / "app.yaml").stat()
            mark = (found.st_mtime_ns, found.st_ino)
            if self._seen.get(app_id, (None,))[0] != mark:
                app = await asyncio.to_thread(self._archive.load, app_id)
                self._seen[app_id] = (mark, reach.recorded(app.hosts))
            return self._seen[app_id][1]
        except (OSError, UserError):
            self._seen.pop(app_id, None)
            return ()

    async def changed(self) -> list[str]:
        """Apps with a box that began when their record allowed something else."""
        found = []
        for app_id, ways in list(self._ways.items()):
            if ways:
                now = await self.hosts(app_id)
                if any(way.hosts != now for way in ways):
                    found.append(app_id)
        return found

    async def close(self) -> None:
        """Ends everything; what is kept in memory is forgotten."""
        tasks = [way.task for ways in self._ways.values() for way in ways] + list(self._telling)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._secrets.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _equip(self, app_id: str, hosts: tuple[Host, ...], box: Box) -> None:
        bundle = await asyncio.to_thread(ca_bundle, self._environ)
        address = f"http://127.0.0.1:{proxy.PORT}"
        environment = {"NO_PROXY": "localhost,127.0.0.1,::1"}
        environment |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), address)
        environment |= {name.lower(): value for name, value in environment.items()}
        if bundle:
            await box.put({BUNDLE: bundle})
            environment |= dict.fromkeys(_TRUST, f"/work/{BUNDLE}")
        box.give(environment | self._secrets.get(app_id, {}))
        answering = proxy.answer(
            box, partial(self._may, app_id), self._dial, partial(self._tell, app_id)
        )
        way = _Way(box, hosts, asyncio.create_task(answering))
        ways = self._ways.setdefault(app_id, set())
        ways.add(way)
        way.task.add_done_callback(lambda _: ways.discard(way))

    async def _may(self, app_id: str, host: Host) -> bool:
        return host in await self.hosts(app_id)

    def _tell(self, app_id: str, sentence: str) -> None:
        """Remembers a refusal, and tells it in the transcript, each once."""
        told = self._refused.setdefault(app_id, [])
        if sentence in told or len(told) >= _TOLD:
            return
        told.append(sentence)
        task = asyncio.create_task(self._note(app_id, f"Refused: {sentence}"))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _note(self, app_id: str, text: str) -> None:
        with suppress(VibeError):
            await asyncio.to_thread(self._archive.append, app_id, [Notice(text=text)], sync=False)
