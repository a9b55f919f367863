"""One app on the Build page: timeline on the left, workbench on the right, changes below."""

from __future__ import annotations

from functools import partial

import streamlit as st

from vibe.app import App
from vibe.choice import NO_MODEL
from vibe.ui import network, other_ways, repairing, workbench
from vibe.ui.asking import ask, connect_link, show_refusal
from vibe.ui.bridge import Bridge
from vibe.ui.following import follow, story_of
from vibe.ui.words import ICONS, age, clean, kind_title, made_by, plain, state


def header(bridge: Bridge, app: App) -> None:
    """Title, how it is in words, kind, model, age, and what it may reach."""
    word, colour = state(app)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(plain(app.title or app.idea), anchor=False, width="content")
        st.badge(word, color=colour, icon=ICONS[colour])
        st.space("stretch")
        st.page_link("screens/build.py", label="New app", icon=":material/add:", query_params={})
    made = age(app.created)
    parts = [f"by {made_by(app.model)}" if app.model else "", made]
    if app.kind != "auto":
        parts.insert(0, kind_title(app.kind))
    if app.revisions:
        parts.insert(1, f"r{app.revisions[-1].number}")
    if app.seen and age(app.seen) != made:
        parts.append(f"seen working {age(app.seen)}")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(plain(" · ".join(part for part in parts if part)), width="content")
        network.row(bridge, app)


def discarded(bridge: Bridge, app: App) -> None:
    """What is shown instead of an app that lies in the trash."""
    st.subheader(plain(app.title or app.idea), anchor=False)
    st.text("This app is in the trash.")
    if st.button("Restore", icon=":material/restore_from_trash:", key="restore"):
        ask(partial(bridge.restore, app.id))
        st.rerun()
    st.page_link("screens/gallery.py", label="To the gallery", icon=":material/grid_view:")


def unfinished(bridge: Bridge, app: App) -> None:
    """Why the last build ended without an app, and the way on."""
    if app.status not in ("failed", "stopped", "interrupted"):
        return
    build = story_of(bridge, app.id).build
    ended = build.finished if build else None
    word = "Try again" if app.status == "failed" else "Resume"
    if build and build.way == "edited":
        word = "Run my code again"
    if app.status == "interrupted":
        st.warning("Vibe ended while this was being built. Nothing is lost.", title="Interrupted")
    elif app.status == "failed" and ended:
        problem = build.attempt.problem if build and build.attempt else None
        with st.container(border=True, gap="small"):
            st.text(ended.sentence)
            if ended.fix:
                st.text(ended.fix)
            if not problem and bridge.model_name() == NO_MODEL:
                connect_link()
            if problem:
                with st.expander("Evidence", type="compact"):
                    st.text(problem.sentence)
                    if problem.evidence:
                        st.code(clean(problem.evidence)[-4000:], language=None, wrap_lines=True)
    if st.button(word, icon=":material/replay:", key="resume"):
        ask(partial(bridge.resume, app.id))
        st.rerun()
    st.space("small")


def gone_back(bridge: Bridge, app: App) -> None:
    """Which revision is the newest after Restore or Undo, of which the timeline knows nothing."""
    newest = app.revisions[-1] if app.revisions else None
    build = story_of(bridge, app.id).build
    if not (newest and build and build.finished and build.revision < newest.number):
        return
    if newest.way in ("restored", "undone"):
        words = f"r{newest.number} · {newest.request} · {age(newest.created)}"
        st.caption(f":material/history: {plain(words)}")


def change_box(bridge: Bridge, app: App, building: bool) -> None:
    """The follow-up request; a new revision."""
    if not app.revisions and not building:
        return
    if again := st.session_state.pop("change_again", None):
        st.session_state["change"] = again
    words = st.chat_input(
        "Building… Esc stops it" if building else "Ask for a change…",
        key="change",
        disabled=building,
    )
    if words:
        if ask(partial(bridge.change, app.id, words)) is None:
            st.session_state["change_again"] = words
        st.rerun()


def show(bridge: Bridge, app: App) -> None:
    """The whole page of an app that is not in the trash."""
    other_ways.arrive()
    with st.container(key="app"):
        _show(bridge, app)


def _show(bridge: Bridge, app: App) -> None:
    # The record says how a build ended a moment before its transcript does
    building = app.status == "building" or bridge.building(app.id)
    header(bridge, app)
    show_refusal()
    left, right = st.columns([2, 3], gap="medium")
    # What comes first in each column is always there, so that what follows keeps its place; without
    # a gap, since it is mostly empty
    with left.container(gap=None):
        with st.container():
            unfinished(bridge, app)
        with st.container():
            follow(bridge, app.id, building=building)
            gone_back(bridge, app)
            other_ways.draw(bridge, app, building)
            change_box(bridge, app, building)
    with right.container(gap=None):
        workbench.run_at_once(bridge, app)
        repairing.draw(bridge, app, building)
        with st.container():
            workbench.draw(bridge, app, building=building)
