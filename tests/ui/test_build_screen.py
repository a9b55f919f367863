"""The Build screen, driven without a browser."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from tests.ui.conftest import made, story, texts, until
from tests.unit.test_pictures import webp
from vibe import events as ev
from vibe.app import Spent
from vibe.starters import STARTERS, all_starters
from vibe.ui.bridge import Bridge
from vibe.ui.words import JOINER, plain

Screen = Callable[..., AppTest]


def steps(page: AppTest) -> list[str]:
    """The labels of the timeline's steps, the running one last."""
    return [step.label for step in (*page.expander, *page.status)]


def images(page: AppTest) -> list:
    """The pictures on the screen."""
    return [image.proto.imgs[0] for image in page.get("image") or page.get("imgs")]


def test_the_empty_screen_offers_starters_and_says_what_is_missing(
    vibe: Bridge, screen: Screen
) -> None:
    page = screen()
    assert page.title[0].value == "What shall we make?"
    pills = page.get_by_key("example")
    assert [o.replace("\\", "").replace(JOINER, "") for o in pills.options] == [
        starter.title for starter in all_starters()
    ]
    assert "There is no engine here" in page.error[0].value + (page.error[0].proto.title or "")
    assert "No model is connected" in texts(page)


def test_an_idea_becomes_an_app_that_is_followed_to_its_end(vibe: Bridge, screen: Screen) -> None:
    page = screen()
    page.chat_input(key="idea").set_value("a page that says hello").run()
    assert not page.exception
    [app] = vibe.archive.list()
    assert page.query_params["app"] == app.id
    assert "Building" in texts(page) or "Starting" in texts(page)
    until(page, lambda p: "index.html" in texts(p))
    until(page, lambda p: vibe.archive.load(app.id).status != "building")
    page.run()
    assert not page.exception
    assert "Stop" not in [button.label for button in page.button]
    assert page.subheader[0].value == plain("Hello :red[page]")


def test_a_second_tab_sees_the_same_build_and_can_stop_it(vibe: Bridge, screen: Screen) -> None:
    app = vibe.create("a page that says hello; take your time")
    first, second = screen(app=app.id), screen(app=app.id)
    assert first.chat_input(key="change").disabled
    until(second, lambda p: any(button.label == "Stop" for button in p.button))
    second.button(key="stop").click().run()
    assert vibe.archive.load(app.id).status == "stopped"
    first.run()
    assert first.button(key="resume").label == "Resume"


def test_an_idea_that_is_refused_is_not_lost(vibe: Bridge, screen: Screen) -> None:
    page = screen()
    idea = "x" * 20_000
    page.chat_input(key="idea").set_value(idea).run()
    assert not page.exception
    assert vibe.archive.list() == []
    assert len(page.error) == 2
    assert page.session_state["idea"] == idea or page.chat_input(key="idea").value


def test_what_an_example_refuses_is_not_tried_again_and_again(vibe: Bridge, screen: Screen) -> None:
    page = screen()
    page.get_by_key("example").set_value(all_starters()[0].title).run()
    assert len(vibe.archive.list()) == 1
    page.query_params.clear()
    page.run()
    assert len(vibe.archive.list()) == 1


def test_a_finished_app_shows_its_story_and_its_code(vibe: Bridge, screen: Screen) -> None:
    app = made(vibe)
    page = screen(app=app.id)
    shown = texts(page)
    assert "It runs to its end." in shown
    assert "1,234 tokens" in shown.replace("\\", "")
    page.get_by_key("view").set_value("code").run()
    assert not page.exception
    assert "print('one')" in [code.value for code in page.code][-1]
    page.get_by_key("view").set_value("logs").run()
    assert page.code[-1].value.strip() == "one"


