"""What went wrong while the app was used, and the button that has it repaired."""

from __future__ import annotations

from functools import partial

import streamlit as st

from vibe.app import App
from vibe.ui.asking import ask
from vibe.ui.bridge import Bridge
from vibe.ui.following import preview_token
from vibe.ui.words import clean, plain

LOOK_S = 2.0
"""How often a running app is asked after; an error is seen soon enough then."""


def draw(bridge: Bridge, app: App, building: bool) -> None:
    """Looks by itself while a preview runs. Drawn before it, so that no error reloads it."""
    every = LOOK_S if not building and bridge.live(app.id) else None
    with st.container():
        draw_troubles = st.fragment(_draw, run_every=every, key="troubles")
        draw_troubles(bridge, app.id, building, preview_token(bridge, app.id))


def _draw(bridge: Bridge, app_id: str, building: bool, previewed: str) -> None:
    if not building and (bridge.building(app_id) or preview_token(bridge, app_id) != previewed):
        st.rerun(scope="app")  # somebody changed, ran or closed it in another tab
    for trouble in bridge.troubles(app_id)[:1]:
        with st.container(border=True, gap="small"):
            times = f", {trouble.times} times" if trouble.times > 1 else ""
            st.markdown(
                f":red[:material/error:] The app ran into an error{times}: "
                f"{plain(trouble.sentence)}"
            )
            if trouble.evidence:
                with st.expander("What it printed", type="compact"):
                    st.code(clean(trouble.evidence)[-4000:], language=None, wrap_lines=True)
            with st.container(horizontal=True):
                if st.button(
                    "Repair it",
                    icon=":material/build:",
                    key="repair",
                    disabled=building,
                    help="The model gets the error and makes a new revision.",
                ):
                    ask(partial(bridge.repair, app_id, trouble.key))
                    st.rerun(scope="app")
                if st.button("Dismiss", icon=":material/close:", key="dismiss"):
                    ask(partial(bridge.forget_trouble, app_id, trouble.key))
                    st.rerun(scope="app")
        st.space("small")
