"""The timeline of an app's builds, drawn alike whether they run now or ran long ago.

It is drawn inside a polling fragment, so a status is never entered with `with`: leaving it would
mark it complete. Text of the model, the user or the program goes through `st.text`, `st.code` or
`plain`, never into Markdown as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from vibe.app import Rung
from vibe.settings import Limits
from vibe.ui.pictures import address
from vibe.ui.story import Attempt, Build, Draft, Story, drafts, language
from vibe.ui.words import (
    clean,
    count,
    duration,
    end_in_words,
    moment,
    money,
    plain,
    short,
    weight,
)

State = Literal["running", "complete", "error"]

STEP_ICONS = {"complete": ":material/check_circle:", "error": ":material/error:"}

WAYS = {"edited": "By hand", "repair": "Repair", "afresh": "Another approach"}
"""What a build is called that was not asked for in words."""

LIVE_LINES = 200
"""Lines of the file being written that are shown while it comes."""

RECENT = 2
"""Earlier builds that are listed; those before them are behind one line."""

THUMB = 96
"""Pixels across of a check's picture beside the others."""

Picture = Callable[[str], bytes | None]
"""A check's picture by its name; None when it is no longer kept."""


def draw(
    story: Story, *, building: bool, ending: bool = True, picture: Picture | None = None
) -> None:
    """Earlier builds folded, the last one open, with the pictures of its checks; without `ending`
    the page says how it ended."""
    earlier = list(enumerate(story.builds[:-1]))
    lines = st.container(gap="xsmall")
    before = earlier[:-RECENT] if len(earlier) > RECENT + 1 else []
    if before:
        title = count(len(before), "earlier build")
        part = lines.expander(title, type="compact", key="earlier", on_change="rerun")
        for number, build in before if part.open else ():
            _draw_earlier(part, number, build)
    for number, build in earlier[len(before) :]:
        _draw_earlier(lines, number, build)
    if story.build:
        _draw_build(
            st.container(),
            story.build,
            running=building and story.build.finished is None,
            ending=ending,
            picture=picture,
        )


def _draw_earlier(place: DeltaGenerator, number: int, build: Build) -> None:
    """One line that opens; what nobody looks at costs nothing, however many there were."""
    label = end_in_words(build.verdict, build.finished)
    title = f"r{build.revision} · {plain(short(build.text, 60))} · {label}"
    part = place.expander(title, type="compact", key=f"build-{number}", on_change="rerun")
    if part.open:
        _draw_build(part, build, running=False)


def spent(build: Build, *, limits: Limits | None = None) -> str:
    """Elapsed time, attempts, tokens and money, in one line; with `limits`, while it is being
    built, each beside what it may take in all."""
    end = (
        datetime.now(UTC) if limits and not build.finished else moment(build.latest or build.began)
    )
    if build.finished:
        end = moment(build.finished.at)
    elapsed = duration((end - moment(build.began)).total_seconds())
    if limits is None:
        parts = [elapsed]
        if build.attempts:
            parts.append(count(len(build.attempts), "attempt"))
        if build.tokens:
            parts.append(count(build.tokens, "token"))
        if build.money:
            parts.append(f"{money(build.money)} spent")
        return " · ".join(parts)
    parts = [f"{elapsed} of {duration(limits.seconds)}"]
    if build.attempts:
        parts.append(f"attempt {len(build.attempts)} of {limits.attempts}")
    if build.tokens:
        parts.append(f"{build.tokens:,} of {limits.tokens:,} tokens")
    if limits.money is not None:
        parts.append(f"{money(build.money)} of {money(limits.money)} spent")
    elif build.money:
        parts.append(f"{money(build.money)} spent")
    return " · ".join(parts)


def _draw_build(
    place: DeltaGenerator,
    build: Build,
    *,
    running: bool,
    ending: bool = True,
    picture: Picture | None = None,
) -> None:
    request = place.container(border=True)
    what = WAYS.get(build.way, "Idea" if build.revision == 1 else "Change")
    request.caption(what if build.revision == 1 else f"{what} · r{build.revision}")
    request.text(build.text)
    if build.report:
        told = request.expander("What the model is told with it", type="compact")
        told.code(clean(build.report), language=None, wrap_lines=True)
    steps = place.container(gap=None)
    if build.plan or build.planning or (build.stage and build.way != "edited"):
        _draw_plan(steps, build, running=running and not build.attempts)
    for attempt in build.attempts:
        last = attempt is build.attempts[-1]
        _draw_writing(steps, attempt, running=running and last)
        if attempt.rungs or attempt.fixes or attempt.stages:
            _draw_checking(steps, attempt, running=running and last, picture=picture)
    if build.again:
        _draw_again(steps, build.again, picture)
    for text in build.notices:
        place.caption(f":material/info: {plain(text)}")
    _draw_end(place, build, ending)


