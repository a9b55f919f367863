"""What to try next after an attempt failed: repair, start afresh, a stronger model, or stop."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from vibe import diagnosis
from vibe.app import Rung

Move = Literal["repair", "fresh", "stronger", "stop"]

IN_PLACE = 2
"""Repairs in one line before another line is begun; gains after the second are small
(shared research on repair loops: 85 % of what debugging wins is won by round three)."""
FRESH = 1
"""Fresh starts before the stronger model, or the end."""


@dataclass(slots=True)
class Repairs:
    """Remembers what failed in this build, and says what comes next."""

    stronger: bool
    """Whether a stronger model is set."""
    lessons: list[str] = field(default_factory=list)
    """One line for each failure so far, for a start with a clean context."""
    _line: list[str] = field(default_factory=list)
    """Signatures of this line's failures."""
    _most: int = -1
    """Rungs and checks that passed in this line's best attempt."""
    _stale: int = 0
    _fresh: int = 0
    _lines: int = 0
    _blamed: dict[frozenset[str], set[int]] = field(default_factory=dict)
    """Checks → the lines (independent builds) in which they, and only they, failed together."""

    def after(self, failed: Rung, passed: int) -> Move:
        """The next move, given the rung that failed and how many rungs and checks passed. A repair
        after which more pass got somewhere, also when the same check still fails."""
        signature = diagnosis.signature(failed)
        lesson = f"- {failed.name}: {failed.sentence[:200]}"
        if lesson not in self.lessons:
            self.lessons.append(lesson)
        better = passed > self._most
        repeated = signature in self._line and not better
        self._stale = 0 if better else self._stale + 1
        self._most = max(self._most, passed)
        self._line.append(signature)
        if not repeated and self._stale < 2 and len(self._line) <= IN_PLACE:
            return "repair"
        return self._another_line()

    def doubtful(self, checks: Collection[str]) -> bool:
        """Whether an attempt against which nothing stands but these checks should pass: just they
        have by now failed on two independent builds, so they may be what is wrong. A build on which
        more fails is no witness: what breaks one check there may break the others."""
        lines = self._blamed.setdefault(frozenset(checks), set())
        lines.add(self._lines)
        return bool(checks) and len(lines) >= 2

    def _another_line(self) -> Move:
        self._lines += 1
        self._line, self._most, self._stale = [], -1, 0
        if self._fresh < FRESH:
            self._fresh += 1
            return "fresh"
        if self.stronger:
            self.stronger = False
            return "stronger"
        return "stop"
