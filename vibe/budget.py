"""What one build may use, and what it has used so far."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import replace

from vibe.app import Spent
from vibe.model import ReplyEnd
from vibe.settings import Limits

_DATE = re.compile(r"[-@:]\d{4}[\d-]*$")


class OverBudget(Exception):
    """The build has used up its calls, tokens or seconds; the message says which."""


class Budget:
    """Counts model calls, tokens and seconds against the limits of one build."""

    def __init__(
        self, limits: Limits, prices: Mapping[str, Mapping[str, float]] | None = None
    ) -> None:
        self.limits = limits
        self._prices = prices or {}
        self._spent = Spent()
        self._start = time.monotonic()

    @property
    def spent(self) -> Spent:
        return replace(self._spent, seconds=round(time.monotonic() - self._start, 3))

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.limits.seconds - (time.monotonic() - self._start))

    def pause(self, seconds: float) -> None:
        """Leaves out of the build's time what a person took to answer."""
        self._start += seconds

    def check(self) -> None:
        """Raises OverBudget when another model call would go past a limit."""
        tokens = self._spent.prompt_tokens + self._spent.completion_tokens
        if self._spent.calls >= self.limits.calls:
            raise OverBudget(f"its {self.limits.calls} model calls are used up")
        if tokens >= self.limits.tokens:
            raise OverBudget(f"its {self.limits.tokens:,} tokens are used up")
        if self.limits.money is not None and (self._spent.money or 0.0) >= self.limits.money:
            raise OverBudget(f"its {self.limits.money:.2f} of money are spent")
        if self.seconds_left <= 0:
            raise OverBudget(f"its {self.limits.seconds:.0f} seconds are over")

    def add(self, end: ReplyEnd) -> float | None:
        """Counts one model call; what it cost, None when the model's price is not known."""
        money = cost(self._prices, end)
        self._spent = replace(
            self._spent,
            calls=self._spent.calls + 1,
            prompt_tokens=self._spent.prompt_tokens + end.prompt_tokens,
            completion_tokens=self._spent.completion_tokens + end.completion_tokens,
            money=self._spent.money if money is None else (self._spent.money or 0.0) + money,
        )
        return money


def cost(prices: Mapping[str, Mapping[str, float]], end: ReplyEnd) -> float | None:
    """What one model call cost; None when its model has no price.

    Endpoints answer with a dated name (`name-2025-08-06`) for a plain one: the plain one's price
    holds for it."""
    price = prices.get(end.model) or prices.get(_DATE.sub("", end.model))
    if price is None:
        return None
    return (end.prompt_tokens * price["prompt"] + end.completion_tokens * price["completion"]) / 1e6
