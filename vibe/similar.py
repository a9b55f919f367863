"""Tells whether an app in the gallery is much like an idea, by the words that both share."""

from __future__ import annotations

import re

from vibe.app import App

ENOUGH = 0.75
"""Share of an idea's words that an app must have in its title, idea and checks."""

_IDLE = frozenset(
    """a an and any app application are as at be by can create do for from give has have i in into
    is it its let like little make makes me my need of on one or page people please program script
    show shows simple small so some something that the their them then these this to tool use uses
    using want we web website what when where which who with without write you your""".split()  # noqa: SIM905
)
_ENDINGS = ("ations", "ation", "ators", "ator", "ings", "ing", "ers", "er", "ors", "or", "ies",
            "ed", "es", "e", "s", "y")  # fmt: skip


def words(text: str) -> frozenset[str]:
    """The words of a text that say what it is about, without their endings; no numbers."""
    found = re.findall(r"[^\W\d_]{2,}", text.casefold())
    return frozenset(_stem(word) for word in found if word not in _IDLE)


def likeness(idea: str, app: App) -> float:
    """How much the app is what the idea asks for, from 0 to 1; ENOUGH and more is much.

    It is 1 when the idea names the app's whole title (two words at least)."""
    asked = words(idea)
    title = words(app.title)
    if not asked:
        return 0.0
    if " ".join(idea.split()).casefold() == " ".join(app.idea.split()).casefold():
        return 1.0
    if len(title) > 1 and title <= asked:
        return 1.0
    if len(asked) == 1:
        return 1.0 if asked <= title else 0.0
    checks = app.plan.get("checks")
    named = [str(check.get("name", "")) for check in checks or [] if isinstance(check, dict)]
    there = words(" ".join((app.title, app.idea, *named)))
    return len(asked & there) / len(asked)


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word.removesuffix(ending)
    return word