def test_each_attempts_checks_are_shown_with_steps_and_picture(
    vibe: Bridge, screen: Screen
) -> None:
    app = vibe.archive.create("a page", kind="web", model="m")
    [picture] = vibe.archive.save_pictures(app.id, 1, 2, [webp()])

    def attempt(number: int, *rungs: ev.RungDone) -> list[ev.Event]:
        return [ev.AttemptStarted(revision=1, attempt=number, reason="a try"), *rungs]

    steps = [
        {"step": "Click *Go*", "passed": True, "seen": "done"},
        {"step": "See '5'", "passed": False, "seen": "expected to see '5'; the page says :red[4]"},
        {"step": "Reload the page", "passed": None, "seen": ""},
        "from another hand",
    ]
    gone = ["r1-1-1-00000000.webp"]
    vibe.archive.append(
        app.id,
        [
            ev.Requested(revision=1, text="a page", kind="web", model="m", autonomy="fix"),
            *attempt(1, ev.RungDone("check", True, "Older check", "", 0.1, [], gone)),
            *attempt(2, ev.RungDone("check", False, "Adds: no", "", 0.1, steps, [picture])),
            ev.Finished(status="failed", sentence="It does not add."),
        ],
        sync=True,
    )
    vibe.archive.save(replace(app, status="failed"))
    page = screen(app=app.id)
    [thumb] = images(page)
    assert thumb.alt == "The page at “Adds: no”", "the timeline shows the pictures small"
    page.get_by_key("view").set_value("checks").run()
    assert not page.exception
    shown = texts(page)
    assert "0 of 1 check passed." in shown
    for words in (
        plain("Click *Go*"),
        plain("the page says :red[4]"),
        "Not tried: Reload the page",
    ):
        assert words in shown
    assert "Adds: no" in images(page)[-1].alt
    page.selectbox[0].select("r1 · attempt 1").run()
    assert "Older check" in texts(page)
    assert "Its picture is no longer kept." in texts(page)


def test_two_revisions_are_compared_and_the_first_can_come_back(
    vibe: Bridge, screen: Screen
) -> None:
    app = made(vibe, revisions=2)
    page = screen(app=app.id)
    page.get_by_key("view").set_value("changes").run()
    assert "-print('one')" in page.code[-1].value
    assert "+print('two')" in page.code[-1].value
    assert "main.py: 1 line added, 1 line removed" in texts(page)
    page.button(key="restore-r1").click().run()
    assert not page.exception
    revisions = vibe.archive.load(app.id).revisions
    assert [revision.number for revision in revisions] == [1, 2, 3]
    assert vibe.archive.files(app.id, "r3") == vibe.archive.files(app.id, "r1")
    page.get_by_key("view").set_value("code").run()
    assert ":material/history: r3 · Back to r1" in texts(page), "the timeline tells of it too"


def test_of_many_builds_the_last_ones_are_listed_and_the_others_are_a_click_away(
    vibe: Bridge, screen: Screen
) -> None:
    app = made(vibe)
    for number in range(2, 7):
        vibe.archive.append(app.id, story(number, f"change {number}", "c"), sync=False)
    page = screen(app=app.id)
    earlier = [e.label for e in page.expander if " · " in e.label or "earlier" in e.label]
    assert earlier[:3] == ["3 earlier builds", "r4 · change 4 · Works", "r5 · change 5 · Works"]


def test_what_was_stopped_while_it_was_written_is_not_called_unusable(
    vibe: Bridge, screen: Screen
) -> None:
    app = vibe.archive.create("say hello", kind="script", model="m")
    events = [
        ev.Requested(revision=1, text="say hello", kind="script", model="m", autonomy="fix"),
        ev.AttemptStarted(revision=1, attempt=1, reason="the first try"),
        ev.PromptSent(role="code", model="m", messages=[]),
        ev.ReplyText(text="```python path=main.py\nprint("),
        ev.Finished(status="stopped", sentence="You stopped it."),
    ]
    vibe.archive.append(app.id, events, sync=True)
    vibe.archive.save(replace(app, status="stopped"))
    assert "Write the code: not finished" in steps(screen(app=app.id))


def test_without_a_model_another_way_says_that_it_needs_one(vibe: Bridge, screen: Screen) -> None:
    app = made(vibe)
    page = screen(app=app.id)
    assert "A model can write this another way." in texts(page)
    assert "afresh" not in [button.key for button in page.button]


