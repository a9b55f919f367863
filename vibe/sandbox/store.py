"""Where installed packages are kept, a part for each lock: what every such store does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Sealed:
    """A part of a store with everything of one lock in it."""

    key: str
    bytes: int
    modules: tuple[str, ...]
    """Names that programs import its packages by."""
    made: str
    """When, as its store writes it: sorts by time."""


class Store(Protocol):
    """Where installed packages are kept, a part for each lock; only sealed parts count."""

    @property
    def mark(self) -> str:
        """Differs where the same names may give another lock."""

    async def find(self, key: str) -> Sealed | None:
        """That lock's part when it is whole."""

    async def make(self, key: str) -> str:
        """A new empty part in place of a half-filled one: its name for the box that fills it."""

    async def seal(self, key: str, size: int, modules: tuple[str, ...]) -> None:
        """Says that the part is whole."""

    async def remove(self, key: str) -> None:
        """Removes the part. Raises Busy while a box has it."""

    async def trim(self, most: int, used: Mapping[str, float]) -> list[str]:
        """Removes whole parts, the one used longest ago first, until they have at most `most`
        bytes together, and what fetching has kept when that is more; the keys of the removed."""
