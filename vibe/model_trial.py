"""Asks the model of a role for one word, and says how that went."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vibe.budget import cost
from vibe.choice import NO_MODEL
from vibe.endpoints import find_endpoint
from vibe.errors import VibeError
from vibe.model import Message, OpenAIModel, Prompt, ReplyEnd, Role
from vibe.settings import Settings

PATIENCE_S = 30.0
"""How long the answer may take; loading a large local model can take longer."""
TOKENS = 256
"""Enough for a reasoning model to think of one word, or to be cut off at it."""
ASKED = Message("user", "Reply with the one word: ready")


@dataclass(frozen=True, slots=True)
class Tried:
    """One call of a role's model."""

    role: Role
    model: str = ""
    """As the endpoint calls it; empty when it did not answer."""
    seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    """Whether the tokens are a guess."""
    money: float | None = None
    """In the currency of the prices; None when the model has no price."""
    message: str = ""
    """What is wrong; empty when it answered."""
    fix: str = ""

    @property
    def ok(self) -> bool:
        return not self.message


async def try_role(settings: Settings, role: Role) -> Tried:
    """A real call, as small as can be. Never raises for what an endpoint does."""
    limits = replace(
        settings.limits,
        tokens=TOKENS,
        reply_s=PATIENCE_S,
        first_token_s=min(PATIENCE_S, settings.limits.first_token_s),
    )
    model: OpenAIModel | None = None
    try:
        endpoint = await find_endpoint(settings)
        if endpoint is None:
            return Tried(role, message=NO_MODEL, fix="See docs/models.md.")
        model = OpenAIModel(endpoint, replace(settings, limits=limits))
        end: ReplyEnd | None = None
        async for item in model.reply(Prompt(role, (ASKED,))):
            if isinstance(item, ReplyEnd):
                end = item
    except VibeError as error:
        return Tried(role, message=error.message, fix=error.fix)
    finally:
        if model is not None:
            await model.close()
    if end is None:
        return Tried(role, message="The model gave no answer.", fix="Try again.")
    return Tried(
        role=role,
        model=end.model,
        seconds=end.seconds,
        prompt_tokens=end.prompt_tokens,
        completion_tokens=end.completion_tokens,
        estimated=end.estimated,
        money=cost(settings.prices, end),
    )