def test_one_revision_made_in_one_attempt_leaves_nothing_to_compare(
    vibe: Bridge, screen: Screen
) -> None:
    app = made(vibe)
    page = screen(app=app.id)
    page.get_by_key("view").set_value("changes").run()
    assert "Once there are two versions" in texts(page)
    assert not page.selectbox
    assert "Restore" not in [button.label for button in page.button]


def test_code_is_edited_by_hand_and_becomes_a_revision(vibe: Bridge, screen: Screen) -> None:
    app = made(vibe)
    page = screen(app=app.id)
    page.get_by_key("view").set_value("code").run()
    page.get_by_key(f"edit {app.id} r1").set_value(True).run()
    page.text_area[0].set_value("print('mine')\n").run()
    assert "main.py · edited" in [o.replace("\\", "") for o in page.radio[0].options]
    page.button(key="save_and_run").click().run()
    assert not page.exception
    until(page, lambda p: vibe.archive.load(app.id).status != "building")
    last = vibe.archive.load(app.id).revisions[-1]
    assert (last.number, last.way, last.model) == (2, "edited", "you")
    assert vibe.archive.files(app.id, "r2") == {"main.py": b"print('mine')\n"}
    page.run()
    assert "By hand · r2" in texts(page)
    assert "No plan was made" not in steps(page)


def test_an_edit_that_can_t_be_run_is_not_lost(vibe: Bridge, screen: Screen) -> None:
    app = made(vibe)
    page = screen(app=app.id)
    page.get_by_key("view").set_value("code").run()
    page.get_by_key(f"edit {app.id} r1").set_value(True).run()
    page.text_area[0].set_value("print('mine')\n").run()
    vibe.go_back(app.id, 1)  # in another tab
    page.button(key="save_and_run").click().run()
    assert len(vibe.archive.load(app.id).revisions) == 2
    assert "still has edits of r1" in texts(page)
    page.button(key="take_edits").click().run()
    page.get_by_key(f"edit {app.id} r2").set_value(True).run()
    assert page.text_area[0].value == "print('mine')\n"


def test_an_error_while_it_is_used_is_shown_as_text_and_can_be_repaired(
    vibe: Bridge, screen: Screen
) -> None:
    app = made(vibe)
    troubles = vibe._studio.previews.troubles
    troubles.add(app.id, 1, "ValueError: :red[x] <b>", "Traceback *of* the <b>error</b>")
    page = screen(app=app.id)
    assert "Traceback *of* the <b>error</b>" in [code.value for code in page.code]
    assert plain("ValueError: :red[x] <b>") in texts(page)
    page.button(key="repair").click().run()
    assert not page.exception
    asked = [e for e in vibe.archive.events(app.id) if isinstance(e, ev.Requested)][-1]
    assert (asked.way, asked.revision) == ("repair", 2)
    assert "Traceback *of*" in asked.report
    assert vibe.troubles(app.id) == []


def test_an_app_and_its_remake_stand_side_by_side_and_one_is_kept(
    vibe: Bridge, screen: Screen
) -> None:
    one, other = made(vibe), made(vibe, "say hello too")
    vibe.archive.save(replace(one, remakes=(other.id,)))
    spent = Spent(calls=2, prompt_tokens=10)
    vibe.archive.save(replace(other, remake_of=one.id, model="another", spent=spent))
    page = screen(app=other.id)
    page.get_by_key("view").set_value("compare").run()
    shown = texts(page)
    assert "**another**" in shown
    assert "**scripted**" in shown
    assert shown.count("price not known") == 1
    assert shown.count("nothing yet") == 1, "no call, no cost"
    page.button(key=f"keep-{other.id}").click().run()
    assert not page.exception
    assert [app.id for app in vibe.archive.list()] == [other.id]
    assert [app.id for app in vibe.archive.trash()] == [one.id]


