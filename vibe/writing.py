"""Model calls of a build: a plan, or whole files, with their streaming told as events."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing

from vibe import prompts
from vibe.budget import Budget
from vibe.errors import ModelFault
from vibe.events import Notice, PromptSent, ReplyEnded, ReplyText
from vibe.kinds import Kind
from vibe.model import Message, Model, Prompt, ReplyEnd
from vibe.narration import Emit
from vibe.plan import Plan, read_plan
from vibe.reply import Reply, join, read_files

CONTINUATIONS = 2
"""How often a reply that was cut is continued."""


async def write_plan(
    prompt: Prompt, forced_kind: str | None, model: Model, budget: Budget, emit: Emit
) -> Plan:
    """The plan from one model call, or two when the first reply holds none.

    Raises ModelFault when neither does.
    """
    text, _ = await _call(prompt, model, budget, emit)
    try:
        plan, notes = read_plan(text, forced_kind=forced_kind)
    except ModelFault as fault:
        emit(Notice(text="The plan could not be read, so the model was asked for it again."))
        budget.check()
        text, _ = await _call(prompts.again(prompt, text, fault.message), model, budget, emit)
        plan, notes = read_plan(text, forced_kind=forced_kind)
    for note in notes:
        emit(Notice(text=note))
    return plan


async def write_files(
    prompt: Prompt,
    kind: Kind,
    current: Mapping[str, str],
    model: Model,
    budget: Budget,
    emit: Emit,
) -> Reply:
    """The whole tree after one reply, continued when it was cut.

    Raises ModelFault with what to tell the model when the reply can't be used.
    """
    text, finish = await _call(prompt, model, budget, emit)
    for left in range(CONTINUATIONS, -1, -1):
        cut = finish in ("length", "cut")
        if not cut or not left:
            reply = read_files(text, kind=kind, current=current, finish=finish)
            if not reply.truncated or not left:
                break
        budget.check()
        emit(Notice(text="The reply was cut off; the model is asked to go on."))
        more, finish = await _call(prompts.continuation(prompt, text), model, budget, emit)
        text = join(text, more)
    if sum(len(content) for content in reply.files.values()) > budget.limits.reply_bytes:
        raise ModelFault(
            f"The files are larger than {budget.limits.reply_bytes:,} bytes together; "
            "write a smaller program and compute data instead of listing it."
        )
    for note in reply.notes:
        emit(Notice(text=note))
    return reply


async def _call(prompt: Prompt, model: Model, budget: Budget, emit: Emit) -> tuple[str, str]:
    """One model call: its text and its finish reason; every piece is told as it comes."""
    emit(
        PromptSent(
            role=prompt.role,
            model=model.name,
            messages=[_as_sent(message) for message in prompt.messages],
            template=prompt.template,
        )
    )
    parts: list[str] = []
    end: ReplyEnd | None = None
    async with aclosing(model.reply(prompt)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            if isinstance(piece, ReplyEnd):
                end = piece
                break
            parts.append(piece)
            emit(ReplyText(text=piece))
    assert end is not None, "a reply stream ends with ReplyEnd"
    money = budget.add(end)
    emit(
        ReplyEnded(
            finish=end.finish,
            model=end.model,
            prompt_tokens=end.prompt_tokens,
            completion_tokens=end.completion_tokens,
            seconds=round(end.seconds, 3),
            seconds_to_first=round(end.seconds_to_first, 3),
            estimated=end.estimated,
            money=money,
        )
    )
    return "".join(parts), end.finish


def _as_sent(message: Message) -> dict[str, str]:
    """The message as the transcript has it; pictures are told by number, their files are kept."""
    sent = {"role": message.role, "content": message.content}
    if message.pictures:
        sent["pictures"] = f"{len(message.pictures)} of the attached pictures, made small"
    return sent
