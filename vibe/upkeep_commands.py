"""What the commands about upkeep do: the models of the roles, and the disk."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import sys

from vibe import disk
from vibe.choice import NO_MODEL, model_of_each_role
from vibe.endpoints import find_endpoint
from vibe.errors import UserError
from vibe.gallery_commands import as_json, opened, say
from vibe.model import Role
from vibe.model_trial import Tried, try_role
from vibe.settings import ROLES, Settings
from vibe.ui.words import clean, count, tried_in_words, weight


def models(settings: Settings, arguments: argparse.Namespace) -> int:
    async def look() -> tuple[dict[Role, str], list[Tried]]:
        named = model_of_each_role(settings, await find_endpoint(settings))
        called = [role for role in ROLES if named[role]] if arguments.test else []
        return named, [await try_role(settings, role) for role in called]

    named, tried = asyncio.run(look())
    results = {each.role: each for each in tried}
    if arguments.json:
        roles = [
            {
                "role": role,
                "model": name,
                "price": settings.prices.get(name),
                "test": dataclasses.asdict(results[role]) if role in results else None,
            }
            for role, name in named.items()
        ]
        print(as_json(roles))
    elif not any(named.values()):
        say(NO_MODEL)
    else:
        for role, name in named.items():
            price = settings.prices.get(name)
            words = f"{price['prompt']:g} / {price['completion']:g}" if price else ""
            print(f"{role:<9} {clean(name) or 'none':<32} {words}".rstrip())
            if role in results:
                print(f"{'':<9} {clean(tried_in_words(results[role]))}")
    return 0 if all(each.ok for each in tried) else 1


def clean_up(settings: Settings, arguments: argparse.Namespace) -> int:
    archive = opened(settings)
    uses = [use for use in disk.used(archive) if arguments.part in (None, use.part)]
    for use in uses:
        freed = sum(thing.size for thing in use.removable)
        print(
            f"{use.part:<8} {use.problem or weight(use.size):>9}  "
            f"{len(use.removable)} of {use.count} could go ({weight(freed)})"
        )
        for thing in use.removable if arguments.part else ():
            print(f"  {clean(thing.words)} ({weight(thing.size)})")
    if arguments.part is None:
        say("Name one of them to clean it up, as in `vibe clean trash`.")
        return 0
    things = uses[0].removable
    if not things:
        return 0
    if not arguments.yes and not _agreed(f"Remove {count(len(things), 'thing')}?"):
        say("Nothing was removed.")
        return 1
    for line in disk.clean(archive, arguments.part, [thing.id for thing in things]):
        print(clean(line))
    return 0


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise UserError("Nobody is here to say yes.", "Add --yes.")
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
