"""The right side of the Build page: Preview (or Run), Code, Changes, Checks, Logs and Data."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial

import streamlit as st

from vibe.app import App
from vibe.kinds import kinds
from vibe.ui import changes, code_view, comparing, data, evidence, parts, preview
from vibe.ui.asking import ask, show_problem
from vibe.ui.bridge import Bridge
from vibe.ui.following import TICK_S, story_of
from vibe.ui.story import Build
from vibe.ui.trial import Trial, trials
from vibe.ui.words import clean, duration

FRAME_HEIGHT = 640


def draw(bridge: Bridge, app: App, *, building: bool) -> None:
    """The view that is chosen; the others cost nothing."""
    script = serves_nothing(app, story_of(bridge, app.id).build)
    views: dict[str, Callable[[Bridge, App, bool], None]] = {
        "preview": _run if script else preview.draw,
        "code": code_view.draw,
        "changes": changes.draw,
        "checks": evidence.draw,
        "logs": _logs,
        "data": data.draw,
    }
    if app.remake_of or app.remakes:
        views["compare"] = comparing.draw
    names = {"preview": "Run" if script else "Preview"}
    chosen = parts.choose("View", {name: names.get(name, name.title()) for name in views}, "view")
    views[chosen](bridge, app, building)


def run_at_once(bridge: Bridge, app: App) -> None:
    """Starts the app when the gallery's Run again brought us here."""
    if st.session_state.pop("run_at_once", None) != app.id:
        return
    if serves_nothing(app):
        trials()[app.id] = Trial(bridge, app.id, [])
        return
    with st.spinner("Starting the app…"):
        ask(partial(bridge.run, app.id))
    st.rerun()


def serves_nothing(app: App, build: Build | None = None) -> bool:
    """Whether the app is a script, which is run rather than previewed. An app whose first build
    has not ended has no kind yet; its plan knows."""
    planned = str(build.plan.get("kind", "")) if build else ""
    kind = kinds().get(app.kind) or kinds().get(planned)
    return kind is not None and not kind.serves


def _run(bridge: Bridge, app: App, building: bool) -> None:
    if not app.revisions:
        st.text("The script can be run here as soon as it is written.")
        return
    with (
        st.form("arguments", border=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        line = st.text_input(
            "Arguments",
            key="arguments_line",
            placeholder="none",
            help="What you would type after the program's name; --help explains it.",
        )
        pressed = st.form_submit_button("Run", icon=":material/play_arrow:")
    if pressed:
        try:
            argv = shlex.split(line or "")
        except ValueError as error:
            show_problem(f"The arguments can't be read: {error}.", "Close every quote.")
        else:
            trials()[app.id] = Trial(bridge, app.id, argv)
    if trial := trials().get(app.id):
        _trial(trial)


def _trial(trial: Trial) -> None:
    draw_trial = st.fragment(_draw_trial, run_every=TICK_S if trial.running else None, key="trial")
    draw_trial(trial, trial.running)


def _draw_trial(trial: Trial, was_running: bool) -> None:
    st.code(shlex.join([*trial.command, *trial.argv]), language=None, wrap_lines=True)
    if trial.running:
        st.caption(":shimmer[Running]")
    elif was_running:
        st.rerun(scope="app")
    if trial.refusal:
        show_problem(trial.refusal.message, trial.refusal.fix)
        return
    if outcome := trial.outcome:
        how = {
            "ok": "ended well",
            "error": f"ended with exit code {outcome.exit_code}",
            "timeout": "ran past its time and was stopped",
            "memory": "needed more memory than it may have",
            "output": "printed more than it may and was stopped",
            "killed": "was stopped",
        }[outcome.how]
        took = duration(outcome.seconds) if outcome.seconds >= 1 else "less than a second"
        st.text(f"It {how} after {took}.")
    st.code(clean(trial.text) or " ", language=None, wrap_lines=True, height=420)


def _logs(bridge: Bridge, app: App, building: bool) -> None:
    moving = building or bridge.live(app.id) is not None
    st.fragment(_draw_logs, run_every=TICK_S if moving else None, key="logs")(bridge, app.id)


def _draw_logs(bridge: Bridge, app_id: str) -> None:
    live = bridge.live(app_id)
    if refused := bridge.refusals(app_id):
        st.caption("What it asked to reach in vain")
        st.code(clean("\n".join(refused)), language=None, wrap_lines=True)
    if live is not None and not live.early:
        st.caption("What the running program printed last")
        _printed(bridge.masked(live.running.printed.tail) or "Nothing yet.")
        return
    build = story_of(bridge, app_id).build
    attempt = build.attempt if build else None
    if attempt is None or not attempt.output:
        st.text("Nothing has been printed.")
        return
    st.caption(f"What the program printed in attempt {attempt.number}")
    _printed("".join(piece.text for piece in attempt.output))


def _printed(text: str) -> None:
    printed = clean(text)
    with st.container(height=FRAME_HEIGHT, autoscroll=True, border=False):
        st.code(printed[-60_000:], language=None, wrap_lines=True)
