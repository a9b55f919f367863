from vibe.app import Rung
from vibe.diagnosis import REPORT_BYTES, clean, report, signature

TRACEBACK = """Traceback (most recent call last):
  File "/usr/lib/python3/runpy.py", line 88, in run
    go()
  File "/work/main.py", line 3, in total
    return sum(values) / len(values)
ZeroDivisionError: division by zero
"""
FILES = {"main.py": "import sys\n\ndef total(v): return sum(v) / len(v)\n\nprint(total([]))\n"}


def test_a_report_shows_the_failing_line_in_its_place_and_the_last_output() -> None:
    text = report(Rung("run", False, "It failed: exit code 1.", TRACEBACK), FILES)
    assert "Stage: run" in text
    assert ">    3 def total(v)" in text
    assert "ZeroDivisionError: division by zero" in text
    assert "runpy.py, line 88" not in text.split("Output")[0]


def test_a_report_of_a_flood_is_at_most_4_kb_and_keeps_both_ends() -> None:
    flood = "\n".join(f"line {n} {'x' * 300}" for n in range(5000)) + "\nValueError: the end"
    text = report(Rung("run", False, "It failed.", flood), FILES)
    assert len(text.encode()) <= REPORT_BYTES
    assert text.startswith("Stage: run")
    assert text.endswith("ValueError: the end")


def test_equal_lines_are_folded_into_one_with_a_count() -> None:
    text = report(Rung("run", False, "Failed.", "again\n" * 50 + "end"), {})
    assert "again   (and 49 times more)" in text
    assert "times more" not in report(Rung("run", False, "Failed.", "4\n\n\nend"), {})


def test_colours_and_control_characters_never_reach_a_report() -> None:
    assert clean("\x1b[31mred\x1b[0m\x07 \x1b]0;title\x07ok\r\n") == "red ok\n"


def test_a_signature_masks_numbers_addresses_and_paths() -> None:
    one = Rung("run", False, "It failed: exit code 1.", "KeyError at 0x7f00 in /work/a.py line 3")
    two = Rung("run", False, "It failed: exit code 2.", "KeyError at 0xdead in /tmp/b.py line 44")
    other = Rung("run", False, "It failed: exit code 1.", "ValueError: no")
    assert signature(one) == signature(two)
    assert signature(one) != signature(other)


def test_a_report_names_what_else_failed_and_stays_within_its_limit() -> None:
    flood = Rung("errors", False, "It failed.", "x" * 9000)
    others = [Rung("check", False, f"Check {n}: {'ü' * 2000}") for n in range(9)]
    text = report(flood, {}, others)
    assert len(text.encode()) <= REPORT_BYTES
    assert "What else failed" in text
    assert "- check: Check 5: ü" in text
