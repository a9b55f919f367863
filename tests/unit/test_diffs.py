"""Diffs told file by file, and the names of versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from vibe import events as ev
from vibe.app import App, Revision, Verdict
from vibe.diffs import file_changes
from vibe.errors import UserError
from vibe.repository import Repository
from vibe.versions import lessons, named, versions


def test_each_file_of_a_diff_says_what_happened_to_it(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "code")
    old = repository.commit(
        {
            "a.py": b"x\ny\n",
            "gone.txt": b"--- q\n",
            "b.bin": b"\0\1",
            "two words.txt": b"1\n",
            "empty": b"",
        },
        "one",
    )
    new = repository.commit(
        {
            "a.py": b"x\nz\n-- a\ndiff --git \n",
            "new.txt": b"++ b\n\n",
            "b.bin": b"\0\2",
            "two words.txt": b"1\n2\n",
            "huge.txt": b"x" * 600_000,
        },
        "two",
    )
    found = {change.path: change for change in file_changes(repository.diff(old, new))}
    assert [change.words for _, change in sorted(found.items())] == [
        "a.py: 3 lines added, 1 line removed",
        "b.bin: differs, but is binary or too long to show",
        "empty: deleted",
        "gone.txt: deleted, 1 line removed",
        "huge.txt: differs, but is binary or too long to show",
        "new.txt: new file, 2 lines added",
        "two words.txt: 1 line added",
    ]
    assert found["a.py"].text.endswith("\n-y\n+z\n+-- a\n+diff --git ")
    assert file_changes("") == []
    assert file_changes("nonsense\n@@ more") == []


def test_every_attempt_has_a_name_and_a_kept_one_is_its_revision_too() -> None:
    events: list[ev.Event] = []
    for revision, attempt, commit in ((1, 1, "a"), (1, 2, "b"), (1, 1, "c"), (2, 1, "")):
        events.append(ev.AttemptStarted(revision=revision, attempt=attempt, reason=""))
        if commit:
            events.append(ev.FilesWritten(files={}, commit=commit))
        events.append(
            ev.RungDone(name="run", passed=False, sentence=f"No {commit}", evidence="", seconds=0)
        )
        events.append(
            ev.AttemptEnded(
                revision=revision, attempt=attempt, runs=True, score=[], sentence=f"end {commit}"
            )
        )
    kept = (Revision(1, "the idea", "b", 2, Verdict("works", ""), ""),)
    app = App("x-000000", "", "", "web", "ready", "", "", "", revisions=kept)
    found = versions(app, events)
    assert [(v.name, v.commit, v.words) for v in found] == [
        ("r1.1", "a", "end a"),
        ("r1.2", "b", "end b"),
        ("r1.1b", "c", "end c"),
        ("r1", "b", "the idea"),
    ]
    assert named("1.2", found).commit == named("r1", found).commit == "b"
    with pytest.raises(UserError, match="no version 'r9'"):
        named("r9", found)
    assert lessons(events).splitlines() == [
        "- run: No a",
        "- run: No b",
        "- run: No c",
        "- run: No",
    ]
    assert versions(App("x-000000", "", "", "web", "failed", "", "", ""), []) == []
