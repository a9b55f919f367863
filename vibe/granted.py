"""What a person has granted one app, as a build or a run of it takes it along."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from vibe.reach import Host
from vibe.sandbox.engine import Box

Equip = Callable[[Box], Awaitable[None]]


async def _nothing(box: Box) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Granted:
    """Hosts, and the names of variables; no value of a secret."""

    hosts: tuple[Host, ...] = ()
    variables: tuple[str, ...] = ()
    """Those that have a value now."""
    missing: tuple[str, ...] = ()
    """Those that the app is meant to have, and that nobody has given a value yet."""
    equip: Equip = _nothing
    """Gives a fresh box its way out and its variables."""


NOTHING = Granted()
