"""What the gallery knows about one app: plain records, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

KINDS = ("web", "streamlit", "slides", "notebook", "flask", "fastapi", "script", "node", "rust")

Status = Literal["building", "ready", "failed", "stopped", "interrupted"]
"""`ready`: the last build ended with an app that runs. `failed`: it ended without one.
`stopped`: the person stopped it. `interrupted`: its process died; it can be resumed."""

State = Literal["works", "partly", "broken", "unverified"]

Way = Literal["asked", "edited", "repair", "afresh", "restored", "undone"]
"""How a revision came about. `asked`: in words. `edited`: by hand. `repair`: of an error seen while
it was used. `afresh`: written anew, another way. `restored`, `undone`: an earlier one again."""


@dataclass(frozen=True, slots=True)
class StepSeen:
    """One step of a check, and what came of it."""

    step: str
    """What was done, or what was expected."""
    passed: bool | None
    """None: nobody tried it, since an earlier one failed."""
    seen: str = ""


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung of the verification ladder for one attempt."""

    name: str
    """parse, static, start, alive, pages, run, checks …"""
    passed: bool
    sentence: str
    """What was seen, for a layperson."""
    evidence: str = ""
    """Text to show on request: output, traceback, response (≤ 8 kB)."""
    seconds: float = 0.0
    steps: tuple[StepSeen, ...] = ()
    """A check's."""
    pictures: tuple[str, ...] = ()
    """Names in the app's pictures/: a check's one, the page on a desktop and on a phone."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checks showed, in words a layperson understands."""

    state: State
    sentence: str
    verified: tuple[str, ...] = ()
    """What was seen to be so, one phrase each."""
    unverified: tuple[str, ...] = ()
    """What nobody has checked, one phrase each."""
    isolation: str = ""
    """The engine it was verified on, e.g. `docker`."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What model calls cost so far."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    """Wall-clock seconds of the builds."""
    money: float | None = None
    """In the currency of the prices in settings; None when no price is known."""

    def plus(self, other: Spent) -> Spent:
        """Both together; money is known when either's is."""
        known = [money for money in (self.money, other.money) if money is not None]
        return Spent(
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            seconds=round(self.seconds + other.seconds, 3),
            money=sum(known) if known else None,
        )


@dataclass(frozen=True, slots=True)
class Revision:
    """A version the user asked for."""

    number: int
    request: str
    commit: str
    """Commit id in the app's code repository of the attempt that was kept."""
    attempts: int
    verdict: Verdict
    created: str
    """ISO 8601, UTC."""
    way: Way = "asked"
    source: int = 0
    """Number of the revision that `restored` or `undone` brought back; else 0."""
    model: str = ""
    """Who wrote it: a model's name, or `you`."""


@dataclass(frozen=True, slots=True)
class App:
    """The record in app.yaml."""

    id: str
    title: str
    idea: str
    kind: str
    """One of KINDS, or `auto` until the plan is made."""
    status: Status
    model: str
    """Name of the model (or `starter: <name>`) that made it."""
    created: str
    used: str
    """When it was last made, changed or run; ISO 8601, UTC."""
    verdict: Verdict | None = None
    revisions: tuple[Revision, ...] = ()
    spent: Spent = field(default_factory=Spent)
    plan: dict[str, Any] = field(default_factory=dict)
    """The last plan as data: title, kind, summary, packages, checks."""
    pins: dict[str, Any] = field(default_factory=dict)
    """What it ran on when it first worked: image id and its recipe, Python, kind, Vibe version,
    the image's packages, and the key of its own lock."""
    seen: str | None = None
    """When its checks last passed, at least in part; ISO 8601, UTC."""
    expires: str | None = None
    """When it expired, if that is why it is in the trash; ISO 8601, UTC."""
    keep: bool = False
    """Whether it never expires."""
    discarded: str | None = None
    """When it went to the trash; ISO 8601, UTC. None while it is in the gallery."""
    remake_of: str = ""
    """Id of the app that this one makes again with another model."""
    remakes: tuple[str, ...] = ()
    """Ids of the apps that make this one again."""
    hosts: tuple[str, ...] = ()
    """Hosts that the person allows it to reach: `api.example.com`, `api.example.com:8443`."""
    secrets: tuple[str, ...] = ()
    """Names of the variables in which it gets secrets of the person's; never their values."""
    version: int = 1
    """Version of this record's format."""
