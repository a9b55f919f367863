"""Undo, another approach, and the same app by another model."""

from __future__ import annotations

from functools import partial

import streamlit as st

from vibe.app import App
from vibe.choice import NO_MODEL
from vibe.ui import changes
from vibe.ui.asking import ask, connect_link
from vibe.ui.bridge import Bridge
from vibe.ui.following import story_of
from vibe.versions import before

OTHER = "Another name…"


def draw(bridge: Bridge, app: App, building: bool) -> None:
    """What can be done to an app that is not being built."""
    if building or not (app.revisions or app.status == "failed"):
        return
    target = before(app)
    with st.container(horizontal=True, gap="small"):
        if target is not None and st.button(
            "Undo",
            icon=":material/undo:",
            key="undo",
            help=f"Goes back to r{target.number}, as a new revision; nothing is lost.",
        ):
            changes.restore(bridge, app, None)
        if _unseen(bridge, app) and st.button(
            "Check again",
            icon=":material/fact_check:",
            key="check_again",
            help="Runs its checks in a box and a browser, without the model.",
        ):
            with st.spinner("Checking it…"):
                ask(partial(bridge.check, app.id))
            st.rerun()
        _repair_edit(bridge, app)
        with st.popover("Another way", icon=":material/alt_route:"):
            if bridge.model_name() == NO_MODEL:
                st.text("A model can write this another way.")
                connect_link()
            else:
                _afresh(bridge, app)
                st.space("xsmall")
                _remake(bridge, app)


def _repair_edit(bridge: Bridge, app: App) -> None:
    """Has a model finish what the person began by hand, when that failed at something."""
    build = story_of(bridge, app.id).build
    failed = build.attempt.problem if build and build.way == "edited" and build.attempt else None
    newest = app.revisions[-1].number if app.revisions else 0
    if not (build and failed and build.revision == newest) or bridge.model_name() == NO_MODEL:
        return
    if st.button(
        "Repair it",
        icon=":material/build:",
        key="repair_edit",
        help="The model gets your code and what it failed at, and makes a new revision.",
    ):
        ask(partial(bridge.repair_edit, app.id, failed))
        st.rerun()


def _unseen(bridge: Bridge, app: App) -> bool:
    """Whether nobody has looked at the app though somebody could now."""
    state = app.verdict.state if app.verdict and app.status == "ready" else ""
    return state == "unverified" and bridge.engine is not None


def _afresh(bridge: Bridge, app: App) -> None:
    st.markdown("**This app, written anew**")
    st.caption("From the same plan, knowing what went wrong before; a new revision.")
    if st.button("Try a different approach", icon=":material/refresh:", key="afresh"):
        ask(partial(bridge.afresh, app.id))
        st.rerun()


def _remake(bridge: Bridge, app: App) -> None:
    st.markdown("**The same idea, by another model**")
    st.caption("A new app, to put beside this one.")
    names = bridge.model_names()
    others = [n for n in names if n != app.model] + [n for n in names if n == app.model]
    name = st.selectbox("Model", [*others, OTHER], key="remake_model") if names else OTHER
    if name == OTHER:
        name = st.text_input("Name of the model", key="remake_name", placeholder="qwen3-coder")
    if st.button("Remake", icon=":material/compare:", key="remake", disabled=not name):
        made = ask(partial(bridge.remake, app.id, model=name or ""))
        if made is not None:
            st.session_state["go_to"] = (made.id, "compare")
        st.rerun()


def arrive() -> None:
    """Goes to the app that the last click made, with the view it asked for. First on the page: a
    widget's value is set before it is drawn."""
    if place := st.session_state.pop("go_to", None):
        st.query_params["app"], st.session_state["view"] = place
        st.rerun()
