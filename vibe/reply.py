"""Reads what a model writes: the files of an app from the text of a reply."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from vibe.claims import LANGUAGES, language_of
from vibe.edits import Edit, Result, apply, diff_edits, edits_in, has_edits, is_diff, is_end
from vibe.errors import ModelFault
from vibe.fences import Block, blocks, tidy
from vibe.joining import join
from vibe.kinds import Kind
from vibe.naming import (
    files_in_json,
    looks_finished,
    misnamed_entry,
    name_blocks,
    unfenced,
    what_to_send,
    without_common_folder,
)
from vibe.paths import safe_files, safe_path

__all__ = ["Reply", "join", "open_files", "read_files"]

MAX_EDITS = 100
"""Search/replace blocks in one file that are applied; more are asked for as a whole file."""

_ELIDED = re.compile(
    r"[ \t]*(?:#|//|/\*|<!--|\{/\*)[ \t]*(?:\.\.\.|…)[^\n]{0,60}"
    r"\b(?:rest|existing|unchanged|remain\w*|previous|other|same|your|keep)\b[^\n]{0,80}",
    re.IGNORECASE,
)
_REFUSAL = re.compile(r"\b(?:can(?:'|’)?t|cannot|won(?:'|’)?t|unable|not able|sorry)\b", re.I)  # noqa: RUF001 as models write it


@dataclass(frozen=True, slots=True)
class Reply:
    """What a reply makes of the app."""

    files: dict[str, str]
    """The complete tree, path → text: the current files with the reply's new ones over them."""
    changed: tuple[str, ...]
    """The paths whose text is new."""
    truncated: bool
    """The reply was cut off: more of it may be asked for, see `join`."""
    partial: str | None
    """The path of the file that is cut off; its text so far is in `files`."""
    notes: tuple[str, ...]
    """What was mended in reading, a plain sentence each."""


def read_files(
    text: str, *, kind: Kind, current: Mapping[str, str] = {}, finish: str = "stop"
) -> Reply:
    """The app's files after a reply; `finish` is the reply's finish reason.

    Raises ModelFault with one sentence for the model: there is no code, a path is unsafe, a change
    can't be applied, or the file that must exist is missing.
    """
    ended = finish == "stop"
    text = tidy(text)
    notes: list[str] = []
    found = _found(text, kind, current, ended, notes)
    if not found:
        raise ModelFault(_nothing(text, kind, finish))
    found = [(_tidy_path(path, (kind.entry, *current)), block) for path, block in found]
    found = without_common_folder(found, kind, current, notes)
    files, partial = _written(found, current, notes)
    if partial is not None and ended and looks_finished(partial, files.get(partial, "")):
        notes.append(f"The fence of {partial} was never closed, but the file is whole.")
        partial = None
    truncated = partial is not None or finish == "length"
    files, partial = _with_entry(files, partial, kind, notes, truncated=truncated)
    files = safe_files(files)
    changed = tuple(path for path, content in files.items() if current.get(path) != content)
    if not changed:
        notes.append("The reply changes nothing.")
    return Reply(files, changed, truncated, partial, tuple(dict.fromkeys(notes)))


def open_files(text: str) -> list[tuple[str | None, str, bool]]:
    """The files of a reply that is still coming, in order: path (None while nothing names it),
    text so far, whether it is closed. Takes time linear in the text; never raises."""
    seen = []
    for block in blocks(tidy(text), whole=False):
        if block.path is None and LANGUAGES.get(block.language) == "shell":
            continue
        content = block.text
        if not block.closed:
            content = re.sub(r"\n[ \t]{0,20}(`{1,3}|~{1,3})$", "\n", content)
        seen.append((block.path, content, block.closed))
    return seen


def _found(
    text: str, kind: Kind, current: Mapping[str, str], ended: bool, notes: list[str]
) -> list[tuple[str, Block]]:
    """Every file in the reply with the path it is meant for."""
    found = files_in_json(text) if text.lstrip()[:1] in ("{", "[") else []
    found = found or [_whole_edit(block) if ended else block for block in blocks(text, whole=ended)]
    found = [block for block in found if not _is_placeholder(block)]
    if named := name_blocks(found, kind, current, notes):
        return named
    bare = unfenced(text, kind) if not found or kind.entry.endswith(".html") else []
    return name_blocks(bare or files_in_json(text), kind, current, notes)


def _is_placeholder(block: Block) -> bool:
    """Whether it is the empty example from the prompt, echoed."""
    text = block.text.strip()
    return text in ("...", "…", "# ...", "// ...", "<!-- ... -->") or (
        "\nlines exactly as they are\n" in text and "\nlines as they shall be\n" in text
    )


def _whole_edit(block: Block) -> Block:
    """A search/replace block that has its own end needs no closing fence."""
    if block.closed or not has_edits(block.text):
        return block
    return replace(block, closed=is_end(block.text.rstrip().rpartition("\n")[2]))


def _tidy_path(path: str, known: Iterable[str]) -> str:
    """The path without what models put around it, spelt as the file that is known by it."""
    path = path.strip().strip("`\"'")
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    path = path.removeprefix("/work/")
    return next((name for name in known if name.casefold() == path.casefold()), path)