def _step(place: DeltaGenerator, label: str, state: State, *, expanded: bool = False) -> Any:
    """One step; a label says in words what its icon shows. Only the running one is a status:
    Streamlit waits 50 ms after each of those, and an app with many attempts has many steps."""
    if state == "running":
        return place.status(f":shimmer[{label}]", state=state, type="step", expanded=expanded)
    return place.expander(label, icon=STEP_ICONS[state], type="step", expanded=expanded)


def _draw_plan(place: DeltaGenerator, build: Build, *, running: bool) -> None:
    title = plain(str(build.plan.get("title", "")))
    done = "Plan" + (f": {title}" if title else "")
    if not build.plan and not running:
        done = "No plan was made"
    state: State = "running" if running and not build.plan else "complete"
    if not build.plan and not running:
        state = "error"
    reading = build.stage is not None and build.stage.name == "data"
    doing = "Reading what you attached" if reading else "Planning"
    step = _step(place, doing if state == "running" else done, state, expanded=running)
    if not build.plan:
        text = build.planning[-1].text if build.planning else ""
        step.code(clean(text)[-2000:] or "Waiting for the model…", language=None, wrap_lines=True)
        return
    if summary := build.plan.get("summary"):
        step.text(str(summary))
    for check in _checks(build.plan):
        step.markdown(f":material/radio_button_unchecked: {plain(check)}")
    if packages := build.plan.get("packages"):
        step.caption(plain(f"Packages: {', '.join(map(str, packages))}"))


def _checks(plan: dict[str, Any]) -> list[str]:
    checks = plan.get("checks")
    if not isinstance(checks, list):
        return []
    return [str(c.get("name", "")) if isinstance(c, dict) else str(c) for c in checks]


def _draw_writing(place: DeltaGenerator, attempt: Attempt, *, running: bool) -> None:
    reply = attempt.reply
    files = drafts(reply) if attempt.writing or not attempt.files else []
    what = "Write the code" if attempt.number == 1 else f"Repair · attempt {attempt.number}"
    if not attempt.replies and attempt.files:
        what = "Your code"
    coming = running and not attempt.files and not attempt.rungs
    if coming:
        name = files[-1].path if files else ""
        label = f"{what} · {plain(name)}" if name else what
        step = _step(place, label, "running", expanded=True)
        _draw_reason(step, attempt)
        _draw_drafts(step, files, reply)
        return
    if not attempt.files and attempt.writing:
        what += ": not finished"
    elif not attempt.files:
        what += ": no usable file" if reply else ": no reply"
    step = _step(place, what, "complete" if attempt.files else "error")
    _draw_reason(step, attempt)
    if attempt.files:
        for path, size in attempt.files.items():
            step.text(f"{path} · {weight(size)}")
    elif reply:
        came = "So much of the reply had come." if attempt.writing else "It had no usable file."
        step.caption(came)
        step.code(clean(reply)[-2000:], language=None, wrap_lines=True, height=200)
    else:
        step.caption("No reply came.")
    for call in attempt.replies:
        if call.ended:
            tokens = count(call.ended.completion_tokens, "token")
            step.caption(plain(f"{call.ended.model} · {duration(call.ended.seconds)} · {tokens}"))


def _draw_reason(step: Any, attempt: Attempt) -> None:
    if attempt.number > 1 and attempt.reason:
        step.text(f"Because: {attempt.reason}")


def _draw_drafts(step: Any, files: list[Draft], reply: str) -> None:
    if not files:
        step.code(clean(reply)[-2000:] or "Waiting for the model…", language=None, wrap_lines=True)
        return
    for file in files[:-1]:
        step.text(f"{file.path} · {count(file.text.count(chr(10)), 'line')}")
    follow = step.toggle("Follow the newest line", value=True, key="follow")
    latest = files[-1]
    lines = latest.text.splitlines()
    window = step.container(height=320, autoscroll=follow, border=False)
    window.code(
        clean("\n".join(lines[-LIVE_LINES:])) or "…",
        language=language(latest.path),
        wrap_lines=True,
    )


