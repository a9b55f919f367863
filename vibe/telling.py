"""Tells a build's events on a terminal, in short lines; what others wrote can't steer it."""

from __future__ import annotations

import codecs
from typing import Literal, TextIO

from vibe import events as ev
from vibe.ui.words import clean, short

DOT_CHARACTERS = 200
"""Characters of a reply to each dot."""


class Teller:
    """Writes each event to `out` as it comes; with `verbose` the model's words and the program's
    output too, else a dot for every DOT_CHARACTERS of a reply when `out` is a terminal."""

    def __init__(self, out: TextIO, *, verbose: bool) -> None:
        self._out = out
        self._verbose = verbose
        self._dots = out.isatty()
        self._streamed = 0
        self._mid_line = False

    def tell(self, event: ev.Event) -> None:
        match event:
            case ev.Requested(revision=revision, text=text):
                self._line(f"r{revision}: {short(text, 90)}")
            case ev.PromptSent(model=model):
                self._line(f"  Asking {model}")
                self._streamed = 0
            case ev.ReplyText(text=text):
                self._stream(text)
            case ev.ReplyEnded(seconds=seconds, completion_tokens=tokens):
                self._line(f"  {tokens} tokens in {seconds:.1f} s")
            case ev.PlanMade(plan=plan):
                self._line(f"  Plan: {plan.get('title', '')} ({plan.get('kind', '')})")
            case ev.AttemptStarted(attempt=attempt, reason=reason) if attempt > 1:
                self._line(f"Attempt {attempt}: {reason}")
            case ev.FilesWritten(files=files):
                self._line(f"  Wrote {', '.join(files)}")
            case ev.PackageReady(name=name, version=version, done=done, of=of):
                self._line(f"  {name} {version} ({done} of {of})")
            case ev.RungDone(passed=passed, sentence=sentence, evidence=evidence):
                self._line(f"  {'✓' if passed else '✗'} {sentence}")
                if self._verbose and not passed and evidence:
                    self._text(evidence)
            case ev.Output(text=text) if self._verbose:
                self._text(text)
            case ev.Fixed(sentence=sentence) | ev.Notice(text=sentence):
                self._line(f"  {sentence}")
            case ev.VerdictReached(state=state, sentence=sentence):
                self._line(f"Verdict: {state}. {sentence}")
            case ev.Finished(sentence=sentence, fix=fix):
                self._line(f"{sentence} {fix}".strip())
            case _:
                pass

    def _stream(self, text: str) -> None:
        if self._verbose:
            self._text(text)
            return
        dots = (self._streamed + len(text)) // DOT_CHARACTERS - self._streamed // DOT_CHARACTERS
        self._streamed += len(text)
        if dots and self._dots:
            self._out.write("." * dots)
            self._out.flush()
            self._mid_line = True

    def _text(self, text: str) -> None:
        text = clean(text)
        self._out.write(text)
        self._out.flush()
        self._mid_line = bool(text) and not text.endswith("\n")

    def _line(self, text: str) -> None:
        start = "\n" if self._mid_line else ""
        self._out.write(f"{start}{' '.join(clean(text).splitlines())}\n")
        self._out.flush()
        self._mid_line = False


class Passing:
    """Passes a program's output on: as it is into a file or a pipe, made safe onto a terminal."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._outs = {"stdout": out, "stderr": err}
        self._decoders = {
            name: codecs.getincrementaldecoder("utf-8")("replace") for name in self._outs
        }

    def __call__(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        out = self._outs[stream]
        if out.isatty():
            out.write(clean(self._decoders[stream].decode(data)))
        else:
            out.buffer.write(data)
        out.flush()
