"""Reads what a chat completion endpoint sends: pieces of text, finish reason, usage."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Literal

from vibe.errors import ModelFault

Finish = Literal["stop", "length", "cut", "filter"]

FINISHES: dict[str, Finish] = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "filter",
    "error": "cut",
}
"""Finish reasons with a meaning of their own; every other one is an ordinary stop."""
ESCAPED = 8
"""A character is at most twelve bytes of JSON, and six are usual: room for a whole reply."""
CHARACTERS_PER_TOKEN = 4
"""A rule of thumb for endpoints that report no usage."""


async def objects(
    chunks: AsyncIterator[bytes], content_type: str, most: int
) -> AsyncGenerator[dict[str, Any], None]:
    """The JSON objects of a stream of server-sent events, or the one of an answer in one piece.

    `most` is the size of a reply's text in bytes. Raises ConnectionError when the bytes break off,
    and ModelFault for what is no JSON object, or is far larger than the text may be.
    """
    async with aclosing(_lines(chunks, most * ESCAPED, whole="json" in content_type)) as lines:
        async for line in lines:
            if line == b"[DONE]":
                return
            try:
                event = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ModelFault("The endpoint's answer is not JSON.") from error
            if not isinstance(event, dict):
                raise ModelFault("The endpoint's answer is not a chat completion.")
            yield event


async def _lines(
    chunks: AsyncIterator[bytes], most: int, *, whole: bool
) -> AsyncGenerator[bytes, None]:
    """What comes after `data:`, line by line (endpoints write each object on one), or all of it."""
    rest = b""
    while True:
        try:
            chunk = await anext(chunks, b"")
        except Exception as error:
            # httpx's own errors, of whichever httpx this openai library reads with
            raise ConnectionError(str(error)) from error
        if whole:
            rest += chunk
        else:
            lines = (rest + chunk).splitlines(keepends=True)
            rest = lines.pop() if chunk and lines and not lines[-1].endswith(b"\n") else b""
            for line in lines:
                if line.startswith(b"data:") and (data := line[5:].strip()):
                    yield data
        if len(rest) > most:
            raise ModelFault(f"The endpoint's answer has a line of more than {most:,} bytes.")
        if not chunk:
            break
    if whole and rest.strip():
        yield rest


class Answer:
    """One reply as it comes: `take` gives the text of each object, the rest is kept here."""

    def __init__(self, most: int) -> None:
        self.finish: Finish | None = None
        self.model = ""
        self.bytes = 0
        """Size of the text so far; never more than `most`."""
        self.signs = 0
        """How often the model showed that it is alive, by text or by thinking."""
        self.full = False
        """Whether the text has grown as long as it may; nothing more is wanted."""
        self._most = most
        self._characters = 0
        self._usage: dict[str, Any] = {}
        self._half = ""

    def take(self, event: dict[str, Any]) -> str:
        """The text in one object. When the text gets too long, its end is dropped, and the finish
        is `length`."""
        if isinstance(event.get("model"), str):
            self.model = event["model"]
        if isinstance(event.get("usage"), dict):
            self._usage = event["usage"]
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else {}
        if not isinstance(choice, dict):
            return ""
        if isinstance(reason := choice.get("finish_reason"), str) and reason:
            self.finish = FINISHES.get(reason, "stop")
        elif "message" in choice:
            self.finish = "stop"
        delta = choice.get("delta") or choice.get("message")
        if not isinstance(delta, dict):
            return ""
        text = _text(delta.get("content"))
        thought = _text(delta.get("reasoning_content")) or _text(delta.get("reasoning"))
        self._characters += len(text) + len(thought)
        self.signs += bool(text or thought)
        return self._within(self._joined(text))

    def tokens(self, prompt_characters: int) -> tuple[int, int, bool]:
        """Tokens of prompt and reply, and whether either is an estimate."""
        counts = (self._usage.get("prompt_tokens"), self._usage.get("completion_tokens"))
        prompt, completion = (n if type(n) is int and n >= 0 else None for n in counts)
        return (
            -(-prompt_characters // CHARACTERS_PER_TOKEN) if prompt is None else prompt,
            -(-self._characters // CHARACTERS_PER_TOKEN) if completion is None else completion,
            prompt is None or completion is None,
        )

    def _joined(self, text: str) -> str:
        """The text with surrogate pairs joined, also across two pieces; lone ones replaced."""
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _within(self, text: str) -> str:
        data = text.encode()
        room = self._most - self.bytes
        if len(data) > room:
            self.finish, self.full = "length", True
            data = data[:room]
            text = data.decode("utf-8", "ignore")
        self.bytes += len(data)
        return text


def _text(content: Any) -> str:
    """Text as a string, or as the list of parts that some endpoints send."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    return ""
