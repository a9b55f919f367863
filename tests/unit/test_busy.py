"""A machine that is too busy to tell what takes long."""

from __future__ import annotations

from dataclasses import replace

from vibe.browser import CheckSeen, _seen
from vibe.busy import BUSY, MOST, load, patience, too_busy
from vibe.looking import took_long


def test_a_machine_is_too_busy_only_when_far_more_wait_than_it_has_processors() -> None:
    assert not too_busy(1.0)
    assert not too_busy(BUSY)
    assert too_busy(15.0)


def test_an_app_gets_longer_to_start_only_when_several_wait_for_each_processor() -> None:
    assert patience(0.0) == patience(2.0) == 1.0
    assert 1.0 < patience(BUSY) < MOST
    assert patience(50.0) == MOST


def test_how_busy_this_machine_is_can_be_told() -> None:
    assert load() >= 0


def test_only_what_ran_out_of_time_is_put_down_to_a_busy_machine() -> None:
    seen = _seen({"fault": "it does not finish loading in 15 seconds"}, ())
    assert took_long(seen) == seen.fault
    assert took_long(_seen({"fault": "Page crashed"}, ())) == ""
    failing = CheckSeen("Waits", False, (), "expected to see '5 seconds'; the page says nothing")
    hanging = replace(failing, why="the page hangs: it does not answer for 10 seconds")
    assert took_long(replace(_seen({}, ()), checks=(failing,))) == ""
    assert took_long(replace(_seen({}, ()), checks=(failing, hanging))) == hanging.why
