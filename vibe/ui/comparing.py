"""The Compare view: an app beside the ones that make it again with other models."""

from __future__ import annotations

from functools import partial

import streamlit as st

from vibe.app import App, Spent
from vibe.errors import UserError
from vibe.ui.asking import ask
from vibe.ui.bridge import Bridge
from vibe.ui.pictures import address
from vibe.ui.words import ICONS, count, duration, made_by, money, plain, short, state

TICK_S = 1.0


def draw(bridge: Bridge, app: App, building: bool) -> None:
    """This app and the others, side by side; looks by itself while one of them is being built."""
    going = any(other.status == "building" for other in _family(bridge, app))
    st.fragment(_draw, run_every=TICK_S if going else None, key="compare")(bridge, app.id, going)


def _family(bridge: Bridge, app: App) -> list[App]:
    """The first app and its remakes that are in the gallery, as they are now."""
    first = app
    if app.remake_of:
        try:
            first = bridge.archive.load(app.remake_of)
        except UserError:
            return [app]
    found = [first]
    for app_id in first.remakes:
        try:
            found.append(bridge.archive.load(app_id))
        except UserError:  # thrown away
            continue
    return found if any(other.id == app.id for other in found) else [*found, app]


def _draw(bridge: Bridge, app_id: str, going: bool) -> None:
    family = _family(bridge, bridge.archive.load(app_id))
    if going and not any(other.status == "building" for other in family):
        st.rerun(scope="app")
    if len(family) < 2:
        st.text("The other one was thrown away; the trash in the gallery still has it.")
        return
    for row in range(0, len(family), 2):
        for place, other in zip(st.columns(2, gap="medium"), family[row : row + 2], strict=False):
            with place, st.container(border=True, gap="small"):
                _one(bridge, other, family, other.id == app_id)


def _one(bridge: Bridge, app: App, family: list[App], here: bool) -> None:
    word, colour = state(app)
    st.markdown(f"**{plain(made_by(app.model) or 'the usual model')}**")
    if picture := bridge.archive.thumb(app.id):
        st.image(address(picture), width="stretch", alt=f"How {app.title or app.idea} looks")
    st.text(app.title or short(app.idea, 60))
    st.badge(word, color=colour, icon=ICONS[colour])
    if app.verdict:
        st.text(app.verdict.sentence)
    spent = app.spent
    tokens = spent.prompt_tokens + spent.completion_tokens
    facts = {
        "Revisions": str(len(app.revisions)),
        "Attempts": str(sum(revision.attempts for revision in app.revisions)),
        "Time": duration(spent.seconds),
        "Model": f"{count(spent.calls, 'call')}, {count(tokens, 'token')}",
        "Money": _money(spent),
    }
    st.text("\n".join(f"{name}: {value}" for name, value in facts.items()))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if here:
            st.caption("You are looking at this one.")
        elif st.button("Open", icon=":material/arrow_forward:", key=f"open-{app.id}"):
            st.session_state["go_to"] = (app.id, "preview")
            st.rerun(scope="app")
        if st.button(
            "Keep only this",
            icon=":material/check:",
            key=f"keep-{app.id}",
            disabled=app.status == "building",
            help="Moves the others to the trash, from where they can be brought back.",
        ):
            kept = True
            for other in family:
                if other.id != app.id:
                    kept = ask(partial(bridge.discard, other.id)) is not None and kept
            if kept:
                st.session_state["go_to"] = (app.id, "preview")
            st.rerun(scope="app")


def _money(spent: Spent) -> str:
    if not spent.calls:
        return "nothing yet"
    return money(spent.money) if spent.money is not None else "price not known"
