"""What the screens say: text made safe, ages, durations, states."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe.app import App, Verdict
from vibe.events import now
from vibe.kinds import kinds
from vibe.ui.cards import ASSETS
from vibe.ui.words import (
    JOINER,
    KIND_ICONS,
    age,
    clean,
    duration,
    kind_title,
    plain,
    short,
    state,
    weight,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def app(status: str, verdict: str | None = None) -> App:
    return App(
        id="x-000000",
        title="X",
        idea="x",
        kind="web",
        status=status,  # type: ignore[arg-type]
        model="m",
        created=now(),
        used=now(),
        verdict=Verdict(verdict, "It works.") if verdict else None,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (timedelta(seconds=3), "just now"),
        (timedelta(seconds=-5), "just now"),
        (timedelta(minutes=5), "5 min ago"),
        (timedelta(hours=3), "3 h ago"),
        (timedelta(days=1), "1 day ago"),
        (timedelta(days=45), "1 month ago"),
        (timedelta(days=800), "2 years ago"),
    ],
)
def test_ages_are_said_as_people_say_them(ago: timedelta, said: str) -> None:
    assert age((NOON - ago).isoformat(), NOON) == said


def test_durations_and_sizes_have_their_units() -> None:
    assert duration(8.4) == "8 s"
    assert duration(80) == "1 min 20 s"
    assert duration(180) == "3 min"
    assert (weight(812), weight(3400), weight(12_000_000)) == ("812 B", "3.4 kB", "12 MB")


def test_terminal_escapes_and_control_characters_do_not_reach_the_screen() -> None:
    assert clean("\x1b[31mred\x1b[0m \x1b]0;title\x07ok\x00\x08!") == "red ok!"
    assert clean("10 %\r50 %\r100 %\ndone\r\n") == "100 %\ndone\n"
    assert clean("safe\u202eexe.txt") == "safeexe.txt"
    assert clean("tab\tand\nline stay") == "tab\tand\nline stay"


def test_a_megabyte_in_one_line_takes_no_longer_than_in_many() -> None:
    """It once took time by the square of a line's length: a quarter of an hour for this one, in
    which the whole of Vibe stood still."""
    for text in ("a" * (1 << 20), "\r" + "ab" * (1 << 19), "\x1b]" * (1 << 19)):
        assert set(clean(text)) <= set("ab")


@given(st.text())
def test_plain_text_loses_nothing_but_control_characters_and_line_breaks(text: str) -> None:
    shown = plain(text).replace(JOINER, "")
    unescaped, escaped = [], False
    for character in shown:
        if character == "\\" and not escaped:
            escaped = True
            continue
        unescaped.append(character)
        escaped = False
    assert "".join(unescaped) == " ".join(clean(text).split()).replace(JOINER, "")


@given(st.text(alphabet=":[]$*_`<>\\ab ~-"))
def test_every_punctuation_mark_is_escaped(text: str) -> None:
    shown = plain(text)
    for position, character in enumerate(shown):
        if character in ":[]$*_`<>~-":
            assert shown[position - 1] == "\\"


def test_long_text_is_cut_at_a_word() -> None:
    assert short("one two three four", 12) == "one two…"
    assert short("a\nb", 12) == "a b"
    assert len(short("x" * 100, 12)) <= 14


def test_the_state_of_an_app_is_a_word_and_a_colour() -> None:
    assert state(app("building")) == ("Building", "blue")
    assert state(app("ready", "works")) == ("Works", "green")
    assert state(app("ready", "partly")) == ("Partly works", "orange")
    assert state(app("failed", "broken")) == ("Failed", "red")
    assert state(app("interrupted")) == ("Interrupted", "orange")


def test_an_unknown_kind_is_shown_by_its_name() -> None:
    assert kind_title("web") == "Web page"
    assert kind_title("quantum") == "Quantum"


def test_every_kind_has_an_icon_and_a_drawing_of_its_own() -> None:
    assert set(KIND_ICONS) == set(kinds())
    assert {path.stem for path in ASSETS.glob("*.svg")} >= set(kinds())
