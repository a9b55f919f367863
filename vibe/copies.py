"""Makes an app that begins as a copy of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vibe.app import App
from vibe.archive import Archive
from vibe.errors import UserError
from vibe.events import Acted, now


def copied(archive: Archive, app_id: str, idea: str, data: Mapping[str, bytes]) -> App:
    """A new app for `idea`, whose revision 1 is the other's newest one; it has the other's
    attached files, and `data` beside them. Raises UserError when there is nothing to copy."""
    old = archive.load(app_id)
    if not old.revisions:
        raise UserError("There is no program in that app to begin with.", "Make a new one.")
    newest = old.revisions[-1]
    files = archive.files(old.id, newest.commit)
    attached = {**archive.data(old.id), **data}
    app = archive.create(idea, kind=old.kind, model=old.model, data=attached)
    commit = archive.commit(app.id, files, f"{old.idea}\n\nfrom {old.id}", tag="r1")
    first = replace(newest, number=1, request=old.idea, commit=commit, attempts=0, created=now())
    app = replace(
        app,
        title=old.title,
        plan=old.plan,
        pins=old.pins,
        verdict=first.verdict,
        revisions=(first,),
    )
    archive.save(app)
    archive.append(app.id, [Acted(action="copied", detail=f"from {old.id}")], sync=False)
    return app
