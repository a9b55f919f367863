"""The Checks view of the Build page: what each check of an attempt did, saw and looked like."""

from __future__ import annotations

import streamlit as st

from vibe.app import App, Rung, StepSeen
from vibe.ladder import ADVICE
from vibe.ui.bridge import Bridge
from vibe.ui.following import story_of
from vibe.ui.pictures import address
from vibe.ui.story import Attempt, Story
from vibe.ui.words import clean, count, plain, short

TICK_S = 2.0
"""How often it is drawn anew while the app is being built."""
SHOTS = ("on a desktop", "on a phone")


def draw(bridge: Bridge, app: App, building: bool) -> None:
    """The checks of the newest attempt, or of the one that is chosen."""
    view = st.fragment(_draw, run_every=TICK_S if building else None, key="checks")
    view(bridge, app.id)


def _draw(bridge: Bridge, app_id: str) -> None:
    attempts = _attempts(story_of(bridge, app_id))
    if not attempts:
        st.text("Nothing has been checked yet.")
        return
    labels = list(attempts)
    # Keyed by how many there are, so that a new attempt is shown as soon as it has something
    chosen = st.selectbox(
        "Attempt", labels, index=len(labels) - 1, key=f"attempt {app_id} {len(labels)}"
    )
    attempt = attempts[chosen or labels[-1]]
    rungs = attempt.rungs[attempt.examined :] or attempt.rungs
    checks = [rung for rung in rungs if rung.name in ("check", ADVICE)]
    if checks:
        held = sum(rung.passed for rung in checks if rung.name == "check")
        counted = sum(rung.name == "check" for rung in checks)
        st.text(f"{held} of {count(counted, 'check')} passed.")
    else:
        st.text("None of the plan's checks was tried in this attempt.")
    for rung in checks:
        _draw_check(bridge, app_id, rung)
    for rung in rungs:
        if rung.pictures and rung not in checks:
            _draw_page(bridge, app_id, rung)
    others = [rung for rung in rungs if rung not in checks]
    if others:
        with st.expander(f"What else was looked at ({len(others)})", type="compact"):
            for rung in others:
                st.markdown(f"{_mark(rung.passed)} {plain(rung.sentence)}")


def _attempts(story: Story) -> dict[str, Attempt]:
    """Every attempt of which something was checked, by what people call it, the newest last."""
    found: dict[str, Attempt] = {}
    for build in story.builds:
        for attempt in build.attempts:
            if attempt.rungs:
                name = f"r{build.revision} · attempt {attempt.number}"
                again = sum(label.startswith(name) for label in found)
                found[f"{name} · again" + f" {again}" * (again > 1) if again else name] = attempt
        if build.again:
            found[f"r{build.revision} · checked again"] = build.again
    return found


def _draw_check(bridge: Bridge, app_id: str, rung: Rung) -> None:
    with st.container(border=True):
        hint = " (a hint only)" if rung.name == ADVICE else ""
        st.markdown(f"{_mark(rung.passed)} **{plain(short(rung.sentence, 300))}**{hint}")
        steps, picture = st.columns([3, 2]) if rung.pictures else (st.container(), None)
        with steps, st.container(gap="xsmall"):
            for step in rung.steps:
                _draw_step(step)
            if not rung.steps and rung.evidence:
                st.code(clean(rung.evidence), language=None, wrap_lines=True)
        if picture is not None:
            with picture:
                _draw_picture(bridge, app_id, rung.pictures[0], f"at the end of “{rung.sentence}”")


def _draw_step(step: StepSeen) -> None:
    mark = ":green[:material/check:]" if step.passed else _mark(step.passed)
    with st.container(gap=None):
        st.markdown(f"{mark} {plain(step.step)}")
        if step.seen and step.seen != "done":
            st.caption(plain(f"Seen: {step.seen}"))


def _draw_page(bridge: Bridge, app_id: str, rung: Rung) -> None:
    with st.container(horizontal=True):
        for name, where in zip(rung.pictures, SHOTS, strict=False):
            with st.container(width="content"):
                st.caption(f"The page {where}")
                _draw_picture(bridge, app_id, name, where, width=300 if where == SHOTS[0] else 120)


def _draw_picture(
    bridge: Bridge, app_id: str, name: str, what: str, width: int | None = None
) -> None:
    content = bridge.archive.picture(app_id, name)
    if content is None:
        st.caption("Its picture is no longer kept.")
        return
    alt = short(f"The app's page {what}", 200)
    st.image(address(content), width=width or "stretch", alt=alt)


def _mark(passed: bool | None) -> str:
    """A tick or a cross, and the same in words."""
    if passed is None:
        return ":gray[:material/remove:] Not tried:"
    return ":green[:material/check:] Passed:" if passed else ":red[:material/close:] Failed:"
