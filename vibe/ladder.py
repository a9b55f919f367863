"""The ladder that an attempt climbs: its rungs as they are passed or failed, each told at once."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

from vibe.app import Rung, StepSeen
from vibe.events import RungDone, Stage
from vibe.running import Emit
from vibe.sandbox.engine import Box
from vibe.settings import SANDBOXES

EVIDENCE = 8000
"""Characters of evidence a rung keeps."""
ADVICE = "advice"
"""The name of rungs that are told and not counted: checks that an empty page would pass."""
EXCUSED = "(it fails on two independent builds)"
"""How the sentence of a check ends that may itself be what is wrong."""


class Ladder:
    """Collects rungs, telling each as an event."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self.rungs: list[Rung] = []
        self._since = time.monotonic()

    def stage(self, name: str, sentence: str) -> None:
        self._since = time.monotonic()
        self.emit(Stage(name=name, sentence=sentence))

    def done(
        self,
        name: str,
        passed: bool,
        sentence: str,
        evidence: str = "",
        *,
        steps: tuple[StepSeen, ...] = (),
        pictures: tuple[str, ...] = (),
    ) -> bool:
        seconds = round(time.monotonic() - self._since, 3)
        self._since = time.monotonic()
        rung = Rung(name, passed, sentence, evidence[-EVIDENCE:], seconds, steps, pictures)
        self.rungs.append(rung)
        self.emit(
            RungDone(
                name=name,
                passed=passed,
                sentence=sentence,
                evidence=rung.evidence,
                seconds=seconds,
                steps=[dataclasses.asdict(step) for step in steps],
                pictures=[name for name in pictures if name],
            )
        )
        return passed


async def probe(box: Box, name: str, *args: str, wall_s: float = 30.0) -> dict[str, Any] | None:
    """The JSON that one of sandboxes/probes printed in the box; None when it gave none."""
    source = (SANDBOXES / "probes" / name).read_bytes()
    outcome = await box.run(["python", "-", *args], stdin=source, wall_s=wall_s)
    lines = outcome.stdout.decode("utf-8", "replace").strip().splitlines()
    try:
        found = json.loads(lines[-1])
    except (ValueError, IndexError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
