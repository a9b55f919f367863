"""The model's edge: the `Model` protocol and the OpenAI-compatible client."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from vibe.completion import Answer, objects
from vibe.endpoints import Endpoint, connect, find_endpoint, first_chat_model, list_models
from vibe.errors import ModelFault, UserError
from vibe.redaction import redact
from vibe.refusal import Passing, Refusal, no_such_model, refusal, unreachable
from vibe.settings import Settings

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI, AsyncStream
    from openai._response import AsyncAPIResponse
    from openai.types.chat import ChatCompletionChunk

__all__ = [
    "Endpoint",
    "Message",
    "Model",
    "OpenAIModel",
    "Prompt",
    "ReplyEnd",
    "Role",
    "find_endpoint",
]

TRIES = 3
"""How often a request is made whose trouble may pass."""
REPLY_TOKENS = 16_000
"""The most one reply may take: a small app, and what a reasoning model thinks before it."""
USAGE_S = 5.0
"""How long the usage is waited for, after the finish reason."""
OPTIONAL = {
    "stream_options": ("stream_options", "include_usage"),
    "max_completion_tokens": ("max_completion_tokens", "max_tokens"),
}
"""Parameters a reply can do without, and the words by which an endpoint refuses each."""

log = logging.getLogger(__name__)

Role = Literal["plan", "code", "repair", "stronger"]


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str
    pictures: tuple[bytes, ...] = ()
    """JPEG files that go with the text, for a model that takes pictures."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One model call: the part it plays (which picks the model's name) and its messages."""

    role: Role
    messages: tuple[Message, ...]
    template: str = ""
    """The template it was made from, and the beginning of that text's SHA-256: its version."""


@dataclass(frozen=True, slots=True)
class ReplyEnd:
    """The last item of every reply stream."""

    finish: Literal["stop", "length", "cut", "filter"]
    """`length`: the token limit was reached. `cut`: the stream ended without a finish reason."""
    model: str
    prompt_tokens: int
    completion_tokens: int
    estimated: bool = False
    """Whether a count is a guess (4 characters a token), as the server reported no usage."""
    seconds_to_first: float = 0.0
    seconds: float = 0.0


class Model(Protocol):
    """Writes replies. `OpenAIModel` and the starters are two of these."""

    name: str
    """Shown to the user and kept in the archive."""

    def reply(self, prompt: Prompt) -> AsyncIterator[str | ReplyEnd]:
        """Pieces of text as they come, then exactly one ReplyEnd. Closing the iterator early
        (or cancelling the task) closes the connection.

        Raises UserError (wrong key, no such model, endpoint down after the retries; with a fix)
        and ModelFault (the endpoint answered with something unusable)."""


