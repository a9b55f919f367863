"""The trash: what was discarded or has expired, the way back and the way out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil

import streamlit as st

from vibe.app import App
from vibe.ui.asking import ask
from vibe.ui.bridge import Bridge
from vibe.ui.words import age, count, days_in_words, moment, short

ROWS = 50


def draw(bridge: Bridge, apps: list[App]) -> None:
    """The rows, and what can be done with all of them."""
    if apps:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{count(len(apps), 'app')} in the trash", width="content")
            st.space("stretch")
            if st.button("Empty the trash", icon=":material/delete_sweep:", key="empty"):
                purge(bridge, apps)
    for app in apps[:ROWS]:
        _row(bridge, app)
    if len(apps) > ROWS:
        st.caption(f"The latest {ROWS} are shown. Search finds the others.")


def _row(bridge: Bridge, app: App) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.text(app.title or short(app.idea, 60), width="content")
        st.caption(_why(bridge, app), width="content")
        st.space("stretch")
        if st.button("Restore", icon=":material/restore_from_trash:", key=f"restore-{app.id}"):
            ask(partial(bridge.restore, app.id))
            st.session_state.pop("discarded", None)
            st.rerun()
        if st.button("Delete for good", icon=":material/delete_forever:", key=f"purge-{app.id}"):
            purge(bridge, [app])


def _why(bridge: Bridge, app: App) -> str:
    """How and when it came here, and when it will be deleted."""
    when = app.discarded or app.used
    why = f"unused for {bridge.settings.expiry_days} days, expired" if app.expires else "discarded"
    words = f"{why} {age(when)}"
    if when and (days := bridge.settings.trash_days):
        left = ceil((moment(when) + timedelta(days=days) - datetime.now(UTC)) / timedelta(days=1))
        words += f" · deleted {days_in_words(max(0, left))}"
    return words


@st.dialog("Delete for good", icon=":material/delete_forever:")
def purge(bridge: Bridge, apps: list[App]) -> None:
    """The one step that can't be undone, so it asks."""
    what = f"'{_name(apps[0])}'" if len(apps) == 1 else f"{count(len(apps), 'app')}"
    st.text(f"{what} with code, data and transcript will be gone.")
    if st.button("Delete for good", icon=":material/delete_forever:", key="purge"):
        lines: list[str] = []
        for app in apps:
            receipt = ask(partial(bridge.purge, app.id))
            lines += [f"{_name(app)}:", *receipt, ""] if receipt is not None else []
        if lines:
            st.session_state.pop("discarded", None)
            st.session_state["receipt"] = (what, lines)
        st.rerun()


@st.dialog("Deleted", icon=":material/receipt:")
def show_receipt(what: str, lines: list[str]) -> None:
    """What is gone, a line for each thing."""
    text = "\n".join(lines).strip()
    st.text(f"{what} is gone:" if what[:1] == "'" else f"{what} are gone:")
    st.code(text, language=None, wrap_lines=True, height=360 if len(lines) > 16 else "content")
    st.download_button("Save the receipt", text, file_name="receipt.txt", key="save_receipt",
                       icon=":material/download:", on_click="ignore")  # fmt: skip


def _name(app: App) -> str:
    return app.title or short(app.idea, 60) or app.id