def _nothing(text: str, kind: Kind, finish: str) -> str:
    """What a model is told whose reply has no file."""
    if not text.strip():
        return f"The reply was empty. {what_to_send(kind)}"
    if finish != "stop":
        begun = "The reply was cut off before its first file: begin with the code."
        return f"{begun} {what_to_send(kind)}"
    if "```" not in text and len(text) < 3000 and _REFUSAL.search(text):
        return (
            "The reply declines and has no code; if the whole can't be done, write the closest "
            f"small program that can. {what_to_send(kind)}"
        )
    return f"The reply has no code for {kind.entry}. {what_to_send(kind)}"


def _written(
    found: list[tuple[str, Block]], current: Mapping[str, str], notes: list[str]
) -> tuple[dict[str, str], str | None]:
    """The tree after every block in turn, and the path of the last one if it is cut off."""
    files = dict(current)
    whole: set[str] = set()
    faults: dict[str, str] = {}
    closest: dict[str, str] = {}
    asked: Counter[str] = Counter()
    path = ""
    for name, block in found:
        path = str(safe_path(name))
        edits = _edits(path, block)
        if edits is None or _is_new_file(edits, block, path in files):
            if path in whole:
                notes.append(f"{path} was sent more than once; the last one counts.")
            whole.add(path)
            files[path] = _code(path, block, edits)
            if elided := next(filter(_ELIDED.fullmatch, files[path].split("\n")), None):
                faults[path] = f"{path} leaves code out ({elided.strip()[:80]!r})"
        elif edits or block.closed:
            asked[path] += len(edits)
            if asked[path] > MAX_EDITS:
                faults[path] = f"{path} can't be changed by more than {MAX_EDITS} blocks"
                continue
            result = _edited(path, files.get(path, ""), edits, notes)
            files[path] = result.text
            if result.failed:
                faults[path] = _fault(path, result)
                closest[path] = "\n".join(result.closest)
    if faults:
        raise ModelFault(_faults(faults, closest, {str(safe_path(name)) for name, _ in found}))
    return files, None if found[-1][1].closed or path not in files else path


def _edits(path: str, block: Block) -> tuple[Edit, ...] | None:
    """The changes that a block asks for, or None when it is a whole file."""
    if has_edits(block.text):
        return edits_in(block.text, closed=block.closed)
    if not path.endswith((".diff", ".patch")) and is_diff(block.text, block.language):
        return diff_edits(block.text)
    return None


def _is_new_file(edits: tuple[Edit, ...], block: Block, exists: bool) -> bool:
    """Whether changes that search for nothing are all of a file."""
    if not edits or any(edit.search for edit in edits):
        return False
    hunks = re.search(r"^@@(?! -0,0 )", block.text, re.MULTILINE)
    return not exists or (not has_edits(block.text) and not hunks)


def _edited(path: str, text: str, edits: tuple[Edit, ...], notes: list[str]) -> Result:
    if not edits:
        return Result(text, (), (), ((1, "a part is missing"),), (), ())
    result = apply(text, edits)
    if result.loosely:
        notes.append(f"A change in {path} fitted only with its white space left out of account.")
    if result.already:
        notes.append(f"{path} has some of the changes already.")
    return result


def _fault(path: str, result: Result) -> str:
    why = "; ".join(f"in block {number}, {reason}" for number, reason in result.failed[:3])
    fates = (
        (result.applied, "would apply"),
        (result.already, "already applied"),
    )
    rest = "; ".join(
        f"block{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))} {fate}"
        for numbers, fate in fates
        if numbers
    )
    return f"{path} can't be changed as asked: {why}" + (f" ({rest})" if rest else "")


def _faults(faults: Mapping[str, str], closest: Mapping[str, str], sent: set[str]) -> str:
    """One sentence for all that is wrong, then the lines of the files that were probably meant."""
    others = sorted(sent - set(faults))[:10]
    again = f", and {', '.join(others)} again" if others else ""
    sentence = (
        f"{'; '.join(faults.values())}: nothing was changed, so send {', '.join(faults)} whole"
        f"{again}, each in a fence with its path."
    )
    quoted = [f"\n\nThe closest lines in {path}:\n{text}" for path, text in closest.items() if text]
    return sentence + "".join(quoted)


def _code(path: str, block: Block, edits: tuple[Edit, ...] | None) -> str:
    """A file's text as it is written to disk: one line end at the end, no indentation around it."""
    text = block.text
    if edits is not None:
        text = "\n".join(line for edit in edits for line in edit.replace) + "\n"
    if language_of(path) == "python" and text.lstrip("\n").startswith((" ", "\t")):
        text = textwrap.dedent(text)
    text = text.lstrip("\n") if text.strip() else ""
    if not block.closed:
        return text
    return text.rstrip() + "\n" if text else ""


def _with_entry(
    files: dict[str, str], partial: str | None, kind: Kind, notes: list[str], *, truncated: bool
) -> tuple[dict[str, str], str | None]:
    """The files with the one that must exist, renamed to its name if need be."""
    if kind.entry in files:
        if not files[kind.entry].strip() and not truncated:
            raise ModelFault(f"{kind.entry} is empty. {what_to_send(kind)}")
        return files, partial
    misnamed = misnamed_entry(files, kind)
    if misnamed is not None:
        notes.append(f"{misnamed} was renamed to {kind.entry}.")
        files = {kind.entry if path == misnamed else path: text for path, text in files.items()}
        return files, kind.entry if partial == misnamed else partial
    if truncated:
        return files, partial
    raise ModelFault(f"The reply has no {kind.entry}, which must exist. {what_to_send(kind)}")
