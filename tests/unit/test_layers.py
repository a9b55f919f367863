"""Reads every import in the package: they point down the table of layers, and never in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from vibe.settings import ROOT

PACKAGE = ROOT / "vibe"

LAYERS = {
    "entry": "cli __main__ commands changing gallery_commands upkeep_commands telling server ui",
    "services": """studio building going_back
        housekeeping previews troubles opening listening incoming gateway headers hosts
        relay upstream exchanges connections assets
        export transcript passages requirements standalone single
        remotes github copies doctor setup boxes disk pinning rechecking
        bundle unpacking
        purging grants""",
    "core": """by_hand versions diffs loop attempt head_start plan outline steps reply claims
        edits fences
        joining naming diagnosis
        proxy proxy_head dialling granted
        evidence fixes cdn
        plan_checks repairs checks ladder looking trying text_faults browser front_end
        running verdict writing
        budget model_trial keeping narration prompts supply samples sharing""",
    "edge": """model endpoints choice completion refusal starters parameters sandbox archive
        durable finding settings_file index journal pictures record repository stored
        titles expiry whole similar libraries vendored wheels""",
    "data": "events settings redaction errors app kinds modules paths webp markup reach busy",
}
"""From top to bottom, as in the design; a package stands for all that is in it."""

HEIGHT = {
    name: height for height, names in enumerate(reversed(LAYERS.values())) for name in names.split()
}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name below `vibe`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[str]:
    """Dotted names of what a file imports, `from x import y` as x.y."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> set[str]:
    """The package's own modules that a file imports."""
    found = set()
    for name in imports(path):
        inside = name.removeprefix("vibe.") if name.startswith("vibe.") else ""
        while inside and inside not in MODULES:
            inside = inside.rpartition(".")[0]
        if inside:
            found.add(inside)
    return found


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_its_layer_and_imports_only_from_there_or_below(name: str) -> None:
    top = name.partition(".")[0]
    assert top in HEIGHT, f"{name} is in no layer: give it one in LAYERS"
    above = {
        other
        for other in own_imports(MODULES[name])
        if HEIGHT.get(other.partition(".")[0], 0) > HEIGHT[top]
    }
    assert not above, f"{name} imports from above: {', '.join(sorted(above))}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: own_imports(path) - {name} for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' → '.join(reversed(error.args[1]))}")


def test_streamlit_is_imported_only_by_the_screens_and_the_server() -> None:
    users = {
        name
        for name, path in MODULES.items()
        if any(imported.partition(".")[0] == "streamlit" for imported in imports(path))
    }
    assert {name for name in users if name.partition(".")[0] not in ("ui", "server")} == set()


def test_the_runner_that_goes_into_a_box_needs_nothing_but_the_standard_library() -> None:
    import sys

    outside = {name.partition(".")[0] for name in imports(MODULES["sandbox.runner"])}
    assert outside <= sys.stdlib_module_names
