"""From a failed rung to one short report for the model, and to a signature that shows repeats."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

from vibe.app import Rung

REPORT_BYTES = 4096
"""What a report may weigh: failing output is what helps a model, more of it is not."""

EXPECTED = {
    "parse": "a reply with whole files in fences, each with its path",
    "static": "files that compile, with imports the box has",
    "start": "the program opens its port and keeps running",
    "alive": "the program answers HTTP and is still running",
    "pages": "the page shows its content without an exception",
    "run": "the script, run with no arguments, exits 0 with useful output",
    "renders": "the page shows something in a browser",
    "errors": "no console errors, page errors or failed requests",
    "controls": "every button does something when it is clicked",
    "check": "this check of the plan holds",
    "used": "the program bears what a person does with it",
}

_FRAME = re.compile(r'^[ \t]*File "(?:/work/)?([^"]+)", line (\d{1,9})(?:, in (.+))?$', re.M)
_ANSI = re.compile(
    r"\x1b\][^\x07\x1b]{0,1000}(?:\x07|\x1b\\)"
    r"|\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f]"
)


def clean(text: str) -> str:
    """Program output without colours and control characters, other than newline and tab."""
    return _ANSI.sub("", text.replace("\r\n", "\n"))


def report(rung: Rung, files: Mapping[str, str], others: Sequence[Rung] = ()) -> str:
    """Stage, expectation, what happened, the failing lines in their place, the last output; then
    in a line each what else failed, so that one reply can mend it all."""
    happened = clean(rung.evidence)
    parts = [
        f"Stage: {rung.name}",
        f"Expected: {EXPECTED.get(rung.name, 'success')}",
        f"Happened: {clean(rung.sentence)}",
    ]
    parts += _places(happened, files)
    if happened.strip():
        parts += ["Output, the last lines:", _tail(_folded(happened))]
    also = [f"- {r.name}: {_cut(clean(r.sentence), 240)}" for r in others[:6]]
    also = ["What else failed, maybe for the same reason:", *also] if also else []
    rest = len("\n".join(["", *also]).encode()) if also else 0
    text = "\n".join(parts)
    text = text if len(text.encode()) <= REPORT_BYTES - rest else _shortened(text, rest)
    return "\n".join([text, *also])


def signature(rung: Rung) -> str:
    """A short hash that is equal for equal failures: numbers, addresses and paths are masked."""
    last = next((ln for ln in reversed(clean(rung.evidence).splitlines()) if ln.strip()), "")
    text = f"{rung.name}|{rung.sentence}|{last}"
    text = re.sub(r"0x[0-9a-fA-F]+", "ADDRESS", text)
    text = re.sub(r"(/[\w.-]+)+/?", "PATH", text)
    text = re.sub(r"\d+", "N", text)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _places(text: str, files: Mapping[str, str]) -> list[str]:
    """The app's own lines that the traceback names, each with its neighbours."""
    parts = []
    places = [(m[1], int(m[2]), m[3] or "") for m in _FRAME.finditer(text) if m[1] in files]
    for path, number, function in list(dict.fromkeys(places))[-3:]:
        lines = files[path].splitlines()
        first = max(0, number - 4)
        shown = [
            f"{'>' if at + 1 == number else ' '} {at + 1:4} {lines[at][:200]}"
            for at in range(first, min(len(lines), number + 3))
        ]
        where = f" in {function}" if function else ""
        parts += [f"{path}, line {number}{where}:", *shown]
    return parts


def _folded(text: str) -> str:
    """Runs of equal lines as one line with a count."""
    out: list[str] = []
    count = 0
    for line in [*text.splitlines(), None]:
        if out and line == out[-1]:
            count += bool(line.strip())
            continue
        if count:
            out[-1] += f"   (and {count} times more)"
            count = 0
        if line is not None:
            out.append(line)
    return "\n".join(out)


def _cut(text: str, most: int) -> str:
    """The start of a text, `most` bytes of it."""
    return text.encode()[:most].decode("utf-8", "ignore")


def _tail(text: str, lines: int = 40) -> str:
    return "\n".join(line[:400] for line in text.splitlines()[-lines:])


def _shortened(text: str, rest: int) -> str:
    """The start and the end, with what was left out counted; at most REPORT_BYTES less `rest`."""
    data = text.encode()
    half = (REPORT_BYTES - rest) // 2 - 40
    left_out = len(data) - 2 * half
    head, tail = data[:half].decode("utf-8", "ignore"), data[-half:].decode("utf-8", "ignore")
    return f"{head}\n… {left_out} bytes left out …\n{tail}"