def test_a_failed_build_says_why_with_its_evidence_and_can_be_tried_again(
    vibe: Bridge, screen: Screen
) -> None:
    app = vibe.archive.create("a stock ticker", kind="web", model="m")
    vibe.archive.append(
        app.id,
        [
            ev.Requested(revision=1, text=app.idea, kind="web", model="m", autonomy="fix"),
            ev.AttemptStarted(revision=1, attempt=1, reason="the first try"),
            ev.RungDone(
                name="start",
                passed=False,
                sentence="It never opened its port.",
                evidence="Traceback *of* the <b>error</b>",
                seconds=1.0,
            ),
            ev.Finished(status="failed", sentence="It does not start.", fix="Ask for less."),
        ],
        sync=True,
    )
    vibe.archive.save(replace(app, status="failed"))
    page = screen(app=app.id)
    shown = [text.value for text in page.text]
    assert shown.count("It does not start.") == 1
    assert "Ask for less." in shown
    assert "Traceback *of* the <b>error</b>" in [code.value for code in page.code]
    page.button(key="resume").click().run()
    assert not page.exception
    assert vibe.building(app.id)


def test_an_end_that_the_transcript_does_not_tell_yet_is_no_error(
    vibe: Bridge, screen: Screen
) -> None:
    app = vibe.archive.create("say hello", kind="script", model="m")
    asked = ev.Requested(revision=1, text="say hello", kind="script", model="m", autonomy="fix")
    vibe.archive.append(app.id, [asked], sync=True)
    vibe.archive.save(replace(app, status="failed"))
    page = screen(app=app.id)
    assert page.button(key="resume").label == "Try again"


def test_an_interrupted_build_can_be_resumed(vibe: Bridge, screen: Screen) -> None:
    app = vibe.archive.create("say hello", kind="script", model="m")
    vibe.archive.save(replace(app, status="interrupted"))
    page = screen(app=app.id)
    assert "Nothing is lost" in page.warning[0].value
    assert page.button(key="resume").label == "Resume"


def test_a_script_is_run_with_arguments_and_a_refusal_is_shown(
    vibe: Bridge, screen: Screen
) -> None:
    app = made(vibe)
    page = screen(app=app.id)
    page.text_input(key="arguments_line").set_value("'open quote")
    page.form_submit_button[0].click().run()
    assert "No closing quotation" in page.error[0].proto.title.replace("\\", "")
    page.text_input(key="arguments_line").set_value("--help")
    page.form_submit_button[0].click().run()
    until(page, lambda p: len(p.error) > 0)
    assert "no engine" in page.error[0].proto.title
    assert "python main.py --help" in [code.value for code in page.code], "it can be pasted"


@pytest.mark.parametrize("typed", ["checks", "Checks"])
def test_the_address_opens_a_view_in_any_case(vibe: Bridge, screen: Screen, typed: str) -> None:
    page = screen(app=made(vibe).id, view=typed)
    assert page.segmented_control(key="view").value == "checks"


def test_a_program_in_rust_shows_the_command_that_really_runs(vibe: Bridge, screen: Screen) -> None:
    page = screen(app=made(vibe, kind="rust").id)
    page.text_input(key="arguments_line").set_value("8 8")
    page.form_submit_button[0].click().run()
    until(page, lambda p: len(p.error) > 0)
    assert "./app 8 8" in [code.value for code in page.code]


def test_a_script_that_was_planned_and_never_finished_offers_run_and_no_preview(
    vibe: Bridge, screen: Screen
) -> None:
    app = vibe.archive.create("say hello", kind="auto", model="m")
    events = [
        ev.Requested(revision=1, text="say hello", kind="auto", model="m", autonomy="fix"),
        ev.PlanMade(plan={"title": "Hello", "kind": "script", "checks": []}),
    ]
    vibe.archive.append(app.id, events, sync=True)
    vibe.archive.save(replace(app, status="interrupted"))
    assert screen(app=app.id).get_by_key("view").options[0] == "Run"


