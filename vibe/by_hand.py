"""A revision that a person wrote: the same examination and verdict as a model's, with no model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping

from vibe.attempt import Attempt, Request, Workbench, close, ended, examined
from vibe.browser import Eyes
from vibe.errors import ModelFault, UserError
from vibe.events import AttemptStarted, Event, VerdictReached
from vibe.kinds import Kind, kind
from vibe.loop import Built
from vibe.model import Prompt, ReplyEnd
from vibe.narration import Emit, Narration
from vibe.paths import safe_files
from vibe.plan import Plan, plan_from_data
from vibe.verdict import judge


class You:
    """Stands where a model would: an edit by hand asks none."""

    name = "you"

    async def reply(self, prompt: Prompt) -> AsyncIterator[str | ReplyEnd]:
        raise UserError("An edit by hand asks no model.")
        yield ""


def edited(files: Mapping[str, bytes], wanted: Kind, most: int) -> dict[str, str]:
    """The files as text, by the rules for a model's files: safe paths, at most `most` bytes
    together, the kind's entry among them. Raises UserError."""
    try:
        files = safe_files(files)
    except ModelFault as fault:
        raise UserError(fault.message, "Rename it or leave it out.") from fault
    if (size := sum(map(len, files.values()))) > most:
        raise UserError(
            f"The files have {size:,} bytes together; {most:,} are the most.",
            "Attach large files as data instead.",
        )
    if wanted.entry not in files:
        raise UserError(
            f"{wanted.entry} is missing: it is what a {wanted.title.lower()} starts with.",
            f"Add a file called {wanted.entry}.",
        )
    texts = {}
    for path, content in files.items():
        try:
            texts[path] = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path} is not text (UTF-8).", "An app's code is text; attach the rest as data."
            ) from error
    return texts


def described(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """What an edit did, for the list of revisions: `Edited by hand: app.py, and 2 more`."""
    changed = [path for path in after if before.get(path) != after[path]]
    changed += [path for path in before if path not in after]
    if not changed:
        return "Run again by hand, nothing changed"
    more = f", and {len(changed) - 3} more" if len(changed) > 3 else ""
    return f"Edited by hand: {', '.join(changed[:3])}{more}"


async def build(
    request: Request, bench: Workbench, hand_over: Callable[[Built], Awaitable[None]]
) -> AsyncGenerator[Event, None]:
    """Examines `request.files` as the one attempt of a revision; tells it as `loop.build` does.

    Raises EngineFault when no box can be started, TimeoutError past the build's time."""
    assert request.kind is not None, "only an app that was made is edited"
    plan = plan_from_data(dict(request.plan)) if request.plan else Plan("", request.kind)
    serves = kind(plan.kind).serves
    eyes = Eyes(bench.engine, request.app_id) if bench.engine is not None and serves else None
    made: list[Attempt] = []

    async def work(emit: Emit) -> Attempt:
        emit(AttemptStarted(revision=request.revision, attempt=1, reason="edited by hand"))
        attempt = await examined(request, bench, plan, 1, request.files, eyes, emit)
        made.append(attempt)
        emit(ended(request, attempt))
        return attempt

    try:
        narration = Narration(work, seconds=bench.budget.seconds_left)
        async for event in narration:
            yield event
        attempt = narration.result
        verdict = judge(kind(plan.kind), plan, attempt.examination, bench.engine)
        await hand_over(Built(plan, attempt, 1, verdict))
        made.clear()
        yield VerdictReached(
            state=verdict.state,
            sentence=verdict.sentence,
            verified=list(verdict.verified),
            unverified=list(verdict.unverified),
            isolation=verdict.isolation,
        )
    finally:
        await asyncio.gather(*map(close, made))
        if eyes is not None:
            await eyes.close()
