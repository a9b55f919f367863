"""Asks the studio for something and keeps what went wrong until the page is drawn again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from vibe.errors import VibeError
from vibe.ui.words import plain

T = TypeVar("T")
_SAID = "said"


def ask(action: Callable[[], T]) -> T | None:
    """The action's result, or None when Vibe refused; `show_refusal` then says why."""
    try:
        return action()
    except VibeError as error:
        st.session_state[_SAID] = (error.message, error.fix)
        return None


def show_refusal() -> None:
    """Draws what the last action was refused for, once."""
    if said := st.session_state.pop(_SAID, None):
        show_problem(*said)


def show_problem(message: str, fix: str = "") -> None:
    """One sentence about what is wrong, then what to do about it."""
    st.error(plain(fix) or plain(message), title=plain(message) if fix else None)


def connect_link() -> None:
    """The way to where a model is connected."""
    st.page_link(
        "screens/settings.py",
        label="Connect a model",
        icon=":material/tune:",
        query_params={"part": "Models"},
    )
