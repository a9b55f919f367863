"""The rungs of a script: a run without arguments, its help, and the checks of its plan."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from vibe.app import StepSeen
from vibe.kinds import Kind
from vibe.ladder import ADVICE, Ladder
from vibe.plan import Check, Plan
from vibe.running import Printed, how_it_ended
from vibe.sandbox.engine import Box, Outcome
from vibe.settings import SANDBOXES, Limits

_PARSERS = re.compile(r"\b(?:argparse|click|typer|docopt|optparse|fire)\b|--help\b")
_CRASH = re.compile(
    r"Traceback \(most recent call last\)|^thread '.*panicked at|^Node\.js v\d", re.M
)


async def try_script(
    ladder: Ladder, box: Box, plan: Plan, kind: Kind, files: Mapping[str, str], limits: Limits
) -> bool:
    """Climbs a script's rungs; whether the run without arguments succeeded."""
    ladder.stage("run", "Running it once without arguments.")
    printed = Printed(ladder.emit)
    outcome = await box.run(kind.argv(), wall_s=limits.run_s, on_output=printed)
    if not outcome.ok:
        sentence = f"Run with no arguments, it failed: {how_it_ended(outcome)}."
        return ladder.done("run", False, sentence, printed.tail)
    if not outcome.stdout.strip():
        sentence = "Run with no arguments, it ended well but printed nothing."
        return ladder.done("run", False, sentence, printed.tail)
    ladder.done("run", True, f"Run with no arguments, it ends well in {outcome.seconds:.1f} s.")
    if any(_PARSERS.search(text) for text in files.values()):
        await _usage(ladder, box, kind, limits)
    if plan.checks:
        ladder.stage("checks", "Trying what the plan promised.")
    for check in plan.checks:
        await _check(ladder, box, kind, check, limits)
    return True


async def _usage(ladder: Ladder, box: Box, kind: Kind, limits: Limits) -> None:
    """Whether --help helps, and whether a flag it doesn't know ends it in an orderly way."""
    helped = await box.run([*kind.argv(), "--help"], wall_s=limits.run_s)
    said = helped.stdout.decode("utf-8", "replace")
    shown = f"$ {' '.join(kind.argv())} --help\n{said[-1500:]}\n{_errors(helped)[-3000:]}"
    if not helped.ok:
        ladder.done("usage", False, f"Asked for --help, it fails: {how_it_ended(helped)}.", shown)
        return
    if "usage" not in said.lower():
        ladder.done("usage", False, "Asked for --help, it doesn't say how it is used.", shown)
        return
    refused = await box.run([*kind.argv(), "--no-such-flag"], wall_s=limits.run_s)
    if _CRASH.search(errors := _errors(refused)):
        sentence = "A flag it doesn't know makes it crash instead of saying so."
        ladder.done("usage", False, sentence, errors[-4000:])
        return
    ladder.done("usage", True, "It explains itself with --help, and refuses flags it has not got.")


def _errors(outcome: Outcome) -> str:
    return outcome.stderr.decode("utf-8", "replace")


async def _check(ladder: Ladder, box: Box, kind: Kind, check: Check, limits: Limits) -> None:
    """Runs the script as one check says and compares exit code, output and files."""
    outcome = await box.run(
        [*kind.argv(), *check.args],
        stdin=(check.stdin or "").encode(),
        wall_s=limits.run_s,
    )
    text = outcome.stdout.decode("utf-8", "replace")
    faults = []
    command = " ".join([*kind.argv(), *check.args])
    expected = 0 if check.exit is None else check.exit
    if outcome.exit_code != expected:
        faults.append(f"expected exit code {expected}, but {how_it_ended(outcome)}")
    elif expected and _CRASH.search(_errors(outcome)):
        faults.append("it crashes with a traceback instead of a clear line")
    ended = how_it_ended(outcome)
    steps = [StepSeen(f"Run `{command}`, for exit code {expected}", not faults, ended)]
    missed = await _unmatched(box, check.stdout, text)
    printed = " / ".join(line.strip() for line in text.splitlines() if line.strip())[-200:]
    for pattern in check.stdout:
        held = pattern not in missed
        said = "it is in the output" if held else f"it printed: {printed or 'nothing'}"
        steps.append(StepSeen(f"Print {pattern!r}", held, said))
    faults += [f"expected {pattern!r} in the output" for pattern in missed]
    if check.files:
        written = (await box.export()).files
        faults += [f"expected the file {name}" for name in check.files if name not in written]
        for name in check.files:
            said = f"{len(written[name]):,} bytes" if name in written else "it is not there"
            steps.append(StepSeen(f"Write the file {name}", name in written, said))
    name = "check" if check.stdout or check.files or check.exit else ADVICE
    if not faults:
        ladder.done(name, True, check.name, steps=tuple(steps))
        return
    evidence = f"$ {command}\n{text[-3000:]}\n{_errors(outcome)[-2000:]}\n" + "\n".join(faults)
    ladder.done(name, False, f"{check.name}: {faults[0]}", evidence, steps=tuple(steps))


async def _unmatched(box: Box, patterns: tuple[str, ...], text: str) -> tuple[str, ...]:
    """The patterns that aren't in the output. They are a model's, and may backtrack for ever, so
    the box does the matching; without its answer all that aren't there literally count as missed.
    """
    doubtful = [pattern for pattern in patterns if pattern not in text]
    if not doubtful:
        return ()
    task = json.dumps({"patterns": doubtful, "text": text[:200_000]}).encode()
    source = (SANDBOXES / "probes" / "match.py").read_text("utf-8")
    outcome = await box.run(["python", "-I", "-c", source], stdin=task, wall_s=10.0)
    try:
        found = set(json.loads(outcome.stdout))
    except (ValueError, TypeError):
        found = set()
    return tuple(pattern for pattern in doubtful if pattern not in found)
