"""Makes an earlier revision of an app the newest one again."""

from __future__ import annotations

from dataclasses import replace

from vibe import versions
from vibe.app import App, Way
from vibe.archive import Archive
from vibe.events import Acted, now


def go_back(archive: Archive, app_id: str, revision: int, way: Way = "restored") -> App:
    """Makes an earlier revision the newest one again, with its plan and picture: appended, so
    nothing is lost. Raises UserError for a revision that isn't there, or while the app is built."""
    with archive.claim(app_id):
        app = archive.load(app_id)
        old = versions.revision(app, revision)
        number = len(app.revisions) + 1
        again = replace(
            old,
            number=number,
            request=f"Back to r{revision}",
            created=now(),
            way=way,
            source=revision,
        )
        archive.tag(app_id, number, old.commit)
        plan = versions.plan_of(app.revisions, revision, archive.events(app_id)) or app.plan
        app = replace(
            app,
            title=str(plan.get("title") or app.title),
            plan=plan,
            revisions=(*app.revisions, again),
            verdict=old.verdict,
            status="failed" if old.verdict.state == "broken" else "ready",
            used=now(),
        )
        archive.save(app)
        if picture := archive.thumb(app_id, revision):
            archive.save_thumb(app_id, picture, number)
        archive.append(
            app_id, [Acted(action="restored", detail=f"r{revision} as r{number}")], sync=True
        )
    return app
