"""What the Settings page shows: the model in use, the boxes that run, the doctor's findings."""

from __future__ import annotations

import asyncio
import re
from functools import partial

import streamlit as st

from vibe.doctor import Finding, examine
from vibe.settings import Settings
from vibe.ui.asking import ask, show_refusal
from vibe.ui.bridge import Bridge
from vibe.ui.words import ICONS, Colour, age, plain

STATES: dict[str, tuple[str, Colour]] = {
    "ok": ("Fine", "green"),
    "warning": ("Works, with less", "orange"),
    "problem": ("Needs mending", "red"),
}


def model(bridge: Bridge) -> None:
    """The model a build would use now, and how to choose another."""
    st.subheader("Model", anchor=False)
    st.text(bridge.model_name())
    st.caption(
        "Vibe uses OPENAI_BASE_URL and OPENAI_API_KEY when they are set, then a model server on "
        "this machine, then its starters, which need no model. Choose the model with this, then "
        "start Vibe again:"
    )
    st.code("export VIBE_MODEL=<name>", language="sh")


def boxes(bridge: Bridge) -> None:
    """The previews that run now, each with Stop."""
    st.subheader("Running boxes", anchor=False)
    show_refusal()
    lives = bridge.lives()
    if not lives:
        st.caption("None. A box starts when an app is built or run, and is gone when it is closed.")
    for live in lives:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.page_link(
                "screens/build.py", label=plain(live.app_id), query_params={"app": live.app_id}
            )
            st.caption(plain(f"{live.box.engine} · started {age(live.started)}"), width="content")
            st.space("stretch")
            if st.button("Stop", icon=":material/stop_circle:", key=f"stop-{live.app_id}"):
                ask(partial(bridge.close_preview, live.app_id))
                st.rerun()


def findings(bridge: Bridge) -> None:
    """The doctor's findings: how each part is, in words, with what to do and a command to copy."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("This machine", anchor=False, width="content")
        if st.button("Look again", icon=":material/refresh:", type="tertiary", key="look_again"):
            _examined.clear()
    for finding in _examined(bridge.settings):
        word, colour = STATES[finding.state]
        with st.container(border=True, gap="small"):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.badge(word, color=colour, icon=ICONS[colour])
                st.markdown(f"**{plain(finding.name.capitalize())}**", width="content")
                st.text(finding.sentence, width="content")
            if finding.fix and finding.state != "ok":
                st.text(finding.fix)
                for command in re.findall(r"`([^`\n]+)`", finding.fix):
                    st.code(command, language="sh")


@st.cache_data(ttl=60, show_spinner="Looking at this machine…")
def _examined(_settings: Settings) -> list[Finding]:
    return asyncio.run(examine(_settings))
