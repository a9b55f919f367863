"""The left side of the Build page: follows an app's events and redraws its timeline."""

from __future__ import annotations

from functools import partial

import streamlit as st

from vibe.events import Asked
from vibe.ui import timeline
from vibe.ui.asking import ask
from vibe.ui.bridge import Bridge
from vibe.ui.story import Story
from vibe.ui.words import clean, plain

TICK_S = 0.5


def story_of(bridge: Bridge, app_id: str) -> Story:
    """The session's story of that app, with what has happened since it was last looked at."""
    kept: tuple[str, Story] | None = st.session_state.get("story")
    if kept is None or kept[0] != app_id:
        kept = st.session_state["story"] = (app_id, Story())
    story = kept[1]
    events, story.place = bridge.archive.events_on(app_id, story.place)
    story.take(events)
    return story


def follow(bridge: Bridge, app_id: str, *, building: bool) -> None:
    """Draws the timeline; while the app is building, again every half second until its end."""
    draw = st.fragment(_draw, run_every=TICK_S if building else None, key="timeline")
    draw(bridge, app_id, building, preview_token(bridge, app_id))


def preview_token(bridge: Bridge, app_id: str) -> str:
    """What tells one running preview of the app from the next; empty when there is none."""
    live = bridge.live(app_id)
    return live.token if live else ""


def _draw(bridge: Bridge, app_id: str, building: bool, previewed: str) -> None:
    story = story_of(bridge, app_id)
    build = story.build
    if building and preview_token(bridge, app_id) != previewed:
        st.rerun(scope="app")  # the right side is drawn with the whole page only
    if building and (build is None or build.finished):
        ended = not bridge.building(app_id) and bridge.archive.load(app_id).status != "building"
        if ended:
            st.rerun(scope="app")
    if build is None:
        st.text("Starting…" if building else "Nothing has been built yet.")
        return
    limits = bridge.settings.limits if building else None
    with st.container(gap=None):
        worked = build.finished is not None and build.finished.status == "ready"
        asked = bridge.question(app_id) if building else None
        doing = ":orange[Waiting for you]" if asked else ":shimmer[Building]"
        label = doing if building else "Built in" if worked else "Took"
        spent = timeline.spent(build, limits=limits)
        elapsed, _, rest = spent.partition(" · ") if building else (spent, "", "")
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption(f"{label} {plain(elapsed)}", width="content")
            st.space("stretch")
            if building and st.button("Stop", icon=":material/stop:", shortcut="Esc", key="stop"):
                ask(partial(bridge.stop, app_id))
                st.rerun(scope="app")
        if rest:
            st.caption(plain(rest))
    told = build.finished is not None and build.finished.status in ("failed", "interrupted")
    timeline.draw(
        story,
        building=building,
        ending=not told,
        picture=partial(bridge.archive.picture, app_id),
    )
    if asked:
        _ask(bridge, app_id, asked)


def _ask(bridge: Bridge, app_id: str, question: Asked) -> None:
    """The question a build waits on: its plan, to edit or not, a repair, or a package."""
    with st.form(key=f"question-{question.at}"):
        text = question.text
        if question.what == "plan":
            with st.container(key="plan_by_hand"):
                text = st.text_area("This is the plan. Change what you like.", text, height=320)
            label, other = "Build it", "Not this"
        elif question.what == "package":
            st.text(clean(text))
            label, other = "Install it", "Do without"
        else:
            st.text("It did not work yet. Shall the model repair it?")
            st.code(clean(text), language=None, wrap_lines=True, height=200)
            label, other = "Repair it", "Leave it"
        with st.container(horizontal=True):
            yes = st.form_submit_button(label, type="primary", icon=":material/check:")
            no = st.form_submit_button(other)
    if yes or no:
        ask(partial(bridge.answer, app_id, yes, text))
        st.rerun(scope="app")