def _draw_checking(
    place: DeltaGenerator, attempt: Attempt, *, running: bool, picture: Picture | None
) -> None:
    problem = attempt.problem
    busy = running and attempt.ended is None
    passed = sum(rung.passed for rung in attempt.rungs)
    if busy:
        label = plain(attempt.stages[-1].sentence) if attempt.stages else "Checking"
    elif problem:
        label = f"Didn't pass: {plain(short(problem.sentence, 120))}"
    elif attempt.ended is None:
        label = f"Not checked to the end ({passed} passed)"
    else:
        label = f"Checked: {passed} of {len(attempt.rungs)} passed"
    state: State = "running" if busy else "error" if problem or not attempt.ended else "complete"
    step = _step(place, label, state, expanded=busy)
    if attempt.engine:
        step.caption(plain(f"In a box without network ({attempt.engine})"))
    for sentence in attempt.fixes:
        step.markdown(f":material/build: {plain(f'Fixed without the model: {sentence}')}")
    rungs = step.container(gap="xsmall")
    for rung in attempt.rungs:
        _draw_rung(rungs, rung)
    if picture is not None:
        _draw_thumbs(step, attempt.rungs[attempt.examined :], picture)
    for text in attempt.notices:
        step.caption(f":material/info: {plain(text)}")
    if attempt.report and problem:
        step.expander("What the model is told", type="compact").code(
            clean(attempt.report), language=None, wrap_lines=True
        )
    if not (attempt.engine or attempt.fixes or attempt.rungs):
        step.caption("Nothing was checked yet.")


def _draw_again(place: DeltaGenerator, again: Attempt, picture: Picture | None) -> None:
    passed = sum(rung.passed for rung in again.rungs)
    label = f"Checked again: {passed} of {len(again.rungs)} passed"
    step = _step(place, label, "error" if again.problem else "complete")
    rungs = step.container(gap="xsmall")
    for rung in again.rungs:
        _draw_rung(rungs, rung)
    if picture is not None:
        _draw_thumbs(step, again.rungs, picture)


def _draw_rung(step: Any, rung: Rung) -> None:
    mark = ":green[:material/check:]" if rung.passed else ":red[:material/close:]"
    word = "" if rung.passed else "Failed: "
    step.markdown(f"{mark} {word}{plain(rung.sentence)}")
    if not rung.evidence:
        return
    if rung.passed:
        step.expander("Evidence", type="compact").code(
            clean(rung.evidence), language=None, wrap_lines=True
        )
    else:
        step.code(clean(rung.evidence)[-4000:], language=None, wrap_lines=True, height=220)


def _draw_thumbs(step: Any, rungs: Sequence[Rung], picture: Picture) -> None:
    """How the page looked at the end of each check; the Checks view has them large."""
    looks = [(rung.sentence, rung.pictures[0]) for rung in rungs if rung.pictures]
    seen = [(sentence, content) for sentence, name in looks if (content := picture(name))]
    if seen:
        row = step.container(horizontal=True, gap="small")
        for sentence, content in seen:
            row.image(address(content), width=THUMB, alt=short(f"The page at “{sentence}”", 200))


def _draw_end(place: DeltaGenerator, build: Build, ending: bool) -> None:
    end = place.container(gap="xsmall")
    if ending:
        verdict = [build.verdict.sentence] if build.verdict else []
        finished = [build.finished.sentence, build.finished.fix] if build.finished else []
        if build.checked:  # the verdict of today stands for the one before
            verdict, finished = [build.checked.detail.partition(": ")[2]], []
        for sentence in dict.fromkeys(filter(None, verdict + finished)):
            end.text(sentence)
    if build.verdict and not build.checked:
        _draw_seen(end, build.verdict.verified, build.verdict.unverified)


def _draw_seen(place: DeltaGenerator, verified: Sequence[str], unverified: Sequence[str]) -> None:
    if verified:
        seen = place.expander(f"What was seen ({len(verified)})", type="compact")
        seen.text("\n".join(f"✓ {phrase}" for phrase in verified))
    for phrase in unverified:
        place.caption(f":material/help: Not checked: {plain(phrase)}")
