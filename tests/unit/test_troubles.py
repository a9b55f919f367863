"""What a running program prints and answers becomes troubles that can be repaired."""

from __future__ import annotations

from vibe import diagnosis
from vibe.troubles import MOST, Troubles

CRASH = """2026-01-02 10:00:00.123 Uncaught app execution
Traceback (most recent call last):
  File "/work/app.py", line 7, in <module>
    st.write(total / people)
             ~~~~~~^~~~~~~~
ZeroDivisionError: division by zero
INFO all is well again
"""
CHAINED = """Traceback (most recent call last):
  File "/work/app.py", line 1, in a
    b()
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/work/app.py", line 2, in c
    raise ValueError("no x")
ValueError: no x
"""


def heard(*pieces: str) -> Troubles:
    troubles = Troubles(["my-secret-key-1234"])
    hear = troubles.listener("app", 3)
    for piece in pieces:
        hear("stderr", piece)
    return troubles


def test_a_traceback_in_any_pieces_is_one_trouble_and_counts_when_it_comes_again() -> None:
    [trouble] = heard(*CRASH, CRASH).of("app")
    assert trouble.sentence == "ZeroDivisionError: division by zero"
    assert trouble.evidence.startswith("Traceback")
    assert trouble.evidence.endswith("division by zero")
    assert (trouble.times, trouble.revision, trouble.symptom) == (2, 3, False)
    files = {"app.py": "\n".join(f"line {n}" for n in range(1, 10))}
    report = diagnosis.report(trouble.rung, files)
    assert "> " in report
    assert "line 7" in report
    assert len(report.encode()) <= diagnosis.REPORT_BYTES


def test_a_chain_of_exceptions_is_one_trouble_named_by_its_last() -> None:
    [trouble] = heard(CHAINED).of("app")
    assert trouble.sentence == "ValueError: no x"
    assert "KeyError" in trouble.evidence


def test_a_failed_answer_is_only_told_where_no_traceback_explains_it() -> None:
    troubles = Troubles()
    troubles.answered("app", 1, "GET / was answered with the error 500.")
    assert [t.sentence for t in troubles.of("app")] == ["GET / was answered with the error 500."]
    troubles.listener("app", 1)("stderr", CRASH)
    assert [t.sentence for t in troubles.of("app")] == ["ZeroDivisionError: division by zero"]
    troubles.forget("app", troubles.of("app")[0].key)
    assert len(troubles.of("app")) == 1
    troubles.forget("app")
    assert troubles.of("app") == troubles.of("other") == []


def test_what_a_program_prints_is_bounded_masked_and_without_control_characters() -> None:
    endless = "Traceback (most recent call last):\n" + "  a frame\x1b[2J\n" * 10_000
    troubles = heard(endless, "Error: my-secret-key-1234\x9b\n")
    [trouble] = troubles.of("app")
    assert len(trouble.evidence) <= 8000
    assert "my-secret-key" not in trouble.sentence + trouble.evidence
    assert "\x1b" not in trouble.evidence
    hear = troubles.listener("app", 3)
    hear("stdout", "x" * 1_000_000)
    for name in "abcdefgh":
        hear("stderr", f"Traceback (most recent call last):\n{name.upper()}Error: x\n")
    assert len(troubles.of("app")) == MOST
