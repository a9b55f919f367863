"""Offers what was made before when an idea is much like it, before anything is spent on it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

import streamlit as st

from vibe.app import App
from vibe.ui.asking import ask
from vibe.ui.bridge import Bridge
from vibe.ui.cards import picture
from vibe.ui.words import ICONS, age, plain, short, state


@dataclass(frozen=True, slots=True)
class Wish:
    """What was typed and chosen, while it waits for a decision."""

    idea: str
    kind: str
    autonomy: str
    files: dict[str, bytes] = field(default_factory=dict)
    model: str | None = None


def offer(bridge: Bridge, wish: Wish) -> App | None:
    """Draws what there is that is like the idea; the app that was begun or chosen, None while
    nothing is decided. The idea stays in its box, where another Enter makes a new app."""
    chosen: App | None = None
    with st.container(border=True):
        st.markdown("**You made something like this before**")
        st.caption("Nothing is spent until you choose. Enter in the box makes a new one.")
        if wish.files:
            st.caption(f":material/attach_file: {plain(', '.join(sorted(wish.files)))}")
        for app in bridge.archive.similar(wish.idea):
            chosen = _card(bridge, wish, app) or chosen
        with st.container(horizontal=True):
            new = st.button("Make a new one", type="primary", icon=":material/add:", key="make_new")
            back = st.button("Neither", type="tertiary", icon=":material/close:", key="neither")
    if new:
        chosen = begin(bridge, wish)
    if back or (new and chosen is None):
        del st.session_state["wish"]
        st.rerun()
    return chosen


def as_chosen_now(wish: Wish) -> Wish:
    """The wish with the kind and the autonomy that are chosen on the page since it was typed."""
    chosen = st.session_state
    kind, autonomy = chosen.get("kind"), chosen.get("autonomy")
    return replace(wish, kind=kind or wish.kind, autonomy=autonomy or wish.autonomy)


def begin(bridge: Bridge, wish: Wish) -> App | None:
    """Starts the build; None when that is refused, and then the idea goes back into its box."""
    app = ask(
        partial(
            bridge.create,
            wish.idea,
            kind=wish.kind,
            autonomy=wish.autonomy,
            model=wish.model,
            data=wish.files,
        )
    )
    if app is None and wish.idea.strip():
        st.session_state["idea_again"] = wish.idea
    return app


def _card(bridge: Bridge, wish: Wish, app: App) -> App | None:
    """One app that is like the idea, with what can be done; the one to go on with."""
    title = app.title or short(app.idea, 60)
    word, colour = state(app)
    with st.container(border=True, key=f"alike-{app.id}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.image(picture(bridge, app), width=120, alt=f"{title}, {word.lower()}")
            with st.container(gap="xsmall", width="stretch"):
                st.markdown(f"**{plain(title)}**")
                with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                    st.badge(word, color=colour, icon=ICONS[colour])
                    st.caption(age(app.used or app.created), width="content")
                st.text(short(app.idea, 120))
        with st.container(horizontal=True):
            run = st.button("Run it", icon=":material/play_arrow:", key=f"run-{app.id}")
            remix = st.button(
                "Remix it",
                icon=":material/call_split:",
                key=f"remix-{app.id}",
                help="Begins a new app from this one's code, changed to what you typed.",
            )
    if run:
        st.session_state["run_at_once"] = app.id
        return app
    if remix:
        return ask(
            partial(bridge.remix, app.id, wish.idea, autonomy=wish.autonomy, data=wish.files)
        )
    return None
