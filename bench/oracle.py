"""A model that knows the right answer, and gives wrong ones first as often as it is told to."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from pathlib import PurePosixPath

from faults import App, Files

from vibe.model import Prompt, ReplyEnd
from vibe.plan import plan_to_yaml

LANGUAGES = {".html": "html", ".py": "python", ".css": "css", ".js": "javascript"}


class Oracle:
    """Answers with the app's plan, then with each of the wrong trees, then with the right one; with
    `never`, with the wrong ones again and again."""

    name = "oracle"

    def __init__(self, app: App, wrong: Sequence[Files], *, never: bool = False) -> None:
        self._plan = f"```yaml\n{plan_to_yaml(app.plan)}```\n"
        self._answers = itertools.cycle(wrong) if never else itertools.chain(
            wrong, itertools.repeat(app.files)
        )  # fmt: skip
        self.prompts: list[Prompt] = []

    async def reply(self, prompt: Prompt) -> AsyncIterator[str | ReplyEnd]:
        self.prompts.append(prompt)
        text = self._plan if prompt.role == "plan" else written(next(self._answers))
        yield text
        yield ReplyEnd(
            finish="stop",
            model=self.name,
            prompt_tokens=sum(len(message.content) for message in prompt.messages) // 4,
            completion_tokens=len(text) // 4,
        )


def written(files: Files) -> str:
    """A reply with whole files, each in a fence with its path."""
    fences = []
    for path, text in files.items():
        language = LANGUAGES.get(PurePosixPath(path).suffix, "text")
        fences.append(f"```{language} path={path}\n{text.rstrip()}\n```\n")
    return "\n".join(fences)