def test_an_unknown_app_and_a_discarded_one_are_told_apart(vibe: Bridge, screen: Screen) -> None:
    page = screen(app="nobody-000000")
    assert "nobody-000000" in page.error[0].proto.title.replace("\\", "")
    app = made(vibe)
    vibe.discard(app.id)
    page = screen(app=app.id)
    assert "in the trash" in texts(page)
    page.button(key="restore").click().run()
    assert vibe.archive.load(app.id).title == app.title


def test_checks_that_were_cut_short_do_not_count_as_passed(vibe: Bridge, screen: Screen) -> None:
    app = vibe.archive.create("say hello", kind="script", model="m")
    rung = ev.RungDone(name="static", passed=True, sentence="It reads.", evidence="", seconds=0.1)
    events = [
        ev.Requested(revision=1, text="say hello", kind="script", model="m", autonomy="fix"),
        ev.AttemptStarted(revision=1, attempt=1, reason="the first try"),
        ev.FilesWritten(files={"main.py": 3}, commit="c"),
        ev.Stage(name="run", sentence="Running it."),
        rung,
        ev.Finished(status="stopped", sentence="You stopped it."),
    ]
    vibe.archive.append(app.id, events, sync=True)
    vibe.archive.save(replace(app, status="stopped"))
    labels = steps(screen(app=app.id))
    assert "Not checked to the end (1 passed)" in labels


def test_a_tick_over_a_long_transcript_reads_only_what_is_new(vibe: Bridge, screen: Screen) -> None:
    app = made(vibe)
    pieces = [ev.ReplyText(text="word ") for _ in range(10_000)]
    begun = [
        ev.Requested(revision=2, text="more", kind="script", model="m", autonomy="fix"),
        ev.AttemptStarted(revision=2, attempt=1, reason="the first try"),
        ev.PromptSent(role="code", model="m", messages=[]),
    ]
    vibe.archive.append(app.id, [*begun, *pieces], sync=False)
    vibe.archive.save(replace(app, status="building"))
    page = screen(app=app.id)
    taken = page.session_state["story"][1].taken
    assert taken > 10_000
    vibe.archive.append(app.id, [ev.ReplyText(text="last")], sync=False)
    page.run()
    assert page.session_state["story"][1].taken == taken + 1
    assert any(code.value.endswith("last") for code in page.code)


def test_with_ask_the_plan_waits_for_a_yes_and_may_be_edited(vibe: Bridge, screen: Screen) -> None:
    app = vibe.create("a page that says hello", autonomy="ask")
    page = screen(app=app.id)
    until(page, lambda p: any(button.label == "Build it" for button in p.button))
    assert vibe.archive.load(app.id).status == "building"
    assert "Waiting for you" in texts(page)
    area = page.text_area[0]
    asked = area.value
    area.set_value("no plan: [")
    next(button for button in page.button if button.label == "Build it").click().run()
    assert "Keep its shape: title, kind" in page.error[0].value.replace("\\", "")
    area = page.text_area[0].set_value(asked)
    area.set_value(area.value.replace("Hello", "Goodbye"))
    next(button for button in page.button if button.label == "Build it").click().run()
    until(page, lambda p: vibe.archive.load(app.id).status != "building")
    assert "Goodbye" in vibe.archive.load(app.id).title


def test_a_plan_that_is_not_wanted_ends_the_build_before_any_code(
    vibe: Bridge, screen: Screen
) -> None:
    app = vibe.create("a page that says hello", autonomy="ask")
    page = screen(app=app.id)
    until(page, lambda p: any(button.label == "Not this" for button in p.button))
    next(button for button in page.button if button.label == "Not this").click().run()
    until(page, lambda p: vibe.archive.load(app.id).status != "building")
    assert not vibe.archive.load(app.id).revisions
    asked = [e for e in vibe.archive.events(app.id) if isinstance(e, ev.PromptSent)]
    assert [e.role for e in asked] == ["plan"]


