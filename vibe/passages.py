"""A transcript's events as the passages that a reader wants, prompts and replies whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import yaml

from vibe import events as ev

MAX_BLOCK = 60_000
"""Characters of one block that are shown; events.jsonl has the rest."""

_MISLEADING = {
    **{number: 0x2400 + number for number in range(32) if chr(number) not in "\n\t"},
    0x7F: 0x2421,
    **dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD),
}
"""Control characters become their pictures; those that reorder text become U+FFFD."""


@dataclass(frozen=True, slots=True)
class Block:
    """Text that is shown as it is, under a label."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """One thing that happened."""

    title: str
    sentence: str = ""
    level: int = 0
    """2 for a request, 3 for a step of its build, 0 for a line within a step."""
    mark: str = ""
    """✓ or ✗ where something passed or failed."""
    items: Sequence[str] = ()
    blocks: Sequence[Block] = ()


@dataclass(slots=True)
class _Call:
    """A model call whose reply is still coming in."""

    prompt: ev.PromptSent
    blocks: list[Block]
    reply: list[str] = field(default_factory=list)

    def passage(self, sentence: str) -> Passage:
        title = f"Prompt ({self.prompt.role}) to {self.prompt.model}"
        reply = block("Reply", "".join(self.reply))
        return Passage(title, sentence, 3, blocks=[*self.blocks, reply])


def readable(text: str) -> str:
    """The text without half characters, control characters and such as reorder it."""
    text = text.encode("utf-8", "replace").decode()
    return re.sub(r"\r\n?", "\n", text).translate(_MISLEADING)


def when(at: str) -> str:
    """An event's time for people: `2026-11-26 07:38 UTC`."""
    return re.sub(r"^([\d-]{10})T(\d\d:\d\d)\S*Z$", r"\1 \2 UTC", at)


def block(label: str, text: str) -> Block:
    """The text as a block of at most MAX_BLOCK characters, and a line that says what is missing."""
    text = readable(text)
    if len(text) > MAX_BLOCK:
        more = len(text) - MAX_BLOCK
        text = f"{text[:MAX_BLOCK]}\n… and {more:,} characters more, in events.jsonl"
    return Block(label, text)


def passages(events: Iterable[ev.Event]) -> list[Passage]:
    """The passages of a whole transcript. Messages that a prompt repeats from the one before are
    left out of it; pieces of a reply, and of an output, are put together."""
    found: list[Passage] = []
    call: _Call | None = None
    before: list[dict[str, str]] = []
    output: list[ev.Output] = []
    for event in events:
        if isinstance(event, ev.ReplyText):
            if call:
                call.reply.append(event.text)
            continue
        if output and not (isinstance(event, ev.Output) and event.stream == output[0].stream):
            found.append(_printed(output))
            output = []
        match event:
            case ev.Output():
                output.append(event)
            case ev.PromptSent():
                if call:
                    found.append(call.passage("The reply was cut off."))
                call = _Call(event, _messages(event.messages, before))
                before = event.messages
            case ev.ReplyEnded():
                if call:
                    found.append(call.passage(_ended(event)))
                call = None
            case ev.Requested():
                before = []
                found.append(_passage(event))
            case ev.Finished():
                if call:
                    found.append(call.passage("The reply was cut off."))
                call = None
                found.append(_passage(event))
            case _:
                found.append(_passage(event))
    if output:
        found.append(_printed(output))
    if call:
        found.append(call.passage("The reply has not ended."))
    return found


def _passage(event: ev.Event) -> Passage:
    """The passage of an event that stands alone."""
    match event:
        case ev.Requested():
            words = [block("Request", event.text)]
            if event.report:
                words.append(block("With it", event.report))
            sentence = f"{when(event.at)}, for {event.model or 'any model'}, kind {event.kind}."
            if event.way == "edited":
                sentence = f"{when(event.at)}, written by hand, kind {event.kind}."
            return Passage(f"Revision {event.revision}", sentence, 2, blocks=words)
        case ev.PlanMade():
            text = yaml.safe_dump(event.plan, allow_unicode=True, sort_keys=False)
            return Passage("Plan", level=3, blocks=[block("Plan", text)])
        case ev.DataRead():
            seen = [f"{file.get('name')}: {file.get('what')}" for file in event.files]
            return Passage("Attached", "A part of each file was read.", items=seen)
        case ev.AttemptStarted():
            return Passage(f"Attempt {event.attempt}", event.reason, 3)
        case ev.FilesWritten():
            names = [f"{path} ({size:,} bytes)" for path, size in event.files.items()]
            return Passage("Files", f"Commit {event.commit[:10]}.", items=names)
        case ev.Stage():
            return Passage(event.name, event.sentence)
        case ev.RungDone():
            mark = "✓" if event.passed else "✗"
            return Passage(event.name, event.sentence, mark=mark, blocks=_evidence(event.evidence))
        case ev.BoxStarted():
            return Passage("Box", f"{event.engine}, image {event.image}.")
        case ev.Fixed():
            return Passage("Mended without the model", event.sentence)
        case ev.AttemptEnded():
            return Passage("End of the attempt", event.sentence, mark="✓" if event.runs else "✗")
        case ev.RepairAsked():
            return Passage("Report to the model", level=3, blocks=[block("Report", event.report)])
        case ev.VerdictReached():
            seen = [f"Seen: {phrase}" for phrase in event.verified]
            unseen = [f"Not checked: {phrase}" for phrase in event.unverified]
            return Passage(f"Verdict: {event.state}", event.sentence, 3, items=[*seen, *unseen])
        case ev.Notice():
            return Passage("Note", event.text)
        case ev.Finished():
            return Passage(f"Finished: {event.status}", f"{event.sentence} {event.fix}".strip(), 3)
        case ev.Acted():
            return Passage(event.action, f"{when(event.at)}. {event.detail}".strip())
        case ev.Unknown():
            return Passage("A line this Vibe can't read", blocks=_evidence(event.line))
    return Passage(type(event).__name__)


def _messages(messages: list[dict[str, str]], before: list[dict[str, str]]) -> list[Block]:
    same = 0
    while same < min(len(messages), len(before)) and messages[same] == before[same]:
        same += 1
    return [
        block(str(message.get("role", "message")), str(message.get("content", "")))
        for message in messages[same:]
    ]


def _ended(event: ev.ReplyEnded) -> str:
    about = "about " if event.estimated else ""
    how = "Answered in" if event.finish == "stop" else f"Ended with {event.finish} after"
    return (
        f"{how} {event.seconds:.1f} s; "
        f"{about}{event.prompt_tokens:,} tokens in, {event.completion_tokens:,} out."
    )


def _printed(output: list[ev.Output]) -> Passage:
    text = "".join(piece.text for piece in output)
    return Passage("Output", blocks=[block(output[0].stream, text)])


def _evidence(text: str) -> list[Block]:
    return [block("Evidence", text)] if text.strip() else []
