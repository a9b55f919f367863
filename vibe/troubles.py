"""What goes wrong in apps while people use them: tracebacks, failed answers, programs that end."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vibe import diagnosis
from vibe.app import Rung
from vibe.events import now
from vibe.redaction import redact

MOST = 5
"""Different troubles of one app that are remembered; the oldest makes room."""
LINES = 120
"""Lines of one traceback; of a longer one the first half and the newest lines are kept."""
SAME_S = 3.0
"""A failed answer this close to a traceback is the same trouble, seen from outside."""

_STARTS = "Traceback (most recent call last)"
_ENDS = re.compile(r"[A-Za-z_][\w.]*(?:: .*|:)?")
_GOES_ON = ("During handling of the above", "The above exception was the direct")


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that went wrong, however often."""

    key: str
    """Equal for equal troubles of an app."""
    revision: int
    sentence: str
    evidence: str
    """Text of the program's, secrets masked: to be shown and told as data."""
    times: int
    at: str
    """When it was last seen; ISO 8601, UTC."""
    symptom: bool
    """Whether it only shows that something failed, and not where."""
    _seen: float

    @property
    def rung(self) -> Rung:
        """As diagnosis takes it."""
        return Rung("used", False, self.sentence, self.evidence)


class Troubles:
    """Those of every app of one studio; used from one event loop."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._secrets = secrets
        self._of: dict[str, dict[str, Trouble]] = {}

    def mask(self, secrets: Sequence[str]) -> None:
        """Masks these from now on instead of those of before."""
        self._secrets = tuple(secrets)

    def of(self, app_id: str) -> list[Trouble]:
        """The app's troubles, the newest first; symptoms only where nothing explains them."""
        there = sorted(self._of.get(app_id, {}).values(), key=lambda t: t._seen, reverse=True)
        causes = [trouble._seen for trouble in there if not trouble.symptom]
        return [
            trouble
            for trouble in there
            if not trouble.symptom or all(abs(trouble._seen - at) > SAME_S for at in causes)
        ]

    def add(
        self, app_id: str, revision: int, sentence: str, evidence: str, *, symptom: bool = False
    ) -> str:
        """Remembers a trouble; its key. One that is known counts once more."""
        sentence = " ".join(diagnosis.clean(redact(sentence, self._secrets)).split())[:300]
        evidence = redact(diagnosis.clean(evidence)[-8000:], self._secrets)
        key = diagnosis.signature(Rung("used", False, sentence, evidence))
        known = self._of.setdefault(app_id, {})
        before = known.pop(key, None)
        times = before.times + 1 if before else 1
        known[key] = Trouble(
            key, revision, sentence, evidence, times, now(), symptom, time.monotonic()
        )
        while len(known) > MOST:
            del known[next(iter(known))]
        return key

    def forget(self, app_id: str, key: str | None = None) -> None:
        """Drops one trouble of an app, or all."""
        if key is None:
            self._of.pop(app_id, None)
        else:
            self._of.get(app_id, {}).pop(key, None)

    def answered(self, app_id: str, revision: int, sentence: str) -> None:
        """Remembers an answer that was none, as the gateway saw it."""
        self.add(app_id, revision, sentence, "", symptom=True)

    def listener(self, app_id: str, revision: int) -> Callable[[str, str], None]:
        """What a running program's output is passed to, piece by piece: stream, then text."""
        readers: dict[str, _Reader] = {}

        def hear(stream: str, text: str) -> None:
            reader = readers.setdefault(stream, _Reader())
            for goes_on, traceback in reader.take(text):
                if goes_on:
                    self.forget(app_id, reader.key)
                reader.key = self.add(app_id, revision, traceback[-1].strip(), "\n".join(traceback))

        return hear


class _Reader:
    """Finds the tracebacks in one stream."""

    def __init__(self) -> None:
        self.key = ""
        """Of the trouble that the last traceback became."""
        self._line = ""
        self._found: list[str] = []
        self._within = False
        self._chained = False

    def take(self, text: str) -> list[tuple[bool, list[str]]]:
        """Tracebacks that end in this piece, each with whether it goes on from the one before."""
        *whole, rest = (self._line + text).split("\n")
        self._line = rest[-8000:]
        done = []
        for line in whole:
            line = diagnosis.clean(line).rstrip()[:400]
            if self._within:
                self._add(line)
                if _ENDS.fullmatch(line) and _STARTS not in line:
                    self._within = False
                    done.append((self._chained, list(self._found)))
                    self._chained = False
            elif _STARTS in line:
                if not self._chained:
                    self._found = []
                self._within = True
                self._add(line)
            elif line.startswith(_GOES_ON) and self._found:
                self._chained = True
                self._add(line)
            elif line:
                self._chained = False
        return done

    def _add(self, line: str) -> None:
        self._found.append(line)
        if len(self._found) > LINES:
            del self._found[LINES // 2]
