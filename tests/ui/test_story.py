"""The transcript folded into what the timeline shows."""

from vibe import events as ev
from vibe.ui.story import OUTPUT_PIECES, Story, drafts

REPLY = "Here it is.\n\n```python path=app.py\nprint('hi')\n```\n\n```css path=s.css\nb{}\n```\n"


def requested(revision: int = 1) -> ev.Requested:
    return ev.Requested(
        revision=revision, text="a tip calculator", kind="web", model="m", autonomy=""
    )


def prompt(role: str = "code") -> ev.PromptSent:
    return ev.PromptSent(role=role, model="m", messages=[{"role": "user", "content": "x"}])


def ended() -> ev.ReplyEnded:
    return ev.ReplyEnded(
        finish="stop",
        model="m",
        prompt_tokens=10,
        completion_tokens=5,
        seconds=1.0,
        seconds_to_first=0.1,
    )


def rung(passed: bool) -> ev.RungDone:
    return ev.RungDone(name="start", passed=passed, sentence="It starts.", evidence="", seconds=0.1)


WHOLE = [
    requested(),
    ev.Stage(name="plan", sentence="Making a plan."),
    prompt("plan"),
    ev.ReplyText(text="title: Tips"),
    ended(),
    ev.PlanMade(plan={"title": "Tips", "checks": []}),
    ev.AttemptStarted(revision=1, attempt=1, reason="the first try"),
    ev.Stage(name="code", sentence="Writing the code."),
    prompt(),
    *(ev.ReplyText(text=letter) for letter in REPLY),
    ended(),
    ev.FilesWritten(files={"app.py": 12}, commit="c1"),
    ev.Stage(name="box", sentence="Starting a box."),
    rung(False),
    ev.AttemptEnded(
        revision=1, attempt=1, runs=False, score=[0, 0, 0], sentence="It doesn't start."
    ),
    ev.RepairAsked(report="It doesn't start."),
    ev.AttemptStarted(revision=1, attempt=2, reason="It doesn't start."),
    prompt("repair"),
    ended(),
    rung(True),
    ev.VerdictReached(state="works", sentence="It works.", verified=[], unverified=[]),
    ev.Finished(status="ready", sentence="It works."),
]


def test_a_build_is_folded_into_plan_attempts_and_verdict() -> None:
    story = Story()
    story.take(WHOLE)
    build = story.build
    assert build
    assert build.plan["title"] == "Tips"
    assert build.planning[0].text == "title: Tips"
    assert [attempt.number for attempt in build.attempts] == [1, 2]
    assert build.attempts[0].reply == REPLY
    assert build.attempts[0].problem
    assert build.attempts[1].problem is None
    assert build.tokens == 45
    assert build.finished


def test_checks_that_are_run_again_stand_beside_the_attempts() -> None:
    story = Story()
    story.take([*WHOLE, rung(False), ev.Acted("checked", "broken: It does not start.")])
    build = story.build
    assert build
    assert [len(attempt.rungs) for attempt in build.attempts] == [1, 1], "those of then"
    assert build.again
    assert build.again.problem
    story.take([rung(True), rung(True)])
    assert build.checked is None, "it goes on"
    story.take([ev.Acted("checked", "works: It works.")])
    assert len(build.again.rungs) == 2
    assert build.checked
    assert build.checked.detail == "works: It works."


def test_taking_events_one_by_one_tells_the_same_story() -> None:
    whole, pieces = Story(), Story()
    whole.take(WHOLE)
    for event in WHOLE:
        pieces.take([event])
        if pieces.build and pieces.build.attempt:
            assert isinstance(pieces.build.attempt.reply, str)
    assert whole.taken == pieces.taken == len(WHOLE)
    assert whole.build
    assert pieces.build
    assert [a.reply for a in whole.build.attempts] == [a.reply for a in pieces.build.attempts]
    assert [r.text for r in whole.build.replies] == [r.text for r in pieces.build.replies]
    assert whole.build == pieces.build


def test_a_change_begins_a_build_of_its_own() -> None:
    story = Story()
    story.take([*WHOLE, ev.Acted(action="rerun"), requested(2)])
    assert [build.revision for build in story.builds] == [1, 2]
    assert story.build
    assert story.build.attempts == []


def test_events_of_a_newer_vibe_and_events_out_of_order_are_survived() -> None:
    story = Story()
    story.take([ev.ReplyText(text="x"), rung(True), requested(), ev.ReplyText(text="x"), ended()])
    story.take([ev.Unknown(line="{}"), rung(True), ev.Output(stream="stdout", text="x")])
    assert story.build
    assert story.build.attempts == []


def test_output_without_end_is_kept_from_its_end() -> None:
    story = Story()
    story.take([requested(), ev.AttemptStarted(revision=1, attempt=1, reason="")])
    story.take(ev.Output(stream="stdout", text=str(n)) for n in range(5 * OUTPUT_PIECES))
    assert story.build
    assert story.build.attempt
    output = story.build.attempt.output
    assert OUTPUT_PIECES <= len(output) <= 2 * OUTPUT_PIECES
    assert output[-1].text == str(5 * OUTPUT_PIECES - 1)


def test_files_are_told_apart_while_the_reply_comes() -> None:
    found = drafts(REPLY)
    assert [(d.path, d.text, d.whole) for d in found] == [
        ("app.py", "print('hi')\n", True),
        ("s.css", "b{}\n", True),
    ]
    cut = REPLY[: REPLY.index("b{}") + 2]
    assert [(d.path, d.whole) for d in drafts(cut)] == [("app.py", True), ("s.css", False)]
    assert drafts(cut)[-1].text == "b{"


def test_no_prefix_of_a_reply_is_too_short_to_draw() -> None:
    for end in range(len(REPLY)):
        drafts(REPLY[:end])


def test_a_fence_inside_a_longer_fence_is_text() -> None:
    reply = "````markdown path=README.md\n```sh\nls\n```\n````\n"
    assert [(d.path, d.text) for d in drafts(reply)] == [("README.md", "```sh\nls\n```\n")]
