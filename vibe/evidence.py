"""The steps of a check as a person reads them: what was done or expected, and what was seen."""

from __future__ import annotations

from vibe.app import StepSeen
from vibe.browser import CheckSeen
from vibe.plan import Check
from vibe.steps import Step

_WORDS = {
    "open": "Open {target}",
    "see": "See {target!r}",
    "not_see": "Don't see {target!r}",
    "click": "Click {target!r}",
    "fill": "Fill {target!r} with {value!r}",
    "select": "Select {value!r} in {target!r}",
    "press": "Press {target}",
    "upload": "Upload {value!r} in {target!r}",
    "wait": "Wait {target} s",
    "download": "Download by {target!r}",
    "reload": "Reload the page",
    "drag": "Drag {target!r} to {value!r}",
}


def in_words(step: Step) -> str:
    """One step as a sentence without its full stop."""
    return _WORDS[step.action].format(target=step.target, value=step.value)


def steps_seen(check: Check, found: CheckSeen) -> tuple[StepSeen, ...]:
    """Every step of a browser's check: the ones that held, the one that failed, and the rest,
    which nobody tried."""
    seen = []
    for at, step in enumerate(check.steps):
        if found.passed or at < len(found.seen):
            what = found.seen[at] if at < len(found.seen) else ""
            seen.append(StepSeen(in_words(step), True, what))
        elif at == len(found.seen):
            seen.append(StepSeen(in_words(step), False, found.why))
        else:
            seen.append(StepSeen(in_words(step), None))
    return tuple(seen)
