"""The prompts of each model call, rendered from templates/prompts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from vibe import libraries
from vibe.granted import NOTHING, Granted
from vibe.kinds import Kind, kinds
from vibe.model import Message, Prompt, Role
from vibe.settings import TEMPLATES

CONTEXT_BYTES = 60_000
"""What the files of an app may take in a prompt; larger ones are shortened in the middle."""


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES / "prompts"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 prompts are plain text, never markup
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def version(name: str) -> str:
    """A template's version: the first eight hex digits of its text's SHA-256."""
    return hashlib.sha256((TEMPLATES / "prompts" / name).read_bytes()).hexdigest()[:8]


def _render(name: str, role: Role, *, pictures: tuple[bytes, ...] = (), **values: object) -> Prompt:
    template = _environment().get_template(name)
    context = template.new_context(values)
    parts = {block: "".join(render(context)).strip() for block, render in template.blocks.items()}
    messages = []
    if parts["system"]:
        messages.append(Message("system", parts["system"]))
    messages.append(Message("user", parts["user"], pictures))
    return Prompt(role, tuple(messages), f"{name} {version(name)}")


def plan(
    request: str,
    *,
    forced_kind: str | None,
    current_plan: str,
    data: str,
    pictures: tuple[bytes, ...] = (),
    granted: Granted = NOTHING,
) -> Prompt:
    """The call that makes (or, with `current_plan` as YAML, updates) the plan."""
    return _render(
        "plan.j2",
        "plan",
        request=request,
        kinds=list(kinds().values()),
        pages=", ".join(f"`{each.name}`" for each in kinds().values() if each.serves),
        programs=", ".join(f"`{each.name}`" for each in kinds().values() if not each.serves),
        forced_kind=forced_kind,
        current_plan=current_plan,
        data=data,
        pictures=pictures,
        granted=granted,
    )


def code(
    request: str,
    kind: Kind,
    plan_yaml: str,
    *,
    files: Mapping[str, str],
    data: str,
    pictures: tuple[bytes, ...] = (),
    example: tuple[str, str] | None = None,
    lessons: str = "",
    role: Role = "code",
    granted: Granted = NOTHING,
) -> Prompt:
    """The call that writes the files, or with `files` changes them."""
    example_plan, example_code = example or ("", "")
    return _render(
        "code.j2",
        role,
        request=request,
        kind=kind,
        libraries=libraries.told() if kind.vendor else "",
        plan=plan_yaml,
        files=listing(kind.own(files)),
        data=data,
        pictures=pictures,
        example_plan=example_plan,
        example_code=example_code,
        lessons=lessons,
        granted=granted,
    )


def repair(
    request: str,
    kind: Kind,
    plan_yaml: str,
    *,
    files: Mapping[str, str],
    report: str,
    data: str = "",
    apart: bool = False,
    granted: Granted = NOTHING,
) -> Prompt:
    """The call that mends the files after what `report` says, or `apart` by another way than the
    first that comes to mind."""
    return _render(
        "repair.j2",
        "repair",
        request=request,
        kind=kind,
        libraries=libraries.told() if kind.vendor else "",
        plan=plan_yaml,
        files=listing(kind.own(files)),
        report=report,
        data=data,
        apart=apart,
        granted=granted,
    )


def again(prompt: Prompt, reply: str, fault: str) -> Prompt:
    """The same call once more, after a reply that could not be read."""
    said = Message("user", f"That can't be used: {fault} Please answer again.")
    messages = (*prompt.messages, Message("assistant", reply[-8000:]), said)
    return replace(prompt, messages=messages)


def continuation(prompt: Prompt, so_far: str) -> Prompt:
    """The call that goes on with a reply that was cut: as a user message, since several
    endpoints refuse an assistant's message at the end."""
    tail = "\n".join(so_far.splitlines()[-8:])[-1000:]
    asked = _render("continue.j2", prompt.role, tail=tail)
    messages = (*prompt.messages, Message("assistant", so_far), *asked.messages)
    return replace(asked, messages=messages)


def listing(files: Mapping[str, str]) -> str:
    """The files as fences with their paths, in a fence longer than any inside them."""
    share = CONTEXT_BYTES // max(1, len(files))
    parts = []
    for path, text in sorted(files.items()):
        if len(text) > share:
            half = share // 2
            text = f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
        fence = "`" * max(3, 1 + max((len(m) for m in re.findall(r"`{3,}", text)), default=0))
        parts.append(f"{fence}{path.rpartition('.')[2]} path={path}\n{text.rstrip()}\n{fence}")
    return "\n\n".join(parts)
