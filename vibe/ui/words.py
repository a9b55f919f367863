"""What the screens say to people: text made safe to show, ages, durations, sizes and states."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Literal

from vibe.app import KINDS, App
from vibe.events import Finished, VerdictReached
from vibe.kinds import kinds
from vibe.model_trial import Tried

Colour = Literal["green", "orange", "red", "blue", "gray"]

JOINER = "\u2060"
"""Zero-width and without a line break: what keeps apart two characters that together would mean
something to Streamlit even after Markdown's own escapes are resolved."""

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_AGAIN_AFTER_PARSING = re.compile(
    r"""  :(?=[\w+/-]+:)            # emoji and icons by name
        | :(?=//)                 # addresses become links
        | (?<=\bwww)(?=\.)
        | (?<=@)(?=[-\w])         # and so do mail addresses
        | (?<=[-<>~=])(?=[-<>=])  # arrows and signs become other characters
    """,
    re.VERBOSE,
)


def clean(text: str) -> str:
    """What a program printed, without terminal escapes, control characters and text that
    reverses its direction; a carriage return starts the line again, as on a terminal."""
    lines = _ESCAPES.sub("", text).split("\n")
    return _CONTROLS.sub("", "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines))


def plain(text: str) -> str:
    """One line that Streamlit's Markdown shows exactly as `text`: for labels and captions.

    Longer text goes to `st.text` or `st.code`, which interpret nothing."""
    line = " ".join(clean(text).split())
    parted = _AGAIN_AFTER_PARSING.sub(lambda found: found.group() + JOINER, line)
    return _PUNCTUATION.sub(r"\\\1", parted)


def short(text: str, limit: int) -> str:
    """At most `limit` characters of one line, cut at a word where there is one."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    head, _, rest = line[: limit - 1].rpartition(" ")
    return (head if len(head) > limit // 2 else head + " " + rest).strip() + "…"


def age(at: str, now: datetime | None = None) -> str:
    """How long ago an ISO 8601 time was: `just now`, `5 min ago`; empty for a time nobody knows."""
    if not at:
        return ""
    seconds = ((now or datetime.now(UTC)) - moment(at)).total_seconds()
    if seconds < 60:
        return "just now"
    for size, name in ((86400 * 365, "year"), (86400 * 30, "month"), (86400, "day")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return f"{int(seconds // 3600)} h ago" if seconds >= 3600 else f"{int(seconds // 60)} min ago"


def days_in_words(days: int) -> str:
    """When something happens in that many whole days: `today`, `in 1 day`, `in 12 days`."""
    return "today" if days <= 0 else f"in {count(days, 'day')}"


def moment(at: str) -> datetime:
    """The time an event or a record names."""
    return datetime.fromisoformat(at)


def duration(seconds: float) -> str:
    """`8 s`, `1 min 20 s`, `3 min`."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest:02} s" if rest else f"{minutes} min"


def weight(count: int) -> str:
    """A number of bytes: `812 B`, `3.4 kB`, `12 MB`."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def money(amount: float) -> str:
    """A sum in the currency of the prices: `1.20`; small ones keep two digits."""
    if amount == 0 or abs(amount) >= 0.1:
        return f"{amount:,.2f}"
    return f"{amount:.2g}" if abs(amount) >= 0.0001 else f"{amount:.6f}".rstrip("0")


def tried_in_words(tried: Tried) -> str:
    """How one small call to a model went."""
    if not tried.ok:
        return f"{tried.message} {tried.fix}".strip()
    tokens = f"{tried.prompt_tokens:,} tokens asked, {tried.completion_tokens:,} answered"
    about = " (estimated)" if tried.estimated else ""
    paid = f", cost {money(tried.money)}" if tried.money is not None else ""
    return f"{tried.model} answered in {tried.seconds:.1f} s: {tokens}{about}{paid}."


def count(number: int, noun: str) -> str:
    """`1 attempt`, `2 attempts`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def made_by(model: str) -> str:
    """Who wrote an app, as people call it: a model by its name."""
    return "a starter" if model.split(":")[0] in ("starter", "starters") else model


def kind_names() -> list[str]:
    """Every kind there is, the usual ones first."""
    return sorted(kinds(), key=lambda name: KINDS.index(name) if name in KINDS else len(KINDS))


def kind_title(name: str) -> str:
    """What people call a kind; the name itself for one this version doesn't know."""
    found = kinds().get(name)
    return found.title if found else name.capitalize()


KIND_ICONS = {
    "web": ":material/web:",
    "streamlit": ":material/monitoring:",
    "flask": ":material/dns:",
    "fastapi": ":material/api:",
    "slides": ":material/slideshow:",
    "notebook": ":material/summarize:",
    "node": ":material/javascript:",
    "rust": ":material/memory:",
    "script": ":material/terminal:",
}

VERDICTS: dict[str, tuple[str, Colour]] = {
    "works": ("Works", "green"),
    "partly": ("Partly works", "orange"),
    "broken": ("Broken", "red"),
    "unverified": ("Not verified", "gray"),
}

ICONS: dict[Colour, str] = {
    "green": ":material/check_circle:",
    "orange": ":material/warning:",
    "red": ":material/error:",
    "blue": ":material/progress_activity:",
    "gray": ":material/help:",
}


def state(app: App) -> tuple[str, Colour]:
    """How an app is, in words and in a colour that says the same."""
    if app.status == "building":
        return "Building", "blue"
    if app.status == "ready":
        return VERDICTS[app.verdict.state] if app.verdict else ("Ready", "gray")
    if app.status == "failed":
        usable = app.revisions and app.revisions[-1].verdict.state in ("works", "partly")
        return ("Change failed", "orange") if usable else ("Failed", "red")
    return ("Stopped", "gray") if app.status == "stopped" else ("Interrupted", "orange")


def end_in_words(verdict: VerdictReached | None, finished: Finished | None) -> str:
    """How one build ended, in the same words."""
    if finished and finished.status == "ready" and verdict:
        return VERDICTS.get(verdict.state, (verdict.state, "gray"))[0]
    return finished.status.capitalize() if finished else "Not finished"
