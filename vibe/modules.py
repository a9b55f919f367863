"""Which package has a module that programs import, as far as a hand-kept list knows."""

from __future__ import annotations

import re
from functools import cache

import yaml

from vibe.settings import TEMPLATES


@cache
def known() -> dict[str, str]:
    """Package by top-level module, from templates/modules.yaml."""
    found: dict[str, str] = yaml.safe_load((TEMPLATES / "modules.yaml").read_text("utf-8"))
    return found


def package_of(module: str) -> str | None:
    """The package that has a module (`PIL.Image` or its top-level name), None for one that is not
    in the list: a name that only a program knows may be made up, or taken with bad intent."""
    return known().get(module.partition(".")[0])


def module_of(package: str) -> str | None:
    """What to import of a package, where its own name is another: `PIL` for `pillow`."""
    wanted = canonical(package)
    modules = [module for module, name in known().items() if canonical(name) == wanted]
    if not modules or package in modules:
        return None
    return next((module for module in modules if canonical(module) == wanted), modules[0])


def canonical(package: str) -> str:
    """A package's name as indexes compare it: one case, one separator."""
    return re.sub(r"[-_.]+", "-", package).lower()