class OpenAIModel:
    """A model behind any OpenAI-compatible endpoint; `name` is the one that writes the code."""

    def __init__(
        self,
        endpoint: Endpoint,
        settings: Settings,
        *,
        model: str | None = None,
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        """`model` beats the settings' model; a role's own model beats both. `on_wait` gets a
        sentence when a request is tried again, or a reply was cut off."""
        self._endpoint = endpoint
        self._limits = settings.limits
        self._roles = settings.roles
        self._secrets = settings.known_secrets
        self._chosen = model or settings.model or first_chat_model(endpoint.models)
        self._on_wait = on_wait
        self._client: AsyncOpenAI | None = None
        self._optional: dict[str, Any] = {
            "stream_options": {"include_usage": True},
            "max_completion_tokens": min(REPLY_TOKENS, settings.limits.tokens),
        }
        self.name = self._roles.get("code") or self._chosen or "unnamed model"

    async def close(self) -> None:
        """Closes what is open; the next reply opens anew."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def models(self) -> tuple[str, ...]:
        """The models the endpoint lists now. Raises UserError when it can't be asked."""
        import openai

        try:
            async with asyncio.timeout(self._limits.first_token_s):
                return await list_models(await self._connected())
        except TimeoutError:
            raise self._silent(self._limits.first_token_s) from None
        except openai.APIStatusError as error:
            trouble = self._refusal(error, "").trouble()
            raise (trouble.error if isinstance(trouble, Passing) else trouble) from None
        except (openai.OpenAIError, ValueError) as error:
            raise unreachable(self._endpoint, error) from None

    async def reply(self, prompt: Prompt) -> AsyncIterator[str | ReplyEnd]:
        """See Model.reply. Trouble that may pass is tried again until text came, never after."""
        clock = asyncio.get_running_loop().time
        started, first = clock(), 0.0
        until = started + self._limits.reply_s
        name = await self._name(prompt.role)
        for tries in range(1, TRIES + 1):
            answer = Answer(self._limits.reply_bytes)
            try:
                async with aclosing(self._try(name, prompt, answer, until)) as pieces:
                    async for piece in pieces:
                        first = first or clock() - started
                        yield piece
                break
            except Passing as trouble:
                wait = trouble.wait(tries)
                if tries == TRIES or clock() + wait >= until:
                    raise trouble.error from None
                self._tell(f"{trouble.error.message} Trying again in {wait:.1f} s.")
                await asyncio.sleep(wait)
        prompt_tokens, completion_tokens, estimated = answer.tokens(
            sum(len(message.content) for message in prompt.messages)
        )
        yield ReplyEnd(
            finish=answer.finish or "cut",
            model=answer.model or name,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            estimated=estimated,
            seconds_to_first=first,
            seconds=clock() - started,
        )

    async def _try(
        self, name: str, prompt: Prompt, answer: Answer, until: float
    ) -> AsyncGenerator[str, None]:
        """One try: yields text, and keeps the rest in `answer`. Raises Passing before any text."""
        clock = asyncio.get_running_loop().time
        patience = self._limits.first_token_s
        deadline = min(until, clock() + patience)
        async with AsyncExitStack() as open_things:
            try:
                async with asyncio.timeout_at(deadline):
                    response = await self._open(name, prompt, open_things)
            except TimeoutError:
                raise self._silent(patience) from None
            content_type = response.headers.get("content-type", "")
            if "html" in content_type:
                raise UserError(
                    f"{self._endpoint.where} answered with a web page.",
                    "Check OPENAI_BASE_URL: it usually ends in /v1.",
                )
            events = objects(response.iter_bytes(), content_type, self._limits.reply_bytes)
            await open_things.enter_async_context(aclosing(events))
            while (event := await self._next(events, answer, deadline)) is not None:
                signs = answer.signs
                if text := answer.take(event):
                    yield text
                if answer.full:
                    return
                if answer.finish:
                    deadline = min(until, clock() + USAGE_S)
                elif answer.signs > signs:
                    deadline = min(until, clock() + patience)

    async def _open(
        self, name: str, prompt: Prompt, open_things: AsyncExitStack
    ) -> AsyncAPIResponse[AsyncStream[ChatCompletionChunk]]:
        """The answer with its body unread; optional parameters that are refused are left out.

        The body is read by vibe.completion, not by the library's own stream, which takes neither
        an answer in one piece nor a limit on what it buffers."""
        import openai

        client = await self._connected()
        pictures = any(message.pictures for message in prompt.messages)
        optional = self._optional
        while True:
            try:
                response = await open_things.enter_async_context(
                    client.chat.completions.with_streaming_response.create(
                        model=name,
                        messages=_messages(prompt, self._secrets, pictures=pictures),
                        stream=True,
                        extra_body=optional,
                    )
                )
            except openai.APIStatusError as error:
                refused = self._refusal(error, name)
            except openai.APIConnectionError as error:
                raise Passing(unreachable(self._endpoint, error)) from None
            else:
                self._optional = optional
                return response
            named = {n for n in optional if any(word in refused.said for word in OPTIONAL[n])}
            if refused.is_about_parameters and pictures and not named:
                self._tell("The endpoint does not take pictures; it is asked without them.")
                pictures = False
            elif refused.is_about_parameters and optional:
                optional = {n: v for n, v in optional.items() if named and n not in named}
            elif refused.is_about_the_model and name not in (there := await self.models()):
                raise no_such_model(refused, there) if there else refused.trouble()
            else:
                raise refused.trouble()

    async def _next(
        self, events: AsyncIterator[dict[str, Any]], answer: Answer, deadline: float
    ) -> dict[str, Any] | None:
        """The next object, or None at the end. Once text has come, trouble is just an early end."""
        trouble: UserError | Passing
        try:
            async with asyncio.timeout_at(deadline):
                event = await anext(events, None)
        except TimeoutError:
            trouble = self._silent(self._limits.first_token_s, thought=answer.signs > 0)
        except ConnectionError as error:
            trouble = Passing(unreachable(self._endpoint, error))
        else:
            if event is None:
                trouble = Passing(ModelFault("The reply ended before it was complete."))
            elif event.get("error"):
                trouble = refusal(self._endpoint, answer.model, 0, event, {}).trouble()
            else:
                return event
        if not (answer.bytes or answer.finish):
            raise trouble
        if answer.finish is None:
            self._tell(f"The reply was cut off. {trouble}")
        return None

    async def _connected(self) -> AsyncOpenAI:
        if self._client is None:
            self._client = await connect(self._endpoint)
        return self._client

    async def _name(self, role: Role) -> str:
        """The model that plays the role, asking the endpoint when nobody named one."""
        named = self._roles.get(role) or self._chosen
        if named:
            return named
        self._chosen = first_chat_model(await self.models())
        if self._chosen is None:
            raise UserError(
                f"{self._endpoint.where} lists no model that can chat.",
                "Name one with VIBE_MODEL or --model.",
            )
        self.name = self._roles.get("code") or self._chosen
        return self._chosen

    def _refusal(self, error: APIStatusError, model: str) -> Refusal:
        # The error's own message and traceback may repeat the key: they go no further.
        headers = error.response.headers
        return refusal(self._endpoint, model, error.status_code, error.body, headers)

    def _silent(self, seconds: float, *, thought: bool = False) -> UserError:
        if thought:
            return UserError(
                "The model thought for a long time, and then stopped without a word of its reply.",
                "Raise limits.reply_s in the settings, or choose a model that thinks less.",
            )
        return UserError(
            f"The model did not answer within {seconds:g} s.",
            "Raise limits.first_token_s in the settings, or choose a faster model.",
        )

    def _tell(self, sentence: str) -> None:
        log.info(sentence)
        if self._on_wait:
            self._on_wait(sentence)


def _messages(prompt: Prompt, secrets: Sequence[str], *, pictures: bool) -> Any:
    """The messages as the endpoint wants them, secrets masked; a picture goes as a part beside
    the text."""
    masked = [replace(m, content=redact(m.content, secrets)) for m in prompt.messages]
    return [
        {"role": m.role, "content": m.content if not (pictures and m.pictures) else _parts(m)}
        for m in masked
    ]


def _parts(message: Message) -> list[dict[str, Any]]:
    shown = [base64.b64encode(picture).decode() for picture in message.pictures]
    return [
        {"type": "text", "text": message.content},
        *(
            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{code}"}}
            for code in shown
        ),
    ]
