"""The form for what a build may use, how much is asked, and how long apps are kept."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import streamlit as st

from vibe.settings import Limits, Settings
from vibe.ui.bridge import Bridge
from vibe.ui.saving import fixed_by, save, where_it_is_kept

BUDGET = {
    "attempts": ("Attempts", "Replies with code, repairs included."),
    "calls": ("Model calls", "The plan's call included."),
    "tokens": ("Tokens", "Asked and answered together."),
    "seconds": ("Seconds for a whole build", "Without the time you take to answer."),
}
TIMES = {
    "start_s": ("Seconds until an app must serve", ""),
    "run_s": ("Seconds for a script's trial run", "Also for each of its checks."),
    "first_token_s": (
        "Seconds a model may be silent",
        "Raise it for a model that is loaded first.",
    ),
    "reply_s": ("Seconds for one model call", ""),
}
AUTONOMY = {"ask": "Ask me first", "fix": "Repair without asking", "free": "Also try two ways"}


def draw(bridge: Bridge) -> None:
    """Both forms; each is saved with its own button."""
    _budget(bridge)
    _keeping(bridge)
    where_it_is_kept()


def _budget(bridge: Bridge) -> None:
    limits = bridge.settings.limits
    with st.form("limits"):
        st.header("What one build may use", anchor=False)
        st.caption("A build ends when the first of these is used up, with its best attempt.")
        chosen = _numbers(limits, BUDGET)
        chosen["money"] = st.number_input(
            "Money",
            min_value=0.0,
            value=limits.money,
            step=0.1,
            format="%.2f",
            placeholder="no limit",
            help="In the currency of the prices. Counts only models that have a price.",
        )
        with st.expander("Patience", type="compact"):
            chosen |= _numbers(limits, TIMES)
        pressed = st.form_submit_button("Save limits", icon=":material/save:")
    if pressed:
        save(bridge, {"limits": _other_than_usual(limits, chosen)})
    if limits != Limits() and st.button("Usual limits again", icon=":material/restart_alt:"):
        save(bridge, {"limits": None})


def _numbers(limits: Limits, names: dict[str, tuple[str, str]]) -> dict[str, Any]:
    chosen = {}
    for name, (label, hint) in names.items():
        value = getattr(limits, name)
        one: int | float = 1 if isinstance(value, int) else 1.0
        chosen[name] = st.number_input(
            label,
            min_value=one,
            value=value,
            step=one,
            format=None if isinstance(value, int) else "%g",
            help=hint or None,
        )
    return chosen


def _other_than_usual(limits: Limits, chosen: dict[str, Any]) -> dict[str, Any] | None:
    """The limits to write down: those that aren't the default; None when all are."""
    usual = Limits()
    values = {limit.name: getattr(limits, limit.name) for limit in fields(Limits)} | chosen
    return {n: value for n, value in values.items() if value != getattr(usual, n)} or None


def _keeping(bridge: Bridge) -> None:
    settings = bridge.settings
    fixed = fixed_by("autonomy")
    with st.form("keeping"):
        st.header("Habits", anchor=False)
        autonomy = st.selectbox(
            "When something breaks",
            list(AUTONOMY),
            index=list(AUTONOMY).index(settings.autonomy),
            format_func=AUTONOMY.__getitem__,
            disabled=bool(fixed),
            help=fixed or "The Build page begins with this; it can be changed for each app.",
        )
        expiry = st.number_input(
            "Days until an unused app goes to the trash",
            min_value=0,
            value=settings.expiry_days,
            step=1,
            help="Counted from its last use; apps you keep stay. 0: never.",
        )
        trash = st.number_input(
            "Days that a discarded app can be brought back",
            min_value=0,
            value=settings.trash_days,
            step=1,
            help="Then it is deleted for good. 0: only you empty the trash.",
        )
        idle = st.number_input(
            "Minutes until an open app that nobody uses is closed",
            min_value=0,
            value=settings.idle_minutes,
            step=1,
            help="Run it again whenever you like. 0: never.",
        )
        warm = st.number_input(
            "Boxes that stand ready",
            min_value=0,
            value=settings.warm_boxes,
            step=1,
            help="Apps open sooner with them. Each takes about 260 MB of memory that nothing else "
            "needs. 0: none. Counts from the next start of Vibe.",
        )
        pressed = st.form_submit_button("Save habits", icon=":material/save:")
    if pressed:
        wanted = {
            "autonomy": autonomy,
            "expiry_days": expiry,
            "trash_days": trash,
            "idle_minutes": idle,
            "warm_boxes": warm,
        }
        changes = {n: _or_usual(n, value) for n, value in wanted.items() if not fixed_by(n)}
        save(bridge, changes)


def _or_usual(name: str, value: Any) -> Any:
    """None for a default: it need not be written down."""
    usual = next(setting.default for setting in fields(Settings) if setting.name == name)
    return None if value == usual else value
