"""The empty Build page: one line, the idea box, examples that work offline, kind and model."""

from __future__ import annotations

from functools import partial

import streamlit as st
from streamlit.typing import ChatInputValue

from vibe.starters import all_starters
from vibe.ui.asking import ask, show_problem, show_refusal
from vibe.ui.bridge import Bridge
from vibe.ui.words import KIND_ICONS, kind_names, kind_title, plain

MAX_FILE_MB = 64


def draw(studio: Bridge) -> None:
    """Everything there is before the first idea; sets `?app=` once a build has begun."""
    st.space("large")
    st.title("What shall we make?", text_alignment="center", anchor=False)
    st.caption(
        "One sentence is enough. A small program is written, tried in a box without network, "
        "and shown to you here.",
        text_alignment="center",
    )
    show_refusal()
    if fault := studio.engine_fault:
        show_problem(fault.message, fault.fix)
    if again := st.session_state.pop("idea_again", None):
        st.session_state["idea"] = again
    asked: ChatInputValue | None = st.container().chat_input(
        "Describe a small program…",
        key="idea",
        accept_file="multiple",
        max_upload_size=MAX_FILE_MB,
        height=96,
    )
    example = _examples()
    kind = _kind()
    autonomy = _autonomy(studio)
    _model(studio)
    if asked or example:
        words = asked.text if asked else example or ""
        files = {f.name: f.getvalue() for f in asked.files} if asked else {}
        _begin(studio, words, kind, autonomy, files)


def _begin(studio: Bridge, idea: str, kind: str, autonomy: str, files: dict[str, bytes]) -> None:
    """Starts the build and moves to its page; what was typed stays when that is refused."""
    app = ask(partial(studio.create, idea, kind=kind, autonomy=autonomy, data=files))
    if app is None:
        st.session_state["idea_again"] = idea
    else:
        st.query_params["app"] = app.id
    st.rerun()


def _examples() -> str | None:
    """Pills for ideas that need no model; the idea of the one that was pressed."""
    ideas = {starter.title: starter.example for starter in all_starters()}
    if not ideas:
        return None
    st.pills(
        "Try one of these; they work without a model",
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
    chosen = st.segmented_control(
        "Kind",
        names,
        default="auto",
        required=True,
        key="kind",
        format_func=lambda name: (
            "Auto" if name == "auto" else f"{KIND_ICONS.get(name, '')} {plain(kind_title(name))}"
        ),
        help="Auto lets the plan choose what fits the idea.",
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
    name = studio.model_name().rstrip(".")
    limits = studio.settings.limits
    st.caption(
        f":material/smart_toy: {plain(name)} · at most {limits.attempts} attempts, "
        f"{limits.calls} calls and {limits.tokens:,} tokens"
    )
