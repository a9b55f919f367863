"""The running app on the Build page: in a frame, as wide as a phone, or on the whole page."""

from __future__ import annotations

from functools import partial

import streamlit as st

from vibe.app import App
from vibe.previews import Live
from vibe.ui.asking import ask
from vibe.ui.bridge import Bridge
from vibe.ui.following import story_of

FRAME_HEIGHT = 640
FRAME = """<style>
.st-key-preview iframe { background: #fff; height: max(26rem, calc(100dvh - 16rem)) }
</style>"""
"""As high as the window leaves room for. White is what browsers show behind a page that sets no
background and writes in black: in the dark theme such a page would stand on Vibe's own ground. One
with a dark scheme brings a ground of its own."""
FULL = """<style>
.st-key-app :not(.st-key-preview, .st-key-preview *) { visibility: hidden }
.st-key-preview { visibility: visible; position: fixed; inset: 3.75rem 0 0; padding: 0 1rem;
  width: auto; z-index: 1 }
.st-key-preview iframe { height: calc(100dvh - 8rem) }
@media (width < 640px) { .st-key-preview iframe { height: calc(100dvh - 11.5rem) } }
</style>"""
"""Over the rest of the page, in the place it has there: a frame that is put elsewhere loads anew,
and what was typed into it is lost."""
PHONE = 390
"""Pixels across: what the browser checks look at, too."""


def full_screen() -> bool:
    """Whether the page is given to the preview alone."""
    return bool(st.session_state.get("full_screen"))


def draw(bridge: Bridge, app: App, building: bool) -> None:
    """The app in its frame with what can be done to it, or why there is none."""
    live = bridge.live(app.id)
    if live is None:
        st.session_state["full_screen"] = False
        _not_live(bridge, app, building)
        return
    full = full_screen() and not building
    st.html(FRAME + FULL if full else FRAME)
    embed = "embed=true&" if app.kind == "streamlit" else ""
    with st.container(key="preview", gap=None):
        with st.container(
            gap="xsmall"
        ):  # one thing however much it says: the frame keeps its place
            width = _toolbar(bridge, app, live, building, full)
        st.space("small")
        st.iframe(
            f"{live.url}?{embed}v={live.revision}",
            width=width or "stretch",
            height=FRAME_HEIGHT,
            alt=f"Preview of {app.title or app.idea}",
        )


def _toolbar(bridge: Bridge, app: App, live: Live, building: bool, full: bool) -> int:
    """What can be done to the running app; the width wanted in pixels, 0 for all there is."""
    busy = building or live.early
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.link_button("Open in tab", live.url, icon=":material/open_in_new:")
        if st.button("Restart", icon=":material/restart_alt:", key="restart", disabled=busy):
            with st.spinner("Starting the app…"):
                ask(partial(bridge.run, app.id, fresh=True))
            st.rerun()
        if st.button("Close", icon=":material/stop_circle:", key="close", disabled=busy):
            ask(partial(bridge.close_preview, app.id))
            st.rerun()
        phone = st.toggle("Phone width", key="phone", help=f"{PHONE} pixels across.")
        label = "Leave full screen" if full else "Full screen"
        icon = ":material/fullscreen_exit:" if full else ":material/fullscreen:"
        shortcut = "Esc" if full else None
        if st.button(label, icon=icon, key="full", shortcut=shortcut, disabled=busy):
            st.session_state["full_screen"] = not full
            st.rerun()
    if live.early:
        st.caption("It runs; its checks go on, and nothing you do here reaches them.")
    return PHONE if phone else 0


def _not_live(bridge: Bridge, app: App, building: bool) -> None:
    with st.container(border=True, height=FRAME_HEIGHT // 2, horizontal_alignment="center"):
        st.space("large")
        if building and not app.revisions:
            st.text("The app appears here as soon as it runs.", text_alignment="center")
        elif not app.revisions:
            st.text("There is nothing to show yet.", text_alignment="center")
        else:
            acted = story_of(bridge, app.id).acted
            ended = acted.detail if acted and acted.action == "ended" else ""
            st.text(ended or "The app is not running.", text_alignment="center")
            if st.button("Run", icon=":material/play_arrow:", key="run"):
                with st.spinner("Starting the app…"):
                    ask(partial(bridge.run, app.id))
                st.rerun()
            st.caption(
                "It starts in a new box from the archived code, without the model.",
                text_alignment="center",
            )
