"""What runs and what lies on the disk, with the buttons that stop and remove it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from vibe import disk
from vibe.boxes import RunningBox, running_boxes
from vibe.disk import Removable, Use
from vibe.errors import EngineFault, UserError
from vibe.ui.asking import ask, show_problem
from vibe.ui.bridge import Bridge, studio
from vibe.ui.words import age, count, plain, short, weight

IMAGES = {"python": "runs programs", "browser": "looks at pages"}
PARTS = {
    "apps": ("Apps", "Everything in the gallery.", "builds that ended without a program"),
    "trash": (
        "Trash",
        "Discarded apps, which can still be brought back.",
        "everything in it, for good",
    ),
    "packages": (
        "Packages",
        "What was installed for apps beside what every box has.",
        "what no app of this gallery needs; it can be installed again",
    ),
    "images": (
        "Images",
        "What boxes start from. They share parts, so they take less than this sum.",
        "images of older versions that no app needs",
    ),
}


def boxes(bridge: Bridge) -> None:
    """The boxes of this gallery that run now, with memory, age and Stop."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header("Running boxes", anchor=False, width="content")
        st.button("Look again", icon=":material/refresh:", type="tertiary", key="look_again")
    if waiting := bridge.waiting():
        apps = " · ".join(plain(one.app) for one in waiting)
        st.caption(f":material/hourglass_empty: Waiting for a free box, in this order: {apps}")
    try:
        found = running_boxes(bridge.settings.gallery)
    except EngineFault as fault:
        show_problem(fault.message, fault.fix)
        return
    if not found:
        st.caption("None. A box starts when an app is built or run, and is gone when it is closed.")
        return
    total = sum(box.memory or 0 for box in found)
    verb = "uses" if len(found) == 1 else "use"
    st.caption(f"{count(len(found), 'box').replace('boxs', 'boxes')} {verb} {weight(total)}")
    for box in found:
        _box(bridge, box)


def _box(bridge: Bridge, box: RunningBox) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        if box.app:
            label = plain(_called(bridge, box.app))
            st.page_link("screens/build.py", label=label, query_params={"app": box.app})
        else:
            st.text("Ready for the next app", width="content")
        memory = "memory unknown"
        if box.memory is not None:
            memory = f"{weight(box.memory)} of {weight(box.most or 0)}"
        what = IMAGES.get(box.image, box.image)
        st.caption(plain(f"{what} · {memory} · started {age(box.started)}"), width="content")
        st.space("stretch")
        name = box.app or box.id[:8]
        if st.button(
            "Stop", icon=":material/stop_circle:", key=f"stop-{box.id}", help=f"Stop {plain(name)}"
        ):
            ask(partial(bridge.stop_box, box))
            st.rerun()


def _called(bridge: Bridge, app_id: str) -> str:
    """An app's title; its id when it is no longer there."""
    try:
        app = bridge.archive.load(app_id)
    except UserError:
        return app_id
    return app.title or short(app.idea, 60)


def disk_use(bridge: Bridge) -> None:
    """What each part takes, and a button that first says what would go."""
    if lines := st.session_state.pop("cleaned", None):
        st.text("Done:")
        st.code("\n".join(lines), language=None, wrap_lines=True)
    with st.spinner("Adding up…"):
        uses = disk.used(bridge.archive)
    for use in uses:
        _use(use)


def _use(use: Use) -> None:
    title, words, what_goes = PARTS[use.part]
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{title}**", width="content")
            st.text(use.problem or weight(use.size), width="content")
            st.caption(
                count(use.count, use.part[:-1] if use.part != "trash" else "app")
                if use.count
                else "",
                width="content",
            )
            st.space("stretch")
            if st.button(
                f"Clean up {title.lower()}",
                icon=":material/mop:",
                key=f"clean-{use.part}",
                disabled=not use.removable,
            ):
                _confirm(use.part, use.removable)
        freed = sum(thing.size for thing in use.removable)
        could = f"now {len(use.removable):,} ({weight(freed)})" if use.removable else "none now"
        st.caption(f"{words} A clean-up takes {what_goes}: {could}.")


@st.dialog("Clean up", icon=":material/mop:")
def _confirm(part: str, things: Sequence[Removable]) -> None:
    """Says what would go, and does it when that is pressed."""
    st.text(
        "These go to the trash:"
        if part == "apps"
        else "These will be deleted, which can't be undone:"
    )
    lines = [f"{thing.words} ({weight(thing.size)})" for thing in things]
    st.code("\n".join(lines), language=None, wrap_lines=True, height=min(400, 60 + 24 * len(lines)))
    word = "Move to the trash" if part == "apps" else "Delete for good"
    if st.button(word, icon=":material/delete:", key="clean"):
        ids = [thing.id for thing in things]
        st.session_state["cleaned"] = ask(partial(disk.clean, studio().archive, part, ids))
        st.rerun()
