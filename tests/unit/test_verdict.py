"""The verdict's state and words, from rungs as an examination has them."""

from __future__ import annotations

from typing import cast

from vibe.app import Rung, Verdict
from vibe.checks import Examination
from vibe.kinds import kind
from vibe.ladder import ADVICE
from vibe.plan import Plan
from vibe.sandbox.engine import Engine
from vibe.verdict import judge

SHOWN = (Rung("start", True, "It starts."), Rung("renders", True, "A browser shows it."))
HOLDS = Rung("check", True, "Adds")
DOUBTED = Rung(ADVICE, False, "Adds: it says 5 (it fails on two independent builds)")
PROVES_NOTHING = Rung(ADVICE, True, "Shows no error")
AN_ENGINE = cast("Engine", object())
"""Only that there is one matters."""


def verdict(*checks: Rung) -> Verdict:
    seen = Examination((*SHOWN, *checks), runs=True, looked=True, engine="docker")
    return judge(kind("web"), Plan("Sums", "web", "Adds up."), seen, AN_ENGINE)


def test_a_check_that_failed_twice_over_is_told_and_the_app_is_not_said_to_work() -> None:
    found = verdict(HOLDS, DOUBTED)
    assert found.state == "partly"
    assert "1 check fails on two independent builds" in found.sentence
    assert any(DOUBTED.sentence in doubt for doubt in found.unverified)


def test_what_holds_makes_it_work_and_what_proves_nothing_is_told_beside_it() -> None:
    found = verdict(HOLDS, PROVES_NOTHING)
    assert found.state == "works"
    assert found.sentence == "It runs, and its check holds, 1 more in doubt."


def test_when_all_that_was_promised_is_in_doubt_it_does_not_count_as_working() -> None:
    found = verdict(DOUBTED)
    assert found.state == "partly"
    assert any(DOUBTED.sentence in doubt for doubt in found.unverified)


def test_a_check_that_an_empty_page_would_pass_neither_helps_nor_harms() -> None:
    assert verdict(PROVES_NOTHING).state == verdict().state == "works"
    assert "nothing else was promised" in verdict().sentence
