"""The empty Build page: one line, the idea box, examples that work offline, kind and model."""

from __future__ import annotations

import streamlit as st
from streamlit.typing import ChatInputValue

from vibe.app import App
from vibe.choice import NO_MODEL
from vibe.starters import STARTERS, all_starters
from vibe.ui import again
from vibe.ui.again import Wish
from vibe.ui.asking import connect_link, show_problem, show_refusal
from vibe.ui.bridge import Bridge
from vibe.ui.words import KIND_ICONS, count, duration, kind_names, kind_title, plain

MAX_FILE_MB = 64
WORDS = (
    "One sentence is enough. A small program is written, tried in a box without network, "
    "and shown to you here.  \n{}"
)


def draw(studio: Bridge) -> None:
    """Everything there is before the first idea; sets `?app=` once a build has begun."""
    st.space("medium")
    st.title("What shall we make?", text_alignment="center", anchor=False)
    words = st.empty()
    words.caption(
        WORDS.format("Drop files into the box to work with them."), text_alignment="center"
    )
    show_refusal()
    if fault := studio.engine_fault:
        show_problem(fault.message, fault.fix)
        st.page_link("screens/settings.py", label="What to do about it", icon=":material/tune:")
    elif studio.engine is not None and studio.engine.name == "bubblewrap":
        st.caption(
            ":material/gpp_maybe: Reduced isolation: without Docker, apps run with bubblewrap.",
            text_alignment="center",
        )
    if typed := st.session_state.pop("idea_again", None):
        st.session_state["idea"] = typed
    asked: ChatInputValue | None = st.container().chat_input(
        "Describe a small program…",
        key="idea",
        accept_file="multiple",
        max_upload_size=MAX_FILE_MB,
        height=96,
    )
    if asked or st.session_state.get("picked"):
        # Before anything that asks the disk or a model's server, so that it is seen at once; in
        # place of a line that is there, so that nothing below it moves
        words.caption(WORDS.format(":shimmer[Starting…]"), text_alignment="center")
    wish: Wish | None = st.session_state.get("wish")
    chosen = again.offer(studio, again.as_chosen_now(wish)) if wish else None
    example = None if wish else _examples()
    kind = _kind()
    autonomy = _autonomy(studio)
    _model(studio)
    if chosen:
        _go_to(chosen)
    elif example:
        _begin(studio, Wish(example, "auto", autonomy, model=STARTERS))
    elif asked:
        files = {file.name: file.getvalue() for file in asked.files}
        again_asked = wish is not None and wish.idea == asked.text
        now = Wish(asked.text, kind, autonomy, {**(wish.files if wish else {}), **files})
        if not again_asked and asked.text.strip() and studio.archive.similar(asked.text):
            st.session_state["wish"] = now
            st.session_state["idea_again"] = asked.text
            st.rerun()
        _begin(studio, now)


def _begin(studio: Bridge, wish: Wish) -> None:
    """Starts the build and moves to its page; what was typed stays when that is refused."""
    st.session_state.pop("wish", None)
    if app := again.begin(studio, wish):
        _go_to(app)
    st.rerun()


def _go_to(app: App) -> None:
    st.session_state.pop("wish", None)
    st.query_params["app"] = app.id
    st.rerun()


def _examples() -> str | None:
    """Pills for ideas that need no model; the idea of the one that was pressed."""
    ideas = {starter.title: starter.example for starter in all_starters()}
    if not ideas:
        return None
    st.pills(
        "Or try one of these; they need no model and cost nothing",
        list(ideas),
        key="example",
        format_func=plain,
        on_change=_take_example,
    )
    picked = st.session_state.pop("picked", None)
    return ideas.get(picked) if picked else None


def _take_example() -> None:
    """Moves the pressed pill out of its widget, so that it is acted on once."""
    st.session_state["picked"] = st.session_state["example"]
    st.session_state["example"] = None


def _kind() -> str:
    names = ["auto", *kind_names()]
    chosen = st.pills(
        "Kind",
        names,
        default="auto",
        required=True,
        key="kind",
        format_func=lambda name: (
            "Auto" if name == "auto" else f"{KIND_ICONS.get(name, '')} {plain(kind_title(name))}"
        ),
        help="With Auto, the kind of program that fits the idea is chosen for you.",
    )
    return str(chosen or "auto")


AUTONOMY = {
    "ask": ":material/front_hand: Ask me",
    "fix": ":material/build: Repair",
    "free": ":material/bolt: Go further",
}


def _autonomy(studio: Bridge) -> str:
    """How much Vibe does before it asks."""
    chosen = st.segmented_control(
        "When something breaks",
        list(AUTONOMY),
        default=studio.settings.autonomy,
        required=True,
        key="autonomy",
        format_func=AUTONOMY.__getitem__,
        help="Ask me: you see (and may edit) the plan first, and say yes to each repair. "
        "Repair: what breaks is repaired without asking. "
        "Go further: also tries two ways side by side, which costs more.",
    )
    return str(chosen or studio.settings.autonomy)


def _model(studio: Bridge) -> None:
    """The model in use and what one build may cost; without a model, what there is instead."""
    name = studio.model_name()
    if name == NO_MODEL:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption(
                ":material/smart_toy: No model is connected: Vibe makes what its starters can, "
                "like the ideas above.",
                width="content",
            )
            connect_link()
        return
    limits = studio.settings.limits
    money = f", {limits.money:.2f} of money" if limits.money is not None else ""
    st.caption(
        f":material/smart_toy: {plain(name.rstrip('.'))} · one app may take "
        f"{count(limits.attempts, 'attempt')}, {limits.tokens:,} tokens, "
        f"{duration(limits.seconds)}{money}"
    )
