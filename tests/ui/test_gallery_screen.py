"""The Gallery screen, driven without a browser."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from streamlit.testing.v1 import AppTest

from tests.ui.conftest import made, texts
from tests.unit.test_pictures import webp
from vibe.ui.bridge import Bridge
from vibe.ui.shelf import PAGE

Screen = Callable[..., AppTest]


def cards(page: AppTest) -> list[str]:
    """The titles of the cards, in order."""
    found = [b.label.strip("*") for b in page.button if (b.key or "").startswith("open-")]
    return [label.replace("\\", "") for label in found]


def test_an_empty_gallery_says_what_to_do(vibe: Bridge, screen: Screen) -> None:
    assert "Nothing here yet" in texts(screen("gallery"))


def test_cards_are_found_by_words_and_kind(vibe: Bridge, screen: Screen) -> None:
    made(vibe, "count words")
    made(vibe, "draw circles", kind="web")
    page = screen("gallery")
    assert cards(page) == ["Draw circles", "Count words"]
    page.text_input(key="q").set_value("circl").run()
    assert cards(page) == ["Draw circles"]
    page.text_input(key="q").set_value("").run()
    page.get_by_key("kinds").set_value(["script"]).run()
    assert cards(page) == ["Count words"]
    page.text_input(key="q").set_value("zebra").run()
    assert "No app matches." in texts(page)


def test_a_broken_picture_breaks_no_page(vibe: Bridge, screen: Screen) -> None:
    """Vibe decodes no picture: one that a stranger made may be broken, or of a billion pixels."""
    app = made(vibe, "draw circles", kind="web")
    whole = webp()
    for picture in (whole, whole[:-30], whole[:26] + b"\xff\x3f\xff\x3f" + whole[30:]):
        vibe.archive.save_thumb(app.id, picture)
        page = screen("gallery")
        assert not page.exception
        [shown] = [image.proto.imgs[0] for image in page.get("image") or page.get("imgs")]
        assert shown.url == f"data:image/webp;base64,{b64encode(picture).decode()}"


def test_cards_are_sorted_as_asked(vibe: Bridge, screen: Screen) -> None:
    made(vibe, "zebra")
    made(vibe, "ant")
    page = screen("gallery")
    page.selectbox(key="sort").set_value("Title").run()
    assert cards(page) == ["Ant", "Zebra"]


def test_a_discarded_app_comes_back_with_undo(vibe: Bridge, screen: Screen) -> None:
    app = made(vibe, "count words")
    page = screen("gallery")
    page.menu_button(key=f"more-{app.id}").click("Discard").run()
    assert not page.exception
    assert cards(page) == []
    assert "Discarded 'Count words'" in texts(page)
    page.button(key="undo").click().run()
    assert cards(page) == ["Count words"]
    assert "Discarded" not in texts(page)


def test_the_trash_restores_and_asks_before_it_deletes(vibe: Bridge, screen: Screen) -> None:
    kept, gone = made(vibe, "count words"), made(vibe, "draw circles")
    vibe.discard(kept.id)
    vibe.discard(gone.id)
    page = screen("gallery")
    page.toggle(key="trash").set_value(True).run()
    page.button(key=f"restore-{kept.id}").click().run()
    assert [app.id for app in vibe.archive.list()] == [kept.id]
    page.button(key=f"purge-{gone.id}").click().run()
    assert not page.exception
    assert [app.id for app in vibe.archive.trash()] == [gone.id]


def test_many_apps_are_shown_a_page_at_a_time(vibe: Bridge, screen: Screen) -> None:
    for number in range(PAGE + 1):
        app = vibe.archive.create(f"app {number}", kind="web", model="m")
        vibe.archive.save(replace(app, status="stopped"))
    page = screen("gallery")
    assert len(cards(page)) == PAGE
    page.pagination(key="page").set_value(2).run()
    assert len(cards(page)) == 1


def test_a_record_that_cannot_be_read_is_told_and_hides_no_other(
    vibe: Bridge, screen: Screen
) -> None:
    app, other = made(vibe, "count words"), made(vibe, "draw circles")
    (vibe.archive.root / app.id / "app.yaml").write_text("title: [")
    page = screen("gallery")
    assert cards(page) == ["Draw circles"]
    assert app.id in texts(page).replace("\\", "")
    assert other.id


def test_filters_narrow_by_verdict_and_kept(vibe: Bridge, screen: Screen) -> None:
    made(vibe, "count words")
    kept = made(vibe, "draw circles")
    vibe.keep(kept.id)
    vibe.archive.save(replace(vibe.archive.create("x", kind="web", model="m"), status="failed"))
    page = screen("gallery")
    page.get_by_key("verdicts").set_value(["Not finished"]).run()
    assert len(cards(page)) == 1
    page.get_by_key("verdicts").set_value([]).run()
    page.toggle(key="kept").set_value(True).run()
    assert cards(page) == ["Draw circles"]
    assert "1 app" in texts(page)


def test_a_card_says_when_its_app_goes_and_keeps_it_in_a_click(
    vibe: Bridge, screen: Screen
) -> None:
    app = made(vibe, "count words")
    soon = (datetime.now(UTC) - timedelta(days=28, hours=1)).isoformat()
    vibe.archive.save(replace(app, used=soon))
    page = screen("gallery")
    assert "Gone in 2 days unless kept" in texts(page)
    page.button(key=f"keep-{app.id}").click().run()
    assert "Gone" not in texts(page)
    assert vibe.archive.load(app.id).keep
    page.button(key=f"keep-{app.id}").click().run()
    assert "unless kept" in texts(page)


def test_several_apps_are_discarded_and_brought_back_together(vibe: Bridge, screen: Screen) -> None:
    for idea in ("one", "two", "three"):
        made(vibe, idea)
    page = screen("gallery")
    page.toggle(key="select").set_value(True).run()
    assert page.button(key="discard_all").disabled
    page.button(key="select_all").click().run()
    assert "3 apps selected" in texts(page)
    assert page.button(key="select_all").label == "None"
    page.button(key="select_all").click().run()
    assert "0 apps selected" in texts(page)
    page.button(key="select_all").click().run()
    page.button(key="discard_all").click().run()
    assert not page.exception
    assert "Discarded 3 apps" in texts(page)
    assert len(vibe.archive.trash()) == 3
    page.button(key="undo").click().run()
    assert len(cards(page)) == 3


def test_a_duplicate_appears_beside_the_original(vibe: Bridge, screen: Screen) -> None:
    app = made(vibe, "count words")
    page = screen("gallery")
    page.menu_button(key=f"more-{app.id}").click("Duplicate").run()
    assert not page.exception
    assert sorted(cards(page)) == ["Count words", "Count words (copy)"]


def test_the_trash_says_what_expired_and_when_it_will_be_deleted(
    vibe: Bridge, screen: Screen
) -> None:
    app = made(vibe, "count words")
    vibe.archive.discard(app.id, expired="not used for 30 days")
    page = screen("gallery")
    page.toggle(key="trash").set_value(True).run()
    assert "unused for 30 days, expired just now" in texts(page)
    assert "deleted in 7 days" in texts(page)


def test_run_again_opens_the_app(vibe: Bridge, screen: Screen) -> None:
    app = made(vibe, "count words")
    page = screen("gallery")
    page.button(key=f"run-{app.id}").click().run()
    assert not page.exception
    assert page.query_params["app"] == app.id
    assert page.text_input(key="arguments_line")


def test_titles_of_a_model_are_never_markup(vibe: Bridge, screen: Screen) -> None:
    app = made(vibe, "count words")
    vibe.archive.save(replace(app, title=":red[Danger] **bold** $x$"))
    page = screen("gallery")
    assert cards(page) == [":red[Danger] **bold** $x$"]
    assert page.button(key=f"open-{app.id}").label != "**:red[Danger] **bold** $x$**"
