"""When an idea counts as something that was made before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vibe.app import Revision, Verdict
from vibe.archive import Archive

MADE = {
    "A tip calculator for 4 people with an 18% tip, in euros": "Tip calculator",
    "Explore a CSV file, with totals grouped by region": "CSV explorer",
    "A snake game with a green theme": "Snake",
    "Track my reading with notes": "Reading tracker",
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    archive = Archive(tmp_path_factory.mktemp("gallery"))
    verdict = Verdict("works", "It works.")
    for idea, title in MADE.items():
        app = archive.create(idea, kind="web", model="m")
        made = (Revision(1, idea, "0" * 40, 1, verdict, app.created),)
        plan = {"checks": [{"name": "Keeps a book after a reload"}]} if "reading" in idea else {}
        archive.save(replace(app, title=title, status="ready", revisions=made, plan=plan))
    archive.create("A unit converter for lengths", kind="web", model="m")  # never came to a program
    return archive


@pytest.mark.parametrize(
    ("idea", "title"),
    [
        ("tip calculator", "Tip calculator"),
        ("I want a Tip Calculator, in dollars this time!", "Tip calculator"),
        ("exploring csv files", "CSV explorer"),
        ("a game of snake with a green theme please", "Snake"),
        ("snake", "Snake"),
        ("track books and notes of my reading", "Reading tracker"),
    ],
)
def test_what_was_made_before_is_found_in_other_words(
    archive: Archive, idea: str, title: str
) -> None:
    assert [app.title for app in archive.similar(idea)] == [title]


@pytest.mark.parametrize(
    "idea",
    [
        "a calculator for mortgages with charts",
        "A memory game with a dark theme",
        "show me the weather by region",
        "a unit converter for lengths",
        "make a simple app for me",
        "",
        "\"' OR *:( 18% )",
        "四人用の小費計算機",
    ],
)
def test_what_only_sounds_alike_or_has_no_program_is_not_offered(
    archive: Archive, idea: str
) -> None:
    assert archive.similar(idea) == []
