"""What goes with the last app that needed it, and what a stranger's record can't take along."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vibe.archive import Archive
from vibe.pinning import RECIPES
from vibe.purging import purge

DIGEST = "ab" * 32


def discarded(archive: Archive, idea: str, pins: dict[str, str]) -> str:
    app = archive.create(idea, kind="web", model="")
    archive.save(replace(app, status="ready", pins=pins))
    archive.discard(app.id)
    return app.id


def test_a_recipe_goes_with_the_last_app_that_is_pinned_to_it(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    folder = tmp_path / RECIPES / DIGEST
    folder.mkdir(parents=True)
    (folder / "python.Dockerfile").write_text("FROM nothing")
    one, two = (discarded(archive, idea, {"recipe": DIGEST}) for idea in ("one", "two"))
    assert f"recipe {DIGEST[:12]}: stays, other apps are pinned to its image" in purge(archive, one)
    assert folder.is_dir()
    assert any("no other app is pinned" in line for line in purge(archive, two))
    assert not (tmp_path / RECIPES).exists()


@pytest.mark.parametrize("recipe", ["", ".", "..", "../precious", "/", "g" * 64])
def test_a_record_leads_to_no_folder_but_a_recipe(tmp_path: Path, recipe: str) -> None:
    archive = Archive(tmp_path / "gallery")
    precious = tmp_path / "gallery" / "precious"
    precious.mkdir(parents=True)
    (tmp_path / "gallery" / RECIPES / DIGEST).mkdir(parents=True)
    purge(archive, discarded(archive, "one", {"recipe": recipe}))
    assert precious.is_dir()
    assert (tmp_path / "gallery" / RECIPES / DIGEST).is_dir()


def test_the_receipt_says_that_shared_packages_stay(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    lines = purge(archive, discarded(archive, "one", {"lock": DIGEST}))
    assert any(line.startswith(f"packages {DIGEST[:12]}: stay installed") for line in lines)
