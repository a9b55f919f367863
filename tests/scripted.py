"""A model whose replies are written beforehand: an ordinary implementation of the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from vibe.errors import UserError
from vibe.model import Prompt, ReplyEnd


class ScriptedModel:
    """Gives its replies in turn; a reply that is an exception is raised, a float waits first."""

    name = "scripted"

    def __init__(self, *replies: str | Exception, pause: float = 0.0) -> None:
        self._replies = list(replies)
        self._pause = pause
        self.prompts: list[Prompt] = []

    async def reply(self, prompt: Prompt) -> AsyncIterator[str | ReplyEnd]:
        self.prompts.append(prompt)
        if not self._replies:
            raise UserError("The script is at its end.", "Write more replies.")
        text = self._replies.pop(0)
        if isinstance(text, Exception):
            raise text
        finish = "stop"
        if text.endswith("<cut>"):
            text, finish = text.removesuffix("<cut>"), "cut"
        for start in range(0, len(text), 40):
            await asyncio.sleep(self._pause)
            yield text[start : start + 40]
        yield ReplyEnd(
            finish=finish,  # type: ignore[arg-type]
            model=self.name,
            prompt_tokens=sum(len(m.content) for m in prompt.messages) // 4,
            completion_tokens=len(text) // 4,
        )


def plan(kind: str = "script", title: str = "Test app", checks: Sequence[str] = ()) -> str:
    """A plan reply; each check is one YAML flow mapping."""
    lines = [f"title: {title}", f"kind: {kind}", "summary: A test.", "packages: []"]
    lines += ["checks:", *(f"  - {check}" for check in checks)] if checks else ["checks: []"]
    return "```yaml\n" + "\n".join(lines) + "\n```\n"


def code(**files: str) -> str:
    """A code reply; `main_py` stands for main.py."""
    parts = []
    for name, text in files.items():
        path = ".".join(name.rsplit("_", 1))
        parts.append(f"```{path.rpartition('.')[2]} path={path}\n{text.rstrip()}\n```")
    return "Here it is.\n\n" + "\n\n".join(parts) + "\n"