def test_an_idea_like_an_earlier_app_waits_for_a_choice(vibe: Bridge, screen: Screen) -> None:
    old = made(vibe, "say hello politely")
    page = screen()
    page.chat_input(key="idea").set_value("politely say a hello").run()
    assert not page.exception
    assert [app.id for app in vibe.archive.list()] == [old.id], "nothing was begun"
    assert "You made something like this before" in texts(page)
    words = "politely say a hello"
    assert words in (page.session_state["idea"], page.chat_input(key="idea").value)
    page.button(key="neither").click().run()
    assert "You made something like this before" not in texts(page)
    page.chat_input(key="idea").set_value("politely say a hello").run()
    page.chat_input(key="idea").set_value("politely say a hello").run()
    assert not page.exception
    [new] = [app for app in vibe.archive.list() if app.id != old.id]
    assert page.query_params["app"] == new.id, "a second Enter makes it anew"


def test_what_is_chosen_while_earlier_apps_are_offered_holds(vibe: Bridge, screen: Screen) -> None:
    old = made(vibe, "say hello politely")
    page = screen()
    page.chat_input(key="idea").set_value("politely say a hello").run()
    page.get_by_key("autonomy").set_value("ask")
    page.get_by_key("kind").set_value("web").run()
    page.button(key="make_new").click().run()
    assert not page.exception
    [new] = [app for app in vibe.archive.list() if app.id != old.id]
    [asked] = [e for e in vibe.archive.events(new.id) if isinstance(e, ev.Requested)]
    assert (asked.autonomy, asked.kind) == ("ask", "web")


def test_a_remix_begins_with_the_earlier_apps_code_and_leaves_that_one_alone(
    vibe: Bridge, screen: Screen
) -> None:
    old = made(vibe, "say hello politely")
    page = screen()
    page.chat_input(key="idea").set_value("politely say hello; take your time").run()
    page.chat_input(key="idea").set_value("say hello politely").run()
    page.button(key=f"remix-{old.id}").click().run()
    assert not page.exception
    [new] = [app for app in vibe.archive.list() if app.id != old.id]
    assert page.query_params["app"] == new.id
    assert vibe.archive.files(new.id, "r1") == vibe.archive.files(old.id, "r1")
    assert new.revisions[0].request == old.idea
    until(page, lambda p: vibe.archive.load(new.id).status != "building")
    assert vibe.archive.load(old.id) == old


def test_what_was_attached_is_shown_by_its_first_rows_and_results_can_be_taken(
    vibe: Bridge, screen: Screen
) -> None:
    rows = "city,people\n" + "".join(f"place {n},{n}\n" for n in range(50))
    app = vibe.create("say hello", data={"cities.csv": rows.encode(), "$notes$.txt": b"one\ntwo"})
    page = screen(app=app.id)
    until(page, lambda p: vibe.archive.load(app.id).status != "building")
    vibe.archive.save_results(app.id, {"out/sums.csv": b"1,2"})
    page = screen(app=app.id)
    page.get_by_key("view").set_value("data").run()
    assert not page.exception
    [table] = page.dataframe
    assert list(table.value.columns) == ["city", "people"]
    assert len(table.value) == 10
    shown = texts(page)
    assert "cities.csv" in shown
    assert "50 rows" in shown
    assert "$notes$.txt" in shown
    assert "one\ntwo" in shown
    assert "out/sums.csv" in shown


def test_while_it_is_built_what_is_spent_stands_beside_what_may_be(
    vibe: Bridge, screen: Screen
) -> None:
    app = vibe.create("a page that says hello; take your time")
    page = screen(app=app.id)
    until(page, lambda p: " of 3 min" in texts(p))
    vibe.stop(app.id)


def test_an_example_is_made_from_its_starter_whatever_model_there_is(
    vibe: Bridge, screen: Screen
) -> None:
    page = screen()
    page.get_by_key("example").set_value(all_starters()[0].title).run()
    [app] = vibe.archive.list()
    asked = [e for e in vibe.archive.events(app.id) if isinstance(e, ev.Requested)]
    assert [e.model for e in asked] == [STARTERS]
