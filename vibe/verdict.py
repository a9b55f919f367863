"""What an examination amounts to, in a sentence that a layperson understands."""

from __future__ import annotations

from dataclasses import replace

from vibe.app import Verdict
from vibe.checks import Examination, facts
from vibe.kinds import Kind
from vibe.ladder import ADVICE, EXCUSED
from vibe.plan import Plan
from vibe.sandbox.engine import Engine

REDUCED = "bubblewrap"
"""The engine whose boxes are held less well than a container."""
LABEL = "Reduced isolation: it ran with bubblewrap, without Docker."


def judge(
    kind: Kind, plan: Plan, examination: Examination | None, engine: Engine | None
) -> Verdict:
    """The verdict on the best attempt; on None: no attempt could be read. What ran with reduced
    isolation says so in its sentence, wherever that is shown."""
    found = _judged(kind, plan, examination, engine)
    if found.isolation == REDUCED:
        return replace(found, sentence=f"{found.sentence} {LABEL}")
    return found


def _judged(
    kind: Kind, plan: Plan, examination: Examination | None, engine: Engine | None
) -> Verdict:
    isolation = examination.engine if examination else ""
    promised = (*(check.name for check in plan.checks), *plan.left_out)
    if examination is None:
        return Verdict("broken", "The model's replies held no program.", (), promised)
    verified = facts(examination)
    failed = examination.failed
    if engine is None and failed is None:
        sentence = "It was written but never run: there is no sandbox to run it in."
        return Verdict("unverified", sentence, verified, ("whether it runs", *promised))
    if not examination.runs:
        sentence = failed.sentence if failed else "It was not run."
        return Verdict("broken", sentence, verified, promised, isolation)
    checks = [rung for rung in examination.rungs if rung.name == "check"]
    doubts = tuple(
        f"{rung.sentence} (a hint only)" for rung in examination.rungs if rung.name == ADVICE
    )
    doubts += tuple(f"{name}: nobody tried it, its steps can't be read" for name in plan.left_out)
    broken = sum(not rung.passed for rung in checks)
    if broken:
        failing = f"{broken} of its {len(checks)} checks {'fails' if broken == 1 else 'fail'}"
        sentence = f"It runs, but {failing if len(checks) > 1 else 'its check fails'}."
        return Verdict("partly", sentence, verified, doubts, isolation)
    if failed:
        return Verdict("partly", f"It runs, but: {failed.sentence}", verified, doubts, isolation)
    excused = sum(r.sentence.endswith(EXCUSED) for r in examination.rungs if r.name == ADVICE)
    if checks and excused:
        count = "1 check fails" if excused == 1 else f"{excused} checks fail"
        sentence = f"It runs, but {count} on two independent builds: the check or the app is wrong."
        return Verdict("partly", sentence, verified, doubts, isolation)
    if checks:
        rest = f", {len(doubts)} more in doubt" if doubts else ""
        held = "its check holds" if len(checks) == 1 else f"all {len(checks)} checks hold"
        sentence = f"It runs, and {held}{rest}."
        return Verdict("works", sentence, verified, doubts, isolation)
    if any(rung.name == ADVICE and not rung.passed for rung in examination.rungs):
        sentence = "It runs, but none of what it promised was seen to hold."
        return Verdict("partly", sentence, verified, doubts, isolation)
    if kind.serves and examination.looked:
        sentence = "A browser shows it without errors; nothing else was promised or tried."
        return Verdict("works", sentence, verified, doubts, isolation)
    if kind.serves:
        sentence = "It starts and answers. Nobody has used it in a browser yet."
        unseen = ("how it looks and behaves in a browser", *promised)
        return Verdict("unverified", sentence, verified, unseen, isolation)
    return Verdict(
        "unverified",
        "It runs to its end; what it printed has not been checked.",
        verified,
        ("whether its output is right", *doubts),
        isolation,
    )
