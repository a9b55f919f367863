"""What the forms of the Settings page share: values that can't be edited here, and saving."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import streamlit as st

from vibe.settings import from_environment, settings_file
from vibe.ui.asking import ask
from vibe.ui.bridge import Bridge
from vibe.ui.words import plain


def fixed_by(name: str) -> str:
    """Why a setting can't be edited here; empty when it can."""
    variable = from_environment().get(name)
    return f"Set in the environment: {variable}. Change it there." if variable else ""


def save(bridge: Bridge, changes: Mapping[str, Any]) -> None:
    """Writes the changes and draws the page anew; it then says that they are saved, or why not."""

    def write() -> bool:
        bridge.change_settings(changes)
        return True

    if ask(partial(write)):
        st.session_state["saved"] = "Saved. It holds from the next build on."
    st.rerun()


def where_it_is_kept() -> None:
    """The file that the forms write."""
    st.caption(
        f"Kept in {plain(str(settings_file()))}. What the environment gives beats the file and "
        "is not editable here."
    )


def without_secrets(address: str) -> str:
    """A web address without what can be a password in it: user, query and fragment."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "not a web address"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
